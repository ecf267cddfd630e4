"""Models and points without a kernel are refused early, in one line that says what to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor, nn

from encbench import CoordinateMLP, NtkError, ParameterError
from encbench.ntk import cross_ntk, empirical_ntk, operator, spectrum
from encbench.ntk.kernel import _spare_memory
from encbench.ntk.structure import find_structure
from tests.ntk.grids import CollidingGrid
from tests.ntk.test_kernel import Plain


def model() -> CoordinateMLP:
    return CoordinateMLP(Plain(), 3, width=8)


def leave_free(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that this many bytes of memory are free."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=count))


@pytest.mark.parametrize(
    ("x", "complaint"),
    [
        (torch.empty(0, 2), "N = 0"),
        (torch.rand(4, 3), "takes 2 coordinates"),
        (torch.rand(4), r"\(N, d\)"),
        (torch.ones(4, 2, dtype=torch.int64), "floating point"),
        ([[0.1, 0.2]], "got list"),
        (torch.tensor([[0.5, torch.nan]]), "1 of 1 points"),
        (torch.tensor([[0.5, torch.inf]]), "finite"),
        (torch.tensor([[0.5, 1.5]]), "scale x"),
        (torch.tensor([[-0.5, 0.5]]), r"from -0.5 to 0.5"),
    ],
)
def test_what_is_not_a_set_of_points_is_refused(x: Any, complaint: str) -> None:
    for ask in (empirical_ntk, operator):
        with pytest.raises(NtkError, match=complaint):
            ask(model(), x)
    with pytest.raises(NtkError, match=complaint):
        cross_ntk(model(), torch.rand(3, 2), x)


def test_one_point_has_a_kernel_of_one_number() -> None:
    ntk = empirical_ntk(model(), torch.rand(1, 2))
    assert ntk.total.shape == (1, 1)
    assert spectrum(ntk.total).maximum == float(ntk.total)
    assert empirical_ntk(model(), torch.rand(1, 2), outputs="full").total.shape == (3, 3)


def test_misspelt_outputs_get_the_nearest() -> None:
    with pytest.raises(ParameterError, match="did you mean 'trace'"):
        empirical_ntk(model(), torch.rand(3, 2), outputs="traces")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="'mlp', 'encoding'"):
        empirical_ntk(model(), torch.rand(3, 2), parts=["net"])  # type: ignore[list-item]


def test_other_dtypes_and_absent_devices_are_refused() -> None:
    with pytest.raises(ParameterError, match="float16"):
        empirical_ntk(model(), torch.rand(3, 2), dtype=torch.float16)
    absent = "cuda:99" if torch.cuda.is_available() else "cuda"
    with pytest.raises(ParameterError, match="cannot be used here"):
        empirical_ntk(model(), torch.rand(3, 2), device=absent)


def test_batch_statistics_are_refused() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    with pytest.raises(NtkError, match="BatchNorm1d at '1' mixes the points"):
        empirical_ntk(net, torch.rand(3, 2))


def test_a_batch_mixed_by_hand_is_noticed() -> None:
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x - x.mean(0))

    with pytest.raises(NtkError, match="other points of the batch"):
        empirical_ntk(Centred(), torch.rand(9, 2))


def test_dropout_is_off_as_in_evaluation() -> None:
    torch.manual_seed(0)
    inner = nn.Linear(2, 8)
    with_dropout = nn.Sequential(inner, nn.Dropout(0.5), nn.Linear(8, 1)).train()
    without = nn.Sequential(inner, nn.Identity(), with_dropout[2])
    x = torch.rand(6, 2)
    assert torch.equal(empirical_ntk(with_dropout, x).total, empirical_ntk(without, x).total)
    assert with_dropout[1].training


def test_outputs_of_another_shape_are_refused() -> None:
    net = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    with pytest.raises(NtkError, match=r"\(N, d\) to \(N, O\)"):
        empirical_ntk(net, torch.rand(3, 2))


def test_a_frozen_model_is_refused() -> None:
    with pytest.raises(NtkError, match="no trainable parameter"):
        empirical_ntk(model().requires_grad_(False), torch.rand(3, 2))


def test_diverged_weights_are_refused() -> None:
    net = model()
    with torch.no_grad():
        net.layers[0].weight[0, 0] = torch.nan
    with pytest.raises(NtkError, match="diverged"):
        empirical_ntk(net, torch.rand(3, 2))


@pytest.mark.parametrize("outputs", ["trace", "full"])
def test_the_error_for_a_kernel_that_does_not_fit_names_one_that_would(
    outputs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = CoordinateMLP(CollidingGrid(), 3, width=8)
    x = torch.rand(3000, 2)
    leave_free(1 << 22, monkeypatch)
    with pytest.raises(NtkError, match=r"take at most (\d+) points") as caught:
        empirical_ntk(net, x, outputs=outputs)
    fits = int(str(caught.value).split("at most ")[1].split()[0])
    assert empirical_ntk(net, x[:fits], outputs=outputs).points == fits
    with pytest.raises(NtkError):
        empirical_ntk(net, x[: fits + 1], outputs=outputs)


def test_stored_jacobians_get_only_the_memory_that_the_kernel_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave_free(1 << 20, monkeypatch)
    net, x = model(), torch.rand(20, 2)
    structure = find_structure(net, x, {name for name, _ in net.named_parameters()})
    linear = 4 * structure.numbers_per_point
    for points, outputs, squares in ((10, 1, 1), (20, 1, 2), (20, 3, 1)):
        spare = _spare_memory(structure, x[:points], "full" if outputs == 3 else "trace", squares)
        assert spare == (1 << 20) - linear * points - 4 * squares * (outputs * points) ** 2


def test_factors_that_do_not_fit_are_refused_or_recomputed(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_free(1000, monkeypatch)
    x = torch.rand(50, 2)
    assert not operator(model(), x).cached
    with pytest.raises(NtkError, match="cached=None"):
        operator(model(), x, cached=True)


def test_a_failing_model_leaves_no_hooks_behind() -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            if self.layer(x).requires_grad:
                raise ZeroDivisionError
            return self.layer(x)

    net = Failing()
    with pytest.raises(ZeroDivisionError):
        empirical_ntk(net, torch.rand(3, 2))
    assert not net.layer._forward_hooks


def test_a_model_that_calls_other_layers_from_call_to_call_is_refused() -> None:
    class Moody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.calls = nn.Linear(2, 2), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return self.layer(x) if self.calls <= 11 else x

    with pytest.raises(NtkError, match="calls other layers"):
        empirical_ntk(Moody(), torch.rand(3, 2))
