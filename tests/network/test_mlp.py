"""The coordinate MLP computes the equations of its docstring."""

import math

import pytest
import torch

from encbench import CoordinateMLP, NTKLinear, ParameterError
from tests.sample_plugin import Scaled


def test_ntk_layers_follow_jacots_formula():
    torch.manual_seed(0)
    model = CoordinateMLP(Scaled(2), 3, width=7, depth=2, beta=0.3).double()
    x = torch.rand(5, 2, dtype=torch.float64)
    first, second, last = (m for m in model.layers if isinstance(m, NTKLinear))
    h = x
    for layer in (first, second, last):
        h = h @ layer.weight.T / math.sqrt(layer.weight.shape[1]) + 0.3 * layer.bias
        if layer is not last:
            h = torch.relu(h)
    torch.testing.assert_close(model(x), h, rtol=1e-14, atol=1e-14)


def test_ntk_weights_are_standard_normal():
    torch.manual_seed(0)
    layer = NTKLinear(200, 300)
    assert abs(layer.weight.mean().item()) < 0.02
    assert abs(layer.weight.std().item() - 1) < 0.02


def test_depth_counts_hidden_layers():
    model = CoordinateMLP(Scaled(1), 1, width=4, depth=3)
    assert sum(isinstance(m, torch.nn.ReLU) for m in model.layers) == 3
    assert sum(isinstance(m, NTKLinear) for m in model.layers) == 4


def test_standard_parameterization_is_torchs_own_layer():
    model = CoordinateMLP(Scaled(1), 1, width=4, depth=1, parameterization="standard")
    assert [type(m) for m in model.layers] == [torch.nn.Linear, torch.nn.ReLU, torch.nn.Linear]


def test_the_first_layer_can_be_scaled_by_the_width():
    model = CoordinateMLP(Scaled(2), 1, width=16, depth=1, first_layer_scale="width")
    assert [m.scale for m in model.layers if isinstance(m, NTKLinear)] == [0.25, 0.25]


def test_parameters_are_counted_by_part():
    model = CoordinateMLP(Scaled(2), 3, width=512, depth=2)
    mlp = (2 * 512 + 512) + (512 * 512 + 512) + (512 * 3 + 3)
    assert model.parameter_counts() == {"mlp": mlp, "encoding": 0}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"width": 0}, "width"), ({"depth": 0}, "depth"), ({"parameterization": "mup"}, "'mup'")],
)
def test_an_impossible_network_is_refused(wrong, words):
    with pytest.raises(ParameterError, match=words):
        CoordinateMLP(Scaled(1), 1, **wrong)


def test_an_encoding_without_the_base_class_is_told_what_to_subclass():
    class Plain(torch.nn.Module):
        in_dim = out_dim = 1

    with pytest.raises(ParameterError, match=r"a Plain, expected a subclass of encbench\.Encoding"):
        CoordinateMLP(Plain(), 1)
