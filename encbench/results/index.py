"""What a folder's records hold, in one file: records that have not changed are not read again.

    DIRECTORY/index.sqlite    a row per record

The index is never believed over the records. A row counts while every file of its record has the
size, times and inode of when it was checked, as no file of a copied or unpacked folder has, and
what it holds passes the checks of a record.json. What planning needs of a record, its outline, has
a column of its own, so that to resume a run no record is parsed. Missing, damaged, or of another
version of encbench, the index is made again from the records. Where it cannot be written or is in
use, the records are read.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import stat
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from encbench.results.record_folder import (
    MANIFEST,
    MOST_BYTES,
    RECORD,
    check_named,
    parse_record,
)
from encbench.results.records import (
    SCHEMA_VERSION,
    FileEntry,
    Outline,
    Record,
    StoredRecord,
)
from encbench.suite.config import CellConfig

logger = logging.getLogger("encbench")
TABLE = f"records_2_{SCHEMA_VERSION}"
"""Its name has the versions of the index and of the records."""
SCHEMA = (
    f"CREATE TABLE {TABLE} (key TEXT PRIMARY KEY, seal BLOB, whole INTEGER, files BLOB, "
    "outline BLOB, digest BLOB, record BLOB)"
)
"""The record last: what is before it is read without it."""
TOGETHER = 250
"""Rows that are read or written at a time."""
SETTLED = 2.0
"""Seconds. A file that was changed since could be changed again within the same tick of its clock,
at the same size, and seem the same."""
WAIT = 5.0
"""Seconds to wait for another process that reads or writes the index."""
_Files = TypeAdapter(dict[str, FileEntry])
_Outline = TypeAdapter(Outline)


def stamp(folder: Path | str, files: Iterable[str] = ()) -> bytes:
    """What is different once a record's files are: a hash of their sizes, times and inodes."""
    return _stamp(folder, files)[0]


def _stamp(folder: Path | str, files: Iterable[str]) -> tuple[bytes, float]:
    """The stamp, and when the last of the files was changed."""
    place, changed = str(folder), 0.0
    seen: list[tuple[str, ...] | tuple[str | int, ...]] = []
    for name in (RECORD, MANIFEST, *sorted(files)):
        try:
            at = os.lstat(f"{place}/{name}")
        except OSError:
            seen.append((name,))  # records up to schema version 2 have no manifest
        else:
            seen.append((name, at.st_size, at.st_mtime_ns, at.st_ctime_ns, at.st_ino))
            changed = max(changed, at.st_mtime)
    return hashlib.blake2b(repr(seen).encode(), digest_size=16).digest(), changed


def _seal(stamp: bytes, whole: int, files: bytes, outline: bytes, digest: bytes) -> bytes:
    """A hash of a row, with that of its record, and of the state of the files that it is of."""
    sealed = hashlib.blake2b(stamp + bytes([whole]), digest_size=16)
    for part in (files, outline, digest):
        sealed.update(part)
    return sealed.digest()


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _settled(changed: float) -> bool:
    return changed < time.time() - SETTLED


