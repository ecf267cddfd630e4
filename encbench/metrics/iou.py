"""Intersection over union of occupancies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from encbench.contracts.metric import Metric
from encbench.errors import PluginError
from encbench.metrics.pair import check_real


def occupancies(name: str, p: ArrayLike, inside: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities in float64 and labels, (N,) each.

    Raises:
        PluginError: values are complex, the shapes differ, there are no points, or a label is
            neither 0 nor 1; the message begins with ``name``, the metric's.
    """
    check_real(name, p, inside)
    labels = np.asarray(inside)
    probability, truth = np.asarray(p, np.float64), labels.astype(np.bool_)
    if (labels != truth).any():  # otherwise 0.3 and NaN would count as inside
        raise PluginError(
            f"{name} needs labels that are 0 or 1, got {labels[labels != truth][0]}"
            "; correct the task's evaluate()"
        )
    if probability.shape != truth.shape or truth.size == 0:
        raise PluginError(
            f"{name} needs probabilities and labels of equal shape and at least one point, got "
            f"shapes {probability.shape} and {truth.shape}"
        )
    return probability, truth


def iou(probability: ArrayLike, inside: ArrayLike) -> float | None:
    """|{p > ½} ∩ inside| / |{p > ½} ∪ inside| over points (N,); None if the union is empty.

    Raises:
        PluginError: the shapes differ, or there are no points.
    """
    p, truth = occupancies("IoU", probability, inside)
    predicted = p > 0.5
    union = int((predicted | truth).sum())
    return int((predicted & truth).sum()) / union if union else None


class Iou(Metric):
    """Volumetric intersection over union in [0, 1] of occupancies at uniform random points.

    A point is predicted inside if its probability exceeds ½. ``details`` has the number of points,
    which determines the precision: the standard error is about
    √(IoU (1 − IoU) / points in the union). Undefined if no point is inside in either.
    """

    kind = "occupancy"
    range = (0.0, 1.0)
    direction = "higher"
    title = "IoU"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        if not np.isfinite(prediction).all():
            return None, {"reason": "the prediction has values that are not finite"}
        value = iou(prediction, truth)
        if value is None:
            return None, {"reason": "no point is inside, in prediction or truth"}
        return value, {"points": int(np.size(truth))}


class IouHeldOut(Iou):
    """Intersection over union in [0, 1] at uniform points that a split holds out.

    The task decides which these are: points in cells that are never trained on, or any points
    except the fixed training points.
    """

    kind = "held_out_occupancy"
    title = "IoU held out"


class NearSurfaceIou(Iou):
    """Intersection over union in [0, 1] at points near the true surface, sensitive to detail.

    The task determines the distance. Half of the points lie inside, so random guessing at each
    point gives 1/3.
    """

    kind = "near_surface"
    title = "near-surface IoU"
