"""Quality against cost as plain data, with the fronts of the drawn pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from encbench_leaderboard.board.pareto import CostPoints, tradeoffs
from encbench_leaderboard.board.table import TaskBoard, rows_of
from encbench_leaderboard.render.html.columns import sortable
from encbench_leaderboard.render.html.prose import to_html
from encbench_leaderboard.render.markdown import digits
from encbench_leaderboard.report.figures.cost import left_out
from encbench_leaderboard.report.format import fixed, plural, significant

__all__ = ["MARKS", "costs"]

MARKS = 500
"""Entries of a panel that are drawn: those on the front, then the best."""


def costs(task: TaskBoard, numbers: Mapping[str, int]) -> dict[str, Any]:
    """Panels of a task or category, one a cost and, where times differ by it, a machine.

    A point is entry, cost, quality, whether it is on the front, and the quality in words.

    Args:
        task: what the panels are of.
        numbers: entry to its number in the page.
    """
    found = tradeoffs(task)
    told = left_out(found)
    drawn = []
    for panel in found.panels:
        points = sorted(rows_of(panel.points), key=lambda point: not point["front"])
        if len(points) > MARKS:
            told.append(f"{plural(MARKS, 'mark')} are drawn of {len(points):,}.")
        drawn.append(_panel(panel, points[:MARKS], numbers, digits(found.metric)))
    return {
        "title": found.metric.heading,
        "panels": drawn,
        "left_out": str(to_html(" ".join(dict.fromkeys(told))).striptags()),
    }


def _panel(
    panel: CostPoints, points: list[Any], numbers: Mapping[str, int], places: int
) -> dict[str, Any]:
    return {
        "label": panel.label,
        "where": panel.where,
        "points": [
            [
                numbers[point["entry"]],
                sortable(point["cost"]),
                sortable(point["quality"]),
                bool(point["front"]),
                _interval(point, places),
                _spread(point),
            ]
            for point in points
        ],
    }


def _interval(point: Mapping[str, Any], places: int) -> str:
    mean = fixed(point["quality"], places)
    if math.isnan(point["quality_low"]):
        return mean
    return (
        f"{mean} ({fixed(point['quality_low'], places)} to {fixed(point['quality_high'], places)})"
    )


def _spread(point: Mapping[str, Any]) -> str:
    """The cost, and its smallest and largest where they are not the same."""
    low, mean, high = (_cost(point[name]) for name in ("cost_low", "cost", "cost_high"))
    return mean if low == high else f"{mean} ({low} to {high})"


def _cost(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else significant(value)
