"""Depth and shaded normals as pictures."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from encbench_tasks._occupancy.solid import Array
from encbench_tasks._occupancy.views import View

__all__ = ["above", "beside", "depth_error", "depth_image", "depth_picture", "normal_picture"]

Picture = NDArray[np.uint8]
ERROR_RANGE = 0.1
"""Depth error that the brightest colour stands for, in parts of the box's depth."""


def depth_image(distance: Array, view: View) -> NDArray[np.float32]:
    """(side, side) float32 in [0, 1]: 0 at the near end of the box, 1 at the far end and where
    there is nothing."""
    depth = np.clip(distance / view.depth, 0, 1).astype(np.float32)
    return depth.reshape(view.side, view.side)


def depth_picture(depth: NDArray[np.float32]) -> Picture:
    """Near is dark, nothing is white."""
    grey = np.rint(depth * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def normal_picture(distance: Array, normals: Array, view: View) -> Picture:
    """Lit from the viewer's upper left, coloured a little by the normal, on white."""
    seen = np.stack([normals @ view.right, normals @ view.up, -(normals @ view.direction)], axis=1)
    light = np.array([-0.4, 0.55, 0.73])
    lambert = np.clip(seen @ (light / np.linalg.norm(light)), 0, 1)[:, None]
    colour = (0.25 + 0.75 * lambert) * (0.72 + 0.28 * seen)
    colour[~np.isfinite(distance)] = 1
    picture: Picture = np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8)
    return picture.reshape(view.side, view.side, 3)


def depth_error(depth: NDArray[np.float32], truth: NDArray[np.float32]) -> Picture:
    """|difference| through the colour map magma: black 0, brightest 0.1 and more."""
    error = np.abs(depth - truth) / ERROR_RANGE
    return np.ascontiguousarray(colormaps["magma"](error, bytes=True)[..., :3])


def above(*pictures: Picture) -> Picture:
    """Pictures of one width, from top to bottom."""
    return np.concatenate(pictures, axis=0)


def beside(*pictures: Picture) -> Picture:
    """Pictures of one height, from left to right."""
    return np.concatenate(pictures, axis=1)
