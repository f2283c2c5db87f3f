"""The scores of a detector and how its threshold decides on them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Floats, Integers
from adhelpers.metrics import Threshold

from ..style import (
    ANOMALOUS,
    GOOD,
    INK,
    chart_title,
    check_batch,
    describe,
    new_figure,
    note_right,
    one_line,
    styled,
    swarm,
    threshold_text,
    threshold_value,
    wrapped,
)


@styled
def score_separation(
    scores: ArrayLike,
    labels: ArrayLike,
    types: ArrayLike,
    threshold: Threshold | float,
    validation_scores: ArrayLike | None = None,
    title: str = "Scores by type",
) -> Figure:
    """The score of every image, a row a type, with the threshold; wrong decisions are hollow.

    Parameters
    ----------
    scores : array-like of float, shape (n,)
    labels : array-like of int, shape (n,)
        0 good, 1 anomalous.
    types : array-like of str, shape (n,)
    threshold
        Its rule is written out, and a notice if it used test labels.
    validation_scores : array-like of float, shape (m,), optional
        Scores of good validation images, drawn as a row of their own.
    title

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If lengths differ or there are no scores.

    Examples
    --------
    >>> figure = score_separation([0.1, 0.9], [0, 1], ["good", "crack"], 0.5)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['crack', 'good']
    """
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels)
    types = np.asarray(types).astype(str)
    if not len(scores):
        raise ValueError("scores must hold at least one score")
    check_batch(len(scores), labels=labels, types=types)
    cut = threshold_value(threshold)
    rows = []
    if validation_scores is not None:
        values = np.asarray(validation_scores, dtype=float)
        rows.append(("validation (good)", values, np.zeros(len(values), dtype=int)))
    for name in sorted(set(types), key=lambda name: (labels[types == name].max(), name)):
        rows.append((name, scores[types == name], labels[types == name]))
    rows.reverse()
    figure = new_figure(8.4, 0.42 * len(rows) + 1.7, layout="constrained")
    ax = figure.add_subplot()
    for row, (_, values, truth) in enumerate(rows):
        _draw_row(ax, row, values, truth, cut)
        note_right(ax, row, f"{int((values > cut).sum())} of {len(values)} flagged")
    ax.axvline(cut, color=INK, linewidth=1.2, linestyle="--")
    ax.set(
        yticks=range(len(rows)),
        yticklabels=[one_line(name, 30) for name, *_ in rows],
        ylim=(-0.6, len(rows) - 0.4),
        xlabel="score (higher is more anomalous)",
    )
    chart_title(figure, one_line(title), fontsize=9.5)
    ax.set_title(wrapped(threshold_text(threshold), 95), fontweight="normal")
    ax.grid(axis="y", visible=False)
    dots = (
        ("good", GOOD, GOOD),
        ("anomalous", ANOMALOUS, ANOMALOUS),
        ("decided wrongly", "white", INK),
    )
    figure.legend(
        handles=[
            Line2D([], [], marker="o", linestyle="", markersize=5, label=label, mfc=face, mec=edge)
            for label, face, edge in dots
        ],
        loc="outside lower right",
        ncols=3,
    )
    describe(figure, f"{title}: the scores by type; dashed: the threshold")
    return figure


def _draw_row(ax: Axes, row: int, values: Floats, truth: Integers, cut: float) -> None:
    """The scores of one type, filled where the threshold ``cut`` decides as it should."""
    heights = row + swarm(values)
    for label, color in ((0, GOOD), (1, ANOMALOUS)):
        for right in (True, False):
            chosen = (truth == label) & (((values > cut) == bool(label)) == right)
            if chosen.any():
                ax.scatter(
                    values[chosen],
                    heights[chosen],
                    s=20,
                    facecolor=color if right else "white",
                    edgecolor=color,
                    linewidth=1.1,
                    alpha=0.8 if right else 1.0,
                    zorder=3,
                )
