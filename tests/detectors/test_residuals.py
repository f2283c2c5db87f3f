import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity as skimage_similarity

from adhelpers.detectors import ResidualScore, smooth, structural_similarity
from adhelpers.detectors.residuals import SCORES


def pair(shape, seed=0):
    random = np.random.default_rng(seed)
    first = gaussian_filter(random.uniform(size=shape), (0, 1, 1, 0)).astype("float32")
    return first, np.clip(first + random.normal(0, 0.05, shape), 0, 1).astype("float32")


@pytest.mark.parametrize("shape, sigma", [((2, 40, 24), 2.0), ((1, 33, 17), 0.7), ((1, 9, 7), 4.0)])
def test_smooth_equals_scipy(shape, sigma):
    maps = np.random.default_rng(1).uniform(size=shape).astype("float32")
    expected = [gaussian_filter(one, sigma) for one in maps]
    # scipy mirrors again and again where the kernel is wider than the image; ours is cut at one mirror.
    tolerance = 1e-6 if 4 * sigma <= min(shape[1:]) else 0.02
    np.testing.assert_allclose(smooth(tf.constant(maps), sigma), expected, atol=tolerance)


@pytest.mark.parametrize("shape", [(2, 48, 32, 1), (1, 32, 40, 3)])
def test_structural_similarity_equals_skimage(shape):
    first, second = pair(shape)
    ours = structural_similarity(tf.constant(first), tf.constant(second)).numpy()
    for index in range(shape[0]):
        _, expected = skimage_similarity(first[index], second[index], channel_axis=-1, data_range=1, gaussian_weights=True, sigma=1.5,
                                         use_sample_covariance=False, full=True)
        np.testing.assert_allclose(ours[index], expected.mean(axis=-1), atol=1e-4)


def test_every_score_by_hand():
    image, counterpart = np.zeros((1, 10, 10, 3), "float32"), np.zeros((1, 10, 10, 3), "float32")
    image[0, 2, 3] = (0.3, 0.0, 0.6)   # mean absolute difference 0.3
    counterpart[0, 7, 7] = 0.1
    expected = {"max": 0.3, "sse": 0.3 ** 2 + 0.1 ** 2, "mean": 0.4 / 100, "top": 0.4 / 2, "smooth_max": 0.3}
    for name, value in expected.items():
        score = ResidualScore(name, smoothing=0, top_fraction=0.02).score_of(image, counterpart)
        assert float(score[0]) == pytest.approx(value, rel=1e-5), name


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(SCORES), st.sampled_from(("absolute", "ssim")), st.integers(0, 1000))
def test_the_score_is_zero_only_for_the_counterpart_itself(name, residual, seed):
    image, other = pair((1, 16, 16, 1), seed)
    rule = ResidualScore(name, residual, smoothing=1.0)
    assert float(rule.score_of(image, image)[0]) == pytest.approx(0, abs=1e-4)
    assert float(rule.score_of(image, other)[0]) > 1e-4


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("residual", ("absolute", "ssim"))
def test_the_score_is_the_reduction_of_the_map_and_differentiable(name, residual):
    image, other = pair((2, 16, 16, 1), 3)
    rule = ResidualScore(name, residual, smoothing=1.0)
    np.testing.assert_allclose(rule.score_of(image, other), rule.reduce(rule.map_of(image, other)))
    variable = tf.Variable(image)
    with tf.GradientTape() as tape:
        score = tf.reduce_sum(rule.score_of(variable, other))
    gradient = tape.gradient(score, variable).numpy()
    direction = gradient / np.linalg.norm(gradient)
    step = 2e-4
    moved = tf.reduce_sum(rule.score_of(image + step * direction, other)) - tf.reduce_sum(rule.score_of(image - step * direction, other))
    assert float(moved) / (2 * step) == pytest.approx(float(np.linalg.norm(gradient)), rel=0.05)


@pytest.mark.parametrize("wrong, message", [
    ({"score": "maximum"}, "score must be one of smooth_max"), ({"residual": "l2"}, "residual must be one of"),
    ({"smoothing": -1}, "smoothing"), ({"top_fraction": 0}, "top_fraction"),
])
def test_wrong_parameters_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        ResidualScore(**wrong)
