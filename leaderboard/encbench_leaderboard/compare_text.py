"""What ``encbench compare`` prints."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from encbench.errors import UsageError
from encbench_leaderboard.compare import Change, Report, compare_encodings, compare_folders
from encbench_leaderboard.compare_rows import Cost, Quality, Row
from encbench_leaderboard.format import MISSING, count, fixed, plural, significant
from encbench_leaderboard.markdown import digits
from encbench_leaderboard.statistics.intervals import Interval
from encbench_leaderboard.wording import METHODS, p_text

__all__ = ["as_plain", "show", "verdict"]

PIPE_WIDTH = 120
WIDE = 90
"""Columns from which on a table holds the values of A and B too."""
LISTED = 8
"""Lines of a list that are printed without --all."""


def show(a: str, b: str, folder: Path | None, *, every: bool, as_json: bool) -> None:
    """Compare and print.

    Raises:
        UsageError: without ``folder``, a or b is no folder; or no encoding of it.
        StoreError: a folder holds no records.
    """
    if folder is not None:
        report = compare_encodings(a, b, folder)
    else:
        for text in (a, b):
            if not Path(text).is_dir():
                raise UsageError(
                    f"{text!r} is no folder; to compare two encodings say of which results "
                    "folder: encbench compare A B --in DIR"
                )
        report = compare_folders(Path(a), Path(b))
    if as_json:
        typer.echo(json.dumps(as_plain(report), indent=2, ensure_ascii=False))
        return
    console = Console()
    if not console.is_terminal and "COLUMNS" not in console._environ:
        console = Console(width=PIPE_WIDTH)
    _print(console, report, every)


def as_plain(report: Report) -> dict[str, Any]:
    """A report as JSON has it: NaN is null, infinity a text; verdicts in words with it."""
    plain: dict[str, Any] = dataclasses.asdict(report)
    for row, found in zip(plain["rows"], report.rows, strict=True):
        for quality, one in zip(row["quality"], found.quality, strict=True):
            quality["verdict"] = verdict(one, found, report)
            quality["better"] = one.better
    cleaned: dict[str, Any] = _clean(plain)
    return cleaned


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


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


def _print(console: Console, report: Report, every: bool) -> None:
    where = f" in {report.folder}" if report.folder else ""
    _line(console, f"A: {report.a}\nB: {report.b}{where}\n")
    console.print(Text(_pairs_text(report)))
    _list(console, "Not finished, left out:", report.not_finished, every)
    _list(console, "In A alone, left out:", report.only_a, every)
    _list(console, "In B alone, left out:", report.only_b, every)
    _changes(console, "Changed from A to B:", report.changes, report.pairs)
    _changes(console, "Settings that differ between A and B:", report.settings, report.pairs)
    shown = [row for row in report.rows if every or not row.within]
    if not shown:
        return
    _line(console, "")
    alike = report.equal == report.pairs
    for title, rows in _tables(shown):
        if alike and not every:
            _line(console, title)
        else:
            console.print(_quality_table(title, rows, report, console.width))
        console.print(_cost_table(rows, report))
        _line(console, "")
    hidden = len(report.rows) - len(shown)
    if hidden:
        text = f"{plural(hidden, 'row')} of single tasks of a category: --all shows them."
        console.print(Text(text))
    # Rows of tasks hold each pair once; those of categories hold them again.
    refused = Counter[str]()
    for row in report.rows:
        if not row.category:
            refused.update(row.cost.refused)
            for quality in row.quality:
                refused.update(quality.refused)
    for reason, number in refused.items():
        _line(console, f"Not compared, {plural(number, 'pair')}: {reason}")
    console.print(Text(_foot(report, shown), style="dim"))


def _pairs_text(report: Report) -> str:
    text = f"{plural(report.pairs, 'cell')} of A and B stand beside one another"
    if report.pairs and report.equal == report.pairs:
        return f"{text}, all of them equal to the last digit."
    if report.folder is None and report.pairs:
        return f"{text}, {report.equal} of them equal to the last digit."
    return f"{text}."


def _tables(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """One table a task."""
    found: dict[tuple[str, bool], list[Row]] = {}
    for row in rows:
        found.setdefault((row.task, row.category), []).append(row)
    return [(_title(group), group) for group in found.values()]


def _title(rows: Sequence[Row]) -> str:
    targets = max(row.targets for row in rows)
    return f"{rows[0].task} ({plural(targets, 'target')})" if targets else rows[0].task


def _quality_table(title: str, rows: Sequence[Row], report: Report, width: int) -> Table:
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


def _cost_table(rows: Sequence[Row], report: Report) -> Table:
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


def _foot(report: Report, shown: Sequence[Row]) -> str:
    methods = {quality.method for row in shown for quality in row.quality}
    used = " and ".join(METHODS[m] for m in METHODS if m in methods)
    unit = "seeds of a task, targets of a category"
    text = (
        f"n counts {unit} that both finished; parameters are MLP + encoding, time is of training."
    )
    if used:
        text += (
            f" p: {used} test, Holm's correction over the rows of a metric (tasks and "
            "categories apart); the interval is of its row alone."
        )
    first = [row.quality[0] for row in report.rows if row.quality and not row.within]
    if len(first) > 1:
        better = Counter("equal" if quality.identical else quality.better for quality in first)
        text += (
            f"\n{len(first)} rows by their first metric: B better on {better['B']}, A better on "
            f"{better['A']}, no difference shown on {better['']}, equal on {better['equal']}."
        )
    return text


def _list(console: Console, title: str, lines: Sequence[str], every: bool) -> None:
    if not lines:
        return
    _line(console, f"{title[:-1]} ({len(lines)}):")
    for line in lines if every else lines[:LISTED]:
        _line(console, f"  {line}")
    if not every and len(lines) > LISTED:
        _line(console, f"  … and {len(lines) - LISTED} more: --all lists them")


def _changes(console: Console, title: str, changes: Sequence[Change], pairs: int) -> None:
    if not changes:
        return
    _line(console, title)
    for change in changes:
        some = f" ({change.pairs} of {pairs} pairs)" if change.pairs != pairs else ""
        _line(console, f"  {change.name}: {change.a} → {change.b}{some}")


def _line(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)
