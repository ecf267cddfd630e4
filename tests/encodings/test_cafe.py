"""CAFE, held against sums of complex exponentials, and its frequencies."""

import numpy as np
import pytest
import torch
from encbench_encodings.cafe import Cafe

from encbench import CoordinateMLP
from tests.encodings.encoding_checks import check_gradients, filled, random_points


@pytest.mark.parametrize("polynomials", [0, 1, 4])
@pytest.mark.parametrize("in_dim", [1, 3])
def test_features_are_products_of_mixed_waves_and_polynomials(in_dim, polynomials):
    encoding = filled(
        Cafe(in_dim, features=5, frequencies=6, sigma=2.0, branches=3, chebyshev=polynomials)
    )
    x = random_points(20, in_dim).numpy()
    v = 2 * x - 1
    waves = np.exp(2j * np.pi * v @ encoding.frequencies.numpy().T)
    angles = np.arccos(v)[..., None] * np.arange(polynomials)
    expected = np.ones((20, 5))
    for layer in encoding.maps:
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        sines, cosines, rest = np.split(weight, [6, 12], axis=1)
        polynomial = np.cos(angles).reshape(20, -1) @ rest.T
        expected *= (waves @ (cosines - 1j * sines).T).real + polynomial + bias
    found = encoding(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_product_of_two_waves_has_their_sum_and_difference():
    encoding = Cafe(1, features=1, frequencies=2, branches=2).double()
    encoding.frequencies.copy_(torch.tensor([[3.0], [7.0]]))
    for column, layer in enumerate(encoding.maps):
        layer.weight.data.zero_()[0, 2 + column] = 1.0  # a cosine
        layer.bias.data.zero_()
    x = torch.arange(64, dtype=torch.float64).unsqueeze(1) / 64
    spectrum = torch.fft.rfft(encoding(x).squeeze(1).detach()).abs() / 32
    # cycles over [−1, 1] count twice over [0, 1]
    assert spectrum.gt(1e-9).nonzero().flatten().tolist() == [2 * (7 - 3), 2 * (7 + 3)]


def test_the_parameterization_changes_the_parameters_and_not_the_features():
    torch.manual_seed(0)
    encoding = Cafe(2, features=5, frequencies=4, chebyshev=3).double()
    x = random_points(6, 2)
    features, weight = encoding(x), encoding.maps[1].weight.detach().clone()
    CoordinateMLP(encoding, 1, 4, 1, "ntk")
    torch.testing.assert_close(encoding(x), features)
    torch.testing.assert_close(encoding.maps[1].weight, (2 * 4 + 2 * 3) ** 0.5 * weight)
    check_gradients(encoding, x[:2])
