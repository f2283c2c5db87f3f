"""Decoding image files."""

import io
import random
import resource
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from adhelpers.data.decoding import decode
from adhelpers.data.reading import read_image


def png16(pixels):
    """A 16-bit PNG, written by hand because Pillow writes only grey ones."""
    pixels = np.atleast_3d(pixels)
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2}[channels], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


GREY = (np.arange(20).reshape(4, 5) * 12).astype(np.uint8)


RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".jpg"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_reads_8_bit_formats(tmp_path, suffix, pixels, write):
    options = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
    write(tmp_path / f"image{suffix}", pixels, **options)
    image, grey_levels = read_image((tmp_path / f"image{suffix}").read_bytes())
    assert (
        image.shape == np.atleast_3d(pixels).shape
        and image.dtype == np.float32
        and grey_levels == 255
    )
    assert np.abs(image - np.atleast_3d(pixels) / 255).max() <= (0.02 if suffix == ".jpg" else 1e-6)


@pytest.mark.parametrize(
    "pixels", [GREY, RGB, np.dstack([RGB, np.full_like(GREY, 255)])], ids=["grey", "rgb", "rgba"]
)
def test_reads_16_bit_tiff(tmp_path, pixels):
    wide = (
        pixels.astype(np.uint16) * 257 - (pixels > 0).astype(np.uint16) * 5
    )  # 5: below what 8 bits can tell
    tifffile.imwrite(
        tmp_path / "image.tif", wide, photometric="minisblack" if pixels.ndim == 2 else "rgb"
    )
    image, grey_levels = read_image((tmp_path / "image.tif").read_bytes())
    assert grey_levels == 65535
    expected = (
        wide
        if pixels.ndim == 2
        else wide[..., :3] * (wide[..., 3:] / 65535 if pixels.shape[-1] == 4 else 1)
    )
    assert np.allclose(image, np.atleast_3d(expected) / 65535, atol=1e-6)


def test_reads_16_bit_png():
    grey = GREY.astype(np.uint16) * 257 + 3
    image, grey_levels = read_image(png16(grey))
    assert grey_levels == 65535 and np.allclose(image[..., 0], grey / 65535, atol=1e-7)
    colour, _ = read_image(png16(RGB.astype(np.uint16) * 257))
    assert np.allclose(colour, RGB / 255, atol=1e-6)


def test_reads_alpha_on_black_palette_bilevel_and_orientation(tmp_path, write):
    alpha = np.dstack([RGB, np.where(GREY > 100, 255, 0).astype(np.uint8)])
    write(tmp_path / "alpha.png", alpha)
    assert np.allclose(
        read_image((tmp_path / "alpha.png").read_bytes())[0], RGB / 255 * (GREY > 100)[..., None]
    )
    Image.fromarray(RGB).quantize(64).save(tmp_path / "palette.png")
    assert read_image((tmp_path / "palette.png").read_bytes())[0] == pytest.approx(
        RGB / 255, abs=0.02
    )
    Image.fromarray(GREY > 100).save(tmp_path / "bilevel.png")
    assert (read_image((tmp_path / "bilevel.png").read_bytes())[0][..., 0] == (GREY > 100)).all()
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    Image.fromarray(GREY).save(tmp_path / "turned.png", exif=exif)
    assert np.allclose(
        read_image((tmp_path / "turned.png").read_bytes())[0][..., 0], np.rot90(GREY, -1) / 255
    )


@pytest.mark.parametrize(
    "data, text",
    [
        (b"", "cannot be read"),
        (b"not an image", "cannot be read"),
        (png16(GREY.astype(np.uint16))[:-40], "cannot be read"),
    ],
)
def test_read_image_refuses_what_it_cannot_decode(data, text):
    with pytest.raises(ValueError, match=text):
        read_image(data)


def test_read_image_refuses_real_values_outside_0_to_1(tmp_path):
    tifffile.imwrite(tmp_path / "real.tif", np.full((4, 4), 7.5, np.float32))
    with pytest.raises(ValueError, match="real-valued"):
        read_image((tmp_path / "real.tif").read_bytes())
    tifffile.imwrite(tmp_path / "fine.tif", np.full((4, 4), 0.5, np.float32))
    assert (read_image((tmp_path / "fine.tif").read_bytes())[0] == 0.5).all()


