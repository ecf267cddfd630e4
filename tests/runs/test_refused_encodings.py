"""Encodings with which training or kernels would be wrong fail in set-up; the record says why."""

from itertools import count

import pytest
import torch
from torch import nn

from encbench import Encoding, PluginError, plan
from encbench.runs.analysis import at_initialization, compare_dynamics
from encbench.runs.cell import run_cell
from encbench.runs.parts import build_model, build_task, cell_streams
from encbench.suite.config import NetworkConfig, NtkConfig, TrainingConfig
from encbench.suite.file import Suite, SuiteEntry
from tests.sample_plugin import Wave, module, registry_of


class Weighted(Encoding):
    """w x with a trained w, and a parameter that is not used."""

    equation, source = "γ(x) = w x", "the tests"

    def __init__(self, in_dim):
        super().__init__(in_dim, in_dim)
        self.w, self.spare = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.w.to(x.dtype) * x


class Detached(Weighted):
    """Rounds without gradient."""

    @torch.no_grad()
    def forward(self, x):
        return (4 * super().forward(x)).round()


class Rounded(Weighted):
    """Rounds, whose gradient is zero."""

    def forward(self, x):
        return (4 * super().forward(x)).round()


class Frozen(Detached):
    """Rounds, with parameters that are not trained."""

    def __init__(self, in_dim):
        super().__init__(in_dim)
        self.requires_grad_(False)


class Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        raise RuntimeError("backward is broken")


class BrokenBackward(Weighted):
    """Has a backward pass that raises."""

    def forward(self, x):
        return Broken.apply(super().forward(x))


class BadStart(Weighted):
    """A weight that is NaN."""

    def __init__(self, in_dim):
        super().__init__(in_dim)
        self.w.data.fill_(torch.nan)


class Shrinking(Weighted):
    """Has a gradient only for weights other than the first ones."""

    def forward(self, x):
        return (self.w.to(x.dtype) - 1) ** 2 * x


class Single(Weighted):
    """Works in float32 alone."""

    def forward(self, x):
        return torch.addmm(x, x, torch.eye(x.shape[1]), alpha=1.0) * self.w


class NotANumber(Weighted):
    """NaN in half of the domain."""

    def forward(self, x):
        return super().forward(x).where(x < 0.5, torch.nan)


class Counting(Weighted):
    """Shifts by the number of calls."""

    def __init__(self, in_dim):
        super().__init__(in_dim)
        self.calls = count()

    def forward(self, x):
        return super().forward(x) + next(self.calls)


class Centred(Weighted):
    """Subtracts the batch's mean."""

    def forward(self, x):
        return super().forward(x) - x.mean(0)


class InPlace(Weighted):
    """Changes its points."""

    def forward(self, x):
        return super().forward(x.mul_(2))


class Wide(Weighted):
    """Twice as many features as declared."""

    def forward(self, x):
        return super().forward(torch.cat([x, x], 1))


class Double(Weighted):
    """Features in float64, whatever its input."""

    def forward(self, x):
        return super().forward(x).double()


class Late(Encoding):
    """Creates a layer in forward."""

    equation, source = "γ(x) = W x", "the tests"

    def __init__(self, in_dim):
        super().__init__(in_dim, 3)

    def forward(self, x):
        if not hasattr(self, "layer"):
            self.layer = nn.Linear(self.in_dim, 3).to(x)
        return self.layer(x)


class Lazy(Encoding):
    """A layer whose shape torch determines in forward."""

    equation, source = "γ(x) = W x", "the tests"

    def __init__(self, in_dim):
        super().__init__(in_dim, 3)
        self.layer = nn.LazyLinear(3)

    def forward(self, x):
        return self.layer(x)


class Replaced(Weighted):
    """Replaces its parameter by one of another shape."""

    def forward(self, x):
        self.w = nn.Parameter(self.w.detach().mean().expand(2).clone())
        return self.w.mean().to(x.dtype) * x


class Renamed(Encoding):
    """Gives a parameter a second name in forward."""

    equation, source = "γ(x) = W x", "the tests"

    def __init__(self, in_dim):
        super().__init__(in_dim, 3)
        self.layer = nn.Linear(in_dim, 3)

    def forward(self, x):
        self.active = self.layer.weight  # listed before its first name
        return self.layer(x)


