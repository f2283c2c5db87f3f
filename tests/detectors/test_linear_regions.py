"""Scores from regions' reconstructions: equal to those of composed images, one by one."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adhelpers.detectors import ResidualScore, Subspace
from adhelpers.explainers import Sampling, explain_with_lime, explain_with_shap


def fitted(channels=1, scoring=None, shape=(12, 10)):
    random = np.random.default_rng(channels)
    good = random.uniform(size=(14, *shape, channels)).astype(np.float32)
    return Subspace(6, scoring=scoring).fit(good[:12], good[12:])


def pair(detector, seed=0):
    # Far from the good images, so that reconstructions leave [0, 1] and are cut.
    image = (np.random.default_rng(seed).uniform(size=detector.image_shape) > 0.5).astype("f")
    return image, detector.counterpart(image[None])[0]


def plain(detector, image, counterpart, shown):
    return detector.score(np.where(shown[..., None], image, counterpart))


@given(st.integers(0, 99), st.sampled_from([1, 3]), st.integers(1, 5), st.integers(1, 70))
@settings(max_examples=20, deadline=None)
def test_any_compositions_of_any_segments(seed, channels, count, rows):
    detector, random = DETECTORS[channels], np.random.default_rng(seed)
    image, counterpart = pair(detector, seed)
    segments = random.integers(0, count, image.shape[:2])
    present = random.integers(0, 2, (rows, count)).astype(np.float32)
    scores = detector.region_scores(image, counterpart)
    # One after the other or all at once; a segment may have no pixel.
    for part in np.array_split(np.arange(count), random.integers(1, 3)):
        scores.add(segments == part[:, None, None])
    shown = present[:, segments] > 0
    expected = plain(detector, image, counterpart, shown)
    np.testing.assert_allclose(scores(shown, present), expected, atol=1e-5)


DETECTORS = {channels: fitted(channels) for channels in (1, 3)}


@pytest.mark.parametrize(
    "scoring",
    [
        ResidualScore("max"),
        ResidualScore("sse", "l2"),
        ResidualScore("top", "ssim", top_fraction=0.1),
        ResidualScore("area", minimal_area=3),
    ],
)
def test_every_kind_of_score(scoring):
    detector = fitted(scoring=scoring)
    image, counterpart = pair(detector)
    shown = np.random.default_rng(3).random((5, *image.shape[:2])) < 0.5
    scores = detector.region_scores(image, counterpart)
    scores.add(shown)
    expected = plain(detector, image, counterpart, shown)
    np.testing.assert_allclose(scores(shown, np.eye(5, dtype="f")), expected, rtol=1e-5, atol=1e-5)


def test_complements_and_differences_of_regions():
    detector = DETECTORS[1]
    image, counterpart = pair(detector)
    whole = np.ones((1, *image.shape[:2]), bool)
    half = whole.copy()
    half[:, 6:] = False
    scores = detector.region_scores(image, counterpart)
    scores.add(np.concatenate([whole, half]))
    shown = np.concatenate([whole, half, whole & ~half, ~whole])
    present = np.float32([[1, 0], [0, 1], [1, -1], [0, 0]])
    expected = plain(detector, image, counterpart, shown)
    np.testing.assert_allclose(scores(shown, present), expected, atol=1e-5)


@pytest.mark.parametrize(
    "explain",
    [
        partial(explain_with_lime, sampling=Sampling(65)),
        partial(explain_with_shap, max_evaluations=100),
    ],
)
def test_explanations_are_those_of_the_plain_way(explain):
    detector = DETECTORS[3]
    image, counterpart = pair(detector)
    slow = explain(detector.score, image, counterpart)
    quick = explain(detector.score, image, counterpart, region_scores=detector.region_scores)
    np.testing.assert_allclose(quick.heatmap, slow.heatmap, atol=1e-5)


def test_a_fit_to_images_of_another_size_compiles_anew():
    detector = fitted()
    detector.region_scores(*pair(detector))
    other = np.random.default_rng(0).uniform(size=(14, 8, 8, 1)).astype(np.float32)
    detector.fit(other[:12], other[12:])
    image, counterpart = pair(detector)
    scores = detector.region_scores(image, counterpart)
    everything = np.ones((1, 8, 8), bool)
    scores.add(everything)
    np.testing.assert_allclose(
        scores(everything, np.ones((1, 1), "f")), detector.score(image[None]), atol=1e-5
    )
