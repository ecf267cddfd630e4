"""Chamfer distance between surfaces."""

from __future__ import annotations

import math
from typing import Any

from encbench.contracts.metric import Metric
from encbench.metrics.surface import EMPTY, distances


class ChamferL1(Metric):
    """Chamfer-L1 of two surfaces, in units of the longest side of the true bounding box.

    ½ (mean distance from samples of the predicted surface to the true one + mean distance from
    samples of the true surface to the predicted one), Euclidean, not squared (Mescheder et al.,
    "Occupancy networks", CVPR 2019). Distances are to the triangles of the other surface, so equal
    surfaces have distance 0. Undefined for an empty prediction.
    """

    kind = "surface"
    unit = "longest side"
    range = (0.0, math.inf)
    direction = "lower"
    title = "Chamfer-L1"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        found = distances(prediction, truth)
        if found is None:
            return None, {"reason": EMPTY}
        value = float(found.to_truth.mean() + found.to_prediction.mean()) / 2
        return value, {"samples": found.samples}
