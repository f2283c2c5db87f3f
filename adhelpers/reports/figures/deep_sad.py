"""Figures for semi-supervised detection: what a few labels bring."""

import numpy as np

from ..style import DEFECT_COLORS, FAINT, GOOD, INK, new_figure, one_line, styled

_LEAST_RANGE = 0.06


@styled
def label_curve(runs, published=None, title="What a few labels bring"):
    """AUROC over the share of labelled anomalies in the training set: every run, their mean, and their deviation.

    Parameters
    ----------
    runs : pandas.DataFrame
        A row a training; columns ``ratio`` (share in [0, 1)), ``auroc``, and ``normal_class``, by
        which the runs are coloured.
    published : pandas.DataFrame, optional
        Columns ``ratio`` and ``auroc``, drawn beside it.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a column is missing or there is no run.

    Examples
    --------
    >>> import pandas
    >>> runs = pandas.DataFrame({"ratio": [0, 0, 0.1, 0.1], "auroc": [0.8, 0.9, 0.9, 0.95], "normal_class": list("3333")})
    >>> label_curve(runs).axes[0].get_xlabel()
    'known anomalies in the training set'
    """
    missing = [name for name in ("ratio", "auroc", "normal_class") if name not in runs]
    if missing or runs.empty:
        raise ValueError(
            f"runs must hold at least one row, with the columns ratio, auroc and normal_class; missing: {', '.join(missing) or 'every row'}."
        )
    figure = new_figure(7.4, 3.6, layout="constrained")
    figure.suptitle(one_line(title), fontweight="bold", x=0.01, ha="left")
    ax = figure.add_subplot(
        xlabel="known anomalies in the training set", ylabel="AUROC on the test set"
    )
    # Ratios such as 0, 1, 5 and 10 % are not evenly apart, and need not be.
    ratios = np.array(
        sorted(set(runs["ratio"]) | (set() if published is None else set(published["ratio"])))
    )
    place = {ratio: position for position, ratio in enumerate(ratios)}
    ax.set_xticks(range(len(ratios)), [f"{100 * ratio:g} %" for ratio in ratios])
    classes = sorted(set(map(str, runs["normal_class"])))
    for number, kind in enumerate(classes):
        chosen = runs[runs["normal_class"].astype(str) == kind]
        color = (
            DEFECT_COLORS[number % len(DEFECT_COLORS)]
            if 1 < len(classes) <= len(DEFECT_COLORS)
            else FAINT
        )
        offset = (number - (len(classes) - 1) / 2) * min(0.03, 0.3 / len(classes))
        ax.plot(
            [place[ratio] + offset for ratio in chosen["ratio"]],
            chosen["auroc"],
            "o",
            markersize=3,
            color=color,
            alpha=0.6,
            linewidth=0,
            label=f"normal: {kind}" if len(classes) > 1 else "each training",
        )
    grouped = runs.groupby("ratio")["auroc"]
    mean, deviation = grouped.mean(), grouped.std().fillna(0.0)
    at = [place[ratio] for ratio in mean.index]
    ax.fill_between(at, mean - deviation, mean + deviation, color=GOOD, alpha=0.15, linewidth=0)
    ax.plot(
        at, mean, color=GOOD, linewidth=1.8, marker="o", markersize=4, label="mean and deviation"
    )
    for x, value in zip(at, mean):
        ax.annotate(
            f"{value:.3f}",
            (x, value),
            textcoords="offset points",
            xytext=(7, -11),
            fontsize=8,
            color=GOOD,
            fontweight="bold",
        )
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
    return figure
