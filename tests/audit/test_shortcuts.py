"""The shortcut probe against other implementations, slow versions and planted shortcuts."""

import json
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from adhelpers.audit import (
    dependence_findings,
    image_statistics,
    probe_shortcuts,
    regions_to_leave_out,
    shortcut_dependence,
)
from adhelpers.data import Corrections, load_category, rendered_root
from adhelpers.metrics import bootstrap, detection_report, image_auroc

LIGHT = ["mean_brightness", "median_background"]


def _found(probe, name):
    return probe.statistics.set_index("statistic").loc[name]


def test_table_equals_other_implementations():
    random = np.random.default_rng(1)
    labels = np.repeat([0, 1], [15, 25])
    statistics = pd.DataFrame(
        {
            "shifted": random.normal(size=40) - labels,
            "coarse": random.integers(0, 3, 40),
            "flat": np.ones(40),
        }
    )
    probe = probe_shortcuts(statistics, labels, resamples=60, seed=3)
    assert (
        list(probe.statistics["statistic"])[0] == probe.strongest == "shifted"
        and list(probe.statistics["statistic"])[-1] == "flat"
    )
    for name, values in statistics.items():
        row = _found(probe, name)
        assert row.auroc == pytest.approx(roc_auc_score(labels, values))
        assert row.separability == max(row.auroc, 1 - row.auroc)
        estimate = bootstrap(
            image_auroc, values.to_numpy(), labels, resamples=60, seed=3, stratify=labels
        )
        low, high = (
            (estimate.low, estimate.high)
            if row.auroc >= 0.5
            else (1 - estimate.high, 1 - estimate.low)
        )
        # A constant statistic has no interval.
        assert (row.low, row.high) == pytest.approx((low, high), nan_ok=name == "flat")
    assert (
        _found(probe, "shifted").direction == "lower"
        and "lower in the defective" in probe.findings()[0]
    )
    flat = _found(probe, "flat")
    assert (flat.auroc, flat.direction, flat.p_value, flat.significant) == (0.5, "none", 1.0, False)
    assert json.loads(json.dumps(probe.as_dict())) == {
        "name": "shifted",
        "auroc": _found(probe, "shifted").auroc,
        "separability": _found(probe, "shifted").separability,
        "direction": "lower",
        "significant": True,
        "outside_defects": False,
        "whole_image": _found(probe, "shifted").separability,
    }


def test_p_values_are_exact_for_few_images():
    # All 3 good below all 3 anomalous: 1 of the 20 orders, on either side.
    probe = probe_shortcuts(pd.DataFrame({"noise": np.arange(6)}), [0, 0, 0, 1, 1, 1], resamples=2)
    assert probe.statistics["p_value"].tolist() == pytest.approx([0.1])
    assert (
        probe.findings()[0].startswith("No trivial statistic")
        and "3 good and 3 defective" in probe.findings()[0]
    )


def test_looking_at_many_finds_something_in_at_most_one_of_twenty():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    found = [
        probe_shortcuts(pd.DataFrame(random.normal(size=(40, 12))), labels, resamples=2)
        .statistics["significant"]
        .any()
        for _ in range(100)
    ]
    # Of binomial draws with chance 0.05, 99.9 % lie at or below 13 of 100; without correction 46
    # would be expected.
    assert sum(found) <= 13


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(2, 12))
def test_classes_and_scales_may_be_swapped(seed, good, anomalous):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat([0, 1], [good, anomalous]))
    statistics = pd.DataFrame(
        {"a": random.integers(0, 6, len(labels)), "b": random.normal(size=len(labels))}
    )
    plain = probe_shortcuts(statistics, labels, resamples=2).statistics.set_index("statistic")
    swapped = (
        probe_shortcuts(statistics, 1 - labels, resamples=2)
        .statistics.set_index("statistic")
        .loc[plain.index]
    )
    scaled = (
        probe_shortcuts(np.exp(statistics / 3), labels, resamples=2)
        .statistics.set_index("statistic")
        .loc[plain.index]
    )
    np.testing.assert_allclose(swapped["auroc"], 1 - plain["auroc"])
    np.testing.assert_allclose(
        swapped[["separability", "p_value"]], plain[["separability", "p_value"]], atol=1e-12
    )
    pd.testing.assert_frame_equal(scaled, plain)


