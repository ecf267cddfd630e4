"""Agreement of the normals of surfaces."""

from __future__ import annotations

from typing import Any

from encbench.contracts.metric import Metric
from encbench.metrics.surface import EMPTY, distances


class NormalConsistency(Metric):
    """Mean |cosine| in [0, 1] of normals at samples and at the nearest points of the other surface.

    Averaged over the samples of each surface, then over the two surfaces (Mescheder et al.,
    "Occupancy networks", CVPR 2019). Random normals give ½. Undefined for an empty prediction.
    """

    kind = "surface"
    range = (0.0, 1.0)
    direction = "higher"
    title = "normal consistency"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        found = distances(prediction, truth)
        if found is None:
            return None, {"reason": EMPTY}
        value = (found.cosines_to_truth.mean() + found.cosines_to_prediction.mean()) / 2
        return min(1.0, float(value)), {"samples": found.samples}
