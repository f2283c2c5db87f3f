"""Chance by one Fourier transform against a loop over all shifts, fractions and closed forms."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adhelpers.metrics import chance_levels, paired_difference
from adhelpers.metrics.chance import ChanceLevel, chance_level, shift_distribution
from adhelpers.metrics.relevance import relevance_mass_accuracy


@st.composite
def placed_masks(draw, with_region=False):
    """Heatmaps of few whole numbers, so that many shifts tie exactly, with a mask and an object."""
    shape = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    heatmap = draw(hnp.arrays(np.float32, shape, elements=st.integers(-3, 3).map(float)))
    mask = draw(hnp.arrays(bool, shape))
    mask[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = True
    region = draw(hnp.arrays(bool, shape, elements=st.sampled_from([True, True, True, False])))
    return (heatmap, mask, region) if with_region else (heatmap, mask)


def masses_by_loop(heatmap, mask, region=None):
    """Mass as an exact fraction for each shift that counts."""
    relevance = np.maximum(heatmap, 0).astype(int)
    if not relevance.any():
        relevance = relevance + 1
    masses = {}
    for down in range(mask.shape[0]):
        for right in range(mask.shape[1]):
            moved = np.roll(mask, (down, right), axis=(0, 1))
            if region is None or (down, right) == (0, 0) or not (moved & ~region).any():
                masses[down, right] = Fraction(int(relevance[moved].sum()), int(relevance.sum()))
    return masses


@given(placed_masks(with_region=True), st.booleans())
def test_distribution_is_that_of_the_loop(placed, on_object):
    heatmap, mask, region = placed
    region = region if on_object else None
    expected = np.full(mask.shape, np.nan)
    for shift, mass in masses_by_loop(heatmap, mask, region).items():
        expected[shift] = float(mass)
    np.testing.assert_allclose(
        shift_distribution(heatmap, mask, region), expected, rtol=0, atol=1e-9
    )


@given(placed_masks(with_region=True), st.booleans())
def test_level_is_that_of_exact_fractions(placed, on_object):
    heatmap, mask, region = placed
    region = region if on_object else None
    masses = list(masses_by_loop(heatmap, mask, region).values())
    level = chance_level(heatmap, mask, region)
    assert level.observed == pytest.approx(float(masses[0]), abs=1e-12)
    assert level.mean == pytest.approx(float(sum(masses) / len(masses)), abs=1e-12)
    assert level.shifts == len(masses)
    assert level.p_value == sum(mass >= masses[0] for mass in masses) / len(masses)
    assert 0 < level.p_value <= 1


@given(placed_masks())
def test_mean_over_all_shifts_is_the_share_of_the_mask(placed):
    heatmap, mask = placed
    level = chance_level(heatmap, mask)
    assert level.mean == pytest.approx(mask.mean())
    assert level.observed == relevance_mass_accuracy(heatmap, mask)


@given(placed_masks(with_region=True))
def test_whole_image_as_object_changes_nothing(placed):
    heatmap, mask, _ = placed
    assert chance_level(heatmap, mask, np.ones(mask.shape, dtype=bool)) == chance_level(
        heatmap, mask
    )


@given(placed_masks(), st.integers(0, 7), st.integers(0, 7))
def test_moving_heatmap_and_mask_together_changes_nothing(placed, down, right):
    moved = [np.roll(array, (down, right), axis=(0, 1)) for array in placed]
    assert chance_level(*moved) == pytest.approx(chance_level(*placed))


@given(placed_masks())
def test_p_values_over_all_places_are_uniform_or_above(placed):
    # The promise of the test: if the defect may lie anywhere, at most the share a of its places has
    # a p-value of a or less.
    heatmap, mask = placed
    p_values = np.sort(
        [
            chance_level(heatmap, np.roll(mask, (down, right), axis=(0, 1))).p_value
            for down in range(mask.shape[0])
            for right in range(mask.shape[1])
        ]
    )
    assert (p_values >= np.arange(1, mask.size + 1) / mask.size - 1e-12).all()


@pytest.mark.parametrize("shape", [(96, 128), (101, 67)])
def test_real_numbers_agree_with_the_loop_to_1e_9(shape):
    random = np.random.default_rng(0)
    heatmap = random.normal(size=shape).astype(np.float32)
    mask = np.zeros(shape, dtype=bool)
    mask[10:25, 30:50] = random.random((15, 20)) < 0.7
    positive = np.maximum(heatmap, 0).astype(np.float64)
    distribution = shift_distribution(heatmap, mask)
    for down, right in random.integers(0, shape, (300, 2)):
        mass = positive[np.roll(mask, (down, right), axis=(0, 1))].sum() / positive.sum()
        assert abs(distribution[down, right] - mass) < 1e-9


def test_perfect_heatmap_is_as_sure_as_the_shifts_allow():
    mask = np.zeros((8, 10), dtype=bool)
    mask[2:4, 3:6] = True
    assert chance_level(mask.astype(float), mask) == pytest.approx(
        ChanceLevel(1.0, 6 / 80, 1 / 80, 80)
    )


def test_object_finder_is_above_chance_only_without_region():
    region = np.zeros((12, 12), dtype=bool)
    region[3:9, 3:9] = True
    mask = np.zeros((12, 12), dtype=bool)
    mask[4:6, 4:6] = True
    heatmap = region * 0.5
    # On the object there are 5 x 5 places for a mask of 2 x 2, and all of the heatmap's places are
    # alike.
    assert chance_level(heatmap, mask).p_value == 25 / 144
    assert chance_level(heatmap, mask, region) == pytest.approx(
        ChanceLevel(4 / 36, 4 / 36, 1.0, 25)
    )


def test_mask_that_sticks_out_is_compared_with_places_on_the_object():
    heatmap = np.array([[5.0, 1.0, 2.0, 3.0, 0.0]])
    mask = np.array([[True, True, False, False, False]])
    region = np.array([[False, True, True, True, False]])
    level = chance_level(heatmap, mask, region)
    assert level == pytest.approx(ChanceLevel(6 / 11, (6 + 3 + 5) / 33, 1 / 3, 3))
    assert chance_level(heatmap, mask, np.zeros((1, 5), dtype=bool)) == pytest.approx(
        ChanceLevel(6 / 11, 6 / 11, 1.0, 1)
    )


@pytest.mark.parametrize("value", [0.0, -1.0, 0.1, 1e308, 5e-324])
def test_heatmap_without_preference_is_no_better_than_chance(value):
    mask = np.zeros((7, 9), dtype=bool)
    mask[1, :3] = True
    assert chance_level(np.full((7, 9), value), mask) == pytest.approx(
        ChanceLevel(3 / 63, 3 / 63, 1.0, 63)
    )
    assert shift_distribution(np.full((7, 9), value), mask) == pytest.approx(
        np.full((7, 9), 3 / 63)
    )


def test_no_level_where_there_is_nothing_to_compare():
    for heatmap, on_defect in ((np.ones((2, 3)), False), (np.full((2, 3), np.nan), True)):
        mask = np.full((2, 3), on_defect)
        *numbers, shifts = chance_level(heatmap, mask)
        assert np.isnan(numbers).all() and shifts == 0
        assert np.isnan(shift_distribution(heatmap, mask)).all() and shift_distribution(
            heatmap, mask
        ).shape == (2, 3)


def benjamini_hochberg_by_definition(p_values):
    """The smallest level at which each hypothesis is rejected by the step-up rule."""
    count, ordered = len(p_values), sorted(p_values)
    adjusted = []
    for p_value in p_values:
        candidates = [
            min(1.0, ordered[rank] * count / (rank + 1))
            for rank in range(count)
            if ordered[rank] >= p_value
        ]
        adjusted.append(min(candidates))
    return adjusted


def test_batch_gives_single_levels_and_corrects_them():
    random = np.random.default_rng(3)
    heatmaps, masks = random.normal(size=(8, 9, 10)), np.zeros((8, 9, 10), dtype=bool)
    masks[:, 2:5, 3:6] = True
    heatmaps[:4] += masks[:4] * 2
    masks[5], heatmaps[6] = False, np.nan
    regions = random.random((8, 9, 10)) < 0.99
    for objects in (None, regions):
        table = chance_levels(heatmaps, masks, objects)
        known = [0, 1, 2, 3, 4, 7]
        for index in known:
            level = chance_level(
                heatmaps[index], masks[index], None if objects is None else objects[index]
            )
            assert tuple(table.loc[index, list(ChanceLevel._fields)]) == level
        assert table.loc[known, "p_adjusted"].tolist() == pytest.approx(
            benjamini_hochberg_by_definition(table.loc[known, "p_value"].tolist())
        )
        assert table.loc[[5, 6]].drop(columns="shifts").isna().all(axis=None)
        assert table.loc[[5, 6], "shifts"].tolist() == [0, 0]
    assert list(table) == ["observed", "mean", "p_value", "p_adjusted", "shifts"]


def test_correction_by_hand():
    # Maxima at the first, second, third and fourth of four places: p-values 1/4, 2/4, 3/4 and 1.
    heatmap = np.array([[4.0, 3.0, 2.0, 1.0]])
    masks = np.eye(4, dtype=bool)[:, None, :]
    table = chance_levels(np.repeat(heatmap[None], 4, axis=0), masks)
    assert table["p_value"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert table["p_adjusted"].tolist() == pytest.approx([1.0, 1.0, 1.0, 1.0])
    twice = chance_levels(np.repeat(heatmap[None], 4, axis=0), masks[[0, 0, 0, 3]])
    assert twice["p_adjusted"].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0])


def test_batch_without_any_level():
    table = chance_levels(np.zeros((2, 3, 3)), np.zeros((2, 3, 3), dtype=bool))
    assert table["p_adjusted"].isna().all() and len(table) == 2
    assert table["p_adjusted"].dtype == float
    assert len(chance_levels(np.zeros((0, 3, 3)), np.zeros((0, 3, 3), dtype=bool))) == 0


def test_bad_input_is_named():
    heatmap, mask = np.ones((2, 3)), np.ones((2, 3), dtype=bool)
    with pytest.raises(ValueError, match="heatmap must be finite: 1 NaN"):
        chance_level(np.array([[np.nan, 1.0]]), np.ones((1, 2), dtype=bool))
    with pytest.raises(ValueError, match="ground_truth"):
        shift_distribution(heatmap, None)
    with pytest.raises(ValueError, match=r"region must have the shape of the map, \(2, 3\)"):
        chance_level(heatmap, mask, np.ones((3, 2), dtype=bool))
    with pytest.raises(ValueError, match=r"heatmaps\[1\] must be finite: 1 NaN"):
        chance_levels(np.array([[[1.0, 2.0]], [[1.0, np.nan]]]), np.ones((2, 1, 2), dtype=bool))
    with pytest.raises(ValueError, match=r"shape \(n, h, w\)"):
        chance_levels(heatmap, mask)
    with pytest.raises(ValueError, match="regions must have the shape"):
        chance_levels(heatmap[None], mask[None], mask)


def test_difference_of_pairs():
    random = np.random.default_rng(0)
    hardness = random.normal(size=60) * 10
    first, second = (
        hardness + 0.3 + random.normal(size=60) * 0.1,
        hardness + random.normal(size=60) * 0.1,
    )
    estimate = paired_difference(first, second)
    assert estimate.value == pytest.approx(np.mean(first - second))
    # The normal approximation of the interval; what makes images hard (sd 10) must have cancelled
    # out.
    half_width = 1.96 * np.std(first - second) / np.sqrt(60)
    assert estimate.high - estimate.value == pytest.approx(half_width, rel=0.15)
    assert estimate.value - estimate.low == pytest.approx(half_width, rel=0.15)
    swapped = paired_difference(second, first)
    assert (swapped.value, swapped.low, swapped.high) == pytest.approx(
        (-estimate.value, -estimate.high, -estimate.low)
    )


def test_pairs_with_a_gap_are_left_out():
    first, second = [0.5, np.nan, 0.7, 0.2, 0.9], [0.1, 0.4, np.nan, 0.2, 0.3]
    assert paired_difference(first, second) == paired_difference([0.5, 0.2, 0.9], [0.1, 0.2, 0.3])
    assert paired_difference(first, second).value == pytest.approx(1 / 3)
    assert np.isnan([*paired_difference([np.nan, 1.0], [1.0, np.nan])]).all()
    assert str(paired_difference([0.75], [0.25])) == "0.500 [n/a; too few images]"


def test_difference_depends_on_the_seed_only():
    first, second = np.random.default_rng(1).random((2, 20))
    assert paired_difference(first, second, seed=5) == paired_difference(first, second, seed=5)
    assert paired_difference(first, second, seed=5) != paired_difference(first, second, seed=6)


@pytest.mark.parametrize(
    "first, second, message",
    [
        ([1.0, 2.0], [1.0], r"got \(2,\) and \(1,\)"),
        ([[1.0]], [[1.0]], r"shape \(n,\)"),
        ([1.0, np.inf], [1.0, 2.0], "first must be finite or NaN; infinite at index 1"),
    ],
)
def test_pairs_that_do_not_fit_are_named(first, second, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(first, second)


def test_findings_compare_the_place_with_the_others():
    assert ChanceLevel(0.7, 0.5, 0.25, 4).findings() == [
        "The defect holds 70.0% of the relevance. Over 4 places a region of its shape holds 50.0% "
        "on average, and at least as much in 25.0% of them."
    ]
    empty = chance_level(np.ones((2, 2)), np.zeros((2, 2), bool))
    assert empty.findings() == ["There is no defect, or no explanation, to compare."]
