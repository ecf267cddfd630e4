"""95 % intervals of means over units, by the method that their number allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from encbench_leaderboard.statistics.bootstrap import bootstrap_interval
from encbench_leaderboard.statistics.sample import unit_means
from encbench_leaderboard.statistics.student import t_half_width

__all__ = ["BOOTSTRAP_FROM", "Interval", "Method", "intervals"]

BOOTSTRAP_FROM = 6
"""Units from which the bootstrap is used. Of fewer, resampling cannot reach far enough: the
extremes of 5 values hold the mean of a normal distribution in 94 % of samples at most."""

Method = Literal["", "t", "bootstrap"]


@dataclass(frozen=True)
class Interval:
    """A mean with its interval."""

    mean: float
    low: float
    high: float
    """NaN with ``low`` where there is none."""
    units: int
    method: Method
    """"": no interval, for there is one unit, or a value is infinite."""


def intervals(values: np.ndarray, confidence: float = 0.95) -> list[Interval]:
    """Mean over units and its interval, for each row.

    Args:
        values: (m, units, repeats), NaN where there is no value. Units without any value are
            left out.
    """
    means = unit_means(values)
    counted = ~np.isnan(means)
    number = counted.sum(axis=1)
    infinite = np.isinf(means).any(axis=1)
    low, high = np.full(len(values), np.nan), np.full(len(values), np.nan)
    mean = np.full(len(values), np.nan)
    methods: list[Method] = [""] * len(values)
    for n in np.unique(number[number > 0]):
        rows = np.flatnonzero(number == n)
        kept = means[rows][counted[rows]].reshape(len(rows), n)
        with np.errstate(invalid="ignore"):
            mean[rows] = kept.mean(axis=1)
        if 1 < n < BOOTSTRAP_FROM:
            tested = ~infinite[rows]
            half = t_half_width(kept[tested], confidence)
            chosen = rows[tested]
            low[chosen], high[chosen] = mean[chosen] - half, mean[chosen] + half
            for row in chosen:
                methods[row] = "t"
    several = bool((~np.isnan(values)).sum(axis=2).max(initial=0) > 1)
    many = (number >= BOOTSTRAP_FROM) & ~infinite
    for n in np.unique(number[many]):
        rows = np.flatnonzero(many & (number == n))
        # Which units have values does not matter, only how many, and their repeats.
        kept = values if several else means[:, :, None]
        found = kept[rows][counted[rows]].reshape(len(rows), n, -1)
        low[rows], high[rows] = bootstrap_interval(found, confidence)
        for row in rows:
            methods[row] = "bootstrap"
    return [
        Interval(float(mean[i]), float(low[i]), float(high[i]), int(number[i]), methods[i])
        for i in range(len(values))
    ]
