"""The steps of notebook 07: settings, decisions, baselines, grids, and the files of a run."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from adhelpers.data import LEAK, LabelledSamples, Remark, semi_supervised
from adhelpers.detectors import DeepSAD
from adhelpers.metrics import auroc_estimate, image_auroc
from adhelpers.metrics.intervals import Estimate
from adhelpers.steps import deep_sad
from adhelpers.steps.deep_sad import read_settings
from adhelpers.steps.sample_answer import answer_samples

VARIABLES = {
    "dataset": "digits",
    "data_root": "",
    "category": "",
    "label_column": "label",
    "image_height": 32,
    "image_width": 32,
    "color": "grayscale",
    "illumination": "none",
    "pose": "none",
    "crop": "none",
    "fit": "stretch",
    "bit_depth": 0,
    "page": -1,
    "normal_class": "3",
    "known_outlier_class": "",
    "n_known_outlier_classes": 1,
    "ratio_known_normal": 0.05,
    "ratio_known_outlier": 0.05,
    "ratio_pollution": 0.05,
    "validation_fraction": 0.1,
    "seed": 1,
    "network": "mlp",
    "latent_dim": 8,
    "eta": 1.0,
    "epochs": 6,
    "learning_rate": 3e-3,
    "milestones": (4,),
    "batch_size": 32,
    "weight_decay": 1e-6,
    "pretrain": True,
    "pretrain_epochs": 6,
    "pretrain_learning_rate": 3e-3,
    "pretrain_milestones": (),
    "pretrain_batch_size": 32,
    "pretrain_weight_decay": 1e-6,
    "rotation": 0.0,
    "shift": 0.0,
    "brightness": 0.0,
    "flip": "none",
    "smoothing": 1.0,
    "curve_ratios": (0.0, 0.1),
    "curve_classes": "",
    "curve_seeds": 1,
    "load_config": "",
}


@pytest.fixture(scope="module")
def made():
    """Data, detector and decisions of a short training on digits."""
    settings = read_settings(VARIABLES)
    labelled = settings.load_samples()
    category = settings.split_samples(labelled)
    detector = settings.make_detector().fit(
        category.train.images, category.validation.images, category.known, show_progress=False
    )
    return SimpleNamespace(
        settings=settings,
        labelled=labelled,
        category=category,
        detector=detector,
        judged=deep_sad.assess_deep_sad(detector, category),
    )


def test_an_assessment_holds_the_scores_and_a_threshold_without_test_labels(made):
    test, judged = made.category.test, made.judged
    np.testing.assert_allclose(judged.scores, made.detector.score(test.images), rtol=1e-5)
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
    known = made.category.settings["known_outlier_class"]
    assert (
        f"recall, {known} (known)" in table
        and len([name for name in table.index if name.startswith("recall")]) == 9
    )
    first, second = judged.findings()
    assert (
        f"{made.category.counts.known_outlier} known anomalies among {len(made.category.train)}"
        in first
    )
    of_known = np.isin(test.types, ["good", known])
    assert (
        f"({known}) it is {image_auroc(judged.scores[of_known], test.labels[of_known]):.3f}"
        in second
    )


def test_samples_that_are_trained_and_tested_on_are_said(made):
    judged = made.judged
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


def test_facts_on_a_split_and_a_model_without_training(made, tmp_path):
    first, second = deep_sad.split_facts(made.category)
    assert first.endswith(f"validation {len(made.category.validation)}, test 719")
    assert second == "labels of known samples agree with their classes: True"
    wrong = replace(made.category, known=-made.category.known)
    assert deep_sad.split_facts(wrong)[1].endswith("False")
    stored = made.detector.folder
    made.detector.save(tmp_path / "model")
    made.detector.folder = stored
    loaded = deep_sad.train_deep_sad(
        made.settings, made.category, tmp_path / "none", load_model=tmp_path / "model"
    )
    np.testing.assert_allclose(
        loaded.score(made.category.test.images[:5]), made.judged.scores[:5], rtol=1e-5
    )
    assert not (tmp_path / "none").exists()


def test_without_validation_samples_the_threshold_comes_from_the_unlabelled_ones(made):
    category = semi_supervised(made.labelled, **made.settings.split | {"validation_fraction": 0})
    judged = deep_sad.assess_deep_sad(made.detector, category, quantile=0.9)
    unlabelled = made.detector.score(category.train.images[category.known == 0])
    assert judged.threshold.rule == f"0.9 quantile of {len(unlabelled)} unlabelled training scores"
    assert 0.08 < (unlabelled > judged.threshold.value).mean() < 0.12


def test_the_extremes_are_the_ends_of_the_order(made):
    scores, labels = made.judged.scores, made.category.test.labels
    found = deep_sad.extremes(made.judged)
    assert list(found) == ["all_low", "all_high", "normals_low", "normals_high"] and all(
        len(chosen) == 8 for chosen in found.values()
    )
    ordered, normal = np.sort(scores), np.sort(scores[labels == 0])
    np.testing.assert_array_equal(scores[found["all_low"]], ordered[:8])
    np.testing.assert_array_equal(scores[found["all_high"]], ordered[:-9:-1])
    np.testing.assert_array_equal(scores[found["normals_low"]], normal[:8])
    np.testing.assert_array_equal(scores[found["normals_high"]], normal[:-9:-1])
    plain = [deep_sad.sample_figure(made.category), *deep_sad.extreme_grids(made.judged).values()]
    assert 32 < sum(len(figure.axes) for figure in plain) <= 64
    grids = deep_sad.extreme_grids(made.judged, count=4)
    first = grids["normals_high"].axes[0]
    assert first.get_title("left") == f"good {normal[-1]:.2g}"
    np.testing.assert_allclose(
        first.images[0].get_array(), made.category.test.images[found["normals_high"][0], ..., 0]
    )


def few(train, test=(2, 2)):
    """A table with as many samples of ``good`` and ``bad``, all different."""
    counts = [*train, *test]
    classes = np.repeat(["good", "bad", "good", "bad"], counts)
    values = np.random.default_rng(0).normal(size=(len(classes), 3))
    names = np.array([f"row/{index}" for index in range(len(classes))])
    is_test = np.arange(len(classes)) >= sum(train)
    return LabelledSamples("few", values, classes, names, is_test, None, "abc")


@pytest.mark.parametrize(
    "labelled, given, message",
    [
        (few((5, 3)), {}, "has 4 samples to train.*beside the 1.*need 6.*validation_fraction"),
        (few((8, 3), (0, 2)), {}, "test set has no normal sample, but needs both"),
        (few((8, 3), (2, 0)), {}, "test set has no anomalous sample.*its classes are good"),
        (few((1, 3)), {}, "no samples to train with beside the 1.*lower validation_fraction"),
        (
            few((8, 3)),
            {"ratio_known_normal": 0.99, "validation_fraction": 0},
            "validation_fraction 0 and ratio_known_normal 0.99 leave no sample for the threshold",
        ),
        (
            few((8, 1)),
            {"curve_ratios": (0.0, 0.3)},
            "curve_ratios.*ratio_known_outlier 0.3 asks for 3.*at most 0.222 works",
        ),
        (few((8, 3)), {"curve_classes": "good, bod"}, "curve_classes.*no class 'bod'"),
        (few((8, 1)), {"curve_classes": "all"}, "curve_classes.*'bad'.*no samples to train"),
    ],
)
def test_what_a_later_step_would_lack_is_said_before_training(labelled, given, message, capsys):
    enough = {"normal_class": "good", "ratio_known_normal": 0.0, "ratio_known_outlier": 0.0}
    enough |= {"ratio_pollution": 0.0, "curve_ratios": (0.0,)}
    possible = read_settings(VARIABLES | enough).split_for_notebook(few((8, 1), (1, 1)))
    assert len(possible.test) == 2 and capsys.readouterr().out == ""
    with pytest.raises(ValueError, match=message):
        read_settings(VARIABLES | enough | given).split_for_notebook(labelled)


def test_remarks_on_the_split_are_printed(capsys):
    given = {"normal_class": "good", "ratio_known_normal": 0.0, "curve_ratios": ()}
    read_settings(VARIABLES | given).split_for_notebook(few((8, 3)))
    said = "Remark on the data: ratio_known_outlier 0.05, ratio_pollution 0.05 of 7 training"
    assert capsys.readouterr().out.startswith(said)


def test_images_of_a_folder_are_read_with_the_options_for_files(tmp_path):
    for name, count in (("train/good", 4), ("test/good", 2), ("test/dent", 2)):
        for index in range(count):
            path = tmp_path / "spoon" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((20, 10), 4095 - index, np.uint16)).save(path)
    given = {"dataset": "folder", "data_root": str(tmp_path), "category": "spoon"}
    given |= {"image_height": 16, "image_width": 16, "bit_depth": 12, "fit": "pad"}
    found = read_settings(VARIABLES | given).load_samples()
    assert found.samples.max() == pytest.approx(1) and found.samples.shape[1:] == (16, 16, 1)
    assert not [one for one in found.remarks if one.kind in ("bit_depth", "stretched")]
    assert len(read_settings(VARIABLES | given | {"bit_depth": 0}).load_samples().remarks) > len(
        found.remarks
    )


def test_baselines_stand_beside_deep_sad_on_both_inputs(made):
    baselines = deep_sad.compare_baselines(made.judged)
    table = baselines.results
    assert (
        len(table) == 9
        and table["method"][0] == "Deep SAD"
        and set(table["input"][1:]) == {"samples", "autoencoder's code"}
    )
    assert all(
        row["AUROC"].low <= row["AUROC"].value <= row["AUROC"].high for _, row in table.iterrows()
    )
    shown = baselines.table()
    assert shown["AUROC"].str[:5].astype(float).is_monotonic_decreasing
    category = semi_supervised(made.labelled, **made.settings.split | {"ratio_known_outlier": 0.0})
    without = deep_sad.compare_baselines(replace(made.judged, category=category)).results
    assert not without["method"].str.contains("known anomalies").any()


def test_a_simple_method_that_finds_as_many_anomalies_is_preferred(made):
    judged, labels = made.judged, made.category.test.labels
    baselines = deep_sad.compare_baselines(judged)
    assert baselines.simplest_flags.shape == labels.shape
    lower = deep_sad.compare_baselines(judged, quantile=0.5).simplest_flags
    assert lower.sum() > baselines.simplest_flags.sum()
    perfect = replace(baselines, simplest_flags=labels == 1)
    preferred = answer_samples(judged, [], perfect)
    assert preferred.answer.answer == "Use the simpler one"
    assert "with the one-class SVM on the samples 646 of 646 anomalies" in preferred.answer.reason
    # One that flags everything is no alternative, and without one there is nothing to prefer.
    useless = replace(baselines, simplest_flags=np.ones(len(labels), bool))
    assert answer_samples(judged, [], useless).answer.answer == (
        answer_samples(judged).answer.answer
    )
    # Nothing tests what raised a flag on an image with a defect, whoever flags it.
    assert answer_samples(judged, [], perfect, of_defects=True).answer.main.caused is None


@pytest.mark.parametrize(
    "deep, other, said",
    [
        ((0.9, 0.88, 0.92), (0.8, 0.78, 0.82), "is above.*do not overlap"),
        ((0.9, 0.8, 0.95), (0.94, 0.9, 0.96), "is below.*intervals overlap"),
    ],
)
def test_the_sentence_on_baselines_follows_from_the_numbers(deep, other, said):
    table = pd.DataFrame(
        {
            "method": ["Deep SAD", "kernel density"],
            "input": ["samples", "samples"],
            "AUROC": [Estimate(*deep), Estimate(*other)],
        }
    )
    [sentence] = deep_sad.Baselines(table).findings()
    assert (
        pd.Series([sentence]).str.contains(said).all()
        and "kernel density on the samples" in sentence
    )


def test_pictures_show_samples_reconstructions_and_counterparts(made):
    category, detector = made.category, made.detector
    shown = deep_sad.sample_figure(category, count=3)
    titles = [ax.get_title("left") for ax in shown.axes]
    assert titles == ["unlabelled"] * 3 + ["known normal"] * 3 + ["known anomaly"] * 3
    figures = deep_sad.deep_sad_figures(detector, category)
    assert list(figures) == ["training-autoencoder", "training", "autoencoder"]
    first = figures["autoencoder"].axes
    np.testing.assert_allclose(
        first[1].images[0].get_array(),
        detector.reconstruct(category.validation.images[:1])[0, ..., 0],
        atol=1e-5,
    )
    figure = deep_sad.attribution_figure(made.judged, count=1)
    worst = np.argmax(np.where(category.test.labels == 1, made.judged.scores, -1))
    np.testing.assert_allclose(
        figure.axes[1].images[0].get_array(),
        detector.counterpart(category.test.images[[worst]])[0, ..., 0],
        atol=1e-6,
    )


def test_a_run_leaves_results_configuration_and_a_model_that_can_be_loaded(made, tmp_path):
    results = deep_sad.write_run(
        tmp_path,
        made.judged,
        made.settings,
        seconds={"training": 1.23456},
        tables={"labels": pd.DataFrame({"ratio": [0.1]})},
    )
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored == json.loads(json.dumps(results)) and len(stored["test_scores"]) == len(
        made.category.test
    )
    index, label, score = stored["test_scores"][5]
    assert (index, label) == (5, made.category.test.labels[5]) and score == pytest.approx(
        float(made.judged.scores[5])
    )
    assert (
        stored["test_auc"] == pytest.approx(made.judged.detection.auroc.value)
        and stored["train_seconds"] > 0
        and stored["stages"] == {"training": 1.235}
    )
    np.testing.assert_allclose(
        DeepSAD.load(tmp_path / "model").score(made.category.test.images),
        made.judged.scores,
        rtol=1e-5,
    )
    assert (tmp_path / "labels.csv").read_text() == "ratio\n0.1\n" and made.detector.folder is None

    other = read_settings(
        VARIABLES
        | {
            "normal_class": "8",
            "epochs": 99,
            "seed": 7,
            "load_config": str(tmp_path / "config.json"),
        }
    )
    assert json.loads(json.dumps(asdict(other))) == json.loads(json.dumps(asdict(made.settings)))


def test_a_configuration_that_is_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="load_config: there is no file"):
        read_settings(VARIABLES | {"load_config": str(tmp_path / "config.json")})
    for content, message in (
        ("{", "is not a config.json"),
        ("{}", "is not a config.json"),
        ('{"data": {}, "split": {}, "detector": {"epoch": 3}}', "sets 'epoch' in 'detector'"),
    ):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_settings(VARIABLES | {"load_config": str(tmp_path / "config.json")})


def test_a_row_for_each_test_sample(made):
    table = made.judged.samples()
    assert (
        len(table) == len(made.category.test)
        and (table["flagged"] == (made.judged.scores > made.judged.threshold.value)).all()
    )
    assert (table["correct"] == (table["flagged"] == (table["label"] == 1))).all()
    assert made.judged.summary_parts()["image_auroc"] is made.judged.detection.auroc


def test_the_answer_asks_for_no_masks_where_the_whole_sample_is_the_anomaly(made):
    judged, test = made.judged, made.category.test
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
    vectors = replace(made.category, test=replace(test, images=test.images.reshape(len(test), -1)))
    assert list(answer_samples(replace(judged, category=vectors)).figures()) == ["verdicts"]
    plt.close("all")
