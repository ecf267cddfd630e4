"""Read the pixels of an image file as float32 in [0, 1], with the requested channels and size."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from tifffile import PHOTOMETRIC, TiffFile, TiffPage

from encbench import DataError

Pixels = NDArray[np.float32]
BITS_PER_SAMPLE, COMPRESSION, PLANES, SAMPLE_FORMAT = 258, 259, 284, 339
"""Numbers of TIFF's tags."""
WEBP_IN_TIFF = 50001
"""TIFF's number of a compression that Pillow's wheels do not decode."""
JPEG_LS = 0xF7
JPEG_FRAMES = frozenset({*range(0xC0, 0xD0), JPEG_LS} - {0xC4, 0xC8, 0xCC})
"""Markers that begin a JPEG's frame header; the others in that range define tables."""
MOST_SAMPLES = 8
"""Maximum number of samples per pixel of a TIFF: four colours, alpha, and some that are ignored."""
Channels = Literal["auto", "grey", "rgb", "rgba"]
LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of RGB in grey, ITU-R BT.601, for values as stored."""


class _Unfit(Exception):
    """An undamaged image of a kind that is not supported; the message says what to do."""


def read_pixels(path: Path) -> Pixels:
    """(H, W, C) float32 in [0, 1], upright; C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.

    Alpha is straight, not multiplied into the colours. PNG, JPEG 2000 and TIFF keep up to 16 bits
    per sample (TIFF also 32 and floats), read by imagecodecs and tifffile; Pillow decodes other
    formats, colour with 8 bits. Only the first frame or page of an animation or document is read.
    EXIF orientation is applied; colour profiles and gamma are not. CMYK becomes RGB by Pillow's
    plain formula.

    Raises:
        DataError: the file cannot be read as a whole image; names the path.
    """
    return read_frames(path, 1)[0]


def read_frames(path: Path, most: int) -> list[Pixels]:
    """Read, like ``read_pixels``, the first ``most`` frames of an animation (GIF, PNG, WebP) or
    pages of a TIFF; of a 16-bit PNG only the first.

    Raises:
        DataError: the file cannot be read as whole images; names the path.
    """
    try:
        head = _head(path)
        with _strict_decoders():
            frames = _decode(path, head, most)
            if not frames:
                raise _Unfit("the file holds no image; replace it by a whole one")
    except (DataError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(
            f"{path}: more than {(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels; "
            "scale the image down first"
        ) from None
    except UnidentifiedImageError:
        if head.startswith(b"\xff\xd8\xff"):
            if _is_unread_jpeg(path.read_bytes()):
                raise DataError(
                    f"{path}: a JPEG of a kind that is not read, such as lossless or with 12 "
                    "bits; save it as PNG"
                ) from None
            raise DataError(
                f"{path}: a JPEG that is damaged or cut short; replace the file by a whole one"
            ) from None
        raise DataError(
            f"{path}: not an image, or of a format that cannot be read (begins with "
            f"{head[:12]!r}); give a PNG, TIFF, JPEG or WebP file"
        ) from None
    except _Unfit as error:
        raise DataError(f"{path}: {error}") from None
    # for damaged files, decoders raise anything from OSError to IndexError
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"{path}: the image cannot be read: {reason}; replace the file by a whole one"
        ) from error
    for pixels in frames:
        if 0 in pixels.shape:
            raise DataError(
                f"{path}: the image has no pixels ({pixels.shape[1]} × {pixels.shape[0]})"
            )
    return frames


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
def _strict_decoders() -> Iterator[None]:
    """Make huge and truncated images errors; ignore other warnings, about metadata, and tifffile's
    log, which repeats what is raised."""
    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    log = logging.getLogger("tifffile")
    quiet, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES, log.disabled = lenient, quiet


def _decode(path: Path, head: bytes, most: int) -> list[Pixels]:
    is_tiff = head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    bits = head[24] if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) > 24 else None
    # not by its path: Pillow would map uncompressed TIFF into memory and orient it wrongly
    with path.open("rb") as file:
        try:
            image = Image.open(file)
        except UnidentifiedImageError:
            if is_tiff:
                return _decode_tiff(path, most)
            raise
        if is_tiff and not _known_to_pillow(getattr(image, "tag_v2", {})):
            return _decode_tiff(path, most)
        data = path.read_bytes() if image.format in ("PNG", "JPEG2000", "PPM") else b""
        if bits is not None:
            # libpng refuses a file with fewer rows than its header says, Pillow adds black ones
            samples = np.asarray(imagecodecs.png_decode(data))
            if bits == 16:
                pixels = samples.reshape(*samples.shape[:2], -1).astype(np.float32)
                return [_upright(pixels / np.float32(65535), _orientation(image))]
        if image.format == "JPEG2000" and (depth := _bits_of_jpeg2000(data)) != 8:
            # Pillow makes the brightest of deeper colours black, and shifts others to 8 bits
            samples = np.asarray(imagecodecs.jpeg2k_decode(data))
            pixels = _in_unit_range(samples.reshape(*samples.shape[:2], -1), depth)
            extra = [2] if pixels.shape[2] in (2, 4) else []
            return [_with_alpha(pixels, extra)]
        clear = image.info.get("transparency")
        if bits in (2, 4) and image.mode == "L" and isinstance(clear, int):
            # the transparent grey, which Pillow takes for a value of 8 bits
            image.info["transparency"] = clear * 255 // (2**bits - 1)
        _check_maxval(image, data)
        frames = []
        # to count the frames of some formats, all of them are read
        count = 1 if most == 1 else getattr(image, "n_frames", 1)
        # skip an animated PNG's picture for programs that show no animation
        first = int(count > 1 and getattr(image, "default_image", False))
        for index in range(first, min(count, first + most)):
            if index:
                image.seek(index)
                if is_tiff and not _known_to_pillow(getattr(image, "tag_v2", {})):
                    return _decode_tiff(path, most)
            image.load()
            # Pillow applies the orientation of TIFF itself, and then drops the tag
            frames.append(_upright(_from_pillow(image), _orientation(image)))
        return frames


def _is_unread_jpeg(data: bytes) -> bool:
    """Whether the frame header (ITU-T T.81, B.2.2) says that it is JPEG-LS or has not 8 bits."""
    at = 2
    while data[at : at + 1] == b"\xff" and len(data) >= at + 5:
        marker, length, bits = struct.unpack_from(">BHB", data, at + 1)
        if marker in JPEG_FRAMES:
            return bool(marker == JPEG_LS or bits != 8)
        at += 2 + length
    return False


def _bits_of_jpeg2000(data: bytes) -> int:
    """Bits of the deepest sample, by the marker segment SIZ (ISO/IEC 15444-1, A.5.1).

    Raises:
        _Unfit: samples are signed.
    """
    start = data.index(b"\xff\x4f\xff\x51") + 40
    (count,) = struct.unpack_from(">H", data, start)
    sizes = data[start + 2 : start + 2 + 3 * count : 3]
    if max(sizes) > 0x7F:  # the highest bit
        raise _Unfit("signed samples have no known range; save unsigned ones")
    return max(sizes) + 1


def _check_maxval(image: ImageFile.ImageFile, data: bytes) -> None:
    """Refuse binary PGM and PPM with samples above their largest value, which Pillow clips."""
    for codec, _, offset, arguments in image.tile:
        if codec == "ppm" and isinstance(arguments, tuple):
            largest, count = int(arguments[1]), image.width * image.height * len(image.getbands())
            kind = np.dtype(np.uint8 if largest < 256 else ">u2")
            samples = np.frombuffer(data[offset:][: count * kind.itemsize], kind)
            if samples.max(initial=0) > largest:
                raise _Unfit(f"samples above the largest value of its header, {largest}; mend it")


def _known_to_pillow(tags: Mapping[int, Any]) -> bool:
    """Whether a TIFF's samples are unsigned, of at most 8 bits, and stored pixel by pixel."""
    deep = max(tags.get(BITS_PER_SAMPLE, (1,))) > 8 or tags.get(COMPRESSION) == WEBP_IN_TIFF
    return not deep and tags.get(PLANES, 1) == 1 and {*tags.get(SAMPLE_FORMAT, (1,))} == {1}


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _from_pillow(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return np.asarray(image, np.float32)[..., None] / np.float32(65535)
    if image.mode in ("I", "F"):
        raise _Unfit(f"32-bit {image.format} has no known range; save it as 16-bit PNG or TIFF")
    if image.mode == "P" and image.palette:
        largest, count = (
            int(np.asarray(image).max(initial=0)),
            len(image.palette.palette) // len(image.palette.mode),
        )
        if largest >= count:  # which Pillow makes black
            raise _Unfit(f"pixels of colour {largest} of a palette of {count}; save it as RGB")
    if image.has_transparency_data:
        mode = "LA" if image.mode in ("1", "L", "LA", "La") else "RGBA"
    else:
        mode = "L" if image.mode in ("1", "L") else "RGB"
    samples = np.asarray(image if image.mode == mode else image.convert(mode), np.float32)
    return samples.reshape(image.height, image.width, -1) / np.float32(255)


def _decode_tiff(path: Path, most: int) -> list[Pixels]:
    """Read the first pages of a TIFF that Pillow cannot read, or not without losing bits.

    Raises:
        _Unfit: the page is not a grey or RGB image, or its values have no known range.
        ValueError: the file was cut short.
    """
    with TiffFile(path) as file:
        return [_decode_page(page.aspage(), file.filehandle.size) for page in file.pages[:most]]


def _decode_page(page: TiffPage, size: int) -> Pixels:
    colours = PHOTOMETRIC(page.photometric).name
    if colours not in ("MINISBLACK", "MINISWHITE", "RGB"):
        raise _Unfit(f"TIFF of colour space {colours}, deep or in planes; save it as RGB")
    # checked before anything is decoded: a few bytes can ask for any amount of memory
    largest = max(page.imagewidth * page.imagelength, page.tilewidth * page.tilelength)
    if largest > (Image.MAX_IMAGE_PIXELS or largest):
        raise Image.DecompressionBombError
    if page.samplesperpixel > MOST_SAMPLES or page.imagedepth > 1 or page.tiledepth > 1:
        raise _Unfit(
            f"page {page.index + 1} has shape {page.shape}, not that of one image; save one image"
        )
    ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
    if (end := max(ends, default=0)) > size:
        raise ValueError(f"cut short: ends at byte {size} of {end}")
    axes, bits = page.axes, page.bitspersample
    if not isinstance(bits, int):
        raise _Unfit(f"samples of {bits} bits; save it with the same number of bits for each")
    samples = page.asarray()
    extra = [int(kind) for kind in page.extrasamples]
    orientation = page.tags.valueof("Orientation", 1)
    if axes == "SYX":
        samples, axes = np.moveaxis(samples, 0, -1), "YXS"
    if axes not in ("YX", "YXS"):
        raise _Unfit(
            f"page {page.index + 1} has axes {axes}, not those of one image; save one page"
        )
    pixels = _in_unit_range(samples.reshape(*samples.shape[:2], -1), bits)
    if colours == "MINISWHITE":
        pixels = 1 - pixels
    return _upright(_with_alpha(pixels, extra), orientation)


def _in_unit_range(samples: NDArray[np.generic], bits: int) -> Pixels:
    if samples.dtype.kind == "u":
        if bits == 24:  # libtiff has the bytes in the order of the file, tifffile has not
            raise _Unfit("samples of 24 bits cannot be unpacked; save it with 16 or 32")
        # in float64, where 32-bit samples are exact
        scaled: NDArray[np.float64] = samples.astype(np.float64) / (2**bits - 1)
        return scaled.astype(np.float32)
    if samples.dtype.kind != "f":
        raise _Unfit(f"samples of type {samples.dtype} have no known range; save unsigned ones")
    values = samples.astype(np.float64)
    if not np.isfinite(values).all():
        raise _Unfit("some values are not finite (NaN or infinite); replace them")
    low, high = values.min(initial=1), values.max(initial=0)
    if not (low >= 0 and high <= 1):
        raise _Unfit(f"values from {low:.9g} to {high:.9g} where [0, 1] is needed; rescale them")
    return values.astype(np.float32)


def _with_alpha(pixels: Pixels, extra: list[int]) -> Pixels:
    """Colours and straight alpha; extra samples are 0 unspecified, 1 premultiplied, 2 straight."""
    count = pixels.shape[2] - len(extra)
    if count not in (1, 3):
        raise _Unfit(f"{count} colour samples per pixel where 1 or 3 are needed; save it as RGB")
    colour = pixels[..., :count]
    for index, kind in enumerate(extra):
        if kind not in (1, 2):
            continue
        alpha = pixels[..., count + index, None]
        if kind == 1:
            colour = np.divide(colour, alpha, out=np.zeros_like(colour), where=alpha > 0)
        return np.concatenate([np.minimum(colour, 1), alpha], axis=2)
    return colour


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply TIFF's and EXIF's orientation 1 to 8; other values are ignored."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def with_channels(pixels: Pixels, channels: Channels) -> Pixels:
    """Convert pixels (H, W, C) of ``read_pixels`` to the requested channels: see ``ImageTask``."""
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


def resampled(pixels: Pixels, width: int, height: int) -> Pixels:
    """Resample pixels (H, W, C) by a Lanczos filter, which can overshoot [0, 1]."""
    bands = [
        np.asarray(Image.fromarray(band).resize((width, height), Image.Resampling.LANCZOS))
        for band in np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
    ]
    return np.stack(bands, axis=2)


def shrunk(pixels: Pixels, side: int, path: Path) -> Pixels:
    """Shrink pixels (H, W, C) to ``side`` along the longer side, by a Lanczos filter.

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
    small = resampled(weighted, *size)
    if alpha.size:
        visible = np.clip(small[..., 3:], 0, 1)
        colour = np.divide(
            small[..., :3], visible, out=np.zeros_like(small[..., :3]), where=visible > 0
        )
        small = np.concatenate([colour, visible], axis=2)
    # the filter's negative lobes overshoot at sharp edges
    clipped: Pixels = np.clip(small, 0, 1)
    return clipped
