"""The truth that predictions are compared with, which depends on the mesh and is computed once."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from encbench.metrics.surface import Surface
from encbench_tasks._occupancy.cache import kept_on_disk
from encbench_tasks._occupancy.points import Labels, near_surface_points, uniform_points
from encbench_tasks._occupancy.rays import cast_mesh, views_of
from encbench_tasks._occupancy.shapes import solid_of_shape
from encbench_tasks._occupancy.solid import VERSION, RayParity, Solid, WindingNumber, solid_of_mesh
from encbench_tasks._occupancy.sources import locate_mesh
from encbench_tasks._occupancy.triangles import Array, Flags, Triangles

TruthMethod = Literal["auto", "winding", "rays"]
UNIFORM_POINTS = 1 << 18
NEAR_POINTS = 1 << 16
NEAR_SIGMA = 0.01
"""σ of the points of the near-surface IoU [longest sides]: always the same, whatever training
used."""
SURFACE_SAMPLES = 1 << 16
SEED = 2


class Truth:
    """The true side of every comparison, computed on first use.

    Args:
        solid: the truth.
        identity: identifies the solid and the method of labelling.
    """

    def __init__(self, solid: Solid, identity: str) -> None:
        self.solid = solid
        self.identity = identity
        self._cast: dict[int, list[tuple[Array, Array]]] = {}

    @cached_property
    def points(self) -> dict[str, tuple[Array, Flags]]:
        """Points (N, 3) of the comparisons of occupancies, and whether they are inside (N,)."""
        rng, labels = np.random.default_rng(SEED), Labels(self.solid, self.identity)
        uniform = uniform_points(self.solid, UNIFORM_POINTS, rng)
        near = near_surface_points(self.solid, NEAR_POINTS, NEAR_SIGMA, rng)
        return {
            "occupancy": (uniform, labels(uniform)),
            "near_surface": (near, labels(near)),
        }

    @cached_property
    def surface(self) -> Surface:
        """The surface with samples."""
        return sampled(self.solid.surface)

    def cast(self, side: int) -> list[tuple[Array, Array]]:
        """``cast_mesh`` of the views, with side² rays each."""
        if side not in self._cast:
            identity = f"{VERSION} {self.identity}"
            self._cast[side] = kept_on_disk(_cast, ["solid"])(identity, side, self.solid)
        return self._cast[side]


def _cast(identity: str, side: int, solid: Solid) -> list[tuple[Array, Array]]:
    return [cast_mesh(solid.surface, view) for view in views_of(solid.low, solid.high, side)]


@lru_cache(maxsize=2)  # a mesh of a million faces takes about 100 MB
def truth_of(mesh: str, method: TruthMethod, data_hash: str) -> Truth:
    """The truth of a mesh, the same object for all cells of a process.

    Args:
        mesh: a built-in shape, a mesh file or a fetched mesh.
        method: how points are labelled.
        data_hash: ``data_hash_of(mesh)``, so that a file that changed is read again.

    Raises:
        DataError: there is no such mesh, it cannot be read, or it bounds no solid.
    """
    return Truth(_solid(mesh, method), f"{data_hash} {method}")


def _solid(mesh: str, method: TruthMethod) -> Solid:
    found = locate_mesh(mesh)
    if isinstance(found, Path):
        return solid_of_mesh(found, "winding" if method == "auto" else method)
    solid = solid_of_shape(found)
    if method == "auto":
        return solid
    occupied = WindingNumber(solid.surface) if method == "winding" else RayParity(solid.surface)
    return Solid(solid.surface, solid.low, solid.high, occupied)


def sampled(mesh: Triangles) -> Surface:
    """A mesh with samples; empty arrays if it has no area."""
    if not len(mesh.faces) or not mesh.areas.sum():
        nothing = np.empty((0, 3))
        return Surface(nothing, np.empty((0, 3), np.int64), nothing, nothing)
    points, normals = mesh.sample(SURFACE_SAMPLES, np.random.default_rng(SEED))
    return Surface(mesh.vertices, mesh.faces, points, normals)
