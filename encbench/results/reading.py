"""One record.json, read with distrust: of which version, whole, and as it was written."""

from __future__ import annotations

import gc
import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from pydantic import ValidationError
from pydantic_core import from_json

from encbench.errors import StoreError
from encbench.results.records import Record, StoredRecord
from encbench.results.schema import SCHEMA_VERSION, upgrade

__all__ = [
    "NewerRecord",
    "check_files",
    "lone_record",
    "many_objects",
    "read_record",
    "reason_of",
    "record_text",
    "told",
]

_UNSEALED = '"checksum": null\n}\n'
_DIGITS = 16
_CURRENT = re.compile(rb'\s*\{\s*"schema_version":\s*%d\s*,' % SCHEMA_VERSION)
"""Its first words tell the version, so that a record is parsed once."""


class NewerRecord(Exception):
    """A record of a schema that this encbench does not know yet; whole, as far as it can tell."""


def record_text(record: Record) -> tuple[Record, str]:
    """The record with its checksum, and the text of its record.json."""
    text = record.model_copy(update={"checksum": None}).model_dump_json(indent=2) + "\n"
    if not text.endswith(_UNSEALED):
        raise AssertionError("the checksum must be the record's last field")
    sealed = record.model_copy(update={"checksum": _digest(text.encode())})
    return sealed, text.removesuffix(_UNSEALED) + _seal(sealed.checksum)


def read_record(folder: str, key: str | None = None) -> Record:
    """The record in a folder.

    Args:
        folder: its path.
        key: of the record that is expected; the folder's name unless given.

    Raises:
        NewerRecord: this encbench is too old for it.
        ValueError: it is damaged.
        OSError: it cannot be read.
    """
    with open(f"{folder}/record.json", "rb") as file:  # noqa: PTH123 # a Path costs as much as the reading
        record = _parse(file.read())
    if record.key != (key or os.path.basename(folder)):  # noqa: PTH119 # as above
        raise ValueError(f"the record says key {record.key}")
    for name, size in record.files.items():
        if name in ("", ".", "..") or "/" in name or "\\" in name:
            # a merge would copy it to where it says
            raise ValueError(f"{name!r} is no name of a file beside it")
        try:
            found = os.stat(f"{folder}/{name}").st_size  # noqa: PTH116 # as above
        except FileNotFoundError:
            raise ValueError(f"{name} is missing") from None
        if found != size:
            raise ValueError(f"{name} has {found} bytes, expected {size}")
    return record


def lone_record(folder: Path) -> StoredRecord:
    """The record in a folder, wherever that lies.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    with told(folder):
        return StoredRecord(read_record(str(folder)), folder)


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Why the record of a folder cannot be read, as one line of a StoreError."""
    try:
        yield
    except FileNotFoundError:
        raise StoreError(f"there is no record {folder}") from None
    except NewerRecord as error:
        raise StoreError(
            f"{folder} was written by a newer encbench ({error}); update encbench"
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the record {folder} cannot be read ({reason_of(error)}); "
            "the run that made it, given again, makes it again"
        ) from None


def check_files(folder: Path, record: Record) -> None:
    """Look at every byte beside a record, which reading it alone does not.

    Raises:
        ValueError: a checksum of arrays.npz or of a picture does not fit.
        OSError: a file cannot be read.
    """
    for name in record.files:
        try:
            if name.endswith(".npz"):
                with zipfile.ZipFile(folder / name) as arrays:
                    wrong = arrays.testzip() is not None
            elif name.endswith(".png"):
                with Image.open(folder / name) as picture:
                    picture.verify()
                wrong = False
            else:
                continue
        except (zipfile.BadZipFile, zlib.error, SyntaxError, EOFError, UnidentifiedImageError):
            wrong = True
        if wrong:
            raise ValueError(f"{name} is damaged")


@contextmanager
def many_objects() -> Iterator[None]:
    """No garbage collection while thousands of records are made, all of which stay.

    The collector looks at every object again and again as their number grows: four fifths of
    the time of reading 10,000 records.
    """
    # moved to the oldest generation unseen; not where somebody else keeps objects frozen
    aging = gc.get_freeze_count() == 0
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if aging:
            gc.freeze()
            gc.unfreeze()
        gc.enable()


def reason_of(error: Exception) -> str:
    """What is wrong with a record, in a few words."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}"
    return str(error)


def _parse(text: bytes) -> Record:
    """A record from the bytes of record.json, of this schema or an older one."""
    if _CURRENT.match(text):
        record = Record.model_validate_json(text)
        _check_seal(record, text)
        return record
    data = from_json(text)
    if not isinstance(data, dict):
        raise ValueError("record.json holds no record")
    version = data.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise NewerRecord(f"schema version {version}, this one reads {SCHEMA_VERSION}")
    return Record.model_validate(upgrade(data))


def _check_seal(record: Record, text: bytes) -> None:
    if record.checksum is None:
        return
    sealed = _seal(record.checksum).encode()
    unsealed = text.removesuffix(sealed) + _UNSEALED.encode()
    if not text.endswith(sealed) or _digest(unsealed) != record.checksum:
        raise ValueError(
            "record.json is not as it was written; a change that is meant needs checksum null"
        )


def _seal(checksum: str | None) -> str:
    return f'"checksum": "{checksum}"\n}}\n'


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:_DIGITS]
