"""Verdicts counted: recall, recall for the right reason, and which images teach most."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Integers, Names
from adhelpers._shared.checks import checked_labels, checked_scores, checked_types
from adhelpers.metrics import Estimate, Threshold, share_estimate

from .verdicts import VERDICTS

_RIGHT, _TOO_COARSE, _BADLY_EXPLAINED, _WRONG, _UNVERIFIED, _UNVERIFIABLE = VERDICTS[:6]
_RIGHT_PLACE, _WRONG_PLACE, _MISSED, _FALSE_ALARM, _, _FLAGGED = VERDICTS[6:]
_FOUND = VERDICTS[:8]
_BY_THE_DEFECT = (_RIGHT, _TOO_COARSE, _BADLY_EXPLAINED)
# From the most to the least that a reader learns of; a good image that passes teaches nothing.
_INSTRUCTIVE = (
    _WRONG,
    _WRONG_PLACE,
    _BADLY_EXPLAINED,
    _TOO_COARSE,
    _FALSE_ALARM,
    _MISSED,
    _UNVERIFIED,
    _UNVERIFIABLE,
    _FLAGGED,
    _RIGHT,
    _RIGHT_PLACE,
)


@dataclass(frozen=True)
class VerdictSummary:
    """Verdicts counted, of one detector and one explainer.

    Attributes
    ----------
    counts : pandas.DataFrame
        Index ``verdict`` (those that occur, in the order of ``VERDICTS``); a column for each defect
        type, then ``"good"``, then ``"all"``.
    recall : float
        Flagged over all anomalous images; NaN without any.
    trust_adjusted_recall : float
        Flagged for the right reason, explained well or not, over all anomalous images: the
        detector's merit. Images whose reason could not be tested count as not found for the right
        reason; NaN where none could be.
    explained_recall : float
        Flagged for the right reason and explained well, over all anomalous images: detector and
        explainer together.
    unverified : int
        Flagged anomalous images whose reason could not be tested.
    in_place : float
        Of a detector of which there are only maps: flagged with the map on the defect, over all
        anomalous images. NaN elsewhere.
    """

    counts: pd.DataFrame
    recall: float
    trust_adjusted_recall: float
    explained_recall: float
    unverified: int
    in_place: float = float("nan")

    def table(self) -> pd.DataFrame:
        """The counts as people read them."""
        return self.counts.rename_axis(index=None, columns=None)

    def findings(self) -> list[str]:
        """Recall, and recall for the right reason where it could be tested."""
        if np.isnan(self.recall):
            return ["There is no anomalous image, so recall cannot be known."]
        if not np.isnan(self.in_place):
            return [
                f"Recall is {self.estimate(self.recall):.2f}; counting only flags whose map is on "
                f"the defect it is {self.estimate(self.in_place):.2f}. Without the model no repair "
                "can show that the defect raised them."
            ]
        if self.count(_UNVERIFIABLE):
            return [
                f"Recall is {self.estimate(self.recall):.2f}. What raised the flags stays unknown: "
                "nothing that could be pasted over a defect keeps good images normal to this "
                "detector, so a repair proves nothing."
            ]
        if np.isnan(self.trust_adjusted_recall):
            return [
                f"Recall is {self.estimate(self.recall):.2f}. Without masks no flag can be "
                "verified: whether it is about the defect stays unknown."
            ]
        found = (
            f"Recall is {self.estimate(self.recall):.2f}; counting only flags raised by the defect "
            f"it is {self.estimate(self.trust_adjusted_recall):.2f}"
        )
        if self.unverified:
            highest = self.trust_adjusted_recall + self.recall * self.unverified / self.flagged
            found += (
                f", or up to {highest:.2f}: {self.unverified} flagged defective "
                f"{'image shows' if self.unverified == 1 else 'images show'} no defect in the mask "
                "(it is empty, or the frame cuts the defect off), so what raised the flag cannot "
                "be known"
            )
        return [f"{found}."]

    @property
    def flagged(self) -> int:
        """Number of flagged anomalous images."""
        return sum(self.count(verdict) for verdict in _FOUND)

    def estimate(self, share: float) -> Estimate:
        """One of the recalls with its exact binomial interval over all anomalous images."""
        if np.isnan(share):
            return share_estimate(0, 0)
        anomalous = sum(self.count(name) for name in (*_FOUND, _MISSED))
        return share_estimate(round(share * anomalous), anomalous)

    def count(self, verdict: str) -> int:
        """Number of images with a verdict, also where it does not occur."""
        return int(self.counts["all"].get(verdict, 0))


def verdict_summary(verdicts: ArrayLike, types: ArrayLike, labels: ArrayLike) -> VerdictSummary:
    """Count verdicts by defect type, and compare recall with recall for the right reason.

    Parameters
    ----------
    verdicts : array-like of str, shape (n,)
        Of :func:`verdicts`, with labels.
    types : array-like of str, shape (n,)
        ``"good"`` or the defect type.
    labels : array-like of int, shape (n,)
        0 good, 1 anomalous.

    Returns
    -------
    VerdictSummary

    Raises
    ------
    ValueError
        If lengths differ, a verdict is unknown, or a verdict does not go with its label.

    Examples
    --------
    >>> found = ["right reason", "wrong reason", "missed", "passed"]
    >>> summary = verdict_summary(found, ["cut", "cut", "hole", "good"], [1, 1, 1, 0])
    >>> summary.counts["cut"].to_dict()
    {'right reason': 1, 'wrong reason': 1, 'missed': 0, 'passed': 0}
    >>> summary.findings()[0][:46]
    'Recall is 0.67 [0.09, 0.99; too few images]; c'
    """
    verdicts = _checked_verdicts(verdicts)
    types = checked_types(types, len(verdicts))
    anomalous = checked_labels(labels, len(verdicts))
    of_anomalous = np.isin(verdicts, [*_FOUND, _MISSED])
    wrong = np.flatnonzero((of_anomalous != anomalous) | (verdicts == _FLAGGED))
    if wrong.size:
        index = int(wrong[0])
        raise ValueError(
            f"verdicts: {str(verdicts[index])!r} at index {index} does not go with label "
            f"{int(anomalous[index])}"
        )
    counts = pd.crosstab(pd.Categorical(verdicts, VERDICTS), types)
    counts = counts[sorted(counts.columns, key=lambda kind: (kind == "good", kind))]
    counts = (
        counts.assign(all=counts.sum(axis=1))
        .reindex([name for name in VERDICTS if name in verdicts])
        .rename_axis(index="verdict", columns="type")
    )
    unverified = int(np.isin(verdicts, [_UNVERIFIED, _UNVERIFIABLE]).sum())
    placed = bool(np.isin(verdicts, [_RIGHT_PLACE, _WRONG_PLACE]).any())
    tested = bool(np.isin(verdicts, [*_BY_THE_DEFECT, _WRONG]).any())
    known = tested or not (unverified or placed)

    def share(*names: str) -> float:
        found = np.isin(verdicts[anomalous], names)
        return float(found.mean()) if len(found) else float("nan")

    return VerdictSummary(
        counts,
        share(*_FOUND),
        share(*_BY_THE_DEFECT) if known else float("nan"),
        share(_RIGHT) if known else float("nan"),
        unverified,
        share(_RIGHT_PLACE) if placed else float("nan"),
    )


def most_instructive(
    verdicts: ArrayLike, scores: ArrayLike, threshold: Threshold | float, count: int = 10
) -> Integers:
    """The images that a reader learns most from.

    Each kind of verdict takes its turn: wrong reason, badly explained, explained too coarsely,
    false alarm, missed, unverified, right reason; within a kind those come first whose score is
    farthest from the threshold: the surest errors and the clearest hits. Good images that pass are
    never listed.

    Parameters
    ----------
    verdicts : array-like of str, shape (n,)
        Of :func:`verdicts`.
    scores : array-like of float, shape (n,)
    threshold
    count
        Maximum number of images.

    Returns
    -------
    ndarray of int, shape (k,)
        Indices, the most instructive first; k is at most ``count``.

    Raises
    ------
    ValueError
        If lengths differ, a verdict is unknown, or a score is not finite.

    Examples
    --------
    >>> found = ["right reason", "wrong reason", "wrong reason", "passed"]
    >>> most_instructive(found, [0.9, 0.7, 0.8, 0.1], 0.5).tolist()
    [2, 0, 1]
    """
    verdicts, scores = _checked_verdicts(verdicts), checked_scores(scores)
    if len(scores) != len(verdicts):
        raise ValueError(
            f"scores must have one number for each of the {len(verdicts)} verdicts; "
            f"got {len(scores)}"
        )
    value = threshold.value if isinstance(threshold, Threshold) else float(threshold)
    surest = np.argsort(-np.abs(scores - value), kind="stable")
    turns = [
        (turn, kind, index)
        for kind, name in enumerate(_INSTRUCTIVE)
        for turn, index in enumerate(surest[verdicts[surest] == name])
    ]
    return np.array([index for *_, index in sorted(turns)[: max(0, count)]], dtype=np.int64)


def _checked_verdicts(verdicts: ArrayLike) -> Names:
    """Known verdicts, at least one."""
    verdicts = np.asarray(verdicts)
    if verdicts.ndim != 1 or verdicts.size == 0:
        raise ValueError(
            "verdicts must hold one verdict for each image, shape (n,) with n >= 1; "
            f"got shape {verdicts.shape}"
        )
    for unknown in sorted(set(verdicts.tolist()) - set(VERDICTS)):
        raise ValueError(f"verdicts: {unknown!r} is none of {'; '.join(VERDICTS)}")
    return verdicts
