"""Columns of tables: heading, meaning and how a value reads; and those that tables share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Generic, TypeVar

import numpy as np

from encbench.results.records import Record
from encbench_leaderboard.board.facts import STATISTICS, Facts, MetricInfo
from encbench_leaderboard.board.table import TaskBoard, conditions_met, metric_conditions
from encbench_leaderboard.report.blocks import Column, Row, Table, Value
from encbench_leaderboard.report.format import (
    MISSING,
    count,
    digits,
    eigenvalue,
    fixed,
    one_line,
    seconds,
    significant,
    span,
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
    "best": "best value during training; with a constant learning rate the last one is noisy",
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
    "status": "ok; diverged (the loss became infinite or NaN, at that step); out of memory, "
    "timeout, interrupted or failed with the reason; only ok cells are ranked and averaged",
    "size": "number of eigenvalues",
    "steps": "optimizer steps",
    "ntk_seconds": "time spent on spectra",
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
"""What columns mean, by their names."""
TAKEN = (
    *("rank", "encoding", "status", "targets", "n", "best", "seconds", "memory", "lr", "lr_ratio"),
    *("parameters", "parameters_mlp", "parameters_encoding", "resolved_rank"),
    *("lambda_maximum", "lambda_median", "lambda_minimum"),
)
"""Names of columns that a metric's may not have."""


@dataclass(frozen=True)
class Source(Generic[Item]):
    """A column, and how its value is got from what a row is about."""

    column: Column
    value: Callable[[Item], Value]


def described(name: str, title: str, of: Callable[[Item], Value]) -> Source[Item]:
    """A column of numbers whose values are made one by one."""
    return Source(Column(name, title, help=HELP.get(name, "")), of)


def numbers(
    name: str, title: str, of: Callable[[Item], float | None], shown: Callable[[float], str]
) -> Source[Item]:
    """A column of numbers; None and NaN are no value."""

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
    """The mean of those costs that were paid; in brackets how many of them, where not all were."""
    reached = [cost for cost in costs if cost is not None and math.isfinite(cost)]
    if not reached:
        return NO_VALUE
    mean = float(np.mean(reached))
    some = "" if len(reached) == len(costs) else f" ({len(reached)} of {len(costs)})"
    return Value(f"{shown(mean)}{some}", mean)


def fill(
    name: str,
    sources: Sequence[Source[Item]],
    items: Iterable[Item],
    entry_of: Callable[[Item], str] | None = None,
    title: str = "",
) -> Table:
    """A table with a row for each item. ``entry_of`` gives the entry that a row is about, which is
    then its first column."""
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


def standings_columns(task: TaskBoard) -> list[Source[Standing]]:
    """Rank, entry, quality, parameters, cost, spectrum, learning rate and status."""
    mixed = metric_conditions(task)[1]
    first, *others = (_quality(task, metric, metric.name in mixed) for metric in task.metrics)
    largest, median, _, smallest = _eigenvalues("end")
    places = partial(fixed, digits=digits(task.primary))
    best = f"best {task.primary.title}"
    counts: list[Source[Standing]] = []
    if task.targets:
        targets = task.cells["unit"].nunique()
        text = f"{{}} of {targets}".format
        counts.append(
            described("targets", "targets", lambda row: Value(text(row["units"]), row["units"]))
        )
    if (task.standings["n"] > 1).any():
        counts.append(numbers("n", "n", itemgetter("n"), str))
    return [
        described("rank", "#", lambda row: Value(rank_text(row), row["rank"])),
        ENTRY,
        *counts,
        first,
        numbers("best", best, lambda row: row["best"] if row["n"] else None, places),
        *others,
        numbers(
            "parameters",
            "parameters",
            lambda row: row["params_mlp"] + row["params_encoding"],
            count,
        ),
        numbers("parameters_mlp", "parameters: MLP", itemgetter("params_mlp"), count),
        numbers(
            "parameters_encoding", "parameters: encoding", itemgetter("params_encoding"), count
        ),
        SECONDS,
        MEMORY,
        *(largest, median, smallest),
        described("resolved_rank", "resolved rank / size", _resolved),
        numbers("lr", "lr", itemgetter("lr"), significant),
        numbers("lr_ratio", "lr / lr_crit", itemgetter("lr_ratio"), significant),
        texts("status", "status", lambda row: _status(task.facts_of_entry(row["entry"]))),
    ]


def spectrum_columns(when: str) -> list[Source[Standing]]:
    """Statistics of the spectrum at one moment."""
    of = f"{when}:{{}}".format
    return [
        *_eigenvalues(when),
        numbers("floor", "floor", itemgetter(of("floor|max")), eigenvalue),
        numbers("resolved_rank", "resolved rank", itemgetter(of("resolved_rank")), count),
        numbers("size", "size", itemgetter(of("size")), count),
        numbers("effective_rank", "effective rank", itemgetter(of("effective_rank")), significant),
    ]


