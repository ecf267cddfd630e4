"""The folder of one record: written with a manifest, and checked against it when read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from encbench.errors import StoreError, printable
from encbench.results.records import SCHEMA_VERSION, FileEntry, Record, StoredRecord, upgrade

RECORD, MANIFEST = "record.json", "manifest.json"
WEIGHTS = "weights.safetensors"
_Manifest = TypeAdapter(dict[str, FileEntry | None])
_Sizes = TypeAdapter(dict[str, int])
_CURRENT = re.compile(rb'\s*\{\s*"schema_version":\s*%d\s*,' % SCHEMA_VERSION)
"""Matches records of the current version, which is the first field, so they are parsed once."""

_CONTROL = re.compile(rb"\\u00(?:[01]|7[fF]|[89])|\\[bfr]|\xc2[\x80-\x9f]|\x7f")
"""Control characters in JSON, except line breaks and tabs."""
_BEFORE_CONTROL = (b"\\", b"\xc2", b"\x7f")
"""Bytes one of which is in every match; they are searched first, since the pattern is slow."""
MOST_BYTES = 1 << 26
"""Maximum size of record.json, manifest.json and run.json, each: 64 MiB."""
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, SyntaxError, EOFError, ValueError),
    *(UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning),
)
"""Exceptions that reading a damaged .npz or PNG raises, besides OSError."""


class NewerRecord(Exception):
    """A record of a schema version that this encbench does not know."""


def write_record(
    folder: Path,
    record: Record,
    arrays: Mapping[str, np.ndarray],
    pictures: Mapping[str, np.ndarray],
    weights: bytes = b"",
) -> dict[str, FileEntry]:
    """Write all files of a record into its empty folder; pictures are as in ``Outcome``, and
    weights, if any, are safetensors.

    Returns the entries of the files beside record.json; raises OSError.
    """
    if arrays:
        np.savez_compressed(folder / "arrays.npz", **dict(arrays))  # type: ignore[arg-type] # numpy's stub takes the mapping for its own keyword
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    if weights:
        (folder / WEIGHTS).write_bytes(weights)
    (folder / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return _beside(write_manifest(folder))


def write_manifest(folder: Path) -> dict[str, FileEntry]:
    """Write the manifest of a record's folder, with an entry for each other file in it."""
    files = {}
    for file in sorted(folder.iterdir()):
        if file.name != MANIFEST:
            files[file.name] = FileEntry(file.stat().st_size, _sha256(file))
    entries = {name: asdict(entry) for name, entry in files.items()}
    (folder / MANIFEST).write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    return files


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def read_record(folder: Path, key: str | None = None) -> StoredRecord:
    """Read the record in a folder; checks record.json and the sizes of the other files.

    Raises:
        NewerRecord: this encbench is too old for it.
        ValueError: it is damaged, or its key is not ``key`` (if None, the folder's name).
        OSError: it cannot be read.
    """
    place = str(folder)  # creating a Path per file would take as long as reading them
    text = read_file(f"{place}/{RECORD}")
    if _CURRENT.match(text):
        record, files = _read_current(place, text)
    else:
        record, files = _read_older(place, text)
    check_named(record.key, files, key or folder.name)
    for name, entry in files.items():
        try:
            found = os.lstat(f"{place}/{name}")
        except FileNotFoundError:
            raise ValueError(f"{name} is missing") from None
        if not stat.S_ISREG(found.st_mode):
            # a link may lead to any file, which a merge would copy
            raise ValueError(f"{name} is not a regular file")
        if found.st_size != entry.size:
            raise ValueError(f"{name} has {found.st_size} bytes, expected {entry.size}")
    return StoredRecord(record, place, files)


def check_named(said: str, files: Mapping[str, FileEntry], key: str) -> None:
    """Check the key that a record says it has, and that its files lie in its own folder.

    Raises:
        ValueError: the key is not ``key``, or a name is not that of a file in the folder.
    """
    if said != key:
        raise ValueError(f"the record says key {said}")
    for name in files:
        if name in ("", ".", "..") or "/" in name or "\\" in name:
            # a merge would copy it to that path
            raise ValueError(f"{name!r} is not the name of a file beside it")


def _read_current(place: str, text: bytes) -> tuple[Record, dict[str, FileEntry]]:
    try:
        manifest = _Manifest.validate_json(read_file(f"{place}/{MANIFEST}"))
    except FileNotFoundError:
        raise ValueError(f"{MANIFEST} is missing") from None
    except ValidationError as error:
        raise ValueError(f"{MANIFEST}: {reason_of(error)}") from None
    if RECORD not in manifest:
        raise ValueError(f"{MANIFEST} does not name {RECORD}")
    entry = manifest[RECORD]
    if entry is not None and entry.sha256 != hashlib.sha256(text).hexdigest():
        raise ValueError(
            f"{RECORD} is not as it was written; to change it on purpose, "
            f"set its entry in {MANIFEST} to null"
        )
    return parse_record(text), _beside(manifest)


