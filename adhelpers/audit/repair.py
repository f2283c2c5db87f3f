"""Does the flag clear when the defect is gone? The score after repairs of the true, the explained and the good surface."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.signal import fftconvolve

from adhelpers._shared.checks import checked_map, checked_mask
from adhelpers._shared.progress import progress
from adhelpers.explainers.explanation import BatchedScore, check_pair
from adhelpers.metrics import Threshold

# A Gaussian edge is cut off here, in standard deviations: 1 % of its height.
_FEATHER_REACH = 3.0
# A control must lie on the object nearly as fully as the defect does; asking for all of it would
# leave few places.
_OBJECT_SHARE = 0.9
# Standard deviation in pixels: a heatmap that is flat around the defect is widened on all sides, as
# the defect's margin is.
_SURROUNDINGS = 4.0


def repaired(image, counterpart, region, margin=2, feather=1.0):
    """The image with its counterpart pasted over a region.

    Parameters
    ----------
    image : ndarray, (h, w, c)
        In [0, 1].
    counterpart : ndarray, (h, w, c)
        What a normal version of the image looks like to the detector.
    region : ndarray of bool, (h, w)
        What to replace, such as the mask of the defect; an empty one leaves the image as it is.
    margin : float
        The region is first widened by so many pixels, because the rim of a defect is often outside
        its mask.
    feather : float
        Standard deviation in pixels of the Gaussian by which the paste fades out beyond the widened
        region, up to three of them, so that no edge is left for a detector to see; 0 cuts hard.
        Inside, the replacement is complete.

    Returns
    -------
    ndarray of float32, (h, w, c)
        A new array.

    Raises
    ------
    ValueError
        Where shapes differ, a value is not finite, the image leaves [0, 1], or ``margin`` or
        ``feather`` is negative.

    Examples
    --------
    >>> image, counterpart = np.ones((1, 5, 1)), np.zeros((1, 5, 1))
    >>> region = np.array([[True, False, False, False, False]])
    >>> repaired(image, counterpart, region, margin=1, feather=1).ravel().round(2)
    array([0.  , 0.  , 0.39, 0.86, 0.99], dtype=float32)
    """
    _check_edge(margin, feather)
    image, counterpart = check_pair(image, counterpart)
    return _pasted(
        image,
        counterpart,
        _weights(checked_mask(region, image.shape[:2], "region"), margin, feather),
    )


@dataclass(frozen=True)
class RepairResult:
    """What repairs do to the score of each flagged anomalous image.

    A removed share is the part of the excess over the threshold that a repair takes away, (score -
    score after) / (score - threshold): 1 brings the score down to the threshold, more below it, and
    a negative share raises the score.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each flagged anomalous image; ``index`` is its place among the images. Columns:
        ``area`` (pixels of the defect with its margin), ``score``; after the true defect is
        repaired ``repaired_score``, ``cleared`` (at or below the threshold), ``removed``; over the
        draws on good surface ``control_draws`` (how many found a place), ``control_cleared`` (share
        of draws), ``control_mean``, ``control_sd``, ``control_max`` (of the removed shares, NaN
        without a draw); for each explainer, its name in lower case with underscores,
        ``explained_score_<name>``, ``explained_cleared_<name>`` and ``explained_removed_<name>``
        (missing where the explanation failed).
    left_out : pandas.Series
        Why an image has no row: ``"no defect in its mask"`` or ``"not flagged"``; by place among
        the images.
    threshold : float
    settings : dict
        ``margin``, ``feather``, ``control_draws``, ``seed``.
    """

    table: pd.DataFrame
    left_out: pd.Series
    threshold: float
    settings: dict

    def values(self, column, explainer=None):
        """One column of the table for all images that were given.

        Parameters
        ----------
        column : str
            Such as ``"removed"``; with ``explainer`` one of ``"explained_score"``,
            ``"explained_cleared"``, ``"explained_removed"``.
        explainer : str, optional
            As it was called in ``heatmaps``.

        Returns
        -------
        (n,) array of float64
            NaN for images that were left out; 0 and 1 for False and True.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        name = column if explainer is None else _explainer_column(column, explainer)
        if name not in self.table:
            raise ValueError(
                f"column: there is no {name!r}; the table has {', '.join(self.table.columns)}"
            )
        values = np.full(len(self.table) + len(self.left_out), np.nan)
        values[self.table.index] = (
            self.table[name].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        )
        return values


