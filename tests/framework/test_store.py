"""A record is there whole, or not at all."""

import json
import logging
import resource

import numpy as np
import pytest

from encbench import Store, StoreError, plan, run_suite
from encbench.cell import run_cell


@pytest.fixture
def result(registry, suite):
    return run_cell(plan(suite, registry)[0], registry)


def write(store, result):
    return store.write(result.record, result.arrays, result.pictures)


def test_a_record_comes_back_as_it_was_written(tmp_path, result):
    store = Store(tmp_path / "deep" / "results")
    with store.writing():
        write(store, result)
    (stored,) = store.records()
    assert stored.record.model_dump(exclude={"files"}) == result.record.model_dump(
        exclude={"files"}
    )
    assert stored.arrays.keys() == result.arrays.keys()
    for name, values in result.arrays.items():
        np.testing.assert_array_equal(stored.arrays[name], values)
    assert stored.picture("prediction") is not None
    assert stored.picture("nothing") is None


DAMAGES = ["truncate", "empty", "list", "deep", "array", "missing", "key", "schema"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_set_aside_and_run_again(tmp_path, registry, suite, caplog, damage):
    first = run_suite(suite, tmp_path, registry=registry, jobs=1)
    folder = first.records[0].path
    file = folder / "record.json"
    text = file.read_text()
    if damage == "truncate":
        file.write_text(text[: len(text) // 2])
    elif damage == "empty":
        file.write_text("")
    elif damage == "list":
        file.write_text("[]")
    elif damage == "deep":
        file.write_text("[" * 100_000)
    elif damage == "array":
        (folder / "arrays.npz").write_bytes((folder / "arrays.npz").read_bytes()[:100])
    elif damage == "missing":
        (folder / "prediction.png").unlink()
    else:
        changed = {"key": {"key": "0" * 20}, "schema": {"schema_version": 0}}[damage]
        file.write_text(json.dumps(json.loads(text) | changed))
    with caplog.at_level(logging.WARNING, "encbench"):
        assert Store(tmp_path).records() == []
        again = run_suite(suite, tmp_path, registry=registry, jobs=1)
    assert "damaged" in caplog.text
    assert again.reused == 0
    assert again.records[0].record.metrics == first.records[0].record.metrics
    assert [p.name for p in (tmp_path / "damaged").iterdir()] == [folder.name]


def test_an_older_encbench_leaves_a_newer_ones_records_alone(tmp_path, registry, suite, caplog):
    first = run_suite(suite, tmp_path, registry=registry, jobs=1)
    file = first.records[0].path / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 99}))
    before = file.read_bytes()
    with caplog.at_level(logging.WARNING, "encbench"):
        assert Store(tmp_path).records() == []
    assert "newer encbench: schema version 99" in caplog.text
    with pytest.raises(StoreError, match="newer encbench"):
        run_suite(suite, tmp_path, registry=registry, jobs=1, rerun="all")
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    ["{bad", "[1]", '{"name": {"a": 1}}', "[" * 100_000],
    ids=["cut", "list", "name", "deep"],
)
def test_a_run_file_that_makes_no_sense_has_no_suite_name(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    assert Store(tmp_path).suite_name() is None


def test_a_disk_that_fills_up_leaves_no_half_record_and_keeps_the_old_one(tmp_path, result):
    store = Store(tmp_path)
    with store.writing():
        write(store, result)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
        try:
            with pytest.raises(StoreError, match="File too large"):
                write(store, result)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (stored,) = store.records()
    assert stored.arrays.keys() == result.arrays.keys()
    assert [p.name for p in (tmp_path / "records").iterdir()] == [result.record.key]


def test_a_second_writer_is_refused(tmp_path):
    with (
        Store(tmp_path).writing(),
        pytest.raises(StoreError, match="in use by another"),
        Store(tmp_path).writing(),
    ):
        pass


def test_what_a_killed_writer_left_is_cleaned_up(tmp_path, result):
    store = Store(tmp_path)
    with store.writing():
        write(store, result)
    records = tmp_path / "records"
    (records / ".new-abc-1").mkdir()
    # killed between the two renames of a replacement: the old one comes back
    (records / result.record.key).rename(records / f".old-{result.record.key}")
    with store.writing():
        (stored,) = store.records()
    assert stored.record.key == result.record.key
    assert [p.name for p in records.iterdir()] == [result.record.key]


def test_a_folder_that_is_a_file_or_missing_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="cannot write to the output folder"),
        Store(tmp_path / "file").writing(),
    ):
        pass
    with pytest.raises(StoreError, match="there is no results folder"):
        Store(tmp_path / "nowhere").records()
