"""A heatmap against the true defect: the Jaccard index by threshold, and a table of measures."""

from typing import Any, NamedTuple, SupportsFloat

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.arrays import Masks
from adhelpers._shared.checks import checked_map, checked_mask

from .relevance import (
    auroc_inside,
    checked_k,
    is_failed,
    mass_inside,
    maximum_inside,
    positive_part,
    top_inside,
)

# Images are measured in blocks of this many pixels, whose float64 copies stay in the processor's
# cache: larger ones are slower.
_BLOCK_PIXELS = 65_536


class JaccardCurve(NamedTuple):
    """The Jaccard index at every threshold that makes a difference.

    Attributes
    ----------
    thresholds : ndarray, shape (k,)
        The distinct values of the heatmap, falling.
    jaccards : ndarray of float64, shape (k,)
        Jaccard index of the region ``heatmap >= threshold`` and the mask, in [0, 1]; NaN where the
        mask is empty.
    """

    thresholds: NDArray[Any]
    jaccards: NDArray[np.float64]

    def table(self) -> pd.DataFrame:
        """A row for each threshold: ``threshold`` and ``jaccard``."""
        return pd.DataFrame({"threshold": self.thresholds, "jaccard": self.jaccards})


class OptimalJaccard(NamedTuple):
    """The best Jaccard index over all thresholds, chosen with the mask and so an upper bound.

    Attributes
    ----------
    value : float
        In [0, 1]; NaN where the mask is empty.
    threshold : float
        The highest threshold that reaches it; NaN where the mask is empty.
    """

    value: float
    threshold: float


def jaccard_curve(heatmap: ArrayLike, mask: ArrayLike | None) -> JaccardCurve:
    """The Jaccard index of ``heatmap >= threshold`` and the mask, for every value of the heatmap.

    Pixels of equal value enter together, so a heatmap of superpixels has as many thresholds as
    distinct weights. One sort takes the place of a comparison of the whole image for each
    threshold.

    Parameters
    ----------
    heatmap : ndarray of float, shape (h, w)
        Signed; higher is more anomalous. A constant map has one threshold, whose region
        is the whole image.
    mask : ndarray of bool, shape (h, w)
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
    >>> mask = np.array([[True, True], [False, False]])
    >>> curve = jaccard_curve(np.array([[0.9, 0.5], [0.5, -0.2]]), mask)
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


def optimal_jaccard(heatmap: ArrayLike, mask: ArrayLike | None) -> OptimalJaccard:
    """The best Jaccard index over all thresholds, and the highest threshold that reaches it.

    The threshold is chosen with the mask, so this is an upper bound on what the explanation says by
    itself.

    Parameters
    ----------
    heatmap : ndarray of float, shape (h, w)
    mask : ndarray of bool, shape (h, w)

    Returns
    -------
    OptimalJaccard
        ``(nan, nan)`` where the mask is empty. A constant map has the share of the image that the
        mask covers, which no map falls below.

    Raises
    ------
    ValueError
        If the heatmap holds NaN or infinite values, the shapes differ, or ``mask`` is None.

    Examples
    --------
    >>> mask = np.array([[True, True], [False, False]])
    >>> optimal_jaccard(np.array([[0.9, 0.5], [0.4, -0.2]]), mask)
    OptimalJaccard(value=1.0, threshold=0.5)
    """
    curve = jaccard_curve(heatmap, mask)
    best = np.argmax(curve.jaccards)
    value = float(curve.jaccards[best])
    return OptimalJaccard(value, float("nan") if np.isnan(value) else float(curve.thresholds[best]))


def optimal_jaccards(
    heatmaps: ArrayLike, masks: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`optimal_jaccard` for a stack of heatmaps.

    Parameters
    ----------
    heatmaps : ndarray of float, shape (n, h, w)
        A heatmap that is NaN throughout stands for an explanation that failed.
    masks : ndarray of bool, shape (n, h, w)

    Returns
    -------
    values, thresholds : ndarray of float64, shape (n,)
        NaN where the mask is empty and where the explanation failed.

    Raises
    ------
    ValueError
        If a heatmap is NaN in part or infinite (its index is named), the shapes differ, or
        ``masks`` is None.

    Examples
    --------
    >>> masks = np.array([[[True, False]], [[False, False]]])
    >>> optimal_jaccards(np.array([[[0.3, 0.1]], [[0.2, 0.1]]]), masks)[0].tolist()
    [1.0, nan]
    """
    heatmaps, masks = _checked_stack(heatmaps, masks)
    values, thresholds = np.full((2, len(heatmaps)), np.nan)
    failed = np.isnan(heatmaps).all(axis=(1, 2))
    for index in np.flatnonzero(~failed):
        checked_map(heatmaps[index], f"heatmaps[{index}]")
        values[index], thresholds[index] = optimal_jaccard(heatmaps[index], masks[index])
    return values, thresholds


