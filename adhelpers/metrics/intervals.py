"""Intervals: how far a figure may move when the test images are drawn again.

Shares have the exact binomial interval, other figures a bootstrap. Where a bootstrap cannot move (a
perfect figure) or has too little to draw from, an AUROC has an exact bound and other figures none.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import rel_entr
from scipy.stats import binomtest

from adhelpers._shared.arrays import Floats, Names

# Blocks of resamples keep the memory of thousands of resamples of thousands of images bounded (2
# million counts: 16 MB).
_BLOCK_ENTRIES = 2_000_000
# With fewer images on a side the text says so, and a bootstrap of a ranking is not used.
FEW = 5
TOO_FEW, EXACT = "too few images", "exact bound"
# To tell the ends of a narrow interval apart.
_MOST_DIGITS = 6
# Draws that differ by less are equal but for rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Parameters
    ----------
    value : float
        The figure on all images; NaN where there is none.
    low, high : float
        Ends of the interval, which holds the value; NaN where there is no interval.
    note : str
        What a reader must know about it: "too few images", "exact bound", why there is no figure,
        or nothing.

    Raises
    ------
    ValueError
        If the interval does not hold the value.

    Examples
    --------
    >>> estimate = Estimate(0.97, 0.95, 0.99)
    >>> print(estimate)
    0.970 [0.950, 0.990]
    >>> f"{estimate:+.1f}"
    '+1.0 [+0.9, +1.0]'
    >>> estimate.as_dict()
    {'value': 0.97, 'low': 0.95, 'high': 0.99}
    >>> print(Estimate(1.0, 0.398, 1.0, "too few images"), Estimate(1.0, math.nan, math.nan))
    1.000 [0.398, 1.000; too few images] 1.000 [n/a]
    """

    value: float
    low: float
    high: float
    note: str = ""

    def __post_init__(self) -> None:
        if self.low > self.value or self.value > self.high:
            raise ValueError(
                f"the interval [{self.low}, {self.high}] does not hold its value {self.value}"
            )

    def __iter__(self) -> Iterator[float]:
        """Value, low and high."""
        return iter((self.value, self.low, self.high))

    def __format__(self, form: str) -> str:
        """The figure as people read it; ``form`` is that of each number.

        Where both ends would read the same, there are more digits.
        """
        form = form or ".3f"
        if math.isnan(self.value):
            return f"n/a ({self.note})" if self.note else "n/a"
        known = not math.isnan(self.low) and not math.isnan(self.high)
        sign, _, digits = form.rstrip("f").partition(".")
        while known and digits.isdecimal() and int(digits) < _MOST_DIGITS:
            if f"{self.low:{form}}" != f"{self.high:{form}}":
                break
            digits = str(int(digits) + 1)
            form = f"{sign}.{digits}f"
        ends = f"{self.low:{form}}, {self.high:{form}}" if known else "n/a"
        return f"{self.value:{form}} [{ends}{f'; {self.note}' if self.note else ''}]"

    def __str__(self) -> str:
        return format(self)

    def as_dict(self) -> dict[str, float]:
        """The three numbers as plain floats, ready for JSON."""
        return {"value": float(self.value), "low": float(self.low), "high": float(self.high)}


def checked_resampling(resamples: int, confidence: float) -> None:
    """Refuse a number of resamples or a confidence that makes no interval.

    Raises
    ------
    ValueError
        If ``resamples`` is below 2 or ``confidence`` is not between 0 and 1.
    """
    if resamples < 2:
        raise ValueError(f"resamples must be at least 2, better 1000; got {resamples}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95; got {confidence}")


def percentile_interval(
    value: float, draws: Floats, confidence: float = 0.95, *, few: bool = False
) -> Estimate:
    """The percentile interval of bootstrap draws around a value (Efron, 1979).

    Parameters
    ----------
    value : float
        The figure on all images.
    draws : ndarray of float, shape (r,)
        The figure on each resample.
    confidence : float
        Share of the draws between the ends.
    few : bool
        Whether there are too few images for an interval that can be relied on; the text says so.

    Returns
    -------
    Estimate
        Where the draws lie beside the value, the interval is extended to hold it. Where they are
        all the same, as those of a perfect figure, there is no interval: its ends are NaN. NaN
        throughout where the value is NaN.

    Raises
    ------
    ValueError
        If the value is known and a draw is NaN or infinite.

    Examples
    --------
    >>> percentile_interval(0.5, np.linspace(0, 1, 101), confidence=0.5).as_dict()
    {'value': 0.5, 'low': 0.25, 'high': 0.75}
    >>> print(percentile_interval(1.0, np.ones(100)))
    1.000 [n/a]
    """
    value, note = float(value), TOO_FEW if few else ""
    if math.isnan(value):
        return Estimate(math.nan, math.nan, math.nan)
    strange = int(np.count_nonzero(~np.isfinite(draws)))
    if strange:
        raise ValueError(
            f"{strange} of {len(draws)} resamples give a figure that is NaN or infinite: draw "
            "within strata (such as labels), so that no resample loses what the figure needs"
        )
    ends = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = min(float(ends[0]), value), max(float(ends[1]), value)
    rounding = _ROUNDING * max(1.0, abs(value))
    if high - low <= rounding or np.ptp(draws) <= rounding:
        low = high = math.nan
    return Estimate(value, low, high, note)


