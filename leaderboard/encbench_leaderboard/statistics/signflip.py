"""The sign-flip permutation test of paired differences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

EXACT_UP_TO = 15
"""Maximum number of pairs for which all sign patterns are tried: 2¹⁴, by symmetry."""
SAMPLES = 19_999
"""Number of random patterns for more pairs, in addition to the observed one."""
SEED = 20_260_105
BLOCK = 4_000_000
"""Maximum number of sums or signs in memory at a time: 32 MB."""


def signflip_p(differences: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the mean of finite differences (m, n), each row a test.

    If two encodings are exchangeable within each pair, all patterns of signs of the n differences
    are equally likely. p is the share of patterns whose mean is at least as far from 0 as the
    observed one. Exact up to n = 15; beyond, p = (b + 1)/(B + 1) with B = 19,999 random patterns
    from a fixed seed, b of them as extreme, which is never too small (Phipson & Smyth, 2010).

    Source: Fisher, "The Design of Experiments", 1935, section 21; Good, "Permutation,
    Parametric and Bootstrap Tests of Hypotheses", 2005.
    """
    m, n = differences.shape
    observed = np.abs(differences.sum(axis=1))
    # sums that are mathematically equal may differ by rounding
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
    """The smallest possible p-value with n pairs."""
    return 2.0 ** (1 - n) if n <= EXACT_UP_TO else 1 / (SAMPLES + 1)


def _patterns(n: int) -> Iterator[np.ndarray]:
    """Blocks of signs (patterns, n). Of all patterns, only those in which the last sign is + are
    tried, since a pattern and its negative are equally extreme."""
    if n <= EXACT_UP_TO:
        numbers = np.arange(2 ** (n - 1))
        yield 1.0 - 2.0 * ((numbers[:, None] >> np.arange(n)) & 1)
        return
    rng = np.random.default_rng([SEED, n])
    rows = max(1, BLOCK // n)
    for start in range(0, SAMPLES, rows):
        size = min(rows, SAMPLES - start)
        yield 1.0 - 2.0 * rng.integers(0, 2, size=(size, n), dtype=np.int8)
