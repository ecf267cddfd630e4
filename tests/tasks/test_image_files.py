"""Images of every kind, as real files: the pixels that the task reads from them."""

import io
import struct
import warnings
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from encbench_tasks._pixels import read_pixels
from encbench_tasks.image import ImageTask
from PIL import Image, ImageFile, ImageOps

from encbench import DataError

RNG = np.random.default_rng(7)
RGB8 = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
ALPHA8 = np.array([0, 51, 255, 255, 128, 254, 255], np.uint8)[None].repeat(5, 0)[..., None]


def unit(values):
    """8- or 16-bit samples as the float32 closest to value / maximum."""
    return (values.astype(np.float64) / np.iinfo(values.dtype).max).astype(np.float32)


def saved(path, image, **options):
    image.save(path, **options)
    return path


@pytest.fixture
def truth(tmp_path):
    """Write a file with ``write(path)``, and return the task's pixels."""

    def pixels(name, write, **parameters):
        path = tmp_path / name
        write(path)
        return ImageTask(image=str(path), **parameters).truth

    return pixels


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.tga", "A.PNG"])
def test_rgb_values_are_the_files_over_255(truth, name):
    got = truth(name, lambda path: saved(path, Image.fromarray(RGB8)))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, unit(RGB8))


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_jpeg_and_webp_are_what_pillow_decodes(truth, tmp_path, name):
    got = truth(name, lambda path: saved(path, Image.fromarray(RGB8)))
    with Image.open(tmp_path / name) as image:
        np.testing.assert_array_equal(got, unit(np.asarray(image)))


def test_grey_is_one_output(truth):
    got = truth("g.png", lambda path: saved(path, Image.fromarray(RGB8[..., 0])))
    np.testing.assert_array_equal(got, unit(RGB8[..., :1]))


def test_one_bit_is_black_and_white(truth):
    bits = RGB8[..., 0] > 127
    got = truth("b.png", lambda path: saved(path, Image.fromarray(bits)))
    np.testing.assert_array_equal(got[..., 0], bits.astype(np.float32))


def test_16_bit_grey_keeps_its_depth(truth):
    for name in ("g.png", "g.tif"):
        got = truth(name, lambda path: saved(path, Image.fromarray(RGB16[..., 0])))
        np.testing.assert_array_equal(got, unit(RGB16[..., :1]))


def test_16_bit_pgm_keeps_its_depth(truth):
    data = b"P5 7 5 65535\n" + RGB16[..., 0].astype(">u2").tobytes()
    got = truth("g.pgm", lambda path: path.write_bytes(data))
    np.testing.assert_array_equal(got, unit(RGB16[..., :1]))


@pytest.mark.parametrize("interlaced", [False, True])
def test_16_bit_rgb_png_keeps_its_depth(truth, interlaced, png16):
    got = truth("d.png", lambda path: path.write_bytes(png16(RGB16, interlaced=interlaced)))
    np.testing.assert_array_equal(got, unit(RGB16))
    assert len(np.unique(got)) > 90, "8 bits could not tell these values apart"


def test_16_bit_rgba_png_keeps_its_depth(truth, png16):
    samples = np.concatenate([RGB16, RGB16[..., :1]], axis=2)
    got = truth("d.png", lambda path: path.write_bytes(png16(samples)))
    np.testing.assert_array_equal(got, unit(samples))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"planarconfig": "separate"}])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_16_bit_rgb_tiff_keeps_its_depth(truth, options, byteorder):
    planes = np.moveaxis(RGB16, 2, 0) if "planarconfig" in options else RGB16
    write = {"photometric": "rgb", "byteorder": byteorder, **options}
    got = truth("d.tif", lambda path: tifffile.imwrite(path, planes, **write))
    np.testing.assert_array_equal(got, unit(RGB16))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_tiff_is_taken_as_it_is(truth, dtype):
    values = unit(RGB16).astype(dtype)
    got = truth("f.tif", lambda path: tifffile.imwrite(path, values, photometric="rgb"))
    np.testing.assert_array_equal(got, unit(RGB16))


