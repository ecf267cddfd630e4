"""Small things that several verbs print alike."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

__all__ = ["literal", "output_console"]

PIPE_WIDTH = 120
"""Columns of tables that go to a file or pipe, whose width nobody can ask for."""


def output_console() -> Console:
    """Standard output."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


def literal(text: str) -> Text:
    """Text in which rich must not look for markup, as in ``list[int]``."""
    return Text(text)
