"""Signed distances from a solid's surface."""

from __future__ import annotations

import igl
import numpy as np

from encbench_tasks._occupancy.cache import kept_on_disk
from encbench_tasks._occupancy.points import VERSION, as_float32, near_surface_points
from encbench_tasks._occupancy.solid import Solid
from encbench_tasks._occupancy.triangles import Array

SEED = 4


def sampled_points(
    solid: Solid, points: int, on_surface: float, near_surface: float, sigma: float, seed: int
) -> Array:
    """(points, 3): parts of them on the surface, uniform over its area, and moved from there by
    N(0, σ²) in each coordinate; the others uniform in the unit cube."""
    rng = np.random.default_rng([SEED, seed])
    on = round(points * on_surface)
    near = min(round(points * near_surface), points - on)
    uniform = rng.random((points - on - near, 3))
    drawn = [near_surface_points(solid, n, s, rng) for n, s in ((on, 0.0), (near, sigma))]
    return np.concatenate([*drawn, as_float32(uniform)])


class SignedDistances:
    """Distances of points from the nearest triangle, negative inside; computed once for each set
    of points, the others find them on disk.

    Exact but for rounding (libigl's hierarchy of bounding boxes); the sign is the solid's.

    Args:
        solid: whose surface it is.
        identity: of the solid and of how points are labelled.
    """

    def __init__(self, solid: Solid, identity: str) -> None:
        self._solid = solid
        self._identity = f"{VERSION} {identity}"
        self._kept = kept_on_disk(_signed_distances, ["solid"])

    def __call__(self, x: Array) -> Array:  # (N, 3) -> (N,)
        return self._kept(self._identity, np.ascontiguousarray(x), self._solid)


def _signed_distances(identity: str, x: Array, solid: Solid) -> Array:
    vertices, faces = solid.surface.vertices, solid.surface.faces
    squared, _, _ = igl.point_mesh_squared_distance(x, vertices, faces)
    # rounding can make the square of a zero distance slightly negative
    distance = np.sqrt(np.maximum(squared, 0))
    signed: Array = np.where(solid.occupied(x), -distance, distance)
    return signed