def _checked_stack(heatmaps: ArrayLike, masks: ArrayLike | None) -> tuple[NDArray[Any], Masks]:
    heatmaps = np.asarray(heatmaps)
    if heatmaps.ndim != 3:
        raise ValueError(f"heatmaps must have shape (n, h, w); got {heatmaps.shape}")
    return heatmaps, checked_mask(masks, heatmaps.shape, "masks")


def explained_region(heatmap: ArrayLike, threshold: SupportsFloat) -> NDArray[np.bool_]:
    """What an explanation points at: the pixels at or above a threshold.

    Parameters
    ----------
    heatmap : ndarray of float, shape (h, w)
    threshold : float
        Such as the one of `optimal_jaccard`. NaN (nothing to compare with) gives an empty
        region.

    Returns
    -------
    ndarray of bool, shape (h, w)

    Raises
    ------
    ValueError
        If the heatmap holds NaN or infinite values.

    Examples
    --------
    >>> explained_region(np.array([[0.9, 0.5], [0.4, -0.2]]), 0.5).tolist()
    [[True, True], [False, False]]
    """
    # Equality at the threshold counts, so the map must not be rounded to a coarser type than the
    # threshold came from.
    return checked_map(heatmap) >= np.float64(threshold)


def good_image_threshold(good_heatmaps: ArrayLike, quantile: float = 0.99) -> float:
    """A threshold for heatmaps that was set without a defect: a quantile of good images' pixels.

    Parameters
    ----------
    good_heatmaps : ndarray of float, shape (n, h, w)
        Explanations of good images held out of training (validation), by the explainer that is
        judged. The positive part counts; heatmaps that are NaN throughout (failed explanations) are
        left out.
    quantile : float
        In (0, 1]. At most the share ``1 - quantile`` of the good pixels lies at or above the
        threshold, ties included.

    Returns
    -------
    float
        Always above zero: where so many good pixels have no positive relevance, any positive value
        lies above it.

    Raises
    ------
    ValueError
        If a heatmap is NaN in part or infinite (its index is named), none is left, or ``quantile``
        is out of range.

    Examples
    --------
    >>> good = np.arange(100.0).reshape(1, 10, 10)
    >>> threshold = good_image_threshold(good, quantile=0.9)
    >>> round(threshold, 6), int((good >= threshold).sum())
    (89.0, 10)
    """
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile must lie in (0, 1], such as 0.99; got {quantile}")
    heatmaps = np.asarray(good_heatmaps)
    if heatmaps.ndim != 3:
        raise ValueError(f"good_heatmaps must have shape (n, h, w); got {heatmaps.shape}")
    maps = [
        checked_map(heatmap, f"good_heatmaps[{index}]")
        for index, heatmap in enumerate(heatmaps)
        if not is_failed(heatmap)
    ]
    if not maps:
        raise ValueError(
            "good_heatmaps holds no explanation of a good image: all are missing or NaN"
        )
    positive = np.maximum(np.stack(maps), 0, dtype=np.float64)
    value = np.quantile(positive, quantile, method="inverted_cdf")
    # The next number above it, because the region at a threshold takes in what lies at it: next in
    # the maps' own type, which comparisons may round to. Not below the smallest normal float32,
    # because some processors count smaller ones as zero.
    above = np.nextafter(maps[0].dtype.type(value), maps[0].dtype.type(np.inf))
    return float(max(above, np.finfo(np.float32).tiny))


