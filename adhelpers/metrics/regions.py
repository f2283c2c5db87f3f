"""Anomaly maps and segmentations against true defects: pixel AUROC, AUPRO, overlap of regions."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from adhelpers._shared.arrays import Masks
from adhelpers._shared.checks import checked_map, checked_mask

from .intervals import FEW, Estimate, checked_resampling, percentile_interval, resample_counts

# A region is connected across edges and corners, as in MVTec's own evaluation.
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def checked_pixels(maps: ArrayLike, masks: ArrayLike | None) -> tuple[NDArray[Any], Masks]:
    """Anomaly maps and masks that measures of pixels can be computed of, or an error."""
    maps = checked_map(maps, "maps")
    if maps.ndim != 3:
        raise ValueError(f"maps must have shape (n, h, w); got {maps.shape}")
    masks = checked_mask(masks, maps.shape, "masks")
    if not masks.any():
        raise ValueError(
            "masks are all empty: there is no defect to find, so measures of pixels are not defined"
        )
    if masks.all():
        raise ValueError(
            "masks cover every pixel: without a good pixel, measures of pixels are not defined"
        )
    return maps, masks


def _checked_limit(limit: float) -> None:
    if not 0 < limit <= 1:
        raise ValueError(
            "limit is the largest false positive rate and must lie in (0, 1], such as 0.3; got "
            f"{limit}"
        )


def _region_shares(masks: Masks) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Of each defect pixel, in C order, its share of its region; of each mask its regions."""
    shares, numbers = [], np.zeros(len(masks), dtype=int)
    for index in np.flatnonzero(masks.any(axis=(1, 2))):
        regions, numbers[index] = ndimage.label(masks[index], structure=_EIGHT_NEIGHBOURS)
        region_of_pixel = regions[masks[index]]
        shares.append(1 / np.bincount(region_of_pixel)[region_of_pixel])
    return np.concatenate(shares), numbers


def _area_of_each_pixel(
    sorted_good: NDArray[Any], defect: NDArray[Any], limit: float
) -> NDArray[np.float64]:
    """What each defect pixel adds to the area under its curve up to a false positive rate of limit.

    A defect pixel counts as found from the rate at which its value is reached: half-way through its
    ties with good pixels, as straight lines between the points of the curve have it. The area under
    any weighted mean of pixels is that mean of these.
    """
    before = (len(sorted_good) - np.searchsorted(sorted_good, defect, side="right")) / len(
        sorted_good
    )
    after = (len(sorted_good) - np.searchsorted(sorted_good, defect, side="left")) / len(
        sorted_good
    )
    reached = np.clip(limit - before, 0, after - before)
    rising = np.divide(
        reached**2, 2 * (after - before), out=np.zeros(len(defect)), where=after > before
    )
    return rising + np.clip(limit - after, 0, None)


def _area(
    false_positive_rate: NDArray[np.float64], overlap: NDArray[np.float64], limit: float
) -> NDArray[np.float64]:
    """Area under a curve of straight pieces up to limit, along the last axis, from rate 0 on."""
    left, right = false_positive_rate[..., :-1], false_positive_rate[..., 1:]
    bottom, top = overlap[..., :-1], overlap[..., 1:]
    width = np.clip(np.minimum(right, limit) - left, 0, None)
    # The piece that crosses the limit is cut there; an upright piece has no width and no area.
    inside = np.divide(width, right - left, out=np.zeros_like(width), where=right > left)
    return (width * (bottom + inside * (top - bottom) / 2)).sum(axis=-1)


def pixel_auroc(maps: ArrayLike, masks: ArrayLike | None) -> float:
    """Area under the ROC curve over all pixels.

    This is the chance that a defect pixel lies above a good one, ties counting half, exact over all
    values. Large defects weigh more than small ones: see `aupro`.

    Parameters
    ----------
    maps : ndarray of float, shape (n, h, w)
        Anomaly maps; higher is more anomalous.
    masks : ndarray of bool, shape (n, h, w)
        True defects; empty for good images.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If ``masks`` is None, all empty or all full, shapes differ, or a map holds NaN (the images
        are named).

    Examples
    --------
    >>> masks = np.array([[[False, False], [True, True]]])
    >>> pixel_auroc(np.array([[[0.0, 0.2], [0.2, 0.9]]]), masks)
    0.875
    """
    maps, masks = checked_pixels(maps, masks)
    return float(_area_of_each_pixel(np.sort(maps[~masks]), maps[masks], 1.0).mean())


