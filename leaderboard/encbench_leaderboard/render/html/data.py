"""What the page's script reads: entries, and JSON inside HTML."""

from __future__ import annotations

import json
from collections.abc import Sequence

from markupsafe import Markup, escape

from encbench_leaderboard.render.html.colours import themed

NEUTRAL = ("#565d6b", "#a4adbb")
"""Colours of a series that is of no entry; ``--soft`` of the style sheet."""


def embedded(data: object) -> Markup:
    """JSON that no HTML parser can see an end tag or a comment in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def wrapping_code(text: str) -> Markup:
    """A label that can wrap after its commas."""
    return Markup("<code>{}</code>").format(Markup(str(escape(text)).replace(",", ",<wbr>")))


class Entries:
    """Number, colours and marker of each entry; whatever shows one refers to its number."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._numbers = {entry: number for number, entry in enumerate(entries)}
        self._looks = themed(entries)

    def number(self, entry: str) -> int:
        """Number of an entry; a series of none of them, such as a mean, gets a new one."""
        return self._numbers.setdefault(entry, len(self._numbers))

    def colours(self, entry: str) -> tuple[str, str]:
        """Colours on light and on dark ground."""
        number = self.number(entry)
        return self._looks[number][:2] if number < len(self._looks) else NEUTRAL

    def marker(self, entry: str) -> str:
        number = self.number(entry)
        return self._looks[number][2] if number < len(self._looks) else "o"

    def style(self) -> str:
        """Rules that give elements of class ``e`` and number the entry's colours."""
        return "".join(
            f".e{number}{{--light:{light};--dark:{dark}}}\n"
            for number, (light, dark, _) in enumerate(self._looks)
        )
