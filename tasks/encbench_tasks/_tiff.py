"""TIFF images deeper than 8 bits, which Pillow reads with 8 or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is a TIFF, classic or big."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def decode_tiff(path: Path) -> NDArray[np.float32]:
    """The first page as (H, W, C) float32 in [0, 1], C = 1 to 4, upright, alpha straight.

    Raises:
        ValueError: the page is no grey or RGB image, or its values have no known range; says
            how to mend it.
    """
    with TiffFile(path) as file:
        page = file.pages.first
        colours = PHOTOMETRIC(page.photometric).name
        if colours not in ("MINISBLACK", "MINISWHITE", "RGB"):
            raise ValueError(f"deep TIFF of colour space {colours}; save it as RGB")
        try:
            samples = page.asarray()
        except ValueError as error:
            # tifffile leaves most compressions to imagecodecs
            if "imagecodecs" not in str(error):
                raise
            raise ValueError(
                f"compressed by {COMPRESSION(page.compression).name}; pip install imagecodecs, "
                "or save it uncompressed"
            ) from error
        axes, bits = page.axes, page.bitspersample
        extra = [int(kind) for kind in page.extrasamples]
        orientation = page.tags.valueof("Orientation", 1)
    if axes == "SYX":
        samples, axes = np.moveaxis(samples, 0, -1), "YXS"
    if axes not in ("YX", "YXS"):
        raise ValueError(f"the first page has axes {axes}, no single image")
    pixels = _unit(samples.reshape(*samples.shape[:2], -1), bits)
    if colours == "MINISWHITE":
        pixels = 1 - pixels
    return upright(_with_alpha(pixels, extra), orientation)


def _unit(samples: NDArray[np.generic], bits: int) -> NDArray[np.float32]:
    if samples.dtype.kind == "u":
        # in float64, where 32-bit samples are exact
        scaled: NDArray[np.float64] = samples.astype(np.float64) / (2**bits - 1)
        return scaled.astype(np.float32)
    if samples.dtype.kind != "f":
        raise ValueError(f"samples of type {samples.dtype} have no known range; save 16-bit ones")
    values = samples.astype(np.float64)
    low, high = values.min(initial=1), values.max(initial=0)
    if not (low >= 0 and high <= 1):
        raise ValueError(f"values from {low:g} to {high:g} where [0, 1] is needed; rescale them")
    return values.astype(np.float32)


def _with_alpha(pixels: NDArray[np.float32], extra: list[int]) -> NDArray[np.float32]:
    """Colours and, of the extra samples (0 unspecified, 1 premultiplied, 2 straight), alpha."""
    count = pixels.shape[2] - len(extra)
    if count not in (1, 3):
        raise ValueError(f"{count} colour samples a pixel where 1 or 3 are needed")
    colour = pixels[..., :count]
    for index, kind in enumerate(extra):
        if kind not in (1, 2):
            continue
        alpha = pixels[..., count + index, None]
        if kind == 1:
            colour = np.divide(colour, alpha, out=np.zeros_like(colour), where=alpha > 0)
        return np.concatenate([np.minimum(colour, 1), alpha], axis=2)
    return colour


def upright(pixels: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """The image turned as TIFF's and EXIF's orientation 1..8 says; others mean nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
