"""Figures 3, 7 and 9, images side by side; and 14, the depth of solids."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from PIL import Image

from encbench.results.palette import Look
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.paper_figures.described import Described, Lacking, absent, source
from encbench_leaderboard.render.picture_grid import SHEET, Shown, contact_sheet, picture_grid
from encbench_leaderboard.render.style import legends
from encbench_leaderboard.report.blocks import Pictures
from encbench_leaderboard.report.figures.predictions import sheet

DEPTH = "depth_psnr"
"""Metric of tasks whose pictures end with a square map of depth: near is dark, nothing is white."""
NOTHING = 255


def side_by_side(task: TaskBoard, looks: Mapping[str, Look]) -> Described:
    """Figures 3, 7 and 9."""
    found = _sheet(task)
    metrics = " / ".join(metric.title for metric in task.metrics[:2])
    records = _records(task, found)
    caption = f"{found.caption} Above each, {metrics}. {found.rows} {source(records)}"
    return Described(caption, records, partial(contact_sheet, found), _absent(task, found))


def depths(task: TaskBoard, looks: Mapping[str, Look]) -> Described:
    """Figure 14."""
    if not any(DEPTH in stored.record.metrics for stored in task.records):
        raise Lacking("there is no solid; run -t occupancy:mesh=NAME")
    found = _sheet(task)
    records = _records(task, found)
    tiles = {tile.entry: tile for tile in found.tiles if tile.name in ("target", "prediction")}
    names = legends([entry for entry in tiles if entry], 34, 2)
    pictures = []
    for entry, tile in list(tiles.items())[: SHEET + 1]:
        with Image.open(tile.file) as image:
            grey = np.asarray(image.convert("L"))
        depth = grey[-grey.shape[1] :].astype(float)
        depth[depth == NOTHING] = np.nan
        none = "" if np.isfinite(depth).any() else ", no surface"
        title = f"{names[entry]}\n{tile.caption}{none}" if entry else "true depth\n"
        pictures.append(
            Shown(title, depth / NOTHING, {"cmap": "cividis_r", "vmin": 0.0, "vmax": 1.0})
        )
    metrics = " / ".join(metric.title for metric in task.metrics[:2])
    caption = (
        "Depth of the predicted surface (occupancy 0.5, distance 0), seen from far away; white is "
        f"nothing. Above each, {metrics}. {source(records)}"
    )
    draw = partial(picture_grid, pictures, bar="depth: 0 near end of the bounding box, 1 far end")
    return Described(caption, records, draw, _absent(task, found))


def _sheet(task: TaskBoard) -> Pictures:
    found = sheet(task)
    if found is None:
        raise Lacking("no record has a picture of its target and prediction")
    return found


def _records(task: TaskBoard, found: Pictures) -> list[StoredRecord]:
    folders = {tile.file.parent for tile in found.tiles if tile.entry}
    return [stored for stored in task.records if stored.path in folders]


def _absent(task: TaskBoard, found: Pictures) -> list[str]:
    return absent(task, [tile.entry for tile in found.tiles if tile.entry], "no picture")
