"""Whatever a plug-in raises, and wherever, the message names it and the program reports it."""

from __future__ import annotations

import logging
import math
import os
import re
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from encbench import (
    Activation,
    Encoding,
    Metric,
    Network,
    Optimizer,
    PluginError,
    RegularGrid,
    Schedule,
    Suite,
    plan,
)
from encbench.cli import app
from encbench.cli.planned import print_plan
from encbench.contracts.optimizer import factor_of
from encbench.contracts.task import IN_TASK, regular_grid_of
from encbench.network.mlp import CoordinateMLP
from encbench.results.records import Record
from encbench.runs.analysis import at_initialization, compare_dynamics
from encbench.runs.cell import _CellRun, run_cell
from encbench.runs.interface import RunOptions
from encbench.runs.limits import orderly_stop
from encbench.suite.file import override
from encbench.suite.plan import keyed_plan
from encbench.testing import EncodingConformance
from tests.sample_plugin import Scaled, Wave, module, registry_of


def leaves():
    raise SystemExit(0)


def interrupts():
    raise KeyboardInterrupt


class Constructor(Scaled):
    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim)
        self.raises()


class Forward(Scaled):
    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim)

    def forward(self, x):
        self.raises()


class Flat(Scaled):
    """An encoding without features."""

    def __init__(self, in_dim: int) -> None:
        Encoding.__init__(self, in_dim, 0)

    def forward(self, x):
        return x[:, :0]


class Loads(Wave):
    def __init__(self) -> None:
        super().__init__()
        self.raises()


class Hashes(Wave):
    def __init__(self) -> None:
        super().__init__()

    @classmethod
    def data_hash(cls, **parameters):
        cls.raises()


class Draws(Wave):
    def __init__(self) -> None:
        super().__init__()

    def epoch(self, generator):
        self.raises()


class Evaluates(Wave):
    def __init__(self) -> None:
        super().__init__()

    def evaluate(self, predict):
        self.raises()


ENCODINGS = {"constructor": Constructor, "forward": Forward}
TASKS = {"loads": Loads, "hashes": Hashes, "draws": Draws, "evaluates": Evaluates}
ALL = [*ENCODINGS, *TASKS]


def registry(raises=leaves, **more):
    """The registry of a plug-in each of whose classes raises in one of its methods."""
    methods = {"raises": staticmethod(raises), "__module__": __name__}
    theirs = {
        kind: {name: type(name, (cls,), methods) for name, cls in of}
        for kind, of in (("encodings", ENCODINGS.items()), ("tasks", TASKS.items()))
    }
    theirs["encodings"] |= {"fine": Scaled, "flat": Flat}
    theirs["tasks"] |= {"wave": Wave, **more}
    return registry_of(theirs=module(**theirs))


def suite(name, **changes):
    encoding, task = (name, "wave") if name in (*ENCODINGS, "flat") else ("fine", name)
    small = {"training": {"steps": 2, "batch_size": 16}, "network": {"width": 4, "depth": 1}}
    given = Suite(encodings=["x"], tasks=["x"], ntk={"points": 8})
    return override(given, small | changes, encodings=[encoding], tasks=[task])


def whose(name):
    return f"{'encoding' if name in ENCODINGS else 'task'} '{name}' of theirs 1.0 failed: "


@pytest.mark.parametrize("raises", [leaves, interrupts])
@pytest.mark.parametrize("name", ALL)
def test_a_record_names_the_plug_in_that_left(name, raises):
    them = registry(raises)
    (cell,) = plan(suite(name), them)
    with orderly_stop(lambda: None):
        record = run_cell(cell, them).record
    assert record.status == "failed"
    raised = "SystemExit: 0" if raises is leaves else "KeyboardInterrupt"
    assert record.error.message == whose(name) + raised


class OddError(BaseException):
    """Not an Exception, like some exceptions of trio, pytest and asyncio."""


def is_odd():
    raise OddError


class Starts(Activation):
    name = "starts"

    def __call__(self, z):
        return z

    def initialize(self, layer):
        is_odd()


class Builds(Network):
    def __init__(self, encoding, out_dim: int) -> None:
        is_odd()

    def from_features(self, z):
        return z


class Makes(Optimizer):
    default_lr = 1e-3

    def make(self, groups, *, fused):
        is_odd()


class Decays(Schedule):
    def decay(self, progress):
        is_odd()


class Constant(Schedule):
    """Has no warm-up, whose keyword it does not take."""

    def __init__(self, *, height: float = 1.0):
        self.height = np.float32(height)

    def decay(self, progress):
        return self.height


