"""A target known on a regular grid, so that its error has a spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RegularGrid:
    """The centres of n_1 × … × n_d equal cells of the unit cube, or of a box in it, and the true
    values there.

    Frequencies along an axis are in cycles per unit length, independent of the number of cells.
    """

    x: Tensor
    """(N, d) float64, N = n_1 · … · n_d, in the order of ``truth`` (last axis fastest). The task
    decides which coordinate belongs to which axis of ``truth``."""
    truth: np.ndarray
    """(n_1, …, n_d, O) floating point, finite."""
    periodic: bool = False
    """Whether the target is periodic. Otherwise it is mirrored at each face, so that it has no jump
    there."""
    sides: tuple[float, ...] | None = None
    """(d,) lengths of the box's sides along the axes of ``truth``; None: 1 each."""

    def __post_init__(self) -> None:
        """Check the shapes here, so that an error names the task.

        Raises:
            TypeError: x or truth has another type, dtype or shape.
        """
        if not isinstance(self.truth, np.ndarray) or self.truth.dtype.kind != "f":
            raise TypeError(f"regular grid: truth is {_type_of(self.truth)}, expected floats")
        shape = self.truth.shape[:-1]
        expected = math.prod(shape), len(shape)
        if (
            not isinstance(self.x, Tensor)
            or self.x.dtype != torch.float64
            or self.x.shape != expected
            or not self.x.numel()
        ):
            raise TypeError(
                f"regular grid: x is {_type_of(self.x)}; for truth of shape {self.truth.shape} "
                f"expected {expected} of float64"
            )
        if self.sides is not None and (
            len(self.sides) != len(shape) or not all(0 < side < math.inf for side in self.sides)
        ):
            raise TypeError(
                f"regular grid: sides is {self.sides}; for truth of shape {self.truth.shape} "
                f"expected {len(shape)} positive lengths"
            )


def _type_of(thing: object) -> str:
    if isinstance(thing, np.ndarray | Tensor):
        return f"{tuple(thing.shape)} of {str(thing.dtype).removeprefix('torch.')}"
    return f"a {type(thing).__name__}"