def test_sentences_say_what_is_known():
    labels = np.repeat([0, 1], 12)
    ramp, random = np.arange(24.0), np.random.default_rng(0)

    def sentence(**columns):
        return probe_shortcuts(pd.DataFrame(columns), labels, resamples=2).findings()[0]

    assert sentence(mean_brightness=ramp) == (
        "Mean brightness alone tells good from defective test images (higher in the defective "
        "ones) with an AUROC of 1.000: a high AUROC of a detector on this test set proves nothing. "
        "Without masks it cannot be told whether the defects themselves change it or the "
        "photographs differ."
    )
    mixed = ramp.copy()
    mixed[[2, 20]] = mixed[[20, 2]]
    assert "an AUROC of up to 0.875 of a detector" in sentence(noise=-mixed)
    assert "the files were not made alike" in sentence(file_size=ramp)
    none = "No trivial statistic tells good from defective test images: "
    assert sentence(noise=random.permutation(ramp)).startswith(
        none + "the best single one, noise, has an AUROC of 0."
    )
    assert sentence(noise=ramp * 0) == none + "each is the same in all of them."


def test_tables_are_for_people():
    labels, ramp = np.repeat([0, 1], 12), np.arange(24.0)
    statistics = pd.DataFrame({"flat": ramp * 0, "mean_brightness": -ramp})
    probe = probe_shortcuts(statistics, labels, resamples=2)
    assert probe.table().to_dict("list") == {
        "statistic": ["mean brightness", "flat"],
        "in defective images": ["lower", "none"],
        "AUROC": ["1.000 [0.735, 1.000; exact bound]", "0.500 [n/a]"],
        "p, corrected": [f"{_found(probe, 'mean_brightness').p_value:.3g}", "1"],
        "shortcut": ["yes", "no"],
    }
    assert probe.table(1)["statistic"].tolist() == ["mean brightness"]
    result = shortcut_dependence(-ramp, statistics["mean_brightness"], labels, resamples=2)
    assert result.table().to_dict("list") == {
        "statistic": ["mean brightness"],
        "rank correlation, good validation": ["–"],
        "rank correlation, test": ["+1.00"],
        "image AUROC": [str(result.auroc)],
        "AUROC among images alike in it": ["–"],
    }


@pytest.mark.parametrize("label, only", [(0, "good"), (1, "anomalous")])
def test_a_single_class_is_no_test(label, only):
    probe = probe_shortcuts(pd.DataFrame({"noise": [1.0, 2.0]}), [label, label])
    assert (
        probe.strongest is None
        and probe.as_dict() is None
        and f"only {only} images" in probe.findings()[0]
    )
    assert "cannot be known" in probe.findings()[0]
    assert probe.statistics["auroc"].isna().all() and not probe.statistics["significant"].any()
    assert probe.tested == 0


def test_bad_statistics_and_labels_are_refused():
    fine = pd.DataFrame({"noise": [1.0, 2.0]})
    for statistics, labels, options, message in (
        (pd.DataFrame(), [], {}, "at least one column"),
        (fine, [0], {}, "each of the 2 images"),
        (fine, [0, 2], {}, "must be 0"),
        (pd.DataFrame({"noise": [1.0, np.nan]}), [0, 1], {}, "noise has others"),
        (pd.DataFrame({"name": ["a", "b"]}), [0, 1], {}, "name has others"),
        (pd.concat([fine, fine], axis=1), [0, 1], {}, "another name"),
        (fine, [0, 1], {"resamples": 1}, "resamples"),
    ):
        with pytest.raises(ValueError, match=message):
            probe_shortcuts(statistics, labels, **options)


