"""Comparison of entries over tasks by ranks: Friedman's test, and sign tests of all pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

from encbench_leaderboard.statistics.holm import holm

FEWEST_TASKS = 5
"""Minimum number of tasks for tests over tasks: with four, even four wins have p = 0.13."""
SHUFFLES = 4_999
SEED = 20_260_107


def friedman_p(ranks: np.ndarray) -> float:
    """p-value of Friedman's test on ranks (tasks, entries); NaN for fewer than 2 tasks or 3
    entries, or if all entries are tied on every task.

    Friedman's statistic, corrected for ties. Its distribution is that of B = 4,999 seeded shuffles
    of each task's ranks, since χ² is a poor approximation for few tasks; p = (b + 1)/(B + 1).
    Source: Friedman, "The Use of Ranks to Avoid the Assumption of Normality Implicit in the
    Analysis of Variance", JASA 32, 1937; Demšar, "Statistical Comparisons of Classifiers over
    Multiple Data Sets", JMLR 7, 2006, section 3.2.2.
    """
    tasks, entries = ranks.shape
    if tasks < 2 or entries < 3 or not np.ptp(ranks, axis=1).any():
        return math.nan
    # shuffles within tasks change only the sum of squared column sums in the statistic
    observed = float((ranks.sum(axis=0) ** 2).sum())
    rng = np.random.default_rng(SEED)
    extreme = 0
    block = max(1, 1_000_000 // ranks.size)
    for start in range(0, SHUFFLES, block):
        size = min(block, SHUFFLES - start)
        shuffled = rng.permuted(np.broadcast_to(ranks, (size, *ranks.shape)), axis=2)
        squares = (shuffled.sum(axis=1) ** 2).sum(axis=1)
        extreme += int((squares >= observed - 1e-9).sum())
    return (extreme + 1) / (SHUFFLES + 1)


@dataclass(frozen=True)
class Wins:
    """Comparison of two entries over tasks."""

    first: int
    second: int
    won: int
    lost: int  # number of tasks on which ``first`` ranks after ``second``
    tied: int
    adjusted: float  # p of the exact sign test after Holm over all pairs; NaN if all tasks are tied


def sign_tests(ranks: np.ndarray) -> list[Wins]:
    """Exact two-sided sign tests of all pairs of entries by ranks (tasks, entries), Holm-corrected.

    Tasks on which both rank the same are left out. Unlike a test of mean ranks, a pair's test does
    not depend on the other entries, apart from the correction (Benavoli, Corani, Mangili, "Should
    We Really Use Post-Hoc Tests Based on Mean-Ranks?", JMLR 17, 2016). Unlike a signed-rank test,
    it does not need metrics with a common unit.
    """
    first, second = np.triu_indices(ranks.shape[1], k=1)
    gaps = ranks[:, first] - ranks[:, second]
    won, lost = (gaps < 0).sum(axis=0), (gaps > 0).sum(axis=0)
    decided = won + lost
    p = np.where(
        decided > 0,
        np.minimum(1.0, 2 * bdtr(np.minimum(won, lost), np.maximum(decided, 1), 0.5)),
        np.nan,
    )
    adjusted = holm(p)
    return [
        Wins(int(i), int(j), int(w), int(x), len(ranks) - int(w + x), float(a))
        for i, j, w, x, a in zip(first, second, won, lost, adjusted, strict=True)
    ]
