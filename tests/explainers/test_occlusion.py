"""Occlusion against a slow version and a score that adds up over pixels, whose drop is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adhelpers.explainers import explain_images, explain_with_occlusion


def pair(shape=(9, 7, 1), seed=0):
    draws = np.random.default_rng(seed)
    return draws.random(shape).astype(np.float32), draws.random(shape).astype(np.float32)


def peak(images):
    """A score that does not add up."""
    return images.max(axis=(1, 2, 3)) ** 2 + images[:, 1, 1, 0] * images[:, 2, 2, 0]


def slow(score, image, counterpart, window, stride):
    """One window at a time, pixel by pixel."""
    height, width = image.shape[:2]
    tops = sorted({*range(0, height - window[0] + 1, stride), height - window[0]})
    lefts = sorted({*range(0, width - window[1] + 1, stride), width - window[1]})
    drops = [[[] for _ in range(width)] for _ in range(height)]
    for top in tops:
        for left in lefts:
            occluded = image.copy()
            for row in range(top, top + window[0]):
                for column in range(left, left + window[1]):
                    occluded[row, column] = counterpart[row, column]
            drop = float(score(image[None])[0]) - float(score(occluded[None])[0])
            for row in range(top, top + window[0]):
                for column in range(left, left + window[1]):
                    drops[row][column].append(drop)
    return np.array([[np.mean(one) for one in row] for row in drops])


@settings(max_examples=25, deadline=None)
@given(
    st.integers(4, 9),
    st.integers(4, 9),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_against_a_slow_version(height, width, rows, columns, stride, batch_size):
    stride = min(stride, rows, columns)
    image, counterpart = pair((height, width, 1), seed=height + 10 * width)
    found = explain_with_occlusion(
        peak, image, counterpart, window=(rows, columns), stride=stride, batch_size=batch_size
    )
    np.testing.assert_allclose(
        found.heatmap, slow(peak, image, counterpart, (rows, columns), stride), atol=1e-6
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_a_window_of_one_pixel_gives_each_pixel_its_share_of_an_additive_score(channels):
    image, counterpart = pair((6, 5, channels))
    weights = np.random.default_rng(1).standard_normal((6, 5, channels))
    found = explain_with_occlusion(
        lambda images: (images * weights).sum(axis=(1, 2, 3)),
        image,
        counterpart,
        window=1,
        stride=1,
    )
    np.testing.assert_allclose(
        found.heatmap, ((image - counterpart) * weights).sum(axis=2), atol=1e-6
    )


def test_windows_side_by_side_share_the_whole_drop_of_an_additive_score():
    image, counterpart = pair((8, 12, 1))
    found = explain_with_occlusion(
        lambda images: images.sum(axis=(1, 2, 3)), image, counterpart, window=4, stride=4
    )
    # Each window's drop stands on its 16 pixels.
    assert found.heatmap.sum() / 16 == pytest.approx(float((image - counterpart).sum()), abs=1e-4)
    assert found.details == {
        "score": pytest.approx(float(image.sum()), rel=1e-6),
        "windows": 6,
        "window": [4, 4],
        "stride": 4,
    }


def test_defaults_follow_the_size_and_cover_every_pixel():
    image, counterpart = pair((33, 18, 1))
    found = explain_with_occlusion(peak, image, counterpart)
    assert (
        found.details["window"] == [2, 2]
        and found.details["stride"] == 1
        and np.isfinite(found.heatmap).all()
    )
    assert explain_with_occlusion(peak, *pair((64, 80, 1))).details["window"] == [8, 8]


def test_the_counterpart_itself_has_nothing_to_explain():
    image, _ = pair()
    assert (explain_with_occlusion(peak, image, image).heatmap == 0).all()


def test_in_a_batch_with_a_store(tmp_path):
    image, counterpart = pair()
    result = explain_images(
        explain_with_occlusion,
        peak,
        image[None],
        counterpart[None],
        show_progress=False,
        store=tmp_path,
    )
    again = explain_images(
        explain_with_occlusion,
        peak,
        image[None],
        counterpart[None],
        show_progress=False,
        store=tmp_path,
    )
    np.testing.assert_array_equal(result.heatmaps, again.heatmaps)
    assert again.details[0]["window"] == [2, 2] and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"window": 0}, "window must be a whole number of pixels"),
        ({"window": (3, 8)}, "within the image's 9 x 7"),
        ({"window": 2.5}, "window must be"),
        ({"window": (2, 2, 2)}, "window must be"),
        (
            {"window": 3, "stride": 4},
            "stride must be a whole number from 1 to the window's shorter side, 3",
        ),
        ({"stride": 0}, "stride must be"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        explain_with_occlusion(peak, *pair(), **options)


def test_a_score_that_is_not_one_number_an_image():
    with pytest.raises(ValueError, match="one number for each image"):
        explain_with_occlusion(lambda images: images.mean(), *pair())
