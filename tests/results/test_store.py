"""A record is complete or does not exist."""

import errno
import hashlib
import itertools
import json
import logging
import multiprocessing
import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from encbench import Store, StoreError, run_suite
from encbench.results.record_folder import check_files, write_manifest
from encbench.results.store import load_records


def write(store, result):
    return store.write(result.record, result.arrays, result.pictures)


def in_records(directory):
    """Names of all entries in ``records`` except the folders named after a key's beginning."""
    records = directory / "records"
    return sorted(p.name for p in (*records.iterdir(), *records.glob("??/*")) if len(p.name) > 2)


def test_a_record_comes_back_as_it_was_written(tmp_path, result):
    store = Store(tmp_path / "deep" / "results")
    with store.writing():
        write(store, result)
    (stored,) = store.records()
    assert stored.record == result.record
    assert stored.arrays.keys() == result.arrays.keys()
    for name, values in result.arrays.items():
        np.testing.assert_array_equal(stored.arrays[name], values)
    assert stored.picture("prediction") is not None
    assert stored.picture("nothing") is None


DAMAGES = [
    *("truncate", "empty", "list", "deep", "array", "no array", "missing", "key", "schema"),
    *("flip", "edit", "folder", "file", "loop", "no manifest", "cut manifest", "short manifest"),
]


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
    elif damage == "no array":
        (folder / "arrays.npz").write_bytes(b"")
    elif damage == "missing":
        (folder / "prediction.png").unlink()
    elif damage == "flip":
        # flips one bit of a digit: still valid JSON and a valid record, but a wrong number
        at = text.index('"best": ') + len('"best": ') + 4
        file.write_text(text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :])
        assert json.loads(file.read_text())["best"] != json.loads(text)["best"]
    elif damage == "edit":
        file.write_text(json.dumps(json.loads(text) | {"status": "failed"}, indent=2) + "\n")
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    elif damage == "cut manifest":
        (folder / "manifest.json").write_text("{")
    elif damage == "short manifest":
        (folder / "manifest.json").write_text("{}")
    elif damage == "folder":
        file.unlink()
        file.mkdir()
    elif damage == "file":
        shutil.rmtree(folder)
        folder.write_text("not a folder")
    elif damage == "loop":
        shutil.rmtree(folder)
        folder.symlink_to(folder)
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


def test_a_change_that_is_meant_is_kept_where_the_manifest_says_null(tmp_path, result):
    store = Store(tmp_path)
    with store.writing():
        folder = write(store, result).path
    file, manifest = folder / "record.json", folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"phase": "mended"}))
    assert store.records() == []
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"record.json": None}))
    (stored,) = store.records()
    assert stored.record.phase == "mended"
    assert stored.arrays.keys() == result.arrays.keys()


def test_the_manifest_has_size_and_sha_256_of_every_file(tmp_path, result):
    store = Store(tmp_path)
    with store.writing():
        folder = write(store, result).path
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    del files["manifest.json"]
    assert {"record.json", "arrays.npz", "prediction.png"} == files.keys()
    assert manifest == {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    }


def test_a_flipped_bit_anywhere_in_a_record_is_found(tmp_path, result):
    store = Store(tmp_path)
    rng = np.random.default_rng(0)
    with store.writing():
        folder = write(store, result).path
        for file in sorted(folder.iterdir()):
            content = file.read_bytes()
            for at in rng.integers(0, len(content), 20):
                changed = bytearray(content)
                changed[at] ^= 1 << rng.integers(8)
                if file.name == "manifest.json" and same_json(changed, content):
                    continue
                file.write_bytes(changed)
                with pytest.raises(ValueError, match=r"."):
                    check_files(store.read(folder.name))
            file.write_bytes(content)
        check_files(store.read(folder.name))


def same_json(one, other):
    """The change may affect only white space."""
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def test_every_suite_that_was_run_into_a_folder_is_kept_in_order(tmp_path):
    store = Store(tmp_path)
    first, second = {"name": "first", "encodings": ["a"]}, {"name": "second", "encodings": ["b"]}
    with store.writing():
        assert (store.suites(), store.suite_name()) == ([], None)
        for suite in (first, second, first):
            store.write_suite(suite)
    # the suite that was run again is last
    assert store.suites() == [second, first]
    assert store.suite_name() == "second + first"


def test_a_suite_is_kept_as_it_was_asked_for(tmp_path, registry, suite):
    run_suite(suite, tmp_path, registry=registry, jobs=1)
    (stored,) = Store(tmp_path).suites()
    assert stored == {
        "name": "custom",
        "encodings": [{"name": "scaled", "parameters": {}}],
        "tasks": [{"name": "wave", "parameters": {}}],
        "training": {"batch_size": 16, "steps": 40, "evaluations": 4},
        "ntk": {"points": 0},
    }


