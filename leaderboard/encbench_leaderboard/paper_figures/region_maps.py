"""Figure 13: the activation regions of trained networks over the unit square."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import matplotlib as mpl
import numpy as np

from encbench import load_model
from encbench.errors import EncbenchError, error_line
from encbench.ntk import activation_regions
from encbench.results.palette import Look
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.paper_figures.described import (
    Described,
    Lacking,
    absent,
    source,
    with_weights,
)
from encbench_leaderboard.paper_figures.picture_grid import COLUMNS, Shown, picture_grid, plane
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
    records: list[StoredRecord] = []
    missing: list[str] = []
    for entry, stored in kept.items():
        if len(records) == ENTRIES:
            missing.append(f"The best {ENTRIES} encodings of {len(kept)} are drawn.")
            break
        try:
            labels, count = _regions(stored, side)
        except EncbenchError as error:
            missing.append(f"{entry}: {error}.")
            continue
        except Exception as error:
            # of the encoding
            missing.append(f"{entry}: {error_line(error)}.")
            continue
        colours = mpl.colormaps["cividis"](labels * GOLDEN % 1.0, bytes=True)[..., :3]
        begin, size = side * 3 // WINDOW, max(side // WINDOW, 1)
        window = colours[begin : begin + size, begin : begin + size]
        looks_of = {"interpolation": "nearest"}
        title = f"{names[entry]}\n{count:,} patterns"
        wholes.append(Shown(title, colours, looks_of, (begin, begin, size, size)))
        windows.append(Shown("", window, looks_of))
        records.append(stored)
    if not wholes:
        raise Lacking(" ".join(missing))
    pictures: list[Shown | None] = []
    columns = min(COLUMNS, len(wholes))
    for start in range(0, len(wholes), columns):
        for row in (wholes, windows):
            part = row[start : start + columns]
            pictures += [*part, *[None] * (columns - len(part))]
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
