"""The audit of explanations against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adhelpers.audit import (
    REASONS,
    audit_agreement,
    decision_reasons,
    explanations_to_learn_from,
    review_labels,
    unfaithfulness,
)

WRONG, OTHER, RIGHT = REASONS


@pytest.mark.parametrize(
    "label, predicted, without_defect, without_tag, expected",
    [
        (1, 0, 0, -1, WRONG),
        (1, 0, 1, 1, WRONG),  # a wrong class needs no reason
        (1, 1, 0, -1, RIGHT),
        (1, 1, 2, -1, RIGHT),  # repaired, the defect is no longer seen
        (1, 1, 1, -1, OTHER),  # the decision stays without the defect
        (1, 1, 0, 1, RIGHT),
        (1, 1, 0, 0, OTHER),  # and without the tag: it must stay
        (0, 0, -1, -1, RIGHT),
        (0, 0, -1, 0, RIGHT),
        (0, 0, -1, 2, OTHER),
    ],
)
def test_every_case_of_a_reason(label, predicted, without_defect, without_tag, expected):
    assert decision_reasons([label], [predicted], [without_defect], [without_tag]).tolist() == [
        expected
    ]


def test_without_repairs_only_the_class_is_known():
    assert decision_reasons([0, 1], [0, 0]).tolist() == [RIGHT, WRONG]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([0, 1], [0]), "predicted must hold one class for each of the 2 images"),
        (([0.5], [0]), "labels must hold whole numbers from 0"),
        (([0], [0], [-2]), "without_defects must hold whole numbers from -1"),
        (([0], [0], None, [0, 1]), "without_tags"),
        (([], []), "labels"),
    ],
)
def test_bad_classes(arguments, message):
    with pytest.raises(ValueError, match=message):
        decision_reasons(*arguments)


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 200), st.integers(2, 100), st.integers(0, 5), st.data())
def test_looked_at_are_as_many_as_asked_for_and_of_both_kinds(count, percent, seed, data):
    share = percent / 100
    bad = data.draw(st.integers(1, count - 1))
    anomalous = np.random.default_rng(seed).permutation(count) < bad
    labels = review_labels(anomalous, share, seed)
    looked_at = max(2, percent * count // 100)
    assert (labels != 0).sum() <= looked_at and (labels != 0).sum() >= min(looked_at, 2)
    assert (labels[anomalous] <= 0).all() and (labels[~anomalous] >= 0).all()
    assert (labels == -1).any() and (labels == 1).any()
    expected = looked_at * bad / count
    assert abs((labels == -1).sum() - expected) <= 1
    np.testing.assert_array_equal(labels, review_labels(anomalous, share, seed))


def test_nothing_to_learn_from():
    with pytest.raises(ValueError, match="no misclassified images to learn from: all 5 decisions"):
        review_labels(np.zeros(5, bool))
    with pytest.raises(ValueError, match="no decisions to learn from that are right"):
        review_labels(np.ones(5, bool))
    with pytest.raises(ValueError, match="share must lie in"):
        review_labels([True, False], share=0)
    with pytest.raises(ValueError, match="anomalous must be decisions"):
        review_labels([0.2, 0.7])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(30, 200), st.integers(1, 29), st.floats(0.04, 0.5), st.booleans(), st.integers(0, 5)
)
def test_learned_from_are_all_right_decisions_and_a_few_wrong_ones(count, bad, share, looked, seed):
    wrong = np.random.default_rng(seed).permutation(count) < bad
    confirmed = ~wrong & (np.arange(count) % 2 == 0) if looked else None
    if int(share * (count - bad)) < 1:
        return
    indices, labels = explanations_to_learn_from(wrong, share, confirmed=confirmed, seed=seed)
    assert (np.diff(indices) > 0).all() and set(np.flatnonzero(~wrong)) <= set(indices)
    assert (
        wrong[indices[labels == -1]].all()
        and not wrong[indices[labels >= 0]].any()
        and (labels == -1).any()
    )
    assert (labels != 0).sum() <= share * len(indices)
    # As many as allowed, where there are so many wrong ones.
    assert (labels == -1).sum() == min(bad, int(share * (count - bad)) - int((labels == 1).sum()))
    assert (labels == 1).sum() <= int(share * (count - bad)) // 3 and (
        looked or not (labels == 1).any()
    )


@pytest.mark.parametrize(
    "wrong, options, message",
    [
        (np.zeros(5, bool), {}, "no misclassified images to learn from: all 5"),
        (np.ones(5, bool), {}, "no right decisions to learn from among 5"),
        (np.arange(9) < 2, {"share": 0.6}, "share must lie in"),
        (np.arange(9) < 2, {"share": 0.05}, "less than one label; 0.143 would be one"),
        (
            np.arange(9) < 2,
            {"share": 0.3, "confirmed": np.ones(9, bool)},
            "cannot have the right reason",
        ),
        (np.arange(9) < 2, {"share": 0.3, "confirmed": np.zeros(8, bool)}, "confirmed"),
    ],
)
def test_learning_that_cannot_be(wrong, options, message):
    with pytest.raises(ValueError, match=message):
        explanations_to_learn_from(wrong, **options)


def test_agreement_by_hand():
    # 4 agree that something is wrong, 4 that nothing is, 1 flag too many, 1 too few: observed 0.8,
    # by chance 0.5.
    flags = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0], bool)
    reasons = [WRONG, WRONG, WRONG, OTHER, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, OTHER]
    found = audit_agreement(flags, reasons)
    assert found.share == pytest.approx(0.8) and found.kappa == pytest.approx((0.8 - 0.5) / 0.5)
    assert (
        found.counts.loc[WRONG].tolist() == [3, 0]
        and found.counts.loc[OTHER].tolist() == [1, 1]
        and found.counts.loc[RIGHT].tolist() == [1, 4]
    )


def test_agreement_at_its_ends():
    assert audit_agreement([True, False], [OTHER, RIGHT]).kappa == 1
    assert audit_agreement([False, True], [OTHER, RIGHT]).kappa == -1
    nothing = audit_agreement([False, False], [RIGHT, RIGHT])
    assert (
        nothing.share == 1 and np.isnan(nothing.kappa) and nothing.counts.index.tolist() == [RIGHT]
    )
    with pytest.raises(ValueError, match="reasons must be among 'wrong class'"):
        audit_agreement([True], ["because"])
    with pytest.raises(ValueError, match="reasons must have one entry for each of the 2"):
        audit_agreement([True, False], [RIGHT])


def test_agreement_has_a_table_and_findings():
    found = audit_agreement([True, False, True, False], [WRONG, WRONG, OTHER, RIGHT])
    assert found.table().loc[WRONG].to_dict() == {"flagged": 1, "not flagged": 1}
    assert found.findings() == [
        "Flagged are 1 of 2 with the wrong class, 1 of 1 with the right class, other reason, "
        "0 of 1 with the right class, right reason.",
        "Flags and reasons agree on 75 % of the images, Cohen's kappa 0.50.",
    ]


def certainty(pictures):
    """Two classes; the second is as certain as the bright square in the corner is bright."""
    corner = np.clip(pictures[:, :4, :4].mean(axis=(1, 2, 3)), 0, 1)
    return np.stack([1 - corner, corner], axis=1)


def test_deletion_of_what_decides_is_faithful():
    images = np.zeros((3, 16, 16, 1), np.float32)
    images[:, :4, :4] = 1
    right = np.zeros((16, 16))
    right[:4, :4] = 1
    maps = np.stack([right, np.fliplr(right), right])
    found = unfaithfulness(certainty, images, [1, 1, 0], maps, show_progress=False)
    # The second map points elsewhere; the third image's class is not certain at all, so that
    # nothing can fall.
    assert found[0] < 0.2 and found[1] > 0.5 and found[2] >= 1
    np.testing.assert_allclose(
        found[:1], unfaithfulness(certainty, images[:1], [1], maps[:1], show_progress=False)
    )
    with pytest.raises(ValueError, match="blur must be positive"):
        unfaithfulness(certainty, images, [1, 1, 0], maps, blur=0)
    with pytest.raises(ValueError, match="predicted must hold one class for each of the 3"):
        unfaithfulness(certainty, images, [1], maps)


def test_a_share_is_not_lost_to_rounding():
    # 0.29 * 100 is 28.999999999999996 in floating point.
    _, labels = explanations_to_learn_from(np.arange(150) < 50, share=0.29)
    assert int((labels != 0).sum()) == 29
    assert int((review_labels(np.arange(100) < 60, share=0.29) != 0).sum()) == 29
