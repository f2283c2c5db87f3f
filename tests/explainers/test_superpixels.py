import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.segmentation import quickshift

from adhelpers.explainers.superpixels import _cut, segment_superpixels


def textured(shape, seed=0):
    """Smooth shading with grain: quickshift finds structure on all scales."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    shading = 0.5 + 0.3 * np.sin(rows / 9) * np.cos(columns / 7)
    return np.clip(
        shading[..., None] + 0.05 * np.random.default_rng(seed).standard_normal(shape), 0, 1
    ).astype(np.float32)


def segments_at(image, max_dist):
    pixels = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    return quickshift(
        pixels.astype(np.float64), max_dist=max_dist, kernel_size=2, ratio=0.95, sigma=0.05, rng=0
    )


def bisect(image, wanted, steps=60):
    """The plain bisection that the one-run method stands for: all numbers of segments it meets."""
    low, high, met = 0.0, 200.0, {}
    for _ in range(steps):
        middle = (low + high) / 2
        labels = segments_at(image, middle)
        met[len(np.unique(labels))] = labels
        if len(np.unique(labels)) == wanted:
            break
        low, high = (middle, high) if len(np.unique(labels)) > wanted else (low, middle)
    return met[min(met, key=lambda count: abs(count - wanted))]


@pytest.mark.parametrize("shape", [(64, 64, 1), (48, 80, 3), (96, 32, 1)])
def test_exact_number_and_labels_from_zero(shape):
    segments = segment_superpixels(textured(shape), num_segments=100)
    assert segments.shape == shape[:2] and segments.dtype == np.int64
    np.testing.assert_array_equal(np.unique(segments), np.arange(100))


@pytest.mark.parametrize("wanted", [30, 100])
def test_equals_bisection(wanted):
    image = textured((40, 56, 1))
    np.testing.assert_array_equal(
        segment_superpixels(image, num_segments=wanted), bisect(image, wanted)
    )


def test_unreachable_number_gives_the_nearest():
    constant = np.full((40, 40, 1), 0.5)
    counts = sorted(
        {len(np.unique(segments_at(constant, limit))) for limit in np.sqrt(np.arange(0, 110))}
    )
    assert 100 not in counts
    assert len(np.unique(segment_superpixels(constant, num_segments=100))) == min(
        counts, key=lambda count: abs(count - 100)
    )
    assert len(np.unique(segment_superpixels(constant, num_segments=1))) == counts[0]
    assert len(np.unique(segment_superpixels(constant, num_segments=10**6))) == 40 * 40


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 8), max_size=30), st.integers(1, 4), st.integers(1, 40))
def test_cut_is_nearest_of_all_limits(links, roots, wanted):
    lengths = np.array(links + [1e154] * roots, dtype=float)
    reachable = {int((lengths > limit).sum()) for limit in np.arange(0, 9)}
    best = min(reachable, key=lambda count: (abs(count - wanted), count))
    assert (lengths > _cut(lengths, wanted)).sum() == best


def test_sources():
    image, counterpart = textured((48, 48, 1), 0), textured((48, 48, 1), 1)
    of_image = segment_superpixels(image, counterpart, "image")
    of_counterpart = segment_superpixels(image, counterpart, "counterpart")
    of_blend = segment_superpixels(image, counterpart, "blend")
    np.testing.assert_array_equal(of_image, segment_superpixels(image))
    np.testing.assert_array_equal(of_counterpart, segment_superpixels(counterpart))
    np.testing.assert_array_equal(of_blend, segment_superpixels((image + counterpart) / 2))
    assert not np.array_equal(of_image, of_blend)


def test_same_seed_same_segments():
    image = np.full((32, 32, 1), 0.5)
    np.testing.assert_array_equal(
        segment_superpixels(image, seed=3), segment_superpixels(image, seed=3)
    )
    assert not np.array_equal(
        segment_superpixels(image, seed=3), segment_superpixels(image, seed=4)
    )


def test_an_edge_is_not_crossed():
    image = textured((48, 48, 1)) * 0.2
    image[12:30, 18:40] += 0.7
    inside = np.zeros((48, 48), bool)
    inside[12:30, 18:40] = True
    segments = segment_superpixels(image, num_segments=60)
    assert not set(segments[inside]) & set(segments[~inside])


def test_counterpart_outside_the_unit_interval_is_segmented():
    image = textured((32, 32, 1))
    assert segment_superpixels(image, image * 1.5 - 0.2, "counterpart", num_segments=50).shape == (
        32,
        32,
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"source": "both"}, "source must be one of image, counterpart, blend"),
        ({"source": "blend"}, "needs the counterpart"),
        ({"num_segments": 0}, "num_segments"),
        ({"num_segments": 10.5}, "num_segments"),
        ({"kernel_size": 0.5}, "kernel_size"),
        ({"ratio": 0}, "ratio"),
        ({"ratio": 1.5}, "ratio"),
        ({"sigma": -1}, "sigma"),
        ({"counterpart": np.zeros((4, 4, 1))}, "counterpart must have the shape"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        segment_superpixels(**{"image": np.zeros((16, 16, 1)), **changes})
