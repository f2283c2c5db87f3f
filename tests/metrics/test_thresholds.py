"""Threshold rules against loops over all candidates and numbers by hand."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from adhelpers.metrics import (
    Threshold,
    expected_false_alarm_rate,
    gmean_threshold,
    midpoint_threshold,
    normal_quantile,
)

# Few distinct values, so that ties are common.
two_classes = st.lists(
    st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40
).filter(
    lambda pairs: len({label for _, label in pairs}) == 2 and len({score for score, _ in pairs}) > 1
)


def gmean_by_trying_all(scores, labels):
    """Every score in the order given, a confusion matrix each, the first best kept.

    Squares of G-means, exact: rounded ones can differ where the true ones are equal.
    """
    qualities = []
    for candidate in scores:
        tn, fp, fn, tp = map(
            int, confusion_matrix(labels, scores > candidate, labels=[0, 1]).ravel()
        )
        qualities.append(Fraction(tp, tp + fn) * Fraction(tn, tn + fp))
    return scores[qualities.index(max(qualities))]


def test_flag_is_strict():
    threshold = Threshold(0.5, "by hand", uses_test_labels=False)
    assert threshold.flag(np.array([0.49, 0.5, np.nextafter(0.5, 1)])).tolist() == [
        False,
        False,
        True,
    ]


def test_flag_does_not_round_the_threshold_to_float32():
    score = np.float32(0.1)
    just_below = float(np.nextafter(np.float64(score), 0))
    assert np.float32(just_below) == score
    assert Threshold(just_below, "by hand", False).flag(np.array([score])).tolist() == [True]


def test_threshold_is_frozen_finite_and_json():
    threshold = Threshold(np.float32(0.5), "by hand", uses_test_labels=True)
    assert json.loads(json.dumps(threshold.as_dict())) == {
        "value": 0.5,
        "rule": "by hand",
        "uses_test_labels": True,
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        threshold.value = 1.0
    with pytest.raises(ValueError, match="finite"):
        Threshold(float("nan"), "by hand", False)
    with pytest.raises(ValueError, match="index 1"):
        threshold.flag([0.1, np.nan])


def test_rules_know_whether_they_saw_test_labels():
    scores, labels = [1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1]
    rules = [normal_quantile(scores), gmean_threshold(scores, labels)]
    rules.append(midpoint_threshold(scores, labels))
    assert [rule.uses_test_labels for rule in rules] == [False, True, True]
    assert [rule.rule for rule in rules] == [
        "0.95 quantile of 4 good validation scores",
        "best G-mean on the test labels",
        "midpoint of the mean test scores of both classes",
    ]


@pytest.mark.parametrize("quantile, expected", [(0.95, 5.0), (0.8, 4.0), (0.5, 3.0), (1.0, 5.0)])
def test_quantile_by_hand(quantile, expected):
    assert normal_quantile([3, 1, 5, 2, 4], quantile).value == expected


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(0.01, 1))
def test_quantile_flags_at_most_its_share_and_is_the_lowest_score_that_does(scores, quantile):
    scores = np.array(scores)
    threshold = normal_quantile(scores, quantile)
    allowed = (1 - quantile) * len(scores)
    assert threshold.value in scores
    assert threshold.flag(scores).sum() <= allowed + 1e-9
    lower = scores[scores < threshold.value]
    if len(lower):
        assert (scores > lower.max()).sum() > allowed - 1e-9


@pytest.mark.parametrize(
    "scores, quantile, message",
    [
        ([], 0.95, "validation_scores"),
        ([1.0, np.nan], 0.95, "validation_scores .* index 1"),
        ([1.0], 0, "quantile"),
        ([1.0], 95, "quantile"),
        ([1.0], 1.01, "quantile must lie in"),
    ],
)
def test_quantile_refuses_bad_input(scores, quantile, message):
    with pytest.raises(ValueError, match=message):
        normal_quantile(scores, quantile)


@given(two_classes)
def test_gmean_is_what_trying_all_gives(pairs):
    scores = np.array([score for score, _ in pairs], dtype=float)
    labels = np.array([label for _, label in pairs], dtype=int)
    assert gmean_threshold(scores, labels).value == gmean_by_trying_all(scores, labels)


def test_gmean_keeps_the_first_of_equals_in_2000_cases():
    def counted(scores, bad, candidate):
        flagged = scores > candidate
        return Fraction(int(flagged[bad].sum()), int(bad.sum())) * Fraction(
            int((~flagged)[~bad].sum()), int((~bad).sum())
        )

    random = np.random.default_rng(14)
    for _ in range(2000):
        good, anomalous = random.integers(2, 30, 2)
        bad = random.permutation(np.repeat([False, True], [good, anomalous]))
        scores = np.round(random.normal(size=len(bad)) + bad, random.integers(1, 4))
        qualities = [counted(scores, bad, candidate) for candidate in scores]
        # With rounded rates a later one of equals was taken in some of these.
        assert gmean_threshold(scores, bad).value == scores[qualities.index(max(qualities))]


def test_gmean_of_two_equally_good_keeps_the_first_given():
    # At 1: TPR 1, TNR 1/2. At 3: TPR 1/2, TNR 1. Both have the same G-mean; so has no other.
    scores, labels = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 1, 0, 1])
    assert gmean_threshold(scores, labels).value == 1.0
    assert gmean_threshold(scores[::-1], labels[::-1]).value == 3.0


@given(two_classes, st.randoms(use_true_random=False))
def test_gmean_reached_does_not_depend_on_the_order(pairs, random):
    def reached(pairs):
        scores, labels = np.array(pairs, dtype=float).T
        flags = gmean_threshold(scores, labels).flag(scores)
        return flags[labels == 1].mean() * (~flags)[labels == 0].mean()

    shuffled = random.sample(pairs, len(pairs))
    assert reached(shuffled) == pytest.approx(reached(pairs))


@given(two_classes)
def test_gmean_partition_survives_a_monotone_map(pairs):
    scores, labels = np.array(pairs, dtype=float).T
    mapped = np.exp(scores / 3)
    assert (
        gmean_threshold(scores, labels).flag(scores) == gmean_threshold(mapped, labels).flag(mapped)
    ).all()


def test_midpoint_by_hand():
    # Means 2 and 8 (not the medians 1 and 9): 5.
    assert midpoint_threshold([1, 1, 4, 5, 9, 10], [0, 0, 0, 1, 1, 1]).value == 5.0


@pytest.mark.parametrize("rule", [gmean_threshold, midpoint_threshold])
@pytest.mark.parametrize(
    "scores, labels, message",
    [
        ([1, 2, 3], [0, 0, 0], "no anomalous image"),
        ([1, 2, 3], [1, 1, 1], "no good image"),
        ([2, 2, 2], [0, 1, 1], "every image the same score"),
        ([1, np.nan, 3], [0, 1, 1], "index 1"),
        ([1, 2, 3], [0, 1], "each of the 3 images"),
    ],
)
def test_rules_refuse_what_cannot_be_split(rule, scores, labels, message):
    with pytest.raises(ValueError, match=message):
        rule(scores, labels)


@pytest.mark.parametrize(
    "scores, quantile, expected",
    [
        ([3.0], 0.95, 1 / 2),
        (range(5), 0.95, 1 / 6),
        (range(99), 0.95, 5 / 100),
        ([2, 2, 2], 0.5, 1 / 4),
    ],
)
def test_the_expected_false_alarm_rate_by_hand(scores, quantile, expected):
    threshold = normal_quantile(scores, quantile)
    assert expected_false_alarm_rate(scores, threshold) == pytest.approx(expected)


def test_a_further_score_is_above_the_threshold_as_often_as_expected():
    random = np.random.default_rng(0)
    above, promised = [], []
    for _ in range(4000):
        scores = random.gamma(2.0, size=28)
        threshold = normal_quantile(scores[:7], 0.8, scores[7:27])
        promised.append(expected_false_alarm_rate(scores[:27], threshold))
        above.append(scores[27] > threshold.value)
    assert np.mean(above) == pytest.approx(np.mean(promised), abs=0.02)


def test_held_out_scores_count_as_validation_scores_do():
    threshold = normal_quantile([1, 2], 0.95, [5, 3])
    assert threshold.value == 5 and not threshold.uses_test_labels
    assert threshold.rule == (
        "0.95 quantile of 2 good validation scores and 2 of training images, held out"
    )
    with pytest.raises(ValueError, match="held_out_scores"):
        normal_quantile([1, 2], 0.95, [np.nan])
