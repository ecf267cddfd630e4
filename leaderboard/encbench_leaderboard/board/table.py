"""Turn records into tables of numbers: a row per cell, and a row per leaderboard entry.

An entry is an encoding with one choice of the settings that vary among its cells.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd

from encbench.results.palette import colour_order, natural
from encbench.results.records import StoredRecord
from encbench.suite.labels import unique_labels
from encbench_leaderboard.board.categories import Category, Target, find_categories
from encbench_leaderboard.board.entries import Kind, entry_key, entry_names
from encbench_leaderboard.board.facts import (
    CELL_NUMBERS,
    NUMBERS,
    Facts,
    MetricInfo,
    gathered,
    metrics_of,
)
from encbench_leaderboard.board.standings import standings
from encbench_leaderboard.statistics.pairs import Pairs


@dataclass(frozen=True, eq=False)
class TaskBoard:
    """All cells of one task on the same data, or of a category: tasks that differ in their target.

    The unit of replication is the seed for a task, and the target (an image) for a category, whose
    seeds are averaged first.
    """

    label: str
    slug: str  # unique on a board, usable as a file name
    primary: MetricInfo
    """The metric that ranks entries: the one measured during training if it was also measured at
    the end, else the first metric."""
    metrics: Sequence[MetricInfo]  # the primary one first
    facts: Sequence[Facts]
    cells: pd.DataFrame
    """A row per record, in order; NaN if there is no number. "unit" and "repeat" are the unit of
    replication and the repeat within it; "target" is the label of the cell's task."""
    targets: Sequence[TaskBoard] = ()  # the tasks of a category; empty for a task

    @property
    def unit(self) -> str:
        """The unit of replication in a word."""
        return "target" if self.targets else "seed"

    @cached_property
    def records(self) -> list[StoredRecord]:
        return [one.stored for one in self.facts]

    @property
    def standings(self) -> pd.DataFrame:
        """A row per entry, best first; columns as in ``standings.standings``."""
        return self._ranked[0]

    @property
    def pairs(self) -> Pairs | None:
        """Tests in the primary metric; None if nothing was tested."""
        return self._ranked[1]

    @cached_property
    def _ranked(self) -> tuple[pd.DataFrame, Pairs | None]:
        # computed on demand: of hundreds of targets, few are shown one by one
        return standings(self.cells, self.metrics, category=bool(self.targets))

    def measure(self, records: Sequence[StoredRecord]) -> pd.DataFrame:
        """The numbers of other records as columns of ``cells``, a row per record."""
        return measured(gathered(records), self.metrics).drop(columns=["encoding", "seed"])

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The standings row by row."""
        return rows_of(self.standings)

    @cached_property
    def cell_rows(self) -> dict[int, dict[str, Any]]:
        """The cells row by row, by the id of their facts."""
        return dict(zip(map(id, self.facts), rows_of(self.cells), strict=True))

    def of_entry(self, entry: str) -> list[StoredRecord]:
        """Records of an entry, by seed."""
        return [one.stored for one in self.facts_of_entry(entry)]

    def facts_of_entry(self, entry: str) -> list[Facts]:
        """Facts of an entry's records, by seed."""
        return self._by_entry.get(entry, [])

    @cached_property
    def _by_entry(self) -> dict[str, list[Facts]]:
        found: dict[str, list[Facts]] = defaultdict(list)
        for entry, one in zip(self.cells["entry"], self.facts, strict=True):
            found[entry].append(one)
        for facts in found.values():
            facts.sort(key=lambda one: one.cell.seed)
        return found


@dataclass(frozen=True, eq=False)
class Board:
    """All tasks, categories and entries of a page."""

    facts: Sequence[Facts]  # those of all records, in order
    tasks: Sequence[TaskBoard]
    entries: Sequence[str]  # finished ones first, then by name: the order that assigns colours
    categories: Sequence[TaskBoard] = ()  # see ``board.categories``

    @property
    def groups(self) -> list[TaskBoard]:
        """Categories, and the tasks that are in none: the units of a comparison over tasks."""
        inside = {id(task): category for category in self.categories for task in category.targets}
        return list(
            {id(g): g for task in self.tasks for g in [inside.get(id(task), task)]}.values()
        )


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, as Python numbers and strings; five times as fast as ``to_dict``."""
    names = [str(name) for name in table.columns]
    columns = [column.tolist() for _, column in table.items()]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def boards(records: Sequence[StoredRecord]) -> Board:
    """Group records into tasks and categories."""
    facts = gathered(records)
    by_task = _by_task(facts)
    found = find_categories([_target(of_task) for _, of_task in by_task])
    inside = {place for category in found for place in category.members}
    groups = [of_task for place, (_, of_task) in enumerate(by_task) if place not in inside]
    groups += [[one for place in c.members for one in by_task[place][1]] for c in found]
    names = entry_names(groups)
    slugs: Counter[str] = Counter()
    tasks = [_board(label, _slug(label, slugs), of_task, names) for label, of_task in by_task]
    categories = [
        _category_board(category, [tasks[place] for place in category.members], names, slugs)
        for category in found
    ]
    ended = (task.cells["entry"][task.cells["status"] == "ok"] for task in tasks)
    finished = {entry for entries_ended in ended for entry in entries_ended}
    entries = tuple(colour_order(set(names.values()), finished))
    return Board(facts, tuple(tasks), entries, tuple(categories))


def _target(facts: Sequence[Facts]) -> Target:
    cells = [one.cell for one in facts]
    return Target(cells[0].task, next((c.data_hash for c in cells if c.data_hash), None))


def _by_task(facts: Sequence[Facts]) -> list[tuple[str, list[Facts]]]:
    """(label, facts) of each task; the same parameters on other data are another task."""
    groups: dict[str, list[Facts]] = defaultdict(list)
    for one in facts:
        groups[one.task].append(one)
    names = unique_labels({key: group[0].cell.task for key, group in groups.items()})
    found: list[tuple[str, list[Facts]]] = []
    for key, group in groups.items():
        hashes = sorted({h for one in group if (h := one.cell.data_hash)})
        if len(hashes) < 2:
            found.append((names[key], group))
            continue
        for data in [*hashes, None]:
            part = [one for one in group if one.cell.data_hash == data]
            if part:
                found.append((f"{names[key]} (data {data[:8] if data else 'unread'})", part))
    return sorted(found, key=lambda item: natural(item[0]))


def measured(facts: Sequence[Facts], metrics: Sequence[MetricInfo]) -> pd.DataFrame:
    """A row per record, in order: encoding, status, seed and every number; "under:METRIC" holds the
    conditions of the metric."""
    own = len(CELL_NUMBERS)
    numbers = np.array([one.numbers for one in facts])
    # float64 throughout: a column of None only would otherwise not be numeric
    values = np.array([[one.value(m.name) for m in metrics] for one in facts], dtype=np.float64)
    columns = [*CELL_NUMBERS, *(f"metric:{metric.name}" for metric in metrics), *NUMBERS[own:]]
    cells = pd.DataFrame(
        np.hstack([numbers[:, :own], values, numbers[:, own:]]),
        columns=columns,
    )
    cells.insert(0, "encoding", text_series(one.cell.encoding.name for one in facts))
    cells.insert(2, "status", text_series(one.status for one in facts))
    for metric in metrics:
        taken = (one.measure(metric.name) for one in facts)
        cells[f"under:{metric.name}"] = text_series(m.under if m else "" for m in taken)
    return cells


def text_series(values: Iterable[str]) -> pd.Series[Any]:
    """A column of text of dtype object: for few rows, pandas' string dtype is slower."""
    return pd.Series(list(values), dtype=object)


