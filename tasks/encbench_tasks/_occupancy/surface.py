"""The level set as a triangle mesh, slab by slab."""

from __future__ import annotations

import numpy as np
from skimage.measure import marching_cubes

from encbench_tasks._occupancy.lattice import LARGEST, Lattice
from encbench_tasks._occupancy.solid import Triangles

__all__ = ["extract"]

SLAB = 32
"""Layers of cells meshed at once: what the algorithm needs besides the lattice stays small."""


def extract(lattice: Lattice, slab: int = SLAB) -> Triangles:
    """The surface between values of either sign (Lewiner et al., "Efficient implementation of
    marching cubes' cases with topological guarantees", 2003), facing towards lower values.

    Closed: outside its box the field counts as empty, and what reaches the wall is capped
    there. Slabs meet at shared layers, whose vertices are made one. No faces where no value is
    positive.
    """
    counts = np.array(lattice.values.shape)
    vertices, faces, total = [], [], 0
    # one empty layer all around: node i of the lattice is i + 1 here
    for start in range(0, counts[0] + 1, slab):
        block = _padded(lattice.values, start, min(start + slab + 1, counts[0] + 2))
        if not ((block > 0).any() and (block <= 0).any()):
            continue
        points, triangles, _, _ = marching_cubes(block, 0.0, gradient_direction="ascent")  # type: ignore[no-untyped-call] # skimage leaves it untyped
        points = points.astype(np.float64) + np.array([start, 0, 0])
        vertices.append(points)
        faces.append(triangles.astype(np.int64) + total)
        total += len(points)
    if not vertices:
        return Triangles(np.empty((0, 3)), np.empty((0, 3), np.int64))
    where = np.concatenate(vertices)
    corners = np.concatenate(faces)
    # a vertex lies on an edge of the lattice, so it is the same for both slabs up to rounding
    _, first, one = np.unique(
        np.round(where * 1e4).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    corners = one.reshape(-1)[corners]
    distinct = (corners != np.roll(corners, 1, axis=1)).all(axis=1)
    index = np.clip(where[first] - 1, 0, counts - 1)
    return Triangles(lattice.low + index * lattice.spacing, corners[distinct])


def _padded(values: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Layers start..stop of the values with an empty layer around them."""
    block = np.full((stop - start, values.shape[1] + 2, values.shape[2] + 2), -LARGEST, np.float32)
    first, last = max(start - 1, 0), min(stop - 1, len(values))
    block[first + 1 - start : last + 1 - start, 1:-1, 1:-1] = values[first:last]
    return block