# One set of rules, whatever the format, the depth and the colours.


def tiff(pixels, **options):
    file = io.BytesIO()
    if "photometric" not in options:
        options["photometric"] = "minisblack" if pixels.ndim == 2 else "rgb"
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def pillow(picture, kind, **options):
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(
        file, kind, **options
    )
    return file.getvalue()


def deep(pixels, bits):
    """The same picture with 8 bits, or with 16."""
    return pixels if bits == 8 else pixels.astype(np.uint16) * np.uint16(257)


BITS = pytest.mark.parametrize("bits", [8, 16])
COLOURS = pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
ALPHA = np.where(GREY > 100, 128, 255).astype(np.uint8)


def shows(data, expected, bits=8, **known):
    decoded = decode(data)
    assert decoded.image.dtype == np.float32
    assert decoded.grey_levels == 2**bits - 1 and decoded.bits == bits
    assert np.allclose(decoded.image, np.atleast_3d(expected), atol=1e-6)
    for name, value in known.items():
        assert getattr(decoded, name) == value
    return decoded


@BITS
@COLOURS
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"compression": "packbits"},
        {"compression": "lzma"},
        {"compression": "zstd"},
        {"compression": "zlib", "tile": (16, 16)},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "lzw", "predictor": True},
        {"bigtiff": True},
        {"rowsperstrip": 1},
    ],
    ids=str,
)
def test_tiff_is_the_same_however_it_is_compressed(bits, pixels, options):
    shows(tiff(deep(pixels, bits), **options), pixels / 255, bits, extra_bands=0)


@BITS
def test_planes_one_after_another_are_channels(bits):
    planes = np.moveaxis(deep(RGB, bits), -1, 0)
    shows(tiff(planes, photometric="rgb", planarconfig="separate"), RGB / 255, bits)


TURNS = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image.swapaxes(0, 1)[:, ::-1],
    7: lambda image: image.swapaxes(0, 1)[::-1, ::-1],
    8: lambda image: image.swapaxes(0, 1)[::-1],
}


@COLOURS
@pytest.mark.parametrize("turn", TURNS)
def test_orientation_is_applied_in_every_format(pixels, turn):
    upright = TURNS[turn](pixels) / 255
    tag = [(274, "H", 1, turn, True)]
    for bits in (8, 16):
        shows(tiff(deep(pixels, bits), extratags=tag), upright, bits)
    exif = Image.Exif()
    exif[274] = turn
    shows(pillow(pixels, "PNG", exif=exif), upright)
    # libpng writes no EXIF: the chunk goes between header and data.
    png = png16(deep(pixels, 16))
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(content)) + b"eXIf" + content
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + content))
    shows(png[:33] + chunk + png[33:], upright, 16)
    jpeg = decode(pillow(pixels, "JPEG", exif=exif, quality=100, subsampling=0))
    assert np.abs(jpeg.image - np.atleast_3d(upright)).max() < 0.02


@BITS
def test_white_is_zero(bits):
    data = tiff(deep(255 - GREY, bits), photometric="miniswhite")
    shows(data, GREY / 255, bits, mode="grey")
    bilevel = tiff(GREY <= 100, photometric="miniswhite")
    shows(bilevel, (GREY > 100) * 1.0)
    assert decode(tiff(GREY > 100)).image.max() == 1


@BITS
@COLOURS
def test_alpha_is_shown_on_black_and_other_bands_are_ignored(bits, pixels):
    both = np.dstack([pixels, ALPHA])
    weighted = np.atleast_3d(pixels) / 255 * (ALPHA[..., None] / 255)
    shows(tiff(deep(both, bits), photometric=KIND[pixels.ndim], extrasamples=[2]), weighted, bits)
    # Associated: the colours are multiplied already.
    shows(
        tiff(deep(both, bits), photometric=KIND[pixels.ndim], extrasamples=[1]), pixels / 255, bits
    )
    shows(
        tiff(deep(both, bits), photometric=KIND[pixels.ndim], extrasamples=[0]),
        pixels / 255,
        bits,
        extra_bands=1,
        alpha=None,
    )
    more = np.dstack([pixels, GREY, ALPHA])
    shows(
        tiff(
            deep(more, bits),
            photometric=KIND[pixels.ndim],
            planarconfig="contig",
            extrasamples=[0, 2],
        ),
        weighted,
        bits,
        extra_bands=1,
    )
    shows(imagecodecs.png_encode(deep(both, bits)), weighted, bits)


