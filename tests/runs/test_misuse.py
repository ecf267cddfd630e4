"""A failing watcher, an ill-timed signal or a truncated result does not harm the cells."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from multiprocessing import connection

import numpy as np
import psutil
import pytest

from encbench import Outcome, load_suite, plan, run_suite
from encbench.plugins.registry import default_registry
from encbench.runs import cell
from encbench.runs.executors.local import InProcess, ProcessPool
from encbench.runs.executors.worker import Worker
from encbench.runs.interface import RunOptions
from tests.processes import outliving
from tests.runs.conftest import environment


class Fails:
    """A watcher that raises, as after a mistake or when its terminal is closed."""

    def __init__(self, error):
        self.error = error
        self.recordings = 0

    def planned(self, cells, finished): ...

    def event(self, event):
        raise self.error

    def recorded(self, record):
        self.recordings += 1


@pytest.mark.parametrize(
    ("error", "isolate"),
    [(ZeroDivisionError("x"), False), (SystemExit(1), False), (SystemExit(1), True)],
    ids=repr,
)
def test_a_watcher_that_raises_costs_no_cell(suite_file, tmp_path, error, isolate, caplog):
    suite = load_suite(suite_file(["identity"], steps=8), default_registry())
    watcher = Fails(error)
    with caplog.at_level(logging.WARNING, "encbench"):
        run = run_suite(
            suite, tmp_path / "out", jobs=1, isolate=isolate, report=False, watcher=watcher
        )
    assert [stored.record.status for stored in run.records] == ["ok"]
    assert watcher.recordings == 1
    assert caplog.text.count("is not called again for running cells") == 1


def test_a_signal_just_before_a_cell_begins_stops_it(suite_file, monkeypatch):
    registry = default_registry()
    suite = load_suite(suite_file(["identity", "ffe:levels=2"]), registry)
    executor = InProcess(RunOptions(), registry)
    monkeypatch.setattr(cell, "load_optimizers", executor.interrupt)
    (result,) = executor.run(plan(suite, registry), lambda event: None)
    assert result.record.status == "interrupted"
    assert result.record.steps == 0


def test_a_process_that_dies_while_it_sends_its_result_costs_one_cell(
    start, suite_file, faults, tmp_path
):
    run = start(
        *(suite_file(["dies_sending", "identity"]), "-o", str(tmp_path / "out"), "-j", "2"),
        *("--retries", "0"),
        PYTHONPATH=faults,
    )
    assert run.end() == 1, run.said()
    records = run.records()
    assert records["identity"]["status"] == "ok"
    assert records["dies_sending"]["status"] == "failed"
    assert "died (killed by SIGKILL)" in records["dies_sending"]["error"]["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="no server forks elsewhere")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_isolated_cells_outlive_no_server_and_are_not_lost_to_its_sigterm(
    start, suite_file, tmp_path, number
):
    run = start(
        *(suite_file(["identity"], steps=2_000_000), "-o", str(tmp_path / "out")),
        *("-j", "1", "--isolate", "--retries", "0"),
    )
    run.until(lambda: "started" in run.said())
    (server,) = (
        process
        for process in psutil.Process(run.process.pid).children()
        if process.children() and "forkserver" in " ".join(process.cmdline())
    )
    cells = server.children()
    server.send_signal(number)
    if number == signal.SIGTERM:
        run.process.send_signal(number)
        assert run.end() == 143
        (record,) = run.records().values()
        assert record["status"] == "interrupted"
        assert "Interrupted" in record["error"]["traceback"], "stopped from inside"
    else:
        assert run.end() == 1
    assert "Traceback" not in run.said()
    assert not outliving(cells)


@pytest.mark.parametrize(
    ("pictures", "arrays", "words"),
    [
        ({"a": np.zeros((4, 4, 3))}, {}, r"picture 'a' is an array \(4, 4, 3\) of float64"),
        ({"a": np.zeros((4, 4, 5), np.uint8)}, {}, r"\(4, 4, 5\) of uint8; expected"),
        ({"a": np.zeros((0, 4), np.uint8)}, {}, r"\(0, 4\) of uint8"),
        ({"a": [[0]]}, {}, "picture 'a' is a list"),
        ({"../a": np.zeros((4, 4), np.uint8)}, {}, r"picture '\.\./a': expected a name"),
        ({}, {"a": [1, 2]}, "array 'a' is a list"),
        ({}, {"a": np.array([object()])}, "of object; expected a NumPy array"),
        ({}, {"a": np.array(["b"])}, "of <U1; expected a NumPy array of numbers"),
        ({}, {"file": np.zeros(2)}, "array 'file': expected a name"),
        ({"a" * 61: np.zeros((4, 4), np.uint8)}, {}, "of at most 60 letters"),
        ({3: np.zeros((4, 4), np.uint8)}, {}, "picture 3: expected a name"),
        ([np.zeros((4, 4), np.uint8)], {}, "pictures is a list; expected a dict"),
    ],
)
def test_what_no_record_can_hold_is_refused_in_the_cell(pictures, arrays, words):
    # if it failed only when written, it would end the run and every resumed one
    with pytest.raises((TypeError, ValueError), match=words):
        Outcome(comparisons={}, pictures=pictures, arrays=arrays)


@pytest.mark.parametrize("pairs", [None, [("psnr", (0, 1))], {"psnr": 0.5}, {"psnr": (1, 2, 3)}])
def test_comparisons_that_are_no_pairs_are_refused_in_the_cell(pairs):
    # otherwise every metric would fail, though none is to blame
    with pytest.raises(TypeError, match=r"comparisons .*; expected a dict"):
        Outcome(comparisons=pairs)
    with pytest.raises(TypeError, match=r"baselines\['without'\] holds .*; expected a dict"):
        Outcome({}, baselines={"without": pairs})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            (np.zeros(4), np.zeros((4, 1))),
            r"line 'u' is a tuple; expected \(x, prediction",
        ),
        ((np.zeros(4), np.zeros(4), np.zeros(4)), r"shapes \(4,\), \(4,\), \(4,\); expected"),
        ((np.zeros(4), np.zeros((4, 1)), np.zeros((4, 2))), r"\(4, 2\); expected \(N,\), \(N, O"),
        ((np.zeros(0), np.zeros((0, 1)), np.zeros((0, 1))), r"\(0,\), \(0, 1\)"),
    ],
)
def test_a_line_that_cannot_be_drawn_is_refused_in_the_cell(line, words):
    with pytest.raises(TypeError, match=words):
        Outcome(comparisons={}, lines={"u": line})


def test_a_line_and_an_array_have_different_names():
    line = (np.zeros(4), np.zeros((4, 1)), np.zeros((4, 1)))
    with pytest.raises(ValueError, match=r"array 'line\.u' has the name"):
        Outcome(comparisons={}, arrays={"line.u": np.zeros(2)}, lines={"u": line})


def test_a_process_that_dies_while_it_is_idle_costs_no_cell(suite_file):
    registry = default_registry()
    suite = load_suite(suite_file(["identity"], seeds=2, steps=2), registry)
    worker = Worker(RunOptions(retries=0), lambda event: None)
    for planned in plan(suite, registry):
        worker.start(planned)
        while (result := worker.poll()) is None:
            connection.wait(worker.waitable(), 1)
        assert result.record.status == "ok", result.record.error
        assert result.record.lost_workers == ()
        process = psutil.Process(int(result.record.provenance.worker.rpartition(":")[2]))
        process.kill()
        assert not outliving([process])
    worker.close()


def test_an_executor_that_was_drained_runs_again(suite_file, tmp_path):
    suite = load_suite(suite_file(["identity"], steps=2), default_registry())
    for executor in (InProcess(RunOptions()), ProcessPool(RunOptions(), 1)):
        executor.drain()
        run = run_suite(suite, tmp_path / executor.name, executor=executor, report=False)
        assert [stored.record.status for stored in run.records] == ["ok"]
        assert run.records[0].record.provenance.worker


def test_a_script_without_a_main_guard_is_told_so_in_one_sentence(suite_file, tmp_path):
    path = suite_file(["identity", "ffe:levels=2"])
    script = tmp_path / "script.py"
    script.write_text(
        "from encbench import load_suite, run_suite\n"
        "from encbench.plugins.registry import default_registry\n"
        f"run_suite(load_suite({path!r}, default_registry()), 'out', jobs=2, report=False)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment(),
    )
    assert done.stderr.count("Traceback") == 1
    sentence = 'UsageError: a script that runs suites must do so under `if __name__ == "__main__":`'
    assert sentence in done.stderr.splitlines()[-1]
    assert list((tmp_path / "out" / "records").iterdir()) == []
