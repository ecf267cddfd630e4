"""Masks of missing pixels: built in, or from a file."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from encbench import DataError
from encbench.errors import did_you_mean
from encbench_tasks._channels import with_channels
from encbench_tasks._image_files import file_hash, locate_image
from encbench_tasks._pixels import read_pixels
from encbench_tasks._split import Mask

BuiltIn = Literal["scratches", "block"]
SCRATCHES = 12
SCRATCH_WIDTH = 0.02
"""Of the longer side; at least a pixel."""


def mask_hash(mask: str) -> str:
    """The mask's name where it is built in, else the SHA-256 of its file.

    Raises:
        DataError: there is no such mask, or it cannot be read.
    """
    if mask in get_args(BuiltIn):
        return mask
    try:
        return file_hash(locate_image(mask))
    except DataError as error:
        names = get_args(BuiltIn)
        raise DataError(
            f"no mask {mask!r}"
            + did_you_mean(
                mask,
                names,
                f"expected {', '.join(names)}, or the path of an image, white where pixels are "
                f"missing ({error})",
            )
        ) from None


def missing_pixels(mask: str, shape: tuple[int, int], seed: int) -> Mask:
    """(H, W): whether a pixel is missing.

    "scratches": straight lines from border to border, at random angles and places. "block": the
    middle half of each side. Of a file the pixels that are half white or more.

    Raises:
        DataError: the file cannot be read, is of another size, or leaves no pixel or all.
    """
    height, width = shape
    place = np.indices(shape)
    if mask == "block":
        inside = [(i >= n // 4) & (i < n // 4 + n // 2) for i, n in zip(place, shape, strict=True)]
        return np.asarray(inside[0] & inside[1])
    source = f"mask {mask!r}"
    if mask == "scratches":
        rng, wide = np.random.default_rng(seed), max(SCRATCH_WIDTH * max(shape), 1.0)
        angle = rng.uniform(0, np.pi, SCRATCHES)
        down, across = (
            indices[..., None] - rng.uniform(0.1, 0.9, SCRATCHES) * (n - 1)
            for indices, n in zip(place, shape, strict=True)
        )
        missing = (abs(across * np.cos(angle) + down * np.sin(angle)) < wide / 2).any(axis=-1)
    else:
        path = locate_image(mask)
        source = str(path)
        missing = np.asarray(with_channels(read_pixels(path), "grey")[..., 0] >= 0.5)
    if missing.shape != shape:
        raise DataError(
            f"{source}: a mask of {missing.shape[1]} × {missing.shape[0]} pixels, the image has "
            f"{width} × {height}; give one of the image's size (with side, the smaller one's)"
        )
    if missing.all() or not missing.any():
        raise DataError(
            f"{source}: of {width} × {height} pixels {'all are' if missing.all() else 'none is'} "
            "missing; give a mask that is white where pixels are missing, or a larger image"
        )
    return missing
