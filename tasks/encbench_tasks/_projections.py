"""Parallel projections of an image of constant pixels, as exact sums along lines."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


def angles_of(count: int) -> Array:  # (count,) radians
    """0, π/n, …, (n − 1) π/n."""
    return np.arange(count, dtype=np.float64) * (np.pi / count)


def field_of_view(side: int, places: Array) -> NDArray[np.bool_]:
    """Whether places (N, 2), in [0, 1] (x, y), are in the disc that every projection sees whole.

    As scikit-image's ``radon(circle=True)`` has it, around the centre of the pixel side // 2, with
    side // 2 pixels as its radius.
    """
    middle = side // 2
    distance: Array = np.square(places * side - (middle + 0.5)).sum(axis=1)
    # of a pixel's centre exactly on the circle, whatever its coordinates were rounded to
    return distance <= middle**2 + 1e-6


def projection_matrix(inside: NDArray[np.bool_], angles: Array) -> Tensor:
    """The lengths of lines within pixels: sparse (angles · side, pixels inside) float64, in sides
    of the image.

    Row a · side + k is the line at angle θ_a through the offset k − side // 2 [pixels] from the
    centre of the pixel side // 2: in columns c and rows r from there the points with
    c cos θ − r sin θ = k − side // 2, as in scikit-image's ``radon``. A times the values of the
    pixels is exact for an image that is constant within each pixel (Siddon, "Fast calculation of
    the exact radiological path for a three-dimensional CT array", 1985): a line at distance s from
    the centre of a unit square is within it over the length
    ((|cos θ| + |sin θ|)/2 − |s|) / |cos θ sin θ|, at least 0 and at most 1 / max(|cos θ|, |sin θ|).

    Args:
        inside: (side, side), the pixels that are not zero by definition.
        angles: (n,) [radians].
    """
    side = len(inside)
    row, column = np.argwhere(inside).T - side // 2
    rays, pixels, lengths = [], [], []
    for number, angle in enumerate(angles):
        across, down = abs(np.cos(angle)), abs(np.sin(angle))
        at = column * np.cos(angle) - row * np.sin(angle)
        for offset in (np.floor(at), np.floor(at) + 1):  # no other line comes as near as √½
            over = (across + down) / 2 - np.abs(offset - at)
            length = np.clip(over / max(across * down, 1e-30), 0, 1 / max(across, down))
            ray = (offset + side // 2).astype(int)
            met = np.flatnonzero((length > 0) & (ray >= 0) & (ray < side))
            rays.append(number * side + ray[met])
            pixels.append(met)
            lengths.append(length[met] / side)
    where = torch.from_numpy(np.stack([np.concatenate(rays), np.concatenate(pixels)]))
    values, shape = torch.from_numpy(np.concatenate(lengths)), (len(angles) * side, len(row))
    return torch.sparse_coo_tensor(where, values, shape, check_invariants=True).coalesce()
