"""Activation regions are counted as by a set of patterns, and as in a drawing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from encbench import CoordinateMLP, NtkError
from encbench.ntk import activation_regions, diagnose, diagnosis
from tests.ntk.grids import CollidingGrid
from tests.ntk.test_diagnosis import small_network
from tests.ntk.test_kernel import Plain


def patterns(model: CoordinateMLP, x: torch.Tensor) -> list[tuple[bool, ...]]:
    """The pattern of each point, layer by layer."""
    h, found = model.double().encoding(x), []
    for layer in model.layers:
        h = layer(h)
        if isinstance(layer, nn.ReLU):
            found.append(h > 0)
    return [tuple(row) for row in torch.cat(found, 1).tolist()]


@pytest.mark.parametrize("encoding", [Plain, CollidingGrid])
def test_regions_are_the_distinct_patterns(encoding, monkeypatch):
    monkeypatch.setattr(diagnosis, "CHUNK", 37)  # several chunks, the last one shorter
    torch.manual_seed(3)
    model = CoordinateMLP(encoding(), 2, width=9, depth=2)
    x = torch.rand(400, 2, dtype=torch.float64)
    found, each = activation_regions(model, x), patterns(model, x)
    numbers = {pattern: number for number, pattern in enumerate(dict.fromkeys(each))}
    assert found.count == len(set(each)) > 10
    assert found.labels.tolist() == [numbers[pattern] for pattern in each]
    assert found.units == 18
    assert diagnose(model, x).regions == found.count


def test_two_lines_that_cross_cut_the_square_into_four():
    t = (torch.arange(10, dtype=torch.float64) + 0.5) / 10
    x = torch.cartesian_prod(t, t)
    found = activation_regions(small_network(), x)
    assert found.count == 4
    quarters = found.labels.reshape(10, 10)
    assert all(
        len(np.unique(part)) == 1 for half in np.split(quarters, 2) for part in np.split(half, 2, 1)
    )


def test_three_lines_in_general_position_make_seven_regions():
    model = CoordinateMLP(Plain(), 1, width=3, depth=1, parameterization="standard")
    with torch.no_grad():
        model.layers[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        model.layers[0].bias.copy_(torch.tensor([-0.4, -0.4, -1.0]))
    t = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    assert activation_regions(model, torch.cartesian_prod(t, t)).count == 7


def test_a_network_without_relu_has_no_regions():
    model = CoordinateMLP(Plain(), 1, width=4, activation="tanh")
    with pytest.raises(NtkError, match=r"those of ReLU units.*its activation is 'tanh'"):
        activation_regions(model, torch.rand(5, 2))
