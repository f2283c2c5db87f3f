"""Masks of boxes, polygons and run lengths, against counting by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adhelpers.data.shapes import Shapes


def area(mark, shape=(10, 20)):
    return int(Shapes((mark,)).mask(shape).sum())


def test_a_box_covers_each_pixel_that_it_touches():
    mask = Shapes(({"bbox": [2, 1, 3, 2]},)).mask((6, 8))
    assert np.argwhere(mask).tolist() == [[r, c] for r in (1, 2) for c in (2, 3, 4)]
    assert area({"bbox": [2.5, 1, 1, 1]}) == 2
    assert area({"bbox": [0.2, 0.2, 0.1, 0.1]}) == 1
    # What lies beyond the image is cut off.
    assert area({"bbox": [-5, -5, 6, 6]}) == 1


def test_marks_are_united_and_a_segmentation_goes_before_its_box():
    square = {"segmentation": [[2, 2, 6, 2, 6, 6, 2, 6]], "bbox": [0, 0, 20, 10]}
    assert area(square) == 16
    two = Shapes((square, {"bbox": [5, 5, 2, 2]}))
    assert int(two.mask((10, 20)).sum()) == 16 + 4 - 1
    assert two.boxes == 1 and Shapes((square,)).boxes == 0


def test_run_lengths_go_down_the_columns():
    # Three pixels out, two in, one out: the columns of a 3 x 2 image.
    runs = {"segmentation": {"size": [3, 2], "counts": [3, 2, 1]}}
    assert Shapes((runs,)).mask((3, 2)).astype(int).tolist() == [[0, 1], [0, 1], [0, 0]]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_compressed_run_lengths_are_decoded(seed):
    from pycocotools import mask as coco_masks

    mask = np.random.default_rng(seed).uniform(size=(7, 5)) < 0.4
    coded = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    runs = {"size": [7, 5], "counts": coded["counts"].decode()}
    assert (Shapes(({"segmentation": runs},)).mask((7, 5)) == mask).all()


@settings(deadline=None)
@given(st.floats(0.05, 19.9), st.floats(0.05, 9.9), st.floats(0.001, 3))
def test_no_mark_is_lost_however_small(x, y, side):
    triangle = {"segmentation": [[x, y, x + side, y, x, y + side]]}
    box = {"bbox": [x, y, side, side]}
    if x + side / 3 < 20 and y + side / 3 < 10:
        assert area(triangle) >= 1
    assert area(box) >= 1


@pytest.mark.parametrize(
    "mark, text",
    [
        ({"bbox": [1, 1, 0, 3]}, "has no area"),
        ({"bbox": [1, 1, float("nan"), 3]}, "has no area"),
        ({"bbox": [30, 1, 2, 3]}, "lies outside of the image"),
        ({"bbox": [1, 1]}, "not enough values"),
        ({}, "a mark needs a segmentation"),
        ({"segmentation": [[1, 1, 2, 2]]}, "at least three points"),
        ({"segmentation": [[1, 1, 2, 2, 3]]}, "at least three points"),
        ({"segmentation": [[1e12, 1, 2, 2, 3, 3]]}, "lies outside of the image"),
        ({"segmentation": [[25, 15, 25.1, 15, 25, 15.1]]}, "lies outside of the image"),
        ({"segmentation": {"size": [4, 4], "counts": [16]}}, "are for 4x4 pixels"),
        ({"segmentation": {"size": [10, 20], "counts": [7, 5]}}, "add up to 12, not to 200"),
        ({"segmentation": {"counts": [7, 5]}}, "a mark needs a segmentation"),
    ],
)
def test_what_is_no_mark_is_refused(mark, text):
    with pytest.raises(ValueError, match=text):
        area(mark)


def test_another_size_than_the_file_is_refused():
    with pytest.raises(ValueError, match="10x20 pixels.*its file has 20x10"):
        Shapes(({"bbox": [0, 0, 1, 1]},), (10, 20)).mask((20, 10))


def test_the_digest_is_of_what_is_drawn():
    one = Shapes(({"bbox": [0, 0, 1, 1], "id": 7},))
    assert one.digest == Shapes(({"bbox": [0, 0, 1, 1], "id": 8},)).digest
    assert one.digest != Shapes(({"bbox": [0, 0, 1, 2]},)).digest
