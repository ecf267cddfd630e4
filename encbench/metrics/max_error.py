"""Largest error of a function."""

from __future__ import annotations

from typing import Any

import numpy as np

from encbench.metrics.l1 import L1


class MaxError(L1):
    """Largest absolute error of the solution of an equation, over all points."""

    kind = "solution"
    unit = ""
    title = "max error"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        value, details = super().compute(prediction, truth)
        if value is None:
            return value, details
        return float(np.abs(np.subtract(prediction, truth, dtype=np.float64)).max()), details
