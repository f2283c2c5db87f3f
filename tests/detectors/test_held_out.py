"""Held-out scores against fits that leave each image out by hand, and what they promise."""

import numpy as np
import pytest

from adhelpers.detectors import (
    BackboneSettings,
    FeatureSettings,
    FeatureSubspace,
    Fusion,
    MemoryBank,
    Subspace,
    held_out_scores,
)
from adhelpers.metrics import expected_false_alarm_rate, normal_quantile

LAYERS = BackboneSettings(layers=("block1_conv2",))
PATCHES = FeatureSettings("patch", stride=16)


def good(count, seed=0):
    """Images that vary in five ways, with a little noise."""
    random = np.random.default_rng(seed)
    ways = np.random.default_rng(99).normal(size=(5, 32 * 32))
    images = 0.5 + 0.03 * random.normal(size=(count, 5)) @ ways
    images += random.normal(0, 0.01, images.shape)
    return np.clip(images, 0, 1).reshape(count, 32, 32, 1).astype(np.float32)


def held_out(detector, train, validation):
    return held_out_scores(detector, train, validation, show_progress=False)


def test_each_image_is_scored_by_a_subspace_of_the_others():
    train, validation = good(9), good(3, seed=1)
    detector = Subspace().fit(train, validation)
    scores = held_out(detector, train, validation)
    chosen = len(detector.pca.components_)
    for index in range(9):
        rest = np.delete(train, index, axis=0)
        alone = Subspace(min(chosen, 7)).fit(rest, validation)
        np.testing.assert_allclose(scores[index], alone.score(train[index : index + 1])[0], 1e-4)


@pytest.mark.parametrize(
    "detector",
    [
        MemoryBank(PATCHES, LAYERS, coreset=0.5, neighbours=2),
        FeatureSubspace(PATCHES, LAYERS, variance="auto"),
    ],
)
def test_detectors_of_features_too(detector):
    train, validation = good(4), good(2, seed=1)
    detector.fit(train, validation, show_progress=False)
    scores = held_out(detector, train, validation)
    alone = detector.unfitted_copy(3).fit(train[1:], validation, show_progress=False)
    np.testing.assert_allclose(scores[0], alone.score(train[:1])[0], rtol=1e-3)
    # A choice that was made stays, so that nothing is planted again.
    assert not getattr(alone, "selection", [])


def test_many_images_are_left_out_in_ten_groups_of_neighbours():
    train, validation = good(40), good(3, seed=1)
    detector = Subspace(4).fit(train, validation)
    scores = held_out(detector, train, validation)
    alone = Subspace(4).fit(train[4:], validation)
    np.testing.assert_allclose(scores[:4], alone.score(train[:4]), rtol=1e-4)


def test_what_cannot_be_fitted_again_in_seconds_has_none():
    train, validation = good(4), good(3, seed=1)
    fusion = Fusion([Subspace(1), Subspace(2)]).fit(train, validation)
    assert held_out(fusion, train, validation) is None
    assert held_out(Subspace(1).fit(train[:2], validation), train[:2], validation) is None


def test_a_threshold_with_held_out_scores_keeps_what_it_promises():
    """Over many small sets: false alarms among further images, against `1 - k / (n + 1)`."""
    pool, random = good(400, seed=2), np.random.default_rng(3)
    detector, rates, promises, narrow = Subspace(2), [], [], []
    for _ in range(60):
        order = random.permutation(len(pool))
        train, validation, others = np.split(pool[order[:131]], [8, 11])
        detector.fit(train, validation)
        scores, new = detector.score(validation), detector.score(others)
        left_out = held_out(detector, train, validation)
        threshold = normal_quantile(scores, 0.9, left_out)
        promises.append(expected_false_alarm_rate(np.r_[scores, left_out], threshold))
        rates.append(threshold.flag(new).mean())
        narrow.append(normal_quantile(scores, 0.9).flag(new).mean())
    assert np.unique(promises).tolist() == [1 - 10 / 12]
    # A training image that has been seen, or three validation images alone, would flag far more.
    assert np.mean(rates) == pytest.approx(promises[0], abs=0.04)
    assert np.mean(narrow) == pytest.approx(1 / 4, abs=0.05)