class RecordIndex:
    """The index of one results folder. A problem with it is not an error: the records are there."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "index.sqlite"
        self._waiting: dict[str, tuple[StoredRecord, bool, bytes]] = {}
        """By key, what is to be put on disk, whether all its bytes were checked, and its stamp."""
        self._told = False
        self._reading: dict[int, sqlite3.Connection] = {}
        """Kept open by ``record``, which is asked for thousands one at a time; by process, since
        one that is forked must not use its parent's."""

    def find(
        self, places: Mapping[str, str], later: Callable[[str, bytes], Record] | None = None
    ) -> Iterator[tuple[str, StoredRecord, bool]]:
        """Those of the records that are as they were when they were checked.

        Args:
            places: folders of records by key.
            later: reads the numbers of the record of a key when they are asked for, given a hash
                of them, as ``record`` takes it; None: they are read now.

        Yields:
            A key, its record, and whether all bytes of all its files had been checked.
        """
        content = "NULL" if later else "record"
        try:
            with closing(self._open()) as connection:
                for some in _batches(list(places)):
                    marks = ",".join("?" * len(some))
                    query = (
                        f"SELECT key, seal, whole, files, outline, digest, {content} FROM {TABLE} "
                        f"WHERE key IN ({marks})"
                    )
                    for key, seen, whole, files, outline, digest, text in connection.execute(
                        query, some
                    ):
                        with suppress(ValueError, TypeError):
                            entries = _Files.validate_json(files)
                            now = stamp(places[key], entries)
                            if seen != _seal(now, whole, files, outline, digest):
                                continue
                            if later is None and digest != _digest(text):
                                continue
                            known = _Outline.validate_json(outline)
                            record = partial(later, key, digest) if later else parse_record(text)
                            check_named(known.key, entries, key)
                            stored = StoredRecord(record, places[key], entries, known)
                            yield key, stored, bool(whole)
        except FileNotFoundError:
            return
        except (OSError, sqlite3.Error) as error:
            self._unusable(error)

    def record(self, key: str, digest: bytes) -> Record | None:
        """The numbers of a record as ``find`` found it; None where the index no longer has them."""
        with suppress(OSError, sqlite3.Error, ValueError, TypeError):
            connection = self._reading.get(os.getpid())
            if connection is None:
                connection = self._reading[os.getpid()] = self._open()
                weakref.finalize(self, connection.close)
            query = f"SELECT record FROM {TABLE} WHERE key = ? AND digest = ?"
            (text,) = connection.execute(query, (key, digest)).fetchone()
            if _digest(text) == digest:
                return parse_record(text)
        return None

    def remember(self, stored: StoredRecord, *, whole: bool, before: bytes | None = None) -> None:
        """Keep a record that was written or read just now; it is put on disk by and by.

        Args:
            stored: the record, in its place.
            whole: whether all bytes of all its files are known to be right.
            before: its ``stamp`` from before it was read, or None if this process wrote it.
        """
        seen, changed = _stamp(stored.path, stored.files)
        if before is not None and (stamp(stored.path) != before or not _settled(changed)):
            return
        self._waiting[stored.outline.key] = stored, whole, seen
        if len(self._waiting) % TOGETHER == 0:
            self.flush()

    def flush(self) -> None:
        """Put on disk what waits, but what has changed in the last two seconds."""
        rows = []
        for key, (stored, whole, seen) in list(self._waiting.items()):
            now, changed = _stamp(stored.path, stored.files)
            if now == seen and not _settled(changed):
                continue
            del self._waiting[key]
            if now == seen:
                files = _Files.dump_json(dict(stored.files))
                outline = _Outline.dump_json(stored.outline)
                content = stored.record.model_dump_json().encode()
                digest = _digest(content)
                seal = _seal(seen, whole, files, outline, digest)
                rows.append((key, seal, whole, files, outline, digest, content))
        if not rows:
            return
        try:
            self._write(rows)
        except (OSError, sqlite3.Error) as error:
            logger.debug("%s is not written: %s", self._path, error)

    def _write(self, rows: Sequence[tuple[str | bytes | bool, ...]]) -> None:
        try:
            self._open().close()
        except FileNotFoundError:
            pass
        except (OSError, sqlite3.Error) as error:
            if _busy(error):
                raise
            self._unusable(error)
            # the journal first: it must not be played into a new index
            for name in (f"{self._path}-journal", f"{self._path}-wal", self._path):
                Path(name).unlink(missing_ok=True)
        connection = sqlite3.connect(self._path, timeout=WAIT)
        with closing(connection), connection:
            connection.execute(SCHEMA.replace("TABLE", "TABLE IF NOT EXISTS", 1))
            marks = ",".join("?" * len(rows[0]))
            connection.executemany(f"INSERT OR REPLACE INTO {TABLE} VALUES ({marks})", rows)

    def _open(self) -> sqlite3.Connection:
        """The index, to be read: whoever gave us the folder may have made it.

        Raises:
            FileNotFoundError: there is none, or an empty one.
            OSError, sqlite3.Error: it cannot be read, or is not ours.
        """
        if not stat.S_ISREG(os.lstat(self._path).st_mode):
            raise sqlite3.DatabaseError("no regular file")
        # what a killed process left half-written makes a read-only connection fail
        where = f"{self._path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(where, uri=True, timeout=WAIT, check_same_thread=False)
        try:
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
            found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
            tables = found.fetchmany(2)
            if not tables:
                raise FileNotFoundError("another process is about to make it")
            if tables != [(SCHEMA,)]:
                raise sqlite3.DatabaseError("of another version of encbench")
        except BaseException:
            connection.close()
            raise
        return connection

    def _unusable(self, error: Exception) -> None:
        if not self._told and not _busy(error):
            self._told = True
            killed = _code(error) == sqlite3.SQLITE_READONLY
            reason = "a process was killed that wrote it" if killed else error
            logger.warning("%s is not used (%s); the records are read", self._path, reason)


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 of other errors."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _busy(error: Exception) -> bool:
    """Whether another process has the index now."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _batches(keys: list[str]) -> Iterator[list[str]]:
    return (keys[start : start + TOGETHER] for start in range(0, len(keys), TOGETHER))


class Shared:
    """Equal parts of many records as one object: a third of the memory."""

    def __init__(self) -> None:
        self._parts: dict[object, object] = {}

    def share(self, record: Record) -> Record:
        """The same record; its parts must not be changed any more."""
        self.share_cell(record.cell)
        self._share(record, "network", "parameters", "learning_rate", "baselines", "line_titles")
        self._share(record.provenance, "libraries", "plugins", "blas", "cuda")
        for metric in record.metrics.values():
            self._share(metric, "details")
        for spectrum in record.spectra:
            self._share(spectrum, "method")
        for model in filter(None, (record.linearized, record.error)):
            self._share(model)
        return record

    def share_cell(self, cell: CellConfig) -> None:
        """Share the parts of a cell alone: of a record of which nothing else is kept."""
        self._share(cell, "encoding", "task", "network", "training", "ntk")

    def _share(self, owner: BaseModel, *names: str) -> None:
        for name in names:
            part = owner.__dict__[name]
            content = name, repr(getattr(part, "__dict__", part))
            owner.__dict__[name] = self._parts.setdefault(content, part)
        # of each model pydantic keeps the set of fields that were given: half of its memory, and
        # nobody asks it of a record
        given = self._parts.setdefault(type(owner), owner.model_fields_set)
        object.__setattr__(owner, "__pydantic_fields_set__", given)
