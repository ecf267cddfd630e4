"""Fixed orthographic views of a box, and the rays of their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encbench_tasks._occupancy.solid import Array

__all__ = ["VIEWS", "View", "views_of"]

VIEWS = ((25.0, 20.0), (150.0, 10.0), (265.0, 55.0))
"""Azimuth about the y axis from +z towards +x, and elevation, of the viewer [degrees]."""
MARGIN = 1.03


@dataclass(frozen=True)
class View:
    """A square picture of a box seen from far away, up = +y."""

    origins: Array
    """(side², 3), row by row from the top left, on a plane in front of the box."""
    direction: Array
    """(3,) unit vector of all rays, away from the viewer."""
    right: Array
    up: Array
    depth: float
    """Length of the box along the rays: the depth that is recorded as 1."""
    side: int


def views_of(low: Array, high: Array, side: int) -> list[View]:
    """The fixed views of a box, scaled so that each shows all of it."""
    return [_view(low, high, side, *angles) for angles in VIEWS]


def _view(low: Array, high: Array, side: int, azimuth: float, elevation: float) -> View:
    a, e = np.radians(azimuth), np.radians(elevation)
    towards = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    direction = -towards
    right = np.cross(direction, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, direction)
    half = (high - low) / 2
    # half the box's extent along a unit vector u is Σ |u_i| half_i
    reach = max(float(np.abs(right) @ half), float(np.abs(up) @ half)) * MARGIN
    depth = float(np.abs(direction) @ half)
    ticks = ((np.arange(side) + 0.5) / side * 2 - 1) * reach
    rows, columns = np.meshgrid(-ticks, ticks, indexing="ij")
    plane = (low + high) / 2 + depth * towards
    origins = plane + rows.reshape(-1, 1) * up + columns.reshape(-1, 1) * right
    return View(origins, direction, right, up, 2 * depth, side)
