"""Structural similarity against scikit-image, a slow version, and TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf
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
