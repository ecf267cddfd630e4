"""Which of a plan's cells are left to run, and which records are used as they are."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from encbench.errors import UsageError
from encbench.results.record_folder import WEIGHTS
from encbench.results.records import Status, StoredRecord
from encbench.results.store import Store
from encbench.suite.config import CellConfig, cell_key, changed_versions

logger = logging.getLogger("encbench")

Rerun = Literal["never", "interrupted", "failed", "diverged", "all"]
_AGAIN: dict[Rerun, set[Status]] = {
    "never": set(),
    "interrupted": {"interrupted"},
    "failed": {"failed", "out_of_memory", "timeout", "interrupted"},
    "diverged": {"failed", "out_of_memory", "timeout", "interrupted", "diverged"},
    "all": {"ok", "failed", "out_of_memory", "timeout", "interrupted", "diverged"},
}


def share_of(
    cells: Mapping[str, CellConfig], shard: tuple[int, int] | None
) -> Mapping[str, CellConfig]:
    """One of several shares of cells by key, in their order; all of them where none is named.

    Shares differ by at most one cell, and each takes of every encoding and task.

    Raises:
        UsageError: there is no such share.
    """
    if shard is None:
        return cells
    number, count = shard
    if not 1 <= number <= count:
        raise UsageError(f"shard {number}/{count}: expected I/N, where I is one of 1 to N")
    # by key: every n-th cell of the plan could be the same encoding each time
    mine = set(sorted(cells)[number - 1 :: count])
    return {key: cell for key, cell in cells.items() if key in mine}


def left_to_run(
    cells: Sequence[CellConfig],
    directory: Path | str,
    rerun: Rerun = "failed",
    keep_versions: bool = False,
    save_weights: bool = False,
) -> list[CellConfig]:
    """Those of the cells that ``run_suite`` would run in ``directory``; nothing is written."""
    if not Path(directory).is_dir():
        return list(cells)
    by_key = {cell_key(cell): cell for cell in cells}
    existing = by_cell(Store(directory).listed(), by_key)
    kept = reusable_records(by_key, existing, rerun, keep_versions, save_weights)
    return [cell for key, cell in by_key.items() if key not in kept]


def by_cell(
    records: Sequence[StoredRecord], cells: Mapping[str, CellConfig]
) -> dict[str, list[StoredRecord]]:
    """Records by the key that their cell has now, the one to use first.

    There can be several of a cell: up to schema version 2 the key depended on the plug-ins'
    versions, and a run killed while it replaces a record of that time leaves both.
    """
    groups: dict[str, list[StoredRecord]] = defaultdict(list)
    for stored in records:
        groups[stored.outline.cell_key].append(stored)
    for key, group in ((key, group) for key, group in groups.items() if len(group) > 1):
        versions = cells[key].versions if key in cells else None
        group.sort(
            key=lambda s: (
                s.outline.versions == versions,
                s.outline.key == key,
                s.outline.started,
            ),
            reverse=True,
        )
    return dict(groups)


def reusable_records(
    cells: Mapping[str, CellConfig],
    existing: Mapping[str, list[StoredRecord]],
    rerun: Rerun,
    keep_versions: bool,
    save_weights: bool,
) -> dict[str, StoredRecord]:
    """By the cell's key, records of the cells that need not run again."""
    found = {}
    others: Counter[str] = Counter()
    lacking = 0
    for key, cell in cells.items():
        if key not in existing:
            continue
        stored = existing[key][0]
        if stored.outline.status in _AGAIN[rerun]:
            continue
        changed = changed_versions(stored.outline.versions, cell)
        if changed and not keep_versions and rerun != "never":
            others.update(changed)
        elif save_weights and rerun != "never" and _lacks_weights(stored):
            lacking += 1
        else:
            found[key] = stored
    for change, count in others.items():
        logger.warning(
            "cells run again because their record is of %s: %d; --keep-versions keeps them",
            change,
            count,
        )
    if lacking:
        logger.warning("cells run again because their record has no weights: %d", lacking)
    return found


def _lacks_weights(stored: StoredRecord) -> bool:
    return stored.outline.status == "ok" and WEIGHTS not in stored.files