def cost_columns(task: TaskBoard) -> list[Source[Standing]]:
    """Where the time and the memory went."""
    best = f"step of the best {task.primary.title}"
    return [
        numbers("steps", "steps", itemgetter("steps"), count),
        SECONDS,
        numbers("ntk_seconds", "NTK [s]", itemgetter("ntk"), seconds),
        MEMORY,
        numbers("best_step", best, itemgetter("best_step"), count),
    ]


def rank_text(row: Standing) -> str:
    """ "2", or "2–4" where tests allow several ranks; "(2)" where nothing was tested. "= 2–4" is a
    tie with the entry above."""
    if math.isnan(row["rank"]):
        return MISSING
    if not row["tested"]:
        return f"({count(row['rank'])})"
    shown = span([row["rank_low"], row["rank_high"]], "–")
    return f"= {shown}" if row["tied"] else shown


def reason(record: Record, limit: int = 160) -> str:
    """Why a cell did not finish, on one line and without its traceback; "" where it did."""
    if record.status == "ok":
        return ""
    where = f"in {record.phase}" if record.phase and record.status != "diverged" else ""
    if record.error is None:
        return where
    if record.error.step is not None:
        # The step says all there is to say about a loss that is not a number.
        return f"{where} at step {record.error.step:,}".strip()
    text = one_line(f"{record.error.type}: {record.error.message}", limit)
    return f"{where}: {text}" if where else text


def metric_column(metric: MetricInfo) -> str:
    """Name of a metric's column in the standings."""
    return f"metric_{metric.name}" if metric.name in TAKEN else metric.name


def _quality(task: TaskBoard, metric: MetricInfo, mixed: bool) -> Source[Standing]:
    name = f"metric:{metric.name}"

    def value(row: Standing) -> Value:
        conditions = ""
        if mixed:
            own = conditions_met(task.cells[task.cells["entry"] == row["entry"]], metric)
            conditions = f" ({' or '.join(own)})" if any(own) else ""
        if not row["n"] or math.isnan(row[name]):
            return Value(MISSING + conditions) if row[f"{name}|mixed"] else NO_VALUE
        return Value(_mean_text(row, metric) + conditions, row[name])

    better = "higher" if metric.direction == "higher" else "lower"
    ranked = "; entries are ranked by it" if metric is task.primary else ""
    explained = f"mean at the end of training, {better} is better{ranked}"
    return Source(Column(metric_column(metric), metric.heading, help=explained), value)


def _mean_text(row: Standing, metric: MetricInfo) -> str:
    """A row's mean with its 95 % interval, and how many cells that finished are not in it."""
    column, places = f"metric:{metric.name}", digits(metric)
    shown = fixed(row[column], places)
    low, high = row[f"{column}|low"], row[f"{column}|high"]
    if row[f"{column}|interval"] == "t":
        shown += f" ± {fixed((high - low) / 2, places)}"
    without, infinite = int(row["n"] - row[f"{column}|n"]), row[f"{column}|infinite"]
    if without:
        shown += f"; {without} of {row['n']} {MISSING}"
    if infinite and math.isfinite(row[column]):
        shown += f"; {infinite} of {row['n']} ∞"
    if (zero := row[f"{column}|zero"]) and metric.can_collapse:
        shown += f"; {zero} of {row['n']} collapsed"
    return shown


def _eigenvalues(when: str) -> list[Source[Standing]]:
    """λ_max, median, 10th percentile and λ_min."""
    return [
        described(f"lambda_{name}", STATISTICS[name], partial(_above_floor, when=when, name=name))
        for name in EIGENVALUES
    ]


def _above_floor(row: Standing, when: str, name: str) -> Value:
    """An eigenvalue, or "≤ floor" where it is below it, which sorts below every resolved one."""
    taken, below = row[f"{when}:taken"], row.get(f"{when}:{name}|below", 0)
    if not taken:
        return NO_VALUE
    floor = f"≤ {eigenvalue(row[f'{when}:floor|max'])}"
    if below == taken:
        return Value(floor, 0.0)
    shown = row[f"{when}:{name}"]
    text = eigenvalue(shown)
    return Value(f"{text}; {below} of {taken} {floor}" if below else text, shown)


def _resolved(row: Standing) -> Value:
    if not row["end:taken"]:
        return NO_VALUE
    rank, size = row["end:resolved_rank"], row["end:size"]
    return Value(f"{count(rank)} / {count(size)}", rank / size)


def _status(facts: Sequence[Facts]) -> str:
    """How the cells of an entry ended, with the first reason of each kind, on one line."""
    tally = Counter(one.status for one in facts)
    if set(tally) == {"ok"}:
        return "ok"
    parts = [f"{tally['ok']} of {len(facts)} ok"] if tally["ok"] else []
    for kind in sorted(set(tally) - {"ok"}):
        why = reason(next(one.stored.record for one in facts if one.status == kind))
        name = f"{tally[kind]} " * (len(facts) > 1) + kind.replace("_", " ")
        joint = "" if not why else " " if why.startswith(("in ", "at step ")) else ": "
        parts.append(f"{name}{joint}{why}")
    return "; ".join(parts)