def _planted_set(kind, seed, count=16, side=32):
    """Good images, then as many with a defect and a mask, and what ``kind`` adds to the latter."""
    random = np.random.default_rng(seed)
    images = 0.5 + 0.04 * random.normal(size=(2 * count, side, side, 1))
    images += 0.03 * random.normal(size=(2 * count, 1, 1, 1))
    masks = np.zeros(images.shape[:3], bool)
    for index, image in enumerate(images):
        if kind == "defects on objects anywhere":
            row, column = random.integers(0, side - 12, 2)
            image[row : row + 12, column : column + 6] -= 0.3
            row, column = row + random.integers(0, 8), column + random.integers(0, 2)
        else:
            row, column = random.integers(2, side - 6, 2)
        if index < count:
            continue
        defect = (slice(row, row + 4), slice(column, column + 4))
        masks[index][defect] = True
        if kind == "sharp defects":
            image[defect] += 0.25 * random.choice([-1, 1], (4, 4, 1))
        else:
            image[defect] = 0.05
        if kind == "brighter photographs":
            image += 0.15
        elif kind == "a bright border":
            image[:2] += 0.2
        elif kind == "another camera's noise":
            image += 0.04 * random.normal(size=image.shape)
    return np.clip(images, 0, 1), masks, np.repeat([0, 1], count)


def _probe_planted(kind, seed):
    images, masks, labels = _planted_set(kind, seed)
    outside = image_statistics(images, left_out=regions_to_leave_out(images, masks, seed=seed))
    return probe_shortcuts(image_statistics(images), labels, resamples=2, outside=outside)


@pytest.mark.parametrize(
    "kind, names",
    [
        ("brighter photographs", {"mean_brightness", "median_background"}),
        ("a bright border", {"median_background", "standard_deviation", "sharpness"}),
        ("another camera's noise", {"noise", "standard_deviation", "sharpness"}),
    ],
)
def test_what_differs_beside_the_defects_is_a_shortcut(kind, names):
    probes = [_probe_planted(kind, seed) for seed in range(30)]
    found = [probe.statistics["significant"].iloc[0] for probe in probes]
    assert np.mean(found) >= 0.95
    assert {probe.strongest for probe in probes} <= names
    assert "even where the defects are left out" in probes[0].findings()[0]


def test_what_only_the_defects_change_is_no_shortcut():
    kinds = ("dark defects", "sharp defects", "defects on objects anywhere")
    probes = [_probe_planted(kind, seed) for kind in kinds for seed in range(37)]
    tables = [probe.statistics for probe in probes]
    assert np.mean([table["significant"].any() for table in tables]) <= 0.05
    # Whole images are fooled: that is what the test is about.
    assert np.mean([table["whole_significant"].any() for table in tables]) > 0.9
    assert "the defects themselves change it, which is no shortcut" in probes[0].findings()[0]


def test_regions_without_regard_to_the_object_would_make_its_area_a_shortcut():
    # The same masks at the same places in the good images cover background where the defective
    # ones' cover object.
    wrong = []
    for seed in range(20):
        images, masks, labels = _planted_set("defects on objects anywhere", seed)
        regions = regions_to_leave_out(np.zeros_like(images), masks, seed=seed)
        outside = image_statistics(images, left_out=regions)
        probe = probe_shortcuts(image_statistics(images), labels, resamples=2, outside=outside)
        wrong.append(_found(probe, "object_area")["significant"])
    assert np.mean(wrong) > 0.5


