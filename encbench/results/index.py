"""An index of a results folder: one file, so that unchanged records are not read again.

    DIRECTORY/index.sqlite    a row per record

The records take precedence. A row is used only if all files of its record have the size, times and
inode that they had when they were checked (never the case in a copied or unpacked folder) and its
content passes the checks of a record.json. A record's outline, which is all that planning needs,
has a column of its own, so that resuming a run parses no record. If the index is missing, damaged
or of another version of encbench, it is rebuilt from the records. If it cannot be written or is in
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
"""Name of the table, with the versions of the index and of the records."""
SCHEMA = (
    f"CREATE TABLE {TABLE} (key TEXT PRIMARY KEY, seal BLOB, whole INTEGER, files BLOB, "
    "outline BLOB, digest BLOB, record BLOB)"
)
"""The record is the last column, so that SQLite reads the others without it."""
BATCH = 250
"""Number of rows read or written at a time."""
SETTLE_TIME = 2.0
"""Time since the last change after which a file is indexed [s]. A second change at the same size
within one tick of the file system's clock would go unnoticed."""
WAIT = 5.0
"""Maximum time to wait for another process that is using the index [s]."""
_Files = TypeAdapter(dict[str, FileEntry])
_Outline = TypeAdapter(Outline)


def stamp(folder: Path | str, files: Iterable[str] = ()) -> bytes:
    """Hash of the sizes, times and inodes of a record's files, which shows that one changed."""
    return _stamp(folder, files)[0]


def _stamp(folder: Path | str, files: Iterable[str]) -> tuple[bytes, float]:
    """The stamp, and the time of the last change to any of the files."""
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
    """Hash of a row, including the digest of its record and the stamp of its files."""
    sealed = hashlib.blake2b(stamp + bytes([whole]), digest_size=16)
    for part in (files, outline, digest):
        sealed.update(part)
    return sealed.digest()


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _settled(changed: float) -> bool:
    return changed < time.time() - SETTLE_TIME


class RecordIndex:
    """The index of one results folder. If it fails, the records are read; that is no error."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "index.sqlite"
        self._waiting: dict[str, tuple[StoredRecord, bool, bytes]] = {}
        """Records to write, by key, with whether all their bytes were checked, and their stamp."""
        self._warned = False
        self._reading: dict[int, sqlite3.Connection] = {}
        """Connections that ``record`` keeps open, since it is called thousands of times; by
        process ID, since a forked process must not use its parent's connection."""

    def find(
        self, places: Mapping[str, str], later: Callable[[str, bytes], Record] | None = None
    ) -> Iterator[tuple[str, StoredRecord, bool]]:
        """Find the records whose files have not changed since they were checked.

        Args:
            places: folders of records by key.
            later: reads the numbers of a record on demand, given its key and the digest that
                ``record`` takes; if None, they are read now.

        Yields:
            A key, its record, and whether all bytes of all its files were checked.
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
        """The numbers of a record as ``find`` found it; None if the index no longer has them."""
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
        """Add a record that was just written or read; it is written to disk later, in batches.

        Args:
            stored: the record, in its final folder.
            whole: whether all bytes of all its files are known to be right.
            before: its ``stamp`` from before it was read, or None if this process wrote it.
        """
        seen, changed = _stamp(stored.path, stored.files)
        if before is not None and (stamp(stored.path) != before or not _settled(changed)):
            return
        self._waiting[stored.outline.key] = stored, whole, seen
        if len(self._waiting) % BATCH == 0:
            self.flush()

    def flush(self) -> None:
        """Write the waiting records, except those that changed in the last two seconds."""
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
            # the journal first: it must not be replayed into a new index
            for name in (f"{self._path}-journal", f"{self._path}-wal", self._path):
                Path(name).unlink(missing_ok=True)
        connection = sqlite3.connect(self._path, timeout=WAIT)
        with closing(connection), connection:
            connection.execute(SCHEMA.replace("TABLE", "TABLE IF NOT EXISTS", 1))
            marks = ",".join("?" * len(rows[0]))
            connection.executemany(f"INSERT OR REPLACE INTO {TABLE} VALUES ({marks})", rows)

    def _open(self) -> sqlite3.Connection:
        """Open the index for reading; it is not trusted, since the folder may come from others.

        Raises:
            FileNotFoundError: the index does not exist or is empty.
            OSError, sqlite3.Error: it cannot be read, or has another schema.
        """
        if not stat.S_ISREG(os.lstat(self._path).st_mode):
            raise sqlite3.DatabaseError("it is not a regular file")
        # a read-only connection fails if a killed process left the index half-written
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
                raise sqlite3.DatabaseError("it is of another version of encbench")
        except BaseException:
            connection.close()
            raise
        return connection

    def _unusable(self, error: Exception) -> None:
        if not self._warned and not _busy(error):
            self._warned = True
            killed = _code(error) == sqlite3.SQLITE_READONLY
            reason = "a process was killed while writing it" if killed else error
            logger.warning("%s is not used (%s); the records are read", self._path, reason)


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 for other errors."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _busy(error: Exception) -> bool:
    """Whether the error says that another process is using the index."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _batches(keys: list[str]) -> Iterator[list[str]]:
    return (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))


class Shared:
    """Keeps equal parts of many records only once, which takes a third of the memory."""

    def __init__(self) -> None:
        self._parts: dict[object, object] = {}

    def share(self, record: Record) -> Record:
        """Share the parts of a record and return it; they must not be modified afterwards."""
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
        """Share the parts of a cell, for a record of which nothing else is kept."""
        self._share(cell, "encoding", "task", "network", "training", "ntk")

    def _share(self, owner: BaseModel, *names: str) -> None:
        for name in names:
            part = owner.__dict__[name]
            content = name, repr(getattr(part, "__dict__", part))
            owner.__dict__[name] = self._parts.setdefault(content, part)
        # pydantic keeps the set of given fields of each model: half of its memory, and not used
        # for records
        given = self._parts.setdefault(type(owner), owner.model_fields_set)
        object.__setattr__(owner, "__pydantic_fields_set__", given)
