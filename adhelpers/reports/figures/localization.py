"""Where explanations point, held against the true defects: optimal Jaccard in charts."""

from collections.abc import Mapping

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Flags, Floats, Names
from adhelpers.metrics import Threshold

from ..style import (
    ANOMALOUS,
    FAINT,
    INK,
    chart_title,
    check_batch,
    describe,
    new_figure,
    one_line,
    styled,
    threshold_text,
    threshold_value,
    type_colors,
    wrapped,
)


@styled
def score_against_jaccard(
    scores: ArrayLike,
    jaccards: Mapping[str, ArrayLike],
    types: ArrayLike,
    threshold: Threshold | float,
    cutoff: float = 0.1,
    title: str = "Flagged, but in the wrong place?",
) -> Figure:
    """Optimal Jaccard against the score, a panel for each explainer.

    Shaded is what is flagged although the explanation misses the defect.

    Parameters
    ----------
    scores : array-like of float, shape (n,)
    jaccards : dict of str to array-like of float, shape (n,)
        Optimal Jaccard in [0, 1] of each explainer; NaN (good images) is left out.
    types : array-like of str, shape (n,)
    threshold
    cutoff
        Below this Jaccard an explanation counts as in the wrong place.
    title

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If ``jaccards`` is empty or lengths differ.

    Examples
    --------
    >>> figure = score_against_jaccard([0.9, 0.8], {"LIME": [0.5, 0.02]}, ["crack", "cut"], 0.5)
    >>> figure.axes[0].get_title("left")
    'LIME: 1 of 2 flagged in the wrong place'
    """
    if not jaccards:
        raise ValueError("jaccards must name at least one explainer")
    scores, types = np.asarray(scores, dtype=float), np.asarray(types).astype(str)
    columns = {name: np.asarray(values, dtype=float) for name, values in jaccards.items()}
    check_batch(
        len(scores),
        types=types,
        **{f"jaccards[{name!r}]": values for name, values in columns.items()},
    )
    cut = threshold_value(threshold)
    figure = new_figure(4.3 * len(columns) + 1.0, 4.1, layout="constrained")
    text = wrapped(f"{one_line(title)} At {threshold_text(threshold)}", 55 * len(columns))
    chart_title(figure, text, fontsize=9.5, fontweight="normal")
    drawn: dict[str, Artist] = {}
    for position, (name, values) in enumerate(columns.items(), start=1):
        known = np.isfinite(values) & np.isfinite(scores)
        ax = figure.add_subplot(1, len(columns), position, xlabel="score", ylim=(-0.03, 1.03))
        ax.set_ylabel("optimal Jaccard" if position == 1 else "")
        drawn |= _draw_types(ax, scores, values, types, known, size=24)
        _shade(ax, scores[known], cut, cutoff)
        flagged = known & (scores > cut)
        misplaced = int((flagged & (values < cutoff)).sum())
        ax.set_title(
            f"{one_line(name, 24)}: {misplaced} of {int(flagged.sum())} flagged in the wrong place"
        )
    if drawn:
        figure.legend(list(drawn.values()), list(drawn), loc="outside right center")
    describe(
        figure,
        "Score of each defective image against the optimal Jaccard of its explanations; shaded: "
        "flagged, but the explanation misses the defect",
    )
    return figure


def _shade(ax: Axes, scores: Floats, cut: float, cutoff: float) -> None:
    """The threshold of the score and that of the Jaccard, shaded where both are crossed."""
    ax.axvline(cut, color=INK, linestyle="--", linewidth=1.1)
    ax.axhline(cutoff, color=INK, linestyle=":", linewidth=1.1)
    right = max([cut, *scores])
    right += 0.04 * ((right - min([cut, *scores])) or 1.0)
    ax.set_xlim(right=right)
    ax.fill_between([cut, right], -0.03, cutoff, color=ANOMALOUS, alpha=0.12, linewidth=0)


def _draw_types(
    ax: Axes, x: Floats, y: Floats, types: Names, known: Flags, size: int
) -> dict[str, Artist]:
    """The known points, a colour a type: what was drawn, by the type's name."""
    drawn: dict[str, Artist] = {}
    for kind, color in type_colors(types).items():
        chosen = known & (types == kind)
        if chosen.any():
            drawn[kind] = ax.scatter(
                x[chosen],
                y[chosen],
                s=size,
                color=color,
                alpha=0.85,
                linewidths=0,
                label=kind,
                zorder=3,
            )
    return drawn


@styled
def explainer_against_explainer(
    jaccards_a: ArrayLike,
    jaccards_b: ArrayLike,
    types: ArrayLike,
    names: tuple[str, str] = ("LIME", "SHAP"),
    title: str = "Which explainer hits the defect better?",
) -> Figure:
    """The optimal Jaccard of one explainer against another's, a point for each anomalous image.

    Parameters
    ----------
    jaccards_a, jaccards_b : array-like of float, shape (n,)
        In [0, 1]; images where one is NaN are left out.
    types : array-like of str, shape (n,)
    names
        The explainers' names; the first goes along, the second up.
    title

    Returns
    -------
    Figure
        Above the diagonal the second explainer is better; the count is written out.

    Raises
    ------
    ValueError
        If lengths differ.

    Examples
    --------
    >>> figure = explainer_against_explainer([0.2, 0.5], [0.4, 0.1], ["crack", "cut"])
    >>> figure.axes[0].get_title("left")
    'SHAP above LIME in 1 of 2'
    """
    first, second = np.asarray(jaccards_a, dtype=float), np.asarray(jaccards_b, dtype=float)
    types = np.asarray(types).astype(str)
    check_batch(len(first), jaccards_b=second, types=types)
    known = np.isfinite(first) & np.isfinite(second)
    figure = new_figure(6.0, 4.5, layout="constrained")
    chart_title(figure, one_line(title), fontsize=9)
    ax = figure.add_subplot(
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
        aspect="equal",
        xlabel=f"optimal Jaccard of {names[0]}",
        ylabel=f"optimal Jaccard of {names[1]}",
    )
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    _draw_types(ax, first, second, types, known, size=26)
    above = int((second[known] > first[known]).sum())
    ax.set_title(f"{names[1]} above {names[0]} in {above} of {int(known.sum())}")
    if known.any():
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    describe(
        figure,
        f"Optimal Jaccard of {names[1]} against {names[0]}, a point for each defective image",
    )
    return figure