def test_both_figures_stand_side_by_side():
    labels, ramp = np.repeat([0, 1], 12), np.arange(24.0)
    shuffled = np.random.default_rng(0).permutation(ramp)
    probe = probe_shortcuts(
        pd.DataFrame({"noise": ramp, "file_size": shuffled}),
        labels,
        resamples=2,
        outside=pd.DataFrame({"noise": shuffled, "file_size": shuffled}),
    )
    table = probe.table().set_index("statistic")
    assert table.loc["noise", "AUROC of the whole image"].startswith("1.000")
    assert (
        table.loc["noise", "AUROC outside the defects"]
        == (table.loc["file size", "AUROC outside the defects"])
    )
    assert not probe.as_dict()["significant"] and probe.as_dict()["whole_image"] == 1
    assert "Of whole images noise has 1.000" in probe.findings()[0]
    for outside in (pd.DataFrame({"noise": ramp}), pd.DataFrame({"a": ramp, "b": ramp})):
        with pytest.raises(ValueError, match="outside must have the rows and columns"):
            probe_shortcuts(pd.DataFrame({"noise": ramp, "b": ramp}), labels, 2, 0, outside)


def _slow_within(scores, stratum, labels):
    wins = [
        (scores[a] > scores[g]) + 0.5 * (scores[a] == scores[g])
        for g in range(len(scores))
        for a in range(len(scores))
        if labels[g] == 0 and labels[a] == 1 and stratum[g] == stratum[a]
    ]
    return np.mean(wins), len(wins)


def test_within_strata_equals_loops_over_pairs():
    random = np.random.default_rng(2)
    labels = random.integers(0, 2, 60)
    statistic = pd.Series(random.normal(size=60) + labels, name="mean_brightness")
    scores = np.round(statistic.to_numpy() + random.normal(size=60), 1)
    result = shortcut_dependence(scores, statistic, labels, strata=4, resamples=200)
    stratum = pd.qcut(statistic, 4, labels=False).to_numpy()
    value, pairs = _slow_within(scores, stratum, labels)
    within = result.auroc_within_strata
    assert (
        within.value == pytest.approx(value)
        and result.pairs == pairs
        and within.low < value < within.high
    )
    assert result.statistic_auroc_within_strata == pytest.approx(
        _slow_within(statistic.to_numpy(), stratum, labels)[0]
    )
    assert result.strata == sum(len(set(labels[stratum == s])) == 2 for s in range(4))
    assert (
        result.auroc.value == pytest.approx(roc_auc_score(labels, scores))
        and result.spearman_validation is None
    )
    assert result.spearman_test == pytest.approx(
        pd.Series(scores).corr(statistic, method="spearman")
    )
    assert "alike in mean brightness" in result.findings()[0]
    # The interval's resamples stay within class and stratum.
    draws = bootstrap(
        lambda s, t, y: _slow_within(s, t, y)[0],
        scores,
        stratum,
        labels,
        resamples=200,
        stratify=2 * stratum + labels,
    )
    assert (within.low, within.high) == pytest.approx((draws.low, draws.high))


def test_the_auroc_of_a_dependence_is_that_of_the_detection_report():
    random = np.random.default_rng(4)
    types = np.array(["good"] * 20 + ["cut"] * 12 + ["hole"] * 9)
    labels = (types != "good").astype(int)
    scores = random.normal(size=41) + 1.5 * (types == "cut") + 0.3 * labels
    report = detection_report(scores, labels, types, 0.5, seed=7)
    found = shortcut_dependence(scores, random.normal(size=41), labels, seed=7, types=types)
    assert found.auroc == report.auroc


def test_a_perfect_auroc_within_strata_has_the_bound_of_its_independent_pairs():
    # Two strata of six images, each with two good and four anomalous, and all pairs right: four
    # pairs have no image in common.
    statistic, labels = np.repeat([0.0, 1.0], 6), np.tile([0, 0, 1, 1, 1, 1], 2)
    statistic += np.tile([0, 0.01], 6)
    found = shortcut_dependence(labels + 0.0, statistic, labels, strata=2).auroc_within_strata
    assert found.low == pytest.approx(0.025 ** (1 / 4)) and found.note == "too few images"
    # Three strata of three good and four anomalous: in each three pairs have no image in common.
    statistic, labels = np.repeat([0.0, 1.0, 2.0], 7), np.tile([0, 0, 0, 1, 1, 1, 1], 3)
    found = shortcut_dependence(labels + 0.0, statistic, labels, strata=3).auroc_within_strata
    assert found.low == pytest.approx(0.025 ** (1 / 9)) and found.note == "exact bound"


