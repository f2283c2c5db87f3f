"""Scores by type: the points, counts, colours and words that a reader takes from them."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from adhelpers.metrics import Threshold
from adhelpers.reports import style as _style
from adhelpers.reports.figures.scores import score_separation

TUNED = Threshold(0.5, "best G-mean on the test labels", uses_test_labels=True)
FAIR = Threshold(0.5, "0.95 quantile of 60 good validation scores", uses_test_labels=False)


def test_score_separation_draws_every_score_once_and_wrong_ones_hollow():
    scores = np.array([0.1, 0.7, 0.2, 0.9, 0.5])
    figure = score_separation(
        scores,
        [0, 0, 1, 1, 1],
        ["good", "good", "cut", "cut", "hole"],
        TUNED,
        validation_scores=[0.05, 0.15],
    )
    ax = figure.axes[0]
    drawn = {
        tuple(np.round(offset[:1], 6)): (part.get_facecolor()[0], part.get_edgecolor()[0])
        for part in ax.collections
        for offset in part.get_offsets()
    }
    assert sorted(x for (x,) in drawn) == pytest.approx(sorted([*scores, 0.05, 0.15]))
    hollow = {x for (x,), (face, _) in drawn.items() if to_hex(face) == "#ffffff"}
    # 0.5 is not above the threshold 0.5, so the hole is missed.
    assert hollow == {0.7, 0.2, 0.5}
    assert (
        to_hex(drawn[(0.7,)][1]).upper() == _style.GOOD
        and to_hex(drawn[(0.9,)][0]).upper() == _style.ANOMALOUS
    )
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "hole",
        "cut",
        "good",
        "validation (good)",
    ]
    assert [text.get_text() for text in ax.texts] == [
        "0 of 1 flagged",
        "1 of 2 flagged",
        "1 of 2 flagged",
        "0 of 2 flagged",
    ]
    assert list(ax.lines[0].get_xdata()) == [0.5, 0.5]


def test_score_separation_tells_the_rule_and_whether_it_saw_test_labels():
    def title(threshold):
        figure = score_separation([0.1, 0.9], [0, 1], ["good", "cut"], threshold)
        return figure.axes[0].get_title("left").replace("\n", " ")

    assert (
        title(TUNED)
        == "threshold 0.5: best G-mean on the test labels; this threshold used test labels"
    )
    assert title(FAIR) == "threshold 0.5: 0.95 quantile of 60 good validation scores"
    assert title(0.25) == "threshold 0.25"
