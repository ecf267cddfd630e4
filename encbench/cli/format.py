"""Small things that several verbs print alike."""

from __future__ import annotations

from rich.text import Text

__all__ = ["literal"]


def literal(text: str) -> Text:
    """Text in which rich must not look for markup, as in ``list[int]``."""
    return Text(text)
