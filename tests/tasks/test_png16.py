"""16-bit PNG files, written here filter by filter from the specification."""

import io
import struct

import numpy as np
import pytest
from encbench_tasks._pixels import read_pixels
from PIL import Image

from encbench import DataError


@pytest.fixture
def decoded(tmp_path):
    """Samples (H, W, C) uint16 of a file's bytes, as the task takes them."""

    def decode(data):
        path = tmp_path / "image.png"
        path.write_bytes(data)
        pixels = read_pixels(path).astype(np.float64) * 65535
        np.testing.assert_allclose(pixels, pixels.round(), atol=0.01)
        return pixels.round().astype(np.uint16)

    return decode


def smooth(height, width, channels, seed=0):
    """A ramp with noise, for which filters differ and some predictions are useful."""
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(height) * 997, np.arange(width) * 613)[..., None]
    return ((ramp + rng.integers(0, 9000, (height, width, channels))) % 65536).astype(np.uint16)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (13, 11), (16, 8)])
def test_every_bit_of_a_16_bit_png_is_kept(decoded, png16, channels, interlaced, size):
    samples = smooth(*size, channels)
    data = png16(samples, interlaced=interlaced)
    np.testing.assert_array_equal(decoded(data), samples)


@pytest.mark.parametrize("kind", range(5))
def test_each_filter_is_undone(decoded, png16, kind):
    samples = smooth(12, 10, 3)
    np.testing.assert_array_equal(decoded(png16(samples, (kind,))), samples)


@pytest.mark.parametrize("interlaced", [False, True])
def test_pillow_sees_the_high_bytes_of_the_same_image(decoded, png16, interlaced):
    samples = smooth(19, 23, 3)
    data = png16(samples, interlaced=interlaced)
    with Image.open(io.BytesIO(data)) as image:
        eight_bits = np.asarray(image)
    np.testing.assert_array_equal(decoded(data) >> 8, eight_bits)


def test_a_file_that_pillow_wrote_gives_what_pillow_reads(decoded):
    samples = smooth(40, 31, 1)[..., 0]
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "PNG")
    np.testing.assert_array_equal(decoded(file.getvalue())[..., 0], samples)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_becomes_alpha(decoded, png16, chunk, channels):
    samples = smooth(6, 5, channels)
    key = samples[2, 3]
    extra = chunk(b"tRNS", key.astype(">u2").tobytes())
    pixels = decoded(png16(samples, extra=extra))
    np.testing.assert_array_equal(pixels[..., :-1], samples)
    clear = (samples == key).all(axis=2)
    np.testing.assert_array_equal(pixels[..., -1], np.where(clear, 0, 65535))
    assert clear[2, 3]


def test_a_damaged_chunk_is_noticed(decoded, png16):
    data = bytearray(png16(smooth(8, 8, 3)))
    data[60] ^= 1
    with pytest.raises(DataError, match=r"image\.png.*check"):
        decoded(bytes(data))


def test_missing_rows_are_noticed(decoded, png16, chunk):
    samples = smooth(8, 8, 3)
    short = png16(samples[:5]).replace(struct.pack(">II", 8, 5), struct.pack(">II", 8, 8), 1)
    header = chunk(b"IHDR", short[16:29])
    with pytest.raises(DataError, match=r"image\.png.*[Nn]ot enough image data"):
        decoded(short[:8] + header + short[33:])