KIND = {2: "minisblack", 3: "rgb"}


def test_transparent_colour_of_a_png():
    grey = Image.fromarray(GREY)
    shows(
        pillow(grey, "PNG", transparency=int(GREY[2, 2])),
        np.where(GREY == GREY[2, 2], 0, GREY) / 255,
    )


def test_palettes_keep_their_colours():
    palette = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    indexed = Image.fromarray(GREY, "P")
    indexed.putpalette(palette.ravel().tolist())
    for kind in ("PNG", "BMP", "TIFF"):
        shows(pillow(indexed, kind), palette[GREY] / 255, mode="palette")
    colormap = palette.T.astype(np.uint16)
    for scale in (1, 256, 257):
        data = tiff(GREY, photometric="palette", colormap=colormap * np.uint16(scale))
        shows(data, palette[GREY] / 255)


def test_cmyk():
    ink = np.dstack([GREY, GREY[::-1], 255 - GREY, GREY // 3]).astype(np.uint8)
    expected = (1 - ink[..., :3] / 255) * (1 - ink[..., 3:] / 255)
    for bits in (8, 16):
        shows(tiff(deep(ink, bits), photometric="separated"), expected, bits, mode="cmyk")
    jpeg = decode(pillow(Image.fromarray(ink, "CMYK"), "JPEG", quality=100, subsampling=0))
    assert np.abs(jpeg.image - expected).max() < 0.03 and jpeg.mode == "cmyk"


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax_compressions(compression):
    shows(pillow(GREY > 100, "TIFF", compression=compression), (GREY > 100) * 1.0)


def test_jpeg_in_tiff():
    wide = np.repeat(np.repeat(RGB, 8, axis=0), 8, axis=1)
    decoded = decode(pillow(wide, "TIFF", compression="jpeg", quality=95))
    assert np.abs(decoded.image - wide / 255).mean() < 0.02


@pytest.mark.parametrize("bits, count", [(10, 1023), (12, 4095)])
def test_bit_depth_says_how_much_of_16_bits_is_used(bits, count):
    pixels = np.linspace(0, count, 20).astype(np.uint16).reshape(4, 5)
    for data in (tiff(pixels), png16(pixels), tiff(pixels.astype(np.int32))):
        plain, chosen = decode(data), decode(data, bit_depth=bits)
        assert plain.image.max() == pytest.approx(count / 65535) and plain.peak == count
        assert chosen.image.max() == 1 and chosen.grey_levels == count
        with pytest.raises(ValueError, match=f"values up to {count}, more than bit_depth=9 holds"):
            decode(data, bit_depth=9)
    assert decode(tiff(GREY), bit_depth=bits).grey_levels == 255
    white = tiff(np.uint16(count) - pixels, photometric="miniswhite")
    assert np.allclose(decode(white, bit_depth=bits).image[..., 0], pixels / count, atol=1e-6)


@pytest.mark.parametrize(
    "pixels, text",
    [
        (np.full((4, 4), 70000, np.uint32), "32-bit pixels"),
        (np.full((4, 4), -1, np.int16), "negative pixels"),
        (np.full((4, 4), np.nan, np.float32), "real-valued"),
        (np.zeros((4, 4), np.complex64), "type complex64"),
    ],
)
def test_what_has_no_range_is_refused(pixels, text):
    with pytest.raises(ValueError, match=text):
        decode(tiff(pixels))


def test_several_pages_are_refused_unless_one_is_chosen():
    pages = np.stack([GREY, GREY[::-1], 255 - GREY])
    data = tiff(pages, photometric="minisblack")
    with pytest.raises(ValueError, match="holds 3 pages; choose one with page=0 to page=2"):
        decode(data)
    for page in range(3):
        assert np.allclose(decode(data, page=page).image[..., 0], pages[page] / 255)
    with pytest.raises(ValueError, match="has no page 3"):
        decode(data, page=3)
    assert decode(tiff(GREY), page=2).image.shape == (4, 5, 1)  # a mask beside such a file
    # A small copy is no page of its own.
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(GREY, photometric="minisblack")
        writer.write(GREY[::2, ::2], photometric="minisblack", subfiletype=1)
    assert decode(file.getvalue()).image.shape == (4, 5, 1)
    moving = [Image.fromarray(page) for page in pages]
    animated = pillow(moving[0], "PNG", save_all=True, append_images=moving[1:])
    with pytest.raises(ValueError, match="holds 3 pages"):
        decode(animated)


def test_what_lies_outside_of_a_tiff_is_not_black():
    data = tiff(RGB, compression="zlib", rowsperstrip=1)
    with pytest.raises(ValueError, match="cannot be read"):
        decode(data[:-10])


NOISE = np.random.default_rng(0).integers(0, 255, (24, 30)).astype(np.uint8)
COLOURED = np.dstack([NOISE, NOISE[::-1], 255 - NOISE])
WHOLE = {
    "png": pillow(COLOURED, "PNG"),
    "png16": png16(deep(COLOURED, 16)),
    "jpeg": pillow(COLOURED, "JPEG"),
    "bmp": pillow(COLOURED, "BMP"),
    "tiff8": tiff(COLOURED),
    "tiff8-lzw": tiff(COLOURED, compression="lzw"),
    "tiff16": tiff(deep(COLOURED, 16)),
    "tiff16-deflate": tiff(deep(COLOURED, 16), compression="zlib", predictor=True),
    "tiff16-lzma": tiff(deep(COLOURED, 16), compression="lzma"),
    "tiff16-tiles": tiff(deep(COLOURED, 16), tile=(16, 16), compression="packbits"),
    "palette": tiff(NOISE, photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
    "fax": pillow(NOISE > 100, "TIFF", compression="group4"),
}


def damaged(data, generator):
    """Some bytes changed, most often in the header; cut off; taken out; or set to extremes."""
    content = bytearray(data)
    kind, place = generator.choice("change change cut take extreme".split()), generator.randrange
    if kind == "change":
        reach = min(len(content), generator.choice([64, 200, len(content)]))
        for _ in range(generator.choice([1, 1, 3, 10])):
            content[place(reach)] = place(256)
    elif kind == "cut":
        del content[place(len(content)) :]
    else:
        start = place(len(content))
        if kind == "take":
            del content[start : start + place(1, 20)]
        else:
            content[start : start + 4] = generator.choice(
                [b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"]
            )
    return bytes(content)


@pytest.mark.parametrize("name", WHOLE)
def test_damaged_files_are_decoded_or_refused_with_one_kind_of_error(name):
    generator, decoded, refused = random.Random(name), 0, 0
    for _ in range(60):
        data = damaged(WHOLE[name], generator)
        try:
            image = decode(data).image
        except ValueError as error:
            refused += 1
            assert str(error).startswith(("cannot be read", "has ", "holds ", "is too large"))
        else:
            decoded += 1
            assert image.ndim == 3 and image.shape[-1] in (1, 3) and image.size
            assert image.min() >= 0 and image.max() <= 1
    assert refused > 10 and decoded + refused == 60


def test_a_small_file_does_not_fill_the_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    header = struct.pack(">IIBBBBB", 60000, 60000, 16, 2, 0, 0, 0)
    png = png16(deep(GREY, 16))
    start = png[:12] + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    for data in (
        start + png[33:],
        tiff(np.zeros((9000, 9000), np.uint8), compression="zstd", rowsperstrip=9000),
    ):
        with pytest.raises(ValueError, match="is too large"):
            decode(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000


def test_warnings_are_as_before_after_many_threads_decoded():
    file = io.BytesIO()
    Image.new("L", (64, 64), 7).save(file, "PNG")
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        for decoded in pool.map(decode, [file.getvalue()] * 200):
            assert decoded.samples.max() == decoded.samples.min() == 7
    assert warnings.filters == before


def test_samples_are_the_image_255_times_or_unknown():
    random = np.random.default_rng(0)
    for mode, bands, known in (("L", 1, True), ("RGB", 3, True), ("RGBA", 4, False)):
        pixels = random.integers(0, 256, (9, 8, bands), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze(), mode).save(file, "PNG")
        decoded = decode(file.getvalue())
        assert (decoded.samples is not None) == known
        if known:
            np.testing.assert_array_equal(decoded.samples / np.float32(255), decoded.image)