class Steps(Optimizer):
    default_lr = 1e-3

    def make(self, groups, *, fused):
        return type("Stepping", (torch.optim.SGD,), {"step": lambda self, closure=None: is_odd()})(
            groups
        )


PARTS = {
    "activation 'starts'": {"network": {"activation": "starts", "parameterization": "standard"}},
    "network 'builds' of theirs 1.0": {"network": {"kind": "builds"}},
    "optimizer 'makes' of theirs 1.0": {"training": {"optimizer": "makes"}},
    "optimizer 'steps' of theirs 1.0": {"training": {"optimizer": "steps"}},
    "schedule 'decays' of theirs 1.0": {"training": {"schedule": "decays"}},
    "encoding 'constructor' of theirs 1.0": {},
}


@pytest.mark.parametrize("whose", PARTS)
def test_a_plug_in_with_all_its_parts_in_one_module_is_told_which_failed(whose):
    constructor = type("Constructor", (Constructor,), {"raises": staticmethod(is_odd)})
    encodings = {"fine": Scaled, "constructor": constructor}
    wave = type("Here", (Wave,), {"__module__": __name__})
    them = registry_of(
        theirs=module(
            encodings=encodings,
            tasks={"wave": wave},
            activations={"starts": Starts},
            networks={"builds": Builds},
            optimizers={"makes": Makes, "steps": Steps},
            schedules={"decays": Decays},
        )
    )
    changes = {"training": {"steps": 2, "batch_size": 16, "optimizer": "adam"}}
    for section, given in PARTS[whose].items():
        changes[section] = {**changes.get(section, {}), **given}
    of = suite("constructor" if "encoding" in whose else "wave", **changes)
    (cell,) = plan(of, them)
    record = run_cell(cell, them).record
    assert record.error.message == f"{whose} failed: OddError"


def one_step(schedule, points=0):
    """The record of a cell with this class as its schedule."""
    them = registry_of(
        theirs=module(
            encodings={"fine": Scaled}, tasks={"wave": Wave}, schedules={"theirs": schedule}
        )
    )
    training = {"steps": 2, "batch_size": 16, "optimizer": "adam", "schedule": "theirs"}
    (cell,) = plan(suite("wave", training=training, ntk={"points": points}), them)
    return run_cell(cell, them).record


@pytest.mark.parametrize("points", [0, 8])
@pytest.mark.parametrize("factor", [-1.0, 2.0, math.nan, "1", True, np.True_, None], ids=repr)
def test_a_factor_of_the_rate_that_is_no_fraction_fails_the_cell(factor, points):
    # not the status "diverged", nor a ranking of gradient ascent
    cls = type("Theirs", (Schedule,), {"decay": lambda self, progress: factor})
    record = one_step(cls, points)
    assert record.status == "failed"
    assert re.match(
        f"schedule 'theirs' of theirs 1.0 failed: TypeError: Theirs returned {factor!r} as the "
        "factor of the learning rate in step [12] of 2; expected a number from 0 to 1",
        record.error.message,
    )


def test_a_factor_of_0_may_have_been_rounded_below_it():
    cls = type("Theirs", (Schedule,), {"decay": lambda self, progress: -1e-17})
    assert factor_of(cls(), 0, 2) == 0


def test_a_schedule_may_do_without_the_warm_up():
    assert one_step(Constant).status == "ok"


@pytest.mark.parametrize("raises", [leaves, interrupts])
@pytest.mark.parametrize("name", [*ENCODINGS, "loads", "hashes"])
def test_a_spectrum_without_training_names_it_too(name, raises):
    them = registry(raises)
    ((_, measure),) = at_initialization(suite(name), them, 8, "trace", "cpu")
    with pytest.raises(PluginError, match=whose(name)):
        measure()


