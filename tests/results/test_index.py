"""The index of a results folder makes reading faster, but the records take precedence."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from encbench import Store, run_suite
from encbench.errors import StoreError
from encbench.results import index
from encbench.results import store as store_module
from encbench.results.records import Outline
from tests.benchmarks.synthetic import settle, synthetic_cells, write_records


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "results"
    assert write_records(directory, synthetic_cells(2, 3, 5)) == 30
    return directory


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A results folder of 30 records without an index; all files are old enough to be indexed."""
    shutil.copytree(made, tmp_path / "results")
    settle(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders of records that are read from their files instead of the index."""
    read: list[Path] = []
    whole = store_module.read_record
    monkeypatch.setattr(
        store_module, "read_record", lambda *given: (read.append(given[0]), whole(*given))[1]
    )
    return read


def contents(folder: Path) -> dict[str, str]:
    return {s.record.key: s.record.model_dump_json() for s in Store(folder).records()}


def test_records_are_read_once_and_are_the_same_from_the_index(folder, opened):
    first = contents(folder)
    assert (len(first), len(opened)) == (30, 30)
    assert contents(folder) == first
    assert len(opened) == 30


def outlines(folder: Path) -> list[Outline]:
    return [stored.outline for stored in Store(folder).listed()]


def test_what_planning_needs_of_a_record_is_in_the_index(folder, opened):
    first = [Outline.of(stored.record) for stored in Store(folder).records()]
    opened.clear()
    listed = Store(folder).listed()
    assert [stored.outline for stored in listed] == first
    assert opened == []
    assert listed[3].record == Store(folder).records()[3].record
    assert opened == []
    # the result is the same without an index
    (folder / "index.sqlite").unlink()
    assert outlines(folder) == first


def test_a_listed_record_that_was_deleted_is_an_error_of_one_line(folder):
    Store(folder).records()
    stored = Store(folder).listed()[0]
    shutil.rmtree(stored.path)
    (folder / "index.sqlite").unlink()
    with pytest.raises(StoreError, match="there is no record"):
        stored.record  # noqa: B018 # reads it


def test_a_listed_record_is_read_again_after_forget(folder, opened):
    first = Store(folder).records()[0].record
    opened.clear()
    stored = Store(folder).listed()[0]
    read = stored.record
    stored.forget()
    assert stored.record == read == first
    assert stored.record is not read
    # the index now has another version of the record than was listed
    with sqlite3.connect(folder / "index.sqlite") as connection:
        (table,) = connection.execute("SELECT name FROM sqlite_master").fetchone()
        connection.execute(f"UPDATE {table} SET record = replace(record, 'ok', 'no')")
    stored.forget()
    assert stored.record == first
    assert opened == [stored.path]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_reads_records_through_a_connection_of_its_own(folder):
    first = contents(folder)
    listed = Store(folder).listed()
    assert listed[0].record.model_dump_json() == first[listed[0].outline.key]
    child = os.fork()
    if not child:
        same = all(s.record.model_dump_json() == first[s.outline.key] for s in listed)
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert listed[1].record.model_dump_json() == first[listed[1].outline.key]


@pytest.mark.parametrize("how", ["outline", "rows", "types", "whole", "version", "zeros", "cut"])
def test_planning_does_not_use_a_damaged_index(folder, how):
    Store(folder).records()
    first = outlines(folder)
    damage(folder / "index.sqlite", how)
    assert outlines(folder) == first
    stored = Store(folder).listed()[0]
    manifest = stored.path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"record.json": None}))
    record = stored.path / "record.json"
    record.write_text(record.read_text().replace('"status": "ok"', '"status": "diverged"'))
    assert outlines(folder) == [first[0]._replace(status="diverged"), *first[1:]]


def test_a_record_that_changed_is_read_again(folder, opened):
    contents(folder)
    opened.clear()
    stored = Store(folder).records()[7]
    manifest = stored.path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"record.json": None}))
    record = stored.path / "record.json"
    record.write_text(record.read_text().replace('"steps": 1000', '"steps": 1001'))
    read = {s.record.key: s.record.steps for s in Store(folder).records()}
    assert read[stored.record.key] == 1001
    assert opened == [stored.path]


@pytest.mark.parametrize("change", ["in place", "picture", "gone", "link", "whole folder"])
def test_damage_is_found_although_there_is_an_index(folder, change):
    contents(folder)
    stored = Store(folder).records()[0]
    file = stored.path / "prediction.png"
    if change == "in place":
        record = stored.path / "record.json"
        text, times = record.read_text(), record.stat()
        record.write_text(text.replace('"steps": 1000', '"steps": 1009'))
        os.utime(record, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "whole folder":
        shutil.rmtree(stored.path)
    else:
        file.unlink()
        if change == "picture":
            file.write_bytes(b"half")
        elif change == "link":
            file.symlink_to("target.png")
    assert stored.record.key not in contents(folder)
    assert len(Store(folder).records()) == 29


def damage(file: Path, how: str) -> None:
    if how == "missing":
        file.unlink()
    elif how == "text":
        file.write_text("not a database")
    elif how == "cut":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif how == "zeros":
        file.write_bytes(bytes(file.stat().st_size))
    elif how == "link":
        file.rename(file.with_name("elsewhere"))
        file.symlink_to("elsewhere")
    elif how == "pipe":
        file.unlink()
        os.mkfifo(file)
    elif how == "folder":
        file.unlink()
        file.mkdir()
    elif how == "killed":
        subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
        assert file.with_name("index.sqlite-journal").stat().st_size > 1000
    elif how == "journal":
        file.with_name("index.sqlite-journal").write_bytes(os.urandom(5000))
    else:
        changes = {
            "version": "ALTER TABLE records_2_3 RENAME TO records_2_9",
            "more tables": "CREATE TABLE more (key TEXT)",
            "trigger": "CREATE TRIGGER t AFTER INSERT ON records_2_3 BEGIN SELECT 1; END",
            "rows": "UPDATE records_2_3 SET record = replace(record, '30', '99')",
            "types": "UPDATE records_2_3 SET seal = 1, whole = 'x', files = NULL, record = NULL",
            "whole": "UPDATE records_2_3 SET whole = 1",
            "outline": "UPDATE records_2_3 SET outline = replace(outline, 'ok', 'failed')",
        }
        connection = sqlite3.connect(file)
        with connection:
            connection.execute(changes[how])
        connection.close()


KILLED = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size=1")
connection.execute("UPDATE records_2_3 SET record = zeroblob(20000)")
os.kill(os.getpid(), 9)
"""
DAMAGES = [
    "missing",
    "killed",
    "text",
    "cut",
    "zeros",
    "link",
    "pipe",
    "folder",
    "journal",
    "version",
]
DAMAGES += ["more tables", "trigger", "rows", "types", "whole", "outline"]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_index_costs_only_time(folder, how, opened, caplog):
    first = contents(folder)
    damage(folder / "index.sqlite", how)
    opened.clear()
    assert contents(folder) == first
    quiet = ("missing", "rows", "types", "whole", "outline")
    told = [record.message for record in caplog.records]
    assert len(told) == (how not in quiet)
    assert all("index.sqlite is not used (" in line for line in told)
    # the index is made again
    assert opened or how == "journal"
    opened.clear()
    assert contents(folder) == first
    assert bool(opened) == (how == "folder")


def test_an_index_of_another_folder_is_not_used(folder, made, tmp_path):
    first = contents(folder)
    shutil.copytree(folder, tmp_path / "copy")
    settle(tmp_path / "copy")
    connection = sqlite3.connect(tmp_path / "copy" / "index.sqlite")
    with connection:
        connection.execute("UPDATE records_2_3 SET record = replace(record, '30', '99')")
    connection.close()
    assert contents(tmp_path / "copy") == first


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_a_folder_that_cannot_be_written_is_read_and_gets_no_index(made):
    # other users cannot enter pytest's temporary folders
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "results"
        shutil.copytree(made, folder)
        settle(folder)
        os.seteuid(65534)
        try:
            assert len(Store(folder).records()) == 30
        finally:
            os.seteuid(0)
        assert not (folder / "index.sqlite").exists()
        first = contents(folder)
        os.seteuid(65534)
        try:
            assert contents(folder) == first
        finally:
            os.seteuid(0)


def test_records_are_remembered_in_batches(folder, opened, monkeypatch):
    monkeypatch.setattr(index, "BATCH", 8)
    first = contents(folder)
    assert (len(first), len(opened)) == (30, 30)
    assert contents(folder) == first
    assert len(opened) == 30
    assert list(first) == sorted(first)


def read_often(folder: Path) -> None:
    for _ in range(4):
        assert len(Store(folder).records()) == 30


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of a fork
def test_several_processes_read_and_make_the_index_at_once(folder):
    context = multiprocessing.get_context("fork")
    readers = [context.Process(target=read_often, args=(folder,)) for _ in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
        assert reader.exitcode == 0
    assert len(contents(folder)) == 30


def test_a_run_checks_the_bytes_of_a_record_once(registry, suite, tmp_path, monkeypatch):
    checked = []
    check = store_module.damaged_files
    monkeypatch.setattr(
        store_module, "damaged_files", lambda stored: checked.append(stored) or check(stored)
    )
    options = {"registry": registry, "jobs": 1, "device": "cpu", "report": False}
    run_suite(suite, tmp_path, **options)
    settle(tmp_path)
    for times in (1, 1):
        assert run_suite(suite, tmp_path, **options).reused == 1
        assert len(checked) == times
    picture = next((tmp_path / "records").glob("??/*/*.npz"))
    picture.write_bytes(picture.read_bytes()[:-1] + b"?")
    assert run_suite(suite, tmp_path, **options).reused == 0


def test_records_of_both_layouts_lie_in_one_folder(folder):
    first = contents(folder)
    keys = list(first)
    for key in keys[::2]:
        place = Store(folder).place(key)
        place.rename(folder / "records" / key)
    assert contents(folder) == first
    store = Store(folder)
    assert store.place(keys[0]) == folder / "records" / keys[0]
    assert store.record(keys[0]).path == folder / "records" / keys[0]
    with store.writing():
        stored = store.record(keys[0])
        written = store.write(stored.record, stored.arrays, {})
        # replaces the earlier record
        assert written.path == folder / "records" / keys[0]
        store.remove(keys[1])
        store.remove(keys[2])
    assert contents(folder).keys() == first.keys() - {keys[1], keys[2]}
