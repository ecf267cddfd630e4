"""Matplotlib settings and file formats of all pictures."""

from __future__ import annotations

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

from encbench.cli.console import label_lines

WIDTH = 9.0
"""Width of a picture [inch]; shown 900 px wide, a point of type is 1.4 px."""
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
    # Where titles are with ticks below the axes; to search for it took an eighth of the time.
    "axes.titley": 1.0,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    # Without it, names of clipping paths are random.
    "svg.hashsalt": "encbench",
}

FILES: dict[str, dict[str, Any]] = {
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
    ".webp": {"pil_kwargs": {"quality": 90}},
}
"""Options of ``savefig`` by suffix; no dates are written."""


def quiet() -> Any:
    """Context in which figures are made and drawn; it leaves the user's own settings alone."""
    return mpl.style.context(["default", SETTINGS])


def figure(
    height: float,
    *,
    width: float = WIDTH,
    dpi: int = DPI,
    layout: Literal["constrained"] | None = "constrained",
) -> Figure:
    """A white figure of the page's width or another one; height and width in inches."""
    drawn = Figure(figsize=(width, height), dpi=dpi, layout=layout, facecolor="white")
    # With one canvas for layout and drawing, each text is measured once.
    FigureCanvasAgg(drawn)
    return drawn


def legends(entries: Sequence[str], width: int, lines: int) -> dict[str, str]:
    """Break labels into at most ``lines`` lines of ``width`` characters, the last with an ellipsis;
    labels that would look the same are not shortened."""
    short = {entry: _wrapped(entry, width, lines) for entry in entries}
    texts = Counter(short.values())
    return {e: s if texts[s] == 1 else _wrapped(e, width, None) for e, s in short.items()}


def _wrapped(label: str, width: int, lines: int | None) -> str:
    text = label.replace("$", r"\$")  # two dollar signs would enclose mathematics
    return "\n".join(label_lines(text, width, max_lines=lines, placeholder=" …"))


def save(drawn: Figure, files: Sequence[Path]) -> Sequence[Path]:
    """Write what ``figure`` made as PNG, SVG, PDF or WebP: the same bytes for the same data."""
    layout = drawn.get_layout_engine()
    if layout is not None:
        # One layout serves all formats.
        layout.execute(drawn)
        drawn.set_layout_engine("none")
    for file in files:
        if file.suffix == ".png":
            assert isinstance(drawn.canvas, FigureCanvasAgg), "it has been drawn elsewhere"
            # savefig would draw twice, once for a layout that is there already
            drawn.canvas.draw()  # type: ignore[no-untyped-call] # matplotlib leaves both untyped
            rgba = drawn.canvas.buffer_rgba()  # type: ignore[no-untyped-call]
            opaque = np.asarray(rgba)[..., :3]
            # half the time of zlib's other strategies, and files of photographs are 20 % smaller
            Image.fromarray(opaque).save(file, dpi=(drawn.dpi, drawn.dpi), compress_type=zlib.Z_RLE)
        else:
            drawn.savefig(file, **FILES[file.suffix])
    return files
