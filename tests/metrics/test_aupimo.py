"""AUPIMO against a slow version, numbers by hand, and the figures of another implementation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adhelpers.metrics import aupimo_estimate
from adhelpers.metrics.aupimo import aupimo, aupimo_of_images, aupimo_problem


def slow_aupimo(maps, masks, image, low, high):
    """Every value as a threshold, twice; rates counted pixel by pixel; each piece cut by hand."""
    good = [index for index in range(len(maps)) if not masks[index].any()]

    def point(found):
        rates = [np.mean([found(value) for value in maps[index].flat]) for index in good]
        return float(np.mean(rates)), float(
            np.mean([found(value) for value in maps[image][masks[image]]])
        )

    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        points.append(point(lambda value, threshold=threshold: value > threshold))
        points.append(point(lambda value, threshold=threshold: value >= threshold))
    area = 0.0
    for (rate, share), (next_rate, next_share) in zip(points, points[1:], strict=False):
        start, end = max(rate, low), min(next_rate, high)
        if end <= start:
            continue
        if rate == 0:
            area += share * math.log(end / start)
            continue
        steep = (next_share - share) / math.log(next_rate / rate)
        heights = [share + steep * math.log(at / rate) for at in (start, end)]
        area += sum(heights) / 2 * math.log(end / start)
    return area / math.log(high / low)


@st.composite
def maps_and_masks(draw):
    shape = draw(st.tuples(st.integers(2, 4), st.integers(2, 5), st.integers(2, 5)))
    values = st.integers(-6, 6).map(lambda value: value / 4)
    maps = draw(hnp.arrays(np.float32, shape, elements=values))
    masks = draw(hnp.arrays(bool, shape))
    masks[0] = False
    masks[-1, 0, 0] = True
    return maps, masks


@given(maps_and_masks(), st.floats(0.3, 0.6), st.floats(1.2, 3))
def test_each_image_has_the_figure_of_the_slow_version(pair, low, factor):
    maps, masks = pair
    bounds = low, min(low * factor, 1.0)
    overlaps = aupimo_of_images(maps, masks, bounds)
    for image in range(len(maps)):
        if masks[image].any():
            expected = slow_aupimo(maps, masks, image, *bounds)
            assert overlaps[image] == pytest.approx(expected, abs=1e-9)
        else:
            assert np.isnan(overlaps[image])
    assert aupimo(maps, masks, bounds) == pytest.approx(np.nanmean(overlaps))


def test_it_is_that_of_the_slow_version_where_no_values_are_equal():
    random = np.random.default_rng(1)
    maps = random.normal(size=(4, 12, 12))
    masks = np.zeros(maps.shape, dtype=bool)
    masks[2, 3:6, 3:6] = masks[3, 0, 0] = True
    maps[masks] += 1.5
    for bounds in ((0.004, 0.05), (0.01, 1.0)):
        overlaps = aupimo_of_images(maps, masks, bounds)
        for image in (2, 3):
            expected = slow_aupimo(maps, masks, image, *bounds)
            assert overlaps[image] == pytest.approx(expected, abs=1e-9)


@given(maps_and_masks())
def test_only_the_order_of_values_counts(pair):
    maps, masks = pair
    bounds = (0.3, 0.9)
    expected = aupimo_of_images(maps, masks, bounds)
    np.testing.assert_allclose(aupimo_of_images(np.exp(maps) * 7, masks, bounds), expected)
    turned = aupimo_of_images(maps[::-1], masks[::-1], bounds)
    np.testing.assert_allclose(turned[::-1], expected)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((1e-1, 1.0), [(0.1 + 1) / 2, 1.0]),
        ((1e-3, 1e-1), [(0.0055 + 0.055) / 2, (0.055 + 0.55) / 2]),
        ((1e-5, 1e-4), [5.5e-5, 5.5e-4]),
    ],
)
def test_the_examples_that_anomalib_publishes(bounds, expected):
    # Its unit test of AUPIMO: a map with 900,000, 90,000 ... 9 and 1 pixels of the values 1 to 7,
    # as good image, as one that is all defect, and as one whose 100,000 highest pixels are.
    scores = np.repeat(np.arange(7, 0, -1.0), [1, 9, 90, 900, 9_000, 90_000, 900_000])
    maps = np.broadcast_to(scores.reshape(1000, 1000), (3, 1000, 1000))
    masks = np.zeros(maps.shape, dtype=bool)
    masks[1], masks[2, :100] = True, True
    overlaps = aupimo_of_images(maps, masks, bounds)
    assert np.isnan(overlaps[0])
    np.testing.assert_allclose(overlaps[1:], expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((1e-3, 1e-1), [0.19397, 0.16865, 0.30212, 0.18852]),
        ((2e-3, 2e-2), [0.07949, 0.06958, 0.0, 0.0644]),
        ((1e-2, 1.0), [0.6367, 0.60758, 0.80212, 0.64526]),
    ],
)
def test_anomalib_has_nearly_the_same_figures(bounds, expected):
    # Those of anomalib 2.7.0 (aupimo_scores, a million thresholds, torch 2.13) on these arrays. Its
    # thresholds are evenly spaced and its bounds those nearest to them, hence the tolerance.
    random = np.random.default_rng(0)
    maps = random.random((8, 40, 50)).astype(np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[4, 5:15, 5:20] = masks[5, 30:, 40:] = masks[6, 7, 7] = masks[7, :2] = True
    maps[masks] = maps[masks] ** np.float32(0.1)
    np.testing.assert_allclose(aupimo_of_images(maps, masks, bounds)[4:], expected, atol=5e-5)


def planted(defect, good=None):
    """One good image of the values 0.01, 0.02 ... 1 and one whose first pixels are the defect."""
    maps, masks = np.empty((2, 10, 10)), np.zeros((2, 10, 10), dtype=bool)
    maps[0] = np.arange(1, 101).reshape(10, 10) / 100 if good is None else good
    maps[1] = 0.5
    maps[1].flat[: len(defect)] = defect
    masks[1].flat[: len(defect)] = True
    return maps, masks


def test_numbers_worked_out_by_hand():
    def of(defect, good=None, bounds=(0.01, 0.1)):
        return aupimo_of_images(*planted(defect, good), bounds)[1]

    assert of([1.5]) == 1 and of([0.2]) == 0
    # Above all but three good pixels: from a rate of 0.03 on, of a decade that ends at 0.1.
    assert of([0.975]) == pytest.approx(math.log10(0.1 / 0.03))
    # Equal to the fourth highest: half-way between 0.03 and 0.04.
    half = (math.log10(0.1 / 0.03) + math.log10(0.1 / 0.04)) / 2
    assert of([0.97]) == pytest.approx(half)
    assert of([1.5, 0.97, 0.975, 0.2]) == pytest.approx((1 + half + math.log10(0.1 / 0.03)) / 4)
    # As high as the highest good pixel, from its rate on; a hundred of these leave nothing.
    assert of([1.0], bounds=(0.01, 0.1)) == 1
    assert of([1.0], np.where(np.arange(100) < 3, 1, 0).reshape(10, 10)) == pytest.approx(
        math.log10(0.1 / 0.03)
    )
    assert of([1.0], np.ones((10, 10))) == 0


def test_good_pixels_of_defective_images_do_not_count():
    maps, masks = planted([0.975])
    expected = aupimo(maps, masks, (0.01, 0.1))
    maps[1][~masks[1]] = 5.0
    assert aupimo(maps, masks, (0.01, 0.1)) == expected


def test_every_image_weighs_the_same_whatever_the_size_of_its_defect():
    maps = np.zeros((3, 10, 10))
    masks = np.zeros(maps.shape, dtype=bool)
    masks[1, :9], masks[2, 0, 0] = True, True
    maps[1, :9] = 1.0
    assert aupimo_of_images(maps, masks, (0.01, 0.1))[1:].tolist() == [1, 0]
    assert aupimo(maps, masks, (0.01, 0.1)) == 0.5


def test_a_perfect_map_has_one_and_a_constant_one_nothing():
    masks = np.zeros((12, 128, 128), dtype=bool)
    masks[7:, 40, 40:50] = True
    assert aupimo(masks.astype(np.float32), masks) == 1
    assert aupimo(np.zeros(masks.shape), masks) == 0
    assert aupimo(-masks.astype(np.float32), masks) == 0
    estimate = aupimo_estimate(masks.astype(np.float32), masks, resamples=20)
    assert str(estimate) == "1.000 [n/a]"


def test_a_rate_that_the_good_pixels_cannot_show_has_no_figure():
    masks = np.zeros((8, 125, 100), dtype=bool)
    # Eight images of 12,500 pixels make 100,000, which is just enough.
    masks = np.concatenate([masks, masks[:1]])
    masks[8, 0, 0] = True
    maps = masks.astype(float)
    assert aupimo_problem(masks) == "" and aupimo(maps, masks) == 1
    few = maps[1:], masks[1:]
    assert math.isnan(aupimo(*few)) and np.isnan(aupimo_of_images(*few)).all()
    expected = "the good images have 87500 pixels, a false positive rate of 1e-05 needs 100000"
    assert aupimo_problem(few[1]) == expected
    assert str(aupimo_estimate(*few)) == f"n/a ({expected})"
    assert aupimo(*few, (1e-4, 1e-3)) == 1
    lonely = aupimo_estimate(maps[8:], masks[8:])
    assert math.isnan(lonely.value) and lonely.note == "there is no good image"


def noisy_images(seed=0):
    """Six good images, one with far higher values than the others, and six with defects."""
    random = np.random.default_rng(seed)
    maps = random.normal(size=(12, 20, 20))
    maps[0] *= 3
    masks = np.zeros(maps.shape, dtype=bool)
    for index in range(6, 12):
        masks[index, 4 : 6 + index, 4:9] = True
    maps[masks] += random.normal(2, 1, int(masks.sum()))
    return maps, masks


@pytest.mark.parametrize("grid_size", [30, 4000])
def test_the_interval_is_that_of_images_drawn_again(grid_size):
    maps, masks = noisy_images()
    bounds = (0.001, 0.1)
    estimate = aupimo_estimate(maps, masks, bounds, resamples=400, grid_size=grid_size)
    assert estimate.value == aupimo(maps, masks, bounds)
    random = np.random.default_rng(5)
    draws = []
    for _ in range(400):
        drawn = np.concatenate([random.integers(0, 6, 6), random.integers(6, 12, 6)])
        draws.append(aupimo(maps[drawn], masks[drawn], bounds))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert estimate.low == pytest.approx(low, abs=0.03)
    assert estimate.high == pytest.approx(high, abs=0.03)
    assert high - low > 0.2


def test_a_resampled_curve_has_the_same_area_as_the_images_it_was_drawn_from():
    # All good images alike and all defective ones: every resample is the whole again.
    maps, masks = noisy_images()
    maps, masks = np.repeat(maps[[1, 7]], 5, axis=0), np.repeat(masks[[1, 7]], 5, axis=0)
    maps += np.repeat([0.0, 0.0], 5)[:, None, None]
    estimate = aupimo_estimate(maps, masks, (0.001, 0.1), resamples=30, grid_size=2000)
    assert math.isnan(estimate.low) and estimate.value > 0
    changed = maps.copy()
    changed[-1][masks[-1]] = -9
    moved = aupimo_estimate(changed, masks, (0.001, 0.1), resamples=200, grid_size=2000)
    # Each of five defective images has the whole figure or nothing.
    assert moved.value == pytest.approx(estimate.value * 4 / 5)
    assert moved.high == pytest.approx(estimate.value, abs=1e-9)


def test_few_images_are_named():
    maps, masks = noisy_images()
    for chosen in (np.r_[0:1, 6:12], np.r_[0:6, 6:8]):
        estimate = aupimo_estimate(maps[chosen], masks[chosen], (0.003, 0.1), resamples=50)
        assert estimate.note == "too few images" and estimate.low <= estimate.value <= estimate.high
    assert aupimo_estimate(maps, masks, (0.003, 0.1), resamples=50).note == ""


def test_it_never_has_to_be_asked_with_masks_that_are_missing():
    maps, masks = noisy_images()
    with pytest.raises(ValueError, match="masks"):
        aupimo(maps, None)
    with pytest.raises(ValueError, match="masks are all empty"):
        aupimo(maps, np.zeros_like(masks))
    with pytest.raises(ValueError, match="maps"):
        aupimo(np.full(maps.shape, np.nan), masks)


@pytest.mark.parametrize("bounds", [(0, 0.1), (0.1, 0.1), (0.1, 1.5), (0.2, 0.1), (math.nan, 0.1)])
def test_bounds_that_are_none_are_refused(bounds):
    with pytest.raises(ValueError, match="bounds are the lowest and the highest"):
        aupimo_estimate(*noisy_images(), bounds)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"resamples": 1}, "resamples must be at least 2"),
        ({"confidence": 1.0}, "confidence must lie between 0 and 1"),
        ({"grid_size": 5}, "grid_size must be at least 10"),
    ],
)
def test_wrong_parameters_are_named(parameter, message):
    with pytest.raises(ValueError, match=message):
        aupimo_estimate(*noisy_images(), (0.01, 0.1), **parameter)
