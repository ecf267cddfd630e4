"""Mean absolute errors of a distance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from encbench.contracts.metric import Metric
from encbench.errors import PluginError


class L1(Metric):
    """Mean absolute error of signed distances at points of the whole volume, in longest sides."""

    kind = "distance"
    unit = "longest side"
    range = (0.0, math.inf)
    direction = "lower"
    title = "L1"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        got, expected = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
        if got.shape != expected.shape or got.size == 0:
            raise PluginError(
                f"{self.title} needs arrays of equal shape and at least one value, got shapes "
                f"{got.shape} and {expected.shape}; correct the task's evaluate()"
            )
        if not (np.isfinite(got).all() and np.isfinite(expected).all()):
            return None, {"reason": "the prediction or the truth has values that are not finite"}
        return float(np.abs(got - expected).mean()), {"points": got.size}
