"""A writer of 16-bit PNG files: no installed library keeps 16 bits of colour."""

import struct
import zlib

import pytest

PASSES = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]
COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def filtered(samples, filters):
    """Filter the rows of one pass byte by byte, as section 9.2 of the specification says."""
    height, _, channels = samples.shape
    size = 2 * channels
    rows = [samples[r].astype(">u2").tobytes() for r in range(height)]
    out, above = b"", bytes(len(rows[0]))
    for index, row in enumerate(rows):
        kind = filters[index % len(filters)]
        line = []
        for i, value in enumerate(row):
            a = row[i - size] if i >= size else 0
            b = above[i]
            c = above[i - size] if i >= size else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line.append((value - [0, a, b, (a + b) // 2, paeth][kind]) % 256)
        out += bytes([kind, *line])
        above = row
    return out


def png16(samples, filters=(0, 1, 2, 3, 4), interlaced=False, extra=b"", idat=1000):
    height, width, channels = samples.shape
    parts = [samples]
    if interlaced:
        parts = [samples[y::dy, x::dx] for x, y, dx, dy in PASSES]
    packed = zlib.compress(b"".join(filtered(part, filters) for part in parts if part.size))
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR[channels], 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + b"".join(chunk(b"IDAT", packed[i : i + idat]) for i in range(0, len(packed), idat))
        + chunk(b"IEND", b"")
    )


@pytest.fixture(name="png16")
def png16_writer():
    """The bytes of a PNG of (H, W, C) uint16 samples; see ``png16``."""
    return png16


@pytest.fixture(name="chunk")
def chunk_writer():
    """The bytes of one PNG chunk of a kind and a body."""
    return chunk
