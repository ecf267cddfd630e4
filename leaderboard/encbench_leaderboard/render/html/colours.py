"""The plots' colours, made to stand out from a light and from a dark ground."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import cache

from matplotlib.colors import to_hex, to_rgb

from encbench_leaderboard.render.style import PALETTE, colours

LIGHT, DARK = "#ffffff", "#161a21"
"""The grounds that lines are drawn on; the style sheet's --plot in both themes."""
LEAST = {LIGHT: 3.0, DARK: 4.5}
"""Of colours on each ground. WCAG 2.2, criterion 1.4.11, asks for 3; thin lines that just have
it are hard to see on a dark ground."""
PALE = 8.0
"""Of the plots' second ten colours on the dark ground: darker there, they are paler here."""
STEPS = 200


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, 1 (none) to 21, as WCAG 2.2 defines it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def themed(entries: Sequence[str]) -> list[tuple[str, str, str]]:
    """(colour on light, colour on dark, marker) of each entry.

    The colour of the drawn pictures where its contrast suffices, else the nearest one of the
    same hue that has ``LEAST``, or ``PALE``. Entries must be distinct.
    """
    found = []
    for place, (colour, marker) in enumerate(colours(entries).values()):
        pale = (place // len(PALETTE)) % 2
        on_dark = _readable(colour, DARK, PALE if pale else LEAST[DARK])
        found.append((_readable(colour, LIGHT, LEAST[LIGHT]), on_dark, marker))
    return found


@cache
def _readable(colour: str, ground: str, least: float) -> str:
    hue, light, saturation = colorsys.rgb_to_hls(*to_rgb(colour))
    end = 1.0 if _luminance(ground) < 0.5 else 0.0
    for step in range(STEPS + 1):
        moved = light + (end - light) * step / STEPS
        found = str(to_hex(colorsys.hls_to_rgb(hue, moved, saturation))) if step else colour
        if contrast(found, ground) >= least:
            return found
    return found


def _luminance(colour: str) -> float:
    """Relative luminance in [0, 1] of an sRGB colour (IEC 61966-2-1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
