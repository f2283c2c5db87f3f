"""Relevance on the defect by hand, by all orders of tied pixels, and by scikit-learn's AUROC."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from adhelpers.metrics.relevance import (
    heatmap_auroc,
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    top_k_intersection,
)

MEASURES = [
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    top_k_intersection,
    heatmap_auroc,
]


@st.composite
def heatmaps_and_masks(draw, highest_side=7):
    shape = draw(st.tuples(st.integers(1, highest_side), st.integers(1, highest_side)))
    # Quarters between -2 and 2: many ties, both signs, exact in float32.
    heatmap = draw(
        hnp.arrays(np.float32, shape, elements=st.integers(-8, 8).map(lambda value: value / 4))
    )
    mask = draw(hnp.arrays(bool, shape))
    mask[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = True
    return heatmap, mask


def mean_over_orders(heatmap, mask, k):
    """Share of the first k pixels inside, over all orders with higher relevance first."""
    values = [max(float(value), 0.0) for value in heatmap.ravel()]
    shares = []
    for order in itertools.permutations(range(len(values))):
        if all(values[left] >= values[right] for left, right in itertools.pairwise(order)):
            shares.append(sum(bool(mask.ravel()[pixel]) for pixel in order[:k]) / k)
    return sum(shares) / len(shares)


def test_numbers_by_hand():
    heatmap = np.array([[6.0, 3.0, 1.0], [0.0, -9.0, 2.0]])
    mask = np.array([[False, True, True], [False, True, False]])
    assert pointing_game(heatmap, mask) == 0.0
    assert relevance_mass_accuracy(heatmap, mask) == pytest.approx(4 / 12)
    # The three most relevant are 6, 3 and 2; one of them lies on the defect.
    assert relevance_rank_accuracy(heatmap, mask) == pytest.approx(1 / 3)
    assert [top_k_intersection(heatmap, mask, k) for k in (1, 2, 4)] == [0.0, 0.5, 0.5]
    # Against 6, 2 and 0: 3 wins twice, 1 once, and the negative pixel, which counts as zero, draws
    # once.
    assert heatmap_auroc(heatmap, mask) == pytest.approx((2 + 1 + 0.5) / 9)


def test_ties_are_shared():
    heatmap = np.array([[5.0, 5.0, 5.0, 5.0, 1.0, 1.0]])
    mask = np.array([[True, False, False, False, True, False]])
    assert pointing_game(heatmap, mask) == 0.25
    assert relevance_rank_accuracy(heatmap, mask) == 0.25
    assert top_k_intersection(heatmap, mask, k=5) == pytest.approx((1 + 0.5) / 5)


def test_perfect_and_opposite_heatmap():
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:4, 3:6] = True
    for heatmap, expected in ((mask * 2.0, 1.0), (1.0 - mask, 0.0)):
        assert [measure(heatmap, mask) for measure in MEASURES] == [expected] * 5


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0, 1e308, 5e-324])
def test_constant_heatmap_gets_what_chance_gives(value):
    mask = np.zeros((4, 5), dtype=bool)
    mask[1, :3] = True
    heatmap = np.full((4, 5), value)
    assert [measure(heatmap, mask) for measure in MEASURES] == pytest.approx([3 / 20] * 4 + [0.5])


@pytest.mark.parametrize("measure", MEASURES)
def test_only_the_positive_part_counts(measure):
    random = np.random.default_rng(0)
    heatmap, mask = random.normal(size=(6, 7)), random.random((6, 7)) < 0.3
    deeper = np.where(heatmap < 0, heatmap * 100 - 5, heatmap)
    assert measure(deeper, mask) == measure(heatmap, mask) == measure(np.maximum(heatmap, 0), mask)


@pytest.mark.parametrize("measure", MEASURES)
def test_no_answer_where_there_is_nothing_to_compare(measure):
    assert np.isnan(measure(np.ones((2, 2)), np.zeros((2, 2), dtype=bool)))
    assert np.isnan(measure(np.full((2, 2), np.nan), np.ones((2, 2), dtype=bool)))


def test_auroc_needs_a_pixel_off_the_defect():
    assert np.isnan(heatmap_auroc(np.arange(4.0).reshape(2, 2), np.ones((2, 2), dtype=bool)))


@given(heatmaps_and_masks())
def test_mass_and_maximum_are_sums_over_pixels(pair):
    heatmap, mask = pair
    inside = total = 0.0
    for value, on_defect in zip(heatmap.ravel().tolist(), mask.ravel().tolist(), strict=True):
        total += max(value, 0.0)
        inside += max(value, 0.0) * on_defect
    assert relevance_mass_accuracy(heatmap, mask) == pytest.approx(
        inside / total if total else mask.mean()
    )
    values = [max(value, 0.0) for value in heatmap.ravel().tolist()]
    at_maximum = [
        on_defect
        for value, on_defect in zip(values, mask.ravel().tolist(), strict=True)
        if value == max(values)
    ]
    assert pointing_game(heatmap, mask) == pytest.approx(sum(at_maximum) / len(at_maximum))


@given(heatmaps_and_masks(highest_side=2), st.integers(1, 4))
def test_top_pixels_are_the_mean_over_all_orders_of_ties(pair, k):
    heatmap, mask = pair
    k = min(k, heatmap.size)
    assert top_k_intersection(heatmap, mask, k) == pytest.approx(mean_over_orders(heatmap, mask, k))
    assert relevance_rank_accuracy(heatmap, mask) == pytest.approx(
        mean_over_orders(heatmap, mask, int(mask.sum()))
    )


@given(heatmaps_and_masks())
def test_auroc_is_that_of_scikit_learn(pair):
    heatmap, mask = pair
    if mask.all():
        assert np.isnan(heatmap_auroc(heatmap, mask))
    else:
        assert heatmap_auroc(heatmap, mask) == pytest.approx(
            roc_auc_score(mask.ravel(), np.maximum(heatmap, 0).ravel())
        )


@given(heatmaps_and_masks(), st.sampled_from(MEASURES))
def test_measures_survive_scaling_and_turning(pair, measure):
    heatmap, mask = pair
    value = measure(heatmap, mask)
    assert measure(heatmap * 8, mask) == pytest.approx(value, nan_ok=True)
    assert measure(np.rot90(heatmap), np.rot90(mask)) == pytest.approx(value, nan_ok=True)
    assert np.isnan(value) or 0 <= value <= 1


@given(heatmaps_and_masks())
def test_mass_on_the_defect_and_off_it_make_the_whole(pair):
    heatmap, mask = pair
    if not mask.all():
        assert relevance_mass_accuracy(heatmap, mask) + relevance_mass_accuracy(
            heatmap, ~mask
        ) == pytest.approx(1)


def test_default_k_is_a_share_of_the_image():
    random = np.random.default_rng(1)
    heatmap, mask = random.random((50, 60)), random.random((50, 60)) < 0.1
    assert top_k_intersection(heatmap, mask) == top_k_intersection(heatmap, mask, k=60)
    assert top_k_intersection(np.array([[0.0, 1.0]]), np.array([[False, True]])) == 1.0


@pytest.mark.parametrize("k", [0, 5, 1.5, -1])
def test_k_out_of_range_is_named(k):
    with pytest.raises(ValueError, match="k must be a number of pixels from 1 to the 4"):
        top_k_intersection(np.ones((2, 2)), np.ones((2, 2), dtype=bool), k)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    "heatmap, mask, message",
    [
        (np.array([[np.nan, 1.0]]), np.ones((1, 2), dtype=bool), "heatmap must be finite: 1 NaN"),
        (
            np.array([[np.inf, 1.0]]),
            np.ones((1, 2), dtype=bool),
            "heatmap must be finite: 1 NaN or infinite",
        ),
        (np.ones((1, 2)), np.ones((2, 1), dtype=bool), r"\(1, 2\); got \(2, 1\)"),
        (np.ones((1, 2)), None, "ground_truth"),
        (np.ones((1, 1, 2)), np.ones((1, 1, 2), dtype=bool), r"shape \(h, w\)"),
    ],
)
def test_bad_input_is_named(measure, heatmap, mask, message):
    with pytest.raises(ValueError, match=message):
        measure(heatmap, mask)


@pytest.mark.parametrize(
    "measure", [pointing_game, relevance_mass_accuracy, relevance_rank_accuracy, heatmap_auroc]
)
def test_empty_heatmap_is_named(measure):
    with pytest.raises(ValueError, match="heatmap is empty"):
        measure(np.ones((0, 2)), np.ones((0, 2), dtype=bool))


def test_auroc_of_a_single_pair_of_pixels():
    mask = np.array([[True, False]])
    assert heatmap_auroc(np.array([[1.0, 0.0]]), mask) == 1.0
    assert heatmap_auroc(np.array([[0.0, 1.0]]), mask) == 0.0
