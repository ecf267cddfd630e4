"""Holm's correction for multiple tests."""

from __future__ import annotations

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values of p (m,): a test is significant at α if its adjusted p is ≤ α.

    The k-th smallest of m p-values is multiplied by m − k + 1; the products are then made
    non-decreasing and at most 1. The probability of any false positive is at most α, whatever the
    dependence between tests. NaN means not tested: it stays NaN and does not count in m.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6, 1979.
    """
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted
