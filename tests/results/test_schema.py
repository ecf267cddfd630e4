"""Records of every schema version can be read, and are not changed on disk."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from encbench import Store, load_suite, ntk, plan, run_suite
from encbench.plugins.registry import default_registry
from encbench.results.records import SCHEMA_VERSION, Record, upgrade
from encbench.runs.cell import LR_POINTS
from encbench.runs.executors.local import InProcess
from encbench.runs.interface import RunOptions
from encbench.runs.parts import build_model, build_task, cell_streams
from encbench.runs.reuse import Reuse, left_to_run
from encbench.suite.config import cell_key

DATA = Path(__file__).parent / "data"
OLDER = range(1, SCHEMA_VERSION)


def text_of(version):
    return (DATA / f"record_version_{version}.json").read_text()


@pytest.fixture
def old(tmp_path):
    """Writes a record of an older version to a folder, without the files beside it."""

    def put(version):
        data = json.loads(text_of(version))
        assert data["schema_version"] == version
        folder = tmp_path / "records" / data["key"]
        folder.mkdir(parents=True)
        # version 2 has a checksum and cannot be edited; its sample lists no files
        text = text_of(version) if version > 1 else json.dumps(data | {"files": {}}, indent=2)
        (folder / "record.json").write_text(text)
        return folder / "record.json"

    return put


@pytest.mark.parametrize("version", OLDER)
def test_an_older_record_is_read_and_left_as_it_was(tmp_path, old, version):
    file = old(version)
    before = file.read_bytes()
    store = Store(tmp_path)
    with store.writing():
        (stored,) = store.listed(set_aside=True)
    assert file.read_bytes() == before
    record, written = stored.record, json.loads(before)
    assert record.schema_version == SCHEMA_VERSION
    # the fields that it had are unchanged
    read = record.model_dump(mode="json")
    for name in ("key", "metrics", "spectra", "durations"):
        assert read[name] == written[name]
    assert read["learning_rate"] == written["learning_rate"] | {"halvings": 0}
    assert read["cell"] == written["cell"] | {"weights_version": "0.1.0"}
    if version == 1:
        assert record.lost_workers == ()
        assert (record.provenance.worker, record.provenance.timeout_s) == (None, None)
        assert record.provenance.executor == "not recorded"


def test_a_changed_record_of_version_2_is_damaged(tmp_path, old, caplog):
    file = old(2)
    file.write_text(file.read_text().replace('"status": "ok"', '"status": "failed"'))
    assert Store(tmp_path).records() == []
    assert "not as it was written" in caplog.text
    # in that version, an intended change sets the checksum to null
    file.write_text(json.dumps(json.loads(file.read_text()) | {"checksum": None}))
    (stored,) = Store(tmp_path).records()
    assert stored.record.status == "failed"


def test_a_record_of_version_2_stands_for_the_cell_that_is_planned_today(tmp_path, old, caplog):
    """Its key depended on the versions of plug-ins, but the cell is found."""
    key = json.loads(old(2).read_text())["key"]
    asked = load_suite("paper/protocol", default_registry())
    cells = plan(asked, default_registry())
    (recorded,) = [s.record for s in Store(tmp_path).records()]
    (cell,) = [c for c in cells if cell_key(c) == cell_key(recorded.cell)]
    assert recorded.key == key != cell_key(cell)
    assert cell == recorded.cell.model_copy(update={"weights_version": None})
    assert len(left_to_run(cells, tmp_path)) == len(cells) - 1
    # a newer version of the plug-in runs it again by default
    newer = cell.encoding.model_copy(update={"version": "99"})
    released = cell.model_copy(update={"encoding": newer})
    with caplog.at_level(logging.WARNING, "encbench"):
        assert left_to_run([released], tmp_path) == [released]
    assert "0.1.0 instead of 99" in caplog.text
    assert left_to_run([released], tmp_path, Reuse(keep_versions=True)) == []


def as_version_2(stored, key):
    """Turn a record into one of schema version 2 with the given key."""
    data = json.loads((stored.path / "record.json").read_text())
    files = {name: entry.size for name, entry in stored.files.items()}
    data |= {"schema_version": 2, "key": key, "files": files, "checksum": None}
    del data["cell"]["weights_version"]
    (stored.path / "record.json").write_text(json.dumps(data))
    (stored.path / "manifest.json").unlink()
    stored.path.rename(stored.path.parents[1] / key)


def test_a_record_of_version_2_is_reused_and_replaced_by_one_of_its_cell(
    tmp_path, registry, suite, old
):
    """No cell has two records, whether it is reused or run again."""
    key = "0123456789abcdef0123"
    options = {"registry": registry, "jobs": 1, "device": "cpu", "report": False}
    (stored,) = run_suite(suite, tmp_path, **options).records
    as_version_2(stored, key)
    again = run_suite(suite, tmp_path, **options)
    assert (again.reused, [s.record.key for s in again.records]) == (1, [key])
    assert again.records[0].record.cell.weights_version == "1.0"
    # the files beside it are checked by the checksums in their formats
    array = again.records[0].path / "arrays.npz"
    content = bytearray(array.read_bytes())
    content[len(content) // 2] ^= 0xFF
    array.write_bytes(content)
    again = run_suite(suite, tmp_path, **options)
    assert again.reused == 0
    assert [s.record.key for s in Store(tmp_path).records()] == [stored.record.key]


def test_a_record_replaced_by_a_failed_one_is_not_used_for_an_interrupted_cell(
    tmp_path, registry, suite
):
    """A run leaves both if it is killed between writing one and removing the other."""
    options = {"registry": registry, "jobs": 1, "device": "cpu", "report": False}
    (stored,) = run_suite(suite, tmp_path, **options).records
    whole = stored.record
    as_version_2(stored, "0123456789abcdef0123")
    Store(tmp_path).write(whole.model_copy(update={"status": "failed", "metrics": {}}), {}, {})

    class Interrupted(InProcess):
        def run(self, cells, watch):
            for result in super().run(cells, watch):
                stopped = result.record.model_copy(update={"status": "interrupted"})
                yield replace(result, record=stopped)

    executor = Interrupted(RunOptions("cpu"), registry)
    again = run_suite(suite, tmp_path, registry=registry, executor=executor, report=False)
    assert [s.record.status for s in again.records] == ["interrupted"]
    assert [s.record.status for s in Store(tmp_path).records()] == ["interrupted"]


def test_running_an_older_record_again_starts_from_its_weights(tmp_path, old):
    """lr_crit at the start depends only on weights and points, not on training."""
    old(2)
    (stored,) = Store(tmp_path).records()
    registry = default_registry()

    def critical(cell):
        streams = cell_streams(cell)
        task = build_task(cell, registry)
        model = build_model(cell, task, registry, streams)
        points = task.ntk_points(LR_POINTS, streams.generator("ntk"))
        return ntk.critical_learning_rate(model, points, loss=task.loss)

    recorded = stored.record.learning_rate.critical
    cell = stored.record.cell
    assert critical(cell) == pytest.approx(recorded, rel=1e-6)
    planned = cell.model_copy(update={"weights_version": None})
    assert critical(planned) != pytest.approx(recorded, rel=1e-6)


@pytest.mark.parametrize("version", OLDER)
def test_upgrading_changes_nothing_in_what_it_was_given(version):
    data = json.loads(text_of(version))
    before = json.dumps(data)
    upgrade(data)
    assert json.dumps(data) == before


def test_a_record_of_this_version_passes_unchanged(tmp_path, registry, suite):
    run_suite(suite, tmp_path, registry=registry, jobs=1)
    data = json.loads(next(tmp_path.glob("records/*/*/record.json")).read_text())
    assert upgrade(data) == data
    assert Record.model_validate(data).schema_version == SCHEMA_VERSION


def test_own_loss_is_set_in_records_that_state_it_only_in_step_method():
    words = "autograd: the task has a loss of its own"
    for version in OLDER:
        data = json.loads(text_of(version))
        assert not Record.model_validate(upgrade(data)).own_loss
        assert Record.model_validate(upgrade(data | {"step_method": words})).own_loss


@pytest.mark.parametrize("version", [None, 0, -1, "1", 1.0, True, SCHEMA_VERSION + 1])
def test_a_schema_version_that_does_not_exist_is_refused(version):
    data = json.loads(text_of(1)) | {"schema_version": version}
    with pytest.raises(ValueError, match="schema version"):
        upgrade(data)


@pytest.mark.parametrize("missing", ["provenance", "cell"])
def test_a_record_of_version_1_without_a_part_is_damaged(tmp_path, old, caplog, missing):
    file = old(1)
    data = json.loads(file.read_text())
    del data[missing]
    file.write_text(json.dumps(data))
    assert Store(tmp_path).records() == []
    assert f"{missing} is missing" in caplog.text
