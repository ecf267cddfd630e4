"""A solid in the unit cube: what is inside, and the surface around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Flags", "Indices", "Solid", "Triangles", "into_unit_cube"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Triangles:
    """A triangle mesh: vertices (V, 3) float64 and faces (F, 3) int64, counter-clockwise."""

    vertices: Array
    faces: Indices

    @cached_property
    def area_vectors(self) -> Array:
        """(F, 3) normals as long as the triangles' areas."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        cross: Array = np.cross(b - a, c - a) / 2
        return cross

    @cached_property
    def areas(self) -> Array:
        """(F,) areas."""
        areas: Array = np.linalg.norm(self.area_vectors, axis=1)
        return areas

    def sample(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """``count`` points (count, 3) uniform over the area, and unit normals (count, 3)."""
        ends = np.cumsum(self.areas)
        face = np.searchsorted(ends, rng.random(count) * ends[-1], side="right")
        # rounding may reach the very end of the last triangles, which may have no area
        face = np.minimum(face, int(np.flatnonzero(self.areas)[-1]))
        a, b, c = (self.vertices[self.faces[face, k]] for k in range(3))
        u, v = rng.random((2, count, 1))
        # the square's far half folds onto the triangle
        folded = u + v > 1
        u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
        points: Array = a + u * (b - a) + v * (c - a)
        normals: Array = self.area_vectors[face] / self.areas[face, None]
        return points, normals


@dataclass(frozen=True)
class Solid:
    """A solid whose bounding box has 1 as its longest side and is centred in [0, 1]³."""

    surface: Triangles
    low: Array
    """(3,) lower corner of the bounding box."""
    high: Array
    """(3,) upper corner."""
    occupied: Callable[[Array], Flags]
    """Ground truth: points (N, 3) to whether they are inside (N,)."""


def into_unit_cube(low: Array, high: Array) -> tuple[float, Array]:
    """Scale s and shift t such that x·s + t has 1 as longest side, centred in [0, 1]³."""
    scale = 1.0 / float((high - low).max())
    shift: Array = 0.5 - (low + high) / 2 * scale
    return scale, shift
