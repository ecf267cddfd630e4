"""Spherical harmonics, held against scipy on the sphere and against Legendre polynomials off it."""

import math

import numpy as np
import pytest
import torch
from encbench_encodings.spherical_harmonics import SphericalHarmonics
from numpy.polynomial import Legendre
from scipy.special import sph_harm_y

from encbench import ParameterError
from tests.encodings.encoding_checks import check_gradients, random_points


def directions(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    poles = torch.tensor([[0, 0, 1], [0, 0, -1], [1, 0, 0], [0, -1, 0]], dtype=torch.float64)
    return torch.cat((v / v.norm(dim=1, keepdim=True), poles))


@pytest.mark.parametrize("degree", range(1, 9))
def test_on_the_sphere_features_are_the_real_forms_of_scipys_harmonics(degree):
    v = directions(40)
    theta = np.arccos(v[:, 2].numpy())
    phi = np.arctan2(v[:, 1].numpy(), v[:, 0].numpy())
    columns = []
    for band in range(degree):
        for m in range(-band, band + 1):
            value = sph_harm_y(band, abs(m), theta, phi)
            if m:
                value = math.sqrt(2) * (value.real if m > 0 else value.imag)
            columns.append(value.real)
    expected = torch.from_numpy(np.stack(columns, axis=1))
    features = SphericalHarmonics(3, degree=degree)((v + 1) / 2)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-12)


def test_off_the_sphere_the_polar_part_is_a_polynomial_in_z_alone():
    x = random_points(30, 3)
    features = SphericalHarmonics(3, degree=8)(x)
    vx, vy, vz = (2 * x - 1).numpy().T
    for band in range(8):
        for m in range(-band, band + 1):
            k = abs(m)
            polar = Legendre.basis(band).deriv(k)(vz) if k else Legendre.basis(band)(vz)
            turn = (vx + 1j * vy) ** k
            ratio = math.factorial(band - k) / math.factorial(band + k)
            norm = math.sqrt((2 * band + 1) / (4 * math.pi) * ratio * (2 if m else 1))
            expected = (-1) ** k * norm * polar * (turn.real if m >= 0 else turn.imag)
            torch.testing.assert_close(
                features[:, band * (band + 1) + m], torch.from_numpy(expected), rtol=0, atol=1e-12
            )


def test_low_bands_are_the_published_polynomials():
    x = random_points(20, 3)
    vx, vy, vz = (2 * x - 1).unbind(1)
    pi = math.pi
    expected = torch.stack(
        (
            torch.full_like(vx, 1 / math.sqrt(4 * pi)),
            -math.sqrt(3 / (4 * pi)) * vy,
            math.sqrt(3 / (4 * pi)) * vz,
            -math.sqrt(3 / (4 * pi)) * vx,
            math.sqrt(15 / (4 * pi)) * vx * vy,
            -math.sqrt(15 / (4 * pi)) * vy * vz,
            math.sqrt(5 / (16 * pi)) * (3 * vz**2 - 1),
            -math.sqrt(15 / (4 * pi)) * vx * vz,
            math.sqrt(15 / (16 * pi)) * (vx**2 - vy**2),
        ),
        dim=1,
    )
    torch.testing.assert_close(SphericalHarmonics(3, degree=3)(x), expected, rtol=0, atol=1e-13)


def test_features_are_orthonormal_over_the_sphere():
    # Exact quadrature for polynomials of degree 14: Gauss-Legendre in z, even steps around it.
    z, weights = np.polynomial.legendre.leggauss(8)
    phi = np.arange(16) * 2 * math.pi / 16
    grid_z, grid_phi = (a.ravel() for a in np.meshgrid(z, phi, indexing="ij"))
    radius = np.sqrt(1 - grid_z**2)
    v = np.stack((radius * np.cos(grid_phi), radius * np.sin(grid_phi), grid_z), axis=1)
    area = torch.from_numpy(np.repeat(weights, 16) * 2 * math.pi / 16)
    features = SphericalHarmonics(3, degree=8)(torch.from_numpy((v + 1) / 2))
    gram = features.t() @ (area[:, None] * features)
    torch.testing.assert_close(gram, torch.eye(64, dtype=torch.float64), rtol=0, atol=1e-12)


def test_gradients_agree_with_differences():
    check_gradients(SphericalHarmonics(3, degree=5), random_points(4, 3))


def test_float32_features_are_close_to_float64():
    x = random_points(100, 3)
    encoding = SphericalHarmonics(3, degree=8)
    single = encoding(x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), encoding(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("in_dim", [2, 4])
def test_only_three_coordinates_make_a_direction(in_dim):
    with pytest.raises(ParameterError, match="points of 3 coordinates"):
        SphericalHarmonics(in_dim)
