"""One look for all pictures: light and quiet."""

from __future__ import annotations

import re
import textwrap
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

WIDTH = 9.0
"""Inches of a page 900 px wide: a point of type is then 1.4 px."""
DPI = 180

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
    # Where titles lie with ticks below; to search for that place took an eighth of drawing.
    "axes.titley": 1.0,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    # Names of clipping paths: random without it.
    "svg.hashsalt": "encbench",
}

FILES: dict[str, dict[str, Any]] = {
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
    ".webp": {"pil_kwargs": {"quality": 90}},
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
    """Write what ``figure`` made as PNG, SVG, PDF or WebP: the same bytes for the same data."""
    layout = drawn.get_layout_engine()
    if layout is not None:
        # Once for all formats.
        layout.execute(drawn)
        drawn.set_layout_engine("none")
    for file in files:
        if file.suffix == ".png":
            assert isinstance(drawn.canvas, FigureCanvasAgg), "it has been drawn elsewhere"
            # savefig would draw it once more before, for a layout that is there already
            drawn.canvas.draw()  # type: ignore[no-untyped-call] # matplotlib leaves both untyped
            rgba = drawn.canvas.buffer_rgba()  # type: ignore[no-untyped-call]
            opaque = np.asarray(rgba)[..., :3]
            # half the time of zlib's other methods, and of photographs a fifth smaller
            Image.fromarray(opaque).save(file, dpi=(drawn.dpi, drawn.dpi), compress_type=zlib.Z_RLE)
        else:
            drawn.savefig(file, **FILES[file.suffix])
    return files
