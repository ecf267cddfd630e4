"""Ground truth of meshes: which points are inside."""

from __future__ import annotations

import weakref

import igl
import numpy as np
import trimesh
from trimesh.ray.ray_pyembree import RayMeshIntersector

from encbench_tasks._occupancy.triangles import Array, Flags, Triangles

CHUNK = 256
"""Points a call. The library keeps Python's lock while it computes: longer calls would make
training wait for the thread that labels the next epoch, shorter ones cost a fifth more."""

DIRECTIONS = np.array([[0.36, 0.48, 0.8], [-0.71, 0.43, 0.56], [0.29, -0.83, -0.47]])
"""Of rays: along no axis, diagonal or plane that meshes are likely to have."""


class WindingNumber:
    """Inside is where |w| > ½, w the generalized winding number (libigl's fast approximation).

    Jacobson, Kavan, Sorkine-Hornung, "Robust inside-outside segmentation using generalized
    winding numbers", SIGGRAPH 2013; Barill et al., "Fast winding numbers for soups and
    clouds", SIGGRAPH 2018. Right on self-intersecting and overlapping parts, and graceful on
    holes, which it closes by a smooth sheet. |w| and not w, so that a part that is inside out
    beside others is inside all the same.
    """

    def __init__(self, mesh: Triangles) -> None:
        hierarchy = igl.FastWindingNumberBVH()
        # let go before Python ends: the binding complains of what is still alive then
        self._held = [hierarchy]
        weakref.finalize(self, self._held.clear)
        hierarchy.init(np.ascontiguousarray(mesh.vertices), np.ascontiguousarray(mesh.faces))

    def numbers(self, x: Array) -> Array:
        """w at points (N, 3); the approximation is off by at most some 0.005."""
        (hierarchy,) = self._held
        parts = [
            np.atleast_1d(hierarchy.winding_number(np.ascontiguousarray(part)))
            for part in np.split(x, range(CHUNK, len(x), CHUNK))
        ]
        numbers: Array = np.concatenate(parts)
        return numbers

    def __call__(self, x: Array) -> Flags:  # (N, 3) -> (N,)
        inside: Flags = np.abs(self.numbers(x)) > 0.5
        return inside


class RayParity:
    """Inside is where rays cross the surface an odd number of times (Embree, float32).

    Only right where the surface is watertight and no two parts overlap. Three fixed directions
    are counted and the majority decides: a ray through an edge may count it twice or not at all.
    (trimesh's own ``contains`` settles such doubts by random rays, differently each time.)
    """

    def __init__(self, mesh: Triangles) -> None:
        self._rays = RayMeshIntersector(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))

    def __call__(self, x: Array) -> Flags:  # (N, 3) -> (N,)
        votes = np.zeros(len(x), np.int64)
        for direction in DIRECTIONS:
            _, ray = self._rays.intersects_id(
                x, np.broadcast_to(direction, x.shape), multiple_hits=True
            )
            votes += np.bincount(ray, minlength=len(x)) % 2
        inside: Flags = votes >= 2
        return inside
