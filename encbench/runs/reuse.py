"""Which record of a cell stays: one that a results folder holds, or one that a run makes."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from encbench.errors import bounded
from encbench.results.record_folder import WEIGHTS
from encbench.results.records import CellResult, Record, Status, StoredRecord
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


@dataclass(frozen=True)
class Reuse:
    """Which records are used as they are, instead of running their cells again."""

    rerun: Rerun = "failed"
    """Which cells with a record run again; see ``run_suite``."""
    keep_versions: bool = False
    """Whether records made with other versions of plug-ins are used."""
    save_weights: bool = False
    """Whether records must have weights."""

    def reusable(
        self, cells: Mapping[str, CellConfig], existing: Mapping[str, list[StoredRecord]]
    ) -> dict[str, StoredRecord]:
        """Records of the cells that need not run again, by key of the cell."""
        found = {}
        others: Counter[str] = Counter()
        lacking = 0
        for key, cell in cells.items():
            if key not in existing:
                continue
            stored = existing[key][0]
            if stored.outline.status in _AGAIN[self.rerun]:
                continue
            changed = changed_versions(stored.outline.versions, cell)
            if changed and not self.keep_versions and self.rerun != "never":
                others.update(changed)
            elif self.rerun != "never" and self._lacks_weights(stored):
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

    def accepts(self, stored: StoredRecord, cell: CellConfig) -> bool:
        """Whether a record that another process makes during the run will do for the cell."""
        # "diverged" and "all" ask for one repetition, which this record is
        if stored.outline.status in _AGAIN[self.rerun] & _AGAIN["failed"]:
            return False
        if self._lacks_weights(stored):
            return False
        return not changed_versions(stored.outline.versions, cell)

    def _lacks_weights(self, stored: StoredRecord) -> bool:
        lacking = stored.outline.status == "ok" and WEIGHTS not in stored.files
        return self.save_weights and lacking


class CellRecords:
    """A results folder's records of the cells of a suite that runs in it.

    Args:
        store: the folder, open for writing.
        cells: the suite's cells, by key.
        reuse: which of the folder's records are used.
    """

    def __init__(self, store: Store, cells: Mapping[str, CellConfig], reuse: Reuse) -> None:
        self.store = store
        self.cells = cells
        self.reuse = reuse
        self.existing = by_cell(store.listed(set_aside=True), cells)

    def remove_superseded(self) -> None:
        """Remove older records of a cell and the same versions."""
        for key in self.cells.keys() & self.existing.keys():
            group = self.existing[key]
            first = group[0].outline.versions
            for stored in [s for s in group[1:] if s.outline.versions == first]:
                self.store.remove(stored.outline.key)
                group.remove(stored)

    def reused(self) -> dict[str, StoredRecord]:
        """The records to use, read whole, by key of the cell.

        Those that say that the same cell's data could not be read are removed.
        """
        wanted = self.reuse.reusable(self.cells, self.existing)
        used = {s.outline.cell_key: s for s in self.store.whole(wanted.values())}
        for key in used:
            for unread in self._of_unread_data(self.cells[key]):
                self.store.remove(unread.outline.key)
        return used

    def made_meanwhile(self, cell: CellConfig) -> StoredRecord | None:
        """A record that another process has made of a cell since the run started, if it will do."""
        key = cell_key(cell)
        stored = self.store.find(key)
        if stored is None or stored.outline in [s.outline for s in self.existing.get(key, ())]:
            return None
        return stored if self.reuse.accepts(stored, cell) else None

    def write(self, result: CellResult) -> tuple[StoredRecord, bool]:
        """Write a result, unless the cell has a better record.

        Returns:
            The cell's record, and whether it is the result's.
        """
        earlier = self.existing.get(result.record.key, [])
        with self.store.turn():
            better = self._better(result.record, earlier)
            if better is not None:
                _say_kept(better, result.record)
                return better, False
            stored = self.store.write(result.record, result.arrays, result.pictures, result.weights)
        for replaced in (*earlier, *self._of_unread_data(stored.record.cell)):
            if replaced.outline.key != stored.outline.key:
                self.store.remove(replaced.outline.key)
        return stored, True

    def _better(self, record: Record, earlier: Iterable[StoredRecord]) -> StoredRecord | None:
        """The record that a new one of its cell must not replace; None if there is none.

        A cell that did not finish replaces none that did. One that diverged replaces one that is ok
        only if all cells were to run again, or if a plug-in or encbench has changed.
        """
        if record.status == "ok":
            return None
        for key in dict.fromkeys([record.key, *(s.outline.key for s in earlier)]):
            stored = self.store.find(key)
            if stored is None or stored.outline.status not in ("ok", "diverged"):
                continue
            if record.status != "diverged":
                return stored
            encbench = stored.record.provenance.encbench, record.provenance.encbench
            changed = changed_versions(stored.outline.versions, record.cell) or len({*encbench}) > 1
            if stored.outline.status == "ok" and not (self.reuse.rerun == "all" or changed):
                return stored
        return None

    def _of_unread_data(self, cell: CellConfig) -> Sequence[StoredRecord]:
        """Records of the cell from when its data could not be read."""
        if cell.data_hash is None:
            return ()
        return self.existing.get(cell_key(cell.model_copy(update={"data_hash": None})), ())


def _say_kept(stored: StoredRecord, record: Record) -> None:
    """Warn that a record is kept in place of a new one, and why."""
    versions = sorted(changed_versions(stored.outline.versions, record.cell))
    why = f": {bounded(' '.join(record.error.message.split()), 1000)}" if record.error else ""
    logger.warning(
        "%s: %s in %s%s; its earlier record (%s) is kept",
        record.cell.label.removesuffix(" seed 0"),
        record.status.replace("_", " "),
        record.phase,
        why,
        ", ".join([stored.outline.status, *versions]),
    )


def by_cell(
    records: Sequence[StoredRecord], cells: Mapping[str, CellConfig]
) -> dict[str, list[StoredRecord]]:
    """Records by the current key of their cell, the one to use first.

    A cell can have several records: up to schema version 2 the key depended on the plug-ins'
    versions, and a run killed while it replaces such a record leaves both.
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


def left_to_run(
    cells: Sequence[CellConfig], directory: Path | str, reuse: Reuse | None = None
) -> list[CellConfig]:
    """The cells that ``run_suite`` would run in ``directory``; nothing is written."""
    if not Path(directory).is_dir():
        return list(cells)
    by_key = {cell_key(cell): cell for cell in cells}
    existing = by_cell(Store(directory).listed(), by_key)
    kept = (reuse or Reuse()).reusable(by_key, existing)
    return [cell for key, cell in by_key.items() if key not in kept]
