"""One look for all pictures: light, quiet, the same colour for an encoding everywhere."""

from __future__ import annotations

import colorsys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

__all__ = ["MARKERS", "WIDTH", "colours", "figure", "quiet", "save", "wrapped"]

WIDTH = 9.0
"""Inches of a page 900 px wide: a point of type is then 1.4 px."""
DPI = 180

PALETTE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#333333",
    "#8c510a",
    "#6a51a3",
    "#9a9a00",
)
"""The palette of Okabe and Ito (2008), told apart by colour-blind readers; its yellow, too
faint for lines on white, gives way to olive, and brown, violet and a soft black are added."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Seven marks against ten colours: the pair is the same again only after 70 encodings."""

SETTINGS: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
}


def quiet() -> Any:
    """Context in which figures are made and drawn; leaves the user's own settings alone."""
    return mpl.style.context(["default", SETTINGS])


def figure(height: float) -> Figure:
    """A white figure of the page's width; height in inches."""
    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")


def colours(entries: Sequence[str]) -> dict[str, tuple[str, str]]:
    """(colour, marker) of each entry, decided by its place in the sequence alone."""
    found = {}
    for index, entry in enumerate(entries):
        colour = PALETTE[index % len(PALETTE)]
        if (index // len(PALETTE)) % 2:
            hue, light, saturation = colorsys.rgb_to_hls(*to_rgb(colour))
            colour = to_hex(colorsys.hls_to_rgb(hue, 0.6 * light, saturation))
        found[entry] = (colour, MARKERS[index % len(MARKERS)])
    return found


def wrapped(label: str, width: int, lines: int = 3) -> str:
    """A label broken after its commas into at most so many lines, the rest an ellipsis."""
    text = label.replace(",", ", ").replace(",  ", ", ").replace(":", ": ", 1)
    text = text.replace("$", r"\$")  # two of them would be read as mathematics
    return "\n".join(
        textwrap.wrap(text, width, max_lines=lines, placeholder=" …", break_on_hyphens=False)
    )


def save(drawn: Figure, path: Path) -> Path:
    """Write a PNG, the same bytes for the same data."""
    drawn.savefig(path, metadata={"Software": None})
    return path
