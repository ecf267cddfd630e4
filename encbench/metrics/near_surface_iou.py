"""Intersection over union near the surface."""

from __future__ import annotations

from encbench.metrics.iou import Iou

__all__ = ["NearSurfaceIou"]


class NearSurfaceIou(Iou):
    """Intersection over union in [0, 1] at points near the true surface: of detail, not bulk.

    The task says how near; half of the points lie inside, so 1/3 is no better than saying
    "inside" or "outside" at random.
    """

    kind = "near_surface"
    title = "near-surface IoU"