def repair_test(
    score,
    images,
    counterparts,
    masks,
    heatmaps,
    threshold,
    *,
    margin=2,
    feather=1.0,
    control_draws=19,
    seed=0,
    batch_size=32,
    object_regions=None,
    show_progress=True,
):
    """Score each flagged anomalous image again after three repairs: of the defect, of the explained region, of good surface.

    If the flag does not clear when the true defect is replaced by the counterpart, the detector
    flagged the image for something else, whatever an explainer says. If it clears then, but not
    when an equal area of the top of the heatmap is replaced, the explainer missed the reason. A
    poor counterpart (a blurred reconstruction) changes a score wherever it is pasted: the control
    draws, the defect's own shape moved at random to good surface, tell how much.

    Equal area means: equal sum of the weights with which the counterpart is pasted. With a
    feathered edge a heatmap whose top is scattered over many small spots would otherwise replace
    several times the area of one compact defect.

    Parameters
    ----------
    score : callable
        ``score(images) -> (n,)`` for float32 images (n, h, w, c).
    images, counterparts : ndarray, (n, h, w, c)
        Images in [0, 1], and what a normal version of each looks like to the detector.
    masks : ndarray of bool, (n, h, w)
        The true defects; an image with an empty mask is left out.
    heatmaps : dict of str to ndarray, (n, h, w)
        For each explainer; higher speaks more for the anomaly. A heatmap that is NaN throughout
        stands for an explanation that failed. Of equal values those beside higher ones count first,
        then those in higher rows.
    threshold : Threshold or float
        Flagged is a score strictly greater; an image that is not flagged is left out.
    margin, feather : float
        Of the repair, in pixels: see :func:`repaired`. The explained region is not widened.
    control_draws : int
        So many different places for each image, or as many as there are; at least 1. Controls
        neither overlap nor touch the repair of the defect and lie wholly in the image. A score that
        has nothing to do with the place beats all draws by luck in one image of ``control_draws +
        1``: 19 leave 5 %.
    seed : int
        For the places; those of an image depend on the seed and its place among the images alone.
    batch_size : int
        Images in one call of ``score``.
    object_regions : ndarray of bool, (n, h, w), optional
        Where the object is. Controls then lie on it as fully as the defect does, within a tenth, or
        as fully as its shape can.
    show_progress : bool

    Returns
    -------
    RepairResult

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, ``masks`` is None, ``control_draws`` is below 1,
        two explainers' names differ only in case or spaces, or ``score`` does not return one finite
        number for each image.

    Examples
    --------
    >>> images = np.zeros((1, 16, 16, 1), np.float32)
    >>> images[0, 2:5, 2:5] = 1
    >>> heatmap = np.flip(images[..., 0], axis=1)
    >>> result = repair_test(lambda images: images.sum(axis=(1, 2, 3)), images, np.zeros_like(images), images[..., 0] > 0,
    ...                      {"flipped": heatmap}, threshold=4, show_progress=False)
    >>> result.table[["score", "cleared", "removed", "control_max", "explained_removed_flipped"]].values.tolist()
    [[9.0, True, 1.8, 0.0, 0.0]]
    """
    _check_edge(margin, feather)
    if not isinstance(control_draws, (int, np.integer)) or control_draws < 1:
        raise ValueError(f"control_draws must be an integer of at least 1, not {control_draws!r}")
    if not isinstance(threshold, Threshold):
        threshold = Threshold(threshold, "given", uses_test_labels=False)
    images, counterparts, heatmaps = _checked_stacks(images, counterparts, heatmaps)
    shape = images.shape[:3]
    masks = checked_mask(masks, shape, "masks")
    objects = (
        None if object_regions is None else checked_mask(object_regions, shape, "object_regions")
    )
    score = BatchedScore(score, batch_size)
    scores = score(images)
    flags = threshold.flag(scores)
    anomalous = masks.any(axis=(1, 2))
    tested = np.flatnonzero(anomalous & flags)
    areas, control_counts = [], []

    def repairs():
        """The tested images one after the other: the defect repaired, then its controls, then each explained region."""
        for index in progress(tested, "repair test", enabled=show_progress):
            image, counterpart = check_pair(images[index], counterparts[index])
            weights = _weights(masks[index], margin, feather)
            controls = _control_regions(
                weights,
                feather,
                None if objects is None else objects[index],
                control_draws,
                np.random.default_rng([seed, index]),
            )
            areas.append(int((weights == 1).sum()))
            control_counts.append(len(controls))
            yield _pasted(image, counterpart, weights)
            for region in controls:
                yield _pasted(image, counterpart, _weights(region, 0, feather))
            for stack in heatmaps.values():
                if not np.isnan(stack[index]).any():
                    yield _pasted(
                        image, counterpart, _top_weights(stack[index], weights.sum(), feather)
                    )

    after = iter(list(_scored(score, repairs())))
    rows = []
    for index, area, count in zip(tested, areas, control_counts, strict=True):
        excess = scores[index] - threshold.value
        value = next(after)
        controls = np.array(list(islice(after, count)))
        shares = (scores[index] - controls) / excess if count else np.array([np.nan])
        row = {
            "area": area,
            "score": scores[index],
            "repaired_score": value,
            "cleared": value <= threshold.value,
            "removed": (scores[index] - value) / excess,
            "control_draws": count,
            "control_cleared": (controls <= threshold.value).mean() if count else np.nan,
            "control_mean": shares.mean(),
            "control_sd": shares.std(),
            "control_max": shares.max(),
        }
        for name, stack in heatmaps.items():
            failed = np.isnan(stack[index]).any()
            value = np.nan if failed else next(after)
            found = (
                value,
                pd.NA if failed else value <= threshold.value,
                (scores[index] - value) / excess,
            )
            row.update(zip(_explainer_columns(name), found, strict=True))
        rows.append(row)
    columns = [
        "area",
        "score",
        "repaired_score",
        "cleared",
        "removed",
        "control_draws",
        "control_cleared",
        "control_mean",
        "control_sd",
        "control_max",
        *(column for name in heatmaps for column in _explainer_columns(name)),
    ]
    table = pd.DataFrame(
        rows, columns=columns, index=pd.Index(tested, name="index", dtype=np.int64)
    )
    kinds = {
        "area": int,
        "control_draws": int,
        "cleared": bool,
        **{_explainer_columns(name)[1]: "boolean" for name in heatmaps},
    }
    table = table.astype({column: kinds.get(column, float) for column in columns})
    reasons = pd.Series(
        np.where(anomalous, "not flagged", "no defect in its mask"), dtype=object, name="reason"
    )
    settings = {
        "margin": margin,
        "feather": feather,
        "control_draws": int(control_draws),
        "seed": seed,
    }
    return RepairResult(table, reasons.drop(tested).rename_axis("index"), threshold.value, settings)


