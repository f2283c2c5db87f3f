import dataclasses
import json

import numpy as np
import pytest

from adhelpers.data import load_category, render_category
from adhelpers.detectors import ResidualScore, Subspace
from adhelpers.explainers import centre_prior, explain_images, residual_map, uniform
from adhelpers.metrics import Estimate, Threshold, image_auroc
from adhelpers.steps import assess as study
from adhelpers.steps import findings


@pytest.fixture(scope="module")
def nuts(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    render_category(
        root, "hazelnut", image_size=64, train_count=14, test_good_count=4, defect_count=2, seed=1
    )
    return load_category(root, "hazelnut", image_size=64, color="rgb")


@pytest.fixture(scope="module")
def detector(nuts):
    return Subspace(n_components=5, scoring=ResidualScore(smoothing=1.0)).fit(
        nuts.train.images, nuts.validation.images
    )


@pytest.fixture(scope="module")
def assessed(nuts, detector):
    return study.assess("subspace", detector, nuts)


@pytest.fixture(scope="module")
def explained(nuts, detector, assessed):
    explainers = {"LIME": residual_map, "SHAP": centre_prior, "uniform": uniform}
    return {
        name: explain_images(
            one, detector.score, nuts.test.images, assessed.counterparts, show_progress=False
        )
        for name, one in explainers.items()
    }


@pytest.fixture(scope="module")
def audited(nuts, assessed, explained):
    return study.audit_localization(nuts, assessed, explained, cutoff=0.2)


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
    return study.assess(
        "fixed", Fixed(np.linspace(0, 1, len(nuts.validation)), scores), nuts, **options
    )


def test_the_default_threshold_sees_no_test_label(nuts, detector, assessed):
    assert not assessed.threshold.uses_test_labels
    np.testing.assert_array_equal(assessed.scores, detector.score(nuts.test.images))
    np.testing.assert_array_equal(assessed.flags, assessed.scores > assessed.threshold.value)
    assert assessed.detection.auroc.value == pytest.approx(
        image_auroc(assessed.scores, nuts.test.labels)
    )
    assert assessed.false_alarms == int((assessed.flags & (nuts.test.labels == 0)).sum())


@pytest.mark.parametrize("rule", ("gmean", "midpoint"))
def test_rules_that_use_test_labels_say_so_everywhere(nuts, detector, rule):
    one = study.assess("subspace", detector, nuts, rule=rule)
    assert one.threshold.uses_test_labels
    assert study.detector_table([one]).loc["threshold used test labels", "subspace"] == "yes"
    assert any("flatter" in sentence for sentence in findings.detection(nuts, one, one))


def test_an_unknown_rule_is_named(nuts, detector):
    with pytest.raises(ValueError, match="must be one of normal_quantile"):
        study.assess("subspace", detector, nuts, rule="best")


def test_estimates_read_as_value_and_interval():
    assert study.estimate_text(Estimate(0.9, 0.85, 0.951)) == "0.900 [0.850, 0.951]"
    assert study.estimate_text(None) == "–"


def test_findings_follow_the_figures_and_not_a_wish(nuts):
    labels = nuts.test.labels
    perfect, reversed_, half = labels + 2.0, 3.0 - labels, np.arange(len(labels)) % 3 + 1.0
    good, bad, middling = (with_scores(nuts, scores) for scores in (perfect, reversed_, half))
    assert "earns its place" in findings.detection(nuts, bad, good)[0]
    assert "is worse" in findings.detection(nuts, good, bad)[0]
    assert "do not show" in findings.detection(nuts, middling, middling)[0]
    assert findings.auroc_difference(good, bad, nuts).value == 1
    assert (
        "flags 8 of 8 defective images and raises 4 false alarms"
        in findings.detection(nuts, good, good)[1]
    )


def test_explanations_in_the_wrong_place_are_counted_and_listed(nuts, assessed, audited):
    uniform_jaccard = nuts.test.masks.mean(axis=(1, 2))[nuts.test.labels == 1]
    np.testing.assert_allclose(
        audited.jaccards["uniform"][nuts.test.labels == 1], uniform_jaccard, rtol=1e-6
    )
    assert np.isnan(audited.jaccards["uniform"][nuts.test.labels == 0]).all()
    table = study.wrong_place_table(audited, ("LIME", "uniform"))
    missed = (audited.jaccards["uniform"] < 0.2) & assessed.flags & (nuts.test.labels == 1)
    assert set(table["image"]) == set(
        nuts.test.names[
            missed | ((audited.jaccards["LIME"] < 0.2) & assessed.flags & (nuts.test.labels == 1))
        ]
    )
    assert table["missed by"].str.contains("uniform").sum() == missed.sum() > 0
    assert not table.isna().any().any()
    sentence = findings.localization(assessed, audited, baselines=("uniform",))[-1]
    assert (
        f"Of {assessed.detection.confusion['tp']} flagged" in sentence
        and f"{len(audited.wrong_place['SHAP'])} by SHAP" in sentence
    )


def test_a_category_without_masks_goes_all_the_way_with_the_jaccards_unknown(
    nuts, detector, explained, tmp_path
):
    import shutil

    shutil.copytree(
        nuts.root / "hazelnut", tmp_path / "hazelnut", ignore=shutil.ignore_patterns("ground_truth")
    )
    bare = load_category(tmp_path, "hazelnut", image_size=64, color="rgb")
    one = study.assess("subspace", detector, bare)
    assert one.pixels is None and study.detector_table([one]).loc["pixel AUROC", "subspace"] == "–"
    audit = study.audit_localization(bare, one, explained)
    assert np.isnan(audit.jaccards["SHAP"]).all() and study.wrong_place_table(audit).empty
    assert "no masks" in findings.localization(one, audit)[0]
    assert study.summary_parts(bare, one, audit)["jaccard"] is None
    assert study.overview(bare).axes and study.reconstructions(bare, one, study.examples(bare)).axes
    study.save_gallery(
        tmp_path / "g.html",
        bare,
        one,
        explained,
        audit,
        title="bare",
        tables={"Explainers": audit.summary},
    )
    assert (tmp_path / "g.html").read_text().count("<article") == len(bare.test)


def test_the_gallery_has_a_card_for_every_image_and_the_table_a_row(
    nuts, assessed, explained, audited, tmp_path
):
    study.save_gallery(
        tmp_path / "g.html",
        nuts,
        assessed,
        explained,
        audited,
        title="nuts",
        tables={"Detectors": study.detector_table([assessed])},
        notes=["a note"],
    )
    page = (tmp_path / "g.html").read_text()
    assert (
        page.count("<article") == len(nuts.test) == 12
        and "a note" in page
        and "image AUROC" in page
    )
    samples = study.sample_table(nuts, assessed, audited, explained)
    assert len(samples) == 12 and samples["optimal_jaccard_lime"].notna().sum() == 8
    np.testing.assert_array_equal(samples["correct"], samples["flagged"] == (samples["label"] == 1))


def test_summary_parts_are_what_the_summary_takes(nuts, assessed, audited, tmp_path):
    from adhelpers.runner.suite import start_run

    run = start_run(
        "test",
        {"category": "hazelnut", "seed": 0, "results": str(tmp_path), "models": str(tmp_path)},
    )
    run.summary(**study.summary_parts(nuts, assessed, audited))
    stored = json.loads((run.folder / "summary.json").read_text())
    assert stored["image_auroc"]["value"] == pytest.approx(assessed.detection.auroc.value)
    assert stored["jaccard"]["uniform"]["images"] == 8 and stored["verdicts"] is None
    assert (
        stored["threshold"]["uses_test_labels"] is False
        and stored["data"]["fingerprint"] == nuts.fingerprint
    )


def test_examples_stand_for_their_types(nuts):
    assert list(nuts.test.types[study.examples(nuts, per_type=1)]) == [
        "good",
        "crack",
        "cut",
        "hole",
        "print",
    ]


def test_the_strip_shows_each_explainer_beside_its_overlap(nuts, assessed, explained, audited):
    index = int(np.flatnonzero(nuts.test.labels)[0])
    titles = [
        ax.get_title("left")
        for ax in study.strip_of(nuts, assessed, explained, audited, index).axes
    ]
    assert titles == [
        "image",
        "reconstruction",
        "anomaly map",
        "LIME",
        "SHAP",
        "LIME: overlap",
        "SHAP: overlap",
    ]
    other = dataclasses.replace(
        assessed, counterpart_name="nearest", anomaly_maps=assessed.anomaly_maps + 7
    )
    strip = study.strip_of(nuts, other, explained, audited, index)
    assert strip.axes[1].get_title("left") == "nearest"
    assert strip.axes[2].images[0].get_clim()[0] == pytest.approx(other.anomaly_maps.min())
    assert study.reconstructions(nuts, other, [index]).axes[1].get_title("left") == "nearest"
    repaired = {index: (assessed.counterparts[index], 0.1)}
    mended = study.strip_of(nuts, assessed, explained, audited, index, repaired=repaired).axes[3]
    assert mended.get_title("left") == "defect repaired" and "score 0.1" in [
        text.get_text() for text in mended.texts
    ]


def test_the_photograph_shows_where_the_map_is_low_and_the_map_where_it_reaches_the_threshold(
    nuts, assessed
):
    maps = np.zeros((len(nuts.test), 64, 64), "float32")
    maps[0] = assessed.threshold.value
    figure = study.on_photographs(
        nuts, dataclasses.replace(assessed, anomaly_maps=maps), [0, 1], size=64
    )
    bright, plain = (ax.images[0].get_array() for ax in figure.axes[:2])
    np.testing.assert_allclose(plain, nuts.test.images[1], atol=0.02)
    assert np.abs(bright - nuts.test.images[0]).mean() > 0.2
    # Distances that are nowhere near 0 leave the photograph as it is where they are lowest.
    lifted = dataclasses.replace(
        assessed,
        anomaly_maps=maps + 5,
        threshold=dataclasses.replace(assessed.threshold, value=assessed.threshold.value + 5),
    )
    again = study.on_photographs(nuts, lifted, [0, 1], size=64)
    for one, expected in zip(again.axes[:2], (bright, plain), strict=True):
        np.testing.assert_allclose(one.images[0].get_array(), expected, atol=1e-5)


def test_a_threshold_may_flag_nothing(nuts):
    one = with_scores(nuts, np.linspace(-2, -1, len(nuts.test)))
    assert not one.flags.any() and isinstance(one.threshold, Threshold)
