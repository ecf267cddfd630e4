"""What verbs print alike: consoles, and text that comes from others."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from encbench.errors import UsageError, check_writable, printable, writes_to
from encbench.plugins.registry import Registry

PIPE_WIDTH = 120
"""Columns of tables that go to a file or pipe, whose width is unknown."""


def output_console() -> Console:
    """Standard output, as wide as the terminal or as COLUMNS says."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console() if known else Console(width=PIPE_WIDTH)


def print_line(console: Console, text: str | Text, style: str | None = None) -> None:
    """One line as it is: no markup, no colours for numbers, not broken at the console's width.

    What is not a ``Text`` may hold words of others, whose control characters become escapes.
    """
    line = literal(text) if isinstance(text, str) else text
    console.print(line, style=style, highlight=False, soft_wrap=True)


def plain_table(*columns: str, title: str = "", numbers: Collection[str] = ()) -> Table:
    """A table without lines, folded where the console is too narrow; columns named in ``numbers``
    are aligned to the right."""
    table = Table(box=None, header_style="dim", title_justify="left")
    table.title = literal(title) if title else None
    for column in columns:
        justify = "right" if column in numbers else "left"
        table.add_column(column, overflow="fold", justify=justify)  # type: ignore[arg-type] # a literal
    return table


def facts_table(style: str = "") -> Table:
    """A table of names, never broken, and what is to be said of each."""
    table = Table(box=None, show_header=False, pad_edge=True)
    table.add_column(style=style, no_wrap=True)
    table.add_column(overflow="fold")
    return table


def literal(text: str) -> Text:
    """Text in which rich must see no markup, as in ``list[int]``, and a terminal no codes."""
    return Text(printable(text))


def breakable(label: str) -> str:
    """A label that a table can break after its commas."""
    return re.sub(r",(?=\S)", ", ", label)


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def print_conflicts(registry: Registry, console: Console) -> None:
    """Names that several distributions offer, and how to pick another than the built-in."""
    for what, note in registry.conflict_notes():
        console.print(f"{what} is {note}", style="yellow")


def write_json(path: Path, data: Any) -> None:
    """Write data to a file, and make its folder.

    Raises:
        StoreError: it cannot be written.
    """
    with writes_to(path):
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def check_picture(path: Path) -> None:
    """Refuse a file to which matplotlib could not draw.

    Raises:
        StoreError: it cannot be written.
        UsageError: its ending is that of no picture format.
    """
    from matplotlib.backend_bases import FigureCanvasBase  # a quarter of a second

    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lower()[1:] not in known:
        raise UsageError(f"cannot draw to {path}: expected a name that ends in .png, .svg or .pdf")
    check_writable(path)


def write_picture(save: Callable[[Path], object], path: Path) -> None:
    """Let ``save`` write a picture to a file, whose folder is made.

    Raises:
        StoreError: it cannot be written.
        UsageError: its ending is that of no picture format.
    """
    check_picture(path)
    with writes_to(path):
        save(path)