def test_flipped_bytes_in_the_arrays_are_found_when_they_are_read(tmp_path, result):
    store = Store(tmp_path)
    with store.writing():
        file = write(store, result).path / "arrays.npz"
    file.write_bytes(flipped(file.read_bytes()))
    (stored,) = store.records()
    with pytest.raises(StoreError, match=r"arrays\.npz is damaged"):
        _ = stored.arrays


@pytest.mark.parametrize("values", [["a", "b"], [{}, None], b"PK"], ids=["text", "pickle", "cut"])
def test_arrays_written_by_another_program_are_left_out_unless_they_are_numbers(
    tmp_path, result, caplog, values
):
    store = Store(tmp_path)
    with store.writing():
        file = write(store, result).path / "arrays.npz"
    if isinstance(values, bytes):
        file.write_bytes(values)
    else:
        np.savez(file, curve=np.array(values))
    (file.parent / "manifest.json").unlink()
    write_manifest(file.parent)  # with the size and checksum that the file has now
    with pytest.raises(StoreError, match=r"arrays\.npz is damaged"):
        store.records()[0].some_arrays("curve")
    (stored,) = load_records(tmp_path, check_files=True)
    assert stored.unread().some_arrays("curve") == {}
    assert stored.arrays == {}
    assert not stored.has("arrays.npz")
    assert f"leaving out {file}, which is damaged" in caplog.text


@pytest.mark.parametrize("name", ["arrays.npz", "prediction.png"])
def test_a_run_reuses_no_record_with_flipped_bytes_beside_it(
    tmp_path, registry, suite, caplog, name
):
    first = run_suite(suite, tmp_path, registry=registry, jobs=1)
    file = first.records[0].path / name
    written = file.read_bytes()
    file.write_bytes(flipped(written))
    with caplog.at_level(logging.WARNING, "encbench"):
        again = run_suite(suite, tmp_path, registry=registry, jobs=1)
    assert f"{name} is damaged" in caplog.text
    assert again.reused == 0
    assert file.read_bytes() == written
    assert [p.name for p in (tmp_path / "damaged").iterdir()] == [first.records[0].path.name]


def flipped(contents):
    middle = len(contents) // 2
    return contents[:middle] + bytes([contents[middle] ^ 0xFF]) + contents[middle + 1 :]


def test_a_record_damaged_again_is_moved_to_another_folder(tmp_path, result):
    store, key = Store(tmp_path), result.record.key
    for times in (3, 2):
        for _ in range(times):
            with store.writing():
                (write(store, result).path / "record.json").write_text("")
                assert store.listed(set_aside=True) == []
        # the user removes one of them
        names = {path.name for path in (tmp_path / "damaged").iterdir()}
        shutil.rmtree(tmp_path / "damaged" / f"{key}-1")
    assert names == {key, f"{key}-1", f"{key}-2", f"{key}-3"}


@pytest.mark.parametrize("name", ["record.json", "arrays.npz"])
@pytest.mark.parametrize("meanwhile", ["moved", "replaced", "nothing"])
def test_a_record_is_judged_again_before_it_is_set_aside(
    tmp_path, result, monkeypatch, name, meanwhile
):
    """Another process may have moved or replaced it while this one waited for its turn."""
    store, other = Store(tmp_path), Store(tmp_path)
    with store.writing():
        file = write(store, result).path / name
    file.write_bytes(flipped(file.read_bytes()))
    turn = Store.turn

    def waited(self):
        if self is store and self._shared and meanwhile != "nothing" and file.exists():
            with other.writing(shared=True):
                other.whole(other.listed(set_aside=True))
                if meanwhile == "replaced":
                    monkeypatch.undo()
                    write(other, result)
        return turn(self)

    monkeypatch.setattr(Store, "turn", waited)
    with store.writing(shared=True):
        found = [s.record for s in store.whole(store.listed(set_aside=True))]
    assert found == ([result.record] if meanwhile == "replaced" else [])
    assert len(list((tmp_path / "damaged").iterdir())) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_a_record_that_may_not_be_read_is_skipped_with_the_reason(result, caplog):
    # other users cannot enter pytest's temporary folders
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        store = Store(place)
        with store.writing():
            folder = write(store, result).path
            store.write(result.record.model_copy(update={"key": "0" * 20}), {}, {})
        folder.chmod(0)
        os.seteuid(65534)
        try:
            (stored,) = store.records()
        finally:
            os.seteuid(0)
    assert stored.record.key == "0" * 20
    assert "Permission denied" in caplog.text