@dataclass(frozen=True)
class DeletionInsertion:
    """How the score changes while pixels are replaced by the counterpart, or brought back, in the order of a heatmap.

    Attributes
    ----------
    shares : (steps + 1,) array
        Share of the pixels that has been changed, from 0 to 1.
    deletion, insertion : dict of str to (n, steps + 1) array
        Scores by explainer; NaN where the explanation failed. A deletion starts at the image's
        score and ends at the counterpart's; an insertion goes the other way.
    areas : pandas.DataFrame
        A row for each image and explainer: ``index``, ``explainer``, ``deletion``, ``insertion``.
        Areas under the curves, with the counterpart's score counted as 0 and the image's as 1;
        chance is about 0.5 for both where single pixels add up. A good heatmap has a small deletion
        and a large insertion area. NaN where the explanation failed and where the image does not
        score above its counterpart, since there is then nothing to explain.
    """

    shares: np.ndarray
    deletion: dict
    insertion: dict
    areas: pd.DataFrame


def deletion_insertion(
    score, images, counterparts, heatmaps, steps=32, *, batch_size=32, show_progress=True
):
    """Deletion and insertion curves against the counterpart, with their areas, for each explainer.

    Deletion replaces the pixels with the highest relevance first; insertion starts from the
    counterpart and brings them back, the highest first. Petsiuk, Das, Saenko, "RISE: Randomized
    Input Sampling for Explanation of Black-box Models", BMVC 2018; there the pixels are deleted to
    grey and inserted into a blurred image.

    Parameters
    ----------
    score : callable
        ``score(images) -> (n,)`` for float32 images (n, h, w, c).
    images, counterparts : ndarray, (n, h, w, c)
        Images in [0, 1], and what a normal version of each looks like to the detector.
    heatmaps : dict of str to ndarray, (n, h, w)
        For each explainer; NaN throughout for an explanation that failed. Equal values as in
        :func:`repair_test`.
    steps : int
        Equal steps, from 1 to the number of pixels.
    batch_size : int
        Images in one call of ``score``.
    show_progress : bool

    Returns
    -------
    DeletionInsertion

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, ``steps`` is out of range, or ``score`` does not
        return one finite number for each image.

    Examples
    --------
    >>> image = np.array([1.0, 0, 0, 0]).reshape(1, 2, 2, 1)
    >>> result = deletion_insertion(lambda images: images.sum(axis=(1, 2, 3)), image, 0 * image, {"exact": image[..., 0]},
    ...                             steps=4, show_progress=False)
    >>> result.deletion["exact"].tolist(), result.areas[["deletion", "insertion"]].values.tolist()
    ([[1.0, 0.0, 0.0, 0.0, 0.0]], [[0.125, 0.875]])
    """
    images, counterparts, heatmaps = _checked_stacks(images, counterparts, heatmaps)
    if not heatmaps:
        raise ValueError(
            "heatmaps must hold at least one explainer, such as {'LIME': array of shape (n, height, width)}"
        )
    pixels = images.shape[1] * images.shape[2]
    if not isinstance(steps, (int, np.integer)) or not 1 <= steps <= pixels:
        raise ValueError(
            f"steps must be an integer from 1 to the number of pixels, {pixels}, not {steps!r}"
        )
    score = BatchedScore(score, batch_size)
    counts = np.round(np.linspace(0, pixels, steps + 1)).astype(int)
    curves = [
        (index, name)
        for index in range(len(images))
        for name in heatmaps
        if not np.isnan(heatmaps[name][index]).any()
    ]

    def stages():
        """For each curve the images between its two ends: first those of the deletion, then those of the insertion."""
        for index, name in progress(curves, "deletion and insertion", enabled=show_progress):
            image, counterpart = check_pair(images[index], counterparts[index])
            ranks = _ranks(heatmaps[name][index])
            for start, end in ((image, counterpart), (counterpart, image)):
                for count in counts[1:-1]:
                    yield np.where((ranks < count)[..., None], end, start)

    scores, base = score(images), score(counterparts)
    between = np.reshape(list(_scored(score, stages())), (len(curves), 2, steps - 1))
    curve_of = {name: np.full((2, len(images), steps + 1), np.nan) for name in heatmaps}
    for (index, name), (deleted, inserted) in zip(curves, between, strict=True):
        curve_of[name][0, index] = np.concatenate([[scores[index]], deleted, [base[index]]])
        curve_of[name][1, index] = np.concatenate([[base[index]], inserted, [scores[index]]])
    shares = counts / pixels
    rise = np.where(scores > base, scores - base, np.nan)
    areas = []
    for name, both in curve_of.items():
        deletion, insertion = (
            np.trapezoid(curve, shares, axis=1) / rise - base / rise for curve in both
        )
        areas.append(
            pd.DataFrame(
                {
                    "index": range(len(images)),
                    "explainer": name,
                    "deletion": deletion,
                    "insertion": insertion,
                }
            )
        )
    return DeletionInsertion(
        shares,
        {name: both[0] for name, both in curve_of.items()},
        {name: both[1] for name, both in curve_of.items()},
        pd.concat(areas, ignore_index=True),
    )


