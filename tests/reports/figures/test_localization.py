"""Charts of optimal Jaccard: what they count, shade and leave out."""

import numpy as np
import pytest

from adhelpers.metrics import Threshold
from adhelpers.reports.figures.localization import (
    explainer_against_explainer,
    score_against_jaccard,
)

TUNED = Threshold(0.5, "best G-mean on the test labels", uses_test_labels=True)
FAIR = Threshold(0.5, "0.95 quantile of 60 good validation scores", uses_test_labels=False)


def test_score_against_jaccard_counts_and_shades_what_is_in_the_wrong_place():
    scores = np.array([0.9, 0.8, 0.3, 0.7, 0.1])
    jaccards = {"LIME": [0.5, 0.02, 0.01, 0.1, np.nan], "SHAP": [0.05, 0.02, 0.6, 0.09, np.nan]}
    figure = score_against_jaccard(
        scores, jaccards, ["cut", "cut", "hole", "hole", "good"], FAIR, cutoff=0.1
    )
    lime, shap = figure.axes
    assert lime.get_title("left") == "LIME: 1 of 3 flagged in the wrong place"
    assert shap.get_title("left") == "SHAP: 3 of 3 flagged in the wrong place"
    points = np.concatenate([np.asarray(part.get_offsets()) for part in lime.collections[:2]])
    assert sorted(map(tuple, points.tolist())) == sorted(
        zip(scores[:4].tolist(), jaccards["LIME"][:4], strict=True)
    )
    shaded = lime.collections[-1].get_paths()[0].vertices
    assert shaded[:, 0].min() == 0.5 and shaded[:, 0].max() >= 0.9 and shaded[:, 1].max() == 0.1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cut", "hole"]
    assert "used test labels" not in figure.get_suptitle().replace("\n", " ")
    tuned = score_against_jaccard(scores, jaccards, ["cut"] * 5, TUNED)
    assert "used test labels" in tuned.get_suptitle().replace("\n", " ")


def test_score_against_jaccard_without_any_defect_is_empty_but_drawn():
    figure = score_against_jaccard([0.1, 0.2], {"LIME": [np.nan, np.nan]}, ["good", "good"], FAIR)
    assert figure.axes[0].get_title("left") == "LIME: 0 of 0 flagged in the wrong place"


def test_score_against_jaccard_refuses_bad_input():
    with pytest.raises(ValueError, match="at least one explainer"):
        score_against_jaccard([0.1], {}, ["cut"], FAIR)
    with pytest.raises(ValueError, match=r"jaccards\['LIME'\] must have one entry"):
        score_against_jaccard([0.1], {"LIME": [0.1, 0.2]}, ["cut"], FAIR)


def test_explainer_against_explainer_counts_wins_and_leaves_out_what_is_unknown():
    figure = explainer_against_explainer(
        [0.1, 0.5, 0.4, np.nan],
        [0.2, 0.4, 0.4, 0.9],
        ["cut", "cut", "hole", "good"],
        names=("residual map", "SHAP"),
    )
    ax = figure.axes[0]
    assert ax.get_title("left") == "SHAP above residual map in 1 of 3"
    assert (
        ax.get_xlabel() == "optimal Jaccard of residual map"
        and ax.get_ylabel() == "optimal Jaccard of SHAP"
    )
    assert sum(len(part.get_offsets()) for part in ax.collections) == 3
    assert list(ax.lines[0].get_xdata()) == list(ax.lines[0].get_ydata()) == [0, 1]
