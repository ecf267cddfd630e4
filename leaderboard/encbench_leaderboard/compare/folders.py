"""Two results folders, or two encodings of one, cell beside cell: what differs, and is it noise?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from encbench.errors import StoreError, UsageError
from encbench.results.agreement import environment_changes
from encbench.results.records import Record, StoredRecord
from encbench.results.store import Store
from encbench_leaderboard.board.conditions import conditions_of
from encbench_leaderboard.board.labels import differing
from encbench_leaderboard.board.table import TaskBoard, boards, cell_settings
from encbench_leaderboard.compare.match import (
    differences_of,
    entries_of,
    equal_results,
    find_encoding,
    match_cells,
    name_of,
    settings_between,
    why_unmatched,
)
from encbench_leaderboard.compare.rows import Row, rows_of

__all__ = ["Change", "Report", "compare_encodings", "compare_folders"]


@dataclass(frozen=True)
class Change:
    """Something that was otherwise, and for how many pairs of cells."""

    name: str
    a: str
    b: str
    pairs: int


@dataclass
class Report:
    """Everything that a comparison found. Differences are B minus A."""

    a: str
    b: str
    folder: str | None
    """Where both encodings are; None where ``a`` and ``b`` are folders."""
    pairs: int = 0
    """Cells that stand beside one another, however they ended."""
    equal: int = 0
    """Pairs whose status, metrics, best value and spectra are equal to the last digit."""
    rows: list[Row] = field(default_factory=list)
    """Categories first; then every task, those of categories too."""
    changes: list[Change] = field(default_factory=list)
    settings: list[Change] = field(default_factory=list)
    not_finished: list[str] = field(default_factory=list)
    """Pairs of which one or both did not finish, in words."""
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    """Cells without one beside them, in words."""
    between: list[str] = field(default_factory=list)
    """Settings that keep those apart, where nothing else does."""


def compare_folders(a: Path, b: Path, despite: Sequence[str] = ()) -> Report:
    """The cells of two results folders that are the same but for versions of plug-ins.

    Args:
        a, b: the folders.
        despite: settings in which they may differ, too: "training.epochs", or all of "network".

    Raises:
        StoreError: one of them is no results folder, or holds no records.
        UsageError: there is no such setting, or a folder holds a cell with several values of it.
    """
    ours, theirs = _records(a), _records(b)
    matched, only_a, only_b = match_cells(ours, theirs, despite)
    report = Report(str(a), str(b), None)
    _note_pairs(report, matched)
    from_b = differences_of(only_a, only_b)
    report.only_a = why_unmatched(only_a, from_b)
    report.only_b = why_unmatched(only_b, differences_of(only_b, only_a))
    report.between = settings_between(from_b)
    if not matched:
        return report
    beside = {id(mine): other for mine, other in matched}
    board = boards([mine for mine, _ in matched])
    tables = []
    for task in (*board.categories, *board.tasks):
        others = [beside[id(stored)] for stored in task.records]
        # The same entry, unit and seed row by row; only what was measured is the other's.
        sides = (task.cells, task.cells.copy())
        measured = task.measure(others)
        sides[1][measured.columns] = measured
        cells_a, cells_b = (
            _placed(task, cells, own).assign(pair=range(len(cells)))
            for cells, own in zip(sides, (task.records, others), strict=True)
        )
        tables.append((task, cells_a, cells_b))
    report.rows = rows_of(tables)
    return report


def compare_encodings(a: str, b: str, folder: Path) -> Report:
    """Two encodings on the same tasks and seeds of one results folder.

    Args:
        a, b: an entry as the leaderboard prints it, or NAME:KEY=VALUE with as many of its
            parameters as tell it from the others.

    Raises:
        StoreError: the folder is none, or holds no records.
        UsageError: a name is that of no encoding there, or of several.
    """
    records = _records(folder)
    board = boards(records)
    mine, other = find_encoding(a, board), find_encoding(b, board)
    if mine == other:
        raise UsageError(f"{a!r} and {b!r} are the same encoding, {mine.label}; name two")
    report = Report(mine.label, other.label, str(folder))
    tables: list[tuple[TaskBoard, pd.DataFrame, pd.DataFrame]] = []
    for task in (*board.categories, *board.tasks):
        sides = []
        for text, wanted in ((a, mine), (b, other)):
            entries = entries_of(wanted, task)
            if len(entries) > 1:
                raise UsageError(
                    f"{text!r} is several entries on {task.label}: {'; '.join(entries)}; "
                    "give one of them as it is printed here"
                )
            chosen = task.cells["entry"].isin(entries)
            kept = [r for r, yes in zip(task.records, chosen, strict=True) if yes]
            cells = _placed(task, task.cells[chosen].assign(entry=""), kept)
            cells["pair"] = cells["target"] + " " + cells["seed"].astype(str)
            sides.append((cells.drop_duplicates("pair"), kept))
        (cells_a, records_a), (cells_b, records_b) = sides
        if not (len(cells_a) and len(cells_b)):
            if not task.targets:
                report.only_a += [name_of(stored.record) for stored in records_a]
                report.only_b += [name_of(stored.record) for stored in records_b]
            continue
        tables.append((task, cells_a, cells_b))
        if not task.targets:
            _note_within(report, records_a, records_b)
    report.rows = rows_of(tables)
    return report


def _note_within(
    report: Report, records_a: Sequence[StoredRecord], records_b: Sequence[StoredRecord]
) -> None:
    by_seed_a = {stored.record.cell.seed: stored for stored in records_a}
    by_seed_b = {stored.record.cell.seed: stored for stored in records_b}
    both = sorted(by_seed_a.keys() & by_seed_b.keys())
    _note_pairs(report, [(by_seed_a[seed], by_seed_b[seed]) for seed in both])
    report.only_a += [name_of(r.record) for s, r in by_seed_a.items() if s not in by_seed_b]
    report.only_b += [name_of(r.record) for s, r in by_seed_b.items() if s not in by_seed_a]


def _note_pairs(report: Report, pairs: Sequence[tuple[StoredRecord, StoredRecord]]) -> None:
    changes = Counter({(c.name, c.a, c.b): c.pairs for c in report.changes})
    settings = Counter({(c.name, c.a, c.b): c.pairs for c in report.settings})
    for mine, other in pairs:
        a, b = mine.record, other.record
        report.pairs += 1
        report.equal += equal_results(a, b)
        changes.update((c.name, c.then, c.now) for c in environment_changes(a, b))
        left, right = cell_settings(a), cell_settings(b)
        settings.update(
            (name, str(left.get(name, "unset")), str(right.get(name, "unset")))
            for name in differing([left, right])
        )
        if a.status != "ok" or b.status != "ok":
            report.not_finished.append(f"{name_of(a)}: A {_ended(a)}, B {_ended(b)}")
    report.changes = [Change(*what, count) for what, count in changes.items()]
    report.settings = [Change(*what, count) for what, count in settings.items()]


def _placed(task: TaskBoard, cells: pd.DataFrame, records: Sequence[StoredRecord]) -> pd.DataFrame:
    """With the columns that decide what may be compared: machine, device, metrics' conditions."""
    sources = [stored.record.provenance for stored in records]
    threads = [f"{s.threads} thread{'' if s.threads == 1 else 's'}" for s in sources]
    under = {
        f"under:{metric.name}": [
            ", ".join(f"{k} = {v}" for k, v in (conditions_of(r, metric.name) or {}).items())
            for r in records
        ]
        for metric in task.metrics
    }
    return cells.assign(
        where=[
            ", ".join([s.machine, s.processor, s.device, t])
            for s, t in zip(sources, threads, strict=True)
        ],
        device=[s.device for s in sources],
        **under,
    )


def _records(folder: Path) -> list[StoredRecord]:
    records = Store(folder).records()
    if not records:
        raise StoreError(
            f"{folder} holds no records, expected records/*/record.json; "
            f"`encbench run -o {folder}` writes them"
        )
    return records


def _ended(record: Record) -> str:
    if record.error is not None and record.error.step is not None:
        return f"{record.status} at step {record.error.step:,}"
    return record.status.replace("_", " ")
