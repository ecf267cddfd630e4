"""Pixels of an image file in [0, 1], at the depth that the file has where that can be had."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from encbench import DataError
from encbench_tasks._png16 import decode_png16, is_png16
from encbench_tasks._tiff import decode_tiff, is_tiff, upright

Pixels = NDArray[np.float32]
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262
"""Numbers of TIFF's tags."""


def read_pixels(path: Path) -> Pixels:
    """(H, W, C) float32 in [0, 1], upright; C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.

    Alpha is straight, not multiplied into the colours. PNG and TIFF keep 16 bits (TIFF also 32
    and floats); other formats are as Pillow decodes them, 8 bits for colour. The first frame of
    an animation, the first page of a document. EXIF orientation is applied; colour profiles
    and gamma are not. CMYK becomes RGB by Pillow's plain formula.

    Raises:
        DataError: the file cannot be read as a whole image; names the path.
    """
    try:
        head = _head(path)
        with _strict_pillow():
            pixels = _decode(path, head)
    except (DataError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(
            f"{path}: more than {(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels; "
            "scale the image down first"
        ) from None
    except UnidentifiedImageError:
        raise DataError(
            f"{path}: not an image, or of a format that cannot be read (begins with "
            f"{head[:12]!r}); give a PNG, TIFF, JPEG or WebP file"
        ) from None
    # decoders answer damaged files with anything from OSError to IndexError
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: the image cannot be read: {reason}; replace the file by a whole one"
        ) from error
    if 0 in pixels.shape:
        raise DataError(f"{path}: the image has no pixels ({pixels.shape[1]} × {pixels.shape[0]})")
    return pixels


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be opened: {error.strerror}; give the path of an image file"
        ) from None
    if not head:
        raise DataError(f"{path}: the file is empty (0 bytes); replace it by an image")
    return head


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Huge and truncated images are errors; Pillow's other warnings are about metadata."""
    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _decode(path: Path, head: bytes) -> Pixels:
    try:
        image = Image.open(path)
    except UnidentifiedImageError:
        if is_tiff(head):
            return decode_tiff(path)
        raise
    with image:
        if is_png16(head):
            pixels = decode_png16(path.read_bytes()).astype(np.float32) / np.float32(65535)
        elif is_tiff(head) and _is_cut_by_pillow(image):
            return decode_tiff(path)
        else:
            image.load()
            pixels = _from_pillow(image)
        # Pillow turns TIFF itself, and then drops the tag
        return upright(pixels, image.getexif().get(ExifTags.Base.Orientation, 1))


def _is_cut_by_pillow(image: Image.Image) -> bool:
    """Whether Pillow would lose bits of this TIFF: all deep ones but plain 16-bit grey."""
    tags = getattr(image, "tag_v2", {})
    grey = image.mode.startswith("I;16") and tags.get(PHOTOMETRIC, 1) == 1
    return max(tags.get(BITS_PER_SAMPLE, (1,))) > 8 and not grey


def _from_pillow(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return np.asarray(image, np.float32)[..., None] / np.float32(65535)
    if image.mode in ("I", "F"):
        raise ValueError(f"32-bit {image.format} has no known range; save it as 16-bit PNG or TIFF")
    if image.has_transparency_data:
        mode = "LA" if image.mode in ("1", "L", "LA", "La") else "RGBA"
    else:
        mode = "L" if image.mode in ("1", "L") else "RGB"
    samples = np.asarray(image if image.mode == mode else image.convert(mode), np.float32)
    return samples.reshape(image.height, image.width, -1) / np.float32(255)