@pytest.fixture
def listens_to_ctrl_c():
    """Enable Ctrl-C: a shell's background jobs, and tests in one, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def is_interrupted():
    os.kill(os.getpid(), signal.SIGINT)


def hides_it():
    try:
        is_interrupted()
    except BaseException:
        raise ValueError("something is wrong") from None


@pytest.mark.usefixtures("listens_to_ctrl_c")
@pytest.mark.parametrize("raises", [is_interrupted, hides_it])
def test_ctrl_c_in_the_middle_of_a_plug_in_is_the_user_s(raises):
    them = registry(raises)
    ((_, measure),) = at_initialization(suite("constructor"), them, 8, "trace", "cpu")
    with pytest.raises(KeyboardInterrupt):
        measure()


@pytest.mark.parametrize("raises", [leaves, interrupts])
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_check_that_a_plug_in_leaves_has_failed(name, raises):
    cls = type(name, (ENCODINGS[name],), {"raises": staticmethod(raises)})
    check = type("Check", (EncodingConformance,), {"encoding": cls})
    outcomes = {result.name: result for result in check.run()}
    assert len(outcomes) == len(check.checks())
    assert sum(result.outcome == "failed" for result in outcomes.values()) > 5


def test_a_verb_of_ours_that_a_plug_in_leaves_names_the_plug_in(monkeypatch, capsys):
    them = registry()
    them.host.plugins[-1].module = __name__

    def verb() -> None:
        leaves()

    mine = registry_of(encbench=module(commands={"mine": verb}))
    mine.host.plugins += [p for p in them.host.plugins if p.distribution == "theirs"]
    monkeypatch.setattr(app, "default_registry", lambda: mine)
    with pytest.raises(PluginError, match=r"plug-in theirs 1.0 \(main\) ended the program by Sys"):
        app.build(mine, ["mine"])(["mine"], standalone_mode=False)


@pytest.mark.parametrize("network", ["mlp", "none", "resmlp"])
def test_a_plan_names_the_encoding_that_has_no_features(network, tmp_path, capsys):
    them = registry()
    said = []
    cells = keyed_plan(suite("flat", network={"kind": network}), them)
    console = SimpleNamespace(print=lambda line, **style: said.append(str(line)))
    print_plan(cells, list(cells.values()), tmp_path, them, console)
    expected = "encoding 'flat' of theirs 1.0 failed: ValueError: its out_dim is 0, expected at"
    assert any(line.startswith(expected) for line in said)


@pytest.mark.parametrize("raises", [lambda: 1 / 0, is_odd])
def test_a_verb_of_a_plug_in_that_raises_names_it_and_v_shows_where(raises, monkeypatch, capsys):
    def verb() -> None:
        raises()

    mine = registry_of(theirs=module(commands={"mine": verb}))
    monkeypatch.setattr(app, "default_registry", lambda: mine)
    said = []
    for arguments in (["mine"], ["-v", "mine"]):
        monkeypatch.setattr("sys.argv", ["encbench", *arguments])
        logger = logging.getLogger("encbench")
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "level", logger.level)
        with pytest.raises(SystemExit, match="1"):
            app.start()
        said.append(capsys.readouterr().err)
    brief, long = (" ".join(text.split()) for text in said)
    assert brief.startswith("error: command 'mine' of theirs 1.0 failed: ")
    assert "Traceback" not in brief
    assert "Traceback" in long
    assert long.endswith(brief)


X, Y = torch.rand(20, 1, dtype=torch.float64), torch.rand(20, 1)
WRONG = {
    "nothing": (None, "epoch returned None"),
    "points": (X, r"epoch returned a tensor \(20, 1\) of torch.float64"),
    "lists": ((X.tolist(), Y.tolist()), "epoch returned a list and a list"),
    "columns": ((X, torch.rand(20, 2)), r"and a tensor \(20, 2\) of torch.float32"),
    "rows": ((X, Y[:3]), r"\(20, 1\) of torch.float64 and a tensor \(3, 1\)"),
    "none": ((X[:0], Y[:0]), r"\(0, 1\) of torch.float64"),
    "complex": ((X, Y.cfloat()), "torch.complex64"),
    "sparse": ((X, Y.to_sparse()), r"a sparse_coo tensor \(20, 1\)"),
    "meta": ((X.to("meta"), Y), r"a meta tensor \(20, 1\)"),
}


@pytest.mark.parametrize(("drawn", "words"), WRONG.values(), ids=WRONG)
def test_an_epoch_that_is_not_as_agreed_names_the_task(drawn, words):
    cls = type("Wrong", (Wave,), {"epoch": lambda self, generator: drawn})
    them = registry(wrong=cls)
    ((_, measure),) = at_initialization(suite("wrong"), them, 8, "trace", "cpu")
    expected = f"task 'wrong' of theirs 1.0 failed: TypeError: .*{words}.*; expected a pair"
    with pytest.raises(PluginError, match=expected):
        measure()
    without_kernel = plan(suite("wrong", ntk={"points": 0}, training={"steps": 2, "lr": 1.0}), them)
    record = run_cell(without_kernel[0], them).record
    assert "task 'wrong' of theirs 1.0 failed: TypeError: epoch returned" in record.error.message


BEYOND = {
    "x is NaN": ("mse", X * torch.nan, Y, "x with NaN; expected"),
    "x is outside": ("mse", 3 * X + 1, Y, r"x from .*; expected \[0, 1\]"),
    "y is NaN": ("mse", X, Y * torch.nan, "y with NaN; expected finite"),
    "y is infinite": ("l1", X, Y / 0, "y from .* to inf; expected finite"),
    "y is beyond float32": ("mse", X, (Y + 1).double() * 1e39, "y from inf to inf; expected"),
    "y is no probability": ("bce", X, 5 * Y, r"y from .*; expected \[0, 1\]"),
    "a point is missing": ("mse", X[1:], Y[1:], "19 points; expected points_per_epoch, 20"),
}


@pytest.mark.parametrize("length", [{"epochs": 1}, {"steps": 3}], ids=str)
@pytest.mark.parametrize(("loss", "x", "y", "words"), BEYOND.values(), ids=BEYOND)
def test_points_and_values_that_no_loss_is_defined_at_are_the_task_s_fault(
    loss, x, y, words, length
):
    # not the status "diverged", which would blame the encoding
    parts = {"epoch": lambda self, generator: (x, y), "loss": loss, "points_per_epoch": 20}
    cls = type("Wrong", (Wave,), {**parts, "ntk_points": lambda self, count, generator: X[:count]})
    them = registry(wrong=cls)
    of = suite("wrong", ntk={"points": 0}, training={**length, "lr": 0.1, "batch_size": 8})
    (cell,) = plan(of, them)
    record = run_cell(cell, them).record
    assert record.status == "failed"
    assert re.search(
        f"task 'wrong' of theirs 1.0 failed: .* returned {words}", record.error.message
    )


def test_a_later_epoch_has_as_many_points_as_the_first():
    class Shrinks(Wave):
        points_per_epoch = 20
        left = 20

        def epoch(self, generator):
            drawn = X[: self.left], Y[: self.left]
            self.left = 19
            return drawn

        def ntk_points(self, count, generator):
            return X[:count]

    them = registry(wrong=Shrinks)
    training = {"epochs": 2, "lr": 0.1, "batch_size": 8}
    (cell,) = plan(suite("wrong", ntk={"points": 0}, training=training), them)
    record = run_cell(cell, them).record
    assert "returned 19 points; expected points_per_epoch, 20" in record.error.message


def test_the_truth_of_a_grid_may_be_any_array_of_floats():
    truth = np.array(Y[:, 0].tolist())[:, None]
    fixed = truth.copy()
    fixed.setflags(write=False)
    for values in (truth[::-1], fixed, truth.astype(">f4"), truth.astype(np.longdouble)):
        task = Wave(points=20)
        task.regular_grid = lambda values=values: RegularGrid(X, values)
        assert regular_grid_of(task).truth is values
    truth[3] = np.nan
    task.regular_grid = lambda: RegularGrid(X, truth)
    with pytest.raises(TypeError, match="regular_grid returned truth with NaN"):
        regular_grid_of(task)


UNLIKE = {
    "in_dim": ({"in_dim": "1"}, "in_dim is '1'; expected a whole number"),
    "out_dim": ({"out_dim": True}, "out_dim is True"),
    "points_per_epoch": ({"points_per_epoch": math.nan}, "points_per_epoch is nan"),
    "curve": ({"curve": "a\nb"}, "curve is 'a\\\\nb'; expected the name of a metric"),
    "curve_points": ({"curve_points": 1.5}, "curve_points is 1.5"),
    "evaluate": ({"evaluate": lambda self, predict: {}}, "evaluate returned a dict"),
    "predict": (
        {"progress_metric": lambda self, predict: predict(X[:, 0])},
        r"predict was given a tensor \(20,\) of torch.float64",
    ),
    "regular_grid": ({"regular_grid": lambda self: (X, Y)}, "regular_grid returned a tuple"),
    "values_at": ({"values_at": lambda self, x: x.numpy()}, "values_at returned a ndarray"),
    "data_hash": (
        {"data_hash": classmethod(lambda cls, **parameters: "")},
        "data_hash returned ''",
    ),
}


@pytest.mark.parametrize(("parts", "words"), UNLIKE.values(), ids=UNLIKE)
def test_what_a_task_says_and_returns_otherwise_than_agreed_names_the_task(parts, words):
    them = registry(wrong=type("Wrong", (Wave,), parts))
    (cell,) = plan(suite("wrong", ntk={"points": 4}, training={"steps": 2, "lr": 0.1}), them)
    record = run_cell(cell, them).record
    assert record.status == "failed"
    assert re.search(f"task 'wrong' of theirs 1.0 failed: TypeError: {words}", record.error.message)


def own(self, model, x, y):
    """A loss for values with one column more than the network's output."""
    return ((model(x) - y[:, :1]) ** 2).mean()