def _check_edge(margin, feather):
    for name, value in (("margin", margin), ("feather", feather)):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(
                f"{name} is a width in pixels and must be a number of at least 0, not {value!r}"
            )


def _checked_stacks(images, counterparts, heatmaps):
    images, counterparts = (
        np.asarray(images, dtype=np.float32),
        np.asarray(counterparts, dtype=np.float32),
    )
    if images.ndim != 4 or len(images) == 0 or images.shape != counterparts.shape:
        raise ValueError(
            "images and counterparts must both have the shape (n, height, width, channels) with n >= 1, not "
            f"{images.shape} and {counterparts.shape}"
        )
    if not isinstance(heatmaps, dict):
        raise ValueError(
            "heatmaps must be a dict, such as {'LIME': array of shape (n, height, width)}, "
            f"not {type(heatmaps).__name__}"
        )
    # At least float32; float64 stays, since rounding would make different values equal.
    heatmaps = {
        name: np.asarray(stack, dtype=np.result_type(np.asarray(stack), np.float32))
        for name, stack in heatmaps.items()
    }
    for name, stack in heatmaps.items():
        if stack.shape != images.shape[:3]:
            raise ValueError(
                f"heatmaps[{name!r}] must have the shape {images.shape[:3]}, one map an image; got {stack.shape}"
            )
        failed = np.isnan(stack).all(axis=(1, 2))
        if not failed.all():
            checked_map(np.where(failed[:, None, None], 0, stack), f"heatmaps[{name!r}]")
    if len({_explainer_column("", name) for name in heatmaps}) < len(heatmaps):
        raise ValueError(
            f"heatmaps: two explainers' names differ only in case or spaces: {', '.join(heatmaps)}"
        )
    return images, counterparts, heatmaps


