"""Records of every version stay readable, and stay as they were written."""

import json
from pathlib import Path

import pytest

from encbench import Store, run_suite
from encbench.results.records import Record
from encbench.results.schema import SCHEMA_VERSION, upgrade

VERSION_1 = Path(__file__).parent / "data" / "record_version_1.json"


@pytest.fixture
def old(tmp_path):
    """A results folder with a record of version 1, less the files that lay beside it."""
    data = json.loads(VERSION_1.read_text())
    assert data["schema_version"] == 1
    folder = tmp_path / "records" / data["key"]
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(data | {"files": {}}, indent=2))
    return folder / "record.json"


def test_a_record_of_version_1_is_read_and_left_as_it_was(tmp_path, old):
    before = old.read_bytes()
    store = Store(tmp_path)
    with store.writing():
        (stored,) = store.records(set_aside=True)
    assert old.read_bytes() == before
    record, written = stored.record, json.loads(before)
    assert record.schema_version == SCHEMA_VERSION
    assert record.lost_workers == []
    assert (record.provenance.worker, record.provenance.timeout_s) == (None, None)
    assert record.provenance.executor == "not recorded"
    # what version 1 did say is said unchanged
    for name in ("key", "cell", "metrics", "spectra", "durations", "learning_rate"):
        assert record.model_dump(mode="json")[name] == written[name]


def test_upgrading_changes_nothing_in_what_it_was_given():
    data = json.loads(VERSION_1.read_text())
    before = json.dumps(data)
    upgrade(data)
    assert json.dumps(data) == before


def test_a_record_of_this_version_passes_unchanged(tmp_path, registry, suite):
    run_suite(suite, tmp_path, registry=registry, jobs=1)
    data = json.loads(next(tmp_path.glob("records/*/record.json")).read_text())
    assert upgrade(data) == data
    assert Record.model_validate(data).schema_version == SCHEMA_VERSION


@pytest.mark.parametrize("version", [None, 0, -1, "1", 1.0, True, SCHEMA_VERSION + 1])
def test_a_version_that_never_was_is_refused(version):
    data = json.loads(VERSION_1.read_text()) | {"schema_version": version}
    with pytest.raises(ValueError, match="schema version"):
        upgrade(data)


def test_a_record_of_version_1_without_provenance_is_damaged(tmp_path, old, caplog):
    data = json.loads(old.read_text())
    del data["provenance"]
    old.write_text(json.dumps(data))
    assert Store(tmp_path).records() == []
    assert "provenance is missing" in caplog.text
