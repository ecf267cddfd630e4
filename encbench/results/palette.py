"""Colours and markers of encodings, the same in all figures and pages."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence

COLOURS = (
    ("#0072b2", "#0072b2", "#0088d5"),
    ("#d55e00", "#d55e00", "#d55e00"),
    ("#009e73", "#009e73", "#009e73"),
    ("#cc79a7", "#cc79a7", "#cc79a7"),
    ("#e69f00", "#c68900", "#e69f00"),
    ("#56b4e9", "#239de2", "#56b4e9"),
    ("#333333", "#333333", "#828282"),
    ("#8c510a", "#8c510a", "#be6e0e"),
    ("#6a51a3", "#6a51a3", "#8c77bb"),
    ("#9a9a00", "#9a9a00", "#9a9a00"),
    ("#00446b", "#00446b", "#42baff"),
    ("#803800", "#803800", "#ff9644"),
    ("#005f45", "#005f45", "#00c992"),
    ("#8d3666", "#8d3666", "#da9fc0"),
    ("#8a5f00", "#8a5f00", "#eba200"),
    ("#1674a9", "#1674a9", "#61b9ea"),
    ("#1f1f1f", "#1f1f1f", "#b1b1b1"),
    ("#543106", "#543106", "#f19e39"),
    ("#403162", "#403162", "#b7aad5"),
    ("#5c5c00", "#5c5c00", "#b6b600"),
)
"""Colours in pictures, and on the HTML page with a light and with a dark background. The first ten
are the palette of Okabe and Ito (2008), which colour-blind readers can tell apart; its yellow, too
faint for lines on white, is replaced by olive, and brown, violet and a soft black are added. The
second ten are darker, and paler on a dark background. The contrast on the page is at least 3 on
light and 4.5 on dark (WCAG 2.2, criterion 1.4.11, asks for 3; thin lines at 3 are hard to see)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""With seven markers and twenty colours, a pair repeats only after 140 encodings."""

Look = tuple[str, str]
"""Colour and marker."""
_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"


def natural(text: str) -> tuple[tuple[tuple[float, str], ...], str]:
    """Sort key that puts 4 before 16, and 0.05 and 1e-3 before 0.1; no two texts are equal."""
    parts = re.findall(rf"{_NUMBER}|\D+", text.lower())
    return tuple((float(p), "") if p[0].isdecimal() else (math.inf, p) for p in parts), text


def colour_order(entries: Iterable[str], finished: Collection[str]) -> list[str]:
    """Entries in the order in which colours are assigned: by name, but unfinished ones last, since
    they are seldom drawn and must not take the most distinct colours."""
    return sorted(entries, key=lambda entry: (entry not in finished, natural(entry)))


def colours(entries: Sequence[str]) -> dict[str, Look]:
    """(colour, marker) of each entry, which depend only on its position in the sequence."""
    return {
        entry: (COLOURS[place % len(COLOURS)][0], MARKERS[place % len(MARKERS)])
        for place, entry in enumerate(entries)
    }
