"""Relative L2 error of a function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from encbench.contracts.metric import Metric
from encbench.metrics.pair import NOT_FINITE, compared


class RelativeL2(Metric):
    """Relative L2 error of a function's values: ‖prediction − truth‖ / ‖truth‖.

    Over all points and channels, in float64. The norm includes the truth's mean. Not the loss of
    that name, which divides each squared error by its own squared prediction.
    """

    kind = "signal"
    range = (0.0, math.inf)
    direction = "lower"
    title = "relative L2"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        pair = compared(self.title, prediction, truth)
        if pair is None:
            return None, {"reason": NOT_FINITE}
        got, expected = pair
        size = float(np.linalg.norm(expected))
        if size == 0:
            return None, {"reason": "the truth is zero everywhere"}
        return float(np.linalg.norm(got - expected)) / size, {}
