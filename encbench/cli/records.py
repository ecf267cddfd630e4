"""Naming one record on the command line: by its folder, or by a results folder and its key."""

from __future__ import annotations

import os
from pathlib import Path

import encbench
from encbench.errors import UsageError
from encbench.results.record_folder import record_in
from encbench.results.records import StoredRecord

__all__ = ["is_record", "one_record"]


def is_record(where: Path) -> bool:
    """Whether a path is a record's folder, or the record.json in it."""
    return where.name == "record.json" or (where / "record.json").exists()


def one_record(where: Path, key: str | None) -> StoredRecord:
    """The record that is meant.

    Args:
        where: a record's folder or its record.json; or a results folder.
        key: beginning of the record's key, in a results folder.

    Raises:
        UsageError: no record, or more than one, begins with that key; or no key was given.
        StoreError: the record cannot be read.
    """
    if is_record(where):
        if key is not None:
            raise UsageError(f"{where} is one record; give no key ({key!r}) with it")
        # "." and ".." have no name that tells the key
        folder = Path(os.path.abspath(where.parent if where.name == "record.json" else where))  # noqa: PTH100 # resolve would follow a link
        return record_in(folder)
    store = encbench.Store(where)
    keys = store.keys()
    found = [name for name in keys if key is not None and name.startswith(key)]
    if len(found) == 1:
        return store.record(found[0])
    listed = ", ".join((found or keys)[:8]) + (" …" if len(found or keys) > 8 else "")
    if key is None:
        raise UsageError(f"which record of {where}? Give the beginning of its key: {listed}")
    what = f"{len(found)} records begin" if found else "no record begins"
    raise UsageError(f"{what} with {key!r}; keys in {where}: {listed or 'none'}")
