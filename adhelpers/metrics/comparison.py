"""Is one detector better than another on the same images? DeLong's paired test of two AUROCs."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm, rankdata

from adhelpers._shared.checks import checked_labels

from .intervals import Estimate


class AurocComparison(NamedTuple):
    """The difference of two AUROCs on the same images.

    Attributes
    ----------
    difference : Estimate
        First minus second, with its normal 95 % interval, cut to [-1, 1].
    p_value : float
        Two-sided: how often so large a difference would come by chance if the AUROCs were equal.
    """

    difference: Estimate
    p_value: float


def compare_aurocs(first, second, labels):
    """Whether two scores of the same images differ in AUROC.

    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver
    operating characteristic curves", Biometrics 1988. The scores of several seeds are compared by
    the mean of their AUROCs: every image's part in it is the mean over the seeds, so that the
    p-value speaks of other images, for these seeds.

    Parameters
    ----------
    first, second : ndarray, shape (n,) or (seeds, n)
        Higher is more anomalous; the numbers of seeds may differ.
    labels : ndarray, shape (n,)
        0 good, 1 anomalous.

    Returns
    -------
    AurocComparison

    Raises
    ------
    ValueError
        If the shapes do not fit, a score is not finite, or a class has fewer than two images.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 20)
    >>> better = labels + np.linspace(-0.4, 0.4, 40)
    >>> found = compare_aurocs(better, np.random.default_rng(0).normal(size=40), labels)
    >>> found.difference.value > 0, found.p_value < 0.001
    (True, True)
    """
    labels = checked_labels(labels, len(labels), both_classes=True).astype(int)
    parts = [
        _placements(name, scores, labels) for name, scores in (("first", first), ("second", second))
    ]
    of_anomalous, of_good = (parts[0][index] - parts[1][index] for index in range(2))
    value = float(of_anomalous.mean())
    spread = float(
        np.sqrt(of_anomalous.var(ddof=1) / len(of_anomalous) + of_good.var(ddof=1) / len(of_good))
    )
    if spread == 0:
        return AurocComparison(Estimate(value, value, value), 1.0 if value == 0 else 0.0)
    half = norm.ppf(0.975) * spread
    return AurocComparison(
        Estimate(value, max(value - half, -1.0), min(value + half, 1.0)),
        float(2 * norm.sf(abs(value) / spread)),
    )


def _placements(name, scores, labels):
    """For each anomalous image the share of good ones below it, for each good one that of anomalous ones above it; ties count half."""
    scores = np.atleast_2d(np.asarray(scores, dtype=float))
    if scores.ndim != 2 or scores.shape[1] != len(labels):
        raise ValueError(
            f"{name} must have the shape ({len(labels)},) or (seeds, {len(labels)}), one score for each label, not {scores.shape}."
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} holds NaN or infinite scores.")
    anomalous, good = scores[:, labels == 1], scores[:, labels == 0]
    if min(anomalous.shape[1], good.shape[1]) < 2:
        raise ValueError(
            f"labels: at least two good and two anomalous images are needed, not {good.shape[1]} and {anomalous.shape[1]}."
        )
    ranks = rankdata(scores, axis=1)
    below = (ranks[:, labels == 1] - rankdata(anomalous, axis=1)) / good.shape[1]
    above = 1 - (ranks[:, labels == 0] - rankdata(good, axis=1)) / anomalous.shape[1]
    return below.mean(axis=0), above.mean(axis=0)


def holm(p_values):
    """P-values corrected for their number: Holm, "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics, 1979.

    Parameters
    ----------
    p_values : array_like, shape (n,)
        NaN where there was nothing to test: it does not count and becomes 1.

    Returns
    -------
    ndarray of float64, shape (n,)

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, dtype=float)
    corrected = np.ones(len(p_values))
    tested = np.flatnonzero(np.isfinite(p_values))
    order = tested[np.argsort(p_values[tested])]
    corrected[order] = np.minimum(
        1, np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    )
    return corrected
