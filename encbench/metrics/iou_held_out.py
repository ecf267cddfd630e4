"""Intersection over union where nothing was trained on."""

from __future__ import annotations

from encbench.metrics.iou import Iou


class IouHeldOut(Iou):
    """Intersection over union in [0, 1] at uniform points that a split holds out.

    The task determines which: points of cells that are never trained on, or any points other than
    the fixed ones that were.
    """

    kind = "held_out_occupancy"
    title = "IoU held out"
