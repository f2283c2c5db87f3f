"""What a mask file says, and that no defect is lost on the way into another frame."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from adhelpers.data.decoding import decode
from adhelpers.data.masks import read_mask, resize_mask, share_outside, warp_mask
from adhelpers.data.normalize import frame_matrix, whole_frame
from adhelpers.data.objects import ObjectPose

SIDES = st.integers(8, 60)


def disc(radius, centre=(60, 64), shape=(128, 128)):
    rows, columns = np.indices(shape)
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def read(pixels, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(file, kind, **options)
    return read_mask(decode(file.getvalue()))


# How a file is read.


@pytest.mark.parametrize("quality", [50, 60, 75, 85, 90, 95, 100])
@pytest.mark.parametrize("radius", [1, 3, 11.8, 40])
def test_a_jpeg_mask_has_the_area_of_what_was_saved(quality, radius):
    mask = disc(radius)
    assert radius != 11.8 or mask.sum() == 437
    found, notes = read(mask.astype(np.uint8) * 255, "JPEG", quality=quality)
    assert abs(int(found.sum()) - int(mask.sum())) <= 0.01 * mask.sum()
    assert set(notes) <= {"mask_lossy"}
    if quality == 100:
        return
    # Many JPEGs were saved again as PNG; what the file holds decides, not its name. (At quality 100
    # only 0, 1, 254 and 255 are left, which may be labels.)
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "JPEG", quality=quality)
    again, _ = read(np.asarray(Image.open(file)))
    assert abs(int(again.sum()) - int(mask.sum())) <= 0.01 * mask.sum()


@pytest.mark.parametrize(
    "values",
    [(1,), (255,), (1, 2, 3), (1, 255), (1, 254, 255), (7, 128), tuple(range(1, 16))],
    ids=str,
)
def test_labels_are_defects_whatever_their_number(values):
    labels = np.zeros((32, 32), np.uint8)
    for place, value in enumerate(values):
        labels[2 * place : 2 * place + 2, 3:6] = value
    mask, notes = read(labels)
    assert np.array_equal(mask, labels > 0) and notes == ()
    deep, notes = read(labels.astype(np.uint16) * 256 + (labels > 0))
    assert np.array_equal(deep, labels > 0) and notes == ()


def test_labels_in_colours_and_palettes_are_defects():
    labels = np.zeros((16, 16), np.uint8)
    labels[2:5, 2:5], labels[8:12, 3:9] = 1, 2
    colours = np.array([(0, 0, 0), (200, 0, 0), (0, 0, 3)], np.uint8)
    mask, notes = read(colours[labels])
    assert np.array_equal(mask, labels > 0) and notes == ()
    indexed = Image.fromarray(labels, "P")
    indexed.putpalette(colours.ravel().tolist())
    file = io.BytesIO()
    indexed.save(file, "PNG")
    assert np.array_equal(read_mask(decode(file.getvalue()))[0], labels > 0)


def test_many_labels_and_soft_maps_are_named_and_read_as_non_zero():
    ramp = np.zeros((40, 40), np.uint8)
    ramp[5:35, 5:35] = np.arange(1, 31) * 8
    mask, notes = read(ramp)
    assert np.array_equal(mask, ramp > 0) and notes == ("mask_unclear",)
    # In a JPEG, ringing around 0 is no defect.
    mask, notes = read(ndimage.gaussian_filter(ramp, 3), "JPEG", quality=90)
    assert notes == ("mask_unclear",) and 100 < mask.sum() < 900


def test_smooth_edges_are_cut_in_the_middle():
    mask = disc(20)
    soft = np.round(ndimage.gaussian_filter(mask * 255.0, 0.7)).astype(np.uint8)
    found, notes = read(soft)
    assert notes == ("mask_lossy",) and abs(int(found.sum()) - int(mask.sum())) < 0.02 * mask.sum()


@pytest.mark.parametrize("colour", [0, 255])
def test_content_in_alpha_only_is_found_and_named(colour):
    mask = disc(10, (20, 20), (40, 40))
    pixels = np.full((40, 40, 4), colour, np.uint8)
    pixels[..., 3] = mask * 255
    found, notes = read(pixels)
    assert np.array_equal(found, mask) and notes == ("mask_in_alpha",)
    # Opaque alpha says nothing, and colours come first.
    pixels[..., 3] = 255
    assert read(pixels)[0].all() == bool(colour)
    pixels[..., :3] = mask[..., None] * 255
    found, notes = read(pixels)
    assert np.array_equal(found, mask) and notes == ()


# How it is brought to another frame.


def test_defects_of_the_issue_are_all_there():
    for width in (3, 3, 60, 60):
        for left in range(0, 440, 7):
            mask = np.zeros((512, 512), bool)
            mask[200 : 200 + width, left : left + width] = True
            small = resize_mask(mask, (64, 64))
            across = width * 64 / 512
            assert small.any() and small.any(axis=0).sum() <= across + 2


@given(SIDES, SIDES, SIDES, SIDES, st.data())
@settings(max_examples=200, deadline=None)
def test_each_pixel_of_a_file_is_kept_where_it_lies(height, width, new_height, new_width, data):
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask = np.zeros((height, width), bool)
    mask[row, column] = True
    size = (new_height, new_width)
    small = resize_mask(mask, size)
    assert small.shape == size and small.any()
    # No pixel beyond those that the file's pixel touches.
    for found, place, before, after in zip(
        np.nonzero(small), (row, column), (height, width), size, strict=True
    ):
        assert found.min() >= np.floor(place * after / before)
        assert found.max() <= np.ceil((place + 1) * after / before) - 1
    matrix = frame_matrix(whole_frame((height, width)), (height, width), size)
    warped = warp_mask(mask, matrix, size)
    assert warped.any() and share_outside(mask, matrix, size) == 0
    assert not (warped & ~ndimage.binary_dilation(small, np.ones((3, 3)))).any()


@given(
    st.floats(-180, 180),
    st.floats(0.2, 8),
    st.tuples(st.floats(10, 50), st.floats(10, 50)),
    st.booleans(),
    st.integers(0, 10**6),
)
@settings(max_examples=150, deadline=None)
def test_every_defect_pixel_inside_a_turned_frame_is_represented(angle, scale, centre, line, seed):
    generator = np.random.default_rng(seed)
    mask = np.zeros((60, 60), bool)
    if line:
        mask[generator.integers(60), :] = True
    else:
        mask[tuple(generator.integers(0, 60, (2, 5)))] = True
    down = (np.sin(np.radians(angle)), np.cos(np.radians(angle)))
    size = (24, 32)
    matrix = frame_matrix(ObjectPose(centre, down, 1, 1), (size[0] * scale, size[1] * scale), size)
    warped = warp_mask(mask, matrix, size)
    rows, columns = np.nonzero(mask)
    x, y, _ = np.linalg.inv(matrix) @ np.stack([columns, rows, np.ones(len(rows))])
    # Away from the frame's edge by a last bit.
    inside = (x > -0.499) & (x < size[1] - 0.501) & (y > -0.499) & (y < size[0] - 0.501)
    assert inside.any() <= warped.any()
    reach = 0.5 + np.sqrt(0.5) / scale + 1e-6
    marked = np.argwhere(warped)
    for one_x, one_y in zip(x[inside], y[inside], strict=True):
        assert np.abs(marked - (one_y, one_x)).max(axis=1).min() <= reach
    # Grown by no more than a pixel: every marked pixel has a defect pixel that touches it nearly.
    for row, column in marked:
        assert np.maximum(np.abs(x - column), np.abs(y - row)).min() <= reach
    share = share_outside(mask, matrix, size)
    assert (~inside).mean() == pytest.approx(share, abs=2.5 / len(rows))


def test_a_thin_line_stays_whole_when_a_frame_is_turned_and_coarser():
    mask = np.zeros((200, 200), bool)
    mask[100, 20:180] = True
    angle = np.radians(30)
    matrix = frame_matrix(
        ObjectPose((99.5, 99.5), (np.sin(angle), np.cos(angle)), 1, 1), (200, 200), (50, 50)
    )
    _, parts = ndimage.label(warp_mask(mask, matrix, (50, 50)), np.ones((3, 3)))
    assert parts == 1


def test_a_mask_of_the_same_size_is_not_changed():
    mask = np.random.default_rng(0).random((31, 17)) > 0.7
    assert np.array_equal(resize_mask(mask, (31, 17)), mask)
    assert np.array_equal(warp_mask(mask, np.eye(3), (31, 17)), mask)
    half = frame_matrix(ObjectPose((8.5, 15.5), (0.0, 1.0), 1, 1), (31, 17), (31, 17))
    assert warp_mask(mask, half, (31, 17)).sum() <= mask.sum()


def test_what_a_frame_cuts_off_is_a_share():
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    whole = frame_matrix(whole_frame((40, 40)), (40, 40), (16, 16))
    assert share_outside(mask, whole, (16, 16)) == 0
    left_half = frame_matrix(ObjectPose((4.5, 19.5), (0.0, 1.0), 1, 1), (20, 20), (16, 16))
    assert share_outside(mask, left_half, (16, 16)) == pytest.approx(0.5)
    beside = frame_matrix(ObjectPose((34.5, 34.5), (0.0, 1.0), 1, 1), (8, 8), (16, 16))
    assert (
        share_outside(mask, beside, (16, 16)) == 1 and not warp_mask(mask, beside, (16, 16)).any()
    )
    assert share_outside(np.zeros((40, 40), bool), beside, (16, 16)) == 0
