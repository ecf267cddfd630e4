"""Find a record given on the command line by its folder, or by a results folder and a key."""

from __future__ import annotations

import os
from pathlib import Path

import encbench
from encbench.errors import UsageError
from encbench.results.record_folder import record_in
from encbench.results.records import StoredRecord


def is_record(where: Path) -> bool:
    """Whether a path is a record's folder or the record.json in it."""
    return where.name == "record.json" or (where / "record.json").exists()


def one_record(where: Path, key: str | None) -> StoredRecord:
    """The record in a record's folder; in a results folder, the one whose key starts with ``key``.

    Raises:
        UsageError: not exactly one record's key begins with ``key``, or a key is missing or extra.
        StoreError: the record cannot be read.
    """
    if is_record(where):
        if key is not None:
            raise UsageError(f"{where} is one record; give no key ({key!r}) with it")
        # the folder's name is the key, which "." and ".." do not show
        folder = Path(os.path.abspath(where.parent if where.name == "record.json" else where))  # noqa: PTH100 # resolve would follow a link
        return record_in(folder)
    store = encbench.Store(where)
    keys = store.keys()
    found = [] if key is None else [name for name in keys if name.startswith(key)]
    if len(found) == 1:
        return store.record(found[0])
    listed = ", ".join((found or keys)[:8]) + (" …" if len(found or keys) > 8 else "")
    if key is None:
        raise UsageError(f"which record of {where}? Give the beginning of its key: {listed}")
    what = f"{len(found)} records begin" if found else "no record begins"
    raise UsageError(f"{what} with {key!r}; keys in {where}: {listed or 'none'}")
