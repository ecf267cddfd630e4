"""Binary cross entropy of occupancies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from encbench.contracts.metric import Metric
from encbench.metrics.iou import occupancies

SMALLEST = 2.0**-24
"""Half the spacing of float32 just below 1: float32 rounds probabilities nearer to 1 up to 1."""


def bce(probability: ArrayLike, inside: ArrayLike) -> float:
    """Mean over points (N,) of −log p (inside) or −log(1 − p) (outside) [nat], in float64.

    Probabilities are clamped to [2⁻²⁴, 1 − 2⁻²⁴]: a point counts 6.0e-8 to 16.6 nat.
    nan if a probability is not finite.

    Raises:
        PluginError: the shapes differ, or there are no points.
    """
    p, truth = occupancies("BCE", probability, inside)
    if not np.isfinite(p).all():
        return math.nan
    right = np.where(truth, p, 1 - p)
    return float(-np.log(np.clip(right, SMALLEST, 1 - SMALLEST)).mean())


class Bce(Metric):
    """Binary cross entropy [nat] of occupancy probabilities at uniform random points.

    Natural logarithm, mean over the points. p = ½ everywhere gives log 2 ≈ 0.693. Probabilities are
    float32 and clamped, so that a perfect prediction gives 6.0e-8 and the worst one 16.6, both
    within the declared range.
    """

    kind = "occupancy"
    unit = "nat"
    range = (0.0, math.inf)
    direction = "lower"
    title = "BCE"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        value = bce(prediction, truth)
        if math.isnan(value):
            return None, {"reason": "the prediction has values that are not finite"}
        return value, {"points": int(np.size(truth))}