def test_strata_separate_skill_from_brightness():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 300)
    brightness = random.normal(size=600) + 1.0 * labels
    fooled = shortcut_dependence(
        brightness + 0.05 * random.normal(size=600), brightness, labels, strata=20
    )
    skilled = shortcut_dependence(
        labels + 0.3 * random.normal(size=600), brightness, labels, strata=20
    )
    assert (
        fooled.auroc.value > 0.7
        and fooled.auroc_within_strata.value < 0.6
        and fooled.spearman_test > 0.95
    )
    assert skilled.auroc_within_strata.value > 0.95 and "proves little" not in skilled.findings()[0]


def test_complete_separation_cannot_prove_skill():
    labels = np.repeat([0, 1], [20, 60])
    # A quantile stratum that straddles the border holds both classes, but not alike ones.
    brightness = np.linspace(0, 1, 80)
    for statistic in (brightness, -brightness):
        result = shortcut_dependence(labels + 0.01 * brightness, statistic, labels, strata=3)
        assert result.auroc_within_strata is None and result.statistic_auroc_within_strata in (0, 1)
        assert (
            "the test set cannot prove skill" in result.findings()[0]
            and "AUROC of 1.000" in result.findings()[0]
        )
    result = shortcut_dependence(labels + 0.01 * brightness, labels, labels, strata=4)
    assert (
        result.auroc_within_strata is None
        and result.pairs == 0
        and "cannot prove skill" in result.findings()[0]
    )


def test_coarse_strata_are_told():
    labels = np.repeat([0, 1], [50, 50])
    brightness = np.arange(100.0)
    brightness[[45, 55]] = brightness[[55, 45]]
    result = shortcut_dependence(brightness, brightness, labels, strata=3)
    assert (
        0.7 < result.statistic_auroc_within_strata < 1
        and "proves little skill" in result.findings()[0]
    )


def test_validation_correlation_and_constants():
    scores, labels = np.arange(8.0), np.repeat([0, 1], 4)
    result = shortcut_dependence(scores, np.ones(8), labels, [1, 2, 3, 4], [9, 7, 8, 1])
    assert result.spearman_validation == pytest.approx(-0.8) and result.spearman_test is None
    assert "-0.80 among the good validation images" in result.findings()[0]
    # All images are alike in a constant, so the one stratum gives the AUROC over all.
    assert result.auroc_within_strata.value == result.auroc.value == 1 and result.strata == 1


def test_single_class_has_no_dependence_but_a_correlation():
    result = shortcut_dependence([1.0, 2, 3], [3.0, 2, 1], [0, 0, 0])
    assert (
        result.spearman_test == -1
        and result.auroc is None
        and "cannot be known" in result.findings()[0]
    )


def test_several_detectors_share_one_sentence():
    labels, statistic = np.repeat([0, 1], 30), pd.Series(np.tile(np.arange(30.0), 2), name="noise")
    good, better = statistic + 3 * labels, statistic + 20 * labels
    results = {
        title: shortcut_dependence(scores, statistic, labels, resamples=2)
        for title, scores in (("GAN", good), ("subspace", better))
    }
    (sentence,) = dependence_findings(results)
    assert sentence.count("pairs in 5 strata") == 1
    low, high = results["GAN"], results["subspace"]
    assert low.auroc.value < high.auroc.value and low.spearman_test > high.spearman_test
    assert f"over all {low.auroc.value:.3f} to {high.auroc.value:.3f}" in sentence
    within = [one.auroc_within_strata.value for one in (low, high)]
    assert f"the AUROC is {within[0]:.3f} to {within[1]:.3f}" in sentence
    assert f"{high.spearman_test:+.2f} to {low.spearman_test:+.2f} among the test" in sentence
    # Of a single detector the intervals are told.
    (alone,) = low.findings()
    assert f"over all {low.auroc} (" in alone and f": {low.spearman_test:+.2f} among" in alone
    apart = {title: shortcut_dependence(labels, labels, labels) for title in ("GAN", "subspace")}
    assert "the AUROC of 1.000 may come from it alone" in (dependence_findings(apart)[0])


