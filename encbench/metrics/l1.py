"""Mean absolute errors of a distance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from encbench.contracts.metric import Metric
from encbench.metrics.pair import NOT_FINITE, compared


class L1(Metric):
    """Mean absolute error of signed distances at points of the whole volume, in longest sides."""

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
