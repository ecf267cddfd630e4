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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from encbench.errors import StoreError, cannot_write
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
_TRY_AGAIN = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}
"""Reading failed and may succeed later: no reason to call a record damaged."""


class Store:
    """Records under one directory.

    Only one process writes (``with store.writing(): …``); any number may read. A record that
    cannot be read is moved to ``damaged/`` with a message by the writer, and skipped by readers.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._records = self.directory / "records"
        self._suites = self.directory / "run.json"
        self._written_suite: str | None = None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the directory for writing; creates it.

        Raises:
            StoreError: it cannot be written, another process is writing, or it is a part of a
                results folder.
        """
        try:
            if not self._records.is_dir():
                self._refuse_parts()
            self._records.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.directory / ".lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise StoreError(
                f"{self.directory} is in use by another encbench run; "
                "wait for it, or choose another folder with -o"
            ) from None
        except OSError as error:
            raise cannot_write(self.directory, error, MEND) from None
        try:
            self._recover()
            yield
        finally:
            lock.release()

    def write_suite(self, suite: Mapping[str, Any]) -> None:
        """Add a suite to those of the folder, as the last one; only while writing.

        Records written from now on name this suite.
        """
        name = suite.get("name")
        self._written_suite = name if isinstance(name, str) else None
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
    ) -> StoredRecord:
        """Put a record on disk in one rename, in place of an earlier one of its key.

        Args:
            record: the numbers.
            arrays: written to arrays.npz.
            pictures: (H, W), (H, W, 3) or (H, W, 4) uint8, each a PNG.

        Raises:
            StoreError: disk full, folder not writable. Nothing half-written is left, and an
                earlier record of the same key stays.
        """
        final = self._records / record.key
        temporary = self._records / f".new-{record.key}-{os.getpid()}"
        if record.provenance.suite is None:
            source = record.provenance.model_copy(update={"suite": self._written_suite})
            record = record.model_copy(update={"provenance": source})
        try:
            temporary.mkdir(parents=True)
            files = write_record(temporary, record, arrays, pictures)
            self.put(temporary, record.key)
        except OSError as error:
            raise cannot_write(final, error, MEND) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return StoredRecord(record, final, files)

    def put(self, folder: Path, key: str) -> None:
        """Move a finished folder of this file system to a record's place; only while writing.

        Raises OSError; an earlier record of the key then stays.
        """
        final, replaced = self._records / key, self._records / f"{_OLD}{key}"
        for file in folder.iterdir():
            _flush(file)
        # a file that was flushed can still be missing from its folder after a power cut
        _flush(folder)
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
        _flush(self._records)

    def remove(self, key: str) -> None:
        """Forget a record, if there is one."""
        shutil.rmtree(self._records / key, ignore_errors=True)

    def records(self, *, set_aside: bool = False) -> list[StoredRecord]:
        """All readable records, sorted by key.

        Args:
            set_aside: move damaged ones to ``damaged/``; only while writing.

        Raises:
            StoreError: there is no such directory; or, with ``set_aside``, it holds records of a
                newer encbench, which an older one must neither move nor replace.
        """
        found = []
        for name in self.keys():
            folder = self._records / name
            try:
                found.append(self.read(name))
            except NewerRecord as error:
                self._newer(folder, error, refuse=set_aside)
            except (OSError, ValueError) as error:
                self._damaged(folder, error, set_aside=set_aside)
        return found

    def whole(self, stored: Iterable[StoredRecord]) -> list[StoredRecord]:
        """Those records all of whose files are as they were written; only while writing.

        ``records`` does not read arrays and pictures. A record with a damaged file is moved to
        ``damaged/``.
        """
        found = []
        for item in stored:
            try:
                check_files(item)
            except (OSError, ValueError) as error:
                self._damaged(item.path, error, set_aside=True)
            else:
                found.append(item)
        return found

    def keys(self) -> list[str]:
        """Keys of all records, readable or not.

        Raises:
            StoreError: there is no such directory, or it is a part of a results folder.
        """
        if not self.directory.is_dir():
            raise StoreError(
                f"there is no results folder {self.directory}; `encbench run -o DIR` makes one"
            )
        try:
            names = {entry.name.removeprefix(_OLD) for entry in os.scandir(self._records)}
        except FileNotFoundError:
            self._refuse_parts()
            return []
        except OSError as error:
            raise StoreError(f"cannot read {self.directory}: {error.strerror or error}") from None
        return sorted(name for name in names if name and name[0] != ".")

    def _refuse_parts(self) -> None:
        """Refuse a record, or the folder of all records, given in place of the results folder."""
        here = Path(os.path.abspath(self.directory))  # noqa: PTH100 # ".." has no name
        if (here / "record.json").exists():
            raise StoreError(f"{self.directory} is one record; give the results folder it is of")
        if here.name == "records" and any((p / "record.json").exists() for p in _folders(here)):
            raise StoreError(
                f"{self.directory} is a part of the results folder {here.parent}; give that"
            )

    def read(self, key: str) -> StoredRecord:
        """The record of one key; problems are raised as they are found, as by ``read_record``."""
        folder, replaced = self._records / key, self._records / f"{_OLD}{key}"
        try:
            return read_record(folder)
        except (FileNotFoundError, ValueError):
            # It may have been replaced while it was read, so that parts of two were mixed: it is
            # read again. Or it is between the two renames of a replacement, perhaps for good
            # since the writer was killed: the earlier one is returned.
            with contextlib.suppress(OSError, ValueError):
                earlier = read_record(replaced, key)
                if not folder.exists():
                    return earlier
        return read_record(folder)

    def record(self, key: str) -> StoredRecord:
        """The record of one key.

        Raises:
            StoreError: there is none, or it cannot be read.
        """
        with as_store_error(self._records / key):
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
        for replaced in self._records.glob(f"{_OLD}*"):
            final = self._records / replaced.name.removeprefix(_OLD)
            if os.path.lexists(final):
                _discard(replaced)
            else:
                replaced.rename(final)

    def _set_aside(self, folder: Path) -> Path:
        damaged = self.directory / "damaged"
        try:
            damaged.mkdir(exist_ok=True)
            names = (f"{folder.name}-{n}" if n else folder.name for n in itertools.count())
            target = next(p for p in (damaged / n for n in names) if not os.path.lexists(p))
            folder.rename(target)
        except OSError as error:
            raise cannot_write(damaged, error, MEND) from None
        return target


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
