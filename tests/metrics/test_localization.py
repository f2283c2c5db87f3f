"""The Jaccard curve against a comparison of the whole image for each threshold."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adhelpers.metrics import explained_region, jaccard_curve, optimal_jaccard, optimal_jaccards

shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))


@st.composite
def heatmaps_and_masks(draw, empty_masks=False):
    shape = draw(shapes)
    # Quarters between -2 and 2: many ties, both signs, exact in float32.
    heatmap = draw(hnp.arrays(np.float32, shape, elements=st.integers(-8, 8).map(lambda value: value / 4)))
    mask = draw(hnp.arrays(bool, shape))
    if not mask.any() and not empty_masks:
        mask[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = True
    return heatmap, mask


def curve_by_brute_force(heatmap, mask):
    thresholds = sorted(set(heatmap.ravel().tolist()), reverse=True)
    jaccards = []
    for threshold in thresholds:
        region = heatmap >= threshold
        jaccards.append(np.count_nonzero(region & mask) / np.count_nonzero(region | mask))
    return thresholds, jaccards


@given(heatmaps_and_masks())
def test_curve_is_that_of_brute_force(pair):
    curve = jaccard_curve(*pair)
    thresholds, jaccards = curve_by_brute_force(*pair)
    assert curve.thresholds.tolist() == thresholds
    assert curve.jaccards.tolist() == jaccards


@given(heatmaps_and_masks())
def test_optimum_is_reached_at_its_threshold_and_not_exceeded(pair):
    heatmap, mask = pair
    best = optimal_jaccard(heatmap, mask)
    region = explained_region(heatmap, best.threshold)
    assert np.count_nonzero(region & mask) / np.count_nonzero(region | mask) == best.value
    assert best.value == max(curve_by_brute_force(heatmap, mask)[1])
    # The lowest threshold takes the whole image, so no map does worse than the mask's share of it.
    assert mask.mean() <= best.value <= 1


@given(heatmaps_and_masks())
def test_optimum_survives_monotone_maps_and_moving_the_pixels(pair):
    heatmap, mask = pair
    value = optimal_jaccard(heatmap, mask).value
    assert optimal_jaccard(np.exp(heatmap.astype(np.float64)) * 3 - 1, mask).value == value
    order = np.random.default_rng(0).permutation(heatmap.size)
    moved = heatmap.ravel()[order].reshape(heatmap.shape), mask.ravel()[order].reshape(mask.shape)
    assert optimal_jaccard(*moved).value == value


def test_perfect_heatmap_and_its_opposite():
    mask = np.zeros((4, 5), dtype=bool)
    mask[1:3, 1:3] = True
    assert optimal_jaccard(mask.astype(float), mask) == (1.0, 1.0)
    assert optimal_jaccard(-mask.astype(float), mask) == (4 / 20, -1.0)


def test_ties_advance_together():
    # Half of the tied pixels lie on the defect; no threshold may split them in its favour.
    heatmap = np.array([[0.5, 0.5, 0.5, 0.5, 0.0, 0.0]])
    mask = np.array([[True, True, False, False, False, False]])
    curve = jaccard_curve(heatmap, mask)
    assert curve.thresholds.tolist() == [0.5, 0.0]
    assert curve.jaccards.tolist() == [0.5, pytest.approx(1 / 3)]


def test_first_of_equally_good_thresholds_is_the_highest():
    heatmap = np.array([[3.0, 2.0, 1.0, 0.0]])
    mask = np.array([[True, False, False, True]])
    assert jaccard_curve(heatmap, mask).jaccards.tolist() == [0.5, pytest.approx(1 / 3), 0.25, 0.5]
    assert optimal_jaccard(heatmap, mask) == (0.5, 3.0)


def test_constant_map_has_the_share_of_the_mask():
    mask = np.array([[True, False, False, False]])
    assert optimal_jaccard(np.full((1, 4), 0.3), mask) == (0.25, 0.3)
    assert optimal_jaccard(np.zeros((1, 4)), mask).value == 0.25
    assert optimal_jaccard(np.zeros((1, 4)), np.ones((1, 4), dtype=bool)).value == 1.0


def test_signed_zeros_are_one_threshold():
    assert jaccard_curve(np.array([[0.0, -0.0]]), np.array([[True, False]])).jaccards.tolist() == [0.5]


def test_empty_mask_has_no_jaccard():
    heatmap, mask = np.array([[0.1, 0.2]]), np.zeros((1, 2), dtype=bool)
    curve = jaccard_curve(heatmap, mask)
    assert curve.thresholds.tolist() == [0.2, 0.1]
    assert np.isnan(curve.jaccards).all()
    best = optimal_jaccard(heatmap, mask)
    assert np.isnan(best.value) and np.isnan(best.threshold)
    assert not explained_region(heatmap, best.threshold).any()


def test_stack_gives_what_single_images_give():
    random = np.random.default_rng(2)
    heatmaps = np.round(random.normal(size=(5, 8, 9)), 1).astype(np.float32)
    masks = random.random((5, 8, 9)) < 0.2
    masks[1] = False
    heatmaps[3] = np.nan
    values, thresholds = optimal_jaccards(heatmaps, masks)
    for index in (0, 2, 4):
        assert (values[index], thresholds[index]) == optimal_jaccard(heatmaps[index], masks[index])
    assert np.isnan(values[[1, 3]]).all() and np.isnan(thresholds[[1, 3]]).all()


def test_map_that_is_nan_in_part_is_named():
    heatmaps = np.zeros((3, 2, 2))
    heatmaps[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"heatmaps\[1\] must be finite: 1 NaN"):
        optimal_jaccards(heatmaps, np.ones((3, 2, 2), dtype=bool))


@pytest.mark.parametrize("function", [jaccard_curve, optimal_jaccard])
@pytest.mark.parametrize("heatmap, mask, message", [
    (np.array([[np.nan, 1.0]]), np.ones((1, 2), dtype=bool), "heatmap must be finite: 1 NaN"),
    (np.ones((1, 2)), np.ones((2, 1), dtype=bool), r"\(1, 2\); got \(2, 1\)"),
    (np.ones((1, 2)), None, "ground_truth"),
    (np.ones((1, 1, 2)), np.ones((1, 1, 2), dtype=bool), r"shape \(h, w\)"),
    (np.ones((0, 2)), np.ones((0, 2), dtype=bool), "empty")])
def test_bad_input_is_named(function, heatmap, mask, message):
    with pytest.raises(ValueError, match=message):
        function(heatmap, mask)


def test_stack_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"shape \(n, h, w\)"):
        optimal_jaccards(np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="ground_truth"):
        optimal_jaccards(np.zeros((1, 2, 2)), None)
    with pytest.raises(ValueError, match="NaN"):
        explained_region(np.array([[np.nan]]), 0.0)
