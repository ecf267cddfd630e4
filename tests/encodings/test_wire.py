"""WIRE's first layer in its real form, held against the complex wavelet in plain numbers."""

import cmath
import math

import pytest
import torch
from encbench_encodings.wire import Wire

from encbench import CoordinateMLP
from encbench.network.activations.periodic import Gabor
from encbench.ntk import empirical_ntk
from tests.encodings.encoding_checks import check_gradients, random_points


@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_features_are_the_real_part_of_the_complex_wavelet(in_dim):
    torch.manual_seed(0)
    encoding = Wire(in_dim, features=7, omega=11.0, scale=3.0).double()
    points = random_points(15, in_dim)
    weight, bias = encoding.linear.weight.tolist(), encoding.linear.bias.tolist()
    expected = []
    for point in points.tolist():
        z = [
            sum(w * (2 * v - 1) for w, v in zip(row, point, strict=True)) + b
            for row, b in zip(weight, bias, strict=True)
        ]
        expected.append([cmath.exp(11j * value - abs(3 * value) ** 2).real for value in z])
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_weights_and_biases_start_as_those_of_a_linear_layer(in_dim):
    torch.manual_seed(0)
    linear = Wire(in_dim, features=4000).linear
    bound = 1 / math.sqrt(in_dim)
    for values in (linear.weight, linear.bias):
        assert 0.99 * bound < values.abs().max().item() <= bound
        assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_features_are_local_around_the_lines_where_the_layer_is_zero():
    encoding = Wire(1, features=1, omega=20.0, scale=10.0).double()
    encoding.linear.weight.data.fill_(1.0)
    encoding.linear.bias.data.fill_(0.0)
    at = encoding(torch.tensor([[0.5], [0.9]], dtype=torch.float64))
    assert at[0].item() == 1.0
    assert abs(at[1].item()) < 1e-20


def test_gradients_agree_with_differences():
    torch.manual_seed(0)
    check_gradients(Wire(2, features=5, omega=4.0, scale=1.0).double(), random_points(4, 2))


def test_the_hidden_layers_are_the_same_wavelet_and_the_kernel_is_layerwise():
    torch.manual_seed(0)
    model = CoordinateMLP(Wire(2, features=16, omega=5.0, scale=2.0), 1, 16, 2)
    assert model.activation == Gabor(5.0, 2.0)
    ntk = empirical_ntk(model, random_points(12, 2))
    assert set(ntk.methods.values()) == {"layerwise"}


def test_parameters_are_counted_as_the_docstring_says():
    assert sum(p.numel() for p in Wire(3, features=10).parameters()) == 10 * (3 + 1)
