"""The curve over the share of known anomalies: every training once, found again, and told in words that follow from the numbers."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from adhelpers.data import load_labelled
from adhelpers.steps import label_curve as label_study


def test_the_curve_trains_every_ratio_class_and_seed_once(tmp_path):
    options = {"ratios": (0.0, 0.1), "classes": "3", "seeds": 2, "show_progress": False}
    settings = {"network": "mlp", "epochs": 2, "pretrain": False, "milestones": ()}
    labelled, split = (
        load_labelled(),
        {"normal_class": "7", "validation_fraction": 0.1, "ratio_known_outlier": 0.5},
    )
    runs = label_study.run_curve(labelled, tmp_path, settings, split, **options)
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
    again = label_study.run_curve(labelled, tmp_path, settings, split, **options)
    assert (
        len(stored) == 4
        and {path: path.stat().st_mtime_ns for path in tmp_path.rglob("manifest.json")} == stored
    )
    np.testing.assert_allclose(again["auroc"], runs["auroc"], atol=1e-6)


def test_the_curve_in_words_and_numbers():
    runs = pd.DataFrame(
        {
            "normal_class": list("aabb"),
            "seed": 0,
            "ratio": [0.0, 0.1] * 2,
            "auroc": [0.8, 0.9, 0.9, 0.88],
        }
    )
    table = label_study.curve_table(runs, label_study.PUBLISHED_MNIST)
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
    [sentence] = label_study.curve_findings(runs)
    assert (
        "from 0.850 to 0.890; it is higher in 1 of 2 pairs" in sentence
        and "0.890, is that of 10 %" in sentence
    )
    assert (
        label_study.curve_findings(runs[:0]) == []
        and "mean AUROC is 0.850" in label_study.curve_findings(runs[runs["ratio"] == 0])[0]
    )
    assert (
        label_study.published_curve(SimpleNamespace(name="mnist")) is not None
        and label_study.published_curve(SimpleNamespace(name="digits")) is None
    )