RIGHT = {
    "labels": ((X, Y.round().long()), "mse"),
    "truth": ((X, Y > 0.5), "bce"),
    "corners": ((X.round().long(), Y), "mse"),
    "learned": ((X.clone().requires_grad_(), Y), "mse"),
    "short": ((X.bfloat16(), Y), "mse"),
    "slopes": ((X, torch.rand(20, 3)), own),
}


@pytest.mark.parametrize("points", [0, 8])
@pytest.mark.parametrize(("drawn", "loss"), RIGHT.values(), ids=RIGHT)
def test_an_epoch_may_hold_labels_and_what_else_a_loss_takes(drawn, loss, points):
    parts = {"epoch": lambda self, generator: drawn, "loss": loss, "points_per_epoch": 20}
    cls = type("Right", (Wave,), parts)
    small = {"steps": 2, "batch_size": 16, "optimizer": "adam"}
    of = suite("right", training=small, ntk={"points": points})
    (cell,) = plan(of, registry(right=cls))
    record = run_cell(cell, registry(right=cls)).record
    assert (record.status, record.error) == ("ok", None)


@pytest.mark.parametrize("points", [None, X[:, 0], X], ids=["nothing", "a line", "too many"])
def test_points_of_the_kernel_that_are_not_as_agreed_name_the_task(points):
    cls = type("Wrong", (Wave,), {"ntk_points": lambda self, count, generator: points})
    ((_, measure),) = at_initialization(suite("wrong"), registry(wrong=cls), 8, "trace", "cpu")
    with pytest.raises(PluginError, match=r"task 'wrong' of theirs .* ntk_points returned"):
        measure()


