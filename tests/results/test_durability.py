"""Which files are on disk at each moment while a record is written."""

import os
from pathlib import Path

import pytest

from encbench import Store, StoreError


def write(store, result, **changes):
    record = result.record.model_copy(update=changes)
    return store.write(record, result.arrays, result.pictures)


@pytest.fixture
def on_disk(monkeypatch):
    """Names of the files flushed to disk, in total and until each renaming of a folder."""
    flushed, renamed = set(), []
    fsync, rename = os.fsync, Path.rename

    def watched_fsync(handle):
        flushed.add(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    def watched_rename(path, target):
        renamed.append((path.name, set(flushed)))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    return flushed, renamed


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system has no /proc")
def test_a_record_is_on_the_disk_before_it_takes_its_place(tmp_path, result, on_disk):
    flushed, renamed = on_disk
    store = Store(tmp_path)
    with store.writing():
        stored = write(store, result)
    ((new, before),) = renamed
    assert {"record.json", "manifest.json", *stored.files, new} <= before
    assert {"records", stored.path.parent.name} <= set(flushed), "the renaming itself"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system has no /proc")
def test_the_list_of_suites_and_its_folder_are_flushed(tmp_path, on_disk):
    flushed, _ = on_disk
    store = Store(tmp_path)
    with store.writing():
        store.write_suite({"name": "quick"})
    assert {"run.new", tmp_path.name} <= flushed


def test_the_earlier_record_is_restored_if_it_cannot_be_replaced(tmp_path, result, monkeypatch):
    rename = Path.rename

    def failing(path, target):
        if path.name.startswith(".new"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    store = Store(tmp_path)
    with store.writing():
        write(store, result, steps=1)
        monkeypatch.setattr(Path, "rename", failing)
        with pytest.raises(StoreError, match="No space left"):
            write(store, result, steps=2)
    assert store.keys() == [result.record.key]
    assert store.record(result.record.key).record.steps == 1
