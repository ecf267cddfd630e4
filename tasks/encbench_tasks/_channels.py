"""The pixels that a task learns: of an image file, with the channels and the size asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from encbench import DataError
from encbench_tasks._pixels import Pixels

Channels = Literal["auto", "grey", "rgb", "rgba"]
LUMA = np.array([0.299, 0.587, 0.114])
"""Grey of RGB, ITU-R BT.601, on the values as stored."""


def with_channels(pixels: Pixels, channels: Channels) -> Pixels:
    """(H, W, C) as ``read_pixels`` gives them, with the outputs asked for: see ``ImageTask``."""
    colour, alpha = pixels, np.ones_like(pixels[..., :1])
    if pixels.shape[2] in (2, 4):
        colour, alpha = pixels[..., :-1], pixels[..., -1:]
    opaque = bool((alpha == 1).all())
    if channels == "rgba" or (channels == "auto" and not opaque):
        rgb = np.broadcast_to(colour, (*colour.shape[:2], 3))
        return np.concatenate([rgb, alpha], axis=2)
    if not opaque:
        colour = colour * alpha + (1 - alpha)
    if channels == "rgb":
        colour = np.broadcast_to(colour, (*colour.shape[:2], 3))
    elif channels == "grey" and colour.shape[2] == 3:
        colour = (colour @ LUMA)[..., None]
    return np.ascontiguousarray(np.clip(colour, 0, 1), dtype=np.float32)


def shrunk(pixels: Pixels, side: int, path: Path) -> Pixels:
    """(H, W, C) of which the longer side has ``side`` pixels, by a Lanczos filter.

    Raises:
        DataError: the image is smaller; names the path.
    """
    height, width = pixels.shape[:2]
    longer = max(height, width)
    if side > longer:
        raise DataError(
            f"{path}: side={side} is more than the image has ({width} × {height}), and images "
            f"are not enlarged; give side={longer} or less, or leave it out"
        )
    if side == longer:
        return pixels
    size = [max(1, int(n * side / longer + 0.5)) for n in (width, height)]
    alpha = pixels[..., 3:]
    # weighted by alpha, or the colours of invisible pixels would bleed into visible ones
    weighted = np.concatenate([pixels[..., :3] * alpha, alpha], axis=2) if alpha.size else pixels
    bands = [
        np.asarray(Image.fromarray(band).resize(size, Image.Resampling.LANCZOS))
        for band in np.ascontiguousarray(np.moveaxis(weighted, 2, 0))
    ]
    small = np.stack(bands, axis=2)
    if alpha.size:
        visible = np.clip(small[..., 3:], 0, 1)
        colour = np.divide(
            small[..., :3], visible, out=np.zeros_like(small[..., :3]), where=visible > 0
        )
        small = np.concatenate([colour, visible], axis=2)
    # the filter's negative lobes overshoot at sharp edges
    clipped: Pixels = np.clip(small, 0, 1)
    return clipped