def test_float_tiff_beyond_one_is_refused(truth):
    with pytest.raises(
        DataError, match=r"tif: values from .* to .* where \[0, 1\] is needed; rescale them$"
    ):
        truth("f.tif", lambda p: tifffile.imwrite(p, RGB16.astype(np.float32), photometric="rgb"))


def test_float_tiff_with_nan_is_refused_as_that(truth):
    values = unit(RGB16).astype(np.float32)
    values[0, 0] = np.nan
    with pytest.raises(DataError, match=r"tif: some values are not finite"):
        truth("n.tif", lambda path: tifffile.imwrite(path, values, photometric="rgb"))


def test_white_is_zero_tiff_is_turned_over(truth):
    def write(path):
        tifffile.imwrite(path, RGB16[..., 0], photometric="miniswhite")

    got = truth("w.tif", write)
    np.testing.assert_allclose(got, 1 - unit(RGB16[..., :1]), atol=1e-7)


def test_straight_alpha_of_a_16_bit_tiff_is_kept(truth):
    samples = np.concatenate([RGB16, RGB16[..., :1]], axis=2)

    def write(path):
        tifffile.imwrite(path, samples, photometric="rgb", extrasamples=["unassalpha"])

    np.testing.assert_array_equal(truth("a.tif", write), unit(samples))


def test_premultiplied_alpha_of_a_16_bit_tiff_is_divided_out(truth):
    alpha = np.full((5, 7, 1), 32768, np.uint16)
    samples = np.concatenate([RGB16 // 2, alpha], axis=2)

    def write(path):
        tifffile.imwrite(path, samples, photometric="rgb", extrasamples=["assocalpha"])

    np.testing.assert_allclose(truth("a.tif", write)[..., :3], unit(RGB16), atol=1 / 32000)


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "lzma", "packbits"])
@pytest.mark.parametrize("samples", [RGB16, RGB16[..., 0]], ids=["rgb", "grey"])
def test_a_compressed_16_bit_tiff_keeps_its_depth(truth, compression, samples):
    kind = "rgb" if samples.ndim == 3 else "minisblack"

    def write(path):
        tifffile.imwrite(path, samples, photometric=kind, compression=compression)

    np.testing.assert_array_equal(truth("c.tif", write), unit(samples).reshape(5, 7, -1))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("kind", ["jp2", "j2k"])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_jpeg_2000_of_any_depth_fills_the_range(tmp_path, bits, kind, samples):
    shape = (36, 40, samples)[: 3 if samples > 1 else 2]
    dtype = np.uint8 if bits == 8 else np.uint16
    values = np.random.default_rng(0).integers(0, 2**bits, shape, dtype)
    values[0], values[1] = 0, 2**bits - 1
    options = {"codecformat": kind, "reversible": True, "level": 0, "bitspersample": bits}
    path = tmp_path / "a.jp2"
    path.write_bytes(imagecodecs.jpeg2k_encode(values, **options))
    got = read_pixels(path)
    expected = (values / (2**bits - 1)).astype(np.float32).reshape(got.shape)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-7)


def test_tiff_compressed_by_webp_is_read(truth):
    def write(path):
        lossless = {"compression": "webp", "compressionargs": {"lossless": True}}
        tifffile.imwrite(path, RGB8, photometric="rgb", **lossless)

    np.testing.assert_array_equal(truth("w.tif", write), unit(RGB8))


def tiff(width, height, bits, data, *, byteorder="<", orientation=1, photometric=1):
    """A grey TIFF of one uncompressed strip, tag by tag."""
    tags = [
        *((256, width), (257, height), (258, bits), (259, 1), (262, photometric)),
        *((273, 134), (274, orientation), (277, 1), (278, height), (279, len(data))),
    ]
    fields = [struct.pack(f"{byteorder}HHII", tag, 4, 1, value) for tag, value in tags]
    mark = b"II*\0" if byteorder == "<" else b"MM\0*"
    head = mark + struct.pack(f"{byteorder}IH", 8, len(tags)) + b"".join(fields) + bytes(4)
    return head + data


