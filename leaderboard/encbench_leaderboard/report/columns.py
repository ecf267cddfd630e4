"""The columns that tables of entries share: heading, explanation, and how a value reads."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from encbench.results.records import Record, StoredRecord
from encbench_leaderboard.board.conditions import metric_conditions, of_entry
from encbench_leaderboard.board.table import MetricInfo, TaskBoard
from encbench_leaderboard.report.blocks import Column, Value
from encbench_leaderboard.report.format import (
    MISSING,
    count,
    digits,
    eigenvalue,
    fixed,
    one_line,
    seconds,
    significant,
)

__all__ = [
    "ENTRY",
    "Source",
    "cost_columns",
    "number",
    "rank_text",
    "reason",
    "spectrum_columns",
    "standings_columns",
]

Standing = Mapping[str, Any]
"""A row of ``TaskBoard.standings``."""
NO_VALUE = Value(MISSING)


@dataclass(frozen=True)
class Source:
    """A column, and its value for a row of the standings."""

    column: Column
    value: Callable[[Standing], Value]


ENTRY = Source(Column("encoding", "encoding", "code"), lambda row: Value(row["entry"]))


def number(value: float, shown: Callable[[float], str]) -> Value:
    """A value of a column of numbers."""
    return NO_VALUE if math.isnan(value) else Value(shown(value), value)


def standings_columns(task: TaskBoard) -> list[Source]:
    """Rank, entry, quality, parameters, cost, spectrum, learning rate and status."""
    mixed = metric_conditions(task)[1]
    qualities = [_quality(task, metric, metric.name in mixed) for metric in task.metrics]
    best = Source(
        Column(
            "best",
            f"best {task.primary.title}",
            help="best value during training; a constant learning rate leaves noise on the last",
            first=False,
        ),
        lambda row: (
            number(row["best"], lambda value: fixed(value, digits(task.primary)))
            if row["n"]
            else NO_VALUE
        ),
    )
    return [
        Source(
            Column("rank", "#", help="range of ranks that the tests allow"),
            lambda row: number(row["rank"], lambda _: rank_text(row)),
        ),
        ENTRY,
        *_counted(task),
        qualities[0],
        best,
        *qualities[1:],
        Source(
            Column("parameters", "parameters", help="trained parameters: network and encoding"),
            lambda row: number(row["params_mlp"] + row["params_encoding"], count),
        ),
        _number(
            "parameters_mlp", "parameters: MLP", "params_mlp", count, "of the network's layers"
        ),
        _number("parameters_encoding", "parameters: encoding", "params_encoding", count, ""),
        _seconds(first=True),
        _memory(),
        _eigenvalue("end", "maximum", "λ_max"),
        _eigenvalue("end", "median", "λ median"),
        _eigenvalue("end", "minimum", "λ_min"),
        Source(
            Column(
                "resolved_rank",
                "resolved rank / size",
                help="eigenvalues above the floor, of all",
                first=False,
            ),
            lambda row: (
                Value(
                    f"{count(row['end:resolved_rank'])} / {count(row['end:size'])}",
                    row["end:resolved_rank"] / row["end:size"],
                )
                if row["end:taken"]
                else NO_VALUE
            ),
        ),
        _number("lr", "lr", "lr", significant, "learning rate"),
        _number(
            "lr_ratio",
            "lr / lr_crit",
            "lr_ratio",
            significant,
            "1 is the largest stable learning rate of the linearized network",
        ),
        Source(
            Column("status", "status", "text", "how its cells ended", first=False),
            lambda row: Value(_status(task.of_entry(row["entry"]))),
        ),
    ]


def spectrum_columns(when: str) -> list[Source]:
    """Statistics of the spectrum at one moment."""
    return [
        _eigenvalue(when, "maximum", "λ_max"),
        _eigenvalue(when, "median", "λ median"),
        _eigenvalue(when, "quantile_10", "λ 10th percentile"),
        _eigenvalue(when, "minimum", "λ_min"),
        _number("floor", "floor", f"{when}:floor|max", eigenvalue, "below it is rounding noise"),
        _number(
            "resolved_rank", "resolved rank", f"{when}:resolved_rank", count, "above the floor"
        ),
        _number("size", "size", f"{when}:size", count, "number of eigenvalues"),
        _number("effective_rank", "effective rank", f"{when}:effective_rank", significant, ""),
    ]


def cost_columns(task: TaskBoard) -> list[Source]:
    """Where the time and the memory went."""
    return [
        _number("steps", "steps", "steps", count, "optimizer steps"),
        _seconds(first=False),
        _number("ntk_seconds", "NTK [s]", "ntk", seconds, "seconds that spectra took"),
        _memory(),
        _number("best_step", f"step of the best {task.primary.title}", "best_step", count, ""),
    ]


def rank_text(row: Standing) -> str:
    """ "2", or "2–4" where tests allow several ranks; "(2)" where nothing was tested.

    "= 2–4" is a tie with the entry above.
    """
    if math.isnan(row["rank"]):
        return MISSING
    if not row["tested"]:
        return f"({count(row['rank'])})"
    low, high = count(row["rank_low"]), count(row["rank_high"])
    shown = low if low == high else f"{low}–{high}"
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


def _number(
    name: str, title: str, of: str, shown: Callable[[float], str], explained: str
) -> Source:
    column = Column(name, title, help=explained, first=False)
    return Source(column, lambda row: number(row[of], shown))


def _counted(task: TaskBoard) -> list[Source]:
    """How many targets and cells an entry's means are over."""
    found = []
    if task.targets:
        targets = task.cells["unit"].nunique()
        found.append(
            Source(
                Column("targets", "targets", help="that finished", first=False),
                lambda row: Value(f"{row['units']} of {targets}", row["units"]),
            )
        )
    if (task.standings["n"] > 1).any():
        found.append(_number("n", "n", "n", str, "cells that finished"))
    return found


