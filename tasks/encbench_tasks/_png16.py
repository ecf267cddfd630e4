"""PNG images of 16 bits a sample, which Pillow reads with 8 (all but plain grey ones).

Follows the PNG specification, third edition (W3C 2025): chunks (section 5), filters (9.2),
Adam7 interlacing (8.1) and transparent colours (11.3.1.1).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Colour type (grey, RGB, grey and alpha, RGBA) to samples a pixel."""
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2))  # fmt: skip
"""First column, first row, column step, row step of each pass."""


def is_png16(head: bytes) -> bool:
    """Whether a file that begins with ``head`` (26 bytes or more) is a PNG of 16 bits."""
    return head[:8] == SIGNATURE and head[12:16] == b"IHDR" and head[24:25] == b"\x10"


def decode_png16(data: bytes) -> NDArray[np.uint16]:
    """Samples (H, W, C), C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA, of a whole file.

    A transparent colour (tRNS) becomes an alpha channel. Animations give their default image.

    Raises:
        ValueError: the file is damaged, or its header contradicts the specification.
    """
    chunks = _chunks(data)
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    if depth != 16 or colour not in CHANNELS or interlace > 1:
        raise ValueError(f"bit depth {depth}, colour type {colour}, interlace {interlace}")
    channels = CHANNELS[colour]
    image = np.zeros((height, width, channels), np.uint16)
    parts = [
        image[first_row::row_step, first_column::column_step]
        for first_column, first_row, column_step, row_step in (
            ADAM7 if interlace else ((0, 0, 1, 1),)
        )
    ]
    parts = [part for part in parts if part.size]
    sizes = [part.shape[0] * (1 + part.shape[1] * 2 * channels) for part in parts]
    raw = zlib.decompressobj().decompress(chunks.get(b"IDAT", b""), sum(sizes) + 1)
    if len(raw) < sum(sizes):
        raise ValueError(f"pixel data ends after {len(raw)} of {sum(sizes)} bytes")
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        rows = np.frombuffer(raw, np.uint8, size, start).reshape(part.shape[0], -1)
        part[...] = _unfilter(rows[:, 0], rows[:, 1:].reshape(*part.shape[:2], -1))
        start += size
    if b"tRNS" in chunks and colour in (0, 2):
        clear = np.frombuffer(chunks[b"tRNS"], ">u2", channels)
        alpha = np.where((image == clear).all(axis=2, keepdims=True), 0, 65535)
        image = np.concatenate([image, alpha.astype(np.uint16)], axis=2)
    return image


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Contents by type; those of IDAT joined."""
    chunks: dict[bytes, list[bytes]] = {}
    position = len(SIGNATURE)
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        if zlib.crc32(kind + body) != checksum:
            raise ValueError(f"chunk {kind.decode('latin-1')} is damaged (checksum)")
        chunks.setdefault(kind, []).append(body)
        if kind == b"IEND":
            break
        position += 12 + length
    return {kind: b"".join(bodies) for kind, bodies in chunks.items()}


def _unfilter(
    filters: NDArray[np.uint8], pixels: NDArray[np.uint8]
) -> NDArray[np.uint16]:  # (H,), (H, W, 2C) -> (H, W, C)
    if filters.max() > 4:
        raise ValueError(f"filter type {filters.max()} does not exist")
    height, width, size = pixels.shape
    # a row and a column of zeros in front stand for the neighbours outside the image
    done = np.zeros((height + 1, width + 1, size), np.int16)
    # a pixel needs those to its left, above, and above left: all of one diagonal are free at once
    for diagonal in range(height + width - 1):
        row = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        column = diagonal - row
        left, up, corner = done[row + 1, column], done[row, column + 1], done[row, column]
        to_left, to_up = np.abs(up - corner), np.abs(left - corner)
        to_corner = np.abs(left + up - 2 * corner)
        paeth = np.where(
            (to_left <= to_up) & (to_left <= to_corner),
            left,
            np.where(to_up <= to_corner, up, corner),
        )
        guess = np.choose(
            filters[row][:, None], [np.zeros_like(left), left, up, (left + up) // 2, paeth]
        )
        done[row + 1, column + 1] = (pixels[row, column] + guess) & 255
    samples: NDArray[np.uint16] = done[1:, 1:].astype(np.uint8).view(">u2").astype(np.uint16)
    return samples
