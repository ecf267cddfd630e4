"""The map of what works where: a small picture of each encoding on each task."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from encbench.errors import EncbenchError
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.overview import Overview
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import PictureTable, Thumbnail
from encbench_leaderboard.report.figures.lines import PREFIX
from encbench_leaderboard.report.figures.selection import has_arrays
from encbench_leaderboard.report.figures.sheet import PREDICTION, TARGET, picture_size
from encbench_leaderboard.report.format import digits, fixed

FEWEST_COLUMNS = 3
ROWS = 100
COLUMNS = 16
POINTS = 200
"""Points of a line."""


def thumbnails(found: Overview) -> PictureTable | None:
    """A row per entry, by mean rank, and a column per task, with the picture or the curve of the
    first seed that finished; of a category, of its first target. None for few tasks, or if no
    record has either."""
    groups = found.groups[:COLUMNS]
    if len(groups) < FEWEST_COLUMNS:
        return None
    columns = [_column(found, number, group) for number, group in enumerate(groups)]
    rows = [(entry, [column[1].get(entry) for column in columns]) for entry in found.entries[:ROWS]]
    if not any(one and (one.file or one.line is not None) for _, row in rows for one in row):
        return None
    left_out = "".join(
        f" The first {shown} of {present} {what}."
        for what, shown, present in (
            ("encodings", ROWS, len(found.entries)),
            ("tasks", COLUMNS, len(found.groups)),
        )
        if present > shown
    )
    return PictureTable(
        "map",
        "the prediction of each encoding on each task",
        "By mean rank. The value is that of the standings, darker the nearer to the best of the "
        f"task; the picture is of the first finished seed.{left_out}",
        [(group.label, group.primary.heading) for group in groups],
        [("", [column[0] for column in columns]), *rows],
    )


def _column(
    found: Overview, number: int, group: TaskBoard
) -> tuple[Thumbnail | None, dict[str, Thumbnail]]:
    """The target, and what each entry made of it."""
    task = group.targets[0] if group.targets else group
    ranks = dict(zip(found.entries, found.ranks[:, number], strict=True))
    finished = {row["entry"]: row for row in group.rows if row["n"] > 0}
    last = max((ranks[entry] for entry in finished if math.isfinite(ranks[entry])), default=1.0)
    target: Thumbnail | None = None
    made = {}
    for entry in group.standings["entry"]:
        records = task.of_entry(entry)
        if entry not in finished:
            ends = sorted({r.record.status.replace("_", " ") for r in group.of_entry(entry)})
            made[entry] = Thumbnail(" or ".join(ends))
            continue
        text = fixed(finished[entry][f"metric:{group.primary.name}"], digits(group.primary))
        standing = (last - ranks[entry]) / (last - 1) if last > 1 else math.nan
        stored = next((r for r in records if r.record.status == "ok"), None)
        file = _picture(stored, PREDICTION)
        line = None if file else _line(stored)
        made[entry] = Thumbnail(text, file, line, standing)
        if target is None and (shown := _picture(stored, TARGET)):
            target = Thumbnail("target", shown)
        elif target is None and line is not None:
            target = Thumbnail("target", line=line[:, [0, 2, 2]])
    return target, made


def _picture(stored: StoredRecord | None, name: str) -> Path | None:
    """A picture of a record; None where there is none that can be read."""
    file = stored.path / f"{name}.png" if stored and f"{name}.png" in stored.files else None
    return file if file and picture_size(file) else None


def _line(stored: StoredRecord | None) -> np.ndarray | None:
    """x, prediction and truth of the first line's first channel, (n, 3); None without a line."""
    if stored is None or not has_arrays(stored):
        return None
    try:
        arrays = stored.arrays
    except EncbenchError:
        return None  # damaged, of which the section of the task says more
    columns = next((array for name, array in arrays.items() if name.startswith(PREFIX)), None)
    if columns is None or columns.ndim != 2 or not len(columns):
        return None
    columns = columns[columns[:, 0].argsort(kind="stable")]
    kept = np.linspace(0, len(columns) - 1, min(POINTS, len(columns))).round().astype(int)
    chosen: np.ndarray = columns[kept][:, [0, 1, 1 + columns.shape[1] // 2]]
    return chosen
