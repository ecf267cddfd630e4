"""Output that verbs share: consoles, tables, escaped text, and files."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Collection
from itertools import accumulate
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.containers import Lines
from rich.table import Table
from rich.text import Text

from encbench.errors import UsageError, check_writable, printable, writes_to
from encbench.plugins.registry import Registry

PIPE_WIDTH = 120
"""Width of tables written to a file or pipe [characters]."""


def output_console() -> Console:
    """Console for standard output, as wide as the terminal, COLUMNS or else PIPE_WIDTH."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console() if known else Console(width=PIPE_WIDTH)


def print_line(console: Console, text: str | Text, style: str | None = None) -> None:
    """Print a line as it is: without markup, highlighting or wrapping at the console's width.

    In a ``str``, which may come from a plug-in, control characters are escaped.
    """
    line = literal(text) if isinstance(text, str) else text
    console.print(line, style=style, highlight=False, soft_wrap=True)


def plain_table(*columns: str, title: str = "", numbers: Collection[str] = ()) -> Table:
    """Table without rules that folds long cells; columns in ``numbers`` are right-aligned."""
    table = Table(box=None, header_style="dim", title_justify="left")
    table.title = literal(title) if title else None
    for column in columns:
        justify = "right" if column in numbers else "left"
        table.add_column(column, overflow="fold", justify=justify)  # type: ignore[arg-type] # a literal
    return table


def facts_table(style: str = "") -> Table:
    """Table of two columns without header: names, never wrapped, and descriptions."""
    table = Table(box=None, show_header=False, pad_edge=True)
    table.add_column(style=style, no_wrap=True)
    table.add_column(overflow="fold")
    return table


def literal(text: str) -> Text:
    """Text that rich must not read as markup, such as ``list[int]``; control codes are escaped."""
    return Text(printable(text))


def literal_label(text: str) -> Text:
    """The same for a label of an entry, broken as ``label_lines`` does."""
    return Label(printable(text))


class _Wrapper(textwrap.TextWrapper):
    def _split(self, text: str) -> list[str]:
        # "[96,277]" is one value, and is broken only if it is longer than a line
        parts = re.split(r"(\s+)|(?<=[,:])(?![^\[(]*[\])])", text)
        return [
            piece
            for part in filter(None, parts)
            for piece in (re.findall("[^,]*,|[^,]+", part) if len(part) > self.width else [part])
        ]


def label_lines(label: str, width: int, **options: Any) -> list[str]:
    """Break a label into lines of at most ``width`` characters, at spaces and after commas and
    colons; ``options`` are those of ``textwrap.wrap``."""
    return _Wrapper(width, **options).wrap(label)


class Label(Text):
    """A label that is broken after its commas, in whatever width rich gives its column."""

    def wrap(self, console: Console, width: int, **options: Any) -> Lines:
        lines = label_lines(self.plain, width, drop_whitespace=False)
        parts = self.divide(accumulate(map(len, lines[:-1])))
        return Lines(line for part in parts for line in part.wrap(console, width, **options))


def duration(seconds: float) -> str:
    """Format a duration: "40 s", "12 min" or "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def print_conflicts(registry: Registry, console: Console) -> None:
    """Print the names that several distributions offer, and how to choose one of them."""
    for what, note in registry.conflict_notes():
        console.print(f"{what} is {note}", style="yellow")


def write_json(path: Path, data: Any) -> None:
    """Write data as JSON, and create the file's folder.

    Raises:
        StoreError: the file cannot be written.
    """
    with writes_to(path):
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def check_picture(path: Path) -> None:
    """Check that matplotlib can write a picture to the path.

    Raises:
        StoreError: the file cannot be written.
        UsageError: its suffix is not that of a picture format.
    """
    from matplotlib.backend_bases import FigureCanvasBase  # takes 0.25 s

    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lower()[1:] not in known:
        raise UsageError(f"cannot draw to {path}: expected a name that ends in .png, .svg or .pdf")
    check_writable(path)


def write_picture(save: Callable[[Path], object], path: Path) -> None:
    """Create the path's folder and let ``save`` write a picture to the path.

    Raises:
        StoreError: the file cannot be written.
        UsageError: its suffix is not that of a picture format.
    """
    check_picture(path)
    with writes_to(path):
        save(path)
