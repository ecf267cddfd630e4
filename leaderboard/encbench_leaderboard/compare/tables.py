"""Tables of a comparison, and its verdicts in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from encbench_leaderboard.compare.folders import Report
from encbench_leaderboard.compare.rows import Cost, Quality, Row
from encbench_leaderboard.report.format import (
    MISSING,
    count,
    digits,
    fixed,
    p_text,
    plural,
    significant,
)
from encbench_leaderboard.statistics.intervals import Interval

__all__ = ["by_task", "cost_table", "quality_table", "verdict"]

WIDE = 90
"""Columns from which on a table holds the values of A and B too."""


def verdict(quality: Quality, row: Row, report: Report) -> str:
    """What the numbers say, in words."""
    units = quality.difference.units
    unit = "target" if row.category else "pair"
    if not units:
        if quality.refused:
            return "not compared: taken under other conditions"
        return "not compared: no pair finished with a value"
    if quality.identical:
        return "equal to the last digit"
    if math.isnan(quality.p):
        why = "infinite values" if units > 1 else f"one {unit}"
        return f"not tested: {why}"
    if quality.better:
        return f"{quality.better} better"
    places = digits(quality.metric)
    size = _detectable(quality.detectable, places)
    metric_unit = f" {quality.metric.unit}" if quality.metric.unit else ""
    return f"no difference seen: {plural(units, unit)} could have shown {size}{metric_unit}"


def _detectable(value: float, places: int) -> str:
    text = fixed(value, places)
    return significant(value, 1) if float(text) == 0 else text


def by_task(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """One table a task."""
    found: dict[tuple[str, bool], list[Row]] = {}
    for row in rows:
        found.setdefault((row.task, row.category), []).append(row)
    return [(_title(group), group) for group in found.values()]


def _title(rows: Sequence[Row]) -> str:
    targets = max(row.targets for row in rows)
    return f"{rows[0].task} ({plural(targets, 'target')})" if targets else rows[0].task


def quality_table(title: str, rows: Sequence[Row], report: Report, width: int) -> Table:
    wide = width >= WIDE
    table = Table(title=_text(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.pad_edge, table.padding = False, (0, 1, 0, 0)
    table.add_column("metric" if report.folder else "encoding and metric", overflow="fold")
    for heading in ("n", *(("A", "B") if wide else ()), "B − A [95 %]", "p", "wins A:B"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", min_width=14)
    for row in rows:
        same = [q for q in row.quality if q.identical]
        if report.folder is None:
            alike = len(same) == len(row.quality) > 0
            n = str(row.quality[0].difference.units) if alike else ""
            said = "equal to the last digit" if alike else ""
            table.add_row(_text(row.entry), n, *("" for _ in range(3 + 2 * wide)), said)
            if alike:
                continue
        for quality in row.quality:
            table.add_row(*_quality(quality, row, report, wide))
    return table


def _quality(quality: Quality, row: Row, report: Report, wide: bool) -> list[str | Text]:
    places = digits(quality.metric)
    indent = "" if report.folder else "  "
    sides = [fixed(quality.a, places), fixed(quality.b, places)] if wide else []
    return [
        Text(indent + quality.metric.heading),
        str(quality.difference.units),
        *sides,
        "0" if quality.identical else _interval(quality.difference, places),
        MISSING if quality.identical else p_text(quality.adjusted),
        f"{quality.wins_a}:{quality.wins_b}",
        Text(verdict(quality, row, report)),
    ]


def cost_table(rows: Sequence[Row], report: Report) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 1))
    if report.folder is None:
        table.add_column("encoding", overflow="fold")
    for heading in ("parameters", "memory B/A", "time B/A"):
        table.add_column(heading, justify="right", no_wrap=heading != "parameters")
    for row in rows:
        cost = row.cost
        table.add_row(
            *([_text(row.entry)] if report.folder is None else []),
            _parameters(cost),
            _ratio(cost.memory),
            _time(cost),
        )
    return table


def _text(label: str) -> Text:
    # A space after each comma is where a narrow terminal can break the name.
    return Text(label.replace(", ", ",").replace(",", ", "))


def _interval(found: Interval, places: int) -> str:
    if math.isnan(found.mean):
        return MISSING
    mean = f"{found.mean:+.{places}f}"
    if not found.method:
        return mean
    return f"{mean} [{found.low:+.{places}f},\u00a0{found.high:+.{places}f}]"


def _ratio(found: Interval) -> str:
    if math.isnan(found.mean):
        return MISSING
    text = f"× {found.mean:.2f}"
    interval = f" [{found.low:.2f},\u00a0{found.high:.2f}]" if found.method else ""
    return f"{text}{interval}".replace("× ", "×")


def _time(cost: Cost) -> str:
    if not cost.timed:
        return "not compared" if cost.untimed else MISSING
    some = f" ({cost.timed} of {cost.timed + cost.untimed} pairs)" if cost.untimed else ""
    return f"{_ratio(cost.time)}{some}"


def _parameters(cost: Cost) -> str:
    """ "265,731 + 8,192", and what it was in A where it is not the same."""
    a, b = (
        "\u00a0+\u00a0".join(count(number) for number in side)
        for side in (cost.parameters_a, cost.parameters_b)
    )
    return a if a == b else f"{a} → {b}"
