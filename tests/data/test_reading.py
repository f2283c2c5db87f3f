"""Decoding image files."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from adhelpers.data import load_category
from adhelpers.data.reading import read_image, to_color


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


def test_grey_and_rgb_are_turned_into_each_other(root):
    image = np.array([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]], np.float32)
    assert to_color(image, "grayscale")[0, :, 0].tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert to_color(image[..., :1], "rgb").shape == (1, 3, 3)
    assert load_category(root, "bar", image_size=16, color="rgb").train.images.shape[-1] == 3


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
