"""Verdicts counted: recalls by hand, and which images teach most."""

import numpy as np
import pandas as pd
import pytest

from adhelpers.audit import most_instructive, verdict_summary
from adhelpers.audit.verdicts import VERDICTS
from adhelpers.metrics import Threshold

RIGHT, BADLY, WRONG, MISSED, ALARM, PASSED, UNVERIFIED = (
    "right reason",
    "right reason, badly explained",
    "wrong reason",
    "missed",
    "false alarm",
    "passed",
    "flagged, unverified",
)


def test_summary_by_hand():
    found = [RIGHT, BADLY, WRONG, MISSED, RIGHT, UNVERIFIED, ALARM, PASSED, PASSED]
    types = ["cut", "cut", "cut", "hole", "hole", "hole", "good", "good", "good"]
    summary = verdict_summary(found, types, [1] * 6 + [0] * 3)
    assert summary.counts.columns.tolist() == ["cut", "hole", "good", "all"]
    assert summary.counts.index.tolist() == [name for name in VERDICTS if name in found]
    assert (summary.counts.index.name, summary.counts.columns.name) == ("verdict", "type")
    assert summary.counts.loc[RIGHT].tolist() == [1, 1, 0, 2] and summary.counts.loc[
        PASSED
    ].tolist() == [0, 0, 2, 2]
    assert summary.counts["all"].sum() == 9
    assert summary.recall == pytest.approx(
        5 / 6
    ) and summary.trust_adjusted_recall == pytest.approx(3 / 6)
    assert summary.explained_recall == pytest.approx(2 / 6) and summary.unverified == 1


def test_summary_says_nothing_where_nothing_is_known():
    summary = verdict_summary([UNVERIFIED, MISSED, PASSED], ["cut", "cut", "good"], [1, 1, 0])
    assert (
        summary.recall == 0.5
        and np.isnan(summary.trust_adjusted_recall)
        and np.isnan(summary.explained_recall)
    )
    missed = verdict_summary([MISSED, PASSED], ["cut", "good"], [1, 0])
    assert missed.recall == missed.trust_adjusted_recall == missed.explained_recall == 0
    passed = verdict_summary([PASSED], ["good"], [0])
    assert np.isnan(passed.recall) and np.isnan([*passed.estimate(passed.recall)]).all()


def test_summary_has_a_table_and_findings():
    def summarize(found, labels):
        return verdict_summary(found, ["cut" if label else "good" for label in labels], labels)

    summary = summarize([RIGHT, WRONG, MISSED, PASSED], [1, 1, 1, 0])
    pd.testing.assert_frame_equal(summary.table(), summary.counts, check_names=False)
    assert summary.count(RIGHT) == 1 and summary.count(BADLY) == 0
    assert summary.findings() == [
        "Recall is 0.67 [0.09, 0.99; too few images]; counting only flags raised by the defect it "
        "is 0.33 [0.01, 0.91; too few images]."
    ]
    [unverified] = summarize([UNVERIFIED, MISSED], [1, 1]).findings()
    assert unverified.startswith(
        "Recall is 0.50 [0.01, 0.99; too few images]. Without masks no flag can be verified"
    )
    assert "cannot be known" in summarize([PASSED], [0]).findings()[0]
    # Of four flags one is proven right, one wrong, and of two no defect is in the mask.
    [partly] = summarize([RIGHT, WRONG, UNVERIFIED, UNVERIFIED, MISSED], [1] * 5).findings()
    assert partly.startswith(
        "Recall is 0.80 [0.28, 0.99]; counting only flags raised by the defect it is 0.20 "
        "[0.01, 0.72], or up to 0.60: 2 flagged defective images show no defect in the mask"
    )


@pytest.mark.parametrize(
    "found, types, labels, message",
    [
        ([RIGHT], ["good"], [0], "'right reason' at index 0 does not go with label 0"),
        ([PASSED], ["cut"], [1], "label 1"),
        (["flagged"], ["cut"], [1], "'flagged'"),
        (["good"], ["cut"], [1], "'good' is none of right reason; "),
        ([RIGHT], ["cut", "cut"], [1], "types"),
        ([], [], [], "n >= 1"),
    ],
)
def test_summary_refuses_what_does_not_fit(found, types, labels, message):
    with pytest.raises(ValueError, match=message):
        verdict_summary(found, types, labels)


def test_most_instructive_by_hand():
    found = [PASSED, RIGHT, WRONG, WRONG, MISSED, BADLY, ALARM, ALARM, RIGHT, MISSED]
    scores = [0.10, 0.9, 0.6, 0.8, 0.1, 0.7, 0.6, 0.7, 0.95, 0.4]
    first_turn, second_turn = [3, 5, 7, 4, 8], [2, 6, 9, 1]
    assert most_instructive(found, scores, 0.5).tolist() == first_turn + second_turn
    assert (
        most_instructive(found, scores, Threshold(0.5, "by hand", False), count=3).tolist()
        == first_turn[:3]
    )
    assert most_instructive([PASSED], [0.1], 0.5).tolist() == []
    with pytest.raises(ValueError, match="scores"):
        most_instructive(found, [0.1], 0.5)
