"""Records become tables of numbers: one row a cell, and one row a leaderboard entry.

Numbers only; ``markdown.py`` turns them into text.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from encbench.records import Record, StoredRecord
from encbench_leaderboard.labels import canonical, differing, flatten, unique_labels

__all__ = ["WHENS", "Board", "MetricInfo", "TaskBoard", "boards", "cell_settings"]

WHENS = ("start", "middle", "end")
TITLES = {"psnr": "PSNR", "ms_ssim": "MS-SSIM", "iou": "IoU"}
"""Of metrics in records that do not say their title, and of curves of cells that never got far."""
MAY_BE_BELOW_FLOOR = ("median", "quantile_10", "minimum")
SPECTRUM_NUMBERS = (
    "size",
    "points",
    "floor",
    "maximum",
    "median",
    "quantile_10",
    "minimum",
    "resolved_rank",
    "effective_rank",
)


@dataclass(frozen=True)
class MetricInfo:
    """How a metric's numbers are to be read."""

    name: str
    unit: str
    direction: Literal["higher", "lower"]
    given: str = ""
    """Title in the record, "" where it has none."""

    @property
    def title(self) -> str:
        return self.given or TITLES.get(self.name, self.name.replace("_", " "))

    @property
    def heading(self) -> str:
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.title}{unit} {self.arrow}"

    @property
    def arrow(self) -> str:
        return "↑" if self.direction == "higher" else "↓"


@dataclass(frozen=True)
class TaskBoard:
    """All cells of one task on the same data."""

    label: str
    slug: str
    """Unique among the tasks of a board, fit for a file name."""
    primary: MetricInfo
    """What entries are ranked by: the metric followed during training, where it was also
    taken at the end; else the first metric."""
    metrics: Sequence[MetricInfo]
    """All metrics of the task, the primary one first."""
    records: Sequence[StoredRecord]
    cells: pd.DataFrame
    """A row a record, in the order of ``records``; NaN where there is no number."""
    standings: pd.DataFrame
    """A row an entry (an encoding under one set of settings, all its seeds), best first."""

    def of_entry(self, entry: str) -> list[StoredRecord]:
        """Records of an entry, by seed."""
        chosen = self.cells.index[self.cells["entry"] == entry]
        found = [self.records[int(i)] for i in chosen]
        return sorted(found, key=lambda stored: stored.record.cell.seed)


@dataclass(frozen=True)
class Board:
    """Everything that a page shows."""

    tasks: Sequence[TaskBoard]
    entries: Sequence[str]
    """All entries, those that finished first, then by name: the order that gives colours."""


def boards(records: Sequence[StoredRecord]) -> Board:
    """Sort records into tasks, and rank the entries of each."""
    encodings = {_ref_key(r.record, "encoding"): r.record.cell.encoding for r in records}
    names = unique_labels(encodings)
    tasks = [_task_board(label, slug, group, names) for label, slug, group in _by_task(records)]
    # What never finished is seldom drawn: it must not take the colours told apart best.
    finished = {e for task in tasks for e in task.standings.query("n > 0")["entry"]}
    entries = sorted(
        {entry for task in tasks for entry in task.cells["entry"]},
        key=lambda entry: (entry not in finished, _natural(entry)),
    )
    return Board(tuple(tasks), tuple(entries))


def _ref_key(record: Record, kind: Literal["encoding", "task"]) -> str:
    ref = record.cell.encoding if kind == "encoding" else record.cell.task
    # The label is how it was asked for, not what it is.
    return canonical(ref.model_dump(exclude={"label"}))


def _by_task(records: Sequence[StoredRecord]) -> list[tuple[str, str, list[StoredRecord]]]:
    """(label, slug, records) of each task; the same parameters on other data are another task."""
    groups: dict[str, list[StoredRecord]] = defaultdict(list)
    for stored in records:
        groups[_ref_key(stored.record, "task")].append(stored)
    names = unique_labels({key: group[0].record.cell.task for key, group in groups.items()})
    found: list[tuple[str, list[StoredRecord]]] = []
    for key, group in groups.items():
        hashes = sorted({h for r in group if (h := r.record.cell.data_hash)})
        if len(hashes) < 2:
            found.append((names[key], group))
            continue
        for data in [*hashes, None]:
            part = [r for r in group if r.record.cell.data_hash == data]
            if part:
                found.append((f"{names[key]} (data {data[:8] if data else 'unread'})", part))
    found.sort(key=lambda item: _natural(item[0]))
    slugs: Counter[str] = Counter()
    named = []
    for name, group in found:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-") or "task"
        slugs[slug] += 1
        unique = slug if slugs[slug] == 1 else f"{slug}--{slugs[slug]}"
        named.append((name, unique, group))
    return named


