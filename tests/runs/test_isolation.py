"""Whatever a plug-in does costs at most its own cell or its own value."""

from __future__ import annotations

import gc
import io
import json
import locale
import logging
import os
import random
import signal
import sys
import time
import warnings
import weakref

import matplotlib
import numpy as np
import pytest
import torch

from encbench import Metric, Store, plan, run_suite
from encbench.plugins.host import default_host
from encbench.plugins.isolation import process_state, process_state_kept
from encbench.runs.cell import run_cell
from encbench.runs.limits import Limits, Supervision
from encbench.suite.file import SuiteEntry
from tests.sample_plugin import Scaled, Wave, module, registry_of


@pytest.fixture
def suite(quick_suite):
    return quick_suite


def registry_with(encodings=None, metrics=None):
    """Registry of the tests' plug-in, further encodings and metrics, and the built-in metrics."""
    built_in = next(p for p in default_host().plugins if p.offers.get("metric"))
    ours = module(
        encodings={"scaled": Scaled, **(encodings or {})},
        tasks={"wave": Wave},
        metrics=metrics or {},
    )
    return registry_of(ours=ours, encbench=module(metrics=built_in.offers["metric"]))


def cells_of(suite, folder, registry, *encodings):
    """The records of these encodings, run one after another in this process, by name."""
    chosen = [SuiteEntry.from_text(name) for name in encodings]
    suite = suite.model_copy(update={"encodings": chosen})
    run = run_suite(suite, folder, registry=registry, jobs=1, device="cpu", report=False)
    return {stored.record.cell.encoding.name: stored.record for stored in run.records}


def careless(change):
    """An encoding that changes process-wide state when it is built."""

    class Careless(Scaled):
        def __init__(self, in_dim: int) -> None:
            super().__init__(in_dim)
            change()

    return Careless


CHANGES = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "grad": lambda: torch.set_grad_enabled(False),
    "device": lambda: torch.set_default_device("meta"),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "folder": lambda: os.chdir("/"),
    "random": lambda: (random.seed(7), np.random.seed(7), torch.manual_seed(7)),  # noqa: NPY002
}


