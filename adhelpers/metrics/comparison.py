"""Is one detector better than another on the same images? DeLong's paired test of two AUROCs."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr
from scipy.stats import norm, rankdata, t

from adhelpers._shared.arrays import Flags
from adhelpers._shared.checks import checked_labels

from .intervals import FEW, TOO_FEW, Estimate, bounded_difference

_SIGNIFICANCE = 0.05
# A spread below this is that of rounding.
_ROUNDING = 1e-12


class AurocComparison(NamedTuple):
    """The difference of two AUROCs on the same images.

    Attributes
    ----------
    difference : Estimate
        First minus second, with its normal 95 % interval, cut to [-1, 1]. Where every image says
        the same of it, the normal interval has no width: Hoeffding's bound (see
        `adhelpers.metrics.intervals.bounded_mean`) takes its place, and there is no interval where
        both rank alike.
    p_value : float
        Two-sided: how often so large a difference would come by chance if the AUROCs were equal.
    """

    difference: Estimate
    p_value: float

    def findings(self, first: str = "the first", second: str = "the second") -> list[str]:
        """Which of two detectors, named as given, ranks better, as a sentence."""
        if self.p_value > _SIGNIFICANCE:
            said = f"{first} and {second} are not shown to differ in AUROC"
        else:
            better = "higher" if self.difference.value > 0 else "lower"
            said = f"{first} has a {better} AUROC than {second}"
        said = f"{said[0].upper()}{said[1:]}"
        return [f"{said}: difference {self.difference:+.3f}, p = {self.p_value:.2g}."]


def compare_aurocs(
    first: ArrayLike, second: ArrayLike, labels: ArrayLike, groups: ArrayLike | None = None
) -> AurocComparison:
    """Whether two scores of the same images differ in AUROC.

    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver
    operating characteristic curves", Biometrics 1988. The scores of several seeds are compared by
    the mean of their AUROCs: every image's part in it is the mean over the seeds, so that the
    p-value holds for other images, with these seeds.

    Parameters
    ----------
    first, second : ndarray, shape (n,) or (seeds, n)
        Higher is more anomalous; the numbers of seeds may differ.
    labels : ndarray, shape (n,)
        0 good, 1 anomalous.
    groups : array-like, shape (n,), optional
        Which images vary together, such as an image and its altered copies: what is counted is then
        the groups (Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics
        1997; with Student's distribution, as groups are often few). By default every image stands
        for itself.

    Returns
    -------
    AurocComparison

    Raises
    ------
    ValueError
        If the shapes do not fit, a score is not finite, a class has fewer than two images, or there
        is a single group.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 20)
    >>> better = labels + np.linspace(-0.4, 0.4, 40)
    >>> found = compare_aurocs(better, np.random.default_rng(0).normal(size=40), labels)
    >>> found.difference.value > 0, found.p_value < 0.001
    (True, True)
    """
    anomalous = checked_labels(labels, np.size(labels), both_classes=True)
    parts = [
        _placements(name, scores, anomalous)
        for name, scores in (("first", first), ("second", second))
    ]
    of_anomalous, of_good = (parts[0][index] - parts[1][index] for index in range(2))
    value = float(of_anomalous.mean())
    if groups is None:
        spread = float(
            np.sqrt(
                of_anomalous.var(ddof=1) / len(of_anomalous) + of_good.var(ddof=1) / len(of_good)
            )
        )
        smaller, distribution = min(len(of_anomalous), len(of_good)), norm
    else:
        influences = np.empty(len(anomalous))
        influences[anomalous] = (of_anomalous - value) / len(of_anomalous)
        influences[~anomalous] = (of_good - value) / len(of_good)
        spread, smaller = _spread_of_groups(influences, groups)
        distribution = t(smaller - 1)
    if spread <= _ROUNDING:
        return _without_spread(value, smaller)
    half = distribution.ppf(0.975) * spread
    return AurocComparison(
        Estimate(
            value,
            max(value - half, -1.0),
            min(value + half, 1.0),
            TOO_FEW if smaller < FEW else "",
        ),
        float(2 * distribution.sf(abs(value) / spread)),
    )


def _spread_of_groups(influences: NDArray[np.float64], groups: ArrayLike) -> tuple[float, int]:
    """The standard error from each image's influence, summed in its group; number of groups."""
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if np.shape(group) != np.shape(influences):
        raise ValueError(
            f"groups must have the shape ({len(influences)},), one for each label, not "
            f"{np.shape(groups)}"
        )
    count = len(names)
    if count < 2:
        raise ValueError(f"groups must name at least 2 groups, not {count}")
    sums = np.bincount(group, influences)
    return float(np.sqrt(count / (count - 1) * (sums**2).sum())), count


def _without_spread(value: float, smaller: int) -> AurocComparison:
    """What can be said of a difference that is the same for every image."""
    if abs(value) <= _ROUNDING:
        note = TOO_FEW if smaller < FEW else ""
        return AurocComparison(Estimate(value, math.nan, math.nan, note), 1.0)
    # Halved and moved, the difference of two wins lies in [0, 1], and is 1/2 without a difference.
    share = (1 + value) / 2
    divergence = float(rel_entr(share, 0.5) + rel_entr(1 - share, 0.5))
    p_value = min(1.0, 2 * math.exp(-smaller * divergence))
    return AurocComparison(bounded_difference(value, smaller), p_value)


def _placements(
    name: str, scores: ArrayLike, anomalous: Flags
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each anomalous image the share of good ones below it, of each good one that above it.

    Ties count half.
    """
    values = np.atleast_2d(np.asarray(scores, dtype=float))
    count = len(anomalous)
    if values.ndim != 2 or values.shape[1] != count:
        raise ValueError(
            f"{name} must have the shape ({count},) or (seeds, {count}), one score for each label, "
            f"not {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds NaN or infinite scores")
    bad, good = values[:, anomalous], values[:, ~anomalous]
    if min(bad.shape[1], good.shape[1]) < 2:
        raise ValueError(
            "labels: at least two good and two anomalous images are needed, not "
            f"{good.shape[1]} and {bad.shape[1]}"
        )
    ranks = rankdata(values, axis=1)
    below = (ranks[:, anomalous] - rankdata(bad, axis=1)) / good.shape[1]
    above = 1 - (ranks[:, ~anomalous] - rankdata(good, axis=1)) / bad.shape[1]
    return below.mean(axis=0), above.mean(axis=0)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values corrected for their number.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics, 1979.

    Parameters
    ----------
    p_values : array-like, shape (n,)
        NaN where there was nothing to test: it does not count and becomes 1.

    Returns
    -------
    ndarray of float64, shape (n,)

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=float)
    corrected = np.ones(len(values))
    tested = np.flatnonzero(np.isfinite(values))
    order = tested[np.argsort(values[tested])]
    corrected[order] = np.minimum(
        1, np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1))
    )
    return corrected
