"""One look for all pictures: light, quiet, the same colour for an encoding everywhere."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH = 9.0
"""Inches of a page 900 px wide: a point of type is then 1.4 px."""
DPI = 180

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
"""Of pictures, of the HTML page on light and on dark ground. The first ten are the palette of
Okabe and Ito (2008), told apart by colour-blind readers; its yellow, too faint for lines on white,
gives way to olive, and brown, violet and a soft black are added. The second ten are darker, and
paler on dark ground. On the page their contrast is at least 3 on light and 4.5 on dark ground
(WCAG 2.2, criterion 1.4.11, asks for 3; thin lines that just have it are hard to see)."""
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
    return {
        entry: (COLOURS[place % len(COLOURS)][0], MARKERS[place % len(MARKERS)])
        for place, entry in enumerate(entries)
    }


def legends(entries: Sequence[str], width: int, lines: int) -> dict[str, str]:
    """Labels broken after their commas into at most so many lines, the rest an ellipsis; two that
    would read the same are given whole."""
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


def save(drawn: Figure, files: Sequence[Path]) -> Sequence[Path]:
    """Write a figure as PNG, SVG or PDF, by suffix: the same bytes for the same data."""
    layout = drawn.get_layout_engine()
    if layout is not None:
        # Once for all formats.
        layout.execute(drawn)
        drawn.set_layout_engine("none")
    for file in files:
        drawn.savefig(file, **FILES[file.suffix])
    return files
