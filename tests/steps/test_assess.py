import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from adhelpers.data import LEAK, load_category
from adhelpers.metrics import (
    Threshold,
    aupimo_estimate,
    auroc_estimate,
    image_auroc,
    pixel_report,
)
from adhelpers.runner import start_run
from adhelpers.steps import assess_detector, compare_detectors, find_shortcuts
from adhelpers.steps.assess import leaked_images, pixel_figures


class Fixed:
    """A detector whose scores are given."""

    def __init__(self, validation, test):
        self.answers = {
            len(validation): np.asarray(validation, "float32"),
            len(test): np.asarray(test, "float32"),
        }

    def score(self, images):
        return self.answers[len(images)]

    def anomaly_map(self, images):
        return np.ones(images.shape[:3], "float32") * self.score(images)[:, None, None]

    def counterpart(self, images):
        return images


def with_scores(nuts, scores, **options):
    return assess_detector(
        "fixed", Fixed(np.linspace(0, 1, len(nuts.validation)), scores), nuts, **options
    )


def test_the_default_threshold_sees_no_test_label(hazelnuts, detector, assessed):
    assert not assessed.threshold.uses_test_labels
    np.testing.assert_array_equal(assessed.scores, detector.score(hazelnuts.test.images))
    np.testing.assert_array_equal(assessed.flags, assessed.scores > assessed.threshold.value)
    assert assessed.detection.auroc.value == pytest.approx(
        image_auroc(assessed.scores, hazelnuts.test.labels)
    )
    assert assessed.detection.confusion["fp"] == int(
        (assessed.flags & (hazelnuts.test.labels == 0)).sum()
    )
    assert assessed.seconds > 0 and assessed.detector is detector


@pytest.mark.parametrize("rule", ("gmean", "midpoint"))
def test_rules_that_use_test_labels_say_so_everywhere(hazelnuts, detector, rule):
    one = assess_detector("subspace", detector, hazelnuts, rule=rule)
    assert one.threshold.uses_test_labels
    table = compare_detectors([one]).table()
    assert table.loc["threshold used test labels", "subspace"] == "yes"
    assert any("flatter" in sentence for sentence in compare_detectors([one, one]).findings())


def test_an_unknown_rule_is_named(hazelnuts, detector):
    with pytest.raises(ValueError, match="must be one of normal_quantile"):
        assess_detector("subspace", detector, hazelnuts, rule="best")


def test_estimates_read_as_value_and_interval(assessed):
    auroc = assessed.detection.auroc
    interval = f"{auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}; too few images]"
    assert assessed.table().loc["image AUROC", "subspace"] == interval


def fixed_detectors(nuts):
    """Assessments of detectors with all pairs right, all wrong, and about half."""
    labels = nuts.test.labels
    perfect, reversed_, half = labels + 2.0, 3.0 - labels, np.arange(len(labels)) % 3 + 1.0
    return [with_scores(nuts, scores) for scores in (perfect, reversed_, half)]


def test_findings_follow_the_figures_and_not_a_wish(hazelnuts):
    good, bad, _ = fixed_detectors(hazelnuts)
    # All pairs right against all pairs wrong, but of four good images: that can be luck.
    assert compare_detectors([bad, good]).difference.low < 0
    assert "do not show" in compare_detectors([bad, good]).findings()[0]
    twice = hazelnuts.test.subset(np.tile(np.arange(len(hazelnuts.test)), 2))
    good, bad, middling = fixed_detectors(replace(hazelnuts, test=twice))
    assert "is better than the fixed" in compare_detectors([bad, good]).findings()[0]
    assert "is worse" in compare_detectors([good, bad]).findings()[0]
    assert "do not show" in compare_detectors([middling, middling]).findings()[0]
    assert compare_detectors([bad, good]).difference.value == 1
    assert (
        "flags 16 of 16 defective images and raises 8 false alarms on 8 good ones"
        in compare_detectors([good, good]).findings()[1]
    )