def aupro(maps: ArrayLike, masks: ArrayLike | None, limit: float = 0.3) -> float:
    """Area under the per-region overlap up to a false positive rate, as a share of the largest.

    The overlap at a threshold is the share of each defect region (8-connected) at or above it,
    averaged over all regions of all images, each weighing the same; the false positive rate is the
    share of all good pixels at or above it. Exact over all values, equal values entering together,
    straight lines between the points and at the limit.

    Parameters
    ----------
    maps : ndarray of float, shape (n, h, w)
        Anomaly maps; higher is more anomalous.
    masks : ndarray of bool, shape (n, h, w)
        True defects; empty for good images.
    limit : float
        Largest false positive rate, in (0, 1].

    Returns
    -------
    float
        In [0, 1]; a constant map has ``limit / 2``.

    Raises
    ------
    ValueError
        If ``masks`` is None, all empty or all full, shapes differ, a map holds NaN (the images are
        named), or ``limit`` is not in (0, 1].

    References
    ----------
    Bergmann, Batzner, Fauser, Sattlegger, Steger, "The MVTec Anomaly Detection Dataset", IJCV 2021.

    Examples
    --------
    >>> masks = np.zeros((1, 4, 8), dtype=bool)
    >>> masks[0, 0, :2] = masks[0, 3, 7] = True
    >>> aupro(masks.astype(float), masks), round(aupro(np.zeros(masks.shape), masks), 6)
    (1.0, 0.15)
    """
    maps, masks = checked_pixels(maps, masks)
    _checked_limit(limit)
    shares, numbers = _region_shares(masks)
    area = shares @ _area_of_each_pixel(np.sort(maps[~masks]), maps[masks], limit) / numbers.sum()
    return float(min(area / limit, 1.0))


