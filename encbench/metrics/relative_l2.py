"""Relative L2 error of a function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from encbench.contracts.metric import Metric
from encbench.errors import PluginError


class RelativeL2(Metric):
    """Relative L2 error of a function's values: ‖prediction − truth‖ / ‖truth‖.

    Over all points and channels, in float64. The truth's mean is part of its norm. Not the loss of
    that name, which divides each squared error by its own squared prediction.
    """

    kind = "signal"
    range = (0.0, math.inf)
    direction = "lower"
    title = "relative L2"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        got, expected = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
        if got.shape != expected.shape or got.size == 0:
            raise PluginError(
                "relative L2 needs arrays of equal shape and at least one value, got shapes "
                f"{got.shape} and {expected.shape}; correct the task's evaluate()"
            )
        if not (np.isfinite(got).all() and np.isfinite(expected).all()):
            return None, {"reason": "the prediction or the truth has values that are not finite"}
        size = float(np.linalg.norm(expected))
        if size == 0:
            return None, {"reason": "the truth is zero everywhere"}
        return float(np.linalg.norm(got - expected)) / size, {}