def test_a_process_without_free_file_handles_takes_no_record_for_damaged(tmp_path, result):
    store = Store(tmp_path)
    with store.writing():
        write(store, result)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            with pytest.raises(StoreError, match="Too many open files"):
                store.listed(set_aside=True)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        (stored,) = store.listed(set_aside=True)
    assert stored.record.key == result.record.key


@pytest.mark.parametrize("fault", [errno.EMFILE, errno.ENOMEM, errno.ESTALE])
def test_a_temporary_read_error_leaves_a_record_in_place(tmp_path, result, monkeypatch, fault):
    store = Store(tmp_path)
    with store.writing():
        folder = write(store, result).path

        def fails(folder):
            raise OSError(fault, os.strerror(fault), folder)

        monkeypatch.setattr("encbench.results.store.read_record", fails)
        with pytest.raises(StoreError, match=os.strerror(fault)):
            store.listed(set_aside=True)
    assert folder.exists()


def test_readers_can_use_a_folder_that_cannot_be_written(tmp_path, result):
    store = Store(tmp_path)
    with store.writing():
        write(store, result)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for path in (tmp_path, *before):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (stored,) = store.records()
    assert stored.arrays.keys() == result.arrays.keys()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    for path in (tmp_path, *before):
        path.chmod(0o755 if path.is_dir() else 0o644)


def sizes_written(folder):
    return sorted(file.stat().st_size for file in folder.iterdir())


