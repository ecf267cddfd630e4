"""A field on a regular lattice, evaluated only near its surface, and extraction of that surface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from encbench_tasks._occupancy.triangles import Array, Flags, Triangles

Field = Callable[[Array], NDArray[np.floating]]
"""Points (N, 3) in [0, 1]³ to values (N,), positive inside."""
BLOCK = 1 << 17
"""Number of points evaluated at once; their coordinates take little memory beside the lattice."""
LARGEST = 16.0
"""Maximum absolute logit: about that of the largest float32 probability below 1."""
SLAB = 32
"""Number of layers of cells meshed at once, which limits the memory of the algorithm."""


def logits_of(probability: NDArray[np.floating]) -> Array:
    """log(p / (1 − p)) within [−16, 16]; NaN counts as outside.

    Values are interpolated as logits, since those of a network are nearly linear at its surface.
    """
    p = np.nan_to_num(np.asarray(probability, np.float64), nan=0.0)
    with np.errstate(divide="ignore"):
        logits: Array = np.clip(np.log(p) - np.log1p(-p), -LARGEST, LARGEST)
    return logits


@dataclass(frozen=True)
class Lattice:
    """Values at nodes of a box's cells, which are nearly cubes; their number differs by axis."""

    low: Array
    spacing: Array
    """(3,) sides of a cell."""
    values: NDArray[np.float32]
    """(X, Y, Z) at the nodes, x = low + spacing · index; interpolated if not ``known``, away from
    the surface."""
    known: Flags
    """Whether the field was evaluated at the node."""

    @classmethod
    def over(cls, low: Array, high: Array, cells: int, field: Field, coarsest: int = 64) -> Lattice:
        """Evaluate a field on the box with at least ``cells`` cells along a side of length 1.

        Evaluates all nodes of a lattice of at least ``coarsest`` cells, then halves the cells
        whose corners differ in sign, and follows the surface from each finer cell to adjacent
        ones until none is missing (after the multiresolution extraction of Mescheder et al.,
        "Occupancy networks", CVPR 2019). Parts that fit between the nodes of the coarsest
        lattice are missed unless they touch a larger part; ``coarsest=cells`` is the dense
        lattice, which misses none.
        """
        halvings = 0
        while cells // 2 ** (halvings + 1) >= coarsest:
            halvings += 1
        # the small tolerance avoids an extra cell for a side of 1 up to rounding
        coarse = np.maximum(1, np.ceil((high - low) * cells / 2**halvings - 1e-6)).astype(int)
        counts = coarse + 1
        known = np.ones(counts, np.bool_)
        spacing = (high - low) / coarse
        values = np.empty(counts, np.float32)
        _take(field, low, spacing, known, values)
        for _ in range(halvings):
            spacing = spacing / 2
            active = mixed_cells(values)
            values, fine = _doubled(values), np.zeros(2 * counts - 1, np.bool_)
            fine[::2, ::2, ::2] = known
            counts, known = 2 * counts - 1, fine
            wanted = _corners_of(np.repeat(np.repeat(np.repeat(active, 2, 0), 2, 1), 2, 2))
            while (missing := wanted & ~known).any():
                _take(field, low, spacing, missing, values)
                known |= missing
                wanted = _corners_of(mixed_cells(values))
        return cls(low, spacing, values, known)


def _take(
    field: Field, low: Array, spacing: Array, wanted: Flags, values: NDArray[np.float32]
) -> None:
    """Evaluate the field at the wanted nodes, block by block."""
    places = np.flatnonzero(wanted)
    for start in range(0, len(places), BLOCK):
        block = places[start : start + BLOCK]
        nodes = np.stack(np.unravel_index(block, values.shape), axis=1)
        values.flat[block] = field(low + nodes * spacing)


def mixed_cells(values: NDArray[np.float32]) -> Flags:
    """Cells (X−1, Y−1, Z−1) with corners on both sides of zero."""
    inside = values > 0
    a, b, c = np.array(values.shape) - 1
    corners = [inside[x : x + a, y : y + b, z : z + c] for x, y, z in np.ndindex(2, 2, 2)]
    mixed: Flags = reduce(np.logical_or, corners) & ~reduce(np.logical_and, corners)
    return mixed


def _corners_of(cells: Flags) -> Flags:
    """Nodes (X, Y, Z) that are corners of the given cells (X−1, Y−1, Z−1)."""
    a, b, c = cells.shape
    nodes = np.zeros((a + 1, b + 1, c + 1), np.bool_)
    for x, y, z in np.ndindex(2, 2, 2):
        nodes[x : x + a, y : y + b, z : z + c] |= cells
    return nodes


def _doubled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear interpolation halfway between nodes, along each axis."""
    for axis in range(3):
        values = np.moveaxis(values, axis, 0)
        fine = np.empty((2 * len(values) - 1, *values.shape[1:]), np.float32)
        fine[::2] = values
        fine[1::2] = (values[1:] + values[:-1]) / 2
        values = np.moveaxis(fine, 0, axis)
    return values


def extract(lattice: Lattice, slab: int = SLAB) -> Triangles:
    """Extract the surface between values of either sign (Lewiner et al., "Efficient implementation
    of marching cubes' cases with topological guarantees", 2003), facing towards lower values.

    It is closed: outside its box the field counts as empty, and parts that reach the wall are
    capped there. Vertices in layers that two slabs share are merged. Without positive values
    there are no faces.
    """
    from skimage.measure import marching_cubes  # half a second, not needed for planning

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
