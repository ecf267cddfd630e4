"""Chebyshev and Legendre features, held against numpy's series and closed forms."""

import math

import numpy as np
import pytest
import torch
from encbench_encodings.chebyshev import ChebyshevFeatures
from encbench_encodings.legendre import LegendreFeatures
from numpy.polynomial import Chebyshev, Legendre

from tests.encodings.encoding_checks import border_points, random_points

KINDS = [(ChebyshevFeatures, Chebyshev), (LegendreFeatures, Legendre)]


@pytest.mark.parametrize(("encoding", "series"), KINDS)
@pytest.mark.parametrize("degree", [1, 2, 33])
def test_features_are_numpys_polynomials_by_coordinate_and_degree(encoding, series, degree):
    x = torch.cat((random_points(40, 2), border_points(2)))
    basis = [series.basis(k) for k in range(degree + 1)]  # summed by Clenshaw's algorithm
    expected = [[p(2 * x_i - 1) for x_i in row for p in basis] for row in x.tolist()]
    found = encoding(2, degree=degree)(x)
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=3e-13
    )


def test_chebyshev_polynomials_are_cosines():
    angle = torch.linspace(0, math.pi, 50, dtype=torch.float64)
    features = ChebyshevFeatures(1, degree=64)((angle.cos().unsqueeze(1) + 1) / 2)
    expected = (torch.arange(65) * angle.unsqueeze(1)).cos()
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-10)


def test_legendre_polynomials_are_orthogonal_by_gauss_quadrature():
    nodes, weights = np.polynomial.legendre.leggauss(20)
    x = torch.from_numpy(nodes + 1).unsqueeze(1) / 2
    features = LegendreFeatures(1, degree=12)(x).numpy()
    gram = features.T @ (weights[:, None] * features)
    np.testing.assert_allclose(gram, np.diag(2 / (2 * np.arange(13) + 1)), atol=1e-14)


@pytest.mark.parametrize("encoding", [ChebyshevFeatures, LegendreFeatures])
def test_derivatives_are_finite_at_the_ends(encoding):
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64, requires_grad=True)
    encoding(1, degree=5)(x)[:, 5].sum().backward()
    slope = 2 * (25 if encoding is ChebyshevFeatures else 15)  # T'(1) = k², P'(1) = k(k + 1)/2
    torch.testing.assert_close(x.grad, torch.full_like(x, slope))
