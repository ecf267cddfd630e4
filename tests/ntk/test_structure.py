"""Every parameter gets the right kernel: layerwise or sparse if that holds, else by Jacobian."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from encbench import CoordinateMLP, PluginError
from encbench.ntk import autograd, critical_learning_rate, empirical_ntk, operator
from encbench.ntk.kernel import brute_force_ntk
from tests.ntk.conftest import brute_force, relative_error
from tests.ntk.grids import (
    CollidingGrid,
    ForgetfulGrid,
    LearnedFeatures,
    NarrowFactor,
    ProductGrid,
    RarelyWrongFactor,
    SharedRowsGrid,
    SilentGrid,
    WrongFactor,
)


class Twice(nn.Module):
    """One layer applied twice: its kernel has cross terms."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared, self.last = nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.shared(torch.relu(self.first(x))))
        return self.last(torch.relu(self.shared(h)))


class Tied(nn.Module):
    """Two layers that hold the same weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.one, self.two = nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.two(torch.tanh(self.one(torch.tanh(self.first(x)))))


class BehindItsBack(nn.Module):
    """A weight used by its layer and a second time without it, as in tied autoencoders."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x)) @ self.layer.weight


class HigherRank(nn.Module):
    """A linear layer on (N, 2, 1), which takes each coordinate separately."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.last = nn.Linear(1, 4), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.each(x[:, :, None])).flatten(1))


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv1d(1, 4, 2), nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.conv(x[:, None])[:, :, 0]))


class Branching(nn.Module):
    """Branches on its values, which vmap cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        rows = [self.gain * (row.sum() if float(row[0]) > 0.5 else row[1]) for row in x]
        return torch.stack(rows)


def weight_normed() -> nn.Module:
    inner = parametrizations.weight_norm(nn.Linear(2, 8))
    return nn.Sequential(inner, nn.ReLU(), nn.Linear(8, 2))


def in_place() -> nn.Module:
    return nn.Sequential(
        nn.Linear(2, 16),
        nn.ReLU(inplace=True),
        nn.Linear(16, 16),
        nn.ReLU(inplace=True),
        nn.Linear(16, 3),
    )


def half_frozen() -> nn.Module:
    model = CoordinateMLP(CollidingGrid(), 3, width=16)
    for name in ("layers.2.weight", "layers.0.bias", "encoding.tables.1"):
        model.get_parameter(name).requires_grad_(False)
    return model


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize(
    ("make", "slow"),
    [
        (Twice, {"shared.weight", "shared.bias"}),
        (Tied, {"one.weight"}),
        (BehindItsBack, {"layer.weight"}),
        (HigherRank, {"each.weight", "each.bias"}),
        (Convolution, {"conv.weight", "conv.bias", "norm.weight", "norm.bias"}),
        (
            weight_normed,
            {
                "0.bias",
                "0.parametrizations.weight.original0",
                "0.parametrizations.weight.original1",
            },
        ),
        (in_place, set()),
        (half_frozen, set()),
    ],
)
def test_every_module_gets_the_kernel_of_its_jacobian(
    make: type[nn.Module], slow: set[str], outputs: str, points: Tensor
) -> None:
    torch.manual_seed(1)
    model = make()
    ntk = empirical_ntk(model, points, outputs=outputs)  # type: ignore[arg-type] # parametrized
    assert {name for name, method in ntk.methods.items() if method == "jacobian"} == slow
    reference = brute_force(model, points, outputs)
    assert relative_error(ntk.total, reference) < 1e-12
    v = torch.randn(len(reference), dtype=torch.float64)
    for cached in (True, False):
        theta = operator(model, points, outputs=outputs, cached=cached)  # type: ignore[arg-type]
        assert relative_error(torch.from_numpy(theta @ v.numpy()), reference @ v) < 1e-12


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize(("make", "name"), [(Twice, "shared"), (Convolution, "norm")])
def test_a_second_name_of_a_module_changes_no_kernel(
    make: type[nn.Module], name: str, outputs: str, points: Tensor
) -> None:
    torch.manual_seed(1)
    model = make()
    aliased = copy.deepcopy(model)
    aliased.alias = aliased.get_submodule(name)
    reference = brute_force(model, points, outputs)
    ntk = empirical_ntk(aliased, points, outputs=outputs)  # type: ignore[arg-type] # parametrized
    assert relative_error(ntk.total, reference) < 1e-12
    theta = operator(aliased, points, outputs=outputs)  # type: ignore[arg-type] # parametrized
    assert relative_error(torch.from_numpy(theta @ np.eye(len(reference))), reference) < 1e-12
    assert critical_learning_rate(aliased, points) == critical_learning_rate(model, points)
    plain = brute_force_ntk(aliased.double(), points)["mlp"]
    assert relative_error(plain, brute_force(model, points, "full")) < 1e-12


