"""SIREN's first layer and network, held against its formulas in plain numbers."""

import math

import pytest
import torch
from encbench_encodings.siren import Siren
from torch import nn

from encbench import CoordinateMLP, ParameterError
from encbench.network.activations.periodic import Sine
from encbench.ntk import empirical_ntk
from tests.encodings.encoding_checks import check_gradients, random_points


@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_features_are_sines_of_the_layer_on_the_domain_from_minus_one_to_one(in_dim):
    torch.manual_seed(0)
    encoding = Siren(in_dim, features=7, omega=11.0).double()
    points = random_points(15, in_dim)
    weight, bias = encoding.linear.weight.tolist(), encoding.linear.bias.tolist()
    expected = [
        [
            math.sin(11 * (sum(w * (2 * v - 1) for w, v in zip(row, point, strict=True)) + b))
            for row, b in zip(weight, bias, strict=True)
        ]
        for point in points.tolist()
    ]
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_weights_start_uniform_in_one_over_d(in_dim):
    torch.manual_seed(0)
    linear = Siren(in_dim, features=4000).linear
    for values, bound in ((linear.weight, 1 / in_dim), (linear.bias, 1 / math.sqrt(in_dim))):
        assert bound * 0.99 < values.abs().max().item() <= bound
        assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_parameters_are_counted_as_the_docstring_says():
    assert sum(p.numel() for p in Siren(3, features=10).parameters()) == 10 * (3 + 1)


def test_gradients_agree_with_differences():
    torch.manual_seed(0)
    check_gradients(Siren(2, features=5, omega=4.0).double(), random_points(4, 2))


def test_the_network_on_it_is_sitzmanns():
    torch.manual_seed(0)
    model = CoordinateMLP(Siren(2, features=64, hidden_omega=20.0), 3, 64, 2, "standard").double()
    assert model.activation == Sine(20.0)
    first = model.encoding.linear
    linear = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
    x = random_points(10, 2)
    z = torch.sin(30 * ((2 * x - 1) @ first.weight.t() + first.bias))
    for layer in linear[:-1]:
        z = torch.sin(20 * (z @ layer.weight.t() + layer.bias))
    expected = z @ linear[-1].weight.t() + linear[-1].bias
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)
    for layer in linear:
        bound = math.sqrt(6 / 64) / 20
        assert 0.9 * bound < layer.weight.abs().max().item() <= bound


def test_the_hidden_frequency_is_refused_where_it_would_cancel():
    with pytest.raises(ParameterError, match="cancels in NTK"):
        CoordinateMLP(Siren(2, hidden_omega=20.0), 1, width=8)


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_its_kernel_is_computed_layerwise(parameterization):
    torch.manual_seed(0)
    model = CoordinateMLP(Siren(2, features=16), 1, 16, 1, parameterization)
    ntk = empirical_ntk(model, random_points(12, 2))
    assert set(ntk.methods.values()) == {"layerwise"}
    assert float(ntk.parts["encoding"].diagonal().min()) > 0


def test_sines_behind_the_first_layer_learn_waves_faster_than_relu_does():
    x = torch.linspace(0, 1, 128)[:, None]
    target = torch.sin(2 * math.pi * 6 * x)
    errors = {}
    for activation in ("auto", "relu"):
        torch.manual_seed(0)
        model = CoordinateMLP(Siren(1, features=32), 1, 32, 1, "standard", activation=activation)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(150):
            optimizer.zero_grad()
            loss = (model(x) - target).square().mean()
            loss.backward()
            optimizer.step()
        errors[activation] = loss.item()
    assert errors["auto"] < 1e-4 < errors["relu"]
