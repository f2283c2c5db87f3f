"""The critical-difference diagram: names at their ranks, bars over what does not differ."""

import numpy as np
import pytest

from adhelpers.metrics import compare_ranks
from adhelpers.reports.figures import rank_figure

SCORES = np.arange(5.0) + np.random.default_rng(0).normal(size=(9, 5)) * 0.3


def lines_of(figure, kind):
    return [line for line in figure.axes[0].lines if line.get_gid() == kind]


def test_a_bar_joins_each_group_and_no_other_detector():
    compared = compare_ranks(SCORES)
    figure = rank_figure(compared, list("ABCDE"))
    bars = lines_of(figure, "group")
    assert len(bars) == len(compared.groups()) > 1
    # Positions are those of ranks: each detector's line starts at its own.
    starts = {
        float(line.get_xdata()[0])
        for line in figure.axes[0].lines
        if len(line.get_xdata()) == 3 and line.get_gid() is None
    }
    places = dict(zip(np.argsort(compared.ranks), sorted(starts), strict=True))
    for bar, group in zip(bars, compared.groups(), strict=True):
        left, right = bar.get_xdata()
        assert {index for index, x in places.items() if left <= x <= right} == set(group)


def test_the_critical_difference_has_the_scale_of_the_ranks():
    compared = compare_ranks(SCORES)
    figure = rank_figure(compared, list("ABCDE"))
    (bracket,) = lines_of(figure, "difference")
    axis = figure.axes[0].lines[0].get_xdata()
    width = (axis[1] - axis[0]) / 4 * compared.critical_difference
    assert np.ptp(bracket.get_xdata()) == pytest.approx(width)
    assert not lines_of(rank_figure(compare_ranks(SCORES, "wilcoxon"), list("ABCDE")), "difference")


def test_long_names_stay_on_the_figure():
    names = [f"a detector with a name that is far too long for its side, {i}" for i in range(5)]
    figure = rank_figure(compare_ranks(SCORES), names)
    figure.canvas.draw()
    width = figure.get_window_extent().width
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert 0 <= box.x0 and box.x1 <= width
    assert figure.get_label().startswith("Mean ranks, the best at the left: a detector")


def test_as_many_names_as_ranks():
    with pytest.raises(ValueError, match="names must have one entry for each of 5 ranks, not 2"):
        rank_figure(compare_ranks(SCORES), ["a", "b"])
