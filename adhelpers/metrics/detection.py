"""How well scores and decisions tell good images from anomalous ones, with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.arrays import Flags, Names
from adhelpers._shared.checks import (
    checked_flags,
    checked_labels,
    checked_scores,
    checked_types,
    refuse_equal_scores,
)

from .intervals import (
    FEW,
    TOO_FEW,
    Estimate,
    bounded_difference,
    checked_resampling,
    image_strata,
    percentile_interval,
    ranking_interval,
    resample_counts,
    share_estimate,
)
from .thresholds import Threshold


class _Ranking:
    """Images sorted by falling score: the figures of any resample are a few cumulative sums."""

    def __init__(self, scores: NDArray[np.float64], anomalous: Flags) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        # Images with equal scores enter together: only the last of each tie is a point of the
        # curve.
        self._tie_ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        self._anomalous = anomalous[self._order]

    def statistics(
        self, counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """AUROC and average precision of each resample, a row of ``counts`` (r, n) for each."""
        counts = counts[:, self._order]
        true_positives = np.cumsum(counts * self._anomalous, axis=1)[:, self._tie_ends]
        false_positives = np.cumsum(counts * ~self._anomalous, axis=1)[:, self._tie_ends]
        hits = np.diff(true_positives, axis=1, prepend=0)
        false_alarms = np.diff(false_positives, axis=1, prepend=0)
        positives, negatives = true_positives[:, -1], false_positives[:, -1]
        # A good image loses to the anomalous ones before it and draws with those of equal score.
        auroc = (false_alarms * (true_positives - hits / 2)).sum(axis=1) / (positives * negatives)
        precision = true_positives / np.maximum(true_positives + false_positives, 1)
        return auroc, (hits * precision).sum(axis=1) / positives


def image_auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve of the images.

    This is the chance that an anomalous image scores above a good one, ties counting half.

    Parameters
    ----------
    scores : ndarray of float, shape (n,)
        Higher is more anomalous.
    labels : ndarray of int, shape (n,)
        0 good, 1 anomalous.

    Returns
    -------
    float
        In [0, 1]; 0.5 where all scores are equal.

    Raises
    ------
    ValueError
        If a class is missing or a score is not finite.

    Examples
    --------
    >>> image_auroc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])
    0.875
    """
    scores = checked_scores(scores)
    anomalous = checked_labels(labels, len(scores), both_classes=True)
    return float(
        _Ranking(scores, anomalous).statistics(np.ones((1, len(scores)), dtype=np.int64))[0][0]
    )


