"""Figure 13: the activation regions of trained networks over the unit square."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import matplotlib as mpl
import numpy as np
import torch

from encbench import ParameterError, load_model
from encbench.ntk import activation_regions
from encbench.results.palette import Look
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.paper_figures.described import (
    Described,
    Lacking,
    absent,
    best_of,
    source,
    with_weights,
)
from encbench_leaderboard.render.picture_grid import COLUMNS, Shown, picture_grid, stacked
from encbench_leaderboard.render.style import legends

ENTRIES = 8
WINDOW = 8
"""A side of the square over that of the window that is magnified."""
GOLDEN = (5**0.5 - 1) / 2


def region_maps(task: TaskBoard, looks: Mapping[str, Look], side: int) -> Described:
    """Figure 13, of side² points."""
    kept = with_weights(task)
    names = legends(list(kept), 34, 2)
    wholes, windows = [], []
    found, missing = best_of(list(kept), ENTRIES, lambda entry: _regions(kept[entry], side))
    for entry, (labels, count) in found.items():
        colours = mpl.colormaps["cividis"](labels * GOLDEN % 1.0, bytes=True)[..., :3]
        begin, size = side * 3 // WINDOW, max(side // WINDOW, 1)
        window = colours[begin : begin + size, begin : begin + size]
        looks_of = {"interpolation": "nearest"}
        title = f"{names[entry]}\n{count:,} patterns"
        wholes.append(Shown(title, colours, looks_of, (begin, begin, size, size)))
        windows.append(Shown("", window, looks_of))
    if not wholes:
        raise Lacking(" ".join(missing))
    records = [kept[entry] for entry in found]
    columns = min(COLUMNS, len(wholes))
    pictures = stacked([wholes, windows], columns)
    where = (
        "the unit square" if task.records[0].record.in_dim == 2 else "the plane through the middle"
    )
    caption = (
        f"Activation regions over {where} at the end of training (Hanin and Rolnick 2019): a "
        "colour for each set of points at which the same ReLU units are on. Below, the framed "
        f"window magnified {WINDOW} times. Above, the number of distinct patterns at the centres "
        f"of {side:,} × {side:,} pixels, exact; regions between them "
        "are not counted, and where it nears the number of pixels, regions are smaller than these. "
        f"{source(records)}"
    )
    left = absent(task, list(kept), "no weights")
    return Described(
        caption, records, partial(picture_grid, pictures, (), columns), [*missing, *left]
    )


def _regions(stored: StoredRecord, side: int) -> tuple[np.ndarray, int]:
    model = load_model(stored)
    found = activation_regions(model, plane(side, model.in_dim))
    return found.labels.reshape(side, side), found.count


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
