"""The folders of the records in a results folder, and how a new one replaces an old one."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from pathlib import Path

from encbench.errors import StoreError, cannot_write

ELSEWHERE = "name another folder with -o"
OLD = ".old-"
"""Prefix of the folder of a record that is being replaced, before its key."""
SHARD = 2
"""Number of leading characters of a key that name the parent of its record's folder."""


def check_results_folder(directory: Path) -> None:
    """Raise StoreError if there is no such folder."""
    if directory.is_file():
        raise StoreError(f"{directory} is a file, not a results folder")
    if not directory.is_dir():
        raise StoreError(f"there is no results folder {directory}; `encbench run -o DIR` makes one")


class RecordPlaces:
    """The folders of records under ``directory``; only one process at a time may change them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "records"

    def place(self, key: str) -> Path:
        """The folder of a record, which need not exist.

        Earlier versions of encbench wrote to ``records/<key>``; such a folder is not moved.
        """
        flat = self.root / key
        return flat if os.path.lexists(flat) else self.root / key[:SHARD] / key

    def places(self) -> dict[str, str]:
        """``place`` of each key, sorted by key, without a look-up per record."""
        check_results_folder(self.directory)
        found: dict[str, str] = {}
        try:
            entries = list(os.scandir(self.root))
            shards = {e.name for e in entries if _is_shard(e)}
            for shard in shards:
                inside = f"{self.root}/{shard}"
                # a record being replaced is beside its new folder: one listing shows either
                names = {e.name.removeprefix(OLD) for e in os.scandir(inside)} - {shard}
                found |= {name: f"{inside}/{name}" for name in names if name.startswith(shard)}
            for name in {e.name for e in entries} - shards:
                key = name.removeprefix(OLD)
                found[key] = f"{self.root}/{key}" if key == name else str(self.place(key))
        except FileNotFoundError:
            self.refuse_parts()
            return {}
        except OSError as error:
            raise StoreError(f"cannot read {self.directory}: {error.strerror or error}") from None
        return {key: found[key] for key in sorted(found) if key and key[0] != "."}

    def refuse_parts(self) -> None:
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

    def replaced(self, key: str) -> list[Path]:
        """Folders in which a record may be found while it is being replaced."""
        return [parent / f"{OLD}{key}" for parent in (self.root, self.root / key[:SHARD])]

    def put(self, folder: Path, key: str) -> None:
        """Move a folder under ``root`` to the place of a key's record, replacing an earlier one."""
        final = self.place(key)
        replaced = final.with_name(f"{OLD}{key}")
        for file in folder.iterdir():
            flush(file)
        # a file that was flushed can still be missing from its folder after a power cut
        flush(folder)
        if not final.parent.is_dir():
            final.parent.mkdir()
            flush(self.root)
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
        flush(final.parent)

    def recover(self) -> None:
        """Clean up after a process that was killed while it wrote."""
        for unfinished in self.root.glob(".new-*"):
            _discard(unfinished)
        shards = [Path(e.path) for e in os.scandir(self.root) if _is_shard(e)]
        for replaced in [r for place in (self.root, *shards) for r in place.glob(f"{OLD}*")]:
            final = self.place(replaced.name.removeprefix(OLD))
            if os.path.lexists(final):
                _discard(replaced)
            else:
                final.parent.mkdir(exist_ok=True)
                replaced.rename(final)

    def set_aside(self, folder: Path) -> Path:
        """Move a damaged record to ``damaged/``; returns its folder there."""
        damaged = self.directory / "damaged"
        try:
            damaged.mkdir(exist_ok=True)
            names = (f"{folder.name}-{n}" if n else folder.name for n in itertools.count())
            target = next(p for p in (damaged / n for n in names) if not os.path.lexists(p))
            folder.rename(target)
        except OSError as error:
            raise cannot_write(damaged, error, ELSEWHERE) from None
        return target


def _is_shard(entry: os.DirEntry[str]) -> bool:
    """Whether this is a folder of records whose keys begin with its name."""
    # a link could lead to records that are not ours to replace
    folder = len(entry.name) == SHARD and entry.is_dir(follow_symlinks=False)
    return folder and not Path(entry.path, "record.json").exists()


def _folders(path: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [Path(entry) for entry in os.scandir(path) if entry.is_dir()]
    return []


def _discard(path: Path) -> None:
    """Remove a file or folder that is no longer needed; a failure does not matter."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Flush a file, or the directory entries of a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
