"""Texts that many rows share, kept once."""

from __future__ import annotations

__all__ = ["Interned"]


class Interned:
    """A list of distinct texts; rows hold their numbers."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The place of a text in the list, where it is put if it is new."""
        return self._numbers.setdefault(text, len(self._numbers))

    def texts(self) -> list[str]:
        return list(self._numbers)
