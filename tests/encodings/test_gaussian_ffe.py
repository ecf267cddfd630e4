"""Random Fourier features, held against math.sin and math.cos."""

import math

import pytest
import torch
from encbench_encodings.gaussian_ffe import GaussianFourierFeatures

from tests.encodings.encoding_checks import check_gradients, random_points


@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_features_are_all_cosines_then_all_sines_of_the_frequencies(in_dim):
    torch.manual_seed(0)
    encoding = GaussianFourierFeatures(in_dim, features=7, sigma=3.0).double()
    points = random_points(15, in_dim)
    expected = [
        [
            wave(2 * math.pi * sum(b * v for b, v in zip(row, point, strict=True)))
            for wave in (math.cos, math.sin)
            for row in encoding.frequencies.tolist()
        ]
        for point in points.tolist()
    ]
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("sigma", [1.0, 10.0])
def test_frequencies_have_the_standard_deviation_asked_for(sigma):
    torch.manual_seed(0)
    frequencies = GaussianFourierFeatures(2, features=5000, sigma=sigma).frequencies
    assert frequencies.std().item() == pytest.approx(sigma, rel=0.03)
    assert frequencies.mean().item() == pytest.approx(0.0, abs=0.05 * sigma)


def test_fixed_frequencies_are_saved_but_not_trained():
    encoding = GaussianFourierFeatures(2, features=4)
    assert list(encoding.parameters()) == []
    torch.manual_seed(1)
    other = GaussianFourierFeatures(2, features=4)
    x = random_points(5, 2).float()
    assert not torch.equal(encoding(x), other(x))
    other.load_state_dict(encoding.state_dict())
    assert torch.equal(encoding(x), other(x))


def test_learnable_frequencies_are_a_parameter_with_a_gradient():
    torch.manual_seed(0)
    encoding = GaussianFourierFeatures(2, features=4, sigma=1.0, learnable=True).double()
    assert [name for name, _ in encoding.named_parameters()] == ["frequencies"]
    check_gradients(encoding, random_points(5, 2))


def test_the_same_seed_draws_the_same_frequencies():
    torch.manual_seed(3)
    first = GaussianFourierFeatures(2).frequencies
    torch.manual_seed(3)
    assert torch.equal(first, GaussianFourierFeatures(2).frequencies)


def test_the_kernel_of_many_features_is_the_gaussian_of_the_distance():
    # Bochner's theorem: the mean of cos(2πB(x − y)) is exp(−2π²σ²|x − y|²).
    torch.manual_seed(0)
    encoding = GaussianFourierFeatures(2, features=20_000, sigma=1.0).double()
    x = random_points(6, 2)
    kernel = encoding(x) @ encoding(x).t() / 20_000
    expected = torch.exp(-2 * math.pi**2 * torch.cdist(x, x).square())
    torch.testing.assert_close(kernel, expected, rtol=0, atol=0.03)
