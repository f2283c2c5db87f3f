import inspect
from functools import partial

import numpy as np
import pytest

import adhelpers.explainers as explainers
from adhelpers.explainers import (
    centre_prior,
    explain_with_gradcam,
    explain_with_lime,
    explain_with_occlusion,
    explain_with_shap,
    noise,
    residual_map,
    uniform,
)

BASELINES = [residual_map, uniform, centre_prior, noise]


def pair(shape, seed=0):
    draws = np.random.default_rng(seed)
    return draws.random(shape), draws.random(shape)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("shape", [(12, 20, 1), (20, 12, 3)])
def test_form(baseline, shape):
    heatmap = baseline(None, *pair(shape)).heatmap
    assert heatmap.shape == shape[:2] and heatmap.dtype == np.float32 and np.isfinite(heatmap).all()


@pytest.mark.parametrize("baseline", BASELINES)
def test_bad_pair(baseline):
    with pytest.raises(ValueError, match="counterpart must have the shape"):
        baseline(None, np.zeros((4, 4, 1)), np.zeros((4, 5, 1)))
    with pytest.raises(ValueError, match="image holds NaN"):
        baseline(None, np.full((4, 4, 1), np.nan), np.zeros((4, 4, 1)))


@pytest.mark.parametrize(
    "explainer",
    BASELINES
    + [explain_with_lime, explain_with_shap, explain_with_occlusion, explain_with_gradcam],
)
def test_all_share_one_signature_that_knows_no_ground_truth(explainer):
    parameters = inspect.signature(explainer).parameters
    assert (
        list(parameters)[:3] == ["score", "image", "counterpart"]
        and parameters["seed"].default == 0
    )
    assert all(
        parameter.kind is inspect.Parameter.KEYWORD_ONLY
        for parameter in list(parameters.values())[3:]
    )


def test_no_public_function_has_a_parameter_for_the_ground_truth():
    for name in explainers.__all__:
        for parameter in inspect.signature(getattr(explainers, name)).parameters:
            assert "mask" not in parameter and "truth" not in parameter and "label" not in parameter


def test_residual_by_hand():
    image, counterpart = np.zeros((3, 3, 3)), np.zeros((3, 3, 3))
    image[1, 1] = (0.9, 0.0, 0.3)
    counterpart[1, 1] = (0.0, 0.6, 0.3)
    expected = np.zeros((3, 3))
    expected[1, 1] = 0.5
    np.testing.assert_allclose(
        residual_map(None, image, counterpart, smoothing=0).heatmap, expected, atol=1e-7
    )


def test_residual_smoothing_is_a_gaussian_that_keeps_the_sum():
    image = np.zeros((41, 41, 1))
    image[20, 20] = 1
    heatmap = residual_map(None, image, np.zeros_like(image), smoothing=2.0).heatmap
    offsets = np.arange(-20, 21)
    bell = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 2.0**2))
    np.testing.assert_allclose(heatmap, bell / bell.sum(), atol=1e-4)
    assert heatmap.sum() == pytest.approx(1, abs=1e-4)


def test_uniform_is_one_everywhere():
    assert (uniform(None, *pair((5, 6, 1))).heatmap == 1).all()


def test_centre_prior_is_a_bell_over_the_relative_distance():
    heatmap = centre_prior(None, *pair((41, 81, 1)), width=0.2).heatmap
    assert heatmap[20, 40] == 1
    np.testing.assert_allclose(heatmap, heatmap[::-1, ::-1], rtol=1e-6)
    assert heatmap[20, 0] == pytest.approx(np.exp(-0.5 * (40 / (0.2 * 81)) ** 2), rel=1e-5)
    assert heatmap[0, 40] == pytest.approx(np.exp(-0.5 * (20 / (0.2 * 41)) ** 2), rel=1e-5)


def test_noise_repeats_for_image_and_seed_only():
    first, other = pair((32, 32, 1))
    base = noise(None, first, other, seed=4).heatmap
    np.testing.assert_array_equal(base, noise(None, first, first, seed=4).heatmap)
    assert (
        abs(np.corrcoef(base.ravel(), noise(None, first, other, seed=5).heatmap.ravel())[0, 1])
        < 0.3
    )
    assert (
        abs(np.corrcoef(base.ravel(), noise(None, other, other, seed=4).heatmap.ravel())[0, 1])
        < 0.3
    )
    assert base.std() == pytest.approx(1, rel=1e-4)


def test_noise_grain_grows_with_smoothing():
    image, _ = pair((64, 64, 1))
    neighbours = [
        np.corrcoef(heatmap[:, 1:].ravel(), heatmap[:, :-1].ravel())[0, 1]
        for heatmap in (noise(None, image, image, smoothing=width).heatmap for width in (0, 1, 3))
    ]
    assert abs(neighbours[0]) < 0.1 < neighbours[1] < neighbours[2]


@pytest.mark.parametrize(
    "call, message",
    [
        (partial(residual_map, smoothing=-1), "smoothing must be a number of at least 0"),
        (partial(noise, smoothing=np.nan), "smoothing"),
        (partial(noise, seed=-1), "seed must not be negative"),
        (partial(centre_prior, width=0), "width must be a positive number"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(None, *pair((8, 8, 1)))
