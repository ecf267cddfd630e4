"""Ranks of values, and intervals of ranks that are compatible with tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from encbench_leaderboard.statistics.pairs import Pairs


def ranks_with_failures(values: np.ndarray, *, higher: bool) -> np.ndarray:
    """Ranks of values (n,), 1 for the best; equal values share their mean rank. NaN means not
    finished and ranks last: if 2 of 5 did not finish, they share rank 4.5."""
    return pd.Series(values).rank(ascending=not higher, na_option="bottom").to_numpy()


def rank_intervals(
    pairs: Pairs, ranks: np.ndarray, total: int, *, higher: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest rank of each entry that are compatible with the tests.

    The best rank is 1 plus the number of entries that are significantly better; the worst rank is
    ``total`` (the number of ranked entries) minus the number that are significantly worse, over all
    pairs after Holm's correction. With probability at least 95 %, the intervals contain the true
    ranks of all entries: only a false positive among the tests can exclude one. An interval is
    widened to contain the entry's rank (n,) by value, 1 for the best, if means over different sets
    of cells order entries differently from the tests.

    Source: after Mogstad, Romano, Shaikh, Wilhelm, "Inference for Ranks with Applications to
    Mobility across Neighbourhoods and Academic Achievement across Countries", Review of Economic
    Studies 91, 2024; Al Mohamad, Goeman, van Zwet, "Simultaneous confidence intervals for ranks",
    Biometrical Journal 64, 2022.
    """
    sure = pairs.significant()
    first_wins = (pairs.difference > 0) == higher
    winner = np.where(first_wins, pairs.first, pairs.second)[sure]
    loser = np.where(first_wins, pairs.second, pairs.first)[sure]
    better, worse = (np.bincount(of, minlength=len(ranks)) for of in (loser, winner))
    low = np.minimum(1 + better, ranks)
    high = np.maximum(total - worse, ranks)
    return low.astype(np.int64), high.astype(np.int64)