def _quality(task: TaskBoard, metric: MetricInfo, mixed: bool) -> Source:
    name = f"metric:{metric.name}"

    def value(row: Standing) -> Value:
        if not row["n"] or math.isnan(row[name]):
            return NO_VALUE
        conditions = of_entry(task.of_entry(row["entry"]), metric.name) if mixed else ""
        return Value(_mean_text(row, name, digits(metric)) + conditions, row[name])

    better = f"{'higher' if metric.direction == 'higher' else 'lower'} is better"
    first = metric in task.metrics[:2]
    help_text = f"mean at the end of training; {better}"
    return Source(Column(metric.name, metric.heading, help=help_text, first=first), value)


def _mean_text(row: Standing, column: str, places: int) -> str:
    """A row's mean with its 95 % interval, and how many cells that finished have no value."""
    shown = fixed(row[column], places)
    low, high = row[f"{column}|low"], row[f"{column}|high"]
    if row[f"{column}|interval"] == "t":
        shown += f" ± {fixed((high - low) / 2, places)}"
    elif row[f"{column}|interval"] == "bootstrap":
        shown += f" [{fixed(low, places)}, {fixed(high, places)}]"
    without = int(row["n"] - row[f"{column}|n"])
    return f"{shown}; {without} of {row['n']} {MISSING}" if without else shown


def _seconds(*, first: bool) -> Source:
    column = Column("seconds", "training [s]", help="wall-clock time of training", first=first)
    return Source(column, lambda row: number(row["training"], seconds))


def _memory() -> Source:
    column = Column("memory", "peak memory [MiB]", help="of all phases", first=False)
    return Source(column, lambda row: number(row["peak_memory"] / 2**20, count))


def _eigenvalue(when: str, name: str, title: str) -> Source:
    """An eigenvalue, or "≤ floor" where it is below it, which sorts below every resolved one."""

    def value(row: Standing) -> Value:
        taken, below = row[f"{when}:taken"], row.get(f"{when}:{name}|below", 0)
        if not taken:
            return NO_VALUE
        floor = f"≤ {eigenvalue(row[f'{when}:floor|max'])}"
        if below == taken:
            return Value(floor, 0.0)
        shown = row[f"{when}:{name}"]
        text = eigenvalue(shown)
        return Value(f"{text}; {below} of {taken} {floor}" if below else text, shown)

    column = Column(f"lambda_{name}", title, help=f"eigenvalue of the NTK, {when} of training",
                    first=False)  # fmt: skip
    return Source(column, value)


def _status(records: Sequence[StoredRecord]) -> str:
    """How the cells of an entry ended, with the first reason of each kind, on one line."""
    tally = Counter(stored.record.status for stored in records)
    if set(tally) == {"ok"}:
        return "ok"
    parts = [f"{tally['ok']} of {len(records)} ok"] if tally["ok"] else []
    for kind in sorted(set(tally) - {"ok"}):
        first = next(stored.record for stored in records if stored.record.status == kind)
        name = kind.replace("_", " ")
        if len(records) > 1:
            name = f"{tally[kind]} {name}"
        why = reason(first)
        parts.append(f"{name}{_joined(why)}{why}")
    return "; ".join(parts)


def _joined(why: str) -> str:
    if not why:
        return ""
    return " " if re.match(r"(in|at step) ", why) else ": "
