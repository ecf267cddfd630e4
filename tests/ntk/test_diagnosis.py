"""Duplicate points, dead units and activation regions explain the rank of a kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from encbench import CoordinateMLP
from encbench.ntk import diagnose, empirical_ntk, spectrum
from tests.ntk.grids import CollidingGrid
from tests.ntk.test_kernel import Plain


class Gated(Plain):
    """An encoding with a ReLU of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gate(x - 0.5)


def small_network() -> CoordinateMLP:
    """Two hidden units that switch at x₀ = 0.5 and x₁ = 0.5: four regions."""
    model = CoordinateMLP(Plain(), 1, width=2, depth=1, parameterization="standard")
    with torch.no_grad():
        model.layers[0].weight.copy_(torch.eye(2))
        model.layers[0].bias.fill_(-0.5)
        model.layers[2].weight.fill_(1.0)
    return model


def test_regions_and_the_rank_bound_of_a_network_drawn_by_hand() -> None:
    lower = torch.rand(5, 2, dtype=torch.float64) * 0.4  # both units off
    upper = torch.rand(7, 2, dtype=torch.float64) * 0.4 + 0.6  # both on
    right = torch.tensor([[0.7, 0.2], [0.7, 0.2], [0.9, 0.1]], dtype=torch.float64)  # one on
    found = diagnose(small_network(), torch.cat([lower, upper, right]))
    assert (found.points, found.regions, found.largest_region) == (15, 3, 7)
    assert found.duplicates == 1
    assert found.rank_bound == 3 + 3 + 2
    assert found.dead_units == {}


def test_the_rank_bound_holds_and_explains_the_zeros_of_the_baseline() -> None:
    torch.manual_seed(2)
    model = CoordinateMLP(Plain(), 3, width=12, depth=2)
    x = torch.rand(200, 2, dtype=torch.float64)
    found = diagnose(model, x)
    assert found.rank_bound is not None
    assert found.rank_bound < 200
    assert spectrum(empirical_ntk(model, x).total).resolved_rank <= found.rank_bound
    full = spectrum(empirical_ntk(model, x, outputs="full").total)
    assert full.resolved_rank <= 3 * found.rank_bound


def test_there_is_no_rank_bound_where_features_are_not_coordinates() -> None:
    x = torch.rand(20, 2, dtype=torch.float64)
    found = diagnose(CoordinateMLP(CollidingGrid(), 1, width=8), x)
    assert found.rank_bound is None
    assert found.regions is not None
    assert diagnose(nn.Sequential(nn.Linear(2, 3), nn.Tanh()), x).regions is None


def test_a_forward_or_features_of_ones_own_have_no_rank_bound() -> None:
    class Squared(CoordinateMLP):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) ** 2

    class PlainAtFirst(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.amplitude = nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.amplitude * (20 * x).sin()

    x = torch.rand(20, 2, dtype=torch.float64)
    assert diagnose(CoordinateMLP(Plain(), 1, width=8), x).rank_bound is not None
    assert diagnose(Squared(Plain(), 1, width=8), x).rank_bound is None
    assert diagnose(CoordinateMLP(PlainAtFirst(), 1, width=8), x).rank_bound is None


def test_dead_units_and_layers_are_reported() -> None:
    model = CoordinateMLP(Plain(), 1, width=4, depth=2, parameterization="standard")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
        model.layers[0].bias[1] = -10.0
        model.layers[2].bias.fill_(-100.0)
    found = diagnose(model, torch.rand(9, 2, dtype=torch.float64))
    assert found.dead_units == {"layers.1": 1, "layers.3": 4}
    assert found.dead_layers == ("layers.3",)


def test_a_relu_module_that_is_called_twice_counts_as_two() -> None:
    once = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))
    twice = nn.Sequential(once[0], once[1], once[2], once[1], once[4])
    x = torch.rand(30, 2, dtype=torch.float64)
    expected, found = diagnose(once, x), diagnose(twice, x)
    assert (found.regions, found.rank_bound) == (expected.regions, expected.rank_bound)
    assert sum(found.dead_units.values()) == sum(expected.dead_units.values())


def test_a_relu_of_the_encoding_counts_and_one_that_is_never_called_does_not() -> None:
    model = CoordinateMLP(Gated(), 1, width=8)
    model.unused = nn.ReLU()
    found = diagnose(model, torch.full((3, 2), 0.2, dtype=torch.float64))
    assert found.dead_units["encoding.gate"] == 2
    assert found.dead_layers[0] == "encoding.gate"
    assert "unused" not in found.dead_units
    assert found.rank_bound is None