def test_the_type_that_is_missed_most_has_its_recall_with_an_interval(hazelnuts):
    kinds, scores = hazelnuts.test.types, np.where(hazelnuts.test.labels, 3.0, 0.0)
    scores[np.flatnonzero(kinds == "cut")[0]] = 0.0
    [sentence] = with_scores(hazelnuts, scores).findings()
    # By hand: 1 of 2, 1 - 0.975^(1/2) and 0.975^(1/2).
    assert "It is weakest on cut (recall 0.50 [0.01, 0.99; too few images])" in sentence


def test_the_main_detector_need_not_be_the_last(hazelnuts):
    labels = hazelnuts.test.labels
    bad, good = (with_scores(hazelnuts, scores) for scores in (3.0 - labels, labels + 2.0))
    compared = compare_detectors([bad, good, bad], good)
    assert compared.main is good and compared.simple is bad and compared.difference.value == 1


def test_a_row_for_each_sample(hazelnuts, assessed):
    samples = assessed.samples()
    assert len(samples) == 12 and list(samples["name"]) == list(hazelnuts.test.names)
    np.testing.assert_array_equal(samples["correct"], samples["flagged"] == (samples["label"] == 1))


def test_summary_parts_are_what_the_summary_takes(hazelnuts, assessed, located, tmp_path):
    run = start_run(
        "test",
        {"category": "hazelnut", "seed": 0, "results": str(tmp_path), "models": str(tmp_path)},
    )
    run.summary(**assessed.summary_parts(), **located.summary_parts())
    stored = json.loads((run.folder / "summary.json").read_text())
    assert stored["image_auroc"]["value"] == pytest.approx(assessed.detection.auroc.value)
    assert stored["jaccard"]["uniform"]["images"] == 8 and stored["verdicts"] is None
    assert (
        stored["threshold"]["uses_test_labels"] is False
        and stored["data"]["fingerprint"] == hazelnuts.fingerprint
    )


def test_a_category_without_masks_has_no_figures_of_pixels(bare, detector):
    one = assess_detector("subspace", detector, bare)
    assert one.pixels is None and one.table().loc["pixel AUROC", "subspace"] == "–"


def test_a_threshold_may_flag_nothing(hazelnuts):
    one = with_scores(hazelnuts, np.linspace(-2, -1, len(hazelnuts.test)))
    assert not one.flags.any() and isinstance(one.threshold, Threshold)


@pytest.fixture
def leaking(hazelnuts, tmp_path):
    """The same images, but two training images are among the good test images too."""
    root = tmp_path / "data"
    shutil.copytree(hazelnuts.root / "hazelnut", root / "hazelnut")
    good = root / "hazelnut" / "test" / "good"
    for number, file in enumerate(sorted((root / "hazelnut" / "train" / "good").iterdir())[:2]):
        shutil.copy(file, good / f"again_{number}{file.suffix}")
    return load_category(root, "hazelnut", image_size=64, color="rgb")


def test_images_in_training_and_test_reach_every_part_of_a_run(leaking, tmp_path):
    leaked = leaked_images(leaking)
    names = ["test/good/again_0.png", "test/good/again_1.png"]
    assert leaking.test.names[leaked].tolist() == names
    shortcuts = find_shortcuts(leaking)
    assert f"2 of {len(leaking.test)} test images are also used" in shortcuts.findings()[-1]
    # Remembered images have the lowest scores; without them good and defective are mixed.
    scores = np.where(leaked, 0.0, 1 + np.arange(len(leaking.test)) % 3)
    one = with_scores(leaking, scores)
    without = auroc_estimate(
        scores[~leaked], leaking.test.labels[~leaked], leaking.test.types[~leaked]
    )
    assert without.value < one.detection.auroc.value
    assert one.findings()[1] == (
        "Without the 2 test images that are also used in training or for the threshold the AUROC "
        f"of the fixed is {without}, with them {one.detection.auroc}."
    )
    run = start_run("test", {"category": "x", "results": str(tmp_path), "models": str(tmp_path)})
    stored = run.summary(**one.summary_parts())["data"]["remarks"]
    [remark] = [remark for remark in stored if remark["kind"] == LEAK]
    assert LEAK == "duplicate_train_test" and (remark["count"], remark["files"]) == (2, names)


