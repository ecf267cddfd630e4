"""Ranks of values, and those that the data allow."""

from __future__ import annotations

import numpy as np
import pandas as pd

from encbench_leaderboard.statistics.pairs import Pairs


def ranks_with_failures(values: np.ndarray, *, higher: bool) -> np.ndarray:
    """Ranks of values (n,), 1 the best; equal ones share their mean rank. NaN, what did not finish,
    takes the ranks after all that did, shared: of 5 where 2 did not finish these have rank 4.5."""
    return pd.Series(values).rank(ascending=not higher, na_option="bottom").to_numpy()


def rank_intervals(
    pairs: Pairs, ranks: np.ndarray, total: int, *, higher: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest rank of each entry that is compatible with the tests.

    The best rank is 1 plus the number of entries that are significantly better, the worst ``total``
    (entries that could be ranked) minus the number that are significantly worse, over all pairs
    after Holm's correction. With probability of at least 95 % no true rank of any entry lies
    outside its interval: each end leaves its interval only by a false positive among the tests.
    Widened to hold the entry's own rank (n,) by value, 1 the best, where means over unlike sets of
    cells order entries otherwise than their tests do.

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
