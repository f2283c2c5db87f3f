"""Normal versions of images: what each kind keeps and what it cannot, on planted truths."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from adhelpers.detectors import LinearReconstruction, NearestGood, PatchBlend, inpainted
from adhelpers.detectors.counterparts import composed

MAKERS = (NearestGood, LinearReconstruction, PatchBlend)


def stripes(phases, side=32):
    """Sharp stripes that lie elsewhere in each image."""
    columns = np.arange(side)
    return np.stack(
        [np.tile((((columns + phase) // 4) % 2 == 0) * 0.6 + 0.2, (side, 1)) for phase in phases]
    )[..., None].astype(np.float32)


def scratched(image):
    spoiled = image.copy()
    spoiled[12:18, 10:16] = 1
    return spoiled


@pytest.mark.parametrize("maker", MAKERS)
def test_a_scratch_is_gone_and_the_rest_stays(maker):
    good = stripes(range(8))
    spoiled = scratched(good[3])
    made = maker().fit(good).counterpart(spoiled[None])[0]
    assert made.shape == spoiled.shape and made.dtype == np.float32
    place = np.s_[12:18, 10:16]
    assert np.abs(made - good[3])[place].mean() < np.abs(spoiled - good[3])[place].mean() / 4
    assert np.abs(made - good[3]).mean() < 0.02


def test_the_nearest_good_image_is_moved_to_lie_as_the_image_does():
    random = np.random.default_rng(0)
    texture = gaussian_filter(random.uniform(size=(40, 40)), 1)
    texture = ((texture - texture.min()) / np.ptp(texture))[..., None].astype(np.float32)
    # Nearest as it lies is the grey image; moved by three pixels the texture fits exactly.
    good = np.stack([texture[4:36, 4:36], np.full((32, 32, 1), texture.mean(), np.float32)])
    image = texture[7:39, 4:36]
    made = NearestGood().fit(good).counterpart(image[None])[0]
    np.testing.assert_array_equal(made[:29], image[:29])


def test_a_good_image_is_not_moved_far():
    good = np.zeros((2, 32, 32, 1), np.float32)
    good[:, 2:6, 2:6] = 1
    image = np.zeros((1, 32, 32, 1), np.float32)
    image[0, 24:28, 24:28] = 1
    np.testing.assert_array_equal(NearestGood().fit(good).counterpart(image)[0], good[0])


def test_the_subspace_is_blurred_where_objects_lie_elsewhere_and_patches_are_not():
    random = np.random.default_rng(0)
    good, image = np.zeros((12, 64, 64, 1), np.float32), np.zeros((1, 64, 64, 1), np.float32)
    for one in good:
        row, column = random.integers(4, 44, 2)
        one[row : row + 16, column : column + 16] = 1
    image[0, 8:24, 36:52] = 1

    def away(maker):
        return np.abs(maker().fit(good).counterpart(image) - image).mean()

    assert away(PatchBlend) < away(LinearReconstruction) / 4


def test_inpainting_fills_from_around_and_leaves_the_rest():
    slope = np.tile(np.linspace(0.2, 0.8, 64, dtype=np.float32), (64, 1))[..., None]
    image = np.repeat(slope, 3, axis=2)
    region = np.zeros((64, 64), bool)
    region[20:30, 40:52] = True
    spoiled = np.where(region[..., None], 1, image).astype(np.float32)
    filled = inpainted(spoiled, region)
    np.testing.assert_array_equal(filled[~region], spoiled[~region])
    np.testing.assert_allclose(filled, image, atol=0.01)
    assert spoiled[25, 45, 0] == 1, "the image itself stays as it is"


@pytest.mark.parametrize("region", [np.zeros((8, 8), bool), np.ones((8, 8), bool)])
def test_inpainting_needs_a_region_and_something_around_it(region):
    image = np.full((8, 8, 1), 0.4, np.float32)
    np.testing.assert_array_equal(inpainted(image, region), image)


@pytest.mark.parametrize("maker", MAKERS)
def test_wrong_images_are_refused(maker):
    with pytest.raises(ValueError, match="at least two"):
        maker().fit(np.zeros((1, 16, 16, 1), np.float32))
    fitted = maker().fit(np.random.default_rng(0).uniform(size=(3, 16, 16, 1)).astype(np.float32))
    with pytest.raises(ValueError, match="16"):
        fitted.counterpart(np.zeros((1, 12, 16, 1), np.float32))


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("shape", [(9, 40, 3), (40, 9, 1), (7, 7, 3)])
def test_any_shape_of_image(maker, shape):
    good = np.random.default_rng(0).uniform(size=(4, *shape)).astype(np.float32)
    made = maker().fit(good).counterpart(good[:2])
    assert made.shape == (2, *shape) and made.min() >= 0 and made.max() <= 1


def test_a_composed_image_takes_each_place_from_where_it_is_alike():
    """Neither good image has both halves; a defect that no good image has is not taken over."""
    random = np.random.default_rng(0)
    texture = random.uniform(0.3, 0.7, (48, 48, 1)).astype(np.float32)
    left, right = texture.copy(), texture.copy()
    left[:, 30:] = random.uniform(0.3, 0.7, (48, 18, 1))
    right[:, :18] = random.uniform(0.3, 0.7, (48, 18, 1))
    image = texture.copy()
    image[10:14, 6:10] = 1.0
    made = composed(image, np.stack([left, right]))
    assert made.dtype == np.float32 and made.min() >= 0 and made.max() <= 1
    assert np.abs(made - texture)[:, :12].mean() < 0.02
    assert np.abs(made - texture)[:, 36:].mean() < 0.02
    assert made[10:14, 6:10].max() < 0.72
    np.testing.assert_array_equal(composed(left, np.stack([right, left])), left)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 3), (5, 2, 1)])
def test_tiny_and_uniform_images_are_composed(shape):
    good = np.stack([np.full(shape, value, np.float32) for value in (0.0, 0.5)])
    np.testing.assert_allclose(composed(good[1], good), 0.5)
    np.testing.assert_allclose(composed(good[0], good), 0.0)
    assert np.isfinite(composed(good[0] + 1, good)).all()
