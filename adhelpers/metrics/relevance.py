"""How much of a heatmap's positive relevance lies on the true defect, measured in five ways.

Named as in the Quantus library (Hedström et al., "Quantus: An Explainable AI Toolkit for
Responsible Evaluation of Neural Network Explanations and Beyond", JMLR 2023). One policy holds for
all: only the positive part of a heatmap counts, so values below zero are taken as zero;
pixels of equal value share what they get, as on average over random orders. A heatmap that prefers
no pixel (all zero, constant, nowhere positive) therefore gets what chance gives.

The measures of one image (`pointing_game` and what follows it) take a signed heatmap and the mask
of the true defect, both of shape (h, w), and return a float in [0, 1]: NaN where the mask is empty
or the heatmap NaN throughout. They raise a ValueError if the heatmap is NaN in part or infinite,
the shapes differ, or the mask is None. `localization_table` has them for many images.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from adhelpers._shared.arrays import Masks
from adhelpers._shared.checks import checked_map, checked_mask

# Quantus takes 1000 pixels of 224x224; a share keeps the measure comparable between image sizes.
_TOP_SHARE = 0.02

# A row for each image, a column for each pixel: relevance that is not negative, and what is inside.
_Relevance: TypeAlias = NDArray[np.float64]
_Inside: TypeAlias = NDArray[np.bool_]
_Values: TypeAlias = NDArray[np.float64]


def is_failed(heatmap: NDArray[Any]) -> bool:
    """Whether a heatmap is NaN throughout, as explanations that failed are.

    Examples
    --------
    >>> is_failed(np.full((2, 2), np.nan)), is_failed(np.array([[np.nan, 0.0]]))
    (True, False)
    """
    return heatmap.size > 0 and bool(np.isnan(heatmap).all())


def positive_part(
    heatmap: ArrayLike, mask: ArrayLike | None, name: str = "heatmap", mask_name: str = "mask"
) -> tuple[NDArray[np.float64], Masks] | None:
    """The positive part of a heatmap and its mask, both (h, w) and checked; None if incomparable.

    That is where the mask is empty or the heatmap NaN throughout. The names are for errors.
    """
    heatmap = np.asarray(heatmap)
    if heatmap.ndim != 2:
        raise ValueError(f"{name} must have shape (h, w); got {heatmap.shape}")
    mask = checked_mask(mask, heatmap.shape, mask_name)
    if is_failed(heatmap):
        return None
    heatmap = checked_map(heatmap, name)
    return (np.maximum(heatmap, 0, dtype=np.float64), mask) if mask.any() else None


def mass_inside(relevance: _Relevance, inside: _Inside) -> _Values:
    """Relevance mass accuracy of each row; the share of pixels inside where there is no relevance.

    Examples
    --------
    >>> inside = np.array([[True, False], [True, False]])
    >>> mass_inside(np.array([[3.0, 1.0], [0.0, 0.0]]), inside).tolist()
    [0.75, 0.5]
    """
    highest = relevance.max(axis=1, keepdims=True)
    # Scaled by the maximum, so that neither huge nor tiny values leave the range of float64 when
    # summed.
    relevance = np.divide(relevance, highest, out=np.ones_like(relevance), where=highest > 0)
    return (relevance * inside).sum(axis=1) / relevance.sum(axis=1)


def maximum_inside(relevance: _Relevance, inside: _Inside) -> _Values:
    """The pointing game of each row.

    Examples
    --------
    >>> inside = np.array([[True, False], [True, False]])
    >>> maximum_inside(np.array([[3.0, 1.0], [2.0, 2.0]]), inside).tolist()
    [1.0, 0.5]
    """
    highest = relevance == relevance.max(axis=1, keepdims=True)
    return (highest & inside).sum(axis=1) / highest.sum(axis=1)


def top_inside(
    relevance: _Relevance, inside: _Inside, k: NDArray[np.int_], ascending: _Relevance
) -> _Values:
    """Share of the k (n,) most relevant pixels that lies inside; ``ascending`` has sorted rows.

    Examples
    --------
    >>> relevance, inside = np.array([[3.0, 1.0, 1.0, 0.0]]), np.array([[True, True, False, False]])
    >>> top_inside(relevance, inside, np.array([2]), np.sort(relevance)).tolist()
    [0.75]
    """
    last = ascending[np.arange(len(k)), -k][:, None]
    above, tied = relevance > last, relevance == last
    places_left = k - above.sum(axis=1)
    return (
        (above & inside).sum(axis=1) + places_left * (tied & inside).sum(axis=1) / tied.sum(axis=1)
    ) / k


def auroc_inside(relevance: _Relevance, inside: _Inside) -> _Values:
    """Area under the ROC curve of each row, NaN where all is inside.

    Examples
    --------
    >>> auroc_inside(np.array([[3.0, 1.0, 1.0]]), np.array([[True, True, False]])).tolist()
    [0.75]
    """
    positives = inside.sum(axis=1)
    pairs = positives * (~inside).sum(axis=1)
    # Mann-Whitney: the ranks of the pixels inside, less what they would be if these were the lowest
    # of all.
    wins = (rankdata(relevance, axis=1) * inside).sum(axis=1) - positives * (positives + 1) / 2
    return np.divide(wins, pairs, out=np.full(len(relevance), np.nan), where=pairs > 0)


def checked_k(k: int | None, pixels: int) -> int:
    """The number of pixels of `top_k_intersection`: ``k``, or 2 % of the image for None."""
    if k is None:
        return max(1, round(_TOP_SHARE * pixels))
    if k != int(k) or not 1 <= k <= pixels:
        raise ValueError(
            f"k must be a number of pixels from 1 to the {pixels} of the heatmap; got {k}"
        )
    return int(k)


def _of_one_image(
    measure: Callable[[_Relevance, _Inside], _Values], heatmap: ArrayLike, mask: ArrayLike | None
) -> float:
    pair = positive_part(heatmap, mask)
    if pair is None:
        return float("nan")
    relevance, inside = pair
    return float(measure(relevance.reshape(1, -1), inside.reshape(1, -1))[0])


def pointing_game(heatmap: ArrayLike, mask: ArrayLike | None) -> float:
    """Whether the most relevant pixel lies on the defect: 1.0 or 0.0.

    Where several pixels share the maximum, the share of them on the defect; without a positive
    value the share of the image that the mask covers.

    Zhang, Bargal, Lin, Brandt, Shen, Sclaroff, "Top-Down Neural Attention by Excitation Backprop",
    IJCV 2018.

    Examples
    --------
    >>> mask = np.array([[True, False], [False, False]])
    >>> pointing_game(np.array([[0.9, 0.2], [0.1, 0.0]]), mask)
    1.0
    >>> pointing_game(np.array([[0.9, 0.9], [0.1, 0.0]]), mask)
    0.5
    """
    return _of_one_image(maximum_inside, heatmap, mask)


def relevance_mass_accuracy(heatmap: ArrayLike, mask: ArrayLike | None) -> float:
    """Share of the relevance that lies on the defect.

    A constant heatmap, and one without a positive value, has the share of the image that the mask
    covers.

    Arras, Osman, Samek, "CLEVR-XAI: A benchmark dataset for the ground truth evaluation of neural
    network explanations", Information Fusion 2022.

    Examples
    --------
    >>> mask = np.array([[True, False], [False, True]])
    >>> relevance_mass_accuracy(np.array([[3.0, 1.0], [0.0, -5.0]]), mask)
    0.75
    """
    return _of_one_image(mass_inside, heatmap, mask)


def relevance_rank_accuracy(heatmap: ArrayLike, mask: ArrayLike | None) -> float:
    """Share of the most relevant pixels, as many as the defect has, that lies on the defect.

    Pixels tied at the last place share it: a heatmap without a positive value has the share of the
    image that the mask covers. Published with `relevance_mass_accuracy`.

    Examples
    --------
    >>> mask = np.array([[True, False], [True, False]])
    >>> relevance_rank_accuracy(np.array([[0.9, 0.8], [0.3, 0.1]]), mask)
    0.5
    """
    return _of_one_image(
        lambda relevance, inside: top_inside(
            relevance, inside, inside.sum(axis=1), np.sort(relevance, axis=1)
        ),
        heatmap,
        mask,
    )


def top_k_intersection(heatmap: ArrayLike, mask: ArrayLike | None, k: int | None = None) -> float:
    """Share of the k most relevant pixels that lies on the defect; at most its area by ``k``.

    ``k`` is a number of pixels, from 1 to all of them, by default 2 % of the image; another one is
    refused. Pixels tied at the last place share it.

    Theiner, Müller-Budack, Ewerth, "Interpretable Semantic Photo Geolocation", WACV 2022.

    Examples
    --------
    >>> mask = np.array([[True, False], [False, False]])
    >>> top_k_intersection(np.array([[0.9, 0.8], [0.3, 0.1]]), mask, k=2)
    0.5
    """
    wanted = np.array([checked_k(k, np.size(heatmap))])
    return _of_one_image(
        lambda relevance, inside: top_inside(relevance, inside, wanted, np.sort(relevance, axis=1)),
        heatmap,
        mask,
    )


def heatmap_auroc(heatmap: ArrayLike, mask: ArrayLike | None) -> float:
    """Pixel AUROC of one heatmap; NaN where the mask covers the whole image, too.

    This is the chance that a defect pixel is more relevant than another pixel, ties counting half;
    0.5 for a constant heatmap and for one without a positive value. Unlike
    `adhelpers.metrics.regions.pixel_auroc` it compares pixels within an image, and values below
    zero tie.

    Examples
    --------
    >>> mask = np.array([[True, True], [False, False]])
    >>> heatmap_auroc(np.array([[0.9, 0.2], [0.2, -0.7]]), mask)
    0.875
    """
    return _of_one_image(auroc_inside, heatmap, mask)
