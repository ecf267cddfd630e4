"""Columns of tables: title, help and formatting of values; and columns that tables share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Generic, TypeVar

import numpy as np

from encbench.results.value_text import value_text
from encbench_leaderboard.board.facts import STATISTICS, Facts, MetricInfo, curve_metrics
from encbench_leaderboard.report.blocks import Column, Row, Table, Value
from encbench_leaderboard.report.format import (
    MISSING,
    count,
    eigenvalue,
    seconds,
    significant,
)

Item = TypeVar("Item")
Standing = Mapping[str, Any]
"""A row of ``TaskBoard.standings``."""
NO_VALUE = Value(MISSING)
EIGENVALUES = ("maximum", "median", "quantile_10", "minimum")
HELP = {
    "rank": "range of ranks that the tests allow; (1): ordered by mean only; =: a tie with the "
    "entry above",
    "targets": "number of targets on which a cell finished",
    "n": "number of cells that finished",
    "best": "best value during training; with a constant learning rate the last one is noisy. "
    "May be worse than the final value, which is at all points: a curve may be at fewer of them",
    "parameters": "trained parameters of the network (MLP) and of the encoding",
    "seconds": "wall-clock time of training alone; times from different machines, devices or "
    "numbers of threads must not be compared",
    "memory": "over all phases, spectra included; on a CPU that of the whole process, on a GPU "
    "that of its tensors",
    "resolved_rank": "number of eigenvalues above the floor",
    "lr": "learning rate; an automatic one is a multiple of lr_crit for gradient descent, and for "
    "Adam a default that depends on the network and not on lr_crit",
    "lr_ratio": "learning rate of gradient descent / lr_crit; below 1, full-batch steps on the "
    "network linearized at initialization are stable; the network itself may be stable at several "
    "times that or, with binary cross entropy (occupancy), only at less",
    "status": "ok; diverged (the loss became infinite or NaN); out of memory, timeout, interrupted "
    "or failed; only ok cells are ranked and averaged",
    "size": "number of eigenvalues",
    "steps": "optimizer steps",
    "ntk_seconds": "time spent on spectra",
    "energy_90": "mean over the cells whose eigenvectors above the floor hold 90 %; (2 of 8): the "
    "others need more, so this mean is too small; sorted by mean / share of these cells",
    "energy_tenth": "(2 of 8): in the other cells, eigenvalues of the leading tenth are below the "
    "floor",
    "mean_rank": "mean over the tasks that rank the encoding",
    "tasks": "number of tasks that rank the encoding; k of n: it finished on k of them",
    "interval": "of this pair alone, not corrected",
    "pairs": "pairs of cells or targets",
    "p": "corrected for all pairs of the table",
    "improvement": "probability that a cell of the first is better than one of the next on the "
    "same target (Agarwal et al., NeurIPS 2021)",
    "detectable": "smallest difference detected with 80 % power at the corrected level",
    "regions": "number of regions that hold a point",
    "dead_units": "number of units that are off at every point",
    "again": "run the cell again and compare it with this record",
}
"""Help texts by column name."""


@dataclass(frozen=True)
class Source(Generic[Item]):
    """A column, and the function that computes its value from a row's item."""

    column: Column
    value: Callable[[Item], Value]


def described(name: str, title: str, of: Callable[[Item], Value]) -> Source[Item]:
    """A column of numbers for which ``of`` builds each value."""
    return Source(Column(name, title, help=HELP.get(name, "")), of)


def numbers(
    name: str, title: str, of: Callable[[Item], float | None], shown: Callable[[float], str]
) -> Source[Item]:
    """A column of numbers; None and NaN are missing values."""

    def value(item: Item) -> Value:
        found = of(item)
        return NO_VALUE if found is None or math.isnan(found) else Value(shown(found), found)

    return described(name, title, value)


def texts(name: str, title: str, of: Callable[[Item], str]) -> Source[Item]:
    """A column of text."""
    return Source(Column(name, title, "text", HELP.get(name, "")), lambda item: Value(of(item)))


def codes(name: str, title: str, of: Callable[[Item], str]) -> Source[Item]:
    """A column of labels."""
    return Source(Column(name, title, "code", HELP.get(name, "")), lambda item: Value(of(item)))


