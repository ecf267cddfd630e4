"""The folder that holds a run's records: written atomically, read with distrust."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image
from pydantic import ValidationError

from encbench.errors import StoreError
from encbench.records import Record, StoredRecord
from encbench.schema import SCHEMA_VERSION, upgrade

__all__ = ["Store"]

logger = logging.getLogger("encbench")


class Store:
    """Records under one directory.

    Only one process writes (``with store.writing(): …``); any number may read. A record that
    cannot be read is moved to ``damaged/`` with a message by the writer, and skipped by readers.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._records = self.directory / "records"
        self._suite = self.directory / "run.json"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the directory for writing; creates it.

        Raises:
            StoreError: it cannot be written, or another process is writing.
        """
        try:
            self._records.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.directory / ".lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise StoreError(
                f"{self.directory} is in use by another encbench run; "
                "wait for it, or choose another folder with -o"
            ) from None
        except OSError as error:
            raise _store_error(
                f"cannot write to the output folder {self.directory}", error
            ) from None
        try:
            self._recover()
            yield
        finally:
            lock.release()

    def write_suite(self, suite: Mapping[str, Any]) -> None:
        """Keep what was asked for beside the results."""
        temporary = self._suite.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(suite, indent=2) + "\n", encoding="utf-8")
            temporary.replace(self._suite)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _store_error(f"cannot write {self._suite}", error) from None

    def suite(self) -> dict[str, Any] | None:
        """The suite of the last run here, or None."""
        try:
            suite = json.loads(self._suite.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return suite if isinstance(suite, dict) else None

    def suite_name(self) -> str | None:
        """Name of the suite of the last run here, or None."""
        name = (self.suite() or {}).get("name")
        return name if isinstance(name, str) else None

    def write(
        self,
        record: Record,
        arrays: Mapping[str, np.ndarray],
        pictures: Mapping[str, np.ndarray],
    ) -> StoredRecord:
        """Put a record on disk in one rename, in place of an earlier one of its key.

        Args:
            record: the numbers; its ``files`` are filled in here.
            arrays: written to arrays.npz.
            pictures: (H, W), (H, W, 3) or (H, W, 4) uint8, each a PNG.

        Raises:
            StoreError: disk full, folder not writable. Nothing half-written is left, and an
                earlier record of the same key stays.
        """
        final = self._records / record.key
        temporary = self._records / f".new-{record.key}-{os.getpid()}"
        try:
            temporary.mkdir(parents=True)
            if arrays:
                np.savez_compressed(temporary / "arrays.npz", **dict(arrays))  # type: ignore[arg-type] # numpy's stub takes the mapping for its own keyword
            for name, pixels in pictures.items():
                Image.fromarray(pixels).save(temporary / f"{name}.png")
            sizes = {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}
            record = record.model_copy(update={"files": sizes})
            (temporary / "record.json").write_text(
                record.model_dump_json(indent=2) + "\n", encoding="utf-8"
            )
            for file in temporary.iterdir():
                _flush(file)
            if final.exists():
                replaced = self._records / f".old-{record.key}"
                final.rename(replaced)
                temporary.rename(final)
                shutil.rmtree(replaced, ignore_errors=True)
            else:
                temporary.rename(final)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise _store_error(f"cannot write the record {final}", error) from None
        return StoredRecord(record, final)

    def remove(self, key: str) -> None:
        """Forget a record, if there is one."""
        shutil.rmtree(self._records / key, ignore_errors=True)

    def records(self, *, set_aside: bool = False) -> list[StoredRecord]:
        """All readable records, by key.

        Args:
            set_aside: move damaged ones to ``damaged/``; only while writing.

        Raises:
            StoreError: there is no such directory; or, with ``set_aside``, it holds records of a
                newer encbench, which an older one must neither move nor replace.
        """
        if not self.directory.is_dir():
            raise StoreError(
                f"there is no results folder {self.directory}; `encbench run -o DIR` makes one"
            )
        found = []
        for folder in sorted(self._records.glob("[!.]*")):
            try:
                found.append(StoredRecord(_read(folder), folder))
            except _Newer as error:
                if set_aside:
                    raise StoreError(
                        f"{folder} was written by a newer encbench ({error}); "
                        "update encbench, or choose another folder with -o"
                    ) from None
                logger.warning("skipping %s of a newer encbench: %s; update it", folder, error)
            except (OSError, ValueError) as error:
                reason = _reason(error)
                if not set_aside:
                    logger.warning("skipping the damaged record %s: %s", folder, reason)
                    continue
                aside = self._set_aside(folder)
                logger.warning(
                    "the record %s is damaged (%s); moved to %s", folder.name, reason, aside
                )
        return found

    def _recover(self) -> None:
        """Clean up after a process that was killed while it wrote."""
        for unfinished in self._records.glob(".new-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        for replaced in self._records.glob(".old-*"):
            final = self._records / replaced.name.removeprefix(".old-")
            if final.exists():
                shutil.rmtree(replaced, ignore_errors=True)
            else:
                replaced.rename(final)

    def _set_aside(self, folder: Path) -> Path:
        damaged = self.directory / "damaged"
        try:
            damaged.mkdir(exist_ok=True)
            number = sum(1 for _ in damaged.glob(f"{folder.name}*"))
            target = damaged / (f"{folder.name}-{number}" if number else folder.name)
            folder.rename(target)
        except OSError as error:
            raise _store_error(f"cannot set aside the damaged record {folder}", error) from None
        return target


class _Newer(Exception):
    """A record of a schema that this encbench does not know yet; whole, as far as it can tell."""


def _read(folder: Path) -> Record:
    record = _parse((folder / "record.json").read_bytes())
    if record.key != folder.name:
        raise ValueError(f"the record says key {record.key}")
    for name, size in record.files.items():
        file = folder / name
        if not file.exists():
            raise ValueError(f"{name} is missing")
        if file.stat().st_size != size:
            raise ValueError(f"{name} has {file.stat().st_size} bytes, expected {size}")
    return record


def _parse(text: bytes) -> Record:
    """A record from the bytes of record.json, of this schema or an older one."""
    invalid: ValidationError | None = None
    try:
        record = Record.model_validate_json(text)
    except ValidationError as error:
        invalid = error
    else:
        if "schema_version" in record.model_fields_set and record.schema_version == SCHEMA_VERSION:
            return record
    try:
        data = json.loads(text)
    except RecursionError:
        raise ValueError("record.json is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError("record.json holds no record")
    version = data.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise _Newer(f"schema version {version}, this one reads {SCHEMA_VERSION}")
    if invalid is not None and version == SCHEMA_VERSION:
        raise invalid
    return Record.model_validate(upgrade(data))


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}"
    return str(error)


def _flush(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def _store_error(what: str, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    return StoreError(f"{what}: {reason}; free space or permissions, or another folder with -o")
