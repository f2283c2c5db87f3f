"""The contest's figure shows every detector, its interval and its seeds."""

import pytest

from adhelpers.metrics import Estimate
from adhelpers.reports import contest_figure


def test_every_detector_stands_in_its_row():
    estimates = {"A": Estimate(0.9, 0.8, 0.95), "B": Estimate(0.4, 0.3, 0.5)}
    [axis] = contest_figure(estimates, {"A": [0.88, 0.92], "B": [0.4]}).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "A",
        "B",
    ] and axis.yaxis_inverted()
    assert axis.get_xlim()[0] < 0.3
    assert [len(line.get_xdata()) for line in axis.lines] == [2, 2, 1, 2, 1, 1, 2]


def test_names_must_agree():
    with pytest.raises(ValueError, match="the same detectors"):
        contest_figure({"A": Estimate(0.9, 0.8, 1.0)}, {"B": [0.9]})