def test_a_record_that_cannot_be_written_is_one_that_can_be_read():
    them = registry_of(theirs=module(encodings={"fine": Scaled}, tasks={"wave": Wave}))
    of = override(suite("wave", training={"steps": 2, "lr": 0.1}), {}, encodings=["fine"])
    (cell,) = plan(of, them)
    run = _CellRun(cell, them, RunOptions(), lambda event: None)
    run.record.curve_points = 1.5
    with pytest.warns(UserWarning, match="serializer warnings"):
        record = run.result().record
    assert (record.status, record.phase) == ("failed", "record")
    assert Record.model_validate_json(record.model_dump_json()).error is not None


def test_a_lack_of_memory_is_not_the_plug_in_s_fault_wherever_it_comes():
    class Narrow(Scaled):
        @classmethod
        def check_dimension(cls, in_dim, **parameters):
            raise MemoryError

    class Large(Activation):
        name = "large"

        def __init__(self) -> None:
            raise MemoryError

        def __call__(self, z):
            return z

    them = registry_of(
        theirs=module(
            encodings={"narrow": Narrow, "fine": Scaled},
            tasks={"wave": Wave},
            activations={"large": Large},
        )
    )
    with pytest.raises(MemoryError):
        plan(override(suite("fine"), {}, encodings=["narrow"], tasks=["wave"]), them)
    with pytest.raises(MemoryError):
        plan(override(suite("wave"), {"network": {"activation": "large"}}), them)


@pytest.mark.parametrize("computed", [0.5, None, "good", (1.0, {}, 2)], ids=str)
def test_a_metric_that_returns_no_pair_says_what_it_returned(computed):
    class Alone(Metric):
        kind = "image"
        title = "alone"

        def compute(self, prediction, truth):
            return computed

    with pytest.raises(TypeError, match=f"a {type(computed).__name__}, expected .value, details"):
        Alone()(None, None)


def test_a_metric_whose_attributes_do_not_fit_is_told_so_in_plain_words():
    class Upward(Metric):
        kind = "image"
        title = "upward"
        direction = "up"

        def compute(self, prediction, truth):
            return 1.0, {}

    them = registry_of(
        theirs=module(encodings={"fine": Scaled}, tasks={"wave": Wave}, metrics={"upward": Upward})
    )
    (cell,) = plan(suite("wave"), them)
    assert run_cell(cell, them).record.metrics["upward"].details["reason"] == (
        "metric 'upward' of theirs 1.0 failed: direction = 'up': expected 'higher' or 'lower'"
    )


@pytest.mark.parametrize(
    "held", [X, (X, Y[:3]), (X.numpy(), Y.numpy()), (X, Y * math.nan), (X[:0], Y[:0])]
)
def test_held_out_points_that_are_not_as_agreed_are_the_task_s_fault(held):
    task = type("Wrong", (Wave,), {"held_out": lambda self: held})()
    with pytest.raises(TypeError, match="held_out returned") as caught:
        compare_dynamics(CoordinateMLP(Scaled(1), 1), task, [0.1], 1, torch.Generator())
    assert caught.value.__notes__ == [IN_TASK]
