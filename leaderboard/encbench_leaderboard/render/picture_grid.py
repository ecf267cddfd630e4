"""Several pictures in a grid, each under its title."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch, Rectangle

from encbench_leaderboard.render.style import WIDTH, figure

COLUMNS = 4
TITLE_POINTS = 8.5
GAP = 0.05
"""Inches between pictures."""
LEGEND = 0.35
"""Inches of the legend's line."""
BAR = 0.55
"""Inches of the colour bar with its numbers and label."""
FRAME = "#ff2fd6"
"""A magenta that neither photographs nor the maps of colours hold."""


@dataclass(frozen=True)
class Shown:
    """One picture."""

    title: str
    pixels: np.ndarray  # (H, W), or (H, W, 3)
    looks: dict[str, Any] = field(default_factory=dict)  # for ``imshow``
    frame: tuple[float, float, float, float] | None = None  # left, top, width, height [px]


def stacked(rows: Sequence[Sequence[Shown | None]], columns: int) -> list[Shown | None]:
    """Rows whose pictures belong together place by place, for a grid of so many columns: below the
    first pictures of one row stand those of the others."""
    made: list[Shown | None] = []
    for start in range(0, len(rows[0]), columns):
        for row in rows:
            part = row[start : start + columns]
            made += [*part, *[None] * (columns - len(part))]
    return made


def picture_grid(
    pictures: Sequence[Shown | None],
    legend: Sequence[Patch] = (),
    columns: int = COLUMNS,
    bar: str = "",
) -> Drawing:
    """Rows of pictures; None leaves a place free. To be called inside ``style.quiet()``.

    Args:
        pictures: row by row.
        legend: what colours mean, in a line below them.
        columns: at most.
        bar: label of a colour bar below them, of the one map of colours that all of them have.
    """
    columns = min(columns, len(pictures))
    width = WIDTH / columns
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [(_title_height(row), width * _ratio(row)) for row in rows]
    total = sum(map(sum, heights)) + (LEGEND if legend else 0.0) + (BAR if bar else 0.0)
    drawn = figure(total, layout=None)
    top = total
    for row, (title, height) in zip(rows, heights, strict=True):
        top -= title + height
        for column, picture in enumerate(row):
            if picture is not None:
                left, bottom = column * width + GAP / 2, top + GAP / 2
                axes = drawn.add_axes(
                    (left / WIDTH, bottom / total, (width - GAP) / WIDTH, (height - GAP) / total)
                )
                _show(axes, picture)
    if bar:
        at = drawn.add_axes((0.3, 0.75 * BAR / total, 0.4, 0.15 * BAR / total))
        drawn.colorbar(drawn.axes[0].images[0], at, orientation="horizontal", label=bar)
    if legend:
        drawn.legend(handles=list(legend), loc="lower center", ncols=len(legend))
    return drawn


def _title_height(row: Sequence[Shown | None]) -> float:
    """Inches above a row."""
    lines = max(p.title.count("\n") + 1 if p and p.title else 0 for p in row)
    return lines * TITLE_POINTS * 1.3 / 72 + (0.14 if lines else 0.0)


def _ratio(row: Sequence[Shown | None]) -> float:
    """Height of a row over the width of a column; a strip of one row of nodes stays visible."""
    return max(min(max(p.pixels.shape[0] / p.pixels.shape[1], 0.15), 2.0) if p else 0 for p in row)


def _show(axes: Axes, picture: Shown) -> None:
    axes.set_axis_off()
    thin = picture.pixels.shape[0] < 0.1 * picture.pixels.shape[1]
    axes.imshow(picture.pixels, aspect="auto" if thin else "equal", **picture.looks)
    axes.set_anchor("N")
    # names for legends have theirs escaped already
    title = re.sub(r"(?<!\\)\$", r"\\$", picture.title)
    axes.set_title(title, fontsize=TITLE_POINTS, pad=4)
    if picture.frame is not None:
        left, top, *size = picture.frame
        # the outer half of a frame around the whole is cut off
        line = 3.2 if tuple(size) == picture.pixels.shape[1::-1] else 1.6
        corner = left - 0.5, top - 0.5
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=FRAME, linewidth=line))
