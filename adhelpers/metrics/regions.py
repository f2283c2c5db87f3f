"""Anomaly maps against true defects, over all pixels of a test set: pixel AUROC and per-region overlap (AUPRO)."""
import numpy as np
from scipy import ndimage

from ._checks import checked_map, checked_mask
from .intervals import checked_resampling, percentile_interval, resample_counts

# A region is connected across edges and corners, as in MVTec's own evaluation.
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def _checked(maps, masks):
    maps = checked_map(maps, "maps")
    if maps.ndim != 3:
        raise ValueError(f"maps must have shape (n, h, w); got {maps.shape}")
    masks = checked_mask(masks, maps.shape, "masks")
    if not masks.any():
        raise ValueError("masks are all empty: there is no defect to find, so pixel AUROC and AUPRO are not defined")
    if masks.all():
        raise ValueError("masks cover every pixel: without a good pixel, pixel AUROC and AUPRO are not defined")
    return maps, masks


def _checked_limit(limit):
    if not 0 < limit <= 1:
        raise ValueError(f"limit is the largest false positive rate and must lie in (0, 1], such as 0.3; got {limit}")


def _region_shares(masks):
    """For each defect pixel, in C order, the share that it has of its region; and the number of regions in each mask."""
    shares, numbers = [], np.zeros(len(masks), dtype=int)
    for index in np.flatnonzero(masks.any(axis=(1, 2))):
        regions, numbers[index] = ndimage.label(masks[index], structure=_EIGHT_NEIGHBOURS)
        region_of_pixel = regions[masks[index]]
        shares.append(1 / np.bincount(region_of_pixel)[region_of_pixel])
    return np.concatenate(shares), numbers


def _area_of_each_pixel(sorted_good, defect, limit):
    """What each defect pixel adds to the area under its curve up to a false positive rate of limit.

    A defect pixel counts as found from the rate at which its value is reached: half-way through its ties with good pixels, as
    straight lines between the points of the curve have it. The area under any weighted mean of pixels is that mean of these.
    """
    before = (len(sorted_good) - np.searchsorted(sorted_good, defect, side="right")) / len(sorted_good)
    after = (len(sorted_good) - np.searchsorted(sorted_good, defect, side="left")) / len(sorted_good)
    reached = np.clip(limit - before, 0, after - before)
    rising = np.divide(reached**2, 2 * (after - before), out=np.zeros(len(defect)), where=after > before)
    return rising + np.clip(limit - after, 0, None)


def _area(false_positive_rate, overlap, limit):
    """Area under a curve of straight pieces up to limit, along the last axis; the rate rises and starts at 0."""
    left, right = false_positive_rate[..., :-1], false_positive_rate[..., 1:]
    bottom, top = overlap[..., :-1], overlap[..., 1:]
    width = np.clip(np.minimum(right, limit) - left, 0, None)
    # The piece that crosses the limit is cut there; an upright piece has no width and no area.
    inside = np.divide(width, right - left, out=np.zeros_like(width), where=right > left)
    return (width * (bottom + inside * (top - bottom) / 2)).sum(axis=-1)


def pixel_auroc(maps, masks):
    """Area under the ROC curve over all pixels: the chance that a defect pixel lies above a good one, ties counting half.

    Exact over all values. Large defects weigh more than small ones: see :func:`aupro`.

    Parameters
    ----------
    maps : (n, h, w) array of float
        Anomaly maps; higher is more anomalous.
    masks : (n, h, w) array of bool
        True defects; empty for good images.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If ``masks`` is None, all empty or all full, shapes differ, or a map holds NaN (the images are named).

    Examples
    --------
    >>> pixel_auroc(np.array([[[0.0, 0.2], [0.2, 0.9]]]), np.array([[[False, False], [True, True]]]))
    0.875
    """
    maps, masks = _checked(maps, masks)
    return float(_area_of_each_pixel(np.sort(maps[~masks]), maps[masks], 1.0).mean())


