"""95 % intervals of means over units: Student's t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from encbench_leaderboard.statistics.sample import unit_means
from encbench_leaderboard.statistics.student import t_half_width

Method = Literal["", "t"]


@dataclass(frozen=True)
class Interval:
    """A mean with its interval."""

    mean: float
    low: float
    high: float  # ``low`` and ``high`` are NaN if there is no interval
    units: int
    method: Method  # "": no interval, because there is one unit, or a value is infinite

    @property
    def largest(self) -> float:
        """Largest absolute value of the mean and the ends, which sets their common digits."""
        return max(map(abs, (self.low, self.high))) if self.method else abs(self.mean)


def intervals(values: np.ndarray, confidence: float = 0.95) -> list[Interval]:
    """Mean over units and its interval, for each row of values (m, units, repeats), NaN if missing.
    A unit's value is the mean of its repeats. Units without a value are left out of the mean."""
    means = unit_means(values)
    counted = ~np.isnan(means)
    number = counted.sum(axis=1)
    mean, half = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for n in np.unique(number[number > 0]):
        rows = np.flatnonzero(number == n)
        kept = means[rows][counted[rows]].reshape(len(rows), n)
        with np.errstate(invalid="ignore"):
            mean[rows] = kept.mean(axis=1)
        finite = np.isfinite(kept).all(axis=1)
        if n > 1:
            half[rows[finite]] = t_half_width(kept[finite], confidence)
    return [
        Interval(m, m - h, m + h, n, "" if np.isnan(h) else "t")
        for m, h, n in zip(mean.tolist(), half.tolist(), number.tolist(), strict=True)
    ]
