"""Paired tests of all pairs of entries on the cells that both finished."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encbench_leaderboard.statistics.holm import holm
from encbench_leaderboard.statistics.sample import Cube, unit_means
from encbench_leaderboard.statistics.signflip import EXACT_UP_TO, signflip_p, smallest_p
from encbench_leaderboard.statistics.student import NEGLIGIBLE, constant, paired_t_p

ALPHA = 0.05
SIGN_FLIP_FROM = 6
"""Minimum number of pairs for which a sign-flip test can be significant at 5 %: 5 give p ≥ 2/2⁵."""
BLOCK = 4_000_000
"""Maximum number of differences in memory at a time: 32 MB."""


@dataclass(frozen=True)
class Pairs:
    """All pairs of entries i < j; arrays (pairs,)."""

    entries: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    difference: np.ndarray  # mean over units of first minus second; NaN without a common cell
    deviation: np.ndarray  # standard deviation over units; NaN for fewer than two
    units: np.ndarray  # number of units with a cell of the same seed that both finished
    p: np.ndarray  # NaN if not tested: fewer than two units, or an infinite value
    adjusted: np.ndarray  # p after Holm's correction over all tested pairs
    method: np.ndarray  # "", "t", "sign-flip" or "sampled sign-flip"

    @property
    def tested(self) -> int:
        return int((~np.isnan(self.p)).sum())

    def significant(self, alpha: float = ALPHA) -> np.ndarray:
        """(pairs,) bool: whether the adjusted p is at most α."""
        return np.asarray(np.nan_to_num(self.adjusted, nan=1.0) <= alpha)


def compare_all(cube: Cube) -> Pairs:
    """Paired tests of all pairs. A unit's difference is the mean over the repeats that both entries
    finished, so that a pair is always compared on the same seeds of the same images."""
    first, second = np.triu_indices(len(cube.entries), k=1)
    total, units, repeats = len(first), *cube.values.shape[1:]
    differences = np.empty((total, units))
    scale = np.empty(total)
    rows = max(1, BLOCK // (units * repeats))
    for start in range(0, total, rows):
        part = slice(start, start + rows)
        a, b = cube.values[first[part]], cube.values[second[part]]
        gap = paired_differences(a, b)
        differences[part] = unit_means(gap)
        scale[part] = magnitude(a, b).max(axis=(1, 2), initial=0.0)
    return _pairs(cube.entries, first, second, differences, scale)


def paired_differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a minus b, NaN where one is missing; 0 if they are equal up to rounding, or both ∞."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isclose(a, b, rtol=NEGLIGIBLE, atol=0.0), 0.0, a - b)


def magnitude(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The larger absolute value of a and b, 0 where one is missing or infinite."""
    larger = np.maximum(np.abs(a), np.abs(b))
    return np.where(np.isfinite(larger), larger, 0.0)


def _pairs(
    entries: tuple[str, ...],
    first: np.ndarray,
    second: np.ndarray,
    differences: np.ndarray,
    scale: np.ndarray,
) -> Pairs:
    p, method = p_values(differences, scale)
    counted = ~np.isnan(differences)
    number = counted.sum(axis=1)
    filled = np.where(counted, differences, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=1) / number
        squares = np.where(counted, (filled - mean[:, None]) ** 2, 0.0).sum(axis=1)
        deviation = np.where(number > 1, np.sqrt(squares / (number - 1)), np.nan)
    return Pairs(entries, first, second, mean, deviation, number, p, holm(p), method)


def p_values(differences: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided p-values of mean differences, and the test used for each.

    Args:
        differences: (m, units), NaN if missing; each row is a test of the same table.
        scale: (m,) magnitude of the numbers that were subtracted.

    Returns:
        p (m,), NaN if there are fewer than two values or one is infinite; and the method (m,):
        "sign-flip" (exact) or "sampled sign-flip" if the smallest p-value of such a test would be
        significant after correction for all tests of the table, and the differences are not equal
        up to rounding; else "t"; "" if not tested.
    """
    counted = ~np.isnan(differences)
    number = counted.sum(axis=1)
    usable = (number >= 2) & ~np.isinf(differences).any(axis=1)
    p = np.full(len(differences), np.nan)
    method = np.full(len(differences), "", dtype=object)
    tests = int(usable.sum())
    for n in np.unique(number[usable]):
        rows = np.flatnonzero(usable & (number == n))
        kept = differences[rows][counted[rows]].reshape(len(rows), n)
        p[rows], method[rows] = paired_t_p(kept, scale[rows]), "t"
        if n >= SIGN_FLIP_FROM and smallest_p(int(n)) * tests <= ALPHA:
            varies = ~constant(kept, scale[rows])
            p[rows[varies]] = signflip_p(kept[varies])
            method[rows[varies]] = "sign-flip" if n <= EXACT_UP_TO else "sampled sign-flip"
    return p, method
