"""How much of each defect is found while nearly no pixel of the good images is: AUPIMO."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.arrays import Masks

from .intervals import (
    FEW,
    Estimate,
    checked_resampling,
    percentile_interval,
    resample_counts,
)
from .regions import checked_pixels

# The published bounds of the false positive rate.
_BOUNDS = (1e-5, 1e-4)
# What a product of a rate and a number of pixels may be off by rounding.
_ROUNDING = 1e-9


def aupimo_of_images(
    maps: ArrayLike, masks: ArrayLike | None, bounds: Sequence[float] = _BOUNDS
) -> NDArray[np.float64]:
    """AUPIMO of each defective image: the share of its defect found at very few false positives.

    A threshold finds a share of the defect's pixels in each image (the per-image overlap) and, in
    the good images, a share of their pixels, averaged over them: the false positive rate. The area
    under overlap over the logarithm of that rate, between the bounds, is divided by the area of a
    detector that finds everything. Good pixels of defective images do not count. Exact over all
    values, equal values entering together, straight lines over the logarithm between the points.
    At rates below that of the highest good pixel counts what lies strictly above all of them.

    Parameters
    ----------
    maps : ndarray of float, shape (n, h, w)
        Anomaly maps; higher is more anomalous.
    masks : ndarray of bool, shape (n, h, w)
        True defects; empty for good images.
    bounds : pair of float
        Lowest and highest false positive rate, ``0 < low < high <= 1``.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1]; NaN for good images. NaN throughout where the good images have fewer than
        ``1 / low`` pixels together: their highest pixel would stand for rates that it says nothing
        about (see `aupimo_problem`).

    Raises
    ------
    ValueError
        If ``masks`` is None, all empty or all full, shapes differ, a map holds NaN (the images are
        named), or ``bounds`` are out of range.

    References
    ----------
    Bertoldo, Ameln, Vaidya, Akçay, "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with
    High Speed and Low Tolerance", BMVC 2024 (arXiv 2401.01984).

    Examples
    --------
    Half of the defect lies above all good pixels, the other half below them all:

    >>> maps, masks = np.full((2, 10, 10), 0.5), np.zeros((2, 10, 10), dtype=bool)
    >>> masks[1, 0, :2] = True
    >>> maps[1, 0, :2] = 0.9, 0.1
    >>> aupimo_of_images(maps, masks, bounds=(0.01, 0.1)).tolist()
    [nan, 0.5]
    """
    maps, masks = checked_pixels(maps, masks)
    low, high = _checked_bounds(bounds)
    overlaps = np.full(len(maps), np.nan)
    defective = masks.any(axis=(1, 2))
    if aupimo_problem(masks, bounds):
        return overlaps
    good = maps[~defective].ravel()
    # Below these no pixel is reached within the bounds.
    place = max(len(good) - math.floor(high * len(good)) - 1, 0)
    top = np.sort(good[good >= np.partition(good, place)[place]])
    for index in np.flatnonzero(defective):
        defect = maps[index][masks[index]]
        before, after = (
            (len(top) - np.searchsorted(top, defect, side)) / len(good)
            for side in ("right", "left")
        )
        overlaps[index] = _area_of_each_pixel(before, after, low, high).mean()
    return overlaps


def aupimo(maps: ArrayLike, masks: ArrayLike | None, bounds: Sequence[float] = _BOUNDS) -> float:
    """Mean of `aupimo_of_images` over the defective images.

    Parameters
    ----------
    maps : ndarray of float, shape (n, h, w)
    masks : ndarray of bool, shape (n, h, w)
    bounds : pair of float

    Returns
    -------
    float
        In [0, 1]: 1 for a map whose defects all lie above every good pixel, 0 for a constant one.
        NaN where the good images have too few pixels.

    Raises
    ------
    ValueError
        As `aupimo_of_images`.

    Examples
    --------
    >>> masks = np.zeros((2, 10, 10), dtype=bool)
    >>> masks[1, 2:4, 2:4] = True
    >>> aupimo(masks.astype(float), masks, bounds=(0.01, 0.1))
    1.0
    """
    overlaps = aupimo_of_images(maps, masks, bounds)
    known = overlaps[~np.isnan(overlaps)]
    return float(known.mean()) if len(known) else math.nan


def aupimo_problem(masks: Masks, bounds: Sequence[float] = _BOUNDS) -> str:
    """Why AUPIMO says nothing about these images, or nothing.

    Parameters
    ----------
    masks : ndarray of bool, shape (n, h, w)
    bounds : pair of float

    Returns
    -------
    str
        Empty where the good images have enough pixels for the lowest false positive rate.

    Examples
    --------
    >>> aupimo_problem(np.zeros((3, 128, 128), dtype=bool))
    'the good images have 49152 pixels, a false positive rate of 1e-05 needs 100000'
    """
    low, _ = _checked_bounds(bounds)
    good = masks[~masks.any(axis=(1, 2))].size
    if good * low >= 1 - _ROUNDING:
        return ""
    if not good:
        return "there is no good image"
    return (
        f"the good images have {good} pixels, a false positive rate of {low:g} needs "
        f"{math.ceil(1 / low - _ROUNDING)}"
    )


def aupimo_estimate(
    maps: ArrayLike,
    masks: ArrayLike | None,
    bounds: Sequence[float] = _BOUNDS,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    grid_size: int = 1000,
) -> Estimate:
    """AUPIMO with a bootstrap interval over images.

    The value is exact. Good and defective images are drawn each from their own, and each resample's
    curve is read at a fixed grid of thresholds: all values of good pixels that matter where there
    are few, as many on each scale of the false positive rate otherwise.

    Parameters
    ----------
    maps : ndarray of float, shape (n, h, w)
        Anomaly maps; higher is more anomalous.
    masks : ndarray of bool, shape (n, h, w)
        True defects; empty for good images.
    bounds : pair of float
        Lowest and highest false positive rate.
    resamples : int
    confidence : float
        Between 0 and 1.
    seed : int
    grid_size : int
        Maximum number of points at which the resampled curves are read, at least 10; a value makes
        two.

    Returns
    -------
    Estimate
        NaN with the reason as its note where the good images have too few pixels. There is no
        interval where no resample moves the figure, as of a perfect map; with fewer than five good
        or defective images the text says so.

    Raises
    ------
    ValueError
        As `aupimo_of_images`; and if ``resamples``, ``confidence`` or ``grid_size`` is out of
        range.

    Examples
    --------
    >>> masks = np.zeros((4, 8, 8), dtype=bool)
    >>> masks[:2, 2:4, 2:4] = True
    >>> maps = masks + np.random.default_rng(0).random(masks.shape)
    >>> print(aupimo_estimate(maps, masks, bounds=(0.01, 0.1)))
    1.000 [n/a; too few images]
    >>> print(aupimo_estimate(maps, masks))
    n/a (the good images have 128 pixels, a false positive rate of 1e-05 needs 100000)
    """
    checked_resampling(resamples, confidence)
    if grid_size < 10:
        raise ValueError(f"grid_size must be at least 10, better 1000; got {grid_size}")
    maps, masks = checked_pixels(maps, masks)
    low, high = _checked_bounds(bounds)
    problem = aupimo_problem(masks, bounds)
    if problem:
        return Estimate(math.nan, math.nan, math.nan, problem)
    value = aupimo(maps, masks, bounds)
    defective = masks.any(axis=(1, 2))
    thresholds = _thresholds(maps[~defective], high, grid_size // 2)
    above = np.stack(
        [
            _share_above(heatmap[mask] if mask.any() else heatmap.ravel(), thresholds)
            for heatmap, mask in zip(maps, masks, strict=True)
        ]
    )
    draws = []
    for counts in resample_counts(defective, resamples, seed):
        rate = counts[:, ~defective] @ above[~defective] / np.count_nonzero(~defective)
        overlap = counts[:, defective] @ above[defective] / np.count_nonzero(defective)
        draws.append(_area(rate, overlap, low, high))
    few = bool(min(np.count_nonzero(defective), np.count_nonzero(~defective)) < FEW)
    return percentile_interval(value, np.concatenate(draws), confidence, few=few)


def _checked_bounds(bounds: Sequence[float]) -> tuple[float, float]:
    low, high = map(float, bounds)
    if not 0 < low < high <= 1:
        raise ValueError(
            "bounds are the lowest and the highest false positive rate, 0 < low < high <= 1, such "
            f"as (1e-5, 1e-4); got ({low:g}, {high:g})"
        )
    return low, high


def _area_of_each_pixel(
    before: NDArray[np.float64], after: NDArray[np.float64], low: float, high: float
) -> NDArray[np.float64]:
    """What each defect pixel adds to the area, as a share of the largest.

    A pixel is found from the rate ``before`` at which its value is reached, and half-way (over the
    logarithm) to ``after`` where good pixels have the same value. Where these are the highest good
    ones there is no way from rate 0: it is found from ``after`` on.
    """
    first = np.where(before > 0, before, after)
    first[after == 0] = low
    left, right = np.log(first), np.log(np.maximum(after, first))
    ends = np.log([low, high])
    start, end = np.clip(left, *ends), np.clip(right, *ends)
    width = right - left
    rising = np.divide(
        (end - left) ** 2 - (start - left) ** 2,
        2 * width,
        out=np.zeros_like(width),
        where=width > 0,
    )
    return (rising + ends[1] - end) / (ends[1] - ends[0])


def _thresholds(good: NDArray[Any], high: float, size: int) -> NDArray[Any]:
    """Values of good pixels, falling, at which resampled curves are read.

    Down to the value that so large a share of each single image lies above, so that the curve of a
    resample of any images reaches the bound.
    """
    images = good.reshape(len(good), -1)
    place = max(images.shape[1] - math.floor(high * images.shape[1]) - 1, 0)
    values = np.sort(good[good >= np.partition(images, place, axis=1)[:, place].min()])[::-1]
    distinct = np.unique(values)
    if len(distinct) > size:
        places = np.unique(np.geomspace(1, len(values), size).round().astype(int)) - 1
        distinct = np.unique(values[places])
    return distinct[::-1]


def _share_above(values: NDArray[Any], thresholds: NDArray[Any]) -> NDArray[np.float64]:
    """For each threshold, falling, what share lies strictly above it, then with what lies at it."""
    ascending = np.sort(values)
    below = [np.searchsorted(ascending, thresholds, side) for side in ("right", "left")]
    return 1 - np.stack(below, axis=1).ravel() / len(values)


def _area(
    rate: NDArray[np.float64], overlap: NDArray[np.float64], low: float, high: float
) -> NDArray[np.float64]:
    """Area under curves of straight pieces over the logarithm of the rate, shape (r, points)."""
    ends = np.log([low, high])
    with np.errstate(divide="ignore"):
        position = np.log(rate)
    left, right = position[:, :-1], position[:, 1:]
    bottom, top = overlap[:, :-1], overlap[:, 1:]
    start, end = np.clip(left, *ends), np.clip(right, *ends)
    # From rate 0 there is no straight piece: what is found there stays until the next point.
    inclined = np.isfinite(left) & (right > left)
    known = np.where(inclined, left, start)
    slope = np.divide(top - bottom, right - known, out=np.zeros_like(top), where=inclined)
    area = (end - start) * (bottom + slope * ((start + end) / 2 - known))
    return area.sum(axis=1) / (ends[1] - ends[0])