def auroc_estimate(
    scores: ArrayLike,
    labels: ArrayLike,
    types: ArrayLike | None = None,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """`image_auroc` with its interval: the same wherever an image AUROC is reported.

    Parameters
    ----------
    scores : ndarray of float, shape (n,) or (seeds, n)
        Higher is more anomalous. Of several seeds the mean AUROC is taken; its interval speaks of
        other images, for these seeds.
    labels : ndarray of int, shape (n,)
        0 good, 1 anomalous.
    types : ndarray of str, shape (n,), optional
        Images are drawn within their type, see `image_strata`; without types within their label.
    resamples : int
    confidence : float
        Between 0 and 1.
    seed : int

    Returns
    -------
    Estimate
        See `ranking_interval`.

    Raises
    ------
    ValueError
        As `image_auroc`, or if ``types`` has another length.

    Examples
    --------
    >>> print(auroc_estimate(np.arange(14), np.repeat([0, 1], [6, 8])))
    1.000 [0.541, 1.000; exact bound]
    """
    checked_resampling(resamples, confidence)
    anomalous, strata = _classes_and_strata(labels, types)
    seeds = np.atleast_2d(np.asarray(scores))
    value, draws = _drawn_aurocs(seeds, anomalous, strata, resamples, seed)
    return ranking_interval(value, draws, _smaller(anomalous), confidence)


def auroc_difference(
    first: ArrayLike,
    second: ArrayLike,
    labels: ArrayLike,
    types: ArrayLike | None = None,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The `image_auroc` of one score minus that of another of the same images.

    Both are drawn together, as in `auroc_estimate`, whose other arguments these are.

    Parameters
    ----------
    first, second : ndarray of float, shape (n,)
        Higher is more anomalous.
    labels, types : ndarray, shape (n,)
    resamples : int
    confidence : float
    seed : int

    Returns
    -------
    Estimate
        With an exact bound where a class has fewer than five images, or where every resample has
        the same difference; none where that is 0.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 12)
    >>> print(auroc_difference(np.arange(24), -np.arange(24), labels))
    1.000 [0.471, 1.000; exact bound]
    """
    checked_resampling(resamples, confidence)
    anomalous, strata = _classes_and_strata(labels, types)
    (one, of_one), (other, of_other) = (
        _drawn_aurocs([scores], anomalous, strata, resamples, seed) for scores in (first, second)
    )
    smaller = _smaller(anomalous)
    found = percentile_interval(one - other, of_one - of_other, confidence, few=smaller < FEW)
    fixed = math.isnan(found.low)
    if one != other and (fixed or smaller < FEW):
        return bounded_difference(one - other, smaller, confidence)
    return found


def _classes_and_strata(labels: ArrayLike, types: ArrayLike | None) -> tuple[Flags, Names]:
    """Which images are anomalous, and within what they are drawn again."""
    anomalous = checked_labels(labels, np.size(labels), both_classes=True)
    types = anomalous if types is None else checked_types(types, len(anomalous))
    return anomalous, image_strata(types, anomalous)


def _drawn_aurocs(
    seeds: Sequence[ArrayLike] | NDArray[Any],
    anomalous: Flags,
    strata: Names,
    resamples: int,
    seed: int,
) -> tuple[float, NDArray[np.float64]]:
    """The mean AUROC over seeds: on all images, and on each resample."""
    rankings = []
    for scores in seeds:
        checked = checked_scores(scores)
        checked_labels(anomalous, len(checked))
        rankings.append(_Ranking(checked, anomalous))

    def mean(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.mean([ranking.statistics(counts)[0] for ranking in rankings], axis=0)

    value = mean(np.ones((1, len(anomalous)), dtype=np.int64))[0]
    blocks = resample_counts(strata, resamples, seed)
    return float(value), np.concatenate([mean(block) for block in blocks])


def _smaller(anomalous: Flags) -> int:
    """The size of the smaller class."""
    bad = int(anomalous.sum())
    return min(bad, len(anomalous) - bad)


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean precision over the anomalous images, going down the ranking; arguments of `image_auroc`.

    Images with equal scores enter together; where all scores are equal it is the share of anomalous
    images.

    Examples
    --------
    >>> round(average_precision([0.1, 0.4, 0.5, 0.8], [0, 1, 0, 1]), 4)
    0.8333
    """
    scores = checked_scores(scores)
    anomalous = checked_labels(labels, len(scores), both_classes=True)
    return float(
        _Ranking(scores, anomalous).statistics(np.ones((1, len(scores)), dtype=np.int64))[1][0]
    )


def confusion(flags: ArrayLike, labels: ArrayLike) -> dict[str, int]:
    """Counts of right and wrong decisions.

    Parameters
    ----------
    flags : ndarray of bool, shape (n,)
        True where an image was flagged.
    labels : ndarray of int, shape (n,)
        0 good, 1 anomalous.

    Returns
    -------
    dict of str to int
        ``tp`` (anomalous, flagged), ``fp`` (good, flagged), ``tn`` (good, passed), ``fn``
        (anomalous, passed).

    Raises
    ------
    ValueError
        If lengths differ or a value is not a decision or a label.

    Examples
    --------
    >>> confusion([True, True, False, False], [1, 0, 0, 1])
    {'tp': 1, 'fp': 1, 'tn': 1, 'fn': 1}
    """
    flags = checked_flags(flags)
    anomalous = checked_labels(labels, len(flags))
    return {
        "tp": int(np.count_nonzero(flags & anomalous)),
        "fp": int(np.count_nonzero(flags & ~anomalous)),
        "tn": int(np.count_nonzero(~flags & ~anomalous)),
        "fn": int(np.count_nonzero(~flags & anomalous)),
    }


def _accuracy(tp, fp, tn, fn):
    return (tp + tn) / (tp + fp + tn + fn)


def _f1(tp, fp, tn, fn):
    return 2 * tp / (2 * tp + fp + fn)


def _g_mean(tp, fp, tn, fn):
    return np.sqrt(tp / (tp + fn) * (tn / (tn + fp)))


def accuracy(flags: ArrayLike, labels: ArrayLike) -> float:
    """Share of right decisions.

    Parameters
    ----------
    flags : ndarray of bool, shape (n,)
    labels : ndarray of int, shape (n,)
        0 good, 1 anomalous.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If lengths differ or a value is not a decision or a label.

    Examples
    --------
    >>> accuracy([True, True, False, False], [1, 0, 0, 0])
    0.75
    """
    return float(_accuracy(**confusion(flags, labels)))


def f1_score(flags: ArrayLike, labels: ArrayLike) -> float:
    """Harmonic mean of precision and recall of the anomalous images.

    Parameters
    ----------
    flags : ndarray of bool, shape (n,)
    labels : ndarray of int, shape (n,)
        0 good, 1 anomalous; at least one anomalous.

    Returns
    -------
    float
        In [0, 1]; 0 where no anomalous image is flagged.

    Raises
    ------
    ValueError
        If there is no anomalous image, lengths differ, or a value is not a decision or a label.

    Examples
    --------
    >>> f1_score([True, True, False, False], [1, 0, 0, 1])
    0.5
    """
    counts = confusion(flags, labels)
    if counts["tp"] + counts["fn"] == 0:
        raise ValueError("labels has no anomalous image (label 1): F1 is not defined without one")
    return float(_f1(**counts))


def g_mean(flags: ArrayLike, labels: ArrayLike) -> float:
    """Geometric mean of the recalls of anomalous and good images; arguments of `f1_score`.

    Both classes must be present; it is 0 where everything or nothing is flagged.

    Examples
    --------
    >>> g_mean([True, False, False, False], [1, 1, 1, 0])
    0.5773502691896257
    """
    flags = checked_flags(flags)
    checked_labels(labels, len(flags), both_classes=True)
    return float(_g_mean(**confusion(flags, labels)))


def recall_by_type(flags: ArrayLike, types: ArrayLike) -> dict[str, float]:
    """Share of flagged images for each defect type, sorted by name, without ``"good"``.

    Examples
    --------
    >>> recall_by_type([True, False, True, False], ["crack", "crack", "hole", "good"])
    {'crack': 0.5, 'hole': 1.0}
    """
    flags = checked_flags(flags)
    types = checked_types(types, len(flags))
    return {
        str(name): float(flags[types == name].mean()) for name in np.unique(types) if name != "good"
    }


@dataclass(frozen=True)
class DetectionReport:
    """What a detector's scores and decisions are worth on a test set.

    Attributes
    ----------
    auroc : Estimate
        As of `auroc_estimate`.
    accuracy : Estimate
        With its exact binomial interval.
    average_precision, f1, g_mean : Estimate
        With bootstrap intervals; none where the figure is perfect, because no resample moves it.
    recall : dict of str to Estimate
        By defect type, with exact binomial intervals.
    confusion : dict of str to int
        ``tp``, ``fp``, ``tn``, ``fn``.
    images : dict of str to int
        Number of test images by type, good ones too.
    threshold : Threshold
        The threshold that the decisions were made with.
    """

    auroc: Estimate
    average_precision: Estimate
    accuracy: Estimate
    f1: Estimate
    g_mean: Estimate
    recall: dict[str, Estimate]
    confusion: dict[str, int]
    images: dict[str, int]
    threshold: Threshold

    def table(self) -> pd.DataFrame:
        """All figures, a row each.

        Returns
        -------
        pandas.DataFrame
            Index ``measure``; columns ``value``, ``low``, ``high`` and ``images`` (how many the
            figure rests on).
        """
        total = sum(self.images.values())
        rows = {
            "image AUROC": (self.auroc, total),
            "average precision": (self.average_precision, total),
            "accuracy": (self.accuracy, total),
            "F1": (self.f1, total),
            "G-mean": (self.g_mean, total),
            **{
                f"recall: {name}": (estimate, self.images[name])
                for name, estimate in self.recall.items()
            },
        }
        return pd.DataFrame(
            [(*estimate, images) for estimate, images in rows.values()],
            index=pd.Index(rows, name="measure"),
            columns=["value", "low", "high", "images"],
        )

    def findings(self) -> list[str]:
        """How well it ranks, what the threshold does, and which type is flagged least."""
        tp, fp, tn, fn = (self.confusion[name] for name in ("tp", "fp", "tn", "fn"))
        optimistic = ", chosen with the test labels, so these figures are optimistic"
        found = [
            f"Image AUROC {self.auroc}, average precision {self.average_precision}, on {tp + fn} "
            f"anomalous and {fp + tn} good images.",
            f"The threshold ({self.threshold.rule}"
            f"{optimistic if self.threshold.uses_test_labels else ''}) flags {tp} of {tp + fn} "
            f"anomalous and {fp} of {fp + tn} good images: accuracy {self.accuracy}, F1 {self.f1}.",
        ]
        if len(self.recall) > 1:
            worst = min(self.recall, key=lambda name: self.recall[name].value)
            found.append(
                f"The type with the lowest recall is {worst}: {self.recall[worst]} of "
                f"{self.images[worst]} images."
            )
        return found


def detection_report(
    scores: ArrayLike,
    labels: ArrayLike,
    types: ArrayLike,
    threshold: Threshold | float,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> DetectionReport:
    """Every figure on scores and decisions, with intervals.

    Shares have exact binomial intervals. The other figures share the same resamples: images are
    drawn within their type (see `adhelpers.metrics.intervals.image_strata`), so each resample holds
    as many good and as many defective images as the test set; the intervals hold for other images
    of the same mix.

    Parameters
    ----------
    scores : ndarray of float, shape (n,)
        Higher is more anomalous.
    labels : ndarray of int, shape (n,)
        0 good, 1 anomalous.
    types : ndarray of str, shape (n,)
        ``"good"`` or the defect type; a type belongs to one label.
    threshold : Threshold or float
        An image is flagged where its score is strictly greater.
    resamples : int
    confidence : float
        Between 0 and 1.
    seed : int

    Returns
    -------
    DetectionReport

    Raises
    ------
    ValueError
        If a class is missing, all scores are equal, a score is not finite, lengths differ, or a
        type holds both labels.

    Examples
    --------
    >>> types = ["good", "good", "good", "crack", "hole"]
    >>> report = detection_report([0.1, 0.2, 0.7, 0.3, 0.9], [0, 0, 0, 1, 1], types, 0.5)
    >>> report.confusion, round(report.auroc.value, 3), report.recall["hole"].value
    ({'tp': 1, 'fp': 1, 'tn': 2, 'fn': 1}, 0.833, 1.0)
    """
    checked_resampling(resamples, confidence)
    scores = checked_scores(scores)
    anomalous = checked_labels(labels, len(scores), both_classes=True)
    types = checked_types(types, len(scores))
    refuse_equal_scores(scores)
    mixed = np.intersect1d(types[anomalous], types[~anomalous])
    if mixed.size:
        raise ValueError(
            f"types: {', '.join(mixed)} holds good and anomalous images; a type belongs to one "
            "label"
        )
    if not isinstance(threshold, Threshold):
        threshold = Threshold(threshold, "given", uses_test_labels=False)
    flags = threshold.flag(scores)
    names, numbers = np.unique(types, return_counts=True)
    images = {str(name): int(number) for name, number in zip(names, numbers, strict=True)}
    ranking = _Ranking(scores, anomalous)

    def figures(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """A column of resampled values for each figure, in one fixed order."""
        tp, fp = counts @ (flags & anomalous), counts @ (flags & ~anomalous)
        cells = {"tp": tp, "fp": fp, "tn": (~anomalous).sum() - fp, "fn": anomalous.sum() - tp}
        return np.column_stack([*ranking.statistics(counts), _f1(**cells), _g_mean(**cells)])

    values = figures(np.ones((1, len(scores)), dtype=np.int64))[0]
    strata, smaller = image_strata(types, anomalous), _smaller(anomalous)
    draws = np.concatenate([figures(block) for block in resample_counts(strata, resamples, seed)])
    few = smaller < FEW
    precision, f1, mean = (
        percentile_interval(value, column, confidence, few=few)
        for value, column in zip(values[1:], draws.T[1:], strict=True)
    )
    right = share_estimate(int((flags == anomalous).sum()), len(flags), confidence)
    return DetectionReport(
        ranking_interval(values[0], draws[:, 0], smaller, confidence),
        precision,
        replace(right, note=TOO_FEW) if few else right,
        f1,
        mean,
        recall={
            name: share_estimate(int(flags[types == name].sum()), images[name], confidence)
            for name in images
            if anomalous[types == name].all()
        },
        confusion=confusion(flags, anomalous),
        images=images,
        threshold=threshold,
    )