def _task_board(
    label: str, slug: str, records: list[StoredRecord], names: Mapping[str, str]
) -> TaskBoard:
    metrics = _metrics(records)
    settings = [cell_settings(stored.record) for stored in records]
    encodings = [_ref_key(stored.record, "encoding") for stored in records]
    told_apart = {
        key: differing(s for s, other in zip(settings, encodings, strict=True) if other == key)
        for key in set(encodings)
    }
    rows = []
    for stored, key, setting in zip(records, encodings, settings, strict=True):
        entry = names[key]
        if told_apart[key]:
            # What a cell leaves unset is told by the others, which set it.
            told = [f"{n.split('.', 1)[1]}={setting[n]}" for n in told_apart[key] if n in setting]
            entry += " · " + ", ".join(told) if told else ""
        rows.append({"entry": entry, **_cell(stored.record, metrics)})
    cells = pd.DataFrame(rows)
    return TaskBoard(label, slug, metrics[0], metrics, records, cells, _standings(cells, metrics))


def cell_settings(record: Record) -> dict[str, Any]:
    """Network, training and NTK settings of a cell, keys joined by dots."""
    parts = {
        "network": record.cell.network.model_dump(),
        "training": record.cell.training.model_dump(),
        "ntk": record.cell.ntk.model_dump(),
    }
    return {key: value for key, value in flatten(parts).items() if value is not None}


def _metrics(records: Sequence[StoredRecord]) -> list[MetricInfo]:
    """The task's metrics, the one followed during training first."""
    # A cell that failed early does not know its task's metric yet.
    known = [r for r in records if r.record.metrics] or records
    primary = Counter(r.record.curve for r in known).most_common(1)[0][0]
    found: dict[str, MetricInfo] = {}
    for stored in records:
        for name, value in stored.record.metrics.items():
            found.setdefault(name, MetricInfo(name, value.unit, value.direction, value.title))
    if primary not in found and found:
        primary = next(iter(found))
    first = found.pop(primary, MetricInfo(primary, "", "higher"))
    return [first, *found.values()]


def _cell(record: Record, metrics: Sequence[MetricInfo]) -> dict[str, Any]:
    rate = record.learning_rate
    # lr_crit is a bound for gradient descent; it says nothing of Adam's steps.
    descends = record.cell.training.optimizer == "sgd"
    row: dict[str, Any] = {
        "encoding": record.cell.encoding.name,
        "seed": record.cell.seed,
        "status": record.status,
        "params_mlp": record.parameters.get("mlp"),
        "params_encoding": record.parameters.get("encoding"),
        "best": record.best,
        "best_step": record.best_step,
        "steps": record.steps,
        "training": record.durations.get("training"),
        "ntk": record.durations.get("ntk"),
        "peak_memory": record.peak_memory_bytes,
        "lr": rate.value if rate else None,
        "lr_ratio": rate.value / rate.critical if descends and rate and rate.critical else None,
    }
    for metric in metrics:
        value = record.metrics.get(metric.name)
        row[f"metric:{metric.name}"] = value.value if value else None
    for when in WHENS:
        summary = next((s for s in reversed(record.spectra) if s.when == when), None)
        for number in SPECTRUM_NUMBERS:
            row[f"{when}:{number}"] = getattr(summary, number) if summary else None
    numeric = {key: value for key, value in row.items() if key not in ("encoding", "status")}
    # One type for all: a column of None alone would otherwise not be a column of numbers.
    return row | {key: float("nan") if v is None else float(v) for key, v in numeric.items()}


def _standings(cells: pd.DataFrame, metrics: Sequence[MetricInfo]) -> pd.DataFrame:
    """Means over the seeds that finished; sorted best first, without a number last."""
    primary = f"metric:{metrics[0].name}"
    numbers = [c for c in cells.columns if c not in ("entry", "encoding", "status", "seed")]
    rows = []
    for entry, group in cells.groupby("entry", sort=False):
        ok = group[group["status"] == "ok"]
        # What a failed entry has (parameters, learning rate) is shown; its quality is not.
        shown = ok if len(ok) else group
        row: dict[str, Any] = {"entry": entry, "n": len(ok), "cells": len(group)}
        for column in numbers:
            values = shown[column]
            row[column] = values.mean()
            row[f"{column}|min"] = values.min()
            row[f"{column}|max"] = values.max()
        for when in WHENS:
            taken = shown[f"{when}:size"].notna()
            row[f"{when}:taken"] = int(taken.sum())
            for number in MAY_BE_BELOW_FLOOR:
                row[f"{when}:{number}|below"] = int(
                    (taken & shown[f"{when}:{number}"].isna()).sum()
                )
        for metric in metrics:
            row[f"metric:{metric.name}|n"] = int(ok[f"metric:{metric.name}"].notna().sum())
            if not len(ok):
                row[f"metric:{metric.name}"] = float("nan")
        rows.append(row)
    table = pd.DataFrame(rows)
    higher = metrics[0].direction == "higher"
    table["rank"] = table[primary].rank(method="min", ascending=not higher)
    table["order"] = table["entry"].map(_natural)
    table["finished"] = table["n"] > 0
    table = table.sort_values(["finished", "rank", "order"], ascending=[False, True, True])
    return table.drop(columns=["order", "finished"]).reset_index(drop=True)


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which 4 comes before 16."""
    parts = re.findall(r"\d+|\D+", text.lower())
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts)
