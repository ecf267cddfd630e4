"""The leading entry of a task, and whether tests support the lead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encbench_leaderboard.board.facts import MetricInfo
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.statistics.intervals import Interval, intervals
from encbench_leaderboard.statistics.sample import cube

EQUAL = {"dB": 0.1}
"""Differences of means below this count as equal, whatever a test says; by unit."""


@dataclass(frozen=True)
class Lead:
    """The entry with the best mean, and the others compared with it."""

    best: str
    equal: Sequence[str]  # not significantly different from the best, or by less than ``EQUAL``
    below: str | None  # the best of the others
    gap: Interval | None  # ``best`` minus ``below``, on the units that both finished
    p: float  # p-value of that difference after Holm's correction; NaN if not tested
    tested: bool  # whether anything was tested against the best
    incomplete: int = 0
    """Number of entries that finished on fewer targets than the best; their means cannot be
    compared with its mean."""


def smallest_gap(metric: MetricInfo) -> float:
    """The smallest difference of means that counts."""
    return EQUAL.get(metric.unit, 0.0)


def lead(task: TaskBoard) -> Lead | None:
    """The lead in the primary metric; None if nothing is ranked.

    Without tests, every other complete entry counts as below the best.
    """
    ranked = [row["entry"] for row in task.rows if not math.isnan(row["rank"])]
    if not ranked:
        return None
    best, *others = ranked
    units = {row["entry"]: row["units"] for row in task.rows}
    complete = [e for e in others if not task.targets or units[e] == units[best]]
    incomplete, others = len(others) - len(complete), complete
    tests = _against(task, best)
    equal = [entry for entry in others if entry in tests and not tests[entry][1]]
    below = next((entry for entry in others if entry not in equal), None)
    gap = None
    if below is not None:
        values = cube(task.cells, f"metric:{task.primary.name}", (best, below)).values
        with np.errstate(invalid="ignore"):
            (gap,) = intervals(values[:1] - values[1:])
    p, _ = tests.get(below or "", (math.nan, False))
    return Lead(best, equal, below, gap, p, bool(tests), incomplete)


def _against(task: TaskBoard, best: str) -> dict[str, tuple[float, bool]]:
    """p after Holm's correction, and whether they differ, per entry tested against the best."""
    pairs = task.pairs
    if pairs is None or best not in pairs.entries:
        return {}
    mine = (pairs.first == pairs.entries.index(best)) & ~np.isnan(pairs.p)
    counts = np.abs(pairs.difference) >= smallest_gap(task.primary)
    return {
        pairs.entries[pairs.second[place]]: (
            float(pairs.adjusted[place]),
            bool(pairs.significant()[place] and counts[place]),
        )
        for place in np.flatnonzero(mine)
    }
