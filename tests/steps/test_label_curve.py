"""Curves over shares of anomalies: every training once, stored, and told in words."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from adhelpers.data import load_labelled
from adhelpers.steps.deep_sad_settings import DeepSADSettings
from adhelpers.steps.label_curve import PUBLISHED_MNIST, LabelCurve, run_label_curve


def test_the_curve_trains_every_ratio_class_and_seed_once(tmp_path):
    options = {"ratios": (0.0, 0.1), "classes": "3", "seeds": 2, "show_progress": False}
    detector = {"network": "mlp", "epochs": 2, "pretrain": False, "milestones": ()}
    split = {"normal_class": "7", "validation_fraction": 0.1, "ratio_known_outlier": 0.5, "seed": 0}
    labelled, settings = load_labelled(), DeepSADSettings({}, split, detector)
    runs = run_label_curve(labelled, settings, tmp_path, **options).runs
    assert runs[["normal_class", "seed", "ratio"]].to_numpy().tolist() == [
        ["3", 0, 0.0],
        ["3", 0, 0.1],
        ["3", 1, 0.0],
        ["3", 1, 0.1],
    ]
    assert (runs["known"] > 0).tolist() == [False, True] * 2 and (
        runs["known_outlier_class"] != ""
    ).tolist() == [False, True] * 2
    stored = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("manifest.json")}
    again = run_label_curve(labelled, settings, tmp_path, **options).runs
    assert (
        len(stored) == 4
        and {path: path.stat().st_mtime_ns for path in tmp_path.rglob("manifest.json")} == stored
    )
    np.testing.assert_allclose(again["auroc"], runs["auroc"], atol=1e-6)


def test_the_curve_of_pollution_changes_pollution_alone(tmp_path):
    detector = {"network": "mlp", "epochs": 1, "pretrain": False, "milestones": ()}
    split = {"normal_class": "7", "validation_fraction": 0.1, "ratio_known_outlier": 0.05}
    split |= {"ratio_pollution": 0.5, "seed": 4}
    labelled, settings = load_labelled(), DeepSADSettings({}, split, detector)
    given = {"ratios": (0.0, 0.3), "share": "ratio_pollution", "show_progress": False}
    curve = run_label_curve(replace(labelled, name="mnist"), settings, tmp_path, **given)
    runs = curve.runs
    assert runs["ratio"].tolist() == [0.0, 0.3] and runs["seed"].tolist() == [4, 4]
    assert (runs["known"] > 0).all()
    # 3 unlabelled anomalies for every 7 normal samples; what is not whole is cut.
    normal = settings.split_samples(labelled).counts.unlabelled_normal
    assert runs["unlabelled_outliers"].tolist() == [0, normal * 3 // 7] == [0, 41]
    assert curve.published is None and curve.table().index.tolist() == [
        "0 % pollution",
        "30 % pollution",
    ]
    assert curve.findings()[0].startswith("From 0 % to 30 % pollution the mean AUROC changes")
    axes = curve.figure().axes[0]
    assert axes.get_xlabel() == "anomalies among the unlabelled training samples"
    with pytest.raises(ValueError, match="share must be one of ratio_known_outlier, ratio_poll"):
        run_label_curve(labelled, settings, tmp_path, share="known")


def test_the_curve_in_words_and_numbers():
    runs = pd.DataFrame(
        {
            "normal_class": list("aabb"),
            "seed": 0,
            "ratio": [0.0, 0.1] * 2,
            "auroc": [0.8, 0.9, 0.9, 0.88],
        }
    )
    table = LabelCurve(runs, PUBLISHED_MNIST).table()
    assert (
        table.index.tolist() == ["0 % known", "10 % known"]
        and table["mean AUROC"].tolist() == [0.85, 0.89]
        and table["trainings"].tolist() == [2, 2]
    )
    assert table["published, whole MNIST"].tolist() == [0.928, 0.969] and table[
        "lowest"
    ].tolist() == [0.8, 0.88]
    assert table["deviation"].tolist() == pytest.approx(
        [np.std([0.8, 0.9], ddof=1), np.std([0.9, 0.88], ddof=1)], abs=1e-4
    )
    [sentence] = LabelCurve(runs).findings()
    assert (
        "from 0.850 to 0.890; it is higher in 1 of 2 pairs" in sentence
        and "0.890, is that of 10 %" in sentence
    )
    assert (
        LabelCurve(runs[:0]).findings() == []
        and "mean AUROC is 0.850" in LabelCurve(runs[runs["ratio"] == 0]).findings()[0]
    )
    assert len(LabelCurve(runs, PUBLISHED_MNIST).figure().axes[0].lines) > 0


def test_the_published_curve_is_that_of_mnist(tmp_path):
    split = {"normal_class": "3", "seed": 0, "ratio_known_outlier": 0.0}
    settings, digits = DeepSADSettings({}, split, {}), load_labelled()
    for name, published in (("mnist", True), ("digits", False)):
        curve = run_label_curve(replace(digits, name=name), settings, tmp_path, ratios=())
        assert (curve.published is not None) == published and curve.runs.empty
