"""Planted defects: seeded, exactly where the mask says, on the object, and never nowhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from adhelpers.data import DEFECT_KINDS, object_or_all, plant_defect
from adhelpers.data.planting import VISIBLE, perlin_noise


def textured(shape=(64, 48, 1), seed=0):
    """A surface with some structure, far from black and white."""
    random = np.random.default_rng(seed)
    height, width, channels = shape
    waves = 0.5 + 0.15 * np.sin(np.arange(height)[:, None] / 3) * np.cos(np.arange(width) / 4)
    noise = random.uniform(-0.05, 0.05, shape)
    return (waves[..., None] + noise).astype(np.float32)


def with_object(seed=0):
    """A textured object on a plain bright background, and where it is."""
    image = np.full((80, 64, 1), 0.9, np.float32)
    inside = np.zeros((80, 64), bool)
    inside[20:60, 16:48] = True
    image[inside] = 0.5 * textured((80, 64, 1), seed)[inside]
    return image, inside


def planted(image, kind, seed, donors=None):
    changed = image.copy()
    random = np.random.default_rng(seed)
    mask = plant_defect(changed, [image] if donors is None else donors, random, kind=kind)
    return changed, mask


@pytest.mark.parametrize("kind", DEFECT_KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_mask_is_exactly_what_changed_by_more_than_the_stated_amount(kind, channels):
    donors = [textured((64, 48, channels), seed) for seed in range(3)]
    image = donors[0]
    for seed in range(12):
        changed, mask = planted(image, kind, seed, donors)
        difference = np.abs(changed - image).max(axis=-1)
        np.testing.assert_array_equal(mask, difference > 0)
        assert mask.any() and difference[mask].min() > VISIBLE
        assert changed.dtype == np.float32 and changed.min() >= 0 and changed.max() <= 1
        again, same = planted(image, kind, seed, donors)
        np.testing.assert_array_equal(changed, again)
        np.testing.assert_array_equal(mask, same)
    assert (planted(image, kind, 0)[1] != planted(image, kind, 1)[1]).any()


@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_on_an_object_nothing_beside_it_changes(kind):
    image, inside = with_object()
    # A shadow is looked for too, so that the lightest part of the pattern may be left out.
    assert (object_or_all(image) <= inside).all()
    assert object_or_all(image).sum() > 0.8 * inside.sum()
    for seed in range(20):
        assert not (planted(image, kind, seed)[1] & ~inside).any()


def test_without_an_object_defects_are_everywhere():
    image = textured()
    where = sum(planted(image, "hole", seed)[1].astype(int) for seed in range(80))
    halves = [where[:32, :24], where[:32, 24:], where[32:, :24], where[32:, 24:]]
    assert all(half.any() for half in halves)


def test_a_defect_stays_where_it_may_be():
    image, where = textured(), np.zeros((64, 48), bool)
    where[5:9, 40:] = True
    for kind in DEFECT_KINDS:
        mask = plant_defect(
            changed := image.copy(), [image], np.random.default_rng(1), kind=kind, where=where
        )
        assert mask.any() and not (mask & ~where).any()
        assert (changed[~where] == image[~where]).all()


def test_kinds_are_what_their_names_say():
    image = textured((120, 120, 1))
    for seed in range(10):
        # A line is long for its area: each of its pixels is near the outline.
        scratch = planted(image, "scratch", seed)[1]
        inner = ~binary_dilation(~scratch, iterations=5)
        assert np.ptp(np.argwhere(scratch), axis=0).max() > 10 and inner.sum() < scratch.sum() / 5
        # A warp moves what is there: no value beyond those in the neighbourhood appears.
        warped, mask = planted(image, "warp", seed)
        assert image.min() <= warped[mask].min() and warped[mask].max() <= image.max()
        # A hole loses most of the structure within.
        hollow, mask = planted(image, "hole", seed)
        core = ~binary_dilation(~mask, iterations=3)
        if core.sum() > 20:
            assert hollow[core].std() < image[core].std()


def test_a_paste_has_no_step_at_its_seam():
    """A donor that is lighter throughout is brought to the level of what surrounds it."""
    image = textured((120, 120, 1))
    for seed in range(10):
        changed, mask = planted(
            image, "paste", seed, [np.clip(textured((120, 120, 1), 9) + 0.3, 0, 1)]
        )
        assert abs(float((changed - image)[mask].mean())) < 0.1


def test_they_reach_from_subtle_to_obvious_and_from_small_to_large():
    image = textured((96, 96, 1))
    masks, contrasts = [], []
    for seed in range(60):
        changed, mask = planted(image, None, seed)
        masks.append(mask.mean())
        contrasts.append(np.abs(changed - image)[mask].mean())
    assert np.quantile(masks, 0.9) > 5 * np.quantile(masks, 0.1)
    assert np.quantile(contrasts, 0.9) > 3 * np.quantile(contrasts, 0.1)
    assert max(masks) < 0.4


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 3]),
    st.sampled_from(DEFECT_KINDS),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 9),
)
def test_however_small_and_plain_an_image_something_is_planted(
    height, width, channels, kind, level, seed
):
    image = np.full((height, width, channels), level, np.float32)
    changed, mask = planted(image, kind, seed)
    np.testing.assert_array_equal(mask, (changed != image).any(axis=-1))
    assert mask.any() and changed.min() >= 0 and changed.max() <= 1


def test_a_donor_of_another_size_is_mirrored():
    image = textured((90, 200, 3))
    for seed in range(10):
        assert planted(image, "paste", seed, [textured((6, 9, 3), 4)])[1].any()


def test_noise_is_as_smooth_as_its_period():
    def steps(period):
        noise = perlin_noise((80, 80), period, np.random.default_rng(0))
        assert np.abs(noise).max() <= 0.71
        return np.abs(np.diff(noise, axis=0)).mean() / noise.std()

    assert steps(16) < 0.6 * steps(8) < 0.4 * steps(4)


def test_what_cannot_be_is_refused():
    image = textured()
    with pytest.raises(ValueError, match="kind must be one of texture, paste.*not 'dent'"):
        planted(image, "dent", 0)
    with pytest.raises(ValueError, match="where must have at least one pixel"):
        plant_defect(
            image.copy(), [image], np.random.default_rng(0), where=np.zeros((64, 48), bool)
        )
