"""The Gaussian first layer, held against scipy's normal density."""

import numpy as np
import pytest
import torch
from encbench_encodings.gaussian import GaussianFirstLayer
from scipy.stats import norm

from encbench.network.activations.bumps import Gaussian
from tests.encodings.encoding_checks import random_points


@pytest.mark.parametrize("in_dim", [1, 4])
def test_features_are_normal_densities_over_their_maximum(in_dim):
    torch.manual_seed(0)
    encoding = GaussianFirstLayer(in_dim, features=7, a=0.4).double()
    x = random_points(15, in_dim)
    weight, bias = (p.detach().numpy() for p in encoding.linear.parameters())
    z = (2 * x.numpy() - 1) @ weight.T + bias
    expected = norm.pdf(z, scale=0.4) / norm.pdf(0, scale=0.4)
    np.testing.assert_allclose(encoding(x).detach(), expected, rtol=1e-12)
    assert encoding.activation == Gaussian(a=0.4)


def test_weights_and_biases_start_as_those_of_a_linear_layer():
    torch.manual_seed(0)
    for values in GaussianFirstLayer(3, features=4000).linear.parameters():
        assert 0.99 / 3**0.5 < values.abs().max().item() <= 1 / 3**0.5
