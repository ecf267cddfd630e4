"""A field's values on a regular lattice, taken only where its surface passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encbench_tasks._occupancy.solid import Array, Flags

__all__ = ["Field", "Lattice", "logits_of"]

Field = Callable[[Array], NDArray[np.floating]]
"""Points (N, 3) in [0, 1]³ to values (N,), positive inside."""
BLOCK = 1 << 17
"""Points evaluated at once: their coordinates stay small beside the lattice."""
LARGEST = 16.0
"""Logit of a float32 probability that rounds to 1."""


def logits_of(probability: NDArray[np.floating]) -> Array:
    """log(p / (1 − p)), at most 16 either way; what is not a number counts as outside.

    Values are interpolated as logits, for a network's are nearly linear across its surface.
    """
    p = np.nan_to_num(np.asarray(probability, np.float64), nan=0.0)
    with np.errstate(divide="ignore"):
        logits: Array = np.clip(np.log(p) - np.log1p(-p), -LARGEST, LARGEST)
    return logits


@dataclass(frozen=True)
class Lattice:
    """Values at the nodes of a box's cells; their number differs by axis, the cells are cubes
    but for rounding."""

    low: Array
    spacing: Array
    """(3,) sides of a cell."""
    values: NDArray[np.float32]
    """(X, Y, Z) at the nodes, x = low + spacing · index; interpolated where not ``known``, which
    is away from the surface."""
    known: Flags
    """Whether the field was evaluated at the node."""

    @classmethod
    def over(cls, low: Array, high: Array, cells: int, field: Field, coarsest: int = 64) -> Lattice:
        """Take a field on the box with at least ``cells`` cells along a side of length 1.

        Evaluates all nodes of a lattice of ``coarsest`` cells at least, then halves the cells
        where corners differ in sign, and follows the surface from each finer cell to its
        neighbours until none is missing (after the multiresolution extraction of Mescheder et
        al., "Occupancy networks", CVPR 2019). Parts that fit between the nodes of the coarsest
        lattice are missed unless they touch a part that does not; ``coarsest=cells`` is the
        dense lattice, which misses none.
        """
        halvings = 0
        while cells // 2 ** (halvings + 1) >= coarsest:
            halvings += 1
        # the small tolerance: a side of 1 up to rounding has no cell more
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
    """Evaluate the field at the wanted nodes, a block at a time."""
    places = np.flatnonzero(wanted)
    for start in range(0, len(places), BLOCK):
        block = places[start : start + BLOCK]
        nodes = np.stack(np.unravel_index(block, values.shape), axis=1)
        values.flat[block] = field(low + nodes * spacing)


def mixed_cells(values: NDArray[np.float32]) -> Flags:
    """Cells (X−1, Y−1, Z−1) with corners on both sides of zero."""
    inside = values > 0
    some, every = inside, inside
    for axis in range(3):
        head = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        tail = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        some, every = some[head] | some[tail], every[head] & every[tail]
    mixed: Flags = some & ~every
    return mixed


def _corners_of(cells: Flags) -> Flags:
    """Nodes (X, Y, Z) that are corners of the given cells (X−1, Y−1, Z−1)."""
    nodes = cells
    for axis in range(3):
        pad = [(0, 0)] * 3
        before, after = pad.copy(), pad.copy()
        before[axis], after[axis] = (1, 0), (0, 1)
        nodes = np.pad(nodes, before) | np.pad(nodes, after)
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