def test_a_class_without_images_that_do_not_leak_is_named(leaking):
    whole = find_shortcuts(leaking)
    assert replace(whole, leaked=0).findings() == whole.probe.findings()
    assert "1 of 14 test images is also used" in replace(whole, leaked=1).findings()[-1]
    only = np.flatnonzero(leaked_images(leaking) | (leaking.test.labels == 1))
    part = replace(leaking, test=leaking.test.subset(only))
    one = with_scores(part, np.arange(len(only)))
    assert "nothing can be said of the fixed" in one.findings()[1]


def test_the_figure_shows_both_sides_of_the_threshold(assessed):
    assert assessed.figure().axes and assessed.heading == "Subspace"


def test_images_whose_defect_is_not_in_the_mask_are_left_out_of_measures_of_pixels(
    hazelnuts, partly_cut, detector, assessed
):
    one, test = assess_detector("subspace", detector, partly_cut), partly_cut.test
    known = (test.labels == 0) | test.masks.any(axis=(1, 2))
    assert (~known).sum() == 2
    expected = pixel_report(one.anomaly_maps[known], test.masks[known])
    assert {name: one.pixels[name] for name in expected} == expected
    # A map that shows all defects is perfect, also where the mask does not show one: with such
    # images its right pixels would count as false.
    perfect = hazelnuts.test.masks.astype(np.float32)
    assert pixel_figures(perfect, test)["pixel_auroc"].value == 1
    assert pixel_report(perfect, test.masks)["pixel_auroc"].value < 0.9999
    assert one.detection == assessed.detection
    assert one.findings()[0] == assessed.findings()[0] and len(assessed.findings()) == 1
    assert one.findings()[1].startswith(
        "Of 2 defective images it is not known where the defect is (their masks are empty"
    )
    nowhere = replace(test, masks=np.zeros_like(test.masks))
    assert pixel_figures(one.anomaly_maps, nowhere) is None
    assert pixel_figures(one.anomaly_maps, replace(test, masks=None)) is None


def test_aupimo_is_among_the_figures_or_says_why_it_is_none(hazelnuts, assessed):
    test = hazelnuts.test
    assert str(assessed.pixels["aupimo"]).startswith("n/a (the good images have ")
    assert (
        "1e-05 needs 100000"
        in assessed.table().loc["AUPIMO, 1e-5 to 1e-4 false positives", "subspace"]
    )
    many = 1 + 100_000 // (test.masks[0].size * int((test.labels == 0).sum()))
    order = np.repeat(np.arange(len(test)), np.where(test.labels == 0, many, 1))
    images = test.subset(order)
    figure = pixel_figures(images.masks.astype(np.float32), images)["aupimo"]
    assert figure.value == 1
    expected = aupimo_estimate(assessed.anomaly_maps[order], images.masks)
    assert pixel_figures(assessed.anomaly_maps[order], images)["aupimo"] == expected
    assert replace(assessed, pixels={"aupimo": expected}).summary_parts()["aupimo"] is expected


def test_a_detector_with_one_pass_for_all_is_asked_once(hazelnuts):
    class OnePass(Fixed):
        passes = 0

        def score_map_counterpart(self, images):
            self.passes += 1
            return self.score(images), self.anomaly_map(images), images * 0.5

    scores = np.arange(len(hazelnuts.test))
    detector = OnePass(np.linspace(0, 1, len(hazelnuts.validation)), scores)
    one = assess_detector("fixed", detector, hazelnuts)
    assert detector.passes == 1 and one.seconds > 0
    np.testing.assert_array_equal(one.scores, scores)
    np.testing.assert_array_equal(one.counterparts, hazelnuts.test.images * 0.5)
