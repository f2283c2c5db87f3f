"""The figure of verdicts: every count is a bar of its length."""

import pandas as pd
import pytest

from adhelpers.audit.verdicts import VERDICTS
from adhelpers.reports import verdict_figure
from adhelpers.reports.figures.verdicts import VERDICT_COLORS


def test_bars_are_as_long_as_the_counts_and_follow_each_other():
    counts = pd.DataFrame(
        {"cut": [2, 3, 0], "good": [0, 0, 7], "all": [2, 3, 7]},
        index=["missed", "right reason", "passed"],
    )
    ax = verdict_figure(counts).axes[0]
    bars = {}
    for container in ax.containers:
        for kind, bar in zip(["good", "cut"], container, strict=True):
            bars[kind, container.get_label()] = (bar.get_x(), bar.get_width())
    assert bars["cut", "right reason"] == (0, 3) and bars["cut", "missed"] == (3, 2)
    assert bars["good", "passed"] == (0, 7) and bars["good", "missed"][1] == 0
    assert sorted(text.get_text() for text in ax.texts) == ["2", "3", "7"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["good", "cut"]


def test_every_verdict_has_a_colour_of_its_own_and_others_are_drawn_too():
    assert set(VERDICTS) <= set(VERDICT_COLORS)
    known = [VERDICT_COLORS[name] for name in VERDICTS if name != "flagged"]
    assert len(set(known)) == len(known)
    figure = verdict_figure(pd.DataFrame({"cut": [1]}, index=["some new verdict"]))
    assert [text.get_text() for text in figure.legends[0].texts] == ["some new verdict"]


@pytest.mark.parametrize("counts", [pd.DataFrame(), pd.DataFrame({"all": [1]}, index=["missed"])])
def test_no_images_are_said(counts):
    figure = verdict_figure(counts)
    assert "no images" in [text.get_text() for text in figure.axes[0].texts]
