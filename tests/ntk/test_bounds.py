"""Inequalities between spectra, and the reasons for a lost rank."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from encbench import CoordinateMLP, NtkError
from encbench.ntk import diagnose, empirical_ntk, minimum_upper_bound, spectrum, weyl_check
from tests.ntk.grids import CollidingGrid, LearnedFeatures, SilentGrid
from tests.ntk.test_kernel import Plain


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize("make", [Plain, CollidingGrid, SilentGrid, LearnedFeatures])
def test_theorem_1_holds_on_every_kernel(make: type, outputs: str) -> None:
    x = torch.rand(60, 2, dtype=torch.float64)
    ntk = empirical_ntk(CoordinateMLP(make(), 2, width=32), x, outputs=outputs)  # type: ignore[arg-type]
    check = weyl_check(ntk)
    assert check.ok
    assert check.worst <= check.tolerance
    given = weyl_check(ntk, spectrum(ntk.total), spectrum(ntk.parts["mlp"]))
    assert given == check


def test_a_kernel_that_is_not_the_sum_of_its_parts_fails_the_check() -> None:
    x = torch.rand(30, 2, dtype=torch.float64)
    ntk = empirical_ntk(CoordinateMLP(CollidingGrid(), 2, width=32), x)
    wrong = dataclasses.replace(ntk, total=0.9 * ntk.total - 0.1 * ntk.parts["mlp"])
    check = weyl_check(wrong)
    assert not check.ok
    assert check.worst > check.tolerance


def test_the_check_needs_the_parts() -> None:
    x = torch.rand(5, 2, dtype=torch.float64)
    with pytest.raises(NtkError, match="parts"):
        weyl_check(empirical_ntk(CoordinateMLP(Plain(), 2, width=8), x, parts=()))


@pytest.mark.parametrize("size", [1, 2, 40])
def test_pairs_of_points_bound_the_smallest_eigenvalue_from_above(size: int) -> None:
    generator = np.random.default_rng(size)
    j = generator.standard_normal((size, 60))
    kernel = torch.from_numpy(j @ j.T)
    expected = min(
        [float(kernel[i, i]) for i in range(size)]
        + [
            float(kernel[i, i] + kernel[k, k] - 2 * kernel[i, k]) / 2
            for i in range(size)
            for k in range(i)
        ]
    )
    assert minimum_upper_bound(kernel) == pytest.approx(expected, rel=1e-12)
    assert np.linalg.eigvalsh(kernel.numpy())[0] <= minimum_upper_bound(kernel) * (1 + 1e-12)


def test_two_equal_points_bound_the_smallest_eigenvalue_by_zero() -> None:
    x = torch.rand(10, 2, dtype=torch.float64)
    kernel = empirical_ntk(CoordinateMLP(Plain(), 2, width=8), torch.cat([x, x[:1]])).total
    assert minimum_upper_bound(kernel) < 1e-14 * float(kernel.max())


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
