"""What ``encbench compare`` prints."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from encbench.errors import UsageError
from encbench_leaderboard.compare.folders import Change, Report, compare_encodings, compare_folders
from encbench_leaderboard.compare.rows import Row
from encbench_leaderboard.compare.tables import by_task, cost_table, quality_table, verdict
from encbench_leaderboard.report.format import plural
from encbench_leaderboard.report.tables import TEST_NAMES

__all__ = ["as_plain", "show"]

PIPE_WIDTH = 120
"""Columns where output goes to a file or pipe, whose width nobody can ask for."""
LISTED = 8
"""Lines of a list that are printed without --all."""


def show(
    a: str,
    b: str,
    folder: Path | None,
    despite: Sequence[str] = (),
    *,
    every: bool,
    as_json: bool,
) -> None:
    """Compare and print.

    Raises:
        UsageError: without ``folder``, a or b is no folder; or no encoding of it; or ``despite``
            does not fit.
        StoreError: a folder holds no records.
    """
    if folder is not None:
        if despite:
            raise UsageError(
                "--despite is for two folders; two encodings of one are compared whatever the "
                "settings in which they differ"
            )
        report = compare_encodings(a, b, folder)
    else:
        for text in (a, b):
            if not Path(text).is_dir():
                raise UsageError(
                    f"{text!r} is no folder; to compare two encodings say of which results "
                    "folder: encbench compare A B --in DIR"
                )
        report = compare_folders(Path(a), Path(b), despite)
    if as_json:
        typer.echo(json.dumps(as_plain(report), indent=2, ensure_ascii=False))
        return
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console() if known else Console(width=PIPE_WIDTH)
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


def _print(console: Console, report: Report, every: bool) -> None:
    where = f" in {report.folder}" if report.folder else ""
    _line(console, f"A: {report.a}\nB: {report.b}{where}\n")
    console.print(Text(_pairs_text(report)))
    _list(console, "Not finished, left out:", report.not_finished, every)
    _list(console, "In A alone, left out:", report.only_a, every)
    _list(console, "In B alone, left out:", report.only_b, every)
    if report.between:
        flags = " ".join(f"--despite {key}" for key in report.between)
        _line(console, f"To set those beside one another all the same: {flags}")
    _changes(console, "Changed from A to B:", report.changes, report.pairs)
    _changes(console, "Settings that differ between A and B:", report.settings, report.pairs)
    shown = [row for row in report.rows if every or not row.within]
    if not shown:
        return
    _line(console, "")
    alike = report.equal == report.pairs
    for title, rows in by_task(shown):
        if alike and not every:
            _line(console, title)
        else:
            console.print(quality_table(title, rows, report, console.width))
        console.print(cost_table(rows, report))
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


def _foot(report: Report, shown: Sequence[Row]) -> str:
    methods = {quality.method for row in shown for quality in row.quality}
    used = " and ".join(TEST_NAMES[m] for m in TEST_NAMES if m in methods)
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
