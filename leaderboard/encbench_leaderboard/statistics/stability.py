"""How well a ranking generalizes: to another cell, and to other targets."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd

HALVES = 200
"""Maximum number of splits into halves."""
FEWEST_UNITS = 4
"""Minimum number of units for a split, so that each half has at least two."""


def improvement(first: np.ndarray, second: np.ndarray, *, higher: bool) -> float:
    """Probability that a cell of one encoding is better than one of another on the same unit.

    Mean over units of the share of all pairs of repeats in which the first is better; equal pairs
    count half. NaN without a common unit. Source: Agarwal et al., "Deep Reinforcement Learning at
    the Edge of the Statistical Precipice", NeurIPS 2021, section 4.3.

    Args:
        first, second: values (units, repeats), NaN if missing.
        higher: whether higher values are better.
    """
    a, b = (values if higher else -values for values in (first, second))
    both = ~np.isnan(a)[:, :, None] & ~np.isnan(b)[:, None, :]
    with np.errstate(invalid="ignore"):
        wins = (a[:, :, None] > b[:, None, :]) + 0.5 * (a[:, :, None] == b[:, None, :])
    number = both.sum(axis=(1, 2))
    known = number > 0
    if not known.any():
        return math.nan
    shares = np.where(both, wins, 0.0).sum(axis=(1, 2))[known] / number[known]
    return float(shares.mean())


def split_half(means: np.ndarray, *, higher: bool) -> tuple[float, float]:
    """Agreement between the rankings by two halves of the units.

    Args:
        means: finite values (entries, units), at least 3 entries and ``FEWEST_UNITS`` units.
        higher: whether higher values are better.

    Returns:
        Mean over splits of Spearman's rank correlation, and the share of splits in which both
        halves have the same leader; over all splits, or ``HALVES`` random ones (seeded).
    """
    units = means.shape[1]
    half = units // 2
    if math.comb(units, half) <= HALVES:
        chosen = list(itertools.combinations(range(units), half))
    else:
        rng = np.random.default_rng(0)
        chosen = [tuple(rng.permutation(units)[:half]) for _ in range(HALVES)]
    inside = np.zeros((len(chosen), units), dtype=bool)
    np.put_along_axis(inside, np.array(chosen), True, axis=1)
    halves = [means[:, of].mean(axis=1) for part in inside for of in (part, ~part)]
    # all splits in one call, since each call of rank takes a millisecond
    ranks = pd.DataFrame(halves).rank(axis=1).to_numpy().reshape(len(chosen), 2, -1)
    best = ranks.argmax(axis=2) if higher else ranks.argmin(axis=2)
    first, second = np.moveaxis(ranks - ranks.mean(axis=2, keepdims=True), 1, 0)
    spread = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    varies = spread > 0
    rho = (first * second).sum(axis=1)[varies] / spread[varies]
    return float(rho.mean()) if len(rho) else math.nan, float((best[:, 0] == best[:, 1]).mean())
