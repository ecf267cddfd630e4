"""What verbs print alike: consoles, and text that comes from others."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from encbench.errors import cannot_write, printable
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


def plain_table(*columns: str) -> Table:
    """A table without lines, its cells folded where the console is too narrow."""
    table = Table(box=None, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
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
    for kind, name, distributions in registry.conflicts():
        console.print(
            f"{kind} {name!r} is offered by {' and '.join(distributions)}; "
            f"{distributions[-1]}:{name} picks the last",
            style="yellow",
        )


def write_json(path: Path, data: Any) -> None:
    """Write data to a file, and make its folder.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from None
