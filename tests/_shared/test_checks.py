"""Bad input gives one error that names the parameter and the images."""

import numpy as np
import pytest

from adhelpers._shared import checks as _checks


def test_scores_come_back_as_float64():
    checked = _checks.checked_scores(np.array([1, 2], dtype=np.float32))
    assert checked.dtype == np.float64
    assert checked.tolist() == [1.0, 2.0]


def test_every_strange_score_is_named_up_to_ten():
    scores = np.zeros(20)
    scores[[3, 7]] = np.nan, np.inf
    with pytest.raises(
        ValueError, match=r"scores must be finite numbers; NaN or infinite at index 3, 7$"
    ):
        _checks.checked_scores(scores)
    with pytest.raises(ValueError, match=r"index 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 10 more$"):
        _checks.checked_scores(np.full(20, np.nan))


@pytest.mark.parametrize("scores", [[], [[1.0]], 1.0])
def test_scores_of_another_shape_are_refused(scores):
    with pytest.raises(ValueError, match="one number for each image"):
        _checks.checked_scores(scores)


def test_labels_are_zeros_and_ones_of_the_right_number():
    assert _checks.checked_labels([0, 1, True], 3).tolist() == [False, True, True]
    with pytest.raises(ValueError, match=r"each of the 3 images; got shape \(2,\)"):
        _checks.checked_labels([0, 1], 3)
    with pytest.raises(ValueError, match=r"0 \(good\) or 1 \(anomalous\); got .*2.* at index 1"):
        _checks.checked_labels([0, 2], 2)
    with pytest.raises(ValueError, match="good"):
        _checks.checked_labels(["good", "crack"], 2)


@pytest.mark.parametrize(
    "label, missing", [(0, r"no anomalous image \(label 1\)"), (1, r"no good image \(label 0\)")]
)
def test_the_missing_class_is_named(label, missing):
    with pytest.raises(ValueError, match=missing):
        _checks.checked_labels([label] * 4, 4, both_classes=True)


def test_scores_are_not_taken_for_decisions():
    assert _checks.checked_flags([0, 1]).tolist() == [False, True]
    with pytest.raises(ValueError, match="decisions .* not scores"):
        _checks.checked_flags([0.2, 0.9])
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        _checks.checked_flags([True, False], 3)
    with pytest.raises(ValueError, match="at least|n >= 1"):
        _checks.checked_flags([])


def test_types_are_counted():
    assert _checks.checked_types(["good", "crack"], 2).tolist() == ["good", "crack"]
    with pytest.raises(ValueError, match="one name for each of the 3 images"):
        _checks.checked_types(["good"], 3)


def test_the_image_of_a_nan_in_a_stack_of_maps_is_named():
    maps = np.zeros((4, 2, 2), dtype=np.float32)
    assert _checks.checked_map(maps).dtype == np.float32
    assert _checks.checked_map(np.zeros((2, 2), dtype=np.int16)).dtype == np.float64
    maps[2, 0, 1] = np.nan
    with pytest.raises(
        ValueError, match="maps must be finite: 1 NaN or infinite values, in image 2"
    ):
        _checks.checked_map(maps, "maps")
    with pytest.raises(ValueError, match="empty"):
        _checks.checked_map(np.zeros((0, 2)))


def test_masks_are_booleans_of_the_shape_of_the_map():
    assert _checks.checked_mask(np.array([[0, 1]]), (1, 2)).tolist() == [[False, True]]
    with pytest.raises(ValueError, match="no ground_truth folder"):
        _checks.checked_mask(None, (1, 2))
    with pytest.raises(ValueError, match=r"\(1, 2\); got \(2, 2\)"):
        _checks.checked_mask(np.zeros((2, 2)), (1, 2))
    with pytest.raises(ValueError, match="up to 255"):
        _checks.checked_mask(np.array([[0, 255]]), (1, 2))


def test_equal_scores_are_refused():
    _checks.refuse_equal_scores(np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match=r"every image the same score \(0.5\)"):
        _checks.refuse_equal_scores(np.array([0.5, 0.5]))


def test_a_choice_that_is_not_offered_is_named_with_those_that_are():
    _checks.check_choice("color", "rgb", ("grayscale", "rgb"))
    with pytest.raises(ValueError, match=r"^color must be one of grayscale, rgb, not 'cmyk'$"):
        _checks.check_choice("color", "cmyk", ("grayscale", "rgb"))


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((2, 8, 8)), "shape"),
        (np.zeros((2, 8, 8, 2)), "1 or 3 channels"),
        (np.zeros((0, 8, 8, 1)), "no image"),
        (np.full((1, 8, 8, 1), 1.5), r"\[0, 1\]"),
        (np.full((1, 8, 8, 1), np.nan), r"\[0, 1\]"),
        (np.full((1, 8, 8, 1), -0.1), r"\[0, 1\]"),
    ],
)
def test_bad_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        _checks.checked_images(images)


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(8, 8, 1\).*\(16, 16, 1\)"):
        _checks.checked_images(np.zeros((1, 8, 8, 1)), (16, 16, 1))
