"""First layers with special activations, and the effect of the network's parameterization."""

import pytest
import torch
from encbench_encodings.finer import FinerEncoding
from encbench_encodings.gaussian import GaussianFirstLayer
from encbench_encodings.siren import Siren
from encbench_encodings.wire import Wire

from encbench import CoordinateMLP, Encoding
from encbench.ntk import empirical_ntk
from tests.encodings.encoding_checks import check_gradients, random_points
from tests.ntk.conftest import brute_force, relative_error


def gaussian(in_dim: int, features: int, omega: float = 10.0) -> GaussianFirstLayer:
    """Its width a corresponds to 1/ω of the others."""
    return GaussianFirstLayer(in_dim, features=features, a=1 / omega)


ENCODINGS = [Siren, FinerEncoding, Wire, gaussian]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_parameterization_changes_the_parameters_and_not_the_features(encoding):
    torch.manual_seed(0)
    layer = encoding(2, features=9, omega=12.0).double()
    x = random_points(8, 2)
    features, weight = layer(x).detach(), layer.linear.weight.detach().clone()
    for parameterization, factor in [("ntk", 12), ("ntk", 12), ("standard", 1), ("ntk", 12)]:
        layer.parameterize(parameterization)
        torch.testing.assert_close(layer(x), features, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(layer.linear.weight, factor * weight)
    check_gradients(layer, x[:3])


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_kernel_is_the_jacobians(encoding, parameterization):
    torch.manual_seed(0)
    model = CoordinateMLP(encoding(2, features=12), 2, 12, 2, parameterization)
    x = random_points(15, 2)
    ntk = empirical_ntk(model, x, outputs="full")
    assert set(ntk.methods.values()) == {"layerwise"}
    assert relative_error(ntk.total, brute_force(model, x, "full")) < 1e-12


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_learning_speed_of_the_first_layer_falls_by_the_square_of_omega(encoding):
    x = random_points(15, 2)
    layer = encoding(2, features=12, omega=9.0)
    model = CoordinateMLP(layer, 1, 12, 1, "ntk").double()
    phases = empirical_ntk(model, x).parts["encoding"]
    layer.parameterize("standard")
    weights = empirical_ntk(model, x).parts["encoding"]
    torch.testing.assert_close(weights, 81 * phases, rtol=1e-9, atol=1e-12)


def test_in_ntk_parameterization_the_first_layer_learns_at_a_pace_with_the_others():
    torch.manual_seed(0)
    ntk = empirical_ntk(CoordinateMLP(Siren(2), 3, 256, 2, "ntk"), random_points(40, 2))
    shares = {part: ntk.parts[part].diagonal().mean().item() for part in ("mlp", "encoding")}
    assert 1 / 3 < shares["encoding"] / shares["mlp"] < 3


class Beside(Encoding):
    """The coordinates, followed by the features of another encoding."""

    def __init__(self, part: Encoding) -> None:
        super().__init__(part.in_dim, part.in_dim + part.out_dim)
        self.parts = torch.nn.ModuleList([part])

    def forward(self, x):
        return torch.cat((x, self.parts[0](x)), dim=1)


def test_an_encoding_within_another_is_told_the_parameterization_too():
    torch.manual_seed(0)
    layer = Siren(2, features=9, omega=12.0)
    weight = layer.linear.weight.detach().clone()
    CoordinateMLP(Beside(layer), 1, 4, 1, "ntk")
    torch.testing.assert_close(layer.linear.weight, 12 * weight)
