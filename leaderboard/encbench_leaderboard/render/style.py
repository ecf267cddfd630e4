"""One look for all pictures: light, quiet, the same colour for an encoding everywhere."""

from __future__ import annotations

import colorsys
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

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

Look = tuple[str, str]
"""Colour and marker."""

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
    # Names of clipping paths: random without it.
    "svg.hashsalt": "encbench",
}

FILES: dict[str, dict[str, Any]] = {
    # Higher levels take twice the time for a tenth of the size.
    ".png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}},
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
}
"""Options of each format, without dates."""


def quiet() -> Any:
    """Context in which figures are made and drawn; leaves the user's own settings alone."""
    return mpl.style.context(["default", SETTINGS])


def figure(
    height: float, *, dpi: int = DPI, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """A white figure of the page's width; height in inches."""
    drawn = Figure(figsize=(WIDTH, height), dpi=dpi, layout=layout, facecolor="white")
    # One canvas for laying out and drawing measures a text once.
    FigureCanvasAgg(drawn)
    return drawn


def colours(entries: Sequence[str]) -> dict[str, Look]:
    """(colour, marker) of each entry, decided by its place in the sequence alone."""
    found = {}
    for index, entry in enumerate(entries):
        colour = PALETTE[index % len(PALETTE)]
        if (index // len(PALETTE)) % 2:
            hue, light, saturation = colorsys.rgb_to_hls(*to_rgb(colour))
            colour = to_hex(colorsys.hls_to_rgb(hue, 0.6 * light, saturation))
        found[entry] = (colour, MARKERS[index % len(MARKERS)])
    return found


def legends(entries: Sequence[str], width: int, lines: int) -> dict[str, str]:
    """Labels broken after their commas into at most so many lines, the rest an ellipsis.

    Two that would read the same are given whole.
    """
    short = {entry: _wrapped(entry, width, lines) for entry in entries}
    texts = Counter(short.values())
    return {e: s if texts[s] == 1 else _wrapped(e, width, None) for e, s in short.items()}


def _wrapped(label: str, width: int, lines: int | None) -> str:
    text = label.replace(":", ": ", 1)
    # Commas inside brackets are no place to break: "[96,277]" is one value.
    text = re.sub(r",\s*(?![^\[(]*[\])])", ", ", text)
    text = re.sub(r",\s+(?=[^\[(]*[\])])", ",", text)
    text = text.replace("$", r"\$")  # two of them would be read as mathematics
    return "\n".join(
        textwrap.wrap(text, width, max_lines=lines, placeholder=" …", break_on_hyphens=False)
    )


def lay_out(drawn: Figure) -> None:
    """Give everything its final position, for good; once."""
    layout = drawn.get_layout_engine()
    if layout is not None:
        layout.execute(drawn)
        drawn.set_layout_engine("none")


def save(drawn: Figure, files: Sequence[Path]) -> Sequence[Path]:
    """Write a figure as PNG, SVG or PDF, by suffix: the same bytes for the same data."""
    # A figure that is still to be laid out is drawn twice, the first time to lay it out.
    lay_out(drawn)
    for file in files:
        drawn.savefig(file, **FILES[file.suffix])
    return files
