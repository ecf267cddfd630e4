"""What the page's script reads: entries with their colours, and JSON inside HTML."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from encbench.results.palette import COLOURS, colours

NEUTRAL = ("#565d6b", "#a4adbb")
"""Colours of a series that is of no entry; ``--soft`` of the style sheet."""


def embedded(data: object) -> Markup:
    """JSON that no HTML parser can see an end tag or a comment in."""
    return htmlsafe_json_dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def wrapping_code(text: str) -> Markup:
    """A label that can wrap after its commas."""
    return Markup("<code>{}</code>").format(Markup(str(escape(text)).replace(",", ",<wbr>")))


class Entries:
    """Number, colours and marker of each entry; whatever shows one refers to its number."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._numbers = {entry: number for number, entry in enumerate(entries)}
        self._markers = [marker for _, marker in colours(entries).values()]

    def number(self, entry: str) -> int:
        """Number of an entry; a series of none of them, such as a mean, gets a new one."""
        return self._numbers.setdefault(entry, len(self._numbers))

    def colours(self, entry: str) -> tuple[str, str]:
        """Colours on light and on dark ground."""
        number = self.number(entry)
        return COLOURS[number % len(COLOURS)][1:] if number < len(self._markers) else NEUTRAL

    def marker(self, entry: str) -> str:
        number = self.number(entry)
        return self._markers[number] if number < len(self._markers) else "o"

    def style(self) -> str:
        """Rules that give elements of class ``e`` and number the entry's colours."""
        shown = (COLOURS[number % len(COLOURS)][1:] for number in range(len(self._markers)))
        return "".join(
            f".e{number}{{--light:{light};--dark:{dark}}}\n"
            for number, (light, dark) in enumerate(shown)
        )
