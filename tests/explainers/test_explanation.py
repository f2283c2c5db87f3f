import numpy as np
import pytest

from adhelpers.explainers.explanation import (
    BatchedScore,
    Explanation,
    check_pair,
    versioned,
    versions_of,
)


def test_pair_becomes_contiguous_float32():
    image, counterpart = check_pair(np.ones((6, 4, 3))[::2], np.zeros((3, 4, 3), dtype=int))
    assert image.dtype == counterpart.dtype == np.float32
    assert image.flags.c_contiguous and image.shape == (3, 4, 3)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (0, 4, 1), (1, 4, 4, 1)])
def test_wrong_image_shape_is_named(shape):
    with pytest.raises(ValueError, match="image must have the shape"):
        check_pair(np.zeros(shape), np.zeros(shape))


def test_other_errors_name_what_is_wrong():
    good = np.full((4, 4, 1), 0.5)
    with pytest.raises(
        ValueError,
        match=r"counterpart must have the shape of the image, \(4, 4, 1\), not \(4, 4, 3\)",
    ):
        check_pair(good, np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="image holds NaN"):
        check_pair(np.where(np.eye(4)[..., None], np.nan, good), good)
    with pytest.raises(ValueError, match="counterpart holds NaN"):
        check_pair(good, np.full((4, 4, 1), np.inf))
    with pytest.raises(
        ValueError, match=r"image must lie in \[0, 1\], but ranges from 127.5 to 127.5"
    ):
        check_pair(good * 255, good)


def test_counterpart_may_leave_the_unit_interval():
    assert check_pair(np.zeros((2, 2, 1)), np.full((2, 2, 1), 1.4))[1].max() == np.float32(1.4)


def test_batches_have_few_sizes_and_surplus_scores_are_dropped():
    sizes = []

    def score(images):
        assert images.dtype == np.float32 and images.flags.c_contiguous
        sizes.append(len(images))
        return images[:, 0, 0, 0]

    batched = BatchedScore(score, 8)
    for count in (1, 2, 3, 5, 8, 9, 21):
        images = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
        np.testing.assert_array_equal(batched(images), np.arange(count))
    assert set(sizes) == {1, 2, 4, 8}
    assert batched.evaluations == 1 + 2 + 3 + 5 + 8 + 9 + 21


def test_batch_size_need_not_be_a_power_of_two():
    sizes = []
    BatchedScore(lambda images: sizes.append(len(images)) or np.zeros(len(images)), 6)(
        np.zeros((17, 1, 1, 1), np.float32)
    )
    assert sizes == [6, 6, 6]


@pytest.mark.parametrize(
    "score, message",
    [
        (lambda images: np.zeros((len(images), 1)), r"for 2 images the shape \(2,\), not \(2, 1\)"),
        (lambda images: 1.0, r"the shape \(2,\), not \(\)"),
        (lambda images: np.array([0.0, np.nan]), "score returned NaN"),
    ],
)
def test_score_of_wrong_shape_or_value(score, message):
    with pytest.raises(ValueError, match=message):
        BatchedScore(score, 4)(np.zeros((2, 1, 1, 1), np.float32))


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "auto"])
def test_wrong_batch_size(batch_size):
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1"):
        BatchedScore(np.sum, batch_size)


def test_score_must_be_callable():
    with pytest.raises(ValueError, match="score must be a function"):
        BatchedScore(None, 1)


def test_explanation_has_empty_details_of_its_own():
    first, second = Explanation(np.zeros((1, 1))), Explanation(np.zeros((1, 1)))
    assert first.details == {} and first.details is not second.details


def test_a_version_is_kept_with_those_of_the_parts():
    @versioned(3)
    def part():
        pass

    @versioned(1, part)
    def whole():
        pass

    name = f"{__name__}.test_a_version_is_kept_with_those_of_the_parts.<locals>"
    assert versions_of(whole) == {f"{name}.whole": 1, f"{name}.part": 3}
    versioned(4)(part)
    assert versions_of(whole)[f"{name}.part"] == 4


@pytest.mark.parametrize("number", [0, "1", 1.0, True])
def test_a_version_is_a_whole_number(number):
    with pytest.raises(ValueError, match="whole number of at least 1"):
        versioned(number)


def test_what_has_no_version_is_refused_as_a_part_too():
    with pytest.raises(ValueError, match=r"check_pair has no version.*write @versioned\(1\)"):
        versions_of(check_pair)
    with pytest.raises(ValueError, match="check_pair has no version"):
        versioned(1, check_pair)
