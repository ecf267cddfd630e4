"""Each entry against the next one in the standings: by how much it is better, and is it noise?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.statistics.intervals import Interval, intervals
from encbench_leaderboard.statistics.pairs import ALPHA
from encbench_leaderboard.statistics.sample import cube
from encbench_leaderboard.statistics.student import detectable


@dataclass(frozen=True)
class AdjacentPair:
    """Two entries that follow one another, the better one first, in the primary metric."""

    higher: str
    lower: str
    difference: Interval
    """``higher`` minus ``lower``, over the units that both have; not corrected."""
    p: float
    """After Holm's correction over all pairs of the table; NaN where nothing was tested."""
    method: str
    detectable: float
    """Smallest difference that the test, at its corrected level, detects with 80 % power; NaN
    where nothing was tested."""

    @property
    def tied(self) -> bool:
        """Whether the test finds no difference."""
        return not self.p <= ALPHA


def adjacent_pairs(task: TaskBoard) -> list[AdjacentPair]:
    """Adjacent pairs of the entries that were tested, best first; none without tests."""
    pairs = task.pairs
    if pairs is None:
        return []
    values = cube(task.cells, f"metric:{task.primary.name}", pairs.entries).values
    with np.errstate(invalid="ignore"):
        differences = intervals(values[:-1] - values[1:])
    places = np.flatnonzero(pairs.second == pairs.first + 1)
    return [
        AdjacentPair(
            higher=pairs.entries[pairs.first[place]],
            lower=pairs.entries[pairs.second[place]],
            difference=differences[pairs.first[place]],
            p=float(pairs.adjusted[place]),
            method=str(pairs.method[place]),
            detectable=detectable(
                float(pairs.deviation[place]), int(pairs.units[place]), ALPHA / pairs.tested
            ),
        )
        for place in places
    ]
