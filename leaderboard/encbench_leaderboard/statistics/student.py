"""Student's t: intervals, the paired test, and the smallest difference that it can detect."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import chdtri, nctdtr, stdtr, stdtrit

NEGLIGIBLE = 1e-12
"""Differences with a standard error below this fraction of the values are equal up to rounding."""


def paired_t_p(differences: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the paired t test on differences (m, n), n ≥ 2, each row a test.

    If a row's differences are equal up to rounding of numbers of magnitude ``scale`` (m,), p is 0,
    or 1 if they are 0. Source: Student, "The probable error of a mean", Biometrika 6, 1908.
    """
    mean, error = np.abs(differences.mean(axis=1)), _standard_error(differences)
    certain = constant(differences, scale)
    p: np.ndarray = 2.0 * stdtr(differences.shape[1] - 1, -mean / np.where(certain, 1.0, error))
    return np.where(certain, np.where(mean <= NEGLIGIBLE * scale, 1.0, 0.0), p)


def constant(differences: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(m,) bool: whether a row's differences are equal up to rounding, as in ``paired_t_p``."""
    equal: np.ndarray = _standard_error(differences) <= NEGLIGIBLE * scale
    return equal


def _standard_error(differences: np.ndarray) -> np.ndarray:
    error: np.ndarray = differences.std(axis=1, ddof=1) / math.sqrt(differences.shape[1])
    return error


def t_half_width(values: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """Half the width of the t interval of the mean of values (m, n), n ≥ 2, each row a sample."""
    n = values.shape[1]
    quantile = float(stdtrit(n - 1, 0.5 + confidence / 2))
    half: np.ndarray = quantile * values.std(axis=1, ddof=1) / math.sqrt(n)
    return half


def detectable(deviation: float, n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true mean difference of n pairs that a paired t test at level α detects with the
    given power, in the unit of ``deviation``, their standard deviation; NaN for n < 2.

    The noncentrality δ√n/σ solves P(T' > t) = power, where T' is noncentral t with n − 1 degrees of
    freedom; the opposite tail, below 1e-3, is neglected. Source: Cohen, "Statistical Power Analysis
    for the Behavioral Sciences", 1988, section 2.
    """
    if n < 2:
        return math.nan
    return _centrality(n, alpha, power) * deviation / math.sqrt(n)


# cached, since the pairs of a table differ in deviation but seldom in number of units
@lru_cache(maxsize=256)
def _centrality(n: int, alpha: float, power: float) -> float:
    """The noncentrality at which a t test of n pairs has the given power, by bisection.

    ``scipy.special.nctdtrinc`` is off by 2e-4 for 2 pairs at α = 0.05/300, and does not return
    for 2 pairs at α = 0.05/19,900.
    """
    quantile = float(stdtrit(n - 1, 1 - alpha / 2))
    low, high = 0.0, 2.0 * quantile + 10.0
    if math.isnan(nctdtr(n - 1, high, quantile)):
        # too large for scipy; the normal part of T' is then negligible
        return quantile * math.sqrt(chdtri(n - 1, 1 - power) / (n - 1))
    while low < (middle := (low + high) / 2) < high:
        if nctdtr(n - 1, middle, quantile) > 1 - power:
            low = middle
        else:
            high = middle
    return middle