def test_modules_that_vmap_cannot_follow_are_differentiated_point_by_point(points: Tensor) -> None:
    model = Branching()
    scale = torch.where(points[:, 0] > 0.5, points.sum(1), points[:, 1])
    expected = torch.outer(scale, scale)
    assert relative_error(empirical_ntk(model, points).total, expected) < 1e-12


def test_parameters_of_encodings_have_a_method_each(points: Tensor) -> None:
    methods = empirical_ntk(CoordinateMLP(CollidingGrid(), 3, width=8), points).methods
    assert methods["encoding.tables.0"] == "sparse"
    methods = empirical_ntk(CoordinateMLP(SilentGrid(), 3, width=8), points).methods
    assert methods["encoding.tables.0"] == "jacobian"
    methods = empirical_ntk(CoordinateMLP(LearnedFeatures(), 3, width=8), points).methods
    assert methods["encoding.linear.weight"] == "layerwise"
    assert methods["encoding.gain"] == "jacobian"


@pytest.mark.parametrize("outputs", ["trace", "full"])
def test_jacobians_that_do_not_fit_are_recomputed(
    outputs: str, points: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Twice()
    kept = empirical_ntk(model, points, outputs=outputs).total  # type: ignore[arg-type]
    monkeypatch.setattr(autograd, "CHUNK_BYTES", 7 * 8 * 2 * 64)  # seven points of the weight
    monkeypatch.setattr("encbench.ntk.kernel._spare_memory", lambda *arguments: 0)
    recomputed = empirical_ntk(model, points, outputs=outputs).total  # type: ignore[arg-type]
    assert relative_error(recomputed, kept) < 1e-14


@pytest.mark.parametrize("make", [Twice, Convolution, HigherRank])
def test_large_parameters_are_differentiated_point_by_point_to_the_same_end(
    make: type[nn.Module], points: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make()
    together = empirical_ntk(model, points).total
    monkeypatch.setattr(autograd, "VECTORIZED_BYTES", 0)
    assert relative_error(empirical_ntk(model, points).total, together) < 1e-14


def test_parameters_that_nothing_depends_on_add_nothing(points: Tensor) -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))
    alone = empirical_ntk(model, points).total
    model.spare = nn.Parameter(torch.randn(5))  # type: ignore[assignment] # read by no forward
    model[1].unused = nn.Linear(3, 3)
    with_unused = empirical_ntk(model, points)
    assert torch.equal(with_unused.total, alone)
    assert with_unused.methods["spare"] == "jacobian"


def test_hash_collisions_are_summed_in_the_kernel(points: Tensor) -> None:
    torch.manual_seed(3)
    grid = CollidingGrid()
    rows, _ = grid.lookup(points, 9)
    assert any(len(set(row.tolist())) < 4 for row in rows), "no point has colliding corners"
    model = CoordinateMLP(grid, 3, width=16)
    names = ["encoding.tables.0", "encoding.tables.1"]
    ntk = empirical_ntk(model, points)
    assert relative_error(ntk.parts["encoding"], brute_force(model, points, "trace", names)) < 1e-12


