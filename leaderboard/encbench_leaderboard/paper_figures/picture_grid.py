"""Several pictures in a grid, each under its title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch, Rectangle

from encbench import ParameterError
from encbench_leaderboard.render.style import WIDTH, figure

COLUMNS = 4
TITLE_POINTS = 8.5
GAP = 0.06
"""Inches between pictures."""
LEGEND = 0.35
"""Inches of the legend's line."""
FRAME = "#d55e00"


@dataclass(frozen=True)
class Shown:
    """One picture."""

    title: str
    pixels: np.ndarray  # (H, W), or (H, W, 3)
    looks: dict[str, Any] = field(default_factory=dict)  # for ``imshow``
    frame: tuple[float, float, float, float] | None = None  # left, top, width, height [px]


def picture_grid(
    pictures: Sequence[Shown | None], legend: Sequence[Patch] = (), columns: int = COLUMNS
) -> Drawing:
    """Rows of pictures; None leaves a place free. To be called inside ``style.quiet()``."""
    columns = min(columns, len(pictures))
    width = WIDTH / columns
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [(_title_height(row), width * _ratio(row)) for row in rows]
    total = sum(map(sum, heights)) + (LEGEND if legend else 0.0)
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
    if legend:
        drawn.legend(handles=list(legend), loc="lower center", ncols=len(legend))
    return drawn


def _title_height(row: Sequence[Shown | None]) -> float:
    """Inches above a row."""
    lines = max(len(p.title.splitlines()) if p else 0 for p in row)
    return lines * TITLE_POINTS * 1.25 / 72 + (0.12 if lines else 0.0)


def _ratio(row: Sequence[Shown | None]) -> float:
    """Height of a row over the width of a column; a strip of one row of nodes stays visible."""
    return max(min(max(p.pixels.shape[0] / p.pixels.shape[1], 0.15), 2.0) if p else 0 for p in row)


def _show(axes: Axes, picture: Shown) -> None:
    axes.set_axis_off()
    thin = picture.pixels.shape[0] < 0.1 * picture.pixels.shape[1]
    axes.imshow(picture.pixels, aspect="auto" if thin else "equal", **picture.looks)
    axes.set_anchor("N")
    axes.set_title(picture.title.replace("$", r"\$"), fontsize=TITLE_POINTS, pad=4)
    if picture.frame is not None:
        left, top, width, height = picture.frame
        axes.add_patch(
            Rectangle(
                (left - 0.5, top - 0.5), width, height, fill=False, edgecolor=FRAME, linewidth=1.6
            )
        )


def plane(side: int, dim: int) -> torch.Tensor:
    """Centres of side² pixels of the unit square, row by row, (side², d) float64: the first
    coordinate to the right, the second downwards, and further ones 1/2.

    Raises:
        ParameterError: of points of one coordinate.
    """
    if dim < 2:
        raise ParameterError("there is no map of a function of one variable; use a task of two")
    ticks = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    rest = [torch.full_like(x, 0.5)] * (dim - 2)
    return torch.stack([x, y, *rest], dim=-1).reshape(-1, dim)