def share_estimate(hits: int, total: int, confidence: float = 0.95) -> Estimate:
    """A share of images with its exact binomial interval.

    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 1934.

    Parameters
    ----------
    hits, total : int
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Estimate
        Of fewer than five images its text says that there are too few. NaN where there are none.

    Examples
    --------
    >>> print(share_estimate(4, 4), share_estimate(37, 40))
    1.000 [0.398, 1.000; too few images] 0.925 [0.796, 0.984]
    """
    if total == 0:
        return Estimate(math.nan, math.nan, math.nan)
    ends = binomtest(int(hits), int(total)).proportion_ci(confidence, method="exact")
    note = TOO_FEW if total < FEW else ""
    return Estimate(hits / total, float(ends.low), float(ends.high), note)


def bounded_mean(value: float, independent: float, confidence: float = 0.95) -> Estimate:
    """A mean of independent values in [0, 1] with an interval that is right for any number of them.

    Hoeffding, "Probability inequalities for sums of bounded random variables", JASA 1963: a mean
    of k such values is at least a where the true one is p with a probability of at most exp(-k D),
    D the relative entropy of shares a and p. Section 5 there has the same for an AUROC, a mean over
    pairs: k is the number of pairs without a common image, the size of the smaller class. Where all
    pairs are right this is the interval of Clopper and Pearson for k of k, and no better bound
    holds for all detectors.

    Parameters
    ----------
    value : float
        In [0, 1].
    independent : float
        How many independent values the mean is of, k.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Estimate
        Its text says that the bound is exact, or that there are too few images.

    Examples
    --------
    >>> print(bounded_mean(1.0, 6), bounded_mean(0.9, 20))
    1.000 [0.541, 1.000; exact bound] 0.900 [0.635, 0.994; exact bound]
    """
    budget = math.log(2 / (1 - confidence)) / independent
    smallest = float(np.finfo(float).tiny)

    def excess(true: float, mean: float) -> float:
        return float(rel_entr(mean, true) + rel_entr(1 - mean, 1 - true)) - budget

    def lowest(mean: float) -> float:
        if mean <= smallest or excess(smallest, mean) <= 0:
            return 0.0
        return float(brentq(excess, smallest, mean, args=(mean,)))

    value = float(value)
    low, high = lowest(value), 1 - lowest(1 - value)
    note = TOO_FEW if independent < FEW else EXACT
    return Estimate(value, min(low, value), max(high, value), note)


def bounded_difference(value: float, independent: float, confidence: float = 0.95) -> Estimate:
    """A difference of two means in [0, 1] of the same values, with the bound of `bounded_mean`.

    Halved and moved it is a mean in [0, 1].

    Examples
    --------
    >>> print(bounded_difference(1.0, 12))
    1.000 [0.471, 1.000; exact bound]
    """
    _, low, high = bound = bounded_mean((1 + value) / 2, independent, confidence)
    return Estimate(value, min(2 * low - 1, value), max(2 * high - 1, value), bound.note)


def ranking_interval(
    value: float, draws: Floats, independent: float, confidence: float = 0.95
) -> Estimate:
    """The interval of an AUROC: that of a bootstrap, or an exact bound where it would say nothing.

    Parameters
    ----------
    value : float
        The AUROC of all images.
    draws : ndarray of float, shape (r,)
        That of each resample.
    independent : float
        Number of pairs without a common image: the size of the smaller class.
    confidence : float

    Returns
    -------
    Estimate
        `bounded_mean` where the AUROC is 0 or 1, which a resample cannot change, and where a class
        has fewer than five images; otherwise `percentile_interval`.
    """
    if value in (0, 1) or independent < FEW:
        return bounded_mean(value, independent, confidence)
    return percentile_interval(value, draws, confidence)


