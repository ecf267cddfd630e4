"""Intersection over union near the surface."""

from __future__ import annotations

from encbench.metrics.iou import Iou


class NearSurfaceIou(Iou):
    """Intersection over union in [0, 1] at points near the true surface, sensitive to detail.

    The task determines how near. Half of the points lie inside, so a random guess at each point
    has 1/3.
    """

    kind = "near_surface"
    title = "near-surface IoU"