def mean_of_reached(costs: Sequence[float | None], shown: Callable[[float], str]) -> Value:
    """Mean of the finite costs, see ``mean_of_some``."""
    reached = [cost for cost in costs if cost is not None and math.isfinite(cost)]
    mean = float(np.mean(reached)) if reached else math.nan
    return mean_of_some(mean, len(reached), len(costs), shown)


def mean_of_some(mean: float, reached: int, of: int, shown: Callable[[float], str]) -> Value:
    """A mean cost, with the number of cells in brackets if not all reached the goal: "7.5 (3 of
    4)". It is then sorted by mean / share of these cells, since the others would cost more."""
    if not reached:
        return NO_VALUE
    some = "" if reached == of else f" ({reached} of {of})"
    return Value(f"{shown(mean)}{some}", mean * of / reached, number=mean)


def fill(
    name: str,
    sources: Sequence[Source[Item]],
    items: Iterable[Item],
    entry_of: Callable[[Item], str] | None = None,
    title: str = "",
) -> Table:
    """A table with a row per item. If ``entry_of`` is given, it returns the entry of an item, which
    is then the first column."""
    if entry_of:
        sources = [codes("encoding", "encoding", entry_of), *sources]
    rows = [
        Row([source.value(item) for source in sources], entry_of(item) if entry_of else None)
        for item in items
    ]
    return Table(name, [source.column for source in sources], rows, title)


ENTRY: Source[Standing] = codes("encoding", "encoding", itemgetter("entry"))
SECONDS: Source[Standing] = numbers("seconds", "training [s]", itemgetter("training"), seconds)
MEMORY: Source[Standing] = numbers(
    "memory", "peak memory [MiB]", lambda row: row["peak_memory"] / 2**20, count
)


def spectrum_columns(when: str) -> list[Source[Standing]]:
    """Columns with statistics of the spectrum at one time: start, middle or end."""
    of = f"{when}:{{}}".format
    return [
        *eigenvalue_columns(when),
        numbers("floor", "floor", itemgetter(of("floor|max")), eigenvalue),
        numbers("resolved_rank", "resolved rank", itemgetter(of("resolved_rank")), count),
        numbers("size", "size", itemgetter(of("size")), count),
        numbers("effective_rank", "effective rank", itemgetter(of("effective_rank")), significant),
    ]


def finished(row: Standing) -> bool:
    """Whether a cell of the entry finished."""
    return bool(row["n"])


def best_columns(
    facts: Sequence[Facts], metrics: Sequence[MetricInfo], shown: Callable[[Standing], bool]
) -> list[Source[Standing]]:
    """Columns with the best value of the curve and its step, for rows with ``shown(row)``; none
    if there are curves of several metrics."""
    found = curve_metrics(facts, metrics)
    if len(found) != 1:
        return []
    (metric,) = found
    places = partial(value_text, metric=metric)

    def of(name: str) -> Callable[[Standing], float | None]:
        return lambda row: row[name] if shown(row) else None

    return [
        numbers("best", f"best {metric.title}", of("best"), places),
        numbers("best_step", f"step of the best {metric.title}", of("best_step"), count),
    ]


def cost_columns() -> list[Source[Standing]]:
    """Columns with steps, times and memory."""
    return [
        numbers("steps", "steps", itemgetter("steps"), count),
        SECONDS,
        numbers("ntk_seconds", "NTK [s]", itemgetter("ntk"), seconds),
        MEMORY,
    ]


def eigenvalue_columns(when: str) -> list[Source[Standing]]:
    """Columns with λ_max, median, 10th percentile and λ_min."""
    return [
        described(f"lambda_{name}", STATISTICS[name], partial(_above_floor, when=when, name=name))
        for name in EIGENVALUES
    ]


def _above_floor(row: Standing, when: str, name: str) -> Value:
    """An eigenvalue, or "≤ FLOOR" if it is below the floor, which sorts below all resolved ones."""
    taken, below = row[f"{when}:taken"], row.get(f"{when}:{name}|below", 0)
    if not taken:
        return NO_VALUE
    floor = f"≤ {eigenvalue(row[f'{when}:floor|max'])}"
    if below == taken:
        return Value(floor, 0.0, number=math.nan)
    shown = row[f"{when}:{name}"]
    text = eigenvalue(shown)
    return Value(f"{text}; {below} of {taken} {floor}" if below else text, shown)
