"""Which recorded cells are run again, by their status and the option ``rerun``."""

import io
import logging
from collections import deque
from types import SimpleNamespace

import pytest
from rich.console import Console

from encbench import Store, hookimpl, plan, run_suite
from encbench.cli.progress import RunProgress
from encbench.plugins.host import Plugin
from encbench.results.records import Outline, StoredRecord
from encbench.runs.cell import run_cell
from encbench.runs.interface import Executor, RunOptions
from encbench.runs.reuse import Reuse, by_cell, left_to_run

FAILED = {"failed", "out_of_memory", "timeout", "interrupted"}
"""Statuses that may be different after another attempt."""
AGAIN = {
    "never": set(),
    "failed": FAILED,
    "diverged": FAILED | {"diverged"},
    "all": FAILED | {"diverged", "ok"},
}


@pytest.fixture
def cells(suite, registry):
    return plan(suite, registry)


@pytest.fixture
def recorded(cells, registry, tmp_path):
    """Write the cell's record with another status."""
    result = run_cell(cells[0], registry)

    def write(status):
        store = Store(tmp_path)
        with store.writing():
            record = result.record.model_copy(update={"status": status})
            store.write(record, result.arrays, result.pictures)

    return write


def test_a_cell_is_run_again_if_rerun_includes_its_status(cells, recorded, tmp_path):
    for status in AGAIN["all"]:
        recorded(status)
        for rerun, again in AGAIN.items():
            left = left_to_run(cells, tmp_path, Reuse(rerun))
            assert left == (cells if status in again else []), (status, rerun)


@pytest.mark.parametrize(("rerun", "status"), [("never", "timeout"), ("failed", "ok")])
def test_what_a_run_reuses_is_what_was_not_left_to_run(
    suite, registry, recorded, tmp_path, rerun, status
):
    recorded("timeout")
    options = {"registry": registry, "jobs": 1, "device": "cpu", "report": False}
    done = run_suite(suite, tmp_path, rerun=rerun, **options)
    assert done.reused == (1 if status == "timeout" else 0)
    assert done.records[0].record.status == status


class Ends(Executor):
    """Runs cells, and says that they ended with a given status."""

    name = "ends"

    def __init__(self, registry, status, **options):
        super().__init__(RunOptions(**options))
        self.registry, self.status, self.count = registry, status, 0

    def run(self, cells, watch):
        waiting = deque(cells)
        while (cell := self.next_cell(waiting)) is not None:
            result = run_cell(cell, self.registry)
            self.count += 1
            result.record.status = self.status
            yield result

    def interrupt(self): ...


@pytest.mark.parametrize(
    ("before", "then", "options", "replaced"),
    [
        *((before, then, {}, False) for before in ("ok", "diverged") for then in sorted(FAILED)),
        *((before, "failed", {}, True) for before in sorted(FAILED)),
        ("diverged", "diverged", {}, True),
        ("ok", "diverged", {}, True),
        ("ok", "diverged", {"rerun": "failed", "save_weights": True}, False),
        ("diverged", "ok", {}, True),
    ],
)
def test_an_attempt_that_does_not_finish_never_replaces_one_that_did(
    suite, registry, recorded, tmp_path, caplog, before, then, options, replaced
):
    recorded(before)
    (kept,) = Store(tmp_path).records()
    executor = Ends(registry, then, save_weights=options.pop("save_weights", False))
    options = {"rerun": "all", "registry": registry, "report": False} | options
    with caplog.at_level(logging.WARNING, "encbench"):
        done = run_suite(suite, tmp_path, executor=executor, **options)
    (found,) = Store(tmp_path).records()
    assert (found.record == kept.record) is not replaced
    assert done.records[0].record == found.record
    assert (f"its earlier record ({before}) is kept" in caplog.text) is not replaced
    assert done.kept_earlier == (0 if replaced else 1)
    assert done.all_ok == (then == "ok")


def test_an_attempt_that_replaces_nothing_is_not_shown_or_reported_as_its_earlier_record(
    suite, registry, recorded, tmp_path
):
    recorded("ok")
    heard, reported = io.StringIO(), []
    reporter = SimpleNamespace(encbench_cell_finished=hookimpl(lambda record: reported.append(1)))
    registry.host.register(Plugin("main", "reports", "1.0", "reports.main"), reporter)
    with RunProgress(Console(file=heard, width=200)) as progress:
        ends = Ends(registry, "out_of_memory")
        run_suite(suite, tmp_path, executor=ends, rerun="all", registry=registry, watcher=progress)
    assert "this attempt: out of memory" in heard.getvalue()
    assert not any(line.startswith("ok ") for line in heard.getvalue().splitlines())
    assert (progress.finished, reported) == (1, [])


def test_the_record_under_the_current_key_comes_first():
    def stored(key, started):
        return StoredRecord(lambda: None, "nowhere", {}, Outline(key, "now", "ok", ("1",), started))

    present, older = stored("now", "2026-01-01"), stored("then", "2026-02-02")
    for found in ([present, older], [older, present]):
        assert by_cell(found, {}) == {"now": [present, older]}