class LateInTraining(Weighted):
    """Creates a parameter in a later call, if gradients are computed."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 1 and torch.is_grad_enabled():
            self.late = nn.Parameter(torch.ones(1))
        return super().forward(x)


class Array(Weighted):
    """A NumPy array."""

    def forward(self, x):
        return x.numpy()


def planned(cls, loss="mse"):
    task = type("Named", (Wave,), {"loss": loss, "__doc__": "A wave."})
    suite = Suite(
        name="refused",
        encodings=[SuiteEntry(name="theirs")],
        tasks=[SuiteEntry(name="wave")],
        seeds=[0],
        network=NetworkConfig(width=4, depth=1),
        training=TrainingConfig(batch_size=8, steps=2, lr=0.01, optimizer="adam"),
        ntk=NtkConfig(points=0),
    )
    registry = registry_of(dist=module(encodings={"theirs": cls}, tasks={"wave": task}))
    return suite, registry


def record_of(cls, loss="mse"):
    suite, registry = planned(cls, loss)
    (cell,) = plan(suite, registry)
    return run_cell(cell, registry).record


@pytest.mark.parametrize("loss", ["mse", "l1"])
@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Detached, "encoding Detached has 3 trained parameters, on which its features depend with"),
        (Rounded, "requires_grad=False on parameters that are not to be trained"),
        (BrokenBackward, "encoding 'theirs' of dist 1.0 failed: RuntimeError: backward is broken"),
        (BadStart, "the parameter encoding.w of CoordinateMLP is NaN or infinite: it was so from"),
        (NotANumber, "the encoding NotANumber gives NaN or infinity at x = ["),
        (Counting, "from call to call in the encoding Counting: two calls with the same points"),
        (Centred, "with the other points of the batch in the encoding Centred"),
        (InPlace, "the encoding InPlace changes its input in place; let forward compute new"),
        (Wide, "(8, 2) for 8 points; expected a torch tensor (N, 1), one row per point, or pass"),
        (Double, "returned torch.float64 on cpu for points of torch.float32 on cpu; let its forw"),
        (Late, "encoding Late creates parameters in forward, layer.bias, layer.weight, aft"),
        (Lazy, "the encoding Lazy creates parameters in forward, layer.bias, layer.weight, after"),
        (Replaced, "the encoding Replaced creates parameters in forward, w, after they were"),
        (Array, "returned a ndarray for 8 points; expected a torch tensor (N, 1), one row per"),
    ],
)
def test_what_cannot_be_trained_or_compared_fails_in_set_up(cls, message, loss):
    record = record_of(cls, loss)
    assert (record.status, record.phase) == ("failed", "setup")
    assert message in record.error.message
    if cls is not BadStart:  # its parameter is named
        assert record.error.message.startswith("encoding 'theirs' of dist 1.0 failed: ")


def test_a_parameter_may_get_a_second_name_in_forward():
    assert record_of(Renamed, "l1").status == "ok"


def test_a_parameter_that_training_creates_fails_the_cell():
    record = record_of(LateInTraining)
    assert (record.status, record.phase) == ("failed", "training")
    assert "LateInTraining creates parameters in forward, late, after" in record.error.message


def test_parameters_without_gradient_are_refused_without_a_run_too():
    suite, registry = planned(Detached)
    ((cell, measure),) = at_initialization(suite, registry, 4, "trace", "cpu")
    with pytest.raises(PluginError, match="encoding Detached has 3 trained parameters"):
        measure()
    task = build_task(cell, registry)
    model = build_model(cell, task, registry, cell_streams(cell))
    with pytest.raises(PluginError, match="encoding Detached has 3 trained parameters"):
        compare_dynamics(model, task, [0.1], 2, torch.Generator())


class Wrapped(Weighted):
    """Has a layer in a wrapper, whose copy has other names."""

    def __init__(self, in_dim):
        super().__init__(in_dim)
        self.layer = nn.DataParallel(nn.Linear(in_dim, in_dim))

    def forward(self, x):
        return super().forward(self.layer(x))


@pytest.mark.parametrize("cls", [Weighted, Frozen, Shrinking, Wrapped])
def test_parameters_may_be_unused_or_frozen_or_without_gradient_at_the_start(cls):
    assert record_of(cls).status == "ok"


def test_an_encoding_may_need_float32_where_no_kernel_is_computed():
    assert record_of(Single, "l1").status == "ok"


def test_checks_in_set_up_change_nothing_that_training_draws(monkeypatch):
    class Dropping(Weighted):
        def forward(self, x):
            return nn.functional.dropout(super().forward(x), 0.5, self.training)

    checked = record_of(Dropping)
    monkeypatch.setattr("encbench.runs.cell.check_parameters", lambda *_: None)
    assert checked.status == "ok", checked.error
    assert record_of(Dropping).metrics == checked.metrics


class Large(Weighted):
    """Memory suffices for 4 units."""

    def __init__(self, in_dim: int, *, units: int = 4, unused: int = 1) -> None:
        super().__init__(in_dim)
        self.table = nn.Parameter(torch.empty(units, units))
        if (units > 4 or unused == 3) and not self.table.is_meta:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] can't allocate memory")


def test_without_enough_memory_the_setting_that_needs_most_is_named():
    registry = registry_of(ours=module(encodings={"large": Large}, tasks={"wave": Wave}))
    suite = Suite(encodings=[f"large:units={1 << 20},unused=2"], tasks=["wave"])
    (cell,) = plan(suite, registry)
    record = run_cell(cell, registry).record
    assert (record.status, record.error.message) == (
        "out_of_memory",
        f"the model needs 4,096.0 GiB, most of it by units={1 << 20}; give less",
    )
    deep = Suite(
        encodings=["large:unused=3"], tasks=["wave"], network={"width": 256, "depth": 1000}
    )
    (cell,) = plan(deep, registry)
    assert "most of it by network.depth=1000" in run_cell(cell, registry).record.error.message


def test_no_setting_is_named_whose_default_saves_little_memory():
    class Wide(Large):
        def __init__(self, in_dim: int, *, units: int = 1 << 20, unused: int = 1) -> None:
            super().__init__(in_dim, units=units, unused=unused)

    registry = registry_of(ours=module(encodings={"wide": Wide}, tasks={"wave": Wave}))
    (cell,) = plan(Suite(encodings=["wide:unused=2"], tasks=["wave"]), registry)
    message = run_cell(cell, registry).record.error.message
    assert message == "the model needs 4,096.0 GiB, most of it by its defaults; give less"
