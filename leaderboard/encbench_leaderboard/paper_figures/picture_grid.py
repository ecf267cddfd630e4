"""Several pictures in a grid, each under its title."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch

from encbench import ParameterError
from encbench_leaderboard.render.style import WIDTH, figure

COLUMNS = 4
TITLE_POINTS = 8.5


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
    rows = math.ceil(len(pictures) / columns)
    width = WIDTH / columns
    heights = []
    for row in range(rows):
        shown = [p for p in pictures[row * columns : (row + 1) * columns] if p is not None]
        ratio = max((p.pixels.shape[0] / p.pixels.shape[1] for p in shown), default=1.0)
        lines = max((p.title.count("\n") + 1 if p.title else 0 for p in shown), default=0)
        # a strip of one row of nodes still needs to be seen
        heights.append(width * min(max(ratio, 0.15), 2.0) + lines * TITLE_POINTS * 1.3 / 72 + 0.1)
    drawn = figure(sum(heights) + (0.3 if legend else 0.0))
    grid = drawn.subplots(rows, columns, squeeze=False, height_ratios=heights)
    for axes, picture in zip(grid.flat, [*pictures, *[None] * rows * columns], strict=False):
        axes.set_axis_off()
        if picture is not None:
            thin = picture.pixels.shape[0] < 0.1 * picture.pixels.shape[1]
            axes.imshow(picture.pixels, aspect="auto" if thin else "equal", **picture.looks)
            axes.set_title(picture.title.replace("$", r"\$"), fontsize=TITLE_POINTS)
            if picture.frame is not None:
                left, top, wide, high = picture.frame
                axes.plot(
                    np.array([0, wide, wide, 0, 0]) + left - 0.5,
                    np.array([0, 0, high, high, 0]) + top - 0.5,
                    color="#d55e00",
                    linewidth=1.4,
                )
    if legend:
        drawn.legend(handles=list(legend), loc="outside lower center", ncols=len(legend))
    return drawn


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
