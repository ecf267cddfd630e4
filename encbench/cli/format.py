"""Small things that several verbs print alike."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.text import Text

__all__ = ["literal", "output_console"]

PIPE_WIDTH = 120
"""Columns of tables that go to a file or pipe, whose width nobody can ask for."""


def output_console() -> Console:
    """Standard output, as wide as the terminal or as COLUMNS says."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console() if known else Console(width=PIPE_WIDTH)


def literal(text: str) -> Text:
    """Text in which rich must not look for markup, as in ``list[int]``."""
    return Text(text)
