"""Pixel AUROC and AUPRO against slow versions written independently, closed forms, and by hand."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adhelpers.metrics import bootstrap, pixel_report, segmentation_report
from adhelpers.metrics.regions import aupro, pixel_auroc


@st.composite
def maps_and_masks(draw):
    shape = draw(st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(2, 6)))
    maps = draw(
        hnp.arrays(np.float32, shape, elements=st.integers(-6, 6).map(lambda value: value / 4))
    )
    masks = draw(hnp.arrays(bool, shape))
    masks[0, 0, 0], masks[-1, -1, -1] = True, False
    return maps, masks


def regions_by_flooding(mask):
    """Sets of pixels that touch across edges or corners."""
    left, regions = set(zip(*np.nonzero(mask), strict=True)), []
    while left:
        region, border = set(), [left.pop()]
        while border:
            y, x = border.pop()
            region.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            border.extend(near)
        regions.append(region)
    return regions


def slow_aupro(maps, masks, limit):
    """Every value as a threshold; overlaps counted pixel by pixel; the area by a trapezoid."""
    regions = [
        (index, region) for index, mask in enumerate(masks) for region in regions_by_flooding(mask)
    ]
    rates, overlaps = [0.0], [0.0]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        above = maps >= threshold
        rates.append(np.count_nonzero(above & ~masks) / np.count_nonzero(~masks))
        overlaps.append(
            np.mean(
                [np.mean([above[index][pixel] for pixel in region]) for index, region in regions]
            )
        )
    beyond = next((position for position, rate in enumerate(rates) if rate > limit), None)
    if beyond is not None:
        start, end = rates[beyond - 1], rates[beyond]
        cut = overlaps[beyond - 1] + (limit - start) / (end - start) * (
            overlaps[beyond] - overlaps[beyond - 1]
        )
        rates, overlaps = [*rates[:beyond], limit], [*overlaps[:beyond], cut]
    return np.trapezoid(overlaps, rates) / limit


@given(maps_and_masks(), st.sampled_from([0.05, 0.3, 0.5, 1.0]))
def test_aupro_is_that_of_the_slow_version(pair, limit):
    assert aupro(*pair, limit=limit) == pytest.approx(slow_aupro(*pair, limit), abs=1e-12)


def test_aupro_is_that_of_the_slow_version_on_smooth_maps():
    random = np.random.default_rng(5)
    masks = np.zeros((4, 20, 24), dtype=bool)
    masks[0, 2:6, 3:9] = masks[0, 12:14, 12:20] = masks[2, 10:19, 5:8] = True
    maps = (random.normal(size=masks.shape) + 1.3 * masks).astype(np.float32)
    for limit in (0.01, 0.3, 1.0):
        assert aupro(maps, masks, limit) == pytest.approx(slow_aupro(maps, masks, limit), abs=1e-12)


@given(maps_and_masks())
def test_pixel_auroc_is_that_of_scikit_learn(pair):
    maps, masks = pair
    assert pixel_auroc(maps, masks) == pytest.approx(
        sklearn.metrics.roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-12
    )


@given(maps_and_masks())
def test_figures_survive_monotone_maps_and_the_order_of_images(pair):
    maps, masks = pair
    mapped = np.exp(maps.astype(np.float64)) - 4
    assert pixel_auroc(mapped, masks) == pixel_auroc(maps, masks)
    assert aupro(mapped, masks) == pytest.approx(aupro(maps, masks), abs=1e-12)
    assert pixel_auroc(-maps, masks) == pytest.approx(1 - pixel_auroc(maps, masks), abs=1e-12)
    assert aupro(maps[::-1], masks[::-1]) == pytest.approx(aupro(maps, masks), abs=1e-12)
    assert 0 <= aupro(maps, masks) <= 1


def test_one_region_and_full_limit_make_aupro_the_pixel_auroc():
    random = np.random.default_rng(6)
    masks = np.zeros((2, 10, 10), dtype=bool)
    masks[0, 3:6, 3:8] = True
    maps = np.round(random.normal(size=masks.shape) + masks, 1)
    assert aupro(maps, masks, limit=1.0) == pytest.approx(pixel_auroc(maps, masks), abs=1e-12)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_closed_forms(limit):
    masks = np.zeros((1, 100, 100), dtype=bool)
    masks[0, :10, :10] = masks[0, 50, 50] = True
    good = np.count_nonzero(~masks)
    # Perfect: every defect pixel above every good one.
    assert aupro(masks.astype(np.float32), masks, limit) == pytest.approx(1.0)
    # Knows nothing: the diagonal, cut at the limit.
    assert aupro(np.zeros(masks.shape), masks, limit) == pytest.approx(limit / 2)
    # One region on top and one below all good pixels: half the overlap all the way, however large
    # each region is.
    maps = np.zeros(masks.shape)
    maps[~masks] = np.random.default_rng(0).permutation(good)
    maps[0, 50, 50], maps[0, :10, :10] = good, -1.0
    if limit < 1:
        assert aupro(maps, masks, limit) == pytest.approx(0.5, abs=1e-9)
    # A defect spread evenly over the top share q of the good pixels' ranks: overlap x / q up to q,
    # then 1.
    share = 0.8
    maps[0, :10, :10] = good * (1 - share * (np.arange(100).reshape(10, 10) + 0.5) / 100)
    maps[0, 50, 50] = -1.0
    expected = (
        min(limit, share) / share / 2 * min(limit, share) / limit + max(0.0, limit - share) / limit
    )
    assert aupro(maps, masks, limit) == pytest.approx(expected / 2, abs=5e-3)


def test_regions_weigh_the_same_whatever_their_size():
    masks = np.zeros((1, 20, 20), dtype=bool)
    masks[0, :10, :10] = masks[0, 15, 15] = True
    maps = np.random.default_rng(0).random(masks.shape) * 0.5
    maps[0, 15, 15] = 0.9
    maps[0, :10, :10] = -1.0
    assert aupro(maps, masks) == pytest.approx(0.5)
    assert pixel_auroc(maps, masks) == pytest.approx(1 / 101)


def test_pixels_that_touch_at_a_corner_are_one_region():
    masks = np.zeros((1, 6, 6), dtype=bool)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[0, 5, 5] = True
    maps = np.zeros(masks.shape)
    maps[0, 5, 5], maps[0, 0, 0], maps[0, 1, 1] = 1.0, -1.0, -1.0
    # Two regions, one found: after (0, 1/2) a flat line. Three regions would give 1/3.
    assert aupro(maps, masks) == pytest.approx(0.5)


def test_limit_inside_a_tie_is_interpolated():
    # Ten good pixels of equal value and the defect below them: the curve goes (0, 0) -> (1, 0) ->
    # (1, 1); the defect tied with them: a diagonal.
    masks = np.zeros((1, 1, 11), dtype=bool)
    masks[0, 0, 0] = True
    below, tied = np.ones(masks.shape), np.ones(masks.shape)
    below[0, 0, 0] = 0.0
    assert aupro(below, masks) == 0.0
    assert aupro(tied, masks) == pytest.approx(0.15)
    # Two good pixels first (rate 0.2), then the tie of the rest: 0.2 flat, then up to (0.3 - 0.2) /
    # 0.8 at the limit.
    tied[0, 0, 1:3] = 2.0
    assert aupro(tied, masks) == pytest.approx((0.1 * 0.125 / 2) / 0.3)


@pytest.fixture(scope="module")
def category():
    random = np.random.default_rng(8)
    masks = np.zeros((24, 32, 32), dtype=bool)
    for index in range(18):
        y, x = random.integers(0, 24, 2)
        masks[index, y : y + random.integers(2, 8), x : x + random.integers(2, 8)] = True
    strength = random.uniform(0, 3, 24)[:, None, None]
    return (random.normal(size=masks.shape) + strength * masks).astype(np.float32), masks


def test_report_values_are_exact_and_intervals_those_of_the_plain_bootstrap(category):
    maps, masks = category
    report = pixel_report(maps, masks, resamples=150, seed=2)
    assert report["pixel_auroc"].value == pixel_auroc(maps, masks)
    assert report["aupro"].value == aupro(maps, masks)
    for name, function in (("pixel_auroc", pixel_auroc), ("aupro", aupro)):
        plain = bootstrap(
            function, maps, masks, resamples=150, seed=2, stratify=masks.any(axis=(1, 2))
        )
        assert tuple(report[name]) == pytest.approx(tuple(plain), abs=1e-3)
        assert plain.high - plain.low > 0.02


def test_report_copes_with_ties_and_without_good_images():
    masks = np.zeros((6, 8, 8), dtype=bool)
    masks[:, 2:5, 2:5] = True
    maps = np.zeros(masks.shape, dtype=np.float32)
    report = pixel_report(maps, masks, resamples=20)
    assert str(report["pixel_auroc"]) == "0.500 [n/a]"
    assert str(report["aupro"]) == "0.150 [n/a]"


def with_defects(kind, images, defective, seed=0):
    """Maps whose good pixels have ties where it hurts, and masks of so many of the images."""
    random = np.random.default_rng(seed)
    masks = np.zeros((images, 24, 24), dtype=bool)
    for index in range(defective):
        y, x = random.integers(0, 17, 2)
        masks[index, y : y + random.integers(2, 7), x : x + random.integers(2, 7)] = True
        masks[index, 22, :2] = index % 2
    strength = random.uniform(0.2, 2.5, images)[:, None, None]
    maps = random.normal(size=masks.shape) + strength * masks
    made = {
        "tied": np.round(maps),
        "clipped": np.clip(maps, -0.5, 0.8),
        "above the clip": np.where(masks, maps + 1, np.minimum(maps, 0.5)),
        "8 bit": np.round(np.clip(40 * maps + 90, 0, 255)),
        "8 bit, defects above": np.where(masks, 255, np.round(np.clip(maps, 0, 1) * 200)),
        "continuous": maps,
    }
    return made[kind].astype(np.float32), masks


@pytest.mark.parametrize("images, defective", [(20, 12), (9, 1), (7, 6), (2, 1)])
@pytest.mark.parametrize(
    "kind", ["tied", "clipped", "above the clip", "8 bit", "8 bit, defects above", "continuous"]
)
def test_intervals_are_those_of_a_bootstrap_with_exact_areas(kind, images, defective):
    maps, masks = with_defects(kind, images, defective)
    report = pixel_report(maps, masks, resamples=40, seed=3)
    for name, function in (("pixel_auroc", pixel_auroc), ("aupro", aupro)):
        plain = bootstrap(
            function, maps, masks, resamples=40, seed=3, stratify=masks.any(axis=(1, 2))
        )
        found = report[name]
        assert found.value == plain.value
        if np.isnan(plain.low):
            assert np.isnan(found.low) and np.isnan(found.high)
            continue
        assert found.low <= found.value <= found.high
        # Where all values are thresholds, the curves are exact.
        tolerance = 1e-9 if len(np.unique(maps[~masks])) <= 1000 else 1e-3
        assert tuple(found) == pytest.approx(tuple(plain), abs=tolerance)


@pytest.mark.parametrize("good_value", [0.0, 0.7])
def test_perfect_maps_have_no_interval_and_never_one_beside_their_value(good_value):
    masks = with_defects("tied", 8, 5)[1]
    maps = np.where(masks, 1, good_value).astype(np.float32)
    report = pixel_report(maps, masks, resamples=30)
    # Before, AUROC 1 [0.5, 0.5] and AUPRO 1 [0.15, 0.15].
    assert str(report["pixel_auroc"]) == str(report["aupro"]) == "1.000 [n/a]"
    clipped = np.where(masks, 3, np.clip(with_defects("continuous", 8, 5)[0], -1, 0.5))
    report = pixel_report(clipped.astype(np.float32), masks, resamples=30)
    assert str(report["pixel_auroc"]) == str(report["aupro"]) == "1.000 [n/a]"


def test_few_defective_images_are_said_to_be_few():
    maps, masks = with_defects("continuous", 12, 4)
    report = pixel_report(maps, masks, resamples=30)
    assert all(str(one).endswith("; too few images]") for one in report.values())
    assert all(one.low < one.value < one.high for one in report.values())


@pytest.mark.parametrize("function", [pixel_auroc, aupro, pixel_report])
def test_bad_input_is_named(function):
    maps, masks = np.zeros((2, 3, 3)), np.zeros((2, 3, 3), dtype=bool)
    masks[0, 0, 0] = True
    broken = maps.copy()
    broken[1, 2, 2] = np.nan
    for arguments, message in [
        ((broken, masks), "maps must be finite: 1 NaN or infinite values, in image 1"),
        ((maps, None), "ground_truth"),
        ((maps, ~(masks | True)), "all empty"),
        ((maps, masks | True), "every pixel"),
        ((maps, masks[:1]), r"\(2, 3, 3\); got \(1, 3, 3\)"),
        ((maps[0], masks[0]), r"shape \(n, h, w\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            function(*arguments)


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"limit": 0}, "limit"),
        ({"limit": 30}, "limit"),
        ({"resamples": 1}, "resamples"),
        ({"confidence": 0}, "confidence"),
        ({"grid_size": 2}, "grid_size"),
    ],
)
def test_bad_settings_are_named(setting, message):
    masks = np.zeros((1, 3, 3), dtype=bool)
    masks[0, 0, 0] = True
    with pytest.raises(ValueError, match=message):
        pixel_report(np.zeros((1, 3, 3)), masks, **setting)


def test_segmentation_report_by_hand():
    masks, found = np.zeros((3, 4, 5), dtype=bool), np.zeros((3, 4, 5), dtype=bool)
    masks[0, 0, :2] = masks[0, 3, 3:] = True  # two regions of two pixels
    masks[1, 1:3, 1:3] = True  # one of four
    found[0, 0, 1:3] = True  # half of the first, one good pixel
    found[1, 1:3, 1:3] = True
    found[2, 0, 0] = True  # a good image
    report = segmentation_report(found, masks)
    assert report == pytest.approx(
        {
            "iou": 5 / 10,
            "mean_iou": (1 / 5 + 1) / 2,
            "per_region_overlap": (0.5 + 0 + 1) / 3,
            "false_positive_rate": 2 / 52,
        }
    )
    with pytest.raises(ValueError, match="all empty"):
        segmentation_report(found, np.zeros_like(masks))
