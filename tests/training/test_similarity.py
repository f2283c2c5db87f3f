"""Structural similarity against scikit-image, a slow version, and TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity as skimage_similarity

from adhelpers.training import (
    multiscale_dissimilarity,
    structural_dissimilarity,
    structural_similarity,
)
from adhelpers.training.similarity import (
    _SCALE_WEIGHTS,
    multiscale_similarity,
    similarity_parts,
    similarity_scales,
)


def pair(shape, seed=0):
    random = np.random.default_rng(seed)
    first = gaussian_filter(random.uniform(size=shape), (0, 1, 1, 0)).astype("float32")
    return first, np.clip(first + random.normal(0, 0.05, shape), 0, 1).astype("float32")


def skimage_map(first, second):
    return skimage_similarity(
        first,
        second,
        channel_axis=-1,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )


@pytest.mark.parametrize("shape", [(2, 48, 32, 1), (1, 32, 40, 3)])
def test_structural_similarity_equals_skimage(shape):
    first, second = pair(shape)
    ours = structural_similarity(tf.constant(first), tf.constant(second)).numpy()
    for index in range(shape[0]):
        _, expected = skimage_map(first[index], second[index])
        np.testing.assert_allclose(ours[index], expected.mean(axis=-1), atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 48, 32, 1), (1, 32, 40, 3), (1, 11, 11, 1)])
def test_the_loss_is_one_less_skimage(shape):
    first, second = pair(shape)
    ours = structural_dissimilarity(tf.constant(first), tf.constant(second)).numpy()
    for index in range(shape[0]):
        # scikit-image's own mean leaves out the border, too.
        expected, _ = skimage_map(first[index], second[index])
        assert ours[index] == pytest.approx(1 - expected, abs=1e-4)


def slow_multiscale(first, second, weights):
    """One image of one channel in float64, window sums written out with scipy.

    What skimage's SSIM has beside its luminance is the rest.
    """

    def blur(image):
        return gaussian_filter(image, 1.5, truncate=3.5)[5:-5, 5:-5]

    product = 1.0
    for scale, weight in enumerate(weights):
        mean_first, mean_second = blur(first), blur(second)
        luminance = (2 * mean_first * mean_second + 1e-4) / (mean_first**2 + mean_second**2 + 1e-4)
        similarity = skimage_map(first[..., None], second[..., None])[1][5:-5, 5:-5, 0]
        last = scale == len(weights) - 1
        product *= (similarity if last else similarity / luminance).mean() ** weight
        first, second = (
            image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
            .reshape(image.shape[0] // 2, 2, image.shape[1] // 2, 2)
            .mean(axis=(1, 3))
            for image in (first, second)
        )
    return product


@pytest.mark.parametrize("shape", [(1, 96, 64, 3), (2, 200, 180, 1), (1, 45, 23, 3)])
def test_multiscale_similarity_equals_a_slow_version(shape):
    first, second = pair(shape)
    scales = similarity_scales(*shape[1:3])
    weights = np.array(_SCALE_WEIGHTS[:scales]) / sum(_SCALE_WEIGHTS[:scales])
    expected = [
        np.mean(
            [
                slow_multiscale(
                    one[..., channel].astype(float), other[..., channel].astype(float), weights
                )
                for channel in range(shape[3])
            ]
        )
        for one, other in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(
        multiscale_similarity(tf.constant(first), tf.constant(second)), expected, atol=1e-4
    )
    np.testing.assert_allclose(
        multiscale_dissimilarity(tf.constant(first), tf.constant(second)),
        1 - np.array(expected),
        atol=1e-4,
    )


def test_multiscale_similarity_equals_tensorflow_at_five_scales():
    first, second = pair((2, 192, 176, 3))
    assert similarity_scales(192, 176) == 5
    np.testing.assert_allclose(
        multiscale_similarity(tf.constant(first), tf.constant(second)),
        tf.image.ssim_multiscale(first, second, max_val=1.0),
        atol=1e-4,
    )


@pytest.mark.parametrize(
    "sides, scales", [((176, 176), 5), ((175, 300), 4), ((22, 22), 2), ((21, 90), 1)]
)
def test_the_window_fits_into_every_scale(sides, scales):
    assert similarity_scales(*sides) == scales


@pytest.mark.parametrize("loss", [structural_dissimilarity, multiscale_dissimilarity])
def test_opposite_images_have_a_finite_loss_and_gradient(loss):
    image = np.random.default_rng(0).uniform(size=(1, 48, 48, 1)).astype("float32")
    other = tf.Variable(1 - image)
    with tf.GradientTape() as tape:
        value = loss(tf.constant(image), other)[0]
    assert 0.9 < float(value) <= 2 and np.isfinite(tape.gradient(value, other)).all()


def slow_similarity(first, second):
    """SSIM in float64, each window written out: its weighted mean, then squares of deviations."""
    offsets = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(offsets, offsets) / offsets.sum() ** 2
    found = np.empty((first.shape[0] - 10, first.shape[1] - 10))
    for y, x in np.ndindex(*found.shape):
        one, other = (image[y : y + 11, x : x + 11].astype(np.float64) for image in (first, second))
        means = (weights * one).sum(), (weights * other).sum()
        one, other = one - means[0], other - means[1]
        covariance = (weights * one * other).sum()
        variances = (weights * one**2).sum() + (weights * other**2).sum()
        found[y, x] = (
            (2 * means[0] * means[1] + 1e-4)
            / (means[0] ** 2 + means[1] ** 2 + 1e-4)
            * (2 * covariance + 9e-4)
            / (variances + 9e-4)
        )
    return found


def flat_cases():
    random = np.random.default_rng(3)
    noise = random.normal(size=(2, 24, 24))
    nearly = [0.9 + 1e-3 * one for one in noise]
    halves = np.where(np.arange(24) < 12, 0.2, 0.95) * np.ones((24, 1))
    return {
        "flat": (np.full((24, 24), 0.9), np.full((24, 24), 0.9)),
        "flat at two levels": (np.full((24, 24), 0.9), np.full((24, 24), 0.4)),
        "nearly flat": nearly,
        "nearly flat and flat": (nearly[0], np.full((24, 24), 0.9)),
        "constant offset": (nearly[0], nearly[0] - 0.3),
        "two flat halves": (halves, halves + 1e-3 * noise[0]),
        "random": random.uniform(size=(2, 24, 24)),
    }


@pytest.mark.parametrize("name", flat_cases())
def test_flat_areas_have_the_similarity_of_the_slow_version(name):
    first, second = (np.float32(image) for image in flat_cases()[name])
    parts = similarity_parts(*(tf.constant(one[None, ..., None]) for one in (first, second)))
    ours = (parts[0] * parts[1]).numpy()[0, ..., 0]
    # Before, the variances as differences of squares were off by up to 4.5e-4.
    np.testing.assert_allclose(ours, slow_similarity(first, second), rtol=0, atol=2e-5)


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float32, (12, 12), elements=st.floats(0, 1, width=32)),
    hnp.arrays(np.float32, (12, 12), elements=st.floats(0, 1, width=32)),
    st.floats(0, 1, width=32),
)
def test_similarity_is_at_most_one_and_its_gradient_finite(first, texture, strength):
    second = tf.Variable((first + strength * (texture - first))[None, ..., None])
    first = tf.constant(first[None, ..., None])
    with tf.GradientTape() as tape:
        luminance, contrast_structure = similarity_parts(first, second)
        loss = tf.reduce_mean(luminance * contrast_structure)
    assert float(tf.reduce_max(luminance)) <= 1 and float(tf.reduce_max(contrast_structure)) <= 1
    assert np.isfinite(tape.gradient(loss, second)).all()
    assert float(tf.reduce_min(structural_similarity(first, first))) == 1.0


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_the_gradient_of_flat_images_is_finite(level):
    image, other = tf.fill((1, 16, 16, 1), level), tf.Variable(tf.fill((1, 16, 16, 1), level))
    with tf.GradientTape() as tape:
        loss = structural_dissimilarity(image, other)[0]
    assert float(loss) == 0.0 and np.isfinite(tape.gradient(loss, other)).all()
