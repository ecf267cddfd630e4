"""Small things that several verbs print alike."""

from __future__ import annotations

import os
import sys
import unicodedata

from rich.console import Console
from rich.text import Text

from encbench.plugins.registry import Registry

__all__ = ["literal", "output_console", "print_conflicts", "printable"]

PIPE_WIDTH = 120
"""Columns of tables that go to a file or pipe, whose width nobody can ask for."""


def output_console() -> Console:
    """Standard output, as wide as the terminal or as COLUMNS says."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console() if known else Console(width=PIPE_WIDTH)


def literal(text: str) -> Text:
    """Text in which rich must see no markup, as in ``list[int]``, and a terminal no codes."""
    return Text(printable(text))


def printable(text: str) -> str:
    """The text with its control characters as escapes.

    A plug-in's message, or a record of somebody else's, must not colour, clear or rename the
    terminal that it is shown in.
    """
    return "".join(c if _harmless(c) else c.encode("unicode_escape").decode() for c in text)


def _harmless(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")


def print_conflicts(registry: Registry, console: Console) -> None:
    """Names that several distributions offer, and how to pick one."""
    for kind, name, distributions in registry.conflicts():
        console.print(
            f"{kind} {name!r} is offered by {' and '.join(distributions)}; "
            f"say {distributions[0]}:{name} to pick one",
            style="yellow",
        )