def test_a_disk_that_fills_up_leaves_no_half_record_and_keeps_the_old_one(tmp_path, result):
    store = Store(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with store.writing():
        folder = write(store, result).path
        *_, last = sizes_written(folder)
        for limit in [0, 1, 60, *range(200, last, 400), last - 1]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            try:
                with pytest.raises(StoreError, match="File too large"):
                    write(store, result)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            (stored,) = store.listed(set_aside=True)
            assert in_records(tmp_path) == [result.record.key]
    assert stored.arrays.keys() == result.arrays.keys()


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system with a maximum number of bytes and files."""
    mounted = []

    def mount(size, files):
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        options = f"size={size},nr_inodes={files}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_full_disk_is_one_clear_line_and_what_was_written_stays(small_disk, result):
    # a record needs an inode for its folder, and an inode and a page of 4 KiB per file
    failures = []
    for pages, inodes in [(1000, n) for n in range(8, 12)] + [(n, 1000) for n in range(2, 8)]:
        store = Store(small_disk(4096 * pages, inodes))
        kept = []
        with store.writing():
            for number in range(3):
                record = result.record.model_copy(update={"key": f"{number:020d}"})
                try:
                    kept.append(store.write(record, result.arrays, result.pictures).record.key)
                except StoreError as error:
                    failures.append(str(error))
                    break
            found = [stored.record.key for stored in store.listed(set_aside=True)]
        assert found == kept
        assert not (store.directory / "damaged").exists()
        assert in_records(store.directory) == kept
    assert len(failures) >= 8
    assert all("No space left on device" in failure for failure in failures)


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
    (records / ".new-abc-1" / "weights.safetensors").write_bytes(b"half")
    assert len(store.records()) == 1
    # killed between the two renames of a replacement: the old record is restored
    store.place(result.record.key).rename(records / f".old-{result.record.key}")
    with store.writing():
        (stored,) = store.records()
    assert stored.record.key == result.record.key
    assert in_records(tmp_path) == [result.record.key]


def test_a_folder_that_is_a_file_or_missing_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="is a file, not a folder; name another folder"),
        Store(tmp_path / "file").writing(),
    ):
        pass
    with pytest.raises(StoreError, match="there is no results folder"):
        Store(tmp_path / "nowhere").records()


def test_a_folder_without_records_has_none(tmp_path):
    assert Store(tmp_path).records() == []
    assert Store(tmp_path).keys() == []


def test_a_folder_that_is_taken_away_while_it_is_written_is_one_clear_line(tmp_path):
    store = Store(tmp_path / "results")
    with store.writing():
        shutil.rmtree(store.directory)
        with pytest.raises(StoreError, match=r"cannot write .*run\.json"):
            store.write_suite({"name": "quick"})


def test_thousands_of_leftovers_are_cleared(tmp_path, result):
    store = Store(tmp_path)
    with store.writing():
        write(store, result)
    records = tmp_path / "records"
    for number in range(2000):
        (records / f".new-{number:020x}-1").mkdir()
        (records / f".new-{number:020x}-1" / "arrays.npz").write_bytes(b"half")
    (records / ".new-file").write_text("no folder")
    (records / ".new-loop").symlink_to(records / ".new-loop")
    (records / f".old-{result.record.key}").mkdir()
    with store.writing():
        (stored,) = store.listed(set_aside=True)
    assert stored.record.key == result.record.key
    assert in_records(tmp_path) == [result.record.key]


def test_an_unexpected_error_leaves_nothing_half_written(tmp_path, result):
    store = Store(tmp_path)
    with store.writing(), pytest.raises(TypeError):
        store.write(result.record, result.arrays, {"prediction": np.zeros((2, 2), np.complex128)})
    assert in_records(tmp_path) == []


def test_a_record_names_the_suite_that_asked_for_it(tmp_path, registry, suite):
    named = suite.model_copy(update={"name": "mine"})
    (stored,) = run_suite(named, tmp_path, registry=registry, jobs=1).records
    assert stored.record.provenance.suite == "mine"
    (read,) = Store(tmp_path).records()
    assert read.record == stored.record


def write_again_and_again(result, directory, ready):
    target = Store(directory)
    with target.writing():
        ready.send("ready")
        for turn in itertools.count():
            # each has another size, so that a mixture of two records is detected
            arrays = {**result.arrays, "turn": np.arange(turn % 7)}
            for number in range(5):
                record = result.record.model_copy(update={"key": f"{number:020d}", "steps": turn})
                target.write(record, arrays, {}, bytes(1000 * (1 + turn % 7)))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of a fork
def test_a_writer_killed_at_any_moment_leaves_whole_records_alone(tmp_path, result, caplog):
    target, context = Store(tmp_path), multiprocessing.get_context("fork")
    seen = 0
    for number in range(4):
        near, far = context.Pipe(duplex=False)
        writer = context.Process(target=write_again_and_again, args=(result, tmp_path, far))
        writer.start()
        far.close()
        try:
            near.recv()
            deadline = time.monotonic() + 0.05 + 0.037 * number
            while time.monotonic() < deadline:
                # each record can be read once it was first written, even while it is replaced
                keys = [stored.record.key for stored in target.records()]
                assert len(keys) >= seen
                seen = len(keys)
        finally:
            writer.kill()
            writer.join()
        assert len(target.records()) >= seen
        with target.writing():
            assert len(target.listed(set_aside=True)) >= seen
            left = in_records(tmp_path)
        assert not any(name.startswith(".") for name in left)
    assert seen > 0
    assert caplog.text == ""


def test_a_record_whose_writer_was_killed_between_two_renames_can_be_read(tmp_path, result):
    store = Store(tmp_path)
    with store.writing():
        folder = write(store, result).path
    folder.rename(tmp_path / "records" / f".old-{folder.name}")
    (stored,) = store.records()
    assert stored.arrays.keys() == result.arrays.keys()
    assert store.record(folder.name).record == stored.record


def test_deleted_arrays_are_not_read_as_empty(tmp_path, result):
    store = Store(tmp_path)
    with store.writing():
        write(store, result)
    (stored,) = store.records()
    (stored.path / "arrays.npz").unlink()
    with pytest.raises(StoreError, match=r"arrays\.npz"):
        _ = stored.arrays


def test_a_part_of_a_results_folder_is_not_written_into(tmp_path, result):
    store = Store(tmp_path / "results")
    with store.writing():
        stored = write(store, result)
    part_of = "results; give that"
    records = stored.path.parent.parent
    for part, words in (
        (records, part_of),
        (stored.path.parent, part_of),
        (stored.path, "one record"),
    ):
        before = sorted(part.iterdir())
        with pytest.raises(StoreError, match=words), Store(part).writing():
            pass
        with pytest.raises(StoreError, match=words):
            Store(part).records()
        assert sorted(part.iterdir()) == before


def test_a_folder_without_a_key_is_not_a_record(tmp_path, result):
    store = Store(tmp_path)
    with store.writing():
        write(store, result)
    (tmp_path / "records" / ".old-").mkdir()
    assert len(store.records()) == 1
    with store.writing():
        pass
    assert len(store.records()) == 1


def test_readers_leave_a_damaged_record_in_place(tmp_path, result, caplog):
    store = Store(tmp_path)
    with store.writing():
        place = store.write(result.record, result.arrays, result.pictures).path
    manifest = (place / "manifest.json").read_text()
    for name, text, reason in (
        ("manifest.json", "[]", "manifest.json: Input should be an object"),
        ("manifest.json", manifest, ""),
        ("record.json", "", "record.json is empty"),
        ("record.json", '{"schema_version": "3"}', "schema version '3', expected 1 to 3"),
        ("record.json", "{", ""),
    ):
        (place / name).write_text(text)
        caplog.clear()
        Store(tmp_path).records()
        assert not reason or f"skipping the damaged record {place}: {reason}" in caplog.text
    assert Store(tmp_path).records() == []
    assert f"skipping the damaged record {place}" in caplog.text
    assert (place / "record.json").read_text() == "{"
    assert not (tmp_path / "damaged").exists()
