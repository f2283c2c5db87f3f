"""Explainers held against the true defects: which points at them, and which flags are elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from adhelpers.metrics import Threshold, share_estimate

from ._checks import checked_column


def _check_cutoff(cutoff: float) -> None:
    if not 0 <= cutoff <= 1:
        raise ValueError(
            f"cutoff is a Jaccard index and must lie in [0, 1], such as 0.1; got {cutoff}"
        )


def flagged_in_wrong_place(
    names: ArrayLike,
    types: ArrayLike,
    scores: ArrayLike,
    jaccards: ArrayLike,
    threshold: Threshold | float,
    cutoff: float = 0.1,
) -> pd.DataFrame:
    """Anomalous images that were flagged although the explanation misses the defect.

    Listed is what is anomalous, flagged, and has an optimal Jaccard index below the cut-off. Ranked
    by score / Jaccard: most confident and most misplaced first; where the Jaccard index is 0 the
    ratio is infinite and the score decides.

    Parameters
    ----------
    names : array-like of str, shape (n,)
        What each image is called.
    types : array-like of str, shape (n,)
        ``"good"`` or the defect type.
    scores : array-like of float, shape (n,)
        Higher is more anomalous. Where some are negative, the ratio counts from the lowest score
        instead of from 0.
    jaccards : array-like of float, shape (n,)
        Optimal Jaccard index of one explainer, in [0, 1]; NaN where there is none (no mask, or a
        failed explanation): such images are not listed, because nothing is known on the place.
    threshold
        An image is flagged where its score is strictly greater.
    cutoff
        In [0, 1].

    Returns
    -------
    pandas.DataFrame
        Index ``rank`` from 1; columns ``name``, ``type``, ``score``, ``optimal_jaccard``,
        ``score_over_jaccard``. The threshold and the cut-off are in its ``attrs``.

    Raises
    ------
    ValueError
        If lengths differ, a score is not finite, a Jaccard index is outside [0, 1], or the cut-off
        is.

    Examples
    --------
    >>> names, types, jaccards = ["a", "b", "c"], ["crack", "crack", "good"], [0.05, 0.6, np.nan]
    >>> table = flagged_in_wrong_place(names, types, [0.9, 0.8, 0.9], jaccards, threshold=0.5)
    >>> table[["name", "optimal_jaccard"]].values.tolist()
    [['a', 0.05]]
    """
    _check_cutoff(cutoff)
    if not isinstance(threshold, Threshold):
        threshold = Threshold(threshold, "given", uses_test_labels=False)
    flags = threshold.flag(scores)
    scores = np.asarray(scores, dtype=np.float64)
    jaccards = checked_column(jaccards, len(scores), "jaccards", "Jaccard index", unit_range=True)
    names, types = np.asarray(names), np.asarray(types)
    for label, array in (("names", names), ("types", types)):
        if array.shape != scores.shape:
            raise ValueError(
                f"{label} must have one entry for each of the {len(scores)} images; "
                f"got shape {array.shape}"
            )

    above_base = scores - min(0.0, scores.min())
    ratios = np.divide(above_base, jaccards, out=np.full(len(scores), np.inf), where=jaccards > 0)
    listed = np.flatnonzero(flags & (types != "good") & (jaccards < cutoff))
    ranked = listed[np.lexsort((-scores[listed], -ratios[listed]))]
    table = pd.DataFrame(
        {
            "name": names[ranked].astype(str),
            "type": types[ranked].astype(str),
            "score": scores[ranked],
            "optimal_jaccard": jaccards[ranked],
            "score_over_jaccard": ratios[ranked],
        },
        index=pd.RangeIndex(1, len(ranked) + 1, name="rank"),
    )
    table.attrs = {"threshold": threshold.value, "cutoff": float(cutoff)}
    return table


@dataclass(frozen=True)
class ExplainerComparison:
    """Explainers side by side on the same images.

    Attributes
    ----------
    summary : pandas.DataFrame
        Index ``explainer``; columns ``images`` (with a Jaccard index), ``mean``, ``median``,
        ``below_cutoff`` (count) and ``share_below_cutoff``; the cut-off is in its ``attrs``.
    wins : pandas.DataFrame
        Row over column: on how many images the row's explainer has the strictly greater Jaccard
        index. Images where either has none are left out.
    """

    summary: pd.DataFrame
    wins: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """The summary as people read it, shares with their interval."""
        shares = [
            f"{share_estimate(int(below), int(images)):.2f}"
            for below, images in zip(
                self.summary["below_cutoff"], self.summary["images"], strict=True
            )
        ]
        table = self.summary.assign(share_below_cutoff=shares).rename_axis(None)
        return table.rename(columns=lambda name: name.replace("_", " "))

    def findings(self) -> list[str]:
        """The mean of each explainer, the best first, and how often it misses the defect."""
        ordered = self.summary[self.summary["images"] > 0].sort_values(
            "mean", ascending=False, kind="stable"
        )
        return [
            f"{row.Index} reaches a mean optimal Jaccard of {row.mean:.2f}; it misses the defect "
            f"(below {self.summary.attrs['cutoff']:g}) in {row.below_cutoff} of {row.images} "
            "images."
            for row in ordered.itertuples()
        ] or ["There are no masks, so no one can say where the defects are."]


def compare_explainers(
    jaccards: Mapping[str, ArrayLike], cutoff: float = 0.1
) -> ExplainerComparison:
    """Which explainer points at the defects: means, medians, misses, and wins image by image.

    Parameters
    ----------
    jaccards : dict of str to array-like of float, shape (n,)
        For each explainer its optimal Jaccard index on the same images, in [0, 1]; NaN where there
        is none.
    cutoff
        Below it an explanation counts as a miss, in [0, 1].

    Returns
    -------
    ExplainerComparison

    Raises
    ------
    ValueError
        If there is no explainer, lengths differ, a value is outside [0, 1], or the cut-off is.

    Examples
    --------
    >>> comparison = compare_explainers({"LIME": [0.05, 0.3, 0.4], "SHAP": [0.2, 0.5, 0.4]})
    >>> int(comparison.wins.loc["SHAP", "LIME"]), int(comparison.wins.loc["LIME", "SHAP"])
    (2, 0)
    >>> comparison.summary["below_cutoff"].to_dict()
    {'LIME': 1, 'SHAP': 0}
    """
    _check_cutoff(cutoff)
    if not jaccards:
        raise ValueError("jaccards must hold at least one explainer, such as {'LIME': values}")
    length = len(np.asarray(next(iter(jaccards.values()))))
    table = pd.DataFrame(
        {
            name: checked_column(
                values, length, f"jaccards[{name!r}]", "Jaccard index", unit_range=True
            )
            for name, values in jaccards.items()
        }
    )
    below = (table < cutoff).sum()
    summary = pd.DataFrame(
        {
            "images": table.count(),
            "mean": table.mean(),
            "median": table.median(),
            "below_cutoff": below,
            "share_below_cutoff": below / table.count(),
        }
    ).rename_axis("explainer")
    summary.attrs = {"cutoff": float(cutoff)}
    wins = pd.DataFrame(
        {
            other: {name: int((table[name] > table[other]).sum()) for name in table}
            for other in table
        },
    ).rename_axis(index="wins of", columns="over")
    return ExplainerComparison(summary, wins)