def _threshold_grid(good: NDArray[Any], size: int) -> NDArray[Any]:
    """Values of the sorted good pixels, falling, at which curves are read.

    All of them where there are few, as in 8-bit maps; otherwise quantiles, half of them evenly over
    the rates, half towards rate 0.
    """
    values = np.unique(good)
    if len(values) > size:
        even = np.linspace(0, 1, size // 2)
        fine = np.geomspace(1 / len(good), 1, size - size // 2)
        positions = np.unique(np.round(np.concatenate([even, fine]) * (len(good) - 1)).astype(int))
        values = np.unique(good[len(good) - 1 - positions])
    return values[::-1]


def pixel_report(
    maps: ArrayLike,
    masks: ArrayLike | None,
    limit: float = 0.3,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    grid_size: int = 2000,
) -> dict[str, Estimate]:
    """Pixel AUROC and AUPRO with bootstrap intervals over images.

    The values are exact. The intervals draw whole images (pixels of an image are not independent),
    those with and those without a defect each from their own, and read each resample's curves at a
    fixed grid of thresholds with straight lines between: all values of good pixels where there are
    few, quantiles of them otherwise, each with what lies at or above it and what lies strictly
    above it. At the default size the quantiles move the ends by less than 0.001.

    Parameters
    ----------
    maps : ndarray of float, shape (n, h, w)
        Anomaly maps; higher is more anomalous.
    masks : ndarray of bool, shape (n, h, w)
        True defects; empty for good images.
    limit : float
        Largest false positive rate of AUPRO, in (0, 1].
    resamples : int
    confidence : float
        Between 0 and 1.
    seed : int
    grid_size : int
        Maximum number of points at which the resampled curves are read, at least 10; a value makes
        two.

    Returns
    -------
    dict of str to Estimate
        ``"pixel_auroc"`` and ``"aupro"``. There is no interval where no resample moves the figure,
        as of perfect or constant maps; with fewer than five defective images the text says so.

    Raises
    ------
    ValueError
        As `aupro`; and if ``resamples``, ``confidence`` or ``grid_size`` is out of range.

    Examples
    --------
    >>> masks = np.zeros((4, 8, 8), dtype=bool)
    >>> masks[:3, 2:4, 2:4] = True
    >>> maps = masks + np.random.default_rng(0).random(masks.shape)
    >>> sorted(pixel_report(maps, masks, resamples=50))
    ['aupro', 'pixel_auroc']
    """
    checked_resampling(resamples, confidence)
    _checked_limit(limit)
    if grid_size < 10:
        raise ValueError(f"grid_size must be at least 10, better 2000; got {grid_size}")
    maps, masks = checked_pixels(maps, masks)
    thresholds = _threshold_grid(np.sort(maps[~masks]), grid_size // 2)
    shares, regions = _region_shares(masks)
    good_above, defect_above, overlap_above = _above(maps, masks, shares, thresholds)
    defect_pixels = masks.sum(axis=(1, 2))
    good_pixels = masks[0].size - defect_pixels
    start_and_end = ((0, 0), (1, 1))
    draws = []
    for counts in resample_counts(masks.any(axis=(1, 2)), resamples, seed):
        rate, recall, overlap = (
            np.pad(
                counts @ above / (counts @ whole)[:, None], start_and_end, constant_values=(0, 1)
            )
            for above, whole in (
                (good_above, good_pixels),
                (defect_above, defect_pixels),
                (overlap_above, regions),
            )
        )
        draws.append(
            np.column_stack([_area(rate, recall, 1.0), _area(rate, overlap, limit) / limit])
        )
    drawn = np.concatenate(draws)
    few = int(masks.any(axis=(1, 2)).sum()) < FEW
    values = {"pixel_auroc": pixel_auroc(maps, masks), "aupro": aupro(maps, masks, limit)}
    return {
        name: percentile_interval(value, drawn[:, index], confidence, few=few)
        for index, (name, value) in enumerate(values.items())
    }


def _above(
    maps: NDArray[Any], masks: Masks, shares: NDArray[np.float64], thresholds: NDArray[Any]
) -> NDArray[np.float64]:
    """What lies above falling thresholds, of each image: good pixels, defect pixels, overlap.

    The overlap is summed over the image's regions. Shape (3, n, 2 * thresholds): for each threshold
    what lies strictly above it, then with what lies at it. Without the first, ties would be joined
    to whatever lies above them by one straight line.
    """
    above = np.zeros((3, len(maps), 2 * len(thresholds)))
    share_ends = np.cumsum(masks.sum(axis=(1, 2)))

    def count(ascending: NDArray[Any]) -> NDArray[np.int_]:
        below = [np.searchsorted(ascending, thresholds, side) for side in ("right", "left")]
        return len(ascending) - np.stack(below, axis=1).ravel()

    for index, (heatmap, mask) in enumerate(zip(maps, masks, strict=True)):
        above[0, index] = count(np.sort(heatmap[~mask]))
        if mask.any():
            defect = heatmap[mask]
            order = np.argsort(defect)
            own = shares[share_ends[index] - len(defect) : share_ends[index]]
            from_top = np.concatenate([[0.0], np.cumsum(own[order][::-1])])
            found = count(defect[order])
            above[1, index], above[2, index] = found, from_top[found]
    return above


def segmentation_report(segmentations: ArrayLike, masks: ArrayLike | None) -> dict[str, float]:
    """Predicted regions against true defects.

    Parameters
    ----------
    segmentations : ndarray of bool, shape (n, h, w)
        Predicted defect pixels.
    masks : ndarray of bool, shape (n, h, w)
        True defects; empty for good images.

    Returns
    -------
    dict of str to float
        ``"iou"``: intersection over union of all pixels of all images together; ``"mean_iou"``: of
        each defective image, averaged; ``"per_region_overlap"``: share of each defect region
        (8-connected) that is found, averaged over regions; ``"false_positive_rate"``: share of good
        pixels that are segmented.

    Raises
    ------
    ValueError
        As `aupro`.

    Examples
    --------
    >>> mask = np.zeros((1, 4, 4), dtype=bool)
    >>> mask[0, :2, :2] = True
    >>> report = segmentation_report(np.roll(mask, 1, axis=2), mask)
    >>> {name: round(value, 3) for name, value in report.items()}
    {'iou': 0.333, 'mean_iou': 0.333, 'per_region_overlap': 0.5, 'false_positive_rate': 0.167}
    """
    values, masks = checked_pixels(np.asarray(segmentations, dtype=np.float32), masks)
    predicted = values > 0
    shares, numbers = _region_shares(masks)
    both, either = (
        (predicted & masks).sum(axis=(1, 2)),
        (predicted | masks).sum(axis=(1, 2)),
    )
    defective = masks.any(axis=(1, 2))
    return {
        "iou": float(both.sum() / either.sum()),
        "mean_iou": float((both[defective] / either[defective]).mean()),
        "per_region_overlap": float(shares @ predicted[masks] / numbers.sum()),
        "false_positive_rate": float(predicted[~masks].mean()),
    }
