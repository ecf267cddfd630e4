"""The folder of a run's records: written atomically, checked when it is read."""

from __future__ import annotations

import contextlib
import errno
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
    damaged_files,
    harmless,
    read_file,
    read_record,
    reason_of,
    write_record,
)
from encbench.results.record_places import ELSEWHERE, RecordPlaces, flush
from encbench.results.records import Record, StoredRecord, warn_left_out
from encbench.suite.file import explicit_settings

logger = logging.getLogger("encbench")
_ATTEMPTS = 4
"""Attempts to read a record that another process is replacing."""
SHARED_WAIT = 300.0
"""Maximum time that one of several writing processes waits for its turn [s]."""
_TRY_AGAIN = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}
"""Errors that may be temporary; a record is not called damaged because of them."""


class Store:
    """Records under one directory.

    Only one process writes (``with store.writing(): …``), or several in turn; any number may read.
    The writer moves a record that cannot be read to ``damaged/`` and warns; readers skip it.
    Records that have not changed since they were last checked are read from an index.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._places = RecordPlaces(self.directory)
        self._suites = self.directory / "run.json"
        self._written_suite: str | None = None
        self._index = RecordIndex(self.directory)
        self._whole: set[str] = set()
        """Keys of records whose files were checked in full and have not changed since."""
        self._parts = Shared()
        self._lock = FileLock(self.directory / ".lock")
        self._shared = False

    @contextmanager
    def writing(self, *, shared: bool = False) -> Iterator[None]:
        """Lock the directory for writing; creates it.

        Args:
            shared: also let other processes write that pass this argument: each locks the
                directory only while it writes a record.

        Raises:
            StoreError: the directory cannot be written, is locked by another process, or is a part
                of a results folder.
        """
        try:
            if not self._places.root.is_dir():
                self._places.refuse_parts()
            self._places.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.directory, error, ELSEWHERE) from None
        with ExitStack() as held:
            held.enter_context(self._held(SHARED_WAIT if shared else 0))
            self._places.recover()
            self._shared = shared
            if shared:
                held.close()
            try:
                yield
            finally:
                self._shared = False
                self._index.flush()

    def turn(self) -> AbstractContextManager[None]:
        """The lock for some writes if several processes write; else it is held already."""
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
            raise cannot_write(self.directory, error, ELSEWHERE) from None
        try:
            yield
        finally:
            self._lock.release()

    def write_suite(self, suite: Mapping[str, Any]) -> None:
        """Append a suite to those of the folder; only while writing.

        Records written from now on have its name.
        """
        name = suite.get("name")
        self._written_suite = name if isinstance(name, str) else None
        with self.turn():
            self.write_suites([*(other for other in self.suites() if other != suite), suite])

    def write_suites(self, suites: Sequence[Mapping[str, Any]]) -> None:
        """Replace the suites of the folder; they are given in the order in which they were run."""
        temporary = self._suites.with_suffix(".new")
        try:
            text = json.dumps({"suites": list(suites)}, indent=2)
            temporary.write_text(text + "\n", encoding="utf-8")
            flush(temporary)
            temporary.replace(self._suites)
            flush(self.directory)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise cannot_write(self._suites, error, ELSEWHERE) from None

    def suites(self) -> list[dict[str, Any]]:
        """Suites that were run into the folder, as they were requested, oldest run first."""
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
        """Names of the suites run here, joined by " + "; None if there are none."""
        names = [suite.get("name") for suite in self.suites()]
        return " + ".join(dict.fromkeys(n for n in names if isinstance(n, str))) or None

    def write(
        self,
        record: Record,
        arrays: Mapping[str, np.ndarray],
        pictures: Mapping[str, np.ndarray],
        weights: bytes = b"",
    ) -> StoredRecord:
        """Write a record atomically, replacing an earlier one with the same key.

        Args:
            record: the numbers.
            arrays: written to arrays.npz.
            pictures: (H, W), (H, W, 3) or (H, W, 4) uint8, each a PNG.
            weights: the trained network as safetensors; b"" for none.

        Raises:
            StoreError: the disk is full or the folder not writable. No partial record is left, and
                an earlier record with the same key is kept.
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
        """Yield an empty folder that becomes the record of a key on exit; only while writing.

        Raises:
            StoreError: the disk is full or the folder not writable; an earlier record is kept.
        """
        with self.turn():
            temporary = self._places.root / f".new-{key}-{os.getpid()}"
            try:
                temporary.mkdir(parents=True)
                yield temporary
                self._places.put(temporary, key)
            except OSError as error:
                raise cannot_write(self.place(key), error, ELSEWHERE) from None
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def place(self, key: str) -> Path:
        """The folder of a record, which need not exist."""
        return self._places.place(key)

    def remove(self, key: str) -> None:
        """Delete a record if it exists; only while writing."""
        with self.turn():
            shutil.rmtree(self.place(key), ignore_errors=True)

    def records(self) -> list[StoredRecord]:
        """All readable records, sorted by key; StoreError if the directory does not exist."""
        return self._records(listed=False, set_aside=False)

    def listed(self, *, set_aside: bool = False) -> list[StoredRecord]:
        """As ``records``, but those in the index have only their ``outline`` in memory and read
        their numbers on demand, from the index or, if it has changed, from the record.

        Args:
            set_aside: move damaged ones to ``damaged/``; only while writing.

        Raises:
            StoreError: the directory does not exist; or, with ``set_aside``, it has records of a
                newer encbench, which an older one must neither move nor replace.
        """
        return self._records(listed=True, set_aside=set_aside)

    def _records(self, *, listed: bool, set_aside: bool) -> list[StoredRecord]:
        places = self._places.places()
        found = {}
        self._whole.clear()
        for key, stored, whole in self._index.find(places, self._numbers if listed else None):
            found[key] = stored
            if not listed:
                self._parts.share(stored.record)
            if whole:
                self._whole.add(key)
        for key in [key for key in places if key not in found]:
            place = Path(places[key])
            before = stamp(place)
            try:
                found[key] = self.read(key)
            except NewerRecord as error:
                self._newer(place, error, refuse=set_aside)
            except (OSError, ValueError) as error:
                if (replaced := self._damaged(place, error, set_aside=set_aside)) is not None:
                    found[key] = replaced
            else:
                self._index.remember(found[key], whole=False, before=before)
        self._index.flush()
        return [found[key] for key in places if key in found]

    def whole(self, stored: Iterable[StoredRecord]) -> list[StoredRecord]:
        """The given records without those that have a damaged file; only while writing.

        Also reads arrays and pictures, unlike ``records``. A record with a damaged file is moved
        to ``damaged/``.
        """
        found = []
        for item, damaged in self._checked(stored, set_aside=True):
            if damaged:
                error = ValueError(f"{damaged[0]} is damaged")
                replaced = self._damaged(item.path, error, set_aside=True)
                if replaced is None:
                    continue
                item = replaced
            found.append(item)
        return found

    def without_damaged(self, stored: Iterable[StoredRecord]) -> list[StoredRecord]:
        """The given records with their numbers, but without damaged arrays and pictures; a warning
        names each of these."""
        found = []
        for item, damaged in self._checked(stored, set_aside=False):
            for name in damaged:
                warn_left_out(item.path / name)
            if damaged:
                kept = {name: entry for name, entry in item.files.items() if name not in damaged}
                item = StoredRecord(item.record, item.path, kept, damaged=damaged)
            item.leaves_out = True
            found.append(item)
        return found

    def _checked(
        self, stored: Iterable[StoredRecord], *, set_aside: bool
    ) -> Iterator[tuple[StoredRecord, Sequence[str]]]:
        """Yield the current state of each readable record, and the names of its damaged files."""
        for item in stored:
            key = item.outline.key
            if key in self._whole:
                yield item, ()
                continue
            before = stamp(item.path)
            try:
                item, damaged = self._damaged_now(item)
            except (OSError, ValueError) as error:
                if (replaced := self._damaged(item.path, error, set_aside=set_aside)) is not None:
                    yield replaced, ()
                continue
            if not damaged:
                self._index.remember(item, whole=True, before=before)
            yield item, damaged
        self._index.flush()

    def _damaged_now(self, item: StoredRecord) -> tuple[StoredRecord, Sequence[str]]:
        """The record, read again if it seems damaged, and the names of its damaged files."""
        with contextlib.suppress(OSError):
            if not any(damaged_files(item)):
                return item, ()
        item = self.read(item.outline.key)
        return item, tuple(damaged_files(item))

    def keys(self) -> list[str]:
        """Keys of all records, readable or not.

        Raises:
            StoreError: the directory does not exist, or is a part of a results folder.
        """
        return list(self._places.places())

    def read(self, key: str) -> StoredRecord:
        """Read the record of one key; raises the errors of ``read_record``."""
        stored = self._read(key)
        self._parts.share(stored.record)
        return stored

    def _read(self, key: str) -> StoredRecord:
        for attempt in range(_ATTEMPTS):
            folder = self.place(key)
            try:
                return read_record(folder)
            except (FileNotFoundError, ValueError):
                # If the record was replaced while it was read, parts of two were mixed: read it
                # again. If it is between the two renames of a replacement, perhaps for good
                # because the writer was killed, return the earlier one.
                for replaced in self._places.replaced(key):
                    with contextlib.suppress(OSError, ValueError):
                        earlier = read_record(replaced, key)
                        if not folder.exists():
                            return earlier
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def find(self, key: str) -> StoredRecord | None:
        """The record that a key has now, every byte checked; None if there is none undamaged."""
        if os.path.lexists(self.place(key)):
            with contextlib.suppress(OSError, ValueError, NewerRecord):
                stored = self.read(key)
                if not any(damaged_files(stored)):
                    return stored
        return None

    def record(self, key: str) -> StoredRecord:
        """Read the record of one key.

        Raises:
            StoreError: there is none, or it cannot be read.
        """
        with as_store_error(self.place(key)):
            return self.read(key)

    def _numbers(self, key: str, digest: bytes) -> Record:
        record = self._index.record(key, digest)
        if record is None:
            return self.record(key).record
        self._parts.share_cell(record.cell)  # a page keeps nothing else
        return record

    def _newer(self, folder: Path, error: NewerRecord, *, refuse: bool) -> None:
        if refuse:
            raise StoreError(
                f"{folder} was written by a newer encbench ({error}); "
                "update encbench, or choose another folder with -o"
            ) from None
        logger.warning("skipping %s of a newer encbench: %s; update it", folder, error)

    def _damaged(
        self, folder: Path, error: OSError | ValueError, *, set_aside: bool
    ) -> StoredRecord | None:
        """Warn of a damaged record, and move it to ``damaged/`` if ``set_aside``.

        Returns:
            With ``set_aside``, the record if another process has replaced it by an undamaged one
            since it was read, and nothing was moved.
        """
        _refuse_temporary(folder, error)
        if not set_aside:
            logger.warning("skipping the damaged record %s: %s", folder, reason_of(error))
            return None
        with self.turn():
            # only now no other process can replace or move it
            try:
                item = self.read(folder.name)
                if not any(damaged_files(item)):
                    return item
            except NewerRecord as newer:
                self._newer(folder, newer, refuse=True)
            except (OSError, ValueError) as still:
                _refuse_temporary(folder, still)
            if not os.path.lexists(folder):
                return None
            aside = self.set_aside(folder.name)
        reason = reason_of(error)
        logger.warning("the record %s is damaged (%s); moved to %s", folder.name, reason, aside)
        return None

    def set_aside(self, key: str) -> Path:
        """Move a record to ``damaged/``; only while writing. Returns its folder there."""
        with self.turn():
            return self._places.set_aside(self.place(key))


def _refuse_temporary(folder: Path, error: OSError | ValueError) -> None:
    """Raise StoreError for an error because of which a record is not called damaged."""
    if isinstance(error, OSError) and error.errno in _TRY_AGAIN:
        raise StoreError(f"cannot read {folder}: {error.strerror}; try again") from None


def load_records(
    directory: Path, *, check_files: bool = False, listed: bool = False
) -> list[StoredRecord]:
    """Load the records of a results folder, sorted by key.

    Args:
        directory: the folder.
        check_files: also read every byte of arrays and pictures, and leave out damaged ones with a
            warning each; later calls check only what has changed.
        listed: read the numbers of a record on demand, as ``Store.listed``.

    Raises:
        StoreError: the folder does not exist, or has no records.
    """
    store = Store(directory)
    records = store.listed() if listed else store.records()
    if not records:
        raise StoreError(
            f"{directory} holds no records, expected records/*/*/record.json; "
            f"`encbench run -o {directory}` writes them"
        )
    return store.without_damaged(records) if check_files else records
