"""Mean absolute errors of a distance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from encbench.contracts.metric import Metric
from encbench.metrics.pair import NOT_FINITE, compared


class L1(Metric):
    """Mean absolute error of signed distances in the whole volume, in units of the longest side."""

    kind = "distance"
    unit = "longest side"
    range = (0.0, math.inf)
    direction = "lower"
    title = "L1"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        pair = compared(self.title, prediction, truth)
        if pair is None:
            return None, {"reason": NOT_FINITE}
        got, expected = pair
        return float(np.abs(got - expected).mean()), {"points": got.size}


class NearSurfaceL1(L1):
    """Mean absolute error of signed distances near the surface, in units of the longest side."""

    kind = "near_surface_distance"
    title = "near-surface L1"


class EikonalResidual(L1):
    """Mean of |‖∇f‖ − 1|; the gradient of a distance has length 1 almost everywhere.

    Compares predicted gradient lengths (N,) with the true ones, which are 1 (the residual of Gropp
    et al., "Implicit Geometric Regularization for Learning Shapes", ICML 2020).
    """

    kind = "slope"
    unit = ""
    title = "eikonal residual"


class MaxError(L1):
    """Largest absolute error of the solution of an equation over all points."""

    kind = "solution"
    unit = ""
    title = "max error"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        value, details = super().compute(prediction, truth)
        if value is None:
            return value, details
        return float(np.abs(np.subtract(prediction, truth, dtype=np.float64)).max()), details
