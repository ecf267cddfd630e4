"""Each entry beside the next one of the standings: by how much, and is it noise?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encbench_leaderboard.board.cached import remembered
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.statistics.intervals import Interval, intervals
from encbench_leaderboard.statistics.pairs import ALPHA
from encbench_leaderboard.statistics.sample import cube
from encbench_leaderboard.statistics.student import detectable

__all__ = ["Neighbours", "neighbours"]


@dataclass(frozen=True)
class Neighbours:
    """Two entries, the one that stands higher first, in the primary metric."""

    higher: str
    lower: str
    difference: Interval
    """``higher`` minus ``lower``, over the units that both have; not corrected."""
    p: float
    """After Holm's correction over all pairs of the table; NaN where nothing was tested."""
    method: str
    detectable: float
    """Difference that the test, at its level corrected for all pairs, would have found in four
    of five tries; NaN where nothing was tested."""

    @property
    def tied(self) -> bool:
        """Whether the data do not tell the two apart."""
        return not self.p <= ALPHA


@remembered
def neighbours(task: TaskBoard) -> list[Neighbours]:
    """Neighbours among the entries that were tested, best first; none without tests."""
    pairs = task.pairs
    if pairs is None:
        return []
    values = cube(task.cells, f"metric:{task.primary.name}", pairs.entries).values
    with np.errstate(invalid="ignore"):
        gaps = intervals(values[:-1] - values[1:])
    places = np.flatnonzero(pairs.second == pairs.first + 1)
    return [
        Neighbours(
            higher=pairs.entries[pairs.first[place]],
            lower=pairs.entries[pairs.second[place]],
            difference=gaps[pairs.first[place]],
            p=float(pairs.adjusted[place]),
            method=str(pairs.method[place]),
            detectable=detectable(
                float(pairs.deviation[place]), int(pairs.units[place]), ALPHA / pairs.tested
            ),
        )
        for place in places
    ]
