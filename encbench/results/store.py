"""The folder that holds a run's records: written atomically, checked when it is read."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from encbench.errors import StoreError, cannot_write
from encbench.results.index import RecordIndex, Shared, stamp
from encbench.results.record_folder import (
    NewerRecord,
    as_store_error,
    check_files,
    harmless,
    read_file,
    read_record,
    reason_of,
    write_record,
)
from encbench.results.records import Record, StoredRecord
from encbench.suite.file import explicit_settings

logger = logging.getLogger("encbench")
MEND = "free space or permissions, or name another folder with -o"
_OLD = ".old-"
"""Before the key of a record that is being replaced."""
_ATTEMPTS = 4
"""To read a record that others replace meanwhile."""
_SHARD = 2
"""Characters of a key after which the folder is named that holds its record's."""
SHARED_WAIT = 300.0
"""Seconds that a process of several waits for its turn to write."""
_TRY_AGAIN = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}
"""Reading failed and may succeed later: no reason to call a record damaged."""


class Store:
    """Records under one directory.

    Only one process writes (``with store.writing(): …``), or several in turn; any number may read.
    A record that cannot be read is moved to ``damaged/`` with a message by the writer, and skipped
    by readers. Records that have not changed since they were last checked come from an index.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._records = self.directory / "records"
        self._suites = self.directory / "run.json"
        self._written_suite: str | None = None
        self._index = RecordIndex(self.directory)
        self._whole: set[str] = set()
        """Keys of records all of whose bytes were checked and are as they were then."""
        self._parts = Shared()
        self._lock = FileLock(self.directory / ".lock")
        self._shared = False

    @contextmanager
    def writing(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the directory for writing; creates it.

        Args:
            shared: let other processes that do the same write, too: each holds the directory only
                while it puts a record in its place.

        Raises:
            StoreError: it cannot be written, another process is writing, or it is a part of a
                results folder.
        """
        try:
            if not self._records.is_dir():
                self._refuse_parts()
            self._records.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.directory, error, MEND) from None
        with ExitStack() as held:
            held.enter_context(self._held(SHARED_WAIT if shared else 0))
            self._recover()
            self._shared = shared
            if shared:
                held.close()
            try:
                yield
            finally:
                self._shared = False
                self._index.flush()

    def _turn(self) -> AbstractContextManager[None]:
        """This process's turn to write, where several do."""
        return self._held(SHARED_WAIT) if self._shared else nullcontext()

    @contextmanager
    def _held(self, wait: float) -> Iterator[None]:
        try:
            self._lock.acquire(timeout=wait)
        except Timeout:
            raise StoreError(
                f"{self.directory} is in use by another encbench run; "
                "wait for it, or choose another folder with -o"
            ) from None
        except OSError as error:
            raise cannot_write(self.directory, error, MEND) from None
        try:
            yield
        finally:
            self._lock.release()

    def write_suite(self, suite: Mapping[str, Any]) -> None:
        """Add a suite to those of the folder, as the last one; only while writing.

        Records written from now on name this suite.
        """
        name = suite.get("name")
        self._written_suite = name if isinstance(name, str) else None
        with self._turn():
            self.write_suites([*(other for other in self.suites() if other != suite), suite])

    def write_suites(self, suites: Sequence[Mapping[str, Any]]) -> None:
        """Replace the suites of the folder, in the order in which they were run."""
        temporary = self._suites.with_suffix(".new")
        try:
            text = json.dumps({"suites": list(suites)}, indent=2)
            temporary.write_text(text + "\n", encoding="utf-8")
            _flush(temporary)
            temporary.replace(self._suites)
            _flush(self.directory)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise cannot_write(self._suites, error, MEND) from None

    def suites(self) -> list[dict[str, Any]]:
        """Suites that were run into the folder, as they were asked for, the last one last."""
        try:
            stored = harmless(json.loads(read_file(str(self._suites))))
        except (OSError, ValueError, RecursionError):
            return []
        if not isinstance(stored, dict):
            return []
        if "suites" in stored:
            suites = stored["suites"]
            return [s for s in suites if isinstance(s, dict)] if isinstance(suites, list) else []
        # up to schema version 2: the last suite, or those of merged folders, defaults filled in
        merged = stored.get("merged", [stored])
        suites = merged if isinstance(merged, list) else []
        return [explicit_settings(suite) for suite in suites if isinstance(suite, dict)]

    def suite_name(self) -> str | None:
        """Names of the suites run here, joined by " + "; None where there are none."""
        names = [suite.get("name") for suite in self.suites()]
        return " + ".join(dict.fromkeys(n for n in names if isinstance(n, str))) or None

    def write(
        self,
        record: Record,
        arrays: Mapping[str, np.ndarray],
        pictures: Mapping[str, np.ndarray],
        weights: bytes = b"",
    ) -> StoredRecord:
        """Put a record on disk in one rename, in place of an earlier one of its key.

        Args:
            record: the numbers.
            arrays: written to arrays.npz.
            pictures: (H, W), (H, W, 3) or (H, W, 4) uint8, each a PNG.
            weights: of the trained network, as safetensors; b"" for none.

        Raises:
            StoreError: disk full, folder not writable. Nothing half-written is left, and an
                earlier record of the same key stays.
        """
        if record.provenance.suite is None:
            source = record.provenance.model_copy(update={"suite": self._written_suite})
            record = record.model_copy(update={"provenance": source})
        with self.new_folder(record.key) as temporary:
            files = write_record(temporary, record, arrays, pictures, weights)
        stored = StoredRecord(record, self.place(record.key), files)
        self._index.remember(stored, whole=True)
        return stored

    @contextmanager
    def new_folder(self, key: str) -> Iterator[Path]:
        """An empty folder, which becomes the record of a key at the end; only while writing.

        Raises:
            StoreError: disk full, folder not writable; an earlier record of the key then stays.
        """
        with self._turn():
            temporary = self._records / f".new-{key}-{os.getpid()}"
            try:
                temporary.mkdir(parents=True)
                yield temporary
                self._put(temporary, key)
            except OSError as error:
                raise cannot_write(self.place(key), error, MEND) from None
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def place(self, key: str) -> Path:
        """The folder of a record, which need not be there.

        Earlier versions of encbench made ``records/<key>``, which stays where it is.
        """
        flat = self._records / key
        return flat if os.path.lexists(flat) else self._records / key[:_SHARD] / key

    def _put(self, folder: Path, key: str) -> None:
        final = self.place(key)
        replaced = final.with_name(f"{_OLD}{key}")
        for file in folder.iterdir():
            _flush(file)
        # a file that was flushed can still be missing from its folder after a power cut
        _flush(folder)
        if not final.parent.is_dir():
            final.parent.mkdir()
            _flush(self._records)
        if os.path.lexists(final):
            shutil.rmtree(replaced, ignore_errors=True)
            final.rename(replaced)
            try:
                folder.rename(final)
            except OSError:
                replaced.rename(final)
                raise
            _discard(replaced)
        else:
            folder.rename(final)
        _flush(final.parent)

    def remove(self, key: str) -> None:
        """Forget a record, if there is one; only while writing."""
        with self._turn():
            shutil.rmtree(self.place(key), ignore_errors=True)

    def records(self, *, set_aside: bool = False) -> list[StoredRecord]:
        """All readable records, sorted by key.

        Args:
            set_aside: move damaged ones to ``damaged/``; only while writing.

        Raises:
            StoreError: there is no such directory; or, with ``set_aside``, it holds records of a
                newer encbench, which an older one must neither move nor replace.
        """
        places = self._places()
        found = {}
        self._whole.clear()
        for stored, whole in self._index.find(places):
            found[stored.record.key] = stored
            self._parts.share(stored.record)
            if whole:
                self._whole.add(stored.record.key)
        for key in [key for key in places if key not in found]:
            place = Path(places[key])
            before = stamp(place)
            try:
                found[key] = self.read(key)
            except NewerRecord as error:
                self._newer(place, error, refuse=set_aside)
            except (OSError, ValueError) as error:
                self._damaged(place, error, set_aside=set_aside)
            else:
                self._index.remember(found[key], whole=False, before=before)
        self._index.flush()
        return [found[key] for key in places if key in found]

    def whole(self, stored: Iterable[StoredRecord]) -> list[StoredRecord]:
        """Those records all of whose files are as they were written; only while writing.

        ``records`` does not read arrays and pictures. A record with a damaged file is moved to
        ``damaged/``.
        """
        found = []
        for item in stored:
            key, before = item.record.key, stamp(item.path)
            if key in self._whole:
                found.append(item)
                continue
            try:
                again = self.read(key)
                check_files(again)
            except (OSError, ValueError) as error:
                self._damaged(item.path, error, set_aside=True)
            else:
                found.append(again)
                self._index.remember(again, whole=True, before=before)
        self._index.flush()
        return found

    def keys(self) -> list[str]:
        """Keys of all records, readable or not.

        Raises:
            StoreError: there is no such directory, or it is a part of a results folder.
        """
        return list(self._places())

    def _places(self) -> dict[str, str]:
        """Keys, sorted, and what ``place`` says of each, without looking at each folder."""
        if not self.directory.is_dir():
            raise StoreError(
                f"there is no results folder {self.directory}; `encbench run -o DIR` makes one"
            )
        found = {}
        try:
            entries = list(os.scandir(self._records))
            shards = {e.name for e in entries if _is_shard(e)}
            for shard in shards:
                inside = f"{self._records}/{shard}"
                # a record that is being replaced is beside its new place: one look sees either
                names = {e.name.removeprefix(_OLD) for e in os.scandir(inside)} - {shard}
                found |= {name: f"{inside}/{name}" for name in names if name.startswith(shard)}
            for name in {e.name for e in entries} - shards:
                key = name.removeprefix(_OLD)
                found[key] = f"{self._records}/{key}" if key == name else str(self.place(key))
        except FileNotFoundError:
            self._refuse_parts()
            return {}
        except OSError as error:
            raise StoreError(f"cannot read {self.directory}: {error.strerror or error}") from None
        return {key: found[key] for key in sorted(found) if key and key[0] != "."}

    def _refuse_parts(self) -> None:
        """Refuse a record, or the folder of all records, given in place of the results folder."""
        here = Path(os.path.abspath(self.directory))  # noqa: PTH100 # ".." has no name
        if (here / "record.json").exists():
            raise StoreError(f"{self.directory} is one record; give the results folder it is of")
        for records in (here, here.parent):
            inside = (p for f in [here, *_folders(here)] for p in _folders(f))
            if records.name == "records" and any((p / "record.json").exists() for p in inside):
                raise StoreError(
                    f"{self.directory} is a part of the results folder {records.parent}; give that"
                )

    def read(self, key: str) -> StoredRecord:
        """The record of one key; problems are raised as they are found, as by ``read_record``."""
        stored = self._read(key)
        self._parts.share(stored.record)
        return stored

    def _read(self, key: str) -> StoredRecord:
        for attempt in range(_ATTEMPTS):
            folder = self.place(key)
            try:
                return read_record(folder)
            except (FileNotFoundError, ValueError):
                # It may have been replaced while it was read, so that parts of two were mixed: it
                # is read again. Or it is between the two renames of a replacement, perhaps for
                # good since the writer was killed: the earlier one is returned.
                for parent in (self._records, self._records / key[:_SHARD]):
                    with contextlib.suppress(OSError, ValueError):
                        earlier = read_record(parent / f"{_OLD}{key}", key)
                        if not folder.exists():
                            return earlier
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def record(self, key: str) -> StoredRecord:
        """The record of one key.

        Raises:
            StoreError: there is none, or it cannot be read.
        """
        with as_store_error(self.place(key)):
            return self.read(key)

    def _newer(self, folder: Path, error: NewerRecord, *, refuse: bool) -> None:
        if refuse:
            raise StoreError(
                f"{folder} was written by a newer encbench ({error}); "
                "update encbench, or choose another folder with -o"
            ) from None
        logger.warning("skipping %s of a newer encbench: %s; update it", folder, error)

    def _damaged(self, folder: Path, error: OSError | ValueError, *, set_aside: bool) -> None:
        if isinstance(error, OSError) and error.errno in _TRY_AGAIN:
            raise StoreError(f"cannot read {folder}: {error.strerror}; try again") from None
        reason = reason_of(error)
        if set_aside:
            aside = self._set_aside(folder)
            logger.warning("the record %s is damaged (%s); moved to %s", folder.name, reason, aside)
        else:
            logger.warning("skipping the damaged record %s: %s", folder, reason)

    def _recover(self) -> None:
        """Clean up after a process that was killed while it wrote."""
        for unfinished in self._records.glob(".new-*"):
            _discard(unfinished)
        shards = [Path(e.path) for e in os.scandir(self._records) if _is_shard(e)]
        for replaced in [r for place in (self._records, *shards) for r in place.glob(f"{_OLD}*")]:
            final = self.place(replaced.name.removeprefix(_OLD))
            if os.path.lexists(final):
                _discard(replaced)
            else:
                final.parent.mkdir(exist_ok=True)
                replaced.rename(final)

    def _set_aside(self, folder: Path) -> Path:
        damaged = self.directory / "damaged"
        try:
            damaged.mkdir(exist_ok=True)
            with self._turn():
                names = (f"{folder.name}-{n}" if n else folder.name for n in itertools.count())
                target = next(p for p in (damaged / n for n in names) if not os.path.lexists(p))
                folder.rename(target)
        except OSError as error:
            raise cannot_write(damaged, error, MEND) from None
        return target


def _is_shard(entry: os.DirEntry[str]) -> bool:
    """Whether this is a folder of records whose keys begin with its name."""
    # a link could lead to records that are not ours to replace
    folder = len(entry.name) == _SHARD and entry.is_dir(follow_symlinks=False)
    return folder and not Path(entry.path, "record.json").exists()


def _folders(path: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [Path(entry) for entry in os.scandir(path) if entry.is_dir()]
    return []


def _discard(path: Path) -> None:
    """Remove a file or folder that nobody needs; a failure does not matter."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Flush a file, or the list of a folder's files, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
