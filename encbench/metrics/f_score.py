"""F-score of surfaces."""

from __future__ import annotations

from typing import Any

from encbench.contracts.metric import Metric
from encbench.metrics.surface import distances

THRESHOLD = 0.01
"""Distance threshold, in units of the longest side of the true bounding box."""


class FScore(Metric):
    """F-score in [0, 1] of two surfaces at a distance threshold of 1 % of the longest side.

    Harmonic mean of precision, the share of predicted samples within the threshold of the true
    surface, and recall, the share of true samples within the threshold of the predicted surface
    (Tatarchenko et al., "What do single-view 3D reconstruction networks learn?", CVPR 2019). 0 for
    an empty prediction.
    """

    kind = "surface"
    range = (0.0, 1.0)
    direction = "higher"
    title = "F-score"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        found = distances(prediction, truth)
        if found is None:
            return 0.0, {"samples": len(truth.points), "threshold": THRESHOLD}
        precision = float((found.to_truth < THRESHOLD).mean())
        recall = float((found.to_prediction < THRESHOLD).mean())
        both = precision + recall
        value = 2 * precision * recall / both if both else 0.0
        return value, {"samples": found.samples, "threshold": THRESHOLD}
