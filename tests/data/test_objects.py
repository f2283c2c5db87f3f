"""Fast ways of finding an object, held against the plain ones of scipy and scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import block_reduce

from adhelpers.data.objects import (
    background_colour,
    closed_gaps,
    filled_holes,
    find_object,
    object_mask,
)


def spots(seed, shape, density):
    return np.random.default_rng(seed).uniform(size=shape) < density


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 999),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(0, 1),
    st.integers(1, 6),
)
def test_closing_and_filling_equal_those_of_scipy(seed, shape, density, radius):
    mask = spots(seed, shape, density)
    across = np.arange(-radius, radius + 1)
    disk = across[:, None] ** 2 + across**2 <= radius**2
    room = 2 * radius
    expected = ndimage.binary_closing(np.pad(mask, room), disk)[room:-room, room:-room]
    np.testing.assert_array_equal(closed_gaps(mask, radius), expected)
    np.testing.assert_array_equal(filled_holes(mask), ndimage.binary_fill_holes(mask))


@pytest.mark.parametrize("shape", [(50, 80, 1), (81, 33, 3), (2, 3, 1), (1, 7, 1)])
def test_background_colour_is_the_median_of_the_ring(shape):
    image = np.random.default_rng(0).uniform(size=shape).astype("float32")
    thickness = max(1, round(0.04 * min(shape[:2])))
    ring = np.ones(shape[:2], bool)
    ring[thickness:-thickness, thickness:-thickness] = False
    before = image.copy()
    np.testing.assert_array_equal(background_colour(image), np.median(image[ring], axis=0))
    np.testing.assert_array_equal(image, before)


def test_pose_of_a_large_image_is_that_of_its_block_means():
    random = np.random.default_rng(1)
    image = np.full((1030, 1540, 3), 0.8, np.float32)
    image[300:420, 200:1300] = 0.3
    image[250:470, 200:330] = 0.3
    image += random.normal(0, 0.02, image.shape).astype("float32")
    small = block_reduce(image[:1029, :1539][: 1029 // 4 * 4, : 1539 // 4 * 4], (4, 4, 1), np.mean)
    found, expected = find_object(image), find_object(small)
    np.testing.assert_allclose(found.down, expected.down, atol=1e-6)
    np.testing.assert_allclose(found.centre, (np.array(expected.centre) + 0.5) * 4 - 0.5, atol=1e-4)
    assert found.length == 4 * expected.length


def test_object_mask_fills_the_hole_of_a_ring_and_not_a_bay():
    rows, columns = np.mgrid[:100, :100]
    away = np.hypot(rows - 50, columns - 50)
    image = np.where((away < 30) & (away > 15), 0.2, 0.8)[..., None]
    assert object_mask(image)[50, 50]
    image[47:54, 50:] = 0.8
    assert not object_mask(image)[50, 60]


@pytest.mark.parametrize("shape", [(50, 50), (51, 38), (7, 9)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [255, 1000])
def test_a_median_that_is_counted_is_that_of_numpy(shape, channels, levels):
    random = np.random.default_rng(sum(shape))
    image = random.integers(0, levels + 1, (*shape, channels)) / np.float32(levels)
    image = image.astype(np.float32)
    thickness = max(1, round(0.04 * min(shape)))
    ring = np.ones(shape, bool)
    ring[thickness:-thickness, thickness:-thickness] = False
    found, expected = background_colour(image), np.median(image[ring], axis=0)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
