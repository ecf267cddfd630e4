"""What ``encbench leaderboard`` prints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.render.markdown import below_or_value, digits
from encbench_leaderboard.report.build import Loaded, load, render
from encbench_leaderboard.report.format import fixed, one_line, plural, seconds
from encbench_leaderboard.report.wording import mean_text, rank_text, short_note

__all__ = ["show", "task_table"]

WIDE = 100
"""Columns from which on a terminal holds all columns of a table."""


def show(directory: Path, output: Path | None, *, pictures: bool, every: bool = False) -> Loaded:
    """Write the page, then print a table a task and the page's path; returns what was read.

    Args:
        directory: the folder of a run.
        output: the Markdown file, or None for the folder's own.
        pictures: draw pictures.
        every: those of all tasks, however many there are.

    Raises:
        StoreError: nothing to show, or the page cannot be written.
    """
    loaded = load(directory)
    written = render(directory, output, pictures=pictures, every=every, loaded=loaded)
    board = loaded.board
    console = Console()
    # Of a category's forty images each has a section on the page; here they are pooled.
    for group in board.groups:
        console.print(task_table(group, narrow=console.width < WIDE))
        note = short_note(group)
        if note:
            console.print(Text(note, style="dim"), end="\n\n")
    # Not wrapped, so that it can be copied whole.
    console.print(Text(f"wrote {written}"), soft_wrap=True)
    return loaded


def task_table(task: TaskBoard, *, narrow: bool = False) -> Table:
    """The standings in the width of a terminal; a narrow one leaves out the spectrum."""
    title = task.label
    if task.targets:
        title += f" ({plural(task.cells['unit'].nunique(), 'target')})"
    shown = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    shown.padding = (0, 1, 0, 0)
    shown.add_column("#", justify="right", no_wrap=True)
    shown.add_column("encoding", overflow="fold", min_width=20)
    for metric in task.metrics[:2]:
        # "41.19 [40.02, 42.37]" may break before its bracket.
        shown.add_column(Text(metric.heading), justify="right")
    for heading in ("train s",) if narrow else ("λ median", "train s"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("status")
    for row in task.rows:
        records = [stored.record for stored in task.of_entry(row["entry"])]
        statuses = sorted({record.status.replace("_", " ") for record in records})
        shown.add_row(
            rank_text(row),
            # A space after each comma is where a narrow terminal can break the name.
            Text(one_line(re.sub(r",(?=\S)", ", ", row["entry"]), 90)),
            *_metrics(task, row),
            *(() if narrow else (below_or_value(row, "end", "median"),)),
            seconds(row["training"]),
            Text(", ".join(statuses)),
        )
    return shown


def _metrics(task: TaskBoard, row: Mapping[str, Any]) -> list[str]:
    """The primary metric with its interval, the second one without."""
    texts = [fixed(row[f"metric:{m.name}"], digits(m)) for m in task.metrics[:2]]
    texts[0] = mean_text(row, f"metric:{task.primary.name}", digits(task.primary))
    # What belongs together is not torn at a space.
    return [text.replace(" ± ", "\u00a0±\u00a0").replace(", ", ",\u00a0") for text in texts]