def packed(values, bits):
    """Pack rows of samples of ``bits`` bits, most significant first; a row starts a new byte."""
    digits = (values[..., None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(digits.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("photometric", [0, 1])
def test_grey_tiff_of_any_depth_fills_the_range(truth, bits, photometric):
    values = np.random.default_rng(0).integers(0, 2**bits, (6, 9))
    values[0, :2] = 0, 2**bits - 1
    data = tiff(9, 6, bits, packed(values, bits), byteorder=">", photometric=photometric)
    got = truth("g.tif", lambda path: path.write_bytes(data))
    expected = (values / (2**bits - 1)).astype(np.float32)
    np.testing.assert_array_equal(got[..., 0], expected if photometric else 1 - expected)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_grey_of_24_bits_is_refused(tmp_path, byteorder):
    path = tmp_path / "g.tif"
    values = np.random.default_rng(0).integers(0, 2**24, (6, 9))
    path.write_bytes(tiff(9, 6, 24, packed(values, 24), byteorder=byteorder))
    # tifffile's values are not those of libtiff, which has the bytes in the order of the file
    with pytest.raises(DataError, match="24 bits cannot be unpacked; save it with 16"):
        read_pixels(path)


def test_channels_of_different_depths_are_refused(tmp_path):
    path = tmp_path / "c.tif"
    tifffile.imwrite(path, RGB8, photometric="rgb")
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags["BitsPerSample"].valueoffset
    data = bytearray(path.read_bytes())
    data[place : place + 6] = struct.pack("<3H", 5, 6, 5)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"samples of \(5, 6, 5\) bits; save it with"):
        read_pixels(path)


def test_a_tiff_whose_directory_is_missing_is_one_error(tmp_path, caplog):
    path = tmp_path / "c.tif"
    tifffile.imwrite(path, RGB16)
    data = bytearray(path.read_bytes())
    data[4:8] = struct.pack("<I", len(data) + 100)
    path.write_bytes(data)
    with pytest.raises(DataError, match="no image"):
        read_pixels(path)
    assert not caplog.records


@pytest.mark.parametrize("bits", [2, 4, 5, 7])
def test_jpeg_2000_of_few_bits_is_divided_by_its_largest_value(tmp_path, bits):
    path = tmp_path / "a.jp2"
    values = np.arange(20 * 30).reshape(20, 30).astype(np.uint8) % 2**bits
    options = {"bitspersample": bits, "reversible": True, "level": 0}
    path.write_bytes(imagecodecs.jpeg2k_encode(values, **options))
    expected = (values / (2**bits - 1)).astype(np.float32)
    np.testing.assert_array_equal(read_pixels(path)[..., 0], expected)


def test_a_png_with_fewer_rows_than_its_header_says_is_refused(tmp_path):
    whole = saved(tmp_path / "whole.png", Image.fromarray(RGB8)).read_bytes()
    data = whole.index(b"IDAT")
    (length,) = struct.unpack(">I", whole[data - 4 : data])
    rows = zlib.decompress(whole[data + 4 : data + 4 + length])
    content = b"IDAT" + zlib.compress(rows[: len(rows) // 2])
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    path = tmp_path / "short.png"
    path.write_bytes(whole[: data - 4] + chunk + whole[data + 8 + length :])
    with pytest.raises(
        DataError, match=r"short\.png: the image cannot be read: Not enough image data"
    ):
        read_pixels(path)


def test_a_palette_without_a_pixels_colour_is_refused(tmp_path, chunk):
    pixels = zlib.compress(bytes([0, 0, 1, 5]))  # a row without a filter
    parts = [chunk(b"PLTE", bytes(9)), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 1, 8, 3, 0, 0, 0))
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + b"".join(parts))
    with pytest.raises(DataError, match=r"p\.png: pixels of colour 5 of a palette of 3; save it"):
        read_pixels(tmp_path / "p.png")


def test_signed_jpeg_2000_is_refused(tmp_path):
    for samples in (RGB8[..., 0].astype(np.int8), RGB16[..., 0].astype(np.int16)):
        data = imagecodecs.jpeg2k_encode(samples, level=0, reversible=True)
        (tmp_path / "s.jp2").write_bytes(data)
        with pytest.raises(DataError, match=r"signed samples .* save unsigned ones$"):
            read_pixels(tmp_path / "s.jp2")


def test_a_binary_pgm_with_samples_above_its_largest_value_is_refused(tmp_path):
    path = tmp_path / "g.pgm"
    path.write_bytes(b"P5\n2 1\n100\n" + bytes([100, 50]))
    assert read_pixels(path).max() == 1
    path.write_bytes(b"P5\n2 1\n100\n" + bytes([101, 50]))
    with pytest.raises(DataError, match=r"samples above the largest value of its header, 100"):
        read_pixels(path)


def test_signed_bytes_are_refused_as_longer_ones_are(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, RGB8[..., 0].astype(np.int8))
    with pytest.raises(DataError, match="samples of type int8 have no known range"):
        read_pixels(path)


@pytest.mark.parametrize("samples", [2, 4])
def test_alpha_in_a_plane_of_its_own_is_read(truth, samples):
    planes = np.random.default_rng(0).integers(0, 256, (samples, 5, 7), dtype=np.uint8)
    kind = "rgb" if samples == 4 else "minisblack"

    def write(path):
        options = {"planarconfig": "separate", "extrasamples": ["unassalpha"]}
        tifffile.imwrite(path, planes, photometric=kind, **options)

    got = truth("p.tif", write)
    np.testing.assert_array_equal(got[..., [0, -1]], unit(planes[[0, -1]].transpose(1, 2, 0)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_uncompressed_grey_tiff_is_turned_upright(truth, bits, orientation):
    values = np.random.default_rng(1).integers(0, 2**bits, (4, 6))
    order = ">" if bits == 16 else "<"
    data = tiff(6, 4, bits, packed(values, bits), byteorder=order, orientation=orientation)
    got = truth("g.tif", lambda path: path.write_bytes(data))
    lying = Image.fromarray((values / (2**bits - 1)).astype(np.float32))
    lying.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(got[..., 0], np.asarray(ImageOps.exif_transpose(lying)))


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_few_bytes_of_tiff_do_not_ask_for_gigabytes(tmp_path, bits):
    path = tmp_path / "bomb.tif"
    path.write_bytes(tiff(120_000, 120_000, bits, b""))
    with pytest.raises(DataError, match=r"bomb\.tif: more than .* million pixels; scale"):
        read_pixels(path)


def test_a_deep_tiff_that_was_cut_short_says_where(tmp_path):
    path = tmp_path / "cut.tif"
    path.write_bytes(tiff(9, 6, 16, bytes(9 * 6 * 2))[:-10])
    with pytest.raises(DataError, match=r"cut short: ends at byte 232 of 242"):
        read_pixels(path)


def test_opaque_alpha_is_dropped(truth):
    opaque = np.dstack([RGB8, np.full((5, 7), 255, np.uint8)])
    got = truth("o.png", lambda path: saved(path, Image.fromarray(opaque)))
    np.testing.assert_array_equal(got, unit(RGB8))


def test_transparent_images_have_four_outputs_with_straight_alpha(truth):
    rgba = np.concatenate([RGB8, ALPHA8], axis=2)
    got = truth("t.png", lambda path: saved(path, Image.fromarray(rgba)))
    np.testing.assert_array_equal(got, unit(rgba))


def test_grey_and_alpha_is_rgba_of_three_equal_colours(truth):
    la = np.concatenate([RGB8[..., :1], ALPHA8], axis=2)
    got = truth("la.png", lambda path: saved(path, Image.fromarray(la)))
    np.testing.assert_array_equal(got[..., [0]], unit(RGB8[..., :1]))
    np.testing.assert_array_equal(got[..., 0], got[..., 2])
    np.testing.assert_array_equal(got[..., [3]], unit(ALPHA8))


def test_rgb_of_a_transparent_image_is_blended_over_white(truth):
    rgba = np.concatenate([RGB8, ALPHA8], axis=2)
    got = truth("t.png", lambda path: saved(path, Image.fromarray(rgba)), channels="rgb")
    alpha = unit(ALPHA8)
    np.testing.assert_allclose(got, unit(RGB8) * alpha + 1 - alpha, atol=1e-7)
    assert (got[:, 0] == 1).all(), "nothing of the invisible column is seen"


def test_grey_of_rgb_is_luma_as_pillow_has_it(truth):
    image = Image.fromarray(RGB8)
    got = truth("c.png", lambda path: saved(path, image), channels="grey")
    assert got.shape == (5, 7, 1)
    np.testing.assert_allclose(got[..., 0] * 255, np.asarray(image.convert("L")), atol=0.51)


def test_rgba_is_always_four_outputs(truth):
    got = truth("g.png", lambda p: saved(p, Image.fromarray(RGB8[..., 0])), channels="rgba")
    np.testing.assert_array_equal(got[..., 3], 1)
    np.testing.assert_array_equal(got[..., 1], unit(RGB8[..., 0]))


def palette_image():
    image = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7) % 4, "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
    return image


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_palette_indices_become_colours(truth):
    got = truth("p.png", lambda path: saved(path, palette_image()))
    expected = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    np.testing.assert_array_equal(got, unit(expected[np.arange(35).reshape(5, 7) % 4]))


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("transparency", [2, b"\xff\xff\x00\xff"])
def test_a_transparent_palette_entry_becomes_alpha(truth, transparency):
    got = truth("p.png", lambda path: saved(path, palette_image(), transparency=transparency))
    clear = np.arange(35).reshape(5, 7) % 4 == 2
    np.testing.assert_array_equal(got[..., 3], np.where(clear, 0, 1))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_becomes_alpha(truth, mode):
    samples = RGB8 if mode == "RGB" else RGB8[..., 0]
    key = tuple(map(int, RGB8[1, 1])) if mode == "RGB" else int(samples[1, 1])
    got = truth("k.png", lambda p: saved(p, Image.fromarray(samples), transparency=key))
    assert got.shape[2] == 4
    assert got[1, 1, 3] == 0
    assert got[..., 3].max() == 1


def test_a_transparent_grey_is_one_of_as_many_bits_as_the_file(tmp_path):
    def chunk(kind, data):
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", 4, 1, 4, 0, 0, 0, 0)  # 4 × 1 pixels of 4 bits
    parts = chunk(b"IHDR", head) + chunk(b"tRNS", b"\0\7")
    parts += chunk(b"IDAT", zlib.compress(b"\0\x07\x7f")) + chunk(b"IEND", b"")
    (tmp_path / "t.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    got = read_pixels(tmp_path / "t.png")[0]
    np.testing.assert_allclose(got, np.array([[0, 15], [7, 0], [7, 0], [15, 15]]) / 15)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["e.png", "e.tif", "deep.png", "deep.tif"])
def test_exif_orientation_turns_the_image_upright(truth, orientation, name, png16, chunk):
    exif = Image.Exif()
    exif[0x0112] = orientation

    def write(path):
        if name == "deep.png":
            body = exif.tobytes().removeprefix(b"Exif\0\0")
            path.write_bytes(png16(RGB16, extra=chunk(b"eXIf", body)))
        elif name == "deep.tif":
            tags = [(274, "H", 1, orientation, True)]
            tifffile.imwrite(path, RGB16, photometric="rgb", extratags=tags)
        else:
            saved(path, Image.fromarray(RGB8), exif=exif)

    got = truth(name, write)
    lying = Image.fromarray(RGB8)
    lying.getexif()[0x0112] = orientation
    if name.startswith("deep"):
        bands = [Image.fromarray(band) for band in np.moveaxis(unit(RGB16), 2, 0).copy()]
        for band in bands:
            band.getexif()[0x0112] = orientation
        expected = np.dstack([np.asarray(ImageOps.exif_transpose(band)) for band in bands])
    else:
        expected = unit(np.asarray(ImageOps.exif_transpose(lying)))
    np.testing.assert_array_equal(got, expected)


def test_cmyk_becomes_rgb(truth):
    red = Image.new("CMYK", (8, 6), (0, 255, 255, 0))
    got = truth("c.jpg", lambda path: saved(path, red, quality=95))
    assert got.shape == (6, 8, 3)
    np.testing.assert_allclose(got[3, 3], [1, 0, 0], atol=0.03)


def test_an_undamaged_image_of_a_kind_that_is_not_read_is_said_to_be_one(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(imagecodecs.ljpeg_encode(np.full((8, 8), 2000, np.uint16), bitspersample=12))
    with pytest.raises(DataError, match="such as lossless or with 12 bits; save it as PNG"):
        read_pixels(path)
    path = tmp_path / "a.tif"
    planes = np.zeros((4, 6, 8), np.uint8)
    tifffile.imwrite(path, planes, photometric="separated", planarconfig="separate")
    with pytest.raises(DataError, match="TIFF of colour space SEPARATED, deep or in planes; save"):
        read_pixels(path)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif"])
def test_the_first_frame_of_an_animation_is_taken(truth, name):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if name == "a.webp" else {}
    got = truth(
        name,
        lambda p: saved(p, frames[0], save_all=True, append_images=frames[1:], **options),
    )
    np.testing.assert_array_equal(got[2, 2], [1, 0, 0])


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (13, 1000), (101, 7)])
def test_odd_and_long_sizes_are_taken_as_they_are(truth, size):
    height, width = size
    samples = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    got = truth("o.png", lambda path: saved(path, Image.fromarray(samples)))
    np.testing.assert_array_equal(got, unit(samples))


def half(kind):
    """A file of noise, cut in half."""
    file = io.BytesIO()
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()[: len(file.getvalue()) // 2]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM"])
def test_truncated_images_are_refused(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / f"half.{kind.lower()}"
    path.write_bytes(half(kind))
    with pytest.raises(DataError, match=r"half\.\w+") as caught:
        ImageTask(image=str(path))
    assert "\n" not in str(caught.value)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True, "the program's own setting is put back"


@pytest.mark.parametrize("length", [4, 20, 160])
def test_a_jpeg_cut_within_its_header_is_not_said_to_be_of_another_kind(tmp_path, length):
    path = tmp_path / "a.jpg"
    path.write_bytes(half("JPEG")[:length])
    with pytest.raises(DataError, match="damaged or cut short; replace the file by a whole one"):
        read_pixels(path)


def test_a_truncated_16_bit_png_is_refused(tmp_path, png16):
    path = tmp_path / "half.png"
    data = png16(RGB16)
    for length in range(40, len(data) - 12, 7):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"half\.png"):
            ImageTask(image=str(path))


def test_an_empty_file_is_named_empty(tmp_path):
    (tmp_path / "e.png").touch()
    with pytest.raises(DataError, match=r"e\.png: the file is empty \(0 bytes\)"):
        ImageTask(image=str(tmp_path / "e.png"))


def test_what_is_no_image_is_shown_by_its_first_bytes(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DataError, match=r"notes\.png: not an image.*b'version http'"):
        ImageTask(image=str(path))


def test_an_image_of_no_pixels_is_refused(tmp_path, png16):
    path = tmp_path / "none.png"
    path.write_bytes(png16(np.zeros((0, 4, 3), np.uint16)))
    with pytest.raises(DataError, match=r"none\.png"):
        ImageTask(image=str(path))


def test_an_image_of_one_pixel_is_too_small(tmp_path):
    path = saved(tmp_path / "one.png", Image.new("RGB", (1, 1)))
    with pytest.raises(DataError, match=r"1 × 1 pixels where at least 2 × 2 are needed"):
        ImageTask(image=str(path))


@pytest.mark.parametrize("factor", [1.5, 4])
def test_a_decompression_bomb_is_refused_without_a_warning(tmp_path, monkeypatch, factor):
    path = saved(tmp_path / "bomb.png", Image.new("L", (100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(100 * 100 / factor))
    with pytest.raises(DataError, match=r"bomb\.png: more than .* million pixels; scale"):
        ImageTask(image=str(path))


def test_pillows_warnings_do_not_leak(tmp_path):
    """A palette with transparency as bytes makes Pillow warn; so does broken EXIF."""
    path = saved(tmp_path / "x.jpg", Image.fromarray(RGB8), exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ImageTask(image=str(path))
    assert not caught
