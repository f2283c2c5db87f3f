"""Whether an explanation's regions are too large to show what the detector saw."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import label

from adhelpers._shared.arrays import Flags, Floats

# A peak reaches down to half of its height above the median.
_HALF = 0.5


def too_coarse(heatmaps: ArrayLike, anomaly_maps: ArrayLike) -> Flags:
    """Whether the most relevant region of each heatmap is larger than the peak of the anomaly map.

    LIME gives each superpixel one value, SHAP each block that its budget did not divide further.
    Where the region of the highest value is larger than the peak, no choice of values could have
    shown the place: the budget is too small, not the explanation wrong.

    Parameters
    ----------
    heatmaps : array-like, shape (n, h, w)
        Higher raises the score; constant within each region. NaN where an image could not be
        explained.
    anomaly_maps : array-like, shape (n, h, w)
        Higher is more anomalous. The peak are the pixels connected to the highest one that are at
        least half as high above the median.

    Returns
    -------
    ndarray of bool, shape (n,)
        False where a map or a heatmap is constant, or an image could not be explained.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> peak = np.zeros((1, 8, 8)); peak[0, 1:3, 1:3] = 1
    >>> blocks = np.kron([[[1.0, 0.2], [0.0, 0.3]]], np.ones((4, 4)))
    >>> too_coarse(blocks, peak).tolist(), too_coarse(peak, peak).tolist()
    ([True], [False])
    """
    heatmaps, anomaly_maps = np.asarray(heatmaps), np.asarray(anomaly_maps)
    if heatmaps.shape != anomaly_maps.shape or heatmaps.ndim != 3:
        raise ValueError(
            "heatmaps and anomaly_maps must have one shape (n, h, w); they have "
            f"{heatmaps.shape} and {anomaly_maps.shape}"
        )
    pairs = zip(heatmaps, anomaly_maps, strict=True)
    return np.array([_is_too_coarse(*pair) for pair in pairs], dtype=bool)


def _is_too_coarse(heatmap: Floats, anomaly_map: Floats) -> bool:
    if not np.isfinite(heatmap).all() or np.ptp(heatmap) == 0 or np.ptp(anomaly_map) == 0:
        return False
    middle, highest = float(np.median(anomaly_map)), float(anomaly_map.max())
    peak = _region_at_highest(anomaly_map, middle + _HALF * (highest - middle))
    return _region_at_highest(heatmap, float(heatmap.max())) > peak


def _region_at_highest(values: Floats, least: float) -> int:
    """Number of pixels connected to the highest one whose values are at least so high."""
    parts, _ = label(values >= least)
    part = parts[np.unravel_index(np.argmax(values), values.shape)]
    return int((parts == part).sum())
