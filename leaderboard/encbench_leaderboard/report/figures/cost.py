"""Quality against cost: parameters, training time and peak memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from encbench.errors import plural
from encbench_leaderboard.board.pareto import MACHINES, CostPoints, Tradeoffs, tradeoffs
from encbench_leaderboard.board.table import TaskBoard, rows_of
from encbench_leaderboard.report.blocks import Axis, Figure, Panel, Series, Text
from encbench_leaderboard.report.figures.selection import SHOWN
from encbench_leaderboard.report.format import code, listed, plain

MARKS = 500
"""Maximum number of entries drawn in a panel: those on the front, then the best."""
LISTED = 12
"""Maximum number of entries of a front that the page names."""
BY = {"parameters": "parameters", "training": "training time", "memory": "peak memory"}


def cost_figure(task: TaskBoard) -> Figure | None:
    """A panel per cost (and per machine or device, if there are several) with the Pareto front as
    steps. A point is an entry; its bars are the interval of the quality and the range of the cost
    over units. Dominated entries are faint. Entries on fronts and the best others are named."""
    found = tradeoffs(task)
    if not found.panels:
        return None
    points = pd.concat([panel.points for panel in found.panels])
    if not np.isfinite(points["quality"]).any():
        return None
    quality = _quality(found, points)
    return Figure(
        "cost",
        f"{task.primary.title} against parameters, seconds of training and peak memory",
        _caption(found, points),
        lambda: [
            _panel(panel, quality)
            for panel in found.panels
            if np.isfinite(panel.points["quality"]).any()
        ],
        {entry: entry for entry in _named(points)},
    )


def _caption(found: Tradeoffs, points: pd.DataFrame) -> str:
    parts = ["A mark is an encoding's mean."]
    if np.isfinite(points["quality_low"]).any():
        parts.append(
            f"A vertical bar is the 95 % interval of the mean {plain(found.metric.title)}, as in "
            "the standings, and may leave the picture."
        )
    if (points["cost_low"] < points["cost_high"]).any():
        parts.append("A horizontal bar spans the smallest to the largest cost.")
    parts += left_out(found)
    if np.isinf(points["quality"]).any():
        parts.append("Infinite means have no mark.")
    if (most := max(len(panel.points) for panel in found.panels)) > MARKS:
        parts.append(f"{MARKS} marks are drawn of {most:,}.")
    return " ".join(parts)


def left_out(found: Tradeoffs) -> list[str]:
    """Sentences on what the panels leave out, and why one cost has several panels."""
    parts = []
    if found.unfinished:
        parts.append(
            f"{plural(found.unfinished, 'encoding')} that did not finish on the same targets as "
            f"the best {'is' if found.unfinished == 1 else 'are'} left out."
        )
    if found.machines > 1:
        drawn = ", and each has a panel of its own."
        if found.machines > MACHINES:
            drawn = f"; only the {MACHINES} with the most cells are drawn, one panel each."
        parts.append(
            f"Times were taken on {found.machines} different machines or settings of threads{drawn}"
        )
    if any(panel.lacking for panel in found.panels):
        parts.append(
            "A panel leaves out encodings that ran only some of its targets on its machine, since "
            "targets differ in cost."
        )
    if found.devices > 1:
        parts.append(
            "Peak memory is of tensors on a GPU and of the whole process on a CPU; each of the "
            f"{found.devices} devices has a panel of its own."
        )
    return parts


def front_text(found: Tradeoffs) -> Text | None:
    """A list of the entries on the front of each panel; None without a panel."""
    lines = []
    for panel in found.panels:
        points = panel.points
        names = [code(entry) for entry in points.loc[points["front"], "entry"]]
        on = f" on {plain(panel.where)}" if panel.where else ""
        lines.append(
            f"- by {BY[panel.cost]}{on}: {listed(names, LISTED) or 'none'}; "
            f"dominated: {len(points) - len(names):,} of {len(points):,}{_lacking(panel)}"
        )
    if not lines:
        return None
    return Text(
        f"Pareto front by the means, best {plain(found.metric.title)} first (nothing else is "
        "both better and cheaper):\n\n" + "\n".join(lines)
    )


def _lacking(panel: CostPoints) -> str:
    if not panel.lacking:
        return ""
    return f"; left out: {panel.lacking:,} with {BY[panel.cost]} on only some of the targets"


def _named(points: pd.DataFrame) -> list[str]:
    """Entries on a front, then the best others, at most ``SHOWN``."""
    on_front = set(points.loc[points["front"], "entry"])
    order = list(dict.fromkeys(points["entry"]))
    ranked = [entry for entry in order if entry in on_front]
    if len(ranked) > SHOWN:
        # of a long front, evenly spaced entries are named, from the best to the last
        chosen = np.linspace(0, len(ranked) - 1, SHOWN).round().astype(int)
        return [ranked[place] for place in chosen]
    return [*ranked, *(entry for entry in order if entry not in on_front)][:SHOWN]


def _panel(panel: CostPoints, quality: Axis) -> Panel:
    points = panel.points[np.isfinite(panel.points["quality"])]
    log = points["cost_high"].max() > 8 * points["cost_low"].min()
    drawn = points.sort_values("front", ascending=False, kind="stable")[:MARKS].sort_index()
    stair = points[points["front"]].sort_values("cost")
    x, y = (stair[name].to_numpy() for name in ("cost", "quality"))
    # of a front of infinite means, nothing is left to draw
    front = [Series("", x, y, "steps", label="Pareto front")] if len(stair) else []
    axis = Axis(f"{panel.label} ↓", "log" if log else "linear")
    return Panel(axis, quality, [*(_point(row) for row in rows_of(drawn)), *front], panel.where)


def _point(row: Mapping[str, Any]) -> Series:
    """An entry's mark, with bars of positive length only."""
    values = {name: np.array([row[name]], dtype=np.float64) for name in row if name != "entry"}
    upright = row["quality_low"] < row["quality_high"] < math.inf
    level = row["cost_low"] < row["cost_high"]
    return Series(
        row["entry"],
        values["cost"],
        values["quality"],
        "points",
        low=values["quality_low"] if upright else None,
        high=values["quality_high"] if upright else None,
        x_low=values["cost_low"] if level else None,
        x_high=values["cost_high"] if level else None,
        faint=not row["front"],
    )


def _quality(found: Tradeoffs, points: pd.DataFrame) -> Axis:
    """The axis of quality, whose limits are the range of the means, extended for bars by at most
    half of it, since intervals of two cells are huge.

    An error that spans decades has a log axis; if higher is better, the axis is linear.
    """
    values = points[["quality", "quality_low", "quality_high"]].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values[:, 0])]
    low, high = values[:, 0].min(), values[:, 0].max()
    log = found.metric.direction == "lower" and low > 0 and high > 8 * low
    if log:
        # an interval may reach below zero, which a log axis cannot show
        values = np.log(np.where(values > 0, values, np.nan))
        low, high = values[:, 0].min(), values[:, 0].max()
    reach = 0.5 * (high - low) if high > low else math.inf
    low = max(float(np.nanmin(values)), low - reach)
    high = min(float(np.nanmax(values)), high + reach)
    margin = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    ends = np.array([low - margin, high + margin])
    bottom, top = (np.exp(ends) if log else ends).tolist()
    return Axis(found.metric.heading, "log" if log else "linear", (bottom, top))
