"""FINER's first layer, held against its formula in plain numbers."""

import math

import pytest
import torch
from encbench_encodings.finer import FinerEncoding
from encbench_encodings.siren import Siren

from encbench import CoordinateMLP
from encbench.network.activations.periodic import Finer
from encbench.ntk import empirical_ntk
from tests.encodings.encoding_checks import check_gradients, random_points


@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_features_are_sines_of_the_layer_times_one_more_than_its_size(in_dim):
    torch.manual_seed(0)
    encoding = FinerEncoding(in_dim, features=7, omega=11.0, bias_range=3.0).double()
    points = random_points(15, in_dim)
    weight, bias = encoding.linear.weight.tolist(), encoding.linear.bias.tolist()
    expected = []
    for point in points.tolist():
        z = [
            sum(w * (2 * v - 1) for w, v in zip(row, point, strict=True)) + b
            for row, b in zip(weight, bias, strict=True)
        ]
        expected.append([math.sin(11 * (abs(value) + 1) * value) for value in z])
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-11
    )


def test_biases_start_in_the_range_asked_for_and_in_that_of_a_linear_layer_otherwise():
    torch.manual_seed(0)
    for settings, bound in (({"bias_range": 20.0}, 20.0), ({}, 1 / math.sqrt(2))):
        linear = FinerEncoding(2, features=4000, **settings).linear
        assert 0.99 * bound < linear.bias.abs().max().item() <= bound
        assert linear.bias.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
        assert 0.99 / 2 < linear.weight.abs().max().item() <= 1 / 2


def test_a_wider_range_of_biases_gives_finer_waves():
    x = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None]
    turns = []
    for bias_range in (0.0, 5.0, 20.0):
        torch.manual_seed(0)
        features = FinerEncoding(1, bias_range=bias_range).double()(x).detach()
        turns.append((features[1:] * features[:-1] < 0).double().mean().item())
    assert turns[2] > 2 * turns[1] > 4 * turns[0] > 0


def test_small_arguments_give_sirens_features():
    torch.manual_seed(0)
    finer, siren = FinerEncoding(2, features=9).double(), Siren(2, features=9).double()
    for linear in (finer.linear, siren.linear):
        linear.weight.data.fill_(1e-4)
        linear.bias.data.fill_(1e-4)
    x = random_points(6, 2)
    torch.testing.assert_close(finer(x), siren(x), rtol=1e-3, atol=0)


def test_gradients_agree_with_differences_of_the_whole_function():
    torch.manual_seed(0)
    check_gradients(
        FinerEncoding(2, features=5, omega=4.0, bias_range=1.0).double(), random_points(4, 2)
    )


def test_the_hidden_layers_are_of_the_same_kind_and_the_kernel_is_layerwise():
    torch.manual_seed(0)
    model = CoordinateMLP(FinerEncoding(2, features=16, hidden_omega=5.0), 1, 16, 2)
    assert model.activation == Finer(5.0)
    ntk = empirical_ntk(model, random_points(12, 2))
    assert set(ntk.methods.values()) == {"layerwise"}


def test_parameters_are_counted_as_the_docstring_says():
    assert sum(p.numel() for p in FinerEncoding(3, features=10).parameters()) == 10 * (3 + 1)
