import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from adhelpers.detectors import ResidualScore
from adhelpers.detectors.residuals import RESIDUALS, SCORES, smooth
from adhelpers.metrics import area_levels


def pair(shape, seed=0):
    random = np.random.default_rng(seed)
    first = gaussian_filter(random.uniform(size=shape), (0, 1, 1, 0)).astype("float32")
    return first, np.clip(first + random.normal(0, 0.05, shape), 0, 1).astype("float32")


@pytest.mark.parametrize("shape, sigma", [((2, 40, 24), 2.0), ((1, 33, 17), 0.7), ((1, 9, 7), 4.0)])
def test_smooth_equals_scipy(shape, sigma):
    maps = np.random.default_rng(1).uniform(size=shape).astype("float32")
    expected = [gaussian_filter(one, sigma) for one in maps]
    np.testing.assert_allclose(smooth(tf.constant(maps), sigma), expected, atol=1e-6)


@pytest.mark.parametrize("shape, sigma", [((1, 2, 520), 2.0), ((1, 516, 40), 3.0)])
def test_smooth_of_large_maps_equals_scipy(shape, sigma):
    maps = np.random.default_rng(1).uniform(size=shape).astype("float32")
    expected = [gaussian_filter(one, sigma) for one in maps]
    # TensorFlow mirrors once, scipy again and again where the kernel is wider than the image.
    tolerance = 1e-6 if 4 * sigma <= min(shape[1:]) else 0.1
    np.testing.assert_allclose(smooth(tf.constant(maps), sigma), expected, atol=tolerance)


def test_every_score_by_hand():
    image, counterpart = np.zeros((1, 10, 10, 3), "float32"), np.zeros((1, 10, 10, 3), "float32")
    image[0, 2, 3] = (0.3, 0.0, 0.6)  # mean absolute difference 0.3
    counterpart[0, 7, 7] = counterpart[0, 8, 8] = 0.1  # across a corner: one region of two pixels
    expected = {
        "max": 0.3,
        "sse": 0.3**2 + 2 * 0.1**2,
        "mean": 0.5 / 100,
        "top": 0.4 / 2,
        "smooth_max": 0.3,
        "area": 0.1,
    }
    for name, value in expected.items():
        score = ResidualScore(name, smoothing=0, top_fraction=0.02, minimal_area=2).score_of(
            image, counterpart
        )
        assert float(score[0]) == pytest.approx(value, rel=1e-5), name
    squared = ResidualScore("max", "l2").score_of(image, counterpart)
    assert float(squared[0]) == pytest.approx((0.3**2 + 0.6**2) / 3, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(SCORES), st.sampled_from(RESIDUALS), st.integers(0, 1000))
def test_the_score_is_zero_only_for_the_counterpart_itself(name, residual, seed):
    image, other = pair((1, 16, 16, 1), seed)
    rule = ResidualScore(name, residual, smoothing=1.0, minimal_area=3)
    assert float(rule.score_of(image, image)[0]) == pytest.approx(0, abs=1e-4)
    assert float(rule.score_of(image, other)[0]) > 1e-4


@pytest.mark.parametrize("name", [name for name in SCORES if name != "area"])
@pytest.mark.parametrize("residual", RESIDUALS)
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
    moved = tf.reduce_sum(rule.score_of(image + step * direction, other)) - tf.reduce_sum(
        rule.score_of(image - step * direction, other)
    )
    assert float(moved) / (2 * step) == pytest.approx(float(np.linalg.norm(gradient)), rel=0.05)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"score": "maximum"}, "score must be one of smooth_max"),
        ({"residual": "l1"}, "residual must be one of"),
        ({"smoothing": -1}, "smoothing"),
        ({"top_fraction": 0}, "top_fraction"),
        ({"minimal_area": 0}, "minimal_area"),
    ],
)
def test_wrong_parameters_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        ResidualScore(**wrong)


def test_an_area_larger_than_the_map_is_refused():
    with pytest.raises(ValueError, match="minimal_area is 300 pixels, but a map has only 256"):
        ResidualScore("area", minimal_area=300).score_of(*pair((1, 16, 16, 1)))


def test_the_level_of_an_area_is_the_value_of_one_pixel_and_has_its_gradient():
    image, other = pair((3, 16, 16, 1), 3)
    rule, variable = ResidualScore("area", minimal_area=20), tf.Variable(image)
    with tf.GradientTape() as tape:
        score = rule.score_of(variable, other)
        total = tf.reduce_sum(score)
    maps = np.abs(image - other)[..., 0]
    np.testing.assert_allclose(score, area_levels(maps, [20])[:, 0], rtol=1e-6)
    gradient = tape.gradient(total, variable).numpy()[..., 0]
    assert ((gradient != 0).sum(axis=(1, 2)) == 1).all()
    np.testing.assert_allclose(maps[gradient != 0], score, rtol=1e-6)
    np.testing.assert_allclose(
        gradient[gradient != 0], np.sign(image - other)[..., 0][gradient != 0]
    )
