"""From scores to decisions: thresholds that know whether they have seen the test labels."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Flags
from adhelpers._shared.checks import checked_labels, checked_scores, refuse_equal_scores


@dataclass(frozen=True)
class Threshold:
    """A threshold, the rule that set it, and whether that rule looked at the test labels.

    Attributes
    ----------
    value : float
        An image is flagged where its score is greater than this (strictly).
    rule : str
        The rule in words, for tables and reports.
    uses_test_labels : bool
        True where the rule was tuned on the labels of the test set: every figure at such a
        threshold is optimistic.

    Raises
    ------
    ValueError
        If ``value`` is not a finite number.

    Examples
    --------
    >>> Threshold(0.5, "set by hand", uses_test_labels=False).flag([0.4, 0.5, 0.6]).tolist()
    [False, False, True]
    """

    value: float
    rule: str
    uses_test_labels: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", float(self.value))
        if not math.isfinite(self.value):
            raise ValueError(f"a threshold's value must be a finite number; got {self.value}")

    def flag(self, scores: ArrayLike) -> Flags:
        """Decide on each image: True where its score is greater than the threshold.

        Parameters
        ----------
        scores : ndarray of float, shape (n,)

        Returns
        -------
        ndarray of bool, shape (n,)

        Raises
        ------
        ValueError
            If a score is NaN or infinite; the message names the indices.
        """
        # In float64, because a float32 array would round the threshold and move images that lie
        # close to it.
        return checked_scores(scores) > self.value

    def as_dict(self) -> dict[str, Any]:
        """``value``, ``rule`` and ``uses_test_labels`` as plain values, ready for JSON."""
        return asdict(self)


def expected_false_alarm_rate(good_scores: ArrayLike, threshold: Threshold) -> float:
    """The share of further good images that will be flagged, on average over such samples.

    A further image is as likely to fall between any two neighbours of n exchangeable scores: above
    the k-th lies the share ``1 - k / (n + 1)``. So five scores promise no less than a sixth.

    Parameters
    ----------
    good_scores : ndarray of float, shape (n,)
        Of good images, as new ones are scored: none was trained on by what scored it.
    threshold : Threshold
        Taken from these scores.

    Returns
    -------
    float
        In (0, 1].

    Raises
    ------
    ValueError
        If there are no scores, or one is not finite.

    References
    ----------
    Papadopoulos et al., "Inductive confidence machines for regression", ECML 2002 (conformal
    prediction).

    Examples
    --------
    >>> scores = [1.0, 2.0, 3.0]
    >>> expected_false_alarm_rate(scores, normal_quantile(scores))
    0.25
    """
    scores = checked_scores(good_scores, "good_scores")
    passing = len(scores) - int(threshold.flag(scores).sum())
    return 1 - passing / (len(scores) + 1)


def normal_quantile(
    validation_scores: ArrayLike, quantile: float = 0.95, held_out_scores: ArrayLike = ()
) -> Threshold:
    """The default rule: a quantile of the scores of good images held out of training.

    It sees no defect and no test image.

    Parameters
    ----------
    validation_scores : ndarray of float, shape (n,)
        Scores of good images that the detector was not trained on.
    quantile : float
        In (0, 1]. The threshold is the smallest validation score that leaves at most the share ``1
        - quantile`` above it; an interpolated quantile would flag one of five images at 0.95.
    held_out_scores : ndarray of float, shape (m,)
        Scores of training images by copies of the detector that have not seen them, which count as
        those of validation images do (see `adhelpers.detectors.held_out_scores`).

    Returns
    -------
    Threshold
        With ``uses_test_labels=False``.

    Raises
    ------
    ValueError
        If there are no scores, one is not finite, or ``quantile`` is not in (0, 1].

    Examples
    --------
    >>> threshold = normal_quantile(range(1, 101), quantile=0.95)
    >>> threshold.value, int(threshold.flag(range(1, 101)).sum())
    (95.0, 5)
    """
    scores = checked_scores(validation_scores, "validation_scores")
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile must lie in (0, 1], such as 0.95; got {quantile}")
    rule = f"{quantile:g} quantile of {len(scores)} good validation scores"
    if np.size(held_out_scores):
        held_out = checked_scores(held_out_scores, "held_out_scores")
        rule += f" and {len(held_out)} of training images, held out"
        scores = np.concatenate([scores, held_out])
    value = np.quantile(scores, quantile, method="inverted_cdf")
    return Threshold(value, rule, uses_test_labels=False)


def gmean_threshold(scores: ArrayLike, labels: ArrayLike) -> Threshold:
    """The published rule: of all test scores as thresholds the one with the best G-mean.

    G-mean is ``sqrt(TPR * TNR)``. An image counts as flagged where its score is strictly greater
    than the score tried. Of several best ones the first in the order given is kept, as a loop with
    ``argmax`` would. It looks at the test labels: every figure at this threshold is optimistic.

    Parameters
    ----------
    scores : ndarray of float, shape (n,)
        Scores of the test images.
    labels : ndarray of int, shape (n,)
        0 good, 1 anomalous.

    Returns
    -------
    Threshold
        With ``uses_test_labels=True``.

    Raises
    ------
    ValueError
        If a class is missing, a score is not finite, or all scores are equal.

    References
    ----------
    Kubat and Matwin, "Addressing the curse of imbalanced training sets", ICML 1997 (the G-mean).

    Examples
    --------
    >>> gmean_threshold([0.1, 0.2, 0.3, 0.8, 0.9], [0, 0, 1, 1, 1]).value
    0.2
    """
    scores = checked_scores(scores)
    anomalous = checked_labels(labels, len(scores), both_classes=True)
    refuse_equal_scores(scores)
    above, below = np.sort(scores[anomalous]), np.sort(scores[~anomalous])
    # Two sorted lists answer for every candidate at once what a confusion matrix answers for one.
    true_positives = len(above) - np.searchsorted(above, scores, side="right")
    true_negatives = np.searchsorted(below, scores, side="right")
    # The rates differ from these counts by a constant factor. Integers keep equals equal, which
    # rounded rates do not.
    best = np.argmax(true_positives * true_negatives)
    return Threshold(scores[best], "best G-mean on the test labels", uses_test_labels=True)


def midpoint_threshold(scores: ArrayLike, labels: ArrayLike) -> Threshold:
    """Halfway between the mean score of the good and the mean score of the anomalous test images.

    It looks at the test labels: every figure at this threshold is optimistic.

    Parameters
    ----------
    scores : ndarray of float, shape (n,)
        Scores of the test images.
    labels : ndarray of int, shape (n,)
        0 good, 1 anomalous.

    Returns
    -------
    Threshold
        With ``uses_test_labels=True``.

    Raises
    ------
    ValueError
        If a class is missing, a score is not finite, or all scores are equal.

    Examples
    --------
    >>> midpoint_threshold([1, 3, 9, 11], [0, 0, 1, 1]).value
    6.0
    """
    scores = checked_scores(scores)
    anomalous = checked_labels(labels, len(scores), both_classes=True)
    refuse_equal_scores(scores)
    value = (scores[anomalous].mean() + scores[~anomalous].mean()) / 2
    return Threshold(
        value, "midpoint of the mean test scores of both classes", uses_test_labels=True
    )
