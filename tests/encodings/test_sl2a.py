"""SL²A's first layer, compared with numpy's Chebyshev series and an explicit normalization."""

import math

import numpy as np
import pytest
import torch
from encbench_encodings.sl2a import Sl2a
from numpy.polynomial.chebyshev import chebval

from encbench import CoordinateMLP
from encbench.ntk import empirical_ntk
from tests.encodings.encoding_checks import check_gradients, filled, random_points


@pytest.mark.parametrize("in_dim", [1, 3])
def test_features_are_normalized_chebyshev_series_of_tanh(in_dim):
    encoding = filled(Sl2a(in_dim, features=5, degree=9))
    x = random_points(20, in_dim)
    weight = encoding.maps[0].weight.detach().numpy().reshape(5, in_dim, 10)
    places = np.tanh(2 * x.numpy() - 1)
    z = np.array([[sum(map(chebval, point, unit)) for unit in weight] for point in places])
    z = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5)
    gain, shift = encoding.norm.weight.detach().numpy(), encoding.norm.bias.detach().numpy()
    np.testing.assert_allclose(encoding(x).detach(), gain * z + shift, rtol=0, atol=1e-12)


def test_the_start_is_that_of_xavier_uniform_on_the_authors_tensor():
    torch.manual_seed(0)
    weight = Sl2a(2, features=64, degree=32).maps[0].weight
    authors = torch.nn.init.xavier_uniform_(torch.empty(2, 64, 33))
    assert weight.abs().max().item() == pytest.approx(math.sqrt(6 / (66 * 33)), rel=1e-3)
    assert weight.std().item() == pytest.approx(authors.std().item(), rel=0.03)


def test_every_parameter_has_a_fast_kernel_and_the_parameterization_changes_no_feature():
    torch.manual_seed(0)
    encoding = Sl2a(2, features=6, degree=5).double()
    x = random_points(9, 2)
    features = encoding(x)
    kernel = empirical_ntk(CoordinateMLP(encoding, 1, 8, 1, "ntk").double(), x)
    torch.testing.assert_close(encoding(x), features)
    own = {n: m for n, m in kernel.methods.items() if n.startswith("encoding")}
    assert sorted(own.values()) == ["layerwise", "sparse", "sparse"]
    check_gradients(encoding, x[:3])
