"""Which recorded cells are run again, by their status and the option ``rerun``."""

import pytest

from encbench import Store, plan, run_suite
from encbench.results.records import Outline, StoredRecord
from encbench.runs.cell import run_cell
from encbench.runs.runner import by_cell, left_to_run

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
            left = left_to_run(cells, tmp_path, rerun)
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


def test_the_record_under_the_current_key_comes_first():
    def stored(key, started):
        return StoredRecord(lambda: None, "nowhere", {}, Outline(key, "now", "ok", ("1",), started))

    present, older = stored("now", "2026-01-01"), stored("then", "2026-02-02")
    for found in ([present, older], [older, present]):
        assert by_cell(found, {}) == {"now": [present, older]}
