import io
import zipfile

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from adhelpers.detectors.foreign.map_file import read_map

VALUES = np.array([[0.0, 1.5, -2.0], [0.25, 3.0, 7.0]], np.float32)


def test_numbers_come_back_as_they_were_written(tmp_path):
    for dtype in (np.float16, np.float32, np.float64):
        np.save(tmp_path / "a.npy", VALUES[None].astype(dtype))
        tifffile.imwrite(tmp_path / "a.tiff", VALUES.astype(dtype), compression="zlib")
        np.savez_compressed(tmp_path / "a.npz", VALUES.astype(dtype))
        for name in ("a.npy", "a.tiff", "a.npz"):
            found = read_map(tmp_path / name)
            assert found.dtype == np.float32 and (found == VALUES).all(), name


def test_the_map_of_an_archive_is_found_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", anomaly_map=VALUES, score=3)
    assert (read_map(tmp_path / "a.npz") == VALUES).all()
    np.savez(tmp_path / "b.npz", x=VALUES, y=VALUES)
    with pytest.raises(ValueError, match="holds the arrays x, y: one is needed"):
        read_map(tmp_path / "b.npz")


def test_pngs_of_8_and_16_bits_have_one_range(tmp_path):
    shares = np.array([[0.0, 0.2], [0.6, 1.0]])
    Image.fromarray((shares * 255).astype(np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode((shares * 65535).astype(np.uint16)))
    tifffile.imwrite(tmp_path / "c.tiff", (shares * 65535).astype(np.uint16))
    for name in ("a.png", "b.png", "c.tiff"):
        assert np.allclose(read_map(tmp_path / name), shares, atol=1e-4), name


def test_a_grey_picture_may_have_three_channels_but_no_colours(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    picture = np.repeat(grey[..., None], 3, axis=-1)
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert (read_map(tmp_path / "a.png") * 255).round().tolist() == grey.tolist()
    picture[0, 0, 0] = 200
    Image.fromarray(picture).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="is a picture in colours, not a map"):
        read_map(tmp_path / "a.png")


def header_of(shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def test_what_is_no_map_says_why(tmp_path):
    objects = io.BytesIO()
    np.save(objects, np.array([{}], object), allow_pickle=True)
    stack = io.BytesIO()
    np.save(stack, np.zeros((3, 4, 4)))
    nan = io.BytesIO()
    np.save(nan, np.array([[1, np.nan], [np.inf, 1e300]]))
    text = io.BytesIO()
    np.save(text, np.array([["a", "b"], ["c", "d"]]))
    packed = io.BytesIO()
    np.savez_compressed(packed, np.eye(9))
    damaged = bytearray(packed.getvalue())
    damaged[60:70] = bytes(10)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header_of((30000, 30000)))
    for name, content, message in (
        ("a.npy", objects.getvalue(), "cannot be read as .npy"),
        ("a.npy", stack.getvalue(), "has the shape .3, 4, 4.; a map has a height and a width"),
        ("a.npy", nan.getvalue(), "holds 3 values that are NaN, infinite or too large"),
        ("a.npy", text.getvalue(), "not real numbers"),
        ("a.npy", header_of((100000, 100000)), "does not hold the numbers that its header says"),
        ("a.npy", b"\x93NUMPY", "cannot be read as .npy"),
        ("a.npy", b"\x93NUMPY\x01\x00\x04\x00((((", "cannot be read as .npy"),
        ("a.npz", damaged, "cannot be read as .npz"),
        ("a.npz", bomb.getvalue(), "does not hold the numbers that its header says"),
        ("a.npz", b"PK\x03\x04", "cannot be read as .npz"),
        ("a.png", b"hello", "cannot be read as PNG"),
        ("a.tiff", b"II*\0\0\0", "cannot be read as PNG, JPEG, TIFF"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            read_map(tmp_path / name)
        assert "\n" not in str(caught.value)
