"""Performance profiles: how often an encoding reaches a value within so many times the best time"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from encbench_leaderboard.board.budget import Course, slowdowns, values_of
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Axis, Figure, Panel, Series
from encbench_leaderboard.report.figures.selection import SHOWN
from encbench_leaderboard.report.format import plain

WIDEST = 100.0
"""Times the fastest, at most, that a panel shows."""


def profile_figure(task: TaskBoard, found: Mapping[str, Sequence[Course]]) -> Figure | None:
    """A panel for each value that some encoding reaches; None for fewer than two units, whose
    profile would be a step."""
    units = {course.unit for of_entry in found.values() for course in of_entry}
    panels = [
        (value, ratios) for value in values_of(task.primary) if (ratios := slowdowns(found, value))
    ]
    if len(units) < 2 or len(found) < 2 or not panels:
        return None
    unit = "targets" if task.targets else "seeds"
    what = plain(task.primary.title)
    return Figure(
        "profile",
        f"share of the {unit} on which {task.primary.title} reached a value, against the time",
        f"Performance profiles (Dolan & Moré, 2002): of the {unit} on which any encoding reached "
        f"that {what}, the share on which this one did within τ times the training time of the "
        "fastest. At τ = 1: how often an encoding was the fastest; at the right end of a line: how "
        "often it reached the value at all.",
        lambda: [_panel(task, value, ratios, unit) for value, ratios in panels],
        {entry: entry for entry in list(found)[:SHOWN]},
    )


def _panel(task: TaskBoard, value: float, ratios: Mapping[str, np.ndarray], unit: str) -> Panel:
    finite = [r[np.isfinite(r)] for r in ratios.values()]
    widest = min(WIDEST, max((float(r.max()) for r in finite if len(r)), default=1.0) * 1.2)
    series = []
    for entry, of_entry in ratios.items():
        inside = np.sort(of_entry[of_entry <= widest])
        share = np.arange(1, len(inside) + 1) / len(of_entry)
        x = np.concatenate([[1.0], inside, [max(widest, 1.01)]])
        y = np.concatenate([[np.mean(inside <= 1.0)] if len(inside) else [0.0], share])
        y = np.append(y, y[-1])
        series.append(Series(entry, x, y, "steps"))
    unit_text = f" {task.primary.unit}" if task.primary.unit else ""
    number = len(next(iter(ratios.values())))
    return Panel(
        Axis("τ, times the fastest", "log"),
        Axis(f"share of {number} {unit}", limits=(-0.02, 1.02)),
        series,
        f"{task.primary.title} ≥ {value:g}{unit_text}",
    )
