"""After Ctrl-C, once or twice, or SIGTERM, begun cells are recorded and the run can resume."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import weakref
from contextlib import suppress

import pytest

from encbench.runs.limits import Interrupted, Limits, Supervision


@pytest.fixture(params=["1", "2"], ids=["in process", "pool"])
def jobs(request):
    return request.param


@pytest.fixture
def long_run(start, suite_file, tmp_path, jobs):
    run = start(
        suite_file(["identity", "ffe:levels=2"], steps=2_000_000),
        *("-o", str(tmp_path / "out"), "-j", jobs),
    )
    run.until(lambda: run.said().count("started") == int(jobs))
    return run


def interrupted(run):
    records = run.records()
    assert {record["status"] for record in records.values()} == {"interrupted"}
    return records


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_a_record_of_every_cell_that_had_begun(
    long_run, jobs, number, code
):
    # to the whole process group, as terminals and service managers do
    os.killpg(long_run.process.pid, number)
    assert long_run.end() == code
    records = interrupted(long_run)
    assert len(records) == int(jobs)
    assert "Give the same command to resume" in long_run.said()
    assert "Traceback" not in long_run.said()
    assert not list(long_run.out.glob("records/.*"))


def test_ctrl_c_twice_ends_at_once(long_run):
    os.killpg(long_run.process.pid, signal.SIGINT)
    os.killpg(long_run.process.pid, signal.SIGINT)
    assert long_run.end() == 130
    assert "Traceback" not in long_run.said()


def test_interrupted_cells_run_when_the_command_is_given_again(start, suite_file, faults, tmp_path):
    arguments = (suite_file(["waits"], steps=40), "-o", str(tmp_path / "out"), "-j", "1")
    settings = {"PYTHONPATH": faults, "FAULTS": str(tmp_path)}
    run = start(*arguments, **settings)
    run.until((tmp_path / "waits").exists)
    os.kill(run.process.pid, signal.SIGTERM)
    assert run.end() == 143
    (record,) = interrupted(run).values()
    (tmp_path / "go").touch()
    again = start(*arguments, **settings)
    assert again.end() == 0
    (whole,) = again.records().values()
    assert whole["status"] == "ok"
    assert whole["steps"] == 40 > record["steps"]


def test_an_interrupted_cell_does_not_replace_a_finished_one(start, suite_file, faults, tmp_path):
    out, go = tmp_path / "out", tmp_path / "go"
    arguments = (suite_file(["waits"], steps=40), "-o", str(out), "-j", "1")
    settings = {"PYTHONPATH": faults, "FAULTS": str(tmp_path)}
    go.touch()
    first = start(*arguments, **settings)
    assert first.end() == 0
    before = {file.name: file.read_bytes() for file in out.glob("records/??/*/*")}
    go.unlink()
    again = start(*arguments, "--rerun", "all", **settings)
    again.until((tmp_path / "waits").exists)
    os.kill(again.process.pid, signal.SIGINT)
    assert again.end() == 130
    after = {file.name: file.read_bytes() for file in out.glob("records/??/*/*")}
    assert json.loads(after["record.json"])["status"] == "ok"
    assert after == before


def test_a_stop_that_a_library_turns_into_its_own_error_is_still_a_stop():
    """Python does this when an import or a callback from C is interrupted."""
    supervision = Supervision()
    stop = Interrupted("stopped by a signal")

    def interrupted_import():
        with supervision.running():
            try:
                supervision.stop(stop)
            except Interrupted as error:
                raise ImportError("initialization failed") from error

    with pytest.raises(Interrupted) as caught:
        interrupted_import()
    assert caught.value is stop
    with pytest.raises(ImportError), supervision.running():
        raise ImportError("the next cell's own")


def test_a_stop_that_something_caught_is_raised_at_the_end():
    """A metric that fails costs its own value, but one that was stopped costs the cell."""
    supervision, stop = Supervision(), Interrupted("stopped by a signal")
    with pytest.raises(Interrupted) as caught, supervision.running(), suppress(Interrupted):
        supervision.stop(stop)
    assert caught.value is stop
    with supervision.running():
        pass


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_stop_that_a_library_dropped_ends_the_training(start, suite_file, faults, tmp_path, jobs):
    """Some C code clears exceptions of the Python functions that it calls."""
    run = start(
        *(suite_file(["drops"], steps=2_000_000), "-o", str(tmp_path / "out"), "-j", jobs),
        PYTHONPATH=faults,
        FAULTS=str(tmp_path),
    )
    run.until((tmp_path / "drops").exists)
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end() == 130, run.said()
    (record,) = interrupted(run).values()
    assert (tmp_path / "dropped").exists()
    assert record["phase"] == "training"
    assert 0 < record["steps"] < 2_000_000


@pytest.mark.parametrize("limits", [Limits(), Limits(seconds=3600)], ids=["free", "limited"])
def test_a_stop_that_python_ignores_is_raised_again(limits):
    """Python ignores exceptions in callbacks of weak references, which every import uses."""

    class Thing:
        pass

    def callback(reference):
        supervision.end(reason)

    supervision, reason = Supervision(limits), Interrupted("by a signal")
    hook, handler = sys.unraisablehook, signal.getsignal(signal.SIGUSR2)
    thing = Thing()
    reference = weakref.ref(thing, callback)
    with pytest.raises(Interrupted) as caught, supervision.running():  # noqa: PT012 # in the second
        del thing
        time.sleep(10)
    assert caught.value is reason
    assert reference() is None
    assert (sys.unraisablehook, signal.getsignal(signal.SIGUSR2)) == (hook, handler)
