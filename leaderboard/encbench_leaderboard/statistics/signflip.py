"""The sign-flip permutation test of paired differences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

EXACT_UP_TO = 15
"""Pairs up to which every pattern of signs is tried: 2¹⁴ of them, with symmetry."""
SAMPLES = 19_999
"""Random patterns beyond that, besides the observed one."""
SEED = 20_260_105
BLOCK = 4_000_000
"""Sums or signs held at a time, 32 MB."""


def signflip_p(differences: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the mean of differences (m, n), each row a test, finite.

    If two encodings are exchangeable within each pair, every pattern of signs of the n
    differences was as likely as the observed one. p is the share of patterns whose mean is at
    least as far from 0. Exact up to n = 15; beyond, p = (b + 1)/(B + 1) over B = 19,999 random
    patterns of a fixed seed, b of them as extreme: never too small (Phipson & Smyth, 2010).

    Source: Fisher, "The Design of Experiments", 1935, section 21; Good, "Permutation,
    Parametric and Bootstrap Tests of Hypotheses", 2005.
    """
    m, n = differences.shape
    observed = np.abs(differences.sum(axis=1))
    # Sums that are equal on paper differ by rounding.
    bound = observed - 1e-12 * np.abs(differences).sum(axis=1)
    extreme = np.zeros(m)
    tried = 0
    for signs in _patterns(n):
        tried += len(signs)
        rows = max(1, BLOCK // len(signs))
        for start in range(0, m, rows):
            part = slice(start, start + rows)
            sums = differences[part] @ signs.T
            np.abs(sums, out=sums)  # in place, which halves the time of a large table
            extreme[part] += np.count_nonzero(sums >= bound[part, None], axis=1)
    return extreme / tried if n <= EXACT_UP_TO else (extreme + 1) / (SAMPLES + 1)


def smallest_p(n: int) -> float:
    """The smallest p that n pairs can give."""
    return 2.0 ** (1 - n) if n <= EXACT_UP_TO else 1 / (SAMPLES + 1)


def _patterns(n: int) -> Iterator[np.ndarray]:
    """Signs (patterns, n), some at a time; of all patterns the half in which the last is +, for a
    pattern and its negative are as extreme."""
    if n <= EXACT_UP_TO:
        numbers = np.arange(2 ** (n - 1))
        yield 1.0 - 2.0 * ((numbers[:, None] >> np.arange(n)) & 1)
        return
    rng = np.random.default_rng([SEED, n])
    rows = max(1, BLOCK // n)
    for start in range(0, SAMPLES, rows):
        size = min(rows, SAMPLES - start)
        yield 1.0 - 2.0 * rng.integers(0, 2, size=(size, n), dtype=np.int8)
