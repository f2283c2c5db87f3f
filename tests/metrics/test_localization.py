"""Jaccard indices against a loop over thresholds; the table against single images."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adhelpers.metrics import (
    explained_region,
    good_image_threshold,
    localization,
    localization_table,
    optimal_jaccards,
)
from adhelpers.metrics.localization import jaccard_at, jaccard_curve, optimal_jaccard
from adhelpers.metrics.relevance import (
    heatmap_auroc,
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    top_k_intersection,
)

shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))


@st.composite
def heatmaps_and_masks(draw, empty_masks=False):
    shape = draw(shapes)
    # Quarters between -2 and 2: many ties, both signs, exact in float32.
    heatmap = draw(
        hnp.arrays(np.float32, shape, elements=st.integers(-8, 8).map(lambda value: value / 4))
    )
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


def test_the_highest_of_equally_good_thresholds_is_kept():
    random = np.random.default_rng(14)
    for _ in range(500):
        heatmap = np.round(random.random((9, 9)), 1)
        mask = random.random((9, 9)) < random.uniform(0.05, 0.9)
        mask[0, 0] = True
        exact = {}
        for threshold in sorted(set(heatmap.ravel().tolist()), reverse=True):
            region = heatmap >= threshold
            exact[threshold] = Fraction(int((region & mask).sum()), int((region | mask).sum()))
        assert optimal_jaccard(heatmap, mask).threshold == max(exact, key=exact.get)


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
    assert jaccard_curve(np.array([[0.0, -0.0]]), np.array([[True, False]])).jaccards.tolist() == [
        0.5
    ]


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
@pytest.mark.parametrize(
    "heatmap, mask, message",
    [
        (np.array([[np.nan, 1.0]]), np.ones((1, 2), dtype=bool), "heatmap must be finite: 1 NaN"),
        (np.ones((1, 2)), np.ones((2, 1), dtype=bool), r"\(1, 2\); got \(2, 1\)"),
        (np.ones((1, 2)), None, "ground_truth"),
        (np.ones((1, 1, 2)), np.ones((1, 1, 2), dtype=bool), r"shape \(h, w\)"),
        (np.ones((0, 2)), np.ones((0, 2), dtype=bool), "empty"),
    ],
)
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


@given(heatmaps_and_masks(), st.floats(-3, 3))
def test_jaccard_at_a_threshold_counts_pixels(pair, threshold):
    heatmap, mask = pair
    both = either = 0
    for value, on_defect in zip(heatmap.ravel().tolist(), mask.ravel().tolist(), strict=True):
        explained = value >= threshold and value > 0
        both += explained and on_defect
        either += explained or on_defect
    assert jaccard_at(heatmap, mask, threshold) == both / either


@given(heatmaps_and_masks())
def test_jaccard_at_positive_thresholds_lies_on_the_curve(pair):
    heatmap, mask = pair
    curve, best = jaccard_curve(heatmap, mask), optimal_jaccard(heatmap, mask)
    for threshold, jaccard in zip(*curve, strict=True):
        if threshold > 0:
            assert jaccard_at(heatmap, mask, threshold) == jaccard
    if best.threshold > 0:
        assert jaccard_at(heatmap, mask, best.threshold) == best.value


def test_jaccard_at_of_maps_that_say_nothing():
    mask = np.array([[True, False, False, False]])
    assert jaccard_at(np.zeros((1, 4)), mask, 0.0) == 0.0
    assert jaccard_at(np.full((1, 4), -1.0), mask, -2.0) == 0.0
    assert [jaccard_at(np.full((1, 4), 0.3), mask, threshold) for threshold in (0.3, 0.31)] == [
        0.25,
        0.0,
    ]
    assert np.isnan(jaccard_at(np.ones((1, 4)), np.zeros((1, 4), dtype=bool), 0.5))
    assert np.isnan(jaccard_at(np.full((1, 4), np.nan), mask, 0.5))


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
        elements=st.integers(-4, 4).map(lambda value: value / 4),
    ),
    st.sampled_from([0.01, 0.5, 0.75, 0.9, 0.99, 1.0]),
)
def test_good_pixels_at_or_above_the_threshold_are_few_enough(good, quantile):
    threshold = good_image_threshold(good, quantile)
    allowed = (1 - quantile) * good.size + 1e-9
    assert np.count_nonzero(good >= threshold) <= allowed
    # And it is not higher than it must be: the next lower value would let in too many.
    lower = good[(good < threshold) & (good > 0)]
    assert lower.size == 0 or np.count_nonzero(good >= lower.max()) > allowed
    assert threshold > 0


def test_good_threshold_by_hand():
    good = np.array([[[0.0, 0.1, 0.2, 0.3, 0.4]], [[0.5, 0.6, 0.7, 0.8, 0.9]]])
    assert (
        good_image_threshold(good, 0.8) == pytest.approx(0.7)
        and good_image_threshold(good, 0.8) > 0.7
    )
    assert (
        jaccard_at(
            good[1], np.array([[False, False, True, True, True]]), good_image_threshold(good, 0.8)
        )
        == 2 / 3
    )
    with_failed = np.concatenate([good, np.full((1, 1, 5), np.nan)])
    assert good_image_threshold(with_failed, 0.8) == good_image_threshold(good, 0.8)


def test_silent_good_images_leave_any_positive_value_above():
    threshold = good_image_threshold(np.full((2, 3, 3), -1.0))
    assert explained_region(
        np.array([[1e-30, 0.0, -1.0]], dtype=np.float32), threshold
    ).tolist() == [[True, False, False]]


@pytest.mark.parametrize(
    "good, quantile, message",
    [
        (np.zeros((2, 2)), 0.99, r"shape \(n, h, w\)"),
        (np.zeros((0, 2, 2)), 0.99, "no explanation"),
        (np.full((2, 2, 2), np.nan), 0.99, "no explanation"),
        (np.zeros((1, 2, 2)), 0.0, "quantile"),
        (np.zeros((1, 2, 2)), 1.1, "quantile"),
        (
            np.array([[[1.0, 2.0]], [[1.0, np.nan]]]),
            0.99,
            r"good_heatmaps\[1\] must be finite: 1 NaN",
        ),
    ],
)
def test_good_heatmaps_that_give_no_threshold_are_named(good, quantile, message):
    with pytest.raises(ValueError, match=message):
        good_image_threshold(good, quantile)


def test_threshold_must_be_a_number():
    with pytest.raises(ValueError, match="threshold must be a finite number; got nan"):
        jaccard_at(np.ones((1, 2)), np.ones((1, 2), dtype=bool), np.nan)


@pytest.mark.parametrize(
    "block", [1, 200, 10**6], ids=["an image at a time", "two images at a time", "all at once"]
)
def test_table_gives_what_single_images_give(block, monkeypatch):
    monkeypatch.setattr(localization, "_BLOCK_PIXELS", block)
    random = np.random.default_rng(4)
    heatmaps = np.round(random.normal(size=(9, 8, 11)), 1).astype(np.float32)
    masks = random.random((9, 8, 11)) < 0.2
    masks[1], masks[6], heatmaps[3], heatmaps[4], heatmaps[5] = False, True, np.nan, 0, -1
    table = localization_table(heatmaps, masks, threshold=0.7, k=5)
    for index, row in table.iterrows():
        heatmap, mask = heatmaps[index], masks[index]
        expected = {
            "jaccard_at": jaccard_at(heatmap, mask, 0.7),
            "pointing_game": pointing_game(heatmap, mask),
            "relevance_mass_accuracy": relevance_mass_accuracy(heatmap, mask),
            "relevance_rank_accuracy": relevance_rank_accuracy(heatmap, mask),
            "top_k_intersection": top_k_intersection(heatmap, mask, 5),
            "heatmap_auroc": heatmap_auroc(heatmap, mask),
        }
        assert row.drop("optimal_jaccard").to_dict() == pytest.approx(expected, nan_ok=True)
    assert table["optimal_jaccard"].tolist() == pytest.approx(
        optimal_jaccards(heatmaps, masks)[0].tolist(), nan_ok=True
    )
    assert table.loc[[1, 3]].isna().all(axis=None)
    assert table.columns[table.loc[6].isna()].tolist() == ["heatmap_auroc"]
    assert not table.drop(index=[1, 3, 6]).isna().any(axis=None)


def test_table_without_threshold_or_images():
    table = localization_table(np.zeros((0, 4, 4)), np.zeros((0, 4, 4), dtype=bool))
    assert len(table) == 0
    assert list(table) == [
        "optimal_jaccard",
        "pointing_game",
        "relevance_mass_accuracy",
        "relevance_rank_accuracy",
        "top_k_intersection",
        "heatmap_auroc",
    ]


def test_table_names_bad_input():
    masks = np.ones((2, 2, 2), dtype=bool)
    with pytest.raises(ValueError, match=r"heatmaps\[1\] must be finite: 1 NaN"):
        localization_table(np.array([[[1.0, 2], [3, 4]], [[1, np.nan], [3, 4]]]), masks)
    with pytest.raises(ValueError, match="k must be a number of pixels from 1 to the 4"):
        localization_table(np.ones((2, 2, 2)), masks, k=9)
    with pytest.raises(ValueError, match="threshold must be a finite number"):
        localization_table(np.ones((2, 2, 2)), masks, threshold=np.inf)


def test_a_curve_as_a_table():
    mask = np.array([[True, True], [False, False]])
    table = jaccard_curve(np.array([[0.9, 0.5], [0.5, -0.2]]), mask).table()
    assert table["threshold"].tolist() == [0.9, 0.5, -0.2]
    assert table["jaccard"].tolist() == [1 / 2, 2 / 3, 1 / 2]
