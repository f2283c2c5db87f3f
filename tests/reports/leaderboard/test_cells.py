"""Which runs are one detector, and which may not be compared."""

import math
import os

import pytest

from adhelpers.reports.leaderboard.cells import make_cells
from adhelpers.reports.leaderboard.runs import read_runs

from .conftest import FRAME, RULE


def cells_of(results):
    return make_cells(read_runs([results.folder]).runs)


def figure_of(results, detector, category="bolt", metric="image_auroc"):
    return cells_of(results).cells[detector, category].figure(metric)


def test_seeds_are_one_row_and_other_parameters_are_not(results):
    for seed in (0, 1, 2):
        results.add("VAE", "bolt", 0.8 + seed / 100, seed=seed)
    figure = figure_of(results, "VAE")
    assert (figure.mean, figure.runs) == (pytest.approx(0.81), 3)
    assert figure.deviation == pytest.approx(0.01) and math.isnan(figure.low)
    results.add("VAE", "bolt", 0.9, name="long", parameters={"epochs": 9, "seed": 0})
    results.add("VAE", "nut", 0.7)
    cells = cells_of(results)
    assert cells.detectors == ["VAE, epochs=3", "VAE, epochs=9"]
    assert cells.cells["VAE, epochs=3", "nut"].figure("image_auroc").mean == 0.7
    assert cells.cells["VAE, epochs=9", "bolt"].figure("image_auroc").low == pytest.approx(0.8)


def test_categories_may_have_settings_of_their_own(results):
    # A size that fits the objects is no other detector.
    for category, height in (("bolt", 64), ("nut", 96)):
        results.add("VAE", category, 0.8, parameters={"image_height": height})
    assert cells_of(results).detectors == ["VAE"]
    for category in ("bolt", "nut"):
        results.add(
            "ONNX", category, 0.8, notebook="08", parameters={"onnx": f"/models/{category}/a.onnx"}
        )
    assert cells_of(results).detectors == ["ONNX", "VAE"]


def test_a_detector_of_two_notebooks_is_two_rows(results):
    results.add("subspace", "bolt", 0.8, notebook="01_screw")
    results.add("subspace", "bolt", 0.9, notebook="05_ocsvm")
    assert cells_of(results).detectors == ["subspace (01_screw)", "subspace (05_ocsvm)"]


def test_a_run_that_was_made_twice_does_not_count_twice(results):
    # Equal seeds would make a deviation smaller than it is.
    for name, auroc, age in (("old", 0.8, 100), ("new", 0.9, 10)):
        folder = results.add("VAE", "bolt", auroc, name=name)
        os.utime(folder / "summary.json", (1e9 - age, 1e9 - age))
    cells = cells_of(results)
    figure = cells.cells["VAE", "bolt"].figure("image_auroc")
    assert (figure.mean, figure.runs) == (0.9, 1) and math.isnan(figure.deviation)
    assert cells.remarks == [
        "05_ocsvm/bolt@old/summary.json repeats 05_ocsvm/bolt@new/summary.json, which is newer: "
        "it is left out"
    ]


@pytest.mark.parametrize(
    ("parts", "problem", "metrics"),
    [
        ({"files": {"test": "x", "train": "bolt train"}}, "other test images", "all"),
        (
            {"files": {"test": "bolt test", "train": "x"}},
            "other good images to learn from",
            "all",
        ),
        ({"files": None}, "its summary does not say which test images it had", "all"),
        (
            {"settings": FRAME | {"validation_fraction": 0.5}},
            "another share of the good images held out (0.5, not 0.2)",
            "all",
        ),
        (
            {"settings": FRAME | {"image_size": [128, 64], "validation_fraction": 0.2}},
            "its maps have other pixels (image size 128x64, not 64x64)",
            "pixels",
        ),
        (
            {"threshold": {"value": 1, "rule": "G-mean", "uses_test_labels": True}},
            "its threshold was chosen with test labels",
            "decisions",
        ),
        (
            {
                "threshold": {
                    "value": 1,
                    "rule": RULE.replace("95", "99"),
                    "uses_test_labels": False,
                }
            },
            "its threshold has another rule (0.99 quantile of good validation scores, not 0.95 "
            "quantile of good validation scores)",
            "decisions",
        ),
    ],
)
def test_what_differs_from_most_others_is_marked(results, parts, problem, metrics):
    known = {"value": 0.5, "low": None, "high": None}
    pixels = {"pixel_auroc": known, "aupro": known, "aupimo": known}
    for detector in ("a", "b"):
        results.add(detector, "bolt", 0.8, **pixels)
    results.add("c", "bolt", 0.99, **pixels, **parts)
    concerned = {
        "all": ("image_auroc", "pixel_auroc", "aupro", "aupimo", "recall", "trust_adjusted_recall"),
        "pixels": ("pixel_auroc", "aupro", "aupimo"),
        "decisions": ("recall", "trust_adjusted_recall"),
    }[metrics]
    cells = cells_of(results).cells
    for metric in ("image_auroc", "pixel_auroc", "aupro", "aupimo", "recall"):
        assert cells["c", "bolt"].figure(metric).problem == (problem if metric in concerned else "")
        assert cells["a", "bolt"].figure(metric).problem == ""
    assert cells_of(results).remarks[0].startswith(f"c on bolt: {problem}. This concerns ")


def test_the_number_of_good_images_behind_a_rule_is_no_other_rule(results):
    results.add("a", "bolt", 0.8)
    rule = {"value": 1, "rule": RULE.replace("16", "24"), "uses_test_labels": False}
    results.add("a", "nut", 0.8, threshold=rule)
    results.add("b", "nut", 0.8, threshold=rule)
    assert cells_of(results).remarks == []


def test_a_seed_with_other_images_is_left_out_of_the_mean_of_the_others(results):
    results.add("other", "bolt", 0.7)
    for seed, auroc in ((0, 0.8), (1, 0.9)):
        results.add("VAE", "bolt", auroc, seed=seed)
    results.add("VAE", "bolt", 0.1, seed=2, files={"test": "x", "train": "bolt train"})
    figure = figure_of(results, "VAE")
    assert (figure.mean, figure.runs, figure.problem) == (pytest.approx(0.85), 2, "")
    assert cells_of(results).remarks == [
        "VAE on bolt (seed 2): other test images. This concerns all figures."
    ]


def test_what_most_detectors_have_counts_and_not_what_most_runs_have(results):
    for seed in range(5):
        files = {"test": "x", "train": "bolt train"}
        results.add("often", "bolt", 0.9, seed=seed, files=files)
    results.add("a", "bolt", 0.8)
    results.add("b", "bolt", 0.8)
    assert figure_of(results, "often").problem == "other test images"
    assert figure_of(results, "a").problem == ""


def test_runs_that_do_not_say_their_data_are_not_taken_for_equal(results):
    for detector in ("a", "b"):
        folder = results.add(detector, "bolt", 0.8)
        results.change(folder, data=None)
    cells = cells_of(results).cells
    assert all(
        cell.figure("image_auroc").problem == "its summary does not say which test images it had"
        for cell in cells.values()
    )
    assert cells_of(results).remarks == [
        f"{name} on bolt: its summary does not say which test images it had. This concerns all "
        "figures."
        for name in ("a", "b")
    ]
    # Nor is one without a figure called incomparable.
    assert cells["a", "bolt"].figure("aupro") == cells["b", "bolt"].figure("aupro")
    assert cells["a", "bolt"].figure("aupro").problem == ""
