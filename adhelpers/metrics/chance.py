"""What chance gives: the relevance on the defect if the defect lay elsewhere.

A heatmap should show where this defect is, not merely cover much of the image. So the mask is moved
to every other place of the image, and the relevance on it there is what the same heatmap gets by
chance.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft2, rfft2
from scipy.stats import false_discovery_control

from adhelpers._shared.arrays import Flags
from adhelpers._shared.checks import checked_mask

from .intervals import FEW, Estimate, checked_resampling, percentile_interval, resample_counts
from .relevance import mass_inside, positive_part

# Masses this close are equal: what the Fourier transform rounds is smaller (below 1e-11 at
# 1024x1024 pixels).
_ROUNDING = 1e-10


class ChanceLevel(NamedTuple):
    """The relevance on the defect compared with what chance gives.

    Attributes
    ----------
    observed : float
        Relevance mass accuracy of the mask where it is.
    mean : float
        Mean over the shifts: over all shifts this is the share of the image that the mask covers.
    p_value : float
        Share of the shifts with as much relevance as observed, or more; in (0, 1], the observed
        place being one of them.
    shifts : int
        Number of shifts compared with; no p-value can be below ``1 / shifts``.
    """

    observed: float
    mean: float
    p_value: float
    shifts: int

    def findings(self) -> list[str]:
        """Whether the relevance is on the defect by more than chance, as a sentence."""
        if not self.shifts:
            return ["There is no defect, or no explanation, to compare."]
        return [
            f"The defect holds {self.observed:.1%} of the relevance. Over {self.shifts} places a "
            f"region of its shape holds {self.mean:.1%} on average, and at least as much in "
            f"{self.p_value:.1%} of them."
        ]


def _mass_at_shifts(
    heatmap: ArrayLike, mask: ArrayLike | None, region: ArrayLike | None, names: Sequence[str]
) -> tuple[float, NDArray[np.float64], Flags] | None:
    """Mass at no shift, at every shift, and which shifts count; None where nothing compares."""
    pair = positive_part(heatmap, mask, *names[:2])
    if pair is None:
        return None
    relevance, inside = pair
    observed = mass_inside(relevance.reshape(1, -1), inside.reshape(1, -1))[0]
    if not relevance.any():
        relevance = np.ones_like(relevance)
    # Scaled twice: the sum of very large values would leave the range of float64.
    relevance = relevance / relevance.max()
    moved = np.conj(rfft2(inside.astype(np.float64)))
    masses = irfft2(rfft2(relevance / relevance.sum()) * moved, s=inside.shape)
    admissible = np.ones(inside.shape, dtype=bool)
    if region is not None:
        off_object = (~checked_mask(region, inside.shape, names[2])).astype(np.float64)
        # A count of pixels, so half a pixel is far beyond what rounding can do.
        admissible = irfft2(rfft2(off_object) * moved, s=inside.shape) < 0.5
        admissible[0, 0] = True
    return observed, np.clip(masses, 0, 1), admissible


def shift_distribution(
    heatmap: ArrayLike, mask: ArrayLike | None, region: ArrayLike | None = None
) -> NDArray[np.float64]:
    """The exact distribution of relevance mass accuracy over all circular shifts of the mask.

    It takes one Fourier transform.

    Parameters
    ----------
    heatmap : ndarray of float, shape (h, w)
        Signed; the positive part counts.
    mask : ndarray of bool, shape (h, w)
        The true defect.
    region : ndarray of bool, shape (h, w), optional
        The object: only shifts that keep the mask wholly on it count, and the unshifted mask, even
        where it sticks out.

    Returns
    -------
    ndarray of float64, shape (h, w)
        Entry (row, column) is the relevance mass accuracy, in [0, 1], of the mask moved down by
        ``row`` and to the right by ``column`` pixels, what leaves the image coming in at the
        opposite side; NaN for shifts off the object. A heatmap that is constant or has no positive
        value has the share of the image that the mask covers everywhere. All NaN where the mask is
        empty or the heatmap NaN throughout.

    Raises
    ------
    ValueError
        If the heatmap is NaN in part or infinite, shapes differ, or ``mask`` is None.

    Notes
    -----
    The masses are the circular cross-correlation of heatmap and mask. They differ from sums over
    the moved mask by rounding only, less than 1e-11.

    Examples
    --------
    >>> heatmap, mask = np.array([[4.0, 3.0, 2.0, 1.0]]), np.array([[True, True, False, False]])
    >>> shift_distribution(heatmap, mask).round(6).tolist()
    [[0.7, 0.5, 0.3, 0.5]]
    >>> on_object = np.array([[True, True, True, False]])
    >>> shift_distribution(heatmap, mask, on_object).round(6).tolist()
    [[0.7, 0.5, nan, nan]]
    """
    result = _mass_at_shifts(heatmap, mask, region, ("heatmap", "mask", "region"))
    if result is None:
        return np.full(np.shape(heatmap), np.nan)
    _, masses, admissible = result
    return np.where(admissible, masses, np.nan)


def _level(
    heatmap: ArrayLike, mask: ArrayLike | None, region: ArrayLike | None, names: Sequence[str]
) -> ChanceLevel:
    result = _mass_at_shifts(heatmap, mask, region, names)
    if result is None:
        return ChanceLevel(float("nan"), float("nan"), float("nan"), 0)
    observed, masses, admissible = result
    masses = masses[admissible]
    return ChanceLevel(
        float(observed),
        float(masses.mean()),
        float((masses >= observed - _ROUNDING).mean()),
        len(masses),
    )


def chance_level(
    heatmap: ArrayLike, mask: ArrayLike | None, region: ArrayLike | None = None
) -> ChanceLevel:
    """The relevance on the defect, and how often the mask would hold as much if it lay elsewhere.

    The p-value is exact for a defect whose place among the shifts is drawn at random, independently
    of the heatmap. It does not assume that pixels are independent: the heatmap and the shape of the
    mask stay as they are.

    Parameters
    ----------
    heatmap : ndarray of float, shape (h, w)
        Signed; the positive part counts.
    mask : ndarray of bool, shape (h, w)
        The true defect.
    region : ndarray of bool, shape (h, w), optional
        The object: only shifts that keep the mask wholly on it count, and the unshifted mask, even
        where it sticks out. An explanation that merely finds the object is above chance without a
        region, and not with one.

    Returns
    -------
    ChanceLevel
        A heatmap that is constant or has no positive value has a p-value of 1. NaN and no shifts
        where the mask is empty or the heatmap NaN throughout.

    Raises
    ------
    ValueError
        If the heatmap is NaN in part or infinite, shapes differ, or ``mask`` is None.

    Examples
    --------
    >>> mask = np.array([[True, True, False, False]])
    >>> level = chance_level(np.array([[4.0, 3.0, 2.0, 1.0]]), mask)
    >>> round(level.observed, 6), round(level.mean, 6), level.p_value, level.shifts
    (0.7, 0.5, 0.25, 4)
    """
    return _level(heatmap, mask, region, ("heatmap", "mask", "region"))


def chance_levels(
    heatmaps: ArrayLike, masks: ArrayLike | None, regions: ArrayLike | None = None
) -> pd.DataFrame:
    """`chance_level` for the images of a run, with p-values corrected for their number.

    The correction is that of Benjamini and Hochberg: among the images with ``p_adjusted`` at most
    0.05, on average at most 5 % are hits by luck, if images are independent. (Holm's correction,
    which guards against a single one, would leave almost nothing: with few places on an object,
    p-values cannot be small.)

    Parameters
    ----------
    heatmaps : ndarray of float, shape (n, h, w)
        Signed; the positive part counts. A heatmap that is NaN throughout stands for an explanation
        that failed.
    masks : ndarray of bool, shape (n, h, w)
    regions : ndarray of bool, shape (n, h, w), optional
        The object in each image.

    Returns
    -------
    pandas.DataFrame
        A row for each image; columns ``observed``, ``mean``, ``p_value``, ``p_adjusted``,
        ``shifts``. NaN and no shifts where the mask is empty and where the explanation failed;
        these are not corrected for.

    Raises
    ------
    ValueError
        If a heatmap is NaN in part or infinite (its index is named), shapes differ, or ``masks`` is
        None.

    References
    ----------
    Benjamini, Hochberg, "Controlling the False Discovery Rate: A Practical and Powerful Approach to
    Multiple Testing", Journal of the Royal Statistical Society B, 1995.

    Examples
    --------
    >>> heatmaps = np.array([[[4.0, 3.0, 2.0, 1.0]], [[0.0, 1.0, 0.0, 0.0]]])
    >>> masks = np.array([[[True, True, False, False]], [[True, False, False, False]]])
    >>> chance_levels(heatmaps, masks).round(2)
       observed  mean  p_value  p_adjusted  shifts
    0       0.7  0.50     0.25         0.5       4
    1       0.0  0.25     1.00         1.0       4
    """
    heatmaps = np.asarray(heatmaps)
    if heatmaps.ndim != 3:
        raise ValueError(f"heatmaps must have shape (n, h, w); got {heatmaps.shape}")
    masks = checked_mask(masks, heatmaps.shape, "masks")
    objects: Sequence[ArrayLike | None] = [None] * len(masks)
    if regions is not None:
        objects = list(checked_mask(regions, heatmaps.shape, "regions"))
    levels = [
        _level(*one, [f"{name}[{index}]" for name in ("heatmaps", "masks", "regions")])
        for index, one in enumerate(zip(heatmaps, masks, objects, strict=True))
    ]
    table = pd.DataFrame(levels, columns=ChanceLevel._fields).astype({"shifts": int})
    known = table["p_value"].notna().to_numpy()
    adjusted = np.full(len(table), np.nan)
    if known.any():
        adjusted[known] = false_discovery_control(table["p_value"][known], method="bh")
    table.insert(3, "p_adjusted", adjusted)
    return table


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Estimate:
    """How much higher one explainer's figures are than another's on the same images, on average.

    Images are drawn with replacement and keep both their values, so what makes an image hard for
    both cancels out.

    Parameters
    ----------
    first, second : ndarray of float, shape (n,)
        A value for each image, such as the relevance mass accuracy of LIME and of the residual map.
        Images with NaN in either (empty masks, failed explanations) are left out.
    seed : int
    resamples : int
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Estimate
        The mean of ``first - second``: an interval above zero says that the first explainer is
        better. NaN where no image has both values; no interval where all differences are the same,
        as of a single image.

    Raises
    ------
    ValueError
        If the shapes differ, a value is infinite, ``resamples`` is below 2, or ``confidence`` is
        not between 0 and 1.

    Examples
    --------
    >>> estimate = paired_difference([0.5, 0.7, 0.6, np.nan], [0.4, 0.4, 0.4, 0.9])
    >>> round(estimate.value, 6), estimate.low > 0
    (0.2, True)
    """
    checked_resampling(resamples, confidence)
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            "first and second must hold one value for each image, shape (n,); got "
            f"{first.shape} and {second.shape}"
        )
    for name, values in (("first", first), ("second", second)):
        if np.isinf(values).any():
            raise ValueError(
                f"{name} must be finite or NaN; infinite at index "
                f"{np.flatnonzero(np.isinf(values))[0]}"
            )
    differences = first - second
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return Estimate(float("nan"), float("nan"), float("nan"))
    draws = [
        counts @ differences / len(differences)
        for counts in resample_counts(np.zeros(len(differences)), resamples, seed)
    ]
    few = len(differences) < FEW
    return percentile_interval(differences.mean(), np.concatenate(draws), confidence, few=few)
