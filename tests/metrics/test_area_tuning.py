"""Area and threshold together, against a loop that labels for each of them, and by hand."""

import json
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import label

from adhelpers.metrics import PUBLISHED_STEPS, AreaChoice, AreaGrid, eight_bit, tune_area
from adhelpers.metrics.area_tuning import _best


def has_region(heatmap, threshold, area, connectivity):
    return (
        np.bincount(label(heatmap > threshold, connectivity=connectivity // 4).ravel())[1:].max(
            initial=0
        )
        >= area
    )


def cohort(seed=0, good=10, defective=10, shape=(20, 20)):
    random = np.random.default_rng(seed)
    maps = random.uniform(0, 0.3, (good + defective, *shape)).astype(np.float32)
    for heatmap in maps[good:]:
        y, x, size = random.integers(0, 12), random.integers(0, 12), random.integers(3, 6)
        heatmap[y : y + size, x : x + size] += random.uniform(0.05, 0.3)
    labels = np.r_[np.zeros(good, int), np.ones(defective, int)]
    types = np.array(["good"] * good + ["cut", "hole"] * (defective // 2))
    return random.uniform(0, 0.3, (6, *shape)).astype(np.float32), maps, labels, types


@pytest.mark.parametrize("bits", ["float", "8 bit"])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_every_threshold_and_choice_equal_the_plain_loops(bits, connectivity):
    validation, maps, labels, types = cohort()
    step = 0.01
    if bits == "8 bit":
        validation, maps, step = eight_bit(validation), eight_bit(maps), 1
    areas = [1, 2, 3, 5, 8, 13, 40]
    tuning = tune_area(
        validation,
        maps,
        labels,
        types,
        grid=AreaGrid(areas, step, connectivity),
        choice=AreaChoice(share=0.5),
    )
    used = tuning.chosen_with
    start = int(np.floor(validation.min() / step))
    for row in tuning.table().itertuples():
        grid = (start + np.arange(400)) * step
        plain = next(
            t
            for t in grid
            if not any(has_region(one, t + 1e-9, row.area, connectivity) for one in validation)
        )
        assert row.threshold == pytest.approx(plain, abs=1e-6)
        flags = np.array([has_region(one, row.threshold, row.area, connectivity) for one in maps])
        assert row.true_positive_rate == pytest.approx(flags[used & (labels == 1)].mean())
        assert row.true_negative_rate == pytest.approx(1 - flags[used & (labels == 0)].mean())
    best = tuning.table()["balanced"].idxmax()
    assert (
        tuning.minimal_area == areas[best]
        and tuning.threshold.value == tuning.table()["threshold"][best]
    )
    # Score, decision and segmentation say the same.
    flags = tuning.threshold.flag(tuning.levels(maps))
    assert flags.tolist() == [
        has_region(one, tuning.threshold.value, tuning.minimal_area, connectivity) for one in maps
    ]
    assert flags.tolist() == tuning.segment(maps).any(axis=(1, 2)).tolist()
    assert (
        not tuning.threshold.flag(tuning.levels(validation)).any()
        and not tuning.segment(validation).any()
    )


def test_segmentation_keeps_whole_large_regions_and_nothing_else():
    validation, maps, labels, types = cohort()
    tuning = tune_area(
        validation, maps, labels, types, grid=AreaGrid([6]), choice=AreaChoice(share=0.5)
    )
    for heatmap, segmented in zip(maps, tuning.segment(maps), strict=True):
        labels_of = label(heatmap > tuning.threshold.value, connectivity=2)
        expected = np.isin(labels_of, 1 + np.flatnonzero(np.bincount(labels_of.ravel())[1:] >= 6))
        np.testing.assert_array_equal(segmented, expected)


def test_strict_takes_the_choosing_images_out_of_the_test_set():
    validation, maps, labels, types = cohort()
    tune = partial(tune_area, validation, maps, labels, types, grid=AreaGrid([4, 9]))
    strict = tune(choice=AreaChoice(share=0.4))
    assert strict.threshold.uses_test_labels and (strict.tested_on == ~strict.chosen_with).all()
    assert {
        kind: int(strict.chosen_with[types == kind].sum()) for kind in ("good", "cut", "hole")
    } == {"good": 4, "cut": 2, "hole": 2}
    loose = tune(choice=AreaChoice(share=0.4, strict=False))
    assert loose.tested_on.all() and (loose.chosen_with == strict.chosen_with).all()
    other = tune(choice=AreaChoice(share=0.4, seed=1))
    assert (other.chosen_with != strict.chosen_with).any()


def test_labels_of_images_that_are_tested_on_do_not_matter():
    validation, maps, labels, types = cohort()
    settings = {"grid": AreaGrid(range(1, 60, 3)), "choice": AreaChoice(share=0.4)}
    tuning = tune_area(validation, maps, labels, types, **settings)
    changed = np.where(tuning.chosen_with, labels, 1 - labels)
    again = tune_area(validation, maps, changed, types, **settings)
    assert again.table().equals(tuning.table()) and again.minimal_area == tuning.minimal_area


def test_normal_only_never_sees_a_test_image():
    validation, maps, labels, types = cohort()
    planted = validation.copy()
    planted[:, 4:10, 4:10] += 0.2
    validation[0, 15, 15] = 0.9
    settings = {"grid": AreaGrid([1, 4, 9, 30]), "choice": AreaChoice("normal-only")}
    tuning = tune_area(validation, planted_maps=planted, **settings)
    assert (
        not tuning.threshold.uses_test_labels
        and "planted" in tuning.threshold.rule
        and not tuning.chosen_with.size
    )
    beside = tune_area(validation, maps, planted_maps=planted, **settings)
    assert (
        beside.table().equals(tuning.table())
        and beside.tested_on.all()
        and len(beside.tested_on) == len(maps)
    )
    # A single pixel is noise; a region of the planted size is not.
    assert (
        tuning.minimal_area > 1
        and tuning.table()["balanced"].iloc[0] < tuning.table()["balanced"].max() == 1.0
    )


def test_an_area_without_a_threshold_is_none_and_never_the_last():
    validation, maps, labels, types = (eight_bit(one) if one.ndim == 3 else one for one in cohort())
    validation[0, 2:5, 2:5] = 255  # nine pixels at the ceiling: nothing can lie above
    tune = partial(tune_area, validation, maps, labels, types, choice=AreaChoice(share=0.5))
    tuning = tune(grid=AreaGrid([4, 9, 10, 16], step=1))
    assert np.isnan(tuning.table()["threshold"]).tolist() == [True, True, False, False]
    assert (
        np.isnan(tuning.table()["balanced"]).tolist() == [True, True, False, False]
        and tuning.minimal_area >= 10
    )
    written = json.loads(json.dumps(tuning.as_dict(), allow_nan=False))
    assert [row["threshold"] is None for row in written["areas"]] == [True, True, False, False]
    assert json.dumps([row["area"] for row in written["areas"]]) == "[4, 9, 10, 16]"
    assert (
        written["minimal_area"] == tuning.minimal_area
        and written["threshold"]["uses_test_labels"] is True
    )
    with pytest.raises(ValueError, match="no area from 4 to 9 has a threshold.*255"):
        tune(grid=AreaGrid([4, 9], step=1))


def test_clear_border_ignores_what_touches_the_border():
    validation, maps, labels, types = cohort(good=4, defective=4)
    validation[:, 0, :10] = 0.9
    tune = partial(tune_area, validation, maps, labels, types, choice=AreaChoice(share=0.5))
    plain = tune(grid=AreaGrid([5]))
    clear = tune(grid=AreaGrid([5], clear_border=True))
    assert plain.threshold.value == pytest.approx(0.9) and clear.threshold.value < 0.5
    assert not clear.threshold.flag(clear.levels(validation)).any()
    assert not clear.segment(validation).any()
    # Both regions inside stay, in the order of their labels the first as well.
    inside = np.zeros((1, *validation.shape[1:]))
    inside[0, 2:5, 2:5] = inside[0, 7:10, 7:10] = inside[0, 5:8, 0] = 0.99
    segmented = clear.segment(inside)
    assert segmented.sum() == 18 and segmented[0, 2:5, 2:5].all() and segmented[0, 7:10, 7:10].all()


@given(st.integers(0, 10**6))
def test_thresholds_never_rise_with_the_area(seed):
    validation = np.random.default_rng(seed).uniform(size=(3, 9, 9))
    tuning = tune_area(
        validation,
        planted_maps=validation,
        grid=AreaGrid(range(1, 82)),
        choice=AreaChoice("normal-only"),
    )
    assert (np.diff(tuning.table()["threshold"]) <= 0).all()


def test_the_published_steps():
    assert PUBLISHED_STEPS == {
        ("ssim", False): 0.002,
        ("l2", False): 0.0005,
        ("ssim", True): 1,
        ("l2", True): 1,
    }


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"validation_maps": np.full((2, 20, 20), 0.5)}, "all equal.*0.5 everywhere"),
        ({"validation_maps": np.zeros((20, 20))}, r"\(n, h, w\)"),
        ({"grid": AreaGrid([0])}, "areas"),
        ({"grid": AreaGrid([])}, "areas"),
        ({"grid": AreaGrid([401])}, "from 1 to 400"),
        ({"labels": None}, "needs test_maps, labels and types"),
        ({"choice": AreaChoice("normal-only")}, "planted_maps"),
        ({"labels": np.zeros(20, int)}, "no anomalous image"),
        ({"test_maps": np.zeros((20, 8, 8))}, r"same size and kind.*\(20, 20\)"),
        ({"test_maps": np.zeros((20, 20, 20), np.uint8)}, "same size and kind"),
        (
            {"types": np.array(["good"] * 10 + ["cut"] * 9 + ["hole"])},
            "type 'hole' has 1 test image, but",
        ),
    ],
)
def test_bad_input_is_named(changes, message):
    validation, maps, labels, types = cohort()
    arguments = {
        "validation_maps": validation,
        "test_maps": maps,
        "labels": labels,
        "types": types,
        "grid": AreaGrid([4, 9]),
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        tune_area(**arguments)


@pytest.mark.parametrize(
    "part, changes, message",
    [
        (AreaChoice, {"selection": "best"}, "selection must be one of"),
        (AreaChoice, {"share": 1.5}, "share"),
        (AreaGrid, {"step": 0}, "step"),
        (AreaGrid, {"connectivity": 6}, "connectivity"),
    ],
)
def test_bad_parts_are_named(part, changes, message):
    with pytest.raises(ValueError, match=message):
        part(**changes)


def test_findings_say_what_was_chosen_and_what_has_no_threshold():
    validation, maps, labels, types = (eight_bit(one) if one.ndim == 3 else one for one in cohort())
    validation[0, 2:5, 2:5] = 255
    tuning = tune_area(
        validation,
        maps,
        labels,
        types,
        grid=AreaGrid([4, 9, 10, 16], step=1),
        choice=AreaChoice(share=0.5),
    )
    best = tuning.table()["balanced"].idxmax()
    rates = tuning.table().loc[best]
    chosen, missing = tuning.findings()
    assert chosen == (
        f"A region of {tuning.minimal_area} pixels above {tuning.threshold.value:.4g} flags "
        f"{rates['true_positive_rate']:.0%} of the defective and passes "
        f"{rates['true_negative_rate']:.0%} of the good images that it was chosen with."
    )
    assert missing.startswith("For 2 of 4 areas there is no threshold")


def test_the_first_of_equally_good_areas_is_kept():
    random = np.random.default_rng(14)
    for _ in range(500):
        defective, good = random.integers(1, 30, 2)
        thresholds = np.where(random.random(8) < 0.1, np.nan, 0.5)
        thresholds[0] = 0.5
        positive, negative = random.random((defective, 8)), random.random((good, 8))
        means = [
            -1
            if np.isnan(threshold)
            else Fraction(int((one > threshold).sum()), int(defective))
            + Fraction(int((other <= threshold).sum()), int(good))
            for threshold, one, other in zip(thresholds, positive.T, negative.T, strict=True)
        ]
        assert _best(thresholds, positive, negative) == means.index(max(means))
