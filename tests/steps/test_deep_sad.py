"""Deep SAD in the steps: facts on a split, decisions, and the files of a run."""

import json
from dataclasses import asdict, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from adhelpers.data import LEAK, Remark, semi_supervised
from adhelpers.detectors import DeepSAD
from adhelpers.metrics import auroc_estimate, image_auroc
from adhelpers.steps import deep_sad
from adhelpers.steps.deep_sad_settings import read_settings
from adhelpers.steps.sample_answer import answer_samples


def test_an_assessment_holds_the_scores_and_a_threshold_without_test_labels(digits):
    test, judged = digits.category.test, digits.judged
    np.testing.assert_allclose(judged.scores, digits.detector.score(test.images), rtol=1e-5)
    assert (
        judged.detection.auroc.value == pytest.approx(image_auroc(judged.scores, test.labels))
        and judged.detection.auroc.value > 0.7
    )
    assert (
        not judged.threshold.uses_test_labels
        and "validation" in judged.threshold.rule
        and judged.pixels is None
        and judged.seconds > 0
    )
    table = judged.table()["Deep SAD"]
    known = digits.category.settings["known_outlier_class"]
    assert (
        f"recall, {known} (known)" in table
        and len([name for name in table.index if name.startswith("recall")]) == 9
    )
    first, second = judged.findings()
    assert (
        f"{digits.category.counts.known_outlier} known anomalies among {len(digits.category.train)}"
        in first
    )
    of_known = np.isin(test.types, ["good", known])
    assert (
        f"({known}) it is {image_auroc(judged.scores[of_known], test.labels[of_known]):.3f}"
        in second
    )


def test_samples_that_are_trained_and_tested_on_are_said(digits):
    judged = digits.judged
    names = tuple(judged.category.test.names[:3].tolist())
    leak = Remark(LEAK, names, "3 samples are in both")
    category = replace(judged.category, remarks=(leak,))
    *_, last = replace(judged, category=category).findings()
    assert last.startswith("Without the 3 test images that are also used in training")
    rest = slice(3, None)
    without = auroc_estimate(
        judged.scores[rest], judged.category.test.labels[rest], judged.category.test.types[rest]
    )
    assert f"is {without}, with them {judged.detection.auroc}." in last


def test_facts_on_a_split_and_a_model_without_training(digits, tmp_path):
    first, second = deep_sad.split_facts(digits.category)
    assert first.endswith(f"validation {len(digits.category.validation)}, test 719")
    assert second == "labels of known samples agree with their classes: True"
    wrong = replace(digits.category, known=-digits.category.known)
    assert deep_sad.split_facts(wrong)[1].endswith("False")
    stored = digits.detector.folder
    digits.detector.save(tmp_path / "model")
    digits.detector.folder = stored
    loaded = deep_sad.train_deep_sad(
        digits.settings, digits.category, tmp_path / "none", load_model=tmp_path / "model"
    )
    np.testing.assert_allclose(
        loaded.score(digits.category.test.images[:5]), digits.judged.scores[:5], rtol=1e-5
    )
    assert not (tmp_path / "none").exists()


def test_without_validation_samples_the_threshold_comes_from_the_unlabelled_ones(digits):
    category = semi_supervised(
        digits.labelled, **digits.settings.split | {"validation_fraction": 0}
    )
    judged = deep_sad.assess_deep_sad(digits.detector, category, quantile=0.9)
    unlabelled = digits.detector.score(category.train.images[category.known == 0])
    assert judged.threshold.rule == f"0.9 quantile of {len(unlabelled)} unlabelled training scores"
    assert 0.08 < (unlabelled > judged.threshold.value).mean() < 0.12


def test_a_run_leaves_results_configuration_and_a_model_that_can_be_loaded(
    digit_parameters, digits, tmp_path
):
    results = deep_sad.write_run(
        tmp_path,
        digits.judged,
        digits.settings,
        seconds={"training": 1.23456},
        tables={"labels": pd.DataFrame({"ratio": [0.1]})},
    )
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored == json.loads(json.dumps(results)) and len(stored["test_scores"]) == len(
        digits.category.test
    )
    index, label, score = stored["test_scores"][5]
    assert (index, label) == (5, digits.category.test.labels[5]) and score == pytest.approx(
        float(digits.judged.scores[5])
    )
    assert (
        stored["test_auc"] == pytest.approx(digits.judged.detection.auroc.value)
        and stored["train_seconds"] > 0
        and stored["stages"] == {"training": 1.235}
    )
    np.testing.assert_allclose(
        DeepSAD.load(tmp_path / "model").score(digits.category.test.images),
        digits.judged.scores,
        rtol=1e-5,
    )
    assert (
        tmp_path / "labels.csv"
    ).read_text() == "ratio\n0.1\n" and digits.detector.folder is None

    other = read_settings(
        digit_parameters
        | {
            "normal_class": "8",
            "epochs": 99,
            "seed": 7,
            "load_config": str(tmp_path / "config.json"),
        }
    )
    assert json.loads(json.dumps(asdict(other))) == json.loads(json.dumps(asdict(digits.settings)))


def test_a_row_for_each_test_sample(digits):
    table = digits.judged.samples()
    assert (
        len(table) == len(digits.category.test)
        and (table["flagged"] == (digits.judged.scores > digits.judged.threshold.value)).all()
    )
    assert (table["correct"] == (table["flagged"] == (table["label"] == 1))).all()
    assert digits.judged.summary_parts()["image_auroc"] is digits.judged.detection.auroc


def test_the_answer_asks_for_no_masks_where_the_whole_sample_is_the_anomaly(digits):
    judged, test = digits.judged, digits.category.test
    answer = answer_samples(judged, [judged])
    main = answer.answer.main
    assert main.caused == main.flagged == judged.flags[test.labels == 1].sum()
    assert main.false_alarms == judged.flags[test.labels == 0].sum()
    assert "mask" not in " ".join(answer.findings())
    part = answer.summary_parts()["answer"]
    files = [one["figure"] for one in part["look_first"]]
    assert ["figures/verdicts.png", *files] == [f"figures/{name}.png" for name in answer.figures()]
    assert files and part["findings"]
    counts = answer.verdicts
    assert answer.summary_parts()["verdicts"] == counts.sum(axis=1).to_dict()
    assert counts.loc["found"].sum() == main.caused and counts.loc["found", "good"] == 0
    assert counts.loc["false alarm", "good"] == counts.loc["false alarm"].sum() == main.false_alarms
    missed = [one for one in part["look_first"] if one["verdict"].startswith("missed")]
    index = test.names.tolist().index(missed[0]["name"])
    lost = (test.labels == 1) & ~judged.flags
    assert judged.scores[index] == judged.scores[lost].min()
    defects = answer_samples(judged, of_defects=True).answer
    assert defects.answer == "Do not trust it yet" and "was not tested" in defects.reason
    vectors = replace(
        digits.category, test=replace(test, images=test.images.reshape(len(test), -1))
    )
    assert list(answer_samples(replace(judged, category=vectors)).figures()) == ["verdicts"]
    plt.close("all")
