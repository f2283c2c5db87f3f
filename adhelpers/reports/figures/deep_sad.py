"""Figures for semi-supervised detection: what labels bring and what pollution costs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..style import (
    DEFECT_COLORS,
    FAINT,
    GOOD,
    INK,
    chart_title,
    check_columns,
    describe,
    new_figure,
    one_line,
    styled,
)

_LEAST_RANGE = 0.06


@styled
def label_curve(
    runs: pd.DataFrame,
    published: pd.DataFrame | None = None,
    title: str = "How much do a few labels help?",
    share: str = "known anomalies in the training set",
) -> Figure:
    """AUROC over a share of anomalies: every training, their mean and deviation.

    Parameters
    ----------
    runs
        A row a training; columns ``ratio`` (share in [0, 1)), ``auroc``, and ``normal_class``, by
        which the runs are coloured.
    published
        Columns ``ratio`` and ``auroc``, drawn with them.
    title
    share
        What ``ratio`` is the share of.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a column is missing or there is no run.

    Examples
    --------
    >>> runs = pd.DataFrame({"ratio": [0, 0.1], "auroc": [0.8, 0.9], "normal_class": ["3", "3"]})
    >>> label_curve(runs).axes[0].get_xlabel()
    'known anomalies in the training set'
    """
    check_columns(runs, ("ratio", "auroc", "normal_class"), "runs")
    if runs.empty:
        raise ValueError("runs must hold at least one row")
    figure = new_figure(7.4, 3.6, layout="constrained")
    chart_title(figure, one_line(title))
    ax = figure.add_subplot(xlabel=one_line(share), ylabel="AUROC on the test set")
    # Ratios such as 0, 1, 5 and 10 % are not evenly apart, and need not be.
    ratios = sorted({*runs["ratio"], *([] if published is None else published["ratio"])})
    place = {ratio: position for position, ratio in enumerate(ratios)}
    ax.set_xticks(range(len(ratios)), [f"{100 * ratio:g} %" for ratio in ratios])
    _draw_runs(ax, runs, place)
    _draw_mean(ax, runs, place)
    if published is not None:
        ax.plot(
            [place[ratio] for ratio in published["ratio"]],
            published["auroc"],
            "s--",
            color=INK,
            linewidth=1.0,
            markersize=4,
            label="published on MNIST,\nmean over classes",
        )
    # Differences of a few thousandths must not look like a rise or a fall.
    low, high = ax.get_ylim()
    if high - low < _LEAST_RANGE:
        middle = (low + high) / 2
        ax.set_ylim(middle - _LEAST_RANGE / 2, middle + _LEAST_RANGE / 2)
    ax.set_xlim(-0.35, len(ratios) - 0.5)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    describe(
        figure,
        f"{title} AUROC against the share of {share}: each training, mean and deviation",
    )
    return figure


def _draw_runs(ax: Axes, runs: pd.DataFrame, place: dict[float, int]) -> None:
    """A point for each training, those of a class slightly aside of those of the others."""
    kinds = runs["normal_class"].astype(str)
    classes = sorted(set(kinds))
    told_apart = 1 < len(classes) <= len(DEFECT_COLORS)
    for number, kind in enumerate(classes):
        chosen = runs[kinds == kind]
        offset = (number - (len(classes) - 1) / 2) * min(0.03, 0.3 / len(classes))
        ax.plot(
            [place[ratio] + offset for ratio in chosen["ratio"]],
            chosen["auroc"],
            "o",
            markersize=3,
            color=DEFECT_COLORS[number] if told_apart else FAINT,
            alpha=0.6,
            linewidth=0,
            label=f"normal: {kind}" if len(classes) > 1 else "each training",
        )


def _draw_mean(ax: Axes, runs: pd.DataFrame, place: dict[float, int]) -> None:
    """Mean and standard deviation over the trainings of each share."""
    grouped = runs.groupby("ratio")["auroc"]
    mean, deviation = grouped.mean(), grouped.std().fillna(0.0)
    at = np.array([place[ratio] for ratio in mean.index])
    ax.fill_between(at, mean - deviation, mean + deviation, color=GOOD, alpha=0.15, linewidth=0)
    ax.plot(
        at, mean, color=GOOD, linewidth=1.8, marker="o", markersize=4, label="mean and deviation"
    )
    for x, value in zip(at, mean, strict=True):
        ax.annotate(
            f"{value:.3f}",
            (x, value),
            textcoords="offset points",
            xytext=(7, -11),
            fontsize=8,
            color=GOOD,
            fontweight="bold",
        )