def jaccard_at(heatmap: ArrayLike, mask: ArrayLike | None, threshold: float) -> float:
    """The Jaccard index at a threshold that was fixed without the mask.

    Parameters
    ----------
    heatmap : ndarray of float, shape (h, w)
        Signed; the positive part counts: the region is ``heatmap >= threshold``, less what is not
        above zero.
    mask : ndarray of bool, shape (h, w)
        The true defect.
    threshold : float
        Such as that of `good_image_threshold`.

    Returns
    -------
    float
        In [0, 1]; 0.0 where the region is empty, as with an all-zero heatmap. A constant heatmap
        has 0.0 or, from its own value down, the share of the image that the mask covers. NaN where
        the mask is empty or the heatmap NaN throughout.

    Raises
    ------
    ValueError
        If the heatmap is NaN in part or infinite, ``threshold`` is not finite, the shapes differ,
        or ``mask`` is None.

    Examples
    --------
    >>> mask = np.array([[True, False], [False, False]])
    >>> jaccard_at(np.array([[0.9, 0.5], [0.4, -0.2]]), mask, 0.5)
    0.5
    """
    if not np.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number; got {threshold}")
    pair = positive_part(heatmap, mask)
    if pair is None:
        return float("nan")
    relevance, mask = pair
    region = (relevance >= threshold) & (relevance > 0)
    return float(np.count_nonzero(region & mask) / np.count_nonzero(region | mask))


def localization_table(
    heatmaps: ArrayLike,
    masks: ArrayLike | None,
    threshold: float | None = None,
    k: int | None = None,
) -> pd.DataFrame:
    """Every measure of localisation for every image.

    Parameters
    ----------
    heatmaps : ndarray of float, shape (n, h, w)
        Signed; the positive part counts, but for the optimal Jaccard, which tries every value as
        threshold. A heatmap that is NaN throughout stands for an explanation that failed.
    masks : ndarray of bool, shape (n, h, w)
    threshold : float, optional
        For `jaccard_at`, fixed on good images by `good_image_threshold`. Without it
        there is no such column.
    k : int, optional
        For `top_k_intersection`; by default 2 % of the pixels.

    Returns
    -------
    pandas.DataFrame
        A row for each image; columns ``optimal_jaccard`` (chosen with the mask: an upper bound),
        ``jaccard_at``, ``pointing_game``, ``relevance_mass_accuracy``, ``relevance_rank_accuracy``,
        ``top_k_intersection`` and ``heatmap_auroc``. NaN where the mask is empty and where the
        explanation failed.

    Raises
    ------
    ValueError
        If a heatmap is NaN in part or infinite (its index is named), the shapes differ, ``masks``
        is None, or ``threshold`` or ``k`` is out of range.

    Examples
    --------
    >>> masks = np.array([[[True, False]], [[False, False]]])
    >>> localization_table(np.array([[[0.6, 0.2]], [[0.2, 0.1]]]), masks, k=1).round(2).iloc[:, :3]
       optimal_jaccard  pointing_game  relevance_mass_accuracy
    0              1.0            1.0                     0.75
    1              NaN            NaN                      NaN
    """
    heatmaps, masks = _checked_stack(heatmaps, masks)
    best, _ = optimal_jaccards(heatmaps, masks)
    columns: dict[str, Any] = {"optimal_jaccard": best}
    if threshold is not None:
        columns["jaccard_at"] = [
            jaccard_at(heatmap, mask, threshold)
            for heatmap, mask in zip(heatmaps, masks, strict=True)
        ]
    pixels = heatmaps.shape[1] * heatmaps.shape[2]
    k = checked_k(k, pixels)
    names = [
        "pointing_game",
        "relevance_mass_accuracy",
        "relevance_rank_accuracy",
        "top_k_intersection",
        "heatmap_auroc",
    ]
    values = np.full((len(heatmaps), len(names)), np.nan)
    comparable, rows_at_once = np.flatnonzero(np.isfinite(best)), max(1, _BLOCK_PIXELS // pixels)
    for start in range(0, len(comparable), rows_at_once):
        rows = comparable[start : start + rows_at_once]
        relevance = np.maximum(heatmaps[rows].reshape(len(rows), -1), 0, dtype=np.float64)
        inside = masks[rows].reshape(len(rows), -1)
        ascending = np.sort(relevance, axis=1)
        values[rows] = np.column_stack(
            [
                maximum_inside(relevance, inside),
                mass_inside(relevance, inside),
                top_inside(relevance, inside, inside.sum(axis=1), ascending),
                top_inside(relevance, inside, np.full(len(rows), k), ascending),
                auroc_inside(relevance, inside),
            ]
        )
    return pd.DataFrame({**columns, **dict(zip(names, values.T, strict=True))})
