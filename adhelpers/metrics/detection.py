"""How well scores and decisions tell good images from anomalous ones, with intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.arrays import Flags
from adhelpers._shared.checks import (
    checked_flags,
    checked_labels,
    checked_scores,
    checked_types,
    refuse_equal_scores,
)

from .intervals import Estimate, checked_resampling, percentile_interval, resample_counts
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
    auroc, average_precision, accuracy, f1, g_mean : Estimate
    recall : dict of str to Estimate
        By defect type.
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
    """Every figure on scores and decisions, with bootstrap intervals.

    All figures share the same resamples. Images are drawn within their type, so each resample holds
    as many good images and as many of each defect as the test set; the intervals hold for other
    images of the same mix.

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

    Notes
    -----
    Percentile intervals, so a figure that is perfect on all images has the interval (1, 1): see
    `bootstrap`.

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
    ranking = _Ranking(scores, anomalous)

    def figures(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """A column of resampled values for each figure, in one fixed order."""
        tp, fp = counts @ (flags & anomalous), counts @ (flags & ~anomalous)
        cells = {"tp": tp, "fp": fp, "tn": (~anomalous).sum() - fp, "fn": anomalous.sum() - tp}
        found = {
            name: counts @ (flags & (types == name)) / (types == name).sum()
            for name in np.unique(types[anomalous])
        }
        return np.column_stack(
            [
                *ranking.statistics(counts),
                _accuracy(**cells),
                _f1(**cells),
                _g_mean(**cells),
                *found.values(),
            ]
        )

    values = figures(np.ones((1, len(scores)), dtype=np.int64))[0]
    draws = np.concatenate([figures(block) for block in resample_counts(types, resamples, seed)])
    estimates = [
        percentile_interval(value, column, confidence)
        for value, column in zip(values, draws.T, strict=True)
    ]
    auroc, precision, right, f1, mean, *recall = estimates
    return DetectionReport(
        auroc,
        precision,
        right,
        f1,
        mean,
        recall=dict(zip((str(name) for name in np.unique(types[anomalous])), recall, strict=True)),
        confusion=confusion(flags, anomalous),
        images={str(name): int(number) for name, number in zip(names, numbers, strict=True)},
        threshold=threshold,
    )
