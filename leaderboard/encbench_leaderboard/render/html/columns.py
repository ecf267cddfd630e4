"""What stands in each column of a task's table: a text to read and a number to sort by."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.conditions import of_entry
from encbench_leaderboard.board.table import MetricInfo, TaskBoard
from encbench_leaderboard.render.markdown import digits
from encbench_leaderboard.report.format import (
    MISSING,
    count,
    eigenvalue,
    fixed,
    seconds,
    significant,
)
from encbench_leaderboard.report.wording import mean_text

__all__ = ["Cell", "Column", "below_or_value", "columns", "sortable"]

Row = Mapping[str, Any]
"""A row of ``TaskBoard.standings``."""
Cell = tuple[str, float | None]
"""Text, a second line of it after a newline, and the number it sorts by; None: always last."""
HUGE = 1.7e308
"""Stands for infinity, which JSON has not."""


@dataclass(frozen=True)
class Column:
    """A column of a task's table."""

    name: str
    title: str
    group: str
    descending: bool
    """Whether sorting begins with the largest."""
    of: Callable[[Row, Sequence[StoredRecord]], Cell]
    hint: str = ""

    def head(self) -> dict[str, Any]:
        """What the page must know of it."""
        return {
            "name": self.name,
            "title": self.title,
            "group": self.group,
            "descending": self.descending,
            "hint": self.hint,
        }


def sortable(value: float) -> float | None:
    """A number as JSON can hold it."""
    if math.isnan(value):
        return None
    return math.copysign(HUGE, value) if math.isinf(value) else float(f"{value:.12g}")


def columns(task: TaskBoard, noted: Sequence[str]) -> list[Column]:
    """The columns of a task, without rank, encoding and status, which every table has.

    Args:
        task: its standings.
        noted: metrics whose conditions differ between cells and stand beside the numbers.
    """
    made = [
        Column(
            f"metric:{metric.name}",
            metric.heading,
            "Quality",
            metric.direction == "higher",
            _metric(metric, metric.name in noted),
            "at the end of training" if metric is task.primary else "",
        )
        for metric in task.metrics
    ]
    best = Column(
        "best",
        f"best {task.primary.title}",
        "Quality",
        task.primary.direction == "higher",
        _best(task.primary),
        "best value met during training",
    )
    made.insert(1, best)
    plain: list[tuple[str, str, str, bool, Callable[[float], str], str]] = [
        ("params_mlp", "MLP", "Parameters", False, count, "parameters of the network's layers"),
        ("params_encoding", "encoding", "Parameters", False, count, "the encoding's parameters"),
        ("training", "training [s]", "Cost", False, seconds, "wall-clock seconds of training"),
        ("peak_memory", "memory [MiB]", "Cost", False, _mebibytes, "peak memory of all phases"),
    ]
    made += [Column(n, t, g, d, _number(n, shown), h) for n, t, g, d, shown, h in plain]
    for number, title in (("maximum", "λ_max"), ("median", "λ median"), ("minimum", "λ_min")):
        hint = "eigenvalue of the NTK at the end of training"
        made.append(Column(number, title, "NTK at the end", True, _eigenvalue(number), hint))
    made.append(Column("resolved", "resolved rank", "NTK at the end", True, _resolved, "of size"))
    made.append(Column("lr", "lr", "Learning rate", True, _number("lr", significant)))
    made.append(
        Column(
            "lr_ratio",
            "lr / lr_crit",
            "Learning rate",
            True,
            _number("lr_ratio", significant),
            "1 is the largest stable one of the linearized network",
        )
    )
    return made


def below_or_value(row: Row, when: str, number: str) -> Cell:
    """An eigenvalue, or "≤ floor"; what is under its floor sorts under all that is not."""
    taken, below = int(row[f"{when}:taken"]), int(row.get(f"{when}:{number}|below", 0))
    if not taken:
        return MISSING, None
    floor = f"≤ {eigenvalue(row[f'{when}:floor|max'])}"
    if below == taken:
        return floor, 0.0
    value = row[f"{when}:{number}"]
    text = eigenvalue(value)
    return (f"{text}; {below} of {taken} {floor}" if below else text), sortable(value)


def _number(name: str, shown: Callable[[float], str]) -> Callable[[Row, object], Cell]:
    return lambda row, _: (shown(row[name]), sortable(row[name]))


def _mebibytes(size: float) -> str:
    return count(size / 2**20)


def _eigenvalue(number: str) -> Callable[[Row, object], Cell]:
    return lambda row, _: below_or_value(row, "end", number)


def _resolved(row: Row, _: object) -> Cell:
    if not row["end:taken"]:
        return MISSING, None
    rank, size = row["end:resolved_rank"], row["end:size"]
    return f"{count(rank)} / {count(size)}", sortable(rank / size)


def _best(metric: MetricInfo) -> Callable[[Row, object], Cell]:
    def cell(row: Row, _: object) -> Cell:
        if row["n"] == 0:
            return MISSING, None
        return fixed(row["best"], digits(metric)), sortable(row["best"])

    return cell


def _metric(metric: MetricInfo, noted: bool) -> Callable[[Row, Sequence[StoredRecord]], Cell]:
    """The mean, and on a second line its interval and how many cells have no value."""
    name, places = f"metric:{metric.name}", digits(metric)

    def cell(row: Row, records: Sequence[StoredRecord]) -> Cell:
        if row["n"] == 0:
            return MISSING, None
        text = mean_text(row, name, places)
        if noted:
            text += of_entry(records, metric.name)
        return re.sub(r";? (?=[±\[(\d])", "\n", text, count=1), sortable(row[name])

    return cell
