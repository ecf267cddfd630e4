"""A table of small pictures, drawn by matplotlib."""

from __future__ import annotations

import math
import textwrap

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from encbench_leaderboard.render.style import WIDTH, figure, legends
from encbench_leaderboard.report.blocks import PictureTable, Thumbnail

LABELS = 1.5
"""Inches of the column of names."""
SIDE = 160
"""Pixels of a thumbnail's longer side, at most."""
PAD, TEXT = 0.05, 0.16
"""Inches between thumbnails, and of the line of text below each."""
POINTS = 7.0
COLOUR = "#0072b2"
"""Of what was learned, and of the shade behind the values; the truth is grey."""


def small_picture(one: Thumbnail) -> Image.Image | None:
    """A thumbnail's picture, its longer side at most ``SIDE``; None where it cannot be read."""
    if one.file is None:
        return None
    try:
        with Image.open(one.file) as image:
            small = image.convert("RGB")
    # pillow raises all of these
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return small


def limits(line: np.ndarray) -> tuple[float, float]:
    """Values that a small curve shows: those of the truth, and a quarter of their range around."""
    truth = line[:, 2][np.isfinite(line[:, 2])]
    low, high = (float(truth.min()), float(truth.max())) if len(truth) else (0.0, 1.0)
    margin = 0.25 * (high - low) or 1.0
    return low - margin, high + margin


def picture_table(block: PictureTable) -> Figure | None:
    """A row per entry, a column per task. To be called inside ``style.quiet()``."""
    columns = len(block.columns)
    cell = (WIDTH - LABELS) / columns
    height = min(cell, 0.85)
    heads = [
        "\n".join(
            [
                *textwrap.wrap(task.replace(",", ", ").replace(":", ": "), max(8, int(cell * 14))),
                metric,
            ]
        )
        for task, metric in block.columns
    ]
    head = 0.13 * max(text.count("\n") + 1 for text in heads) + 0.1
    row = height + TEXT
    total = head + row * len(block.rows)
    drawn = figure(total, dpi=140, layout=None)
    names = legends([entry for entry, _ in block.rows], 20, 3)
    for place, text in enumerate(heads):
        x = (LABELS + (place + 0.5) * cell) / WIDTH
        drawn.text(
            x, 1 - (head - 0.08) / total, _literal(text), ha="center", va="bottom", fontsize=POINTS
        )
    for number, (entry, thumbnails) in enumerate(block.rows):
        top = head + number * row
        label = names[entry] if entry else "target"
        drawn.text(0.05 / WIDTH, 1 - (top + height / 2) / total, label, va="center", fontsize=8)
        for place, one in enumerate(thumbnails):
            if one is None:
                continue
            left = LABELS + place * cell
            box = (
                (left + PAD / 2) / WIDTH,
                1 - (top + height) / total,
                (cell - PAD) / WIDTH,
                (height - PAD) / total,
            )
            _draw(drawn, box, one)
            shade = 0.0 if math.isnan(one.standing) else 0.35 * one.standing
            middle = 1 - (top + height + TEXT / 2) / total
            drawn.text(
                (left + cell / 2) / WIDTH,
                middle,
                "" if not entry else _literal(one.text),
                ha="center",
                va="center",
                fontsize=POINTS,
                bbox={"facecolor": (0.0, 0.45, 0.7, shade), "edgecolor": "none", "pad": 1.5},
            )
    return drawn


def _draw(drawn: Figure, box: tuple[float, float, float, float], one: Thumbnail) -> None:
    axes = drawn.add_axes(box)
    axes.set_axis_off()
    if one.line is not None:
        x, made, truth = one.line.T
        axes.plot(x, truth, color="#999999", linewidth=1.2)
        axes.plot(x, made, color=COLOUR, linewidth=0.7)
        axes.set_ylim(*limits(one.line))
    elif (small := small_picture(one)) is not None:
        axes.imshow(np.asarray(small), interpolation="nearest")


def _literal(text: str) -> str:
    return text.replace("$", r"\$")
