import numpy as np
import pytest
import tensorflow as tf

from adhelpers.training import Augmentation

SEED = tf.constant((0, 1), tf.int32)


def images(count=4, shape=(16, 16, 1), seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype("float32")


def test_no_augmentation_changes_nothing():
    assert not Augmentation().active
    np.testing.assert_array_equal(Augmentation().apply(images(), SEED), images())


def test_flips_mirror_about_half_of_the_images():
    original = images(64)
    for flip, axis in (("horizontal", 2), ("vertical", 1)):
        changed = Augmentation(flip=flip).apply(original, SEED).numpy()
        mirrored = np.flip(original, axis)
        is_same = np.isclose(changed, original, atol=1e-4).all(axis=(1, 2, 3))
        is_mirrored = np.isclose(changed, mirrored, atol=1e-4).all(axis=(1, 2, 3))
        assert (is_same ^ is_mirrored).all() and 16 < is_mirrored.sum() < 48


def test_rotation_turns_about_the_centre_by_the_drawn_angle():
    grid_y, grid_x = np.mgrid[:33, :33] - 16.0
    blob = np.exp(-((grid_x - 10) ** 2 + grid_y**2) / 8).astype("float32")[None, ..., None]
    angles = []
    for step in range(20):
        turned = (
            Augmentation(rotation=60)
            .apply(blob, tf.constant((0, step), tf.int32))
            .numpy()[0, ..., 0]
        )
        x, y = (turned * grid_x).sum() / turned.sum(), (turned * grid_y).sum() / turned.sum()
        assert np.hypot(x, y) == pytest.approx(10, abs=0.2)
        angles.append(np.degrees(np.arctan2(y, x)))
    assert max(angles) > 30 and min(angles) < -30 and max(np.abs(angles)) <= 60.5


def test_shift_and_brightness_stay_within_their_limits():
    image = np.full((50, 20, 20, 1), 0.5, "float32")
    image[:, 10, 10] = 1
    moved = Augmentation(shift=0.1).apply(image, SEED).numpy()[..., 0]
    centres = [
        np.average(np.indices(one.shape).reshape(2, -1), axis=1, weights=(one - 0.5).ravel())
        for one in moved
    ]
    assert 1.2 < np.abs(np.array(centres) - 10).max() <= 2.05
    bright = (
        Augmentation(brightness=0.2)
        .apply(np.full((200, 4, 4, 1), 0.5, "float32"), SEED)
        .numpy()[:, 0, 0, 0]
    )
    assert 0.4 <= bright.min() < 0.42 and 0.58 < bright.max() <= 0.6


def test_each_image_and_step_draws_its_own_change():
    twice = np.repeat(images(1), 2, axis=0)
    rule = Augmentation(rotation=180)
    first = rule.apply(twice, SEED).numpy()
    assert np.abs(first[0] - first[1]).max() > 0.1
    np.testing.assert_array_equal(first, rule.apply(twice, SEED))
    assert np.abs(first - rule.apply(twice, tf.constant((0, 2), tf.int32))).max() > 0.1


@pytest.mark.parametrize(
    "wrong", [{"rotation": 200}, {"shift": -0.1}, {"brightness": 2}, {"flip": "diagonal"}]
)
def test_wrong_augmentations_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)
