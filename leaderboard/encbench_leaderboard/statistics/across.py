"""Comparison over tasks by ranks: Friedman's test, and the sign test of each pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

from encbench_leaderboard.statistics.holm import holm

FEWEST_TASKS = 5
"""Tasks from which on there are tests over tasks: of four, even all wins have p = 0.13."""
SHUFFLES = 4_999
SEED = 20_260_107


def friedman_p(ranks: np.ndarray) -> float:
    """p that ranks (tasks, entries) differ between entries by chance alone; NaN for fewer than 2
    tasks or 3 entries, or where every task ties all.

    Friedman's statistic with correction for ties, its distribution from 4,999 seeded shuffles of
    each task's ranks, for χ² is poor at few tasks; p = (b + 1)/(B + 1). Source: Friedman, "The Use
    of Ranks to Avoid the Assumption of Normality Implicit in the Analysis of Variance", JASA 32,
    1937; Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006,
    section 3.2.2.
    """
    tasks, entries = ranks.shape
    if tasks < 2 or entries < 3 or not np.ptp(ranks, axis=1).any():
        return math.nan
    # With the ranks of each task only shuffled, the sum of squared column sums decides.
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
    """Two entries over tasks."""

    first: int
    second: int
    won: int
    lost: int  # tasks on which ``first`` ranks after ``second``
    tied: int
    adjusted: float  # p of the exact sign test after Holm over all pairs; NaN where all tasks tie


def sign_tests(ranks: np.ndarray) -> list[Wins]:
    """The exact two-sided sign test of each pair of ranks (tasks, entries), Holm-corrected.

    Tasks on which both rank the same are left out. A pair's result does not depend on which
    other entries were run, as that of a test of mean ranks would (Benavoli, Corani, Mangili,
    "Should We Really Use Post-Hoc Tests Based on Mean-Ranks?", JMLR 17, 2016); and it needs no
    common unit of the tasks' metrics, as a signed-rank test would.
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