def _explainer_column(column, explainer):
    return f"{column}_{explainer.lower().replace(' ', '_')}"


def _explainer_columns(explainer):
    return [
        _explainer_column(f"explained_{what}", explainer)
        for what in ("score", "cleared", "removed")
    ]


def _weights(region, margin, feather):
    """How much of the counterpart is pasted at each pixel: 1 in the widened region, fading out beyond it."""
    if not region.any():
        return np.zeros(region.shape, dtype=np.float32)
    beyond = np.maximum(distance_transform_edt(~region) - margin, 0)
    if feather == 0:
        return (beyond == 0).astype(np.float32)
    return np.where(
        beyond <= _FEATHER_REACH * feather, np.exp(-0.5 * (beyond / feather) ** 2), 0
    ).astype(np.float32)


def _pasted(image, counterpart, weights):
    # In this form the weights 0 and 1 give the image and the counterpart to the last bit.
    return (1 - weights[..., None]) * image + weights[..., None] * counterpart


def _ranks(heatmap):
    """Place of each pixel from the highest value, 0, down; of equal values the one with the higher surroundings comes first."""
    spread = np.ptp(heatmap)
    surroundings = gaussian_filter(
        (heatmap - heatmap.min()).astype(np.float64) / (spread if spread > 0 else 1), _SURROUNDINGS
    )
    # Rounded, so that equal surroundings stay equal: rows and columns then decide, the same on any
    # machine.
    order = np.lexsort((-np.round(surroundings, 6).ravel(), -heatmap.ravel()))
    ranks = np.empty(heatmap.size, dtype=np.int64)
    ranks[order] = np.arange(heatmap.size)
    return ranks.reshape(heatmap.shape)


def _top_weights(heatmap, total, feather):
    """Weights of the largest top of a heatmap, at least one pixel, that sum up to no more than ``total``."""
    ranks = _ranks(heatmap)
    low, high = 1, max(1, int(total))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high)
            if _weights(ranks < middle, 0, feather).sum() <= total
            else (low, middle - 1)
        )
    return _weights(ranks < low, 0, feather)


def _control_regions(weights, feather, on_object, draws, random):
    """The shape of the repair's core at different places that the repair leaves alone; none where there is no such place."""
    core = weights == 1
    rows, columns = np.flatnonzero(core.any(axis=1)), np.flatnonzero(core.any(axis=0))
    shape = core[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def overlap(area):
        return np.round(
            fftconvolve(area.astype(float), shape[::-1, ::-1].astype(float), mode="valid")
        )

    # 1.5 pixels keep even corners apart where there is no feathered edge to keep clear of. Beside
    # the core's own reach the repair's counts: its edge fades from the widened outline, not from
    # whole pixels.
    free = (
        overlap(
            (weights > 0) | (distance_transform_edt(~core) <= max(1.5, _FEATHER_REACH * feather))
        )
        == 0
    )
    if not free.any():
        return []
    if on_object is not None:
        covered = overlap(on_object)
        free &= covered >= _OBJECT_SHARE * min((core & on_object).sum(), covered[free].max())
    places = np.flatnonzero(free)
    regions = []
    for place in random.choice(places, size=min(draws, len(places)), replace=False):
        row, column = np.unravel_index(place, free.shape)
        region = np.zeros_like(core)
        region[row : row + shape.shape[0], column : column + shape.shape[1]] = shape
        regions.append(region)
    return regions


def _scored(score, pictures):
    """Scores of a stream of pictures, in full batches, without holding more than one batch."""
    pictures = iter(pictures)
    while batch := list(islice(pictures, score.batch_size)):
        yield from score(np.stack(batch))
