"""The steps of notebook 06: decisions, the audit without masks, and what is said about them."""

import dataclasses
import functools
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from adhelpers.audit import REASONS
from adhelpers.data import LEAK, Remark, make_class_images
from adhelpers.detectors import Classifier, DeepSAD
from adhelpers.metrics import share_estimate
from adhelpers.steps import classifier_audit as explanation_study
from adhelpers.steps.classifier_audit import DISTANCE, UNCERTAIN, UNFAITHFUL, Decisions, map_inputs
from adhelpers.steps.classifier_data import Task
from adhelpers.steps.sample_answer import answer_classifier
from adhelpers.training import Augmentation

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


def task_with_a_shortcut(count, seed, tied):
    """A dark square makes the second class; a bright tag goes with it as told."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = random.uniform(0.4, 0.6, (count, 32, 32, 1)).astype(np.float32)
    defects, tags = np.zeros((2, count, 32, 32), bool)
    tagged = random.uniform(size=count) < np.where(labels == 1, *tied)
    for index, label in enumerate(labels):
        row = random.integers(14, 24)
        defects[index, row : row + 5, 4 + row % 7 : 9 + row % 7] = label
        tags[index, 2:8, 20:28] = tagged[index]
    clean = images.copy()
    images = np.where(tags[..., None], 1.0, np.where(defects[..., None], images - 0.25, images))
    return make_class_images(
        images,
        labels,
        ("good", "dark"),
        defects=defects,
        tags=tags,
        without_defects=np.where(defects[..., None], clean, images),
        without_tags=np.where(tags[..., None], clean, images),
    )


@functools.cache
def classified():
    """A classifier that has learned the tag, and what it decides where the tag is loose."""
    classifier = Classifier(
        filters=(6, 12),
        dropout=0.0,
        plan=replace(Classifier.default_plan(), epochs=8, batch_size=16, learning_rate=0.01),
        augmentation=Augmentation(),
    )
    classifier.fit(task_with_a_shortcut(96, 0, (0.7, 0.0)), show_progress=False)
    train = task_with_a_shortcut(96, 0, (0.7, 0.0))
    review, test = (task_with_a_shortcut(120, seed, (0.3, 0.3)) for seed in (1, 2))
    return classifier, explanation_study.decide_task(classifier, Task("x", train, review, test))


@functools.cache
def audited(tmp):
    classifier, decisions = classified()
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


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    return audited(tmp_path_factory.mktemp("models"))


def test_decisions_have_reasons_that_repairs_found():
    classifier, decisions = classified()
    review = decisions.review
    images = review.images
    wrong = review.predicted != images.labels
    np.testing.assert_array_equal(review.wrong, wrong)
    np.testing.assert_array_equal(review.reasons == WRONG, wrong)
    tagged = images.tags.any(axis=(1, 2))
    after = classifier.predict(images.without_tags)
    assert (review.reasons[tagged & ~wrong & (after != review.predicted)] == OTHER).all()
    # The tag decides where it is loose.
    assert wrong[tagged].mean() > wrong[~tagged].mean() + 0.2
    table = decisions.table()
    assert list(table.columns) == ["train", "review", "test"]
    for name, part in (
        ("accuracy", np.ones(120, bool)),
        ("accuracy, dark", images.labels == 1),
        ("accuracy with a tag", tagged),
        ("accuracy without", ~tagged),
    ):
        expected = share_estimate((~wrong[part]).sum(), part.sum())
        assert table.loc[name, "review"] == str(expected)
    assert table.loc[[WRONG, OTHER, RIGHT], "review"].sum() == 120


def test_whether_the_task_was_learned_is_said():
    review = classified()[1].review
    first, second = review.findings()
    mean = np.mean([1 - review.wrong[review.images.labels == label].mean() for label in (0, 1)])
    assert f"is {mean:.3f} [" in first and "chance gives 0.500." in first
    assert f"{(review.reasons == OTHER).sum()} rest on something else" in second
    # Both classes have 60 images: the same quantity as in the table, so the same interval.
    assert str(share_estimate((~review.wrong).sum(), 120)) in first
    guessing = Decisions(review.images, np.tile([0.6, 0.4], (120, 1)), review.maps, review.reasons)
    assert "has not been shown to have learned the task" in guessing.findings()[0]


def test_few_images_are_no_certainty_and_classes_of_other_sizes_have_an_interval_of_their_own():
    images = task_with_a_shortcut(10, 0, (0.5, 0.5))
    labels = np.array([0] * 7 + [1] * 3)
    images = replace(images, labels=labels, tags=np.zeros((10, 32, 32), bool))
    wrong = np.zeros(10, bool)
    wrong[:3] = True
    predicted = np.where(wrong, 1 - labels, labels)
    reasons = np.where(wrong, WRONG, RIGHT)
    found = Decisions(images, np.eye(2)[predicted], np.zeros((10, 32, 32)), reasons)
    row = found.row()
    # By hand: 0.025^(1/3) for 3 of 3.
    assert row["accuracy, dark"] == "1.000 [0.292, 1.000; too few images]"
    assert row["accuracy with a tag"] == "n/a" and row[WRONG] == 3
    mean = found.mean_accuracy()
    assert mean.value == pytest.approx((4 / 7 + 1) / 2) and mean.low < mean.value < mean.high
    assert row["accuracy"].startswith("0.700 [")


def test_the_audit_without_masks(audit):
    detector, found = audit
    review = classified()[1].review
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


def test_the_detector_is_found_again(audit, tmp_path):
    review = classified()[1].review
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


def test_the_summary_holds_what_other_tools_read(audit):
    _, found = audit
    task = replace(classified()[1].task, remarks=(Remark("file_unused", ("a",), "1 file"),))
    parts = found.summary_parts(task)
    assert [one["sentence"] for one in parts["data"]["remarks"]] == ["1 file"]
    assert sum(parts["confusion"].values()) == 120 and sum(parts["verdicts"].values()) == 120
    assert (
        parts["data"]["counts"]["test"] == {"good": 60, "dark": 60}
        and len(parts["data"]["fingerprint"]) == 64
    )


def test_nothing_to_tell_apart(audit):
    detector, _ = audit
    classifier, decisions = classified()
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


def test_the_answer_counts_faults_that_are_recognised_because_of_the_fault(audit):
    _, found = audit
    decisions, task = found.decisions, classified()[1].task
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
    assert [one["figure"] for one in looks] == [f"figures/{name}.png" for name in answer.figures()]
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
