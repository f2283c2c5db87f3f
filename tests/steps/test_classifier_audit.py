"""The steps of notebook 06: decisions, the audit without masks, and what is said about them."""

import dataclasses
import functools
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from adhelpers.audit import REASONS
from adhelpers.data import LEAK, Remark
from adhelpers.detectors import DeepSAD
from adhelpers.steps import classifier_audit as explanation_study
from adhelpers.steps.classifier_audit import DISTANCE, UNCERTAIN, UNFAITHFUL, map_inputs
from adhelpers.steps.sample_answer import answer_classifier

WRONG, OTHER, RIGHT = REASONS


def test_maps_are_averaged_over_cells_of_any_size():
    maps = np.random.default_rng(0).uniform(-0.2, 1, (3, 50, 37))
    found = map_inputs(maps, side=8)[..., 0]
    slow = np.zeros((3, 8, 8))
    for row in range(8):
        for column in range(8):
            rows = [one for one in range(50) if one * 8 // 50 == row]
            columns = [one for one in range(37) if one * 8 // 37 == column]
            slow[:, row, column] = np.maximum(maps[:, rows][:, :, columns], 0).mean(axis=(1, 2))
    np.testing.assert_allclose(found, slow / slow.max(axis=(1, 2), keepdims=True), rtol=1e-5)
    assert (map_inputs(np.zeros((1, 16, 16))) == 0).all()
    with pytest.raises(ValueError, match="sides of at least 16"):
        map_inputs(np.zeros((1, 8, 16)))


@pytest.fixture(scope="module")
def audit(classified, tmp_path_factory):
    classifier, decisions = classified
    tmp = tmp_path_factory.mktemp("models")
    deep_sad = DeepSAD(
        eta=10.0,
        plan=replace(DeepSAD.default_plan(), epochs=20, batch_size=32),
        pretraining=replace(DeepSAD.default_pretraining(), epochs=10, batch_size=32),
    )
    detector = explanation_study.learn_explanations(
        decisions, deep_sad, tmp, share=0.1, show_progress=False
    )
    return detector, explanation_study.audit_decisions(
        decisions, detector, classifier, gain=0.05, show_progress=False
    )


def test_the_audit_without_masks(classified, audit):
    detector, found = audit
    review = classified[1].review
    assert (
        list(found.scores) == [DISTANCE, UNCERTAIN, UNFAITHFUL]
        and found.detector.labelled == (detector.labels == -1).sum() > 4
    )
    assert found.auroc[DISTANCE].value > 0.7 and not found.threshold.uses_test_labels
    np.testing.assert_array_equal(found.flags, found.scores[DISTANCE] > found.threshold.value)
    assert (detector.score(review.maps) > found.threshold.value).mean() == pytest.approx(
        0.15, abs=0.01
    )
    table = found.table()
    assert table.index.tolist() == [*found.scores, "random", "ideal"]
    assert (
        table.loc["ideal", "share to review for +5 points"]
        <= table.loc["random", "share to review for +5 points"]
    )


def test_sentences_say_what_the_numbers_are(audit):
    detector, found = audit
    first, second, faulty, flagged, third = found.findings()
    assert "over dark alone" in faulty and f"before: {found.class_curve.before:.3f}" in faulty
    assert (
        f"{found.auroc[DISTANCE].value:.3f}" in first
        and f"{detector.labelled} explanations ({100 * detector.share:.1f} %)" in first
        and detector.share <= 0.1
        and detector.findings()[0].endswith(f"labelled ({100 * detector.share:.1f} %)")
    )
    assert f"{100 * found.curve.share_needed(0.05)[DISTANCE]:.1f} % of the images" in second
    assert (
        f"kappa {found.agreement.kappa:.2f}" in third and "without masks has seen no mask" in third
    )
    row = found.agreement.counts.loc[WRONG]
    assert f"{row['flagged']} of {row.sum()} with the wrong class" in flagged
    bare = dataclasses.replace(found.decisions.images, without_defects=None, without_tags=None)
    bare = dataclasses.replace(found.decisions, images=bare)
    unknown = dataclasses.replace(found, decisions=bare).findings()
    assert "no one knows the reasons of right decisions" in unknown[-1]
    beyond = dataclasses.replace(found, gain=0.99).findings()
    assert "no review can raise it by more than" in beyond[1]


def test_the_detector_is_found_again(classified, audit, tmp_path):
    review = classified[1].review
    labels = np.where(review.wrong, -1, 0)
    quick = {
        "plan": replace(DeepSAD.default_plan(), epochs=1),
        "pretraining": replace(DeepSAD.default_pretraining(), epochs=1),
    }
    fit = functools.partial(
        explanation_study.fit_explanation_detector, models=tmp_path, name="x", show_progress=False
    )
    first, again = (
        fit(review.maps, labels, DeepSAD(**quick)),
        fit(review.maps, labels, DeepSAD(**quick)),
    )
    assert first.deep_sad.folder == again.deep_sad.folder
    assert fit(review.maps, -labels, DeepSAD(**quick)).deep_sad.folder != first.deep_sad.folder
    with pytest.raises(ValueError, match="labels must be -1"):
        fit(review.maps, labels * 2, DeepSAD(**quick))


def test_pictures_and_rows(audit):
    _, found = audit
    figure = found.example_figure(per_kind=3)
    titles = [ax.get_title("left") for ax in figure.axes]
    assert any("→" in title for title in titles) and len(titles) <= 9
    rows = found.samples()
    assert len(rows) == 120 and rows["flagged"].sum() == found.flags.sum()
    assert "+5 points" in found.figure().axes[0].get_title("left")
    assert len(found.distance_figure().axes) > 0


def test_the_summary_holds_what_other_tools_read(classified, audit):
    _, found = audit
    task = replace(classified[1].task, remarks=(Remark("file_unused", ("a",), "1 file"),))
    parts = found.summary_parts(task)
    assert [one["sentence"] for one in parts["data"]["remarks"]] == ["1 file"]
    assert sum(parts["confusion"].values()) == 120 and sum(parts["verdicts"].values()) == 120
    assert (
        parts["data"]["counts"]["test"] == {"good": 60, "dark": 60}
        and len(parts["data"]["fingerprint"]) == 64
    )


def test_nothing_to_tell_apart(classified, audit):
    detector, _ = audit
    classifier, decisions = classified
    audit_again = functools.partial(
        explanation_study.audit_decisions,
        detector=detector,
        classifier=classifier,
        show_progress=False,
    )
    fine = dataclasses.replace(decisions.test, reasons=np.full(120, RIGHT))
    with pytest.raises(
        ValueError, match="every one of the 120 test decisions is right for the right reason"
    ):
        audit_again(dataclasses.replace(decisions, test=fine))
    with pytest.raises(ValueError, match="classes must be among good, dark, not 'bright'"):
        audit_again(decisions, classes=("bright",))


def test_the_answer_counts_faults_that_are_recognised_because_of_the_fault(classified, audit):
    _, found = audit
    decisions, task = found.decisions, classified[1].task
    answer = answer_classifier(found, task, [found])
    main, faulty = answer.answer.main, decisions.images.labels == 1
    right = faulty & (decisions.predicted == 1)
    by_the_tag = int((right & (decisions.reasons == "right class, other reason")).sum())
    assert by_the_tag > 0
    assert (main.good, main.defective, main.flagged) == (60, 60, right.sum())
    assert main.caused == right.sum() - by_the_tag
    assert main.false_alarms == (decisions.predicted[~faulty] == 1).sum()
    part = answer.summary_parts()["answer"]
    looks = part["look_first"]
    assert looks[0]["verdict"] == "right class, other reason"
    files = ["figures/verdicts.png", *(one["figure"] for one in looks)]
    assert files == [f"figures/{name}.png" for name in answer.figures()]
    assert answer.verdicts.loc["right class, other reason", "dark"] == by_the_tag
    assert answer.verdicts.to_numpy().sum() == 120
    assert f"{by_the_tag} of {right.sum()} right decisions" in part["figures"]
    # Where nothing can be repaired no reason is known, however good the classifier is.
    images = replace(decisions.images, without_defects=None, without_tags=None)
    unknown = answer_classifier(replace(found, decisions=replace(decisions, images=images)), task)
    assert unknown.answer.answer == "Do not trust it yet" and unknown.answer.main.caused is None
    assert "nothing in these images can be repaired" in unknown.answer.reason
    leak = Remark(LEAK, (str(decisions.images.names[0]), "train/other.png"), "one")
    leaky = answer_classifier(found, replace(task, remarks=(leak,)))
    assert leaky.answer.reason.startswith("1 test image is also")
    plt.close("all")