def test_a_sparse_jacobian_that_forgets_collisions_is_refused(points: Tensor) -> None:
    model = CoordinateMLP(ForgetfulGrid(), 3, width=16)
    with pytest.raises(PluginError, match="disagree with autograd"):
        empirical_ntk(model, points)


def test_blocks_that_share_rows_are_refused(points: Tensor) -> None:
    model = CoordinateMLP(SharedRowsGrid(), 3, width=16)
    with pytest.raises(PluginError, match="share rows"):
        empirical_ntk(model, points)


@pytest.mark.parametrize("outputs", ["trace", "full"])
def test_products_of_tables_have_the_kernel_of_their_gradients(
    outputs: str, points: Tensor
) -> None:
    torch.manual_seed(3)
    model = CoordinateMLP(ProductGrid(), 3, width=16)
    names = ["encoding.tables.0", "encoding.tables.1"]
    ntk = empirical_ntk(model, points, outputs=outputs)  # type: ignore[arg-type] # parametrized
    assert {ntk.methods[name] for name in names} == {"sparse"}
    assert relative_error(ntk.parts["encoding"], brute_force(model, points, outputs, names)) < 1e-12


@pytest.mark.parametrize(
    ("encoding", "complaint"),
    [
        (WrongFactor, "disagree with autograd"),
        (RarelyWrongFactor, "disagree with autograd"),
        (NarrowFactor, r"factor of shape \(40, 2\) in torch.float64, or None, got \(40, 1\)"),
    ],
)
def test_factors_that_are_not_those_of_forward_are_refused(
    encoding: type[ProductGrid], complaint: str, points: Tensor
) -> None:
    with pytest.raises(PluginError, match=complaint):
        empirical_ntk(CoordinateMLP(encoding(), 3, width=16), points)


def test_a_unit_dead_on_most_points_does_not_hide_what_is_not_separable() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        model[0].bias[:2] = -0.97 * model[0].weight[:2, 0].abs()  # on for x > 0.97 only
        model[0].weight[:2] = model[0].weight[:2].abs()
    x = torch.linspace(0, 1, 200, dtype=torch.float64)[:, None]
    assert relative_error(empirical_ntk(model, x).total, brute_force(model, x, "trace")) < 1e-12


def test_the_kernel_of_a_dead_network_is_that_of_its_remaining_parameters() -> None:
    model = CoordinateMLP(LearnedFeatures(), 3, width=8)
    with torch.no_grad():
        model.layers[2].bias.fill_(-1e3)
    x = torch.rand(20, 2, dtype=torch.float64)
    ntk = empirical_ntk(model, x)
    assert relative_error(ntk.total, torch.full((20, 20), 0.01, dtype=torch.float64)) < 1e-12
    assert not ntk.parts["encoding"].any()


def test_the_callers_model_is_left_as_it_was(points: Tensor) -> None:
    model = CoordinateMLP(CollidingGrid(), 3, width=16).train()
    F.mse_loss(model(points.float()), torch.zeros(40, 3)).backward()
    before = copy.deepcopy(model.state_dict())
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    empirical_ntk(model, points)
    operator(model, points, cached=False) @ torch.ones(40).numpy()
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    for name, p in model.named_parameters():
        assert p.dtype == torch.float32
        assert p.requires_grad
        assert torch.equal(p, before[name])
        assert p.grad is not None
        assert torch.equal(p.grad, grads[name])


def test_coordinates_keep_their_float64_digits() -> None:
    model = CoordinateMLP(LearnedFeatures(), 1, width=8)
    x = torch.full((2, 2), 0.5, dtype=torch.float64)
    x[1] += 1e-12
    kernel = empirical_ntk(model, x).total
    assert kernel[0, 0] != kernel[1, 1]