def measured_entries(
    facts: Sequence[Facts], metrics: Sequence[MetricInfo], names: Mapping[Kind, str]
) -> pd.DataFrame:
    """``measured``, with the entry of each record."""
    cells = measured(facts, metrics)
    cells.insert(0, "entry", text_series(names[entry_key(one)] for one in facts))
    return cells


def _slug(label: str, taken: Counter[str]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:60].strip("-") or "task"
    taken[slug] += 1
    return slug if taken[slug] == 1 else f"{slug}--{taken[slug]}"


def _board(label: str, slug: str, facts: Sequence[Facts], names: Mapping[Kind, str]) -> TaskBoard:
    metrics = metrics_of(facts)
    cells = measured_entries(facts, metrics, names)
    cells["unit"] = text_series(map(str, cells["seed"]))
    cells["repeat"], cells["target"] = (
        text_series(["once"] * len(cells)),
        text_series([label] * len(cells)),
    )
    return TaskBoard(label, slug, metrics[0], metrics, facts, cells)


def _category_board(
    category: Category,
    tasks: Sequence[TaskBoard],
    names: Mapping[Kind, str],
    slugs: Counter[str],
) -> TaskBoard:
    facts = [one for task in tasks for one in task.facts]
    metrics = metrics_of(facts)
    if all(task.metrics == tasks[0].metrics for task in tasks):
        cells = pd.concat([task.cells for task in tasks], ignore_index=True)
    else:
        cells = measured_entries(facts, metrics, names)
    sizes = [len(task.facts) for task in tasks]
    cells["unit"] = text_series(np.repeat(np.array(category.units, dtype=object), sizes))
    cells["repeat"] = text_series(map(str, cells["seed"]))
    cells["target"] = text_series(np.repeat([task.label for task in tasks], sizes))
    label, slug = category.label, _slug(f"{category.label} all", slugs)
    return TaskBoard(label, slug, metrics[0], metrics, facts, cells, tuple(tasks))


def metric_conditions(task: TaskBoard) -> tuple[dict[str, str], list[str]]:
    """Conditions by metric, as the metric recorded them, that hold for the whole task; and metrics
    whose conditions differ between cells, and must be shown with each number."""
    common: dict[str, str] = {}
    mixed = []
    for metric in task.metrics:
        seen = conditions_met(task.cells, metric)
        if len(seen) > 1:
            mixed.append(metric.name)
        elif seen and seen[0]:
            common[metric.name] = seen[0]
    return common, mixed


def conditions_met(cells: pd.DataFrame, metric: MetricInfo) -> list[str]:
    """The distinct conditions under which cells have values of a metric."""
    valued = cells[f"metric:{metric.name}"].notna()
    return [str(under) for under in cells[f"under:{metric.name}"][valued].unique()]


def missing_reasons(task: TaskBoard) -> dict[str, str]:
    """Recorded reasons for missing values, by metric."""
    found: dict[str, str] = {}
    for name in (metric.name for metric in task.metrics):
        without = compress(task.facts, task.cells[f"metric:{name}"].isna())
        measures = dict.fromkeys(one.measure(name) for one in without)
        reasons = [m.reason for m in measures if m and m.reason is not None]
        if reasons:
            found[name] = "; ".join(dict.fromkeys(reasons))
    return found


def not_measured(task: TaskBoard, metric: str) -> list[str]:
    """Entries with finished cells whose records do not have a metric that others have."""
    of = zip(task.cells["entry"], task.facts, strict=True)
    without = (e for e, one in of if one.status == "ok" and one.measure(metric) is None)
    found = list(dict.fromkeys(without))
    return found if task.cells[f"metric:{metric}"].notna().any() else []