def aupro(maps, masks, limit=0.3):
    """Area under the per-region overlap up to a false positive rate, as a share of the largest possible area.

    The overlap at a threshold is the share of each defect region (8-connected) at or above it, averaged over all regions of
    all images, each weighing the same; the false positive rate is the share of all good pixels at or above it. Exact over
    all values, equal values entering together, straight lines between the points and at the limit.

    Parameters
    ----------
    maps : (n, h, w) array of float
        Anomaly maps; higher is more anomalous.
    masks : (n, h, w) array of bool
        True defects; empty for good images.
    limit : float
        Largest false positive rate, in (0, 1].

    Returns
    -------
    float
        In [0, 1]; a map that knows nothing has ``limit / 2``.

    Raises
    ------
    ValueError
        If ``masks`` is None, all empty or all full, shapes differ, a map holds NaN (the images are named), or ``limit`` is not
        in (0, 1].

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
    maps, masks = _checked(maps, masks)
    _checked_limit(limit)
    shares, numbers = _region_shares(masks)
    area = shares @ _area_of_each_pixel(np.sort(maps[~masks]), maps[masks], limit) / numbers.sum()
    return float(min(area / limit, 1.0))


def _threshold_grid(good, size):
    """Falling thresholds at quantiles of the sorted good pixels: half evenly over the false positive rate, half towards 0."""
    even = np.linspace(0, 1, size // 2)
    fine = np.geomspace(1 / len(good), 1, size - size // 2)
    positions = np.unique(np.round(np.concatenate([even, fine]) * (len(good) - 1)).astype(int))
    return np.unique(good[len(good) - 1 - positions])[::-1]


def pixel_report(maps, masks, limit=0.3, resamples=1000, confidence=0.95, seed=0, grid_size=2000):
    """Pixel AUROC and AUPRO with bootstrap intervals over images.

    The values are exact. The intervals draw whole images (pixels of an image are not independent), those with and those
    without a defect each from their own, and read each resample's curves at a fixed grid of thresholds, quantiles of all good
    pixels, with straight lines between; at the default size that moves them by less than 0.001.

    Parameters
    ----------
    maps : (n, h, w) array of float
        Anomaly maps; higher is more anomalous.
    masks : (n, h, w) array of bool
        True defects; empty for good images.
    limit : float
        Largest false positive rate of AUPRO, in (0, 1].
    resamples : int
    confidence : float
        Between 0 and 1.
    seed : int
    grid_size : int
        Number of thresholds at which the resampled curves are read, at least 10.

    Returns
    -------
    dict of str to Estimate
        ``"pixel_auroc"`` and ``"aupro"``.

    Raises
    ------
    ValueError
        As :func:`aupro`; and if ``resamples``, ``confidence`` or ``grid_size`` is out of range.

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
    maps, masks = _checked(maps, masks)
    thresholds = _threshold_grid(np.sort(maps[~masks]), grid_size)
    shares, regions = _region_shares(masks)
    share_ends = np.cumsum(masks.sum(axis=(1, 2)))

    # Per image, what lies at or above each threshold: good pixels, defect pixels, and the overlap summed over its regions.
    good_above, defect_above, overlap_above = np.zeros((3, len(maps), len(thresholds)))
    for index, (heatmap, mask) in enumerate(zip(maps, masks, strict=True)):
        good = np.sort(heatmap[~mask])
        good_above[index] = len(good) - np.searchsorted(good, thresholds, side="left")
        if mask.any():
            defect = heatmap[mask]
            order = np.argsort(defect)
            own = shares[share_ends[index] - len(defect):share_ends[index]]
            from_top = np.concatenate([[0.0], np.cumsum(own[order][::-1])])
            above = len(defect) - np.searchsorted(defect[order], thresholds, side="left")
            defect_above[index], overlap_above[index] = above, from_top[above]

    defect_pixels = masks.sum(axis=(1, 2))
    good_pixels = masks[0].size - defect_pixels
    start_and_end = ((0, 0), (1, 1))
    draws = []
    for counts in resample_counts(masks.any(axis=(1, 2)), resamples, seed):
        rate, recall, overlap = (
            np.pad(counts @ above / (counts @ whole)[:, None], start_and_end, constant_values=(0, 1))
            for above, whole in ((good_above, good_pixels), (defect_above, defect_pixels), (overlap_above, regions)))
        draws.append(np.column_stack([_area(rate, recall, 1.0), _area(rate, overlap, limit) / limit]))
    draws = np.concatenate(draws)
    return {
        "pixel_auroc": percentile_interval(pixel_auroc(maps, masks), draws[:, 0], confidence),
        "aupro": percentile_interval(aupro(maps, masks, limit), draws[:, 1], confidence),
    }
