"""A heatmap against the true defect of its image: Jaccard index (intersection over union) at every threshold."""
from typing import NamedTuple

import numpy as np

from ._checks import checked_map, checked_mask


class JaccardCurve(NamedTuple):
    """The Jaccard index at every threshold that makes a difference.

    Attributes
    ----------
    thresholds : (k,) array
        The distinct values of the heatmap, falling.
    jaccards : (k,) array of float64
        Jaccard index of the region ``heatmap >= threshold`` and the mask, in [0, 1]; NaN where the mask is empty.
    """

    thresholds: np.ndarray
    jaccards: np.ndarray


class OptimalJaccard(NamedTuple):
    """The best Jaccard index over all thresholds; it is chosen with the mask, so it is an upper bound.

    Attributes
    ----------
    value : float
        In [0, 1]; NaN where the mask is empty.
    threshold : float
        The highest threshold that reaches it; NaN where the mask is empty.
    """

    value: float
    threshold: float


def jaccard_curve(heatmap, mask):
    """The Jaccard index of ``heatmap >= threshold`` and the mask, for every distinct value of a signed heatmap.

    Pixels of equal value enter together, so a heatmap of superpixels has as many thresholds as distinct weights. One sort
    takes the place of a comparison of the whole image for each threshold.

    Parameters
    ----------
    heatmap : (h, w) array of float
        Signed; higher speaks more for the anomaly. A constant map has one threshold, whose region is the whole image.
    mask : (h, w) array of bool
        The true defect.

    Returns
    -------
    JaccardCurve
        All NaN where the mask is empty.

    Raises
    ------
    ValueError
        If the heatmap holds NaN or infinite values, the shapes differ, or ``mask`` is None.

    Examples
    --------
    >>> curve = jaccard_curve(np.array([[0.9, 0.5], [0.5, -0.2]]), np.array([[True, True], [False, False]]))
    >>> curve.thresholds.tolist(), curve.jaccards.round(3).tolist()
    ([0.9, 0.5, -0.2], [0.5, 0.667, 0.5])
    """
    heatmap = checked_map(heatmap)
    if heatmap.ndim != 2:
        raise ValueError(f"heatmap must have shape (h, w); got {heatmap.shape}")
    mask = checked_mask(mask, heatmap.shape)
    values = np.sort(heatmap, axis=None)
    inside = np.sort(heatmap[mask])
    # The first position of each distinct value tells how many pixels lie at or above it.
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))[::-1]
    thresholds = values[first]
    area = len(values) - first
    if not len(inside):
        return JaccardCurve(thresholds, np.full(len(thresholds), np.nan))
    overlap = len(inside) - np.searchsorted(inside, thresholds, side="left")
    return JaccardCurve(thresholds, overlap / (area + len(inside) - overlap))


def optimal_jaccard(heatmap, mask):
    """The best Jaccard index over all thresholds of a signed heatmap, and the highest threshold that reaches it.

    The threshold is chosen with the mask, so this is an upper bound on what the explanation says by itself.

    Parameters
    ----------
    heatmap : (h, w) array of float
    mask : (h, w) array of bool

    Returns
    -------
    OptimalJaccard
        ``(nan, nan)`` where the mask is empty. A constant map has the share of the image that the mask covers, which no map
        falls below.

    Raises
    ------
    ValueError
        If the heatmap holds NaN or infinite values, the shapes differ, or ``mask`` is None.

    Examples
    --------
    >>> optimal_jaccard(np.array([[0.9, 0.5], [0.4, -0.2]]), np.array([[True, True], [False, False]]))
    OptimalJaccard(value=1.0, threshold=0.5)
    """
    curve = jaccard_curve(heatmap, mask)
    best = np.argmax(curve.jaccards)
    value = float(curve.jaccards[best])
    return OptimalJaccard(value, float("nan") if np.isnan(value) else float(curve.thresholds[best]))


def optimal_jaccards(heatmaps, masks):
    """:func:`optimal_jaccard` for a stack of heatmaps.

    Parameters
    ----------
    heatmaps : (n, h, w) array of float
        A heatmap that is NaN throughout stands for an explanation that failed.
    masks : (n, h, w) array of bool

    Returns
    -------
    values, thresholds : (n,) arrays of float64
        NaN where the mask is empty and where the explanation failed.

    Raises
    ------
    ValueError
        If a heatmap is NaN in part or infinite (its index is named), the shapes differ, or ``masks`` is None.

    Examples
    --------
    >>> masks = np.array([[[True, False]], [[False, False]]])
    >>> optimal_jaccards(np.array([[[0.3, 0.1]], [[0.2, 0.1]]]), masks)[0].tolist()
    [1.0, nan]
    """
    heatmaps = np.asarray(heatmaps)
    if heatmaps.ndim != 3:
        raise ValueError(f"heatmaps must have shape (n, h, w); got {heatmaps.shape}")
    masks = checked_mask(masks, heatmaps.shape, "masks")
    values, thresholds = np.full((2, len(heatmaps)), np.nan)
    failed = np.isnan(heatmaps).all(axis=(1, 2))
    for index in np.flatnonzero(~failed):
        checked_map(heatmaps[index], f"heatmaps[{index}]")
        values[index], thresholds[index] = optimal_jaccard(heatmaps[index], masks[index])
    return values, thresholds


def explained_region(heatmap, threshold):
    """What an explanation points at: the pixels at or above a threshold, as the Jaccard index counts them.

    Parameters
    ----------
    heatmap : (h, w) array of float
    threshold : float
        Such as the one of :func:`optimal_jaccard`. NaN (nothing to compare with) gives an empty region.

    Returns
    -------
    (h, w) array of bool

    Raises
    ------
    ValueError
        If the heatmap holds NaN or infinite values.

    Examples
    --------
    >>> explained_region(np.array([[0.9, 0.5], [0.4, -0.2]]), 0.5).tolist()
    [[True, True], [False, False]]
    """
    # Equality at the threshold counts, so the map must not be rounded to a coarser type than the threshold came from.
    return checked_map(heatmap) >= np.float64(threshold)