class Draws(Scaled):
    """Weights drawn from the global random generators."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, scale=1 + random.random() + np.random.random())  # noqa: NPY002


OTHERS = {
    "standard output": lambda: setattr(sys, "stdout", None),
    "standard error": lambda: setattr(sys, "stderr", io.StringIO()),
    "the recursion limit": lambda: sys.setrecursionlimit(5000),
    "garbage collection": gc.disable,
    "the locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "environment variables": lambda: os.environ.update(ENCBENCH_TEST="1"),
    "filters of warnings": lambda: warnings.simplefilter("ignore"),
    "the level of logging": lambda: logging.disable(logging.CRITICAL),
    "handlers of signals": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "NumPy's handling of errors": lambda: np.seterr(all="raise"),
    "matplotlib's rcParams": lambda: matplotlib.rcParams.update({"figure.dpi": 7}),
    "torch's num_threads": lambda: torch.set_num_threads(3),
    "torch's float32_matmul_precision": lambda: torch.set_float32_matmul_precision("medium"),
    "torch's deterministic mode": lambda: torch.use_deterministic_algorithms(True),
    "torch's anomaly mode": lambda: torch.autograd.set_detect_anomaly(True),
}


@pytest.mark.parametrize("name", OTHERS)
def test_process_wide_state_is_restored(name):
    before = process_state()
    with process_state_kept(known=True):
        OTHERS[name]()
        changed = process_state()
    assert changed.pop(name) != before[name]
    assert process_state() == before


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("later", ["scaled", "draws"])
def test_changes_of_a_cell_do_not_reach_the_next(suite, tmp_path, monkeypatch, change, later):
    monkeypatch.chdir(tmp_path)
    registry = registry_with({"careless": careless(CHANGES[change]), "draws": Draws})
    alone = cells_of(suite, "alone", registry, later)[later]
    after = cells_of(suite, "after", registry, "careless", later)[later]
    assert after.metrics["psnr"] == alone.metrics["psnr"]
    assert after.learning_rate == alone.learning_rate
    # records are in the requested folder
    assert len(Store(tmp_path / "after").keys()) == 2
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.empty(0).device == torch.device("cpu")


class Given(Metric):
    """A metric that returns or raises the ``found`` of its subclass."""

    kind = "image"
    range = (0.0, 1.0)
    title = "Given"
    found: object = (0.5, {})

    def compute(self, prediction, truth):
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found


def given(found, **more):
    return type("GivenHere", (Given,), {"found": found, **more})


ODD = {
    "numpy": ((np.float32(0.25), {"scales": np.int64(3), "all": np.arange(2)}), 0.25),
    "tensor": ((torch.tensor(0.25), {"n": torch.tensor([1, 2])}), 0.25),
    "infinite": ((0.25, {"limit": float("inf"), "none": float("nan")}), 0.25),
    "surrogate": ((0.25, {"name": "caf\udce9", "\udce9": 1}), 0.25),
    "rounded": ((1 + 1e-7, {}), 1 + 1e-7),
    "object": ((0.25, {"what": object()}), 0.25),
}


@pytest.mark.parametrize("name", ODD)
def test_what_a_metric_returns_is_recorded_as_json_has_it(suite, tmp_path, name):
    found, value = ODD[name]
    registry = registry_with(metrics={"odd": given(found)})
    record = cells_of(suite, tmp_path, registry, "scaled")["scaled"]
    assert (record.status, record.metrics["odd"].value) == ("ok", value)
    assert "reason" not in record.metrics["odd"].details
    json.dumps(record.metrics["odd"].details, allow_nan=False).encode()


LOST = {
    "not importable": ("no_such_module:Metric", "cannot be loaded"),
    "raises": (given(ValueError("no luck")), "no luck"),
    "exits": (given(SystemExit(3)), "SystemExit"),
    "ends generators": (given(GeneratorExit()), "GeneratorExit"),
    "is interrupted": (given(KeyboardInterrupt()), "KeyboardInterrupt"),
    "raises anything": (given(type("Odd", (BaseException,), {})("odd")), "odd"),
    "runs out of memory": (given(MemoryError()), "MemoryError"),
    "says too much": (given((0.5, {"all": np.arange(10**5)})), "characters to record"),
    "no number": (given(("much", {})), "returned a str as value, expected one number"),
    "out of range": (given((7.0, {})), "returned 7, expected a value in its range [0, 1]"),
    "title": (given((0.5, {}), title="\udce9"), "surrogate"),
    "long": (given(ValueError("x" * 10**6)), "characters"),
}


@pytest.mark.parametrize("name", LOST)
def test_a_metric_that_fails_costs_its_own_value(suite, tmp_path, name):
    metric, words = LOST[name]
    record = cells_of(suite, tmp_path, registry_with(metrics={"odd": metric}), "scaled")["scaled"]
    assert record.status == "ok"
    assert record.metrics["psnr"].value > 0
    assert record.metrics["odd"].value is None
    assert words in record.metrics["odd"].details["reason"]
    assert len(record.metrics["odd"].details["reason"]) < 2000


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


RAISED = [
    ValueError("lone \udce9"),
    ValueError("x" * 10**7),
    Unspeakable(),
    KeyboardInterrupt(),
    GeneratorExit(),
    type("Odd", (BaseException,), {})("odd"),
]


@pytest.mark.parametrize("error", RAISED, ids=range(len(RAISED)))
def test_whatever_an_encoding_raises_is_its_own_record(suite, tmp_path, error):
    def fails():
        raise error

    before = signal.getsignal(signal.SIGINT)
    registry = registry_with({"raises": careless(fails)})
    records = cells_of(suite, tmp_path, registry, "raises", "scaled")
    assert (records["raises"].status, records["scaled"].status) == ("failed", "ok")
    assert len(records["raises"].error.message) < 10_000
    assert len(records["raises"].error.traceback) < 100_000
    assert signal.getsignal(signal.SIGINT) is before


class Weighty:
    """A stand-in for an object that takes much memory."""

    alive: weakref.WeakSet[Weighty] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)


class Hangs(Scaled):
    """An encoding that hangs with an object in a local variable."""

    def forward(self, x):
        held = Weighty()
        while held:
            time.sleep(0.01)


def test_what_a_stopped_cell_held_is_gone_before_the_next(suite):
    registry = registry_with({"hangs": Hangs})
    (cell,) = plan(
        suite.model_copy(update={"encodings": [SuiteEntry.from_text("hangs")]}), registry
    )
    supervision = Supervision(Limits(seconds=0.3))
    gc.disable()
    try:
        result = run_cell(cell, registry, supervision=supervision)
        assert result.record.status == "timeout"
        assert "time.sleep" in result.record.error.traceback
        assert not Weighty.alive
    finally:
        gc.enable()