def parse_record(text: bytes) -> Record:
    """Parse a record of the current schema version, escaping control characters; raises
    ValueError."""
    if any(byte in text for byte in _BEFORE_CONTROL) and _CONTROL.search(text):
        text = json.dumps(harmless(from_json(text))).encode()
    return Record.model_validate_json(text)


def _read_older(place: str, text: bytes) -> tuple[Record, dict[str, FileEntry]]:
    """Read a record of schema version 1 or 2, which has the sizes of its files and a checksum."""
    data = from_json(text)
    if not isinstance(data, dict):
        raise ValueError(f"{RECORD} holds no record")
    version = data.get("schema_version")
    if type(version) is int and version > SCHEMA_VERSION:
        raise NewerRecord(f"schema version {version}, this one reads {SCHEMA_VERSION}")
    if version == SCHEMA_VERSION:
        return _read_current(place, text)
    if (checksum := data.get("checksum")) is not None:
        # computed with null in place of the checksum, which is the last field
        last = f'"checksum": "{checksum}"\n}}\n'.encode()
        unsealed = text.removesuffix(last) + b'"checksum": null\n}\n'
        if not text.endswith(last) or hashlib.sha256(unsealed).hexdigest()[:16] != checksum:
            raise ValueError(f"{RECORD} is not as it was written")
    record = Record.model_validate(upgrade(harmless(data)))
    sizes = _Sizes.validate_python(data.get("files", {}))
    return record, {name: FileEntry(size, None) for name, size in sizes.items()}


def _beside(manifest: Mapping[str, FileEntry | None]) -> dict[str, FileEntry]:
    """Entries of the files beside record.json."""
    return {name: e for name, e in manifest.items() if e is not None and name != RECORD}


def read_file(path: str) -> bytes:
    """Read a regular file that may come from others.

    Raises:
        ValueError: it is a link, a pipe or the like, empty, or too large.
        OSError: it cannot be read.
    """

    def opener(path: str, flags: int) -> int:
        # do not wait for a pipe, do not follow a link
        return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)

    with open(path, "rb", opener=opener) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
            raise ValueError(
                f"{Path(path).name} is not a regular file of at most {MOST_BYTES} bytes"
            )
        if not found.st_size:
            raise ValueError(f"{Path(path).name} is empty")
        return file.read()


def harmless(value: Any) -> Any:
    """Escape control characters, which a terminal would obey, in data parsed from JSON.

    Parameters of plug-ins are not changed; they are escaped when printed.
    """
    if isinstance(value, dict):
        return {
            printable(key): inner if key == "parameters" else harmless(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [harmless(inner) for inner in value]
    return printable(value) if isinstance(value, str) else value


def check_files(stored: StoredRecord) -> None:
    """Check every byte of the files beside record.json, which ``read_record`` does not.

    Raises:
        ValueError: a file is not as it was written.
        OSError: a file cannot be read.
    """
    for name in damaged_files(stored):
        raise ValueError(f"{name} is damaged")


def damaged_files(stored: StoredRecord) -> Iterator[str]:
    """Names of the files beside record.json that have changed since; every byte is read.

    Raises:
        OSError: a file cannot be read.
    """
    for name, entry in stored.files.items():
        file = stored.path / name
        whole = _is_readable(file) if entry.sha256 is None else _sha256(file) == entry.sha256
        if not whole:
            yield name


def _is_readable(file: Path) -> bool:
    """Whether the checksums inside a .npz or PNG file are right; True for other files."""
    try:
        if file.suffix == ".npz":
            with zipfile.ZipFile(file) as arrays:
                return arrays.testzip() is None
        if file.suffix == ".png":
            with Image.open(file) as picture:
                picture.verify()
    except UNREADABLE:
        return False
    return True


def record_in(folder: Path) -> StoredRecord:
    """Read the record in any folder.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    with as_store_error(folder):
        return read_record(folder)


@contextmanager
def as_store_error(folder: Path) -> Iterator[None]:
    """Convert an error of reading a record to a StoreError of one line."""
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
            "repeat the run that made it to make it again"
        ) from None


def reason_of(error: Exception) -> str:
    """Short message that says why a record cannot be read."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}"
    return str(error)
