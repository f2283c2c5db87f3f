"""Decisions of a classifier: their reasons, and whether the task was learned."""

from dataclasses import replace

import numpy as np
import pytest

from adhelpers.audit import REASONS
from adhelpers.metrics import share_estimate
from adhelpers.steps.classifier_decisions import Decisions

WRONG, OTHER, RIGHT = REASONS


def test_decisions_have_reasons_that_repairs_found(classified):
    classifier, decisions = classified
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


def test_whether_the_task_was_learned_is_said(classified):
    review = classified[1].review
    first, second = review.findings()
    mean = np.mean([1 - review.wrong[review.images.labels == label].mean() for label in (0, 1)])
    assert f"is {mean:.3f} [" in first and "chance gives 0.500." in first
    assert f"{(review.reasons == OTHER).sum()} rest on something else" in second
    # Both classes have 60 images: the same quantity as in the table, so the same interval.
    assert str(share_estimate((~review.wrong).sum(), 120)) in first
    guessing = Decisions(review.images, np.tile([0.6, 0.4], (120, 1)), review.maps, review.reasons)
    assert "has not been shown to have learned the task" in guessing.findings()[0]


def test_few_images_are_no_certainty_and_classes_of_other_sizes_have_an_interval_of_their_own(
    task_with_a_shortcut,
):
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