def test_dependence_refuses_bad_input():
    fine = ([1.0, 2], [1.0, 2], [0, 1])
    for arguments, options, message in (
        (([1.0], *fine[1:]), {}, "statistic must hold one number for each of the 1"),
        (([], *fine[1:]), {}, "scores must hold"),
        (([1, np.nan], *fine[1:]), {}, "scores must be finite"),
        ((*fine[:2], [0]), {}, "labels"),
        (fine, {"strata": 0}, "strata"),
        (fine, {"validation_scores": [1.0]}, "together"),
        (
            fine,
            {"validation_scores": [1.0], "validation_statistic": [1.0, 2]},
            "validation_statistic must hold",
        ),
        (fine, {"resamples": 0}, "resamples"),
    ):
        with pytest.raises(ValueError, match=message):
            shortcut_dependence(*arguments, **options)


@pytest.mark.parametrize("category, color", [("hazelnut", "rgb"), ("screw", "grayscale")])
def test_rendered_data_are_free_of_shortcuts_unless_planted(category, color):
    fair, planted = (
        rendered_root(category, shortcut=shortcut) for shortcut in ("none", "brightness")
    )
    probes = []
    for root in (fair, planted):
        test = load_category(root, category, color=color).test
        statistics = image_statistics(test.images, [root / category / name for name in test.names])
        probes.append(probe_shortcuts(statistics, test.labels))
    assert not probes[0].statistics["significant"].any() and probes[0].findings()[0].startswith(
        "No trivial statistic"
    )
    assert (
        probes[1].strongest == "mean_brightness"
        and _found(probes[1], "mean_brightness").separability > 0.99
    )
    assert "proves nothing" in probes[1].findings()[0]


def test_real_screw_is_told_apart_by_brightness_alone(real_data):
    root = real_data / "mvtec_ad"
    test = load_category(root, "screw", image_size=256).test
    start = time.perf_counter()
    statistics = image_statistics(test.images, [root / "screw" / name for name in test.names])
    probe = probe_shortcuts(statistics, test.labels)
    assert (time.perf_counter() - start) * 160 / len(test) < 10
    assert probe.strongest == "mean_brightness" and probe.statistics["auroc"].iloc[0] == 1
    brightness = 255 * statistics["mean_brightness"]
    assert (
        brightness[test.labels == 0].between(168, 174).all()
        and brightness[test.labels == 1].between(175, 195).all()
    )
    result = shortcut_dependence(
        statistics["mean_brightness"], statistics["mean_brightness"], test.labels
    )
    assert "the test set cannot prove skill" in result.findings()[0]


@pytest.mark.parametrize("pose, crop", [("none", "none"), ("axis", "object")])
def test_real_screw_on_an_even_background_has_no_light_left(real_data, pose, crop):
    corrections = Corrections("background", pose, crop)
    loaded = load_category(real_data / "mvtec_ad", "screw", image_size=256, corrections=corrections)
    test = loaded.test
    probe = probe_shortcuts(image_statistics(test.images), test.labels)
    for name in LIGHT:
        assert _found(probe, name).separability <= 0.70 and not _found(probe, name).significant, (
            name
        )
    # What is left is not hidden: darker photographs have more noise once their light is evened out.
    if pose == "axis":
        assert (
            probe.strongest == "noise"
            and _found(probe, "noise").direction == "lower"
            and _found(probe, "noise").significant
        )
