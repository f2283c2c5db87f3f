"""Deletion and insertion curves: the means that they show."""

import numpy as np

from adhelpers.reports.figures.repair import deletion_insertion_curves


def test_curves_are_means_over_images_without_failed_explanations():
    nan = [np.nan] * 3
    figure = deletion_insertion_curves(
        [0, 0.5, 1],
        {"LIME": [[1, 0.5, 0], [3, 1.5, 0], nan], "SHAP": [[1, 0, 0], nan, nan]},
        {"LIME": [[0, 0.5, 1], [0, 1.5, 3], nan], "SHAP": [[0, 1, 1], nan, nan]},
    )
    deletion, insertion = figure.axes
    assert deletion.lines[0].get_xdata().tolist() == [0, 0.5, 1]
    assert [line.get_ydata().tolist() for line in deletion.lines] == [[2, 1, 0], [1, 0, 0]]
    assert [line.get_ydata().tolist() for line in insertion.lines] == [[0, 1, 2], [0, 1, 1]]
    assert [text.get_text() for text in insertion.get_legend().get_texts()] == ["LIME", "SHAP"]
    assert deletion.get_ylim() == insertion.get_ylim()


def test_without_any_flagged_image_the_figure_says_so():
    figure = deletion_insertion_curves([0, 1], {}, {})
    assert [text.get_text() for text in figure.axes[0].texts] == ["no flagged defective image"]