def image_strata(types: ArrayLike, anomalous: ArrayLike) -> Names:
    """Within what images are drawn again: their type, small types joined.

    A test set has so many images of each type by design, not by chance. Resamples keep that mix:
    drawn within labels only, an interval would also hold how the mix might have differed. A type
    with fewer than five images has too few to draw from (one alone never moves), so it is joined
    with the next larger ones of its label, as small strata of a sample survey are.

    Parameters
    ----------
    types : ndarray of str, shape (n,)
    anomalous : ndarray of bool or 0 and 1, shape (n,)

    Returns
    -------
    ndarray of str, shape (n,)
        No stratum has fewer than five images unless its label has.

    References
    ----------
    Cochran, "Sampling Techniques", third edition, 1977, section 5A.12 (collapsed strata).

    Examples
    --------
    >>> types = np.array(["good"] * 6 + ["cut"] * 5 + ["dot"] * 2 + ["hole"])
    >>> sorted(set(image_strata(types, types != "good").tolist()))
    ['good', 'hole + dot + cut']
    """
    types, anomalous = np.asarray(types).astype(str), np.asarray(anomalous, dtype=bool)
    strata = types.astype(object)
    for label in (False, True):
        names, numbers = np.unique(types[anomalous == label], return_counts=True)
        groups: list[list[str]] = []
        size = FEW
        for index in np.argsort(numbers, kind="stable"):
            if size >= FEW:
                groups.append([])
                size = 0
            groups[-1].append(str(names[index]))
            size += int(numbers[index])
        if size < FEW and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        for group in groups:
            strata[np.isin(types, group) & (anomalous == label)] = " + ".join(group)
    return strata.astype(str)


def resample_counts(
    strata: ArrayLike, resamples: int = 1000, seed: int = 0
) -> Iterator[NDArray[np.int64]]:
    """How often each image is drawn in each resample, block by block.

    Every stratum is drawn with replacement from itself and keeps its size, so no resample loses a
    class or a defect type.

    Parameters
    ----------
    strata : ndarray, shape (n,)
        The stratum of each image: labels, types, or zeros for none.
    resamples : int
    seed : int

    Yields
    ------
    ndarray of int64, shape (r, n)
        Counts; each row sums to n, and within each stratum to the stratum's size. The rows of all
        blocks make ``resamples``.

    Examples
    --------
    >>> block = next(resample_counts(np.array(["good", "good", "crack"]), resamples=4, seed=0))
    >>> block.shape, block.sum(axis=1).tolist(), block[:, 2].tolist()
    ((4, 3), [3, 3, 3, 3], [1, 1, 1, 1])
    """
    strata = np.asarray(strata)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    random = np.random.default_rng(seed)
    rows_at_once = max(1, _BLOCK_ENTRIES // len(strata))
    for start in range(0, resamples, rows_at_once):
        rows = min(rows_at_once, resamples - start)
        counts = np.empty((rows, len(strata)), dtype=np.int64)
        for indices in members:
            size = len(indices)
            # One bincount over all rows: row r counts into its own range of bins.
            drawn = random.integers(0, size, (rows, size)) + np.arange(rows)[:, None] * size
            counts[:, indices] = np.bincount(drawn.ravel(), minlength=rows * size).reshape(
                rows, size
            )
        yield counts


def bootstrap(
    function: Callable[..., Any],
    *arrays: ArrayLike,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    stratify: ArrayLike | None = None,
) -> Estimate:
    """A figure with its percentile bootstrap interval, images drawn with replacement.

    Parameters
    ----------
    function : callable
        Takes the arrays and returns a number. It must not depend on the order of the images.
    *arrays : arrays with n entries along their first axis
        Drawn together: an image keeps its score, label and so on.
    resamples : int
    confidence : float
        Between 0 and 1.
    seed : int
    stratify : ndarray, shape (n,), optional
        Usually the labels: each stratum keeps its size in each resample.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If there are no arrays, their lengths differ, ``resamples`` is below 2 or ``confidence`` is
        not between 0 and 1.

    Notes
    -----
    See `percentile_interval`: where nothing can move there is no interval. Shares and AUROCs have
    better ones (`share_estimate`, `ranking_interval`).

    Examples
    --------
    >>> bootstrap(np.mean, np.array([1.0, 2.0, 3.0, 4.0]), resamples=200).value
    2.5
    """
    checked_resampling(resamples, confidence)
    drawn: list[NDArray[Any]] = [np.asarray(array) for array in arrays]
    if not drawn:
        raise ValueError("bootstrap needs at least one array to draw from")
    count = len(drawn[0])
    strata = np.zeros(count, dtype=int) if stratify is None else np.asarray(stratify)
    if count == 0 or any(len(array) != count for array in [*drawn, strata]):
        lengths = [len(array) for array in [*drawn, strata]]
        raise ValueError(
            f"the arrays and stratify must have the same length, at least 1; got {lengths}"
        )
    draws = []
    for block in resample_counts(strata, resamples, seed):
        for row in block:
            indices = np.repeat(np.arange(count), row)
            draws.append(function(*(array[indices] for array in drawn)))
    few = int(np.unique(strata, return_counts=True)[1].min()) < FEW
    return percentile_interval(
        function(*drawn), np.asarray(draws, dtype=np.float64), confidence, few=few
    )
