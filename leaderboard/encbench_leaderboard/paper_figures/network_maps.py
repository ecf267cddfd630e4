"""Figures 12 and 13, of saved networks: learned values, and activation regions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.patches import Patch

from encbench import Encoding, LearnedGrid, ParameterError, load_model
from encbench.ntk import activation_regions
from encbench.plugins.registry import default_registry
from encbench.results.palette import Look
from encbench.results.records import StoredRecord
from encbench.runs.parts import build_task, cell_streams
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

MAPS = 8
WINDOW = 8
"""Side of the square divided by that of the magnified window."""
GOLDEN = (5**0.5 - 1) / 2
ENTRIES, GRIDS, VALUES = 4, 4, 3
"""Maximum number of encodings, of grids per encoding, and of values per node."""
EPOCHS = 8
"""Maximum number of epochs whose points are checked, if each epoch draws new ones."""
DECODED = 256
"""Pixels per side of a picture of features."""
CHUNK = 1 << 16
UNUSED = "#e69f00"


def region_maps(task: TaskBoard, looks: Mapping[str, Look], side: int) -> Described:
    """Figure 13, at side² points."""
    kept = with_weights(task)
    names = legends(list(kept), 34, 2)
    wholes, windows = [], []
    found, missing = best_of(list(kept), MAPS, lambda entry: _regions(kept[entry], side))
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
        "are not counted, and if it is near the number of pixels, regions are smaller than pixels. "
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
        ParameterError: points have one coordinate.
    """
    if dim < 2:
        raise ParameterError("there is no map of a function of one variable; use a task with two")
    ticks = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    rest = [torch.full_like(x, 0.5)] * (dim - 2)
    return torch.stack([x, y, *rest], dim=-1).reshape(-1, dim)


def learned_values(task: TaskBoard, looks: Mapping[str, Look]) -> Described:
    """Figure 12."""
    kept = with_weights(task)
    learned = [entry for entry, s in kept.items() if s.record.parameters.get("encoding")]
    names = legends(learned, 34, 2)
    found, missing = best_of(
        learned, ENTRIES, lambda entry: list(_pictures(kept[entry], names[entry]))
    )
    pictures = [picture for of_entry in found.values() for picture in of_entry]
    records = [kept[entry] for entry in found]
    if not pictures:
        raise Lacking(
            " ".join(missing) or "no encoding here has learned values; add one, such as -e mpe"
        )
    caption = (
        "Learned values at the nodes of each grid at the end of training, low is dark and high is "
        "bright, each picture on its own scale from the 1st to the 99th percentile; x to the "
        "right, y downwards, and of solids the plane through the middle. Coloured nodes are "
        f"touched by no training point of the first {EPOCHS} epochs. A hashed grid has no nodes of "
        f"its own: its features are drawn. Up to {GRIDS} grids of an encoding and {VALUES} values "
        f"a node are drawn. {source(records)}"
    )
    coloured = any((p.pixels[..., 0] != p.pixels[..., 2]).any() for p in pictures)
    legend = [Patch(color=UNUSED, label="touched by no training point")] if coloured else []
    missing += absent(task, list(kept), "no weights")
    return Described(caption, records, partial(picture_grid, pictures, legend), missing)


def _pictures(stored: StoredRecord, name: str) -> Iterator[Shown]:
    encoding = load_model(stored).encoding
    grids = encoding.learned_grids()
    if not grids:
        raise Lacking("describes no grids of learned values (Encoding.learned_grids)")
    touched = _touched(stored, encoding)
    tables = dict(encoding.named_parameters())
    shown = np.linspace(0, len(grids) - 1, min(len(grids), GRIDS)).round().astype(int)
    for number in shown:
        grid = grids[number]
        place = f"grid {number + 1} of {len(grids)}"
        if grid.rows is None:
            values, used = _decoded(encoding, grid), None
            place += ", hashed: features"
        else:
            rows = grid.rows
            while rows.ndim > 2:
                rows = rows[len(rows) // 2]
            rows = rows.reshape(-1, rows.shape[-1])
            size = " × ".join(map(str, grid.rows.shape[::-1]))
            place += f", {size} nodes"
            table = tables[grid.parameter].detach().double()
            # without a sparse Jacobian it is unknown which rows points read
            read = touched.get(grid.parameter, torch.ones(len(table), dtype=torch.bool))
            values = table.reshape(len(read), -1)[rows.clamp(min=0)].numpy()
            used = (read[rows.clamp(min=0)] & (rows >= 0)).numpy()
        for column in range(min(values.shape[-1], VALUES)):
            of = f"value {column + 1} of {values.shape[-1]}"
            yield _picture(f"{name}\n{place}\n{of}", values[..., column], used)


def _picture(title: str, values: np.ndarray, used: np.ndarray | None) -> Shown:
    """Show values (H, W) in grey, unused ones in one colour."""
    known = values if used is None else values[used]
    low, high = np.percentile(known, [1, 99]) if known.size else (0.0, 1.0)
    grey = np.clip((values - low) / max(high - low, 1e-300), 0, 1)
    pixels = np.repeat(grey[..., None], 3, axis=2)
    if used is not None:
        pixels[~used] = [int(UNUSED[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    title = f"{title}, {low:.2g} to {high:.2g}".replace("-", "−")
    return Shown(title, pixels, {"interpolation": "nearest"})


def _touched(stored: StoredRecord, encoding: Encoding) -> dict[str, torch.Tensor]:
    """Return a mask per table of the rows (R,) that a training point reads with nonzero weight."""
    registry, cell = default_registry(), stored.record.cell
    task, generator = build_task(cell, registry), cell_streams(cell).generator("data")
    touched: dict[str, torch.Tensor] = {}
    before = None
    for _ in range(min(EPOCHS, max(1, math.ceil(stored.record.epochs)))):
        x, _ = task.epoch(generator)
        if x is before:
            break
        before = x
        for part in torch.split(x, CHUNK):
            for block in encoding.sparse_jacobian(part) or ():
                rows = touched.setdefault(
                    block.parameter, torch.zeros(block.num_rows, dtype=torch.bool)
                )
                rows[block.rows[block.weights != 0]] = True
    return touched


@torch.no_grad()
def _decoded(encoding: Encoding, grid: LearnedGrid) -> np.ndarray:
    """Return the grid's features (DECODED, DECODED, F) at the centres of pixels."""
    parts = [encoding(part) for part in torch.split(plane(DECODED, encoding.in_dim), CHUNK)]
    features = torch.cat(parts)[:, grid.start : grid.start + grid.width]
    return features.reshape(DECODED, DECODED, -1).numpy()
