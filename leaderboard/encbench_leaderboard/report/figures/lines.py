"""Functions of one variable: the truth, and each encoding's prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Axis, Figure, Panel, Series
from encbench_leaderboard.report.figures.selection import (
    SHOWN,
    best_note,
    finished_with_arrays,
    first_cells,
)

PREFIX = "line."
PANELS = 4
POINTS = 1000
"""Most points of a line: more than a panel has pixels across."""


def lines_figure(task: TaskBoard) -> Figure | None:
    """A panel for each line of the task's ``Outcome.lines`` and each of its channels, with the
    truth in grey and a line per entry, of its first seed that finished. The figure has no panels
    where the records have no lines; None of a category, whose targets differ."""
    if task.targets:
        return None
    entries = first_cells(task, finished_with_arrays)
    if not entries:
        return None
    return Figure(
        "lines",
        "the learned function, and its truth",
        "Predictions of the first finished seed of each encoding, which may leave the picture; in "
        f"grey the truth, if there is one.{best_note(task)}",
        lambda: _panels(entries),
        {entry: entry for entry in list(entries)[:SHOWN]},
    )


def _panels(entries: Mapping[str, StoredRecord]) -> list[Panel]:
    found: dict[tuple[str, int], list[Series]] = {}
    titles: dict[str, tuple[str, str]] = {}
    for entry, stored in entries.items():
        titles |= stored.record.line_titles
        for name, columns in stored.arrays.items():
            whole = columns.ndim == 2 and len(columns) and columns.shape[1] % 2
            if not name.startswith(PREFIX) or not whole:
                continue
            channels = columns.shape[1] // 2
            columns = columns[columns[:, 0].argsort(kind="stable")]
            if len(columns) > POINTS:
                columns = columns[np.linspace(0, len(columns) - 1, POINTS).round().astype(int)]
            places = columns[:, 0]
            for channel in range(channels):
                truth = Series("", places, columns[:, 1 + channels + channel], label="truth")
                line = Series(entry, places, columns[:, 1 + channel])
                place = (name.removeprefix(PREFIX), channel)
                known = [truth] if np.isfinite(truth.y).any() else []
                found.setdefault(place, known).append(line)
    several = {name for name, channel in found if channel}
    panels = []
    for (name, channel), series in list(found.items())[:PANELS]:
        below, left = titles.get(name, ("x", name))
        left = f"{left}, channel {channel}" if name in several else left
        panels.append(
            Panel(
                Axis(below, limits=_ends(series[0].x)), Axis(left, limits=_limits(series)), series
            )
        )
    return panels


def _ends(x: np.ndarray) -> tuple[float, float] | None:
    """Of a panel's own points, with a little room: lines may be of different parts of x."""
    room = 0.02 * (x[-1] - x[0])
    return (float(x[0] - room), float(x[-1] + room)) if room > 0 else None


def _limits(series: Sequence[Series]) -> tuple[float, float] | None:
    """Room for the truth, and for predictions that leave it by a quarter; None without a truth."""
    truth = series[0].y[np.isfinite(series[0].y)]
    if series[0].entry or not len(truth):
        return None
    low, high = float(truth.min()), float(truth.max())
    margin = 0.25 * (high - low) or 0.25 * abs(high) or 1.0
    return low - margin, high + margin
