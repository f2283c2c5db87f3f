"""Bootstrap intervals: how far a figure may move when the test images are drawn again."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.arrays import Floats

# Blocks of resamples keep the memory of thousands of resamples of thousands of images bounded (2
# million counts: 16 MB).
_BLOCK_ENTRIES = 2_000_000


class Estimate(NamedTuple):
    """A figure with its bootstrap interval.

    Attributes
    ----------
    value : float
        The figure on all images.
    low, high : float
        Ends of the interval.

    Examples
    --------
    >>> estimate = Estimate(0.97, 0.95, 0.99)
    >>> print(estimate)
    0.970 [0.950, 0.990]
    >>> f"{estimate:+.1f}"
    '+1.0 [+0.9, +1.0]'
    >>> estimate.as_dict()
    {'value': 0.97, 'low': 0.95, 'high': 0.99}
    """

    value: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        """The figure as people read it; ``form`` is that of each number."""
        form = form or ".3f"
        return f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]"

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


def percentile_interval(value: float, draws: Floats, confidence: float = 0.95) -> Estimate:
    """The percentile interval of bootstrap draws around a value (Efron, 1979).

    Parameters
    ----------
    value : float
        The figure on all images.
    draws : ndarray of float, shape (r,)
        The figure on each resample.
    confidence : float
        Share of the draws between the ends.

    Returns
    -------
    Estimate

    Examples
    --------
    >>> percentile_interval(0.5, np.linspace(0, 1, 101), confidence=0.5).as_dict()
    {'value': 0.5, 'low': 0.25, 'high': 0.75}
    """
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(value), float(low), float(high))


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
    The percentile interval cannot reach beyond what was seen: where a figure is perfect on all
    images (recall 1.0 of 5), it is (1.0, 1.0), which says nothing on how sure that is.

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
    return percentile_interval(function(*drawn), np.asarray(draws, dtype=np.float64), confidence)
