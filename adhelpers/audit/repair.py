"""Is the flag gone when the defect is? The score after repairs of defects and of good surface."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.arrays import Flags, Floats, Images, Integers, Masks, ScoreFunction
from adhelpers._shared.checks import checked_mask
from adhelpers._shared.progress import progress
from adhelpers.explainers import BatchedScore, check_pair
from adhelpers.metrics import Threshold

from ._pasting import (
    check_edge,
    checked_stacks,
    control_regions,
    explainer_column,
    paste_weights,
    pasted,
    scored,
    top_weights,
)

# What an image looks like where a region of it is made normal, from the image and the region.
Fill: TypeAlias = Callable[[Images, Flags], Images]

# What is repaired: the true defect, good surface, or (with the name behind it) an explained region.
_DEFECT, _CONTROL, _EXPLAINED = "defect", "control", "explained "
_CONTROL_COLUMNS = (
    "control_draws",
    "control_cleared",
    "control_mean",
    "control_sd",
    "control_max",
)


def repaired(
    image: ArrayLike,
    counterpart: ArrayLike,
    region: Flags | None,
    margin: float = 2,
    feather: float = 1.0,
) -> NDArray[np.float32]:
    """The image with its counterpart pasted over a region.

    Parameters
    ----------
    image : ndarray of float, shape (h, w, c)
        In [0, 1].
    counterpart : ndarray of float, shape (h, w, c)
        What a normal version of the image looks like to the detector.
    region : ndarray of bool, shape (h, w)
        What to replace, such as the mask of the defect; an empty one leaves the image as it is.
    margin
        Pixels by which the region is widened first, because the rim of a defect is often outside
        its mask.
    feather
        Standard deviation in pixels of the Gaussian by which the paste fades out beyond the widened
        region, up to three of them, so that no edge is left for a detector to see; 0 cuts hard.
        Inside, the replacement is complete.

    Returns
    -------
    ndarray of float32, shape (h, w, c)
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
    check_edge(margin, feather)
    image, counterpart = check_pair(image, counterpart)
    region = checked_mask(region, image.shape[:2], "region")
    return pasted(image, counterpart, paste_weights(region, margin, feather))


def paste_region(region: Flags, margin: float = 2, feather: float = 1.0) -> Flags:
    """The pixels that `repaired` changes where it repairs a region: bool (h, w).

    Examples
    --------
    >>> paste_region(np.array([[True, False, False, False, False]]), margin=1, feather=0).tolist()
    [[True, True, False, False, False]]
    """
    return paste_weights(region, margin, feather) > 0


@dataclass(frozen=True)
class RepairSettings:
    """How `repair_test` repairs.

    Parameters
    ----------
    margin, feather
        Of the repair, in pixels: see `repaired`. The explained region is not widened.
    control_draws
        Number of different places of good surface for each image, or as many as there are. A score
        that has nothing to do with the place beats all draws by luck in one image of
        ``control_draws + 1``: 19 leave 5 %.
    seed
        For the places; those of an image depend on the seed and its place among the images alone.

    Raises
    ------
    ValueError
        If a width is negative or ``control_draws`` is below 1.
    """

    margin: float = 2
    feather: float = 1.0
    control_draws: int = 19
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        check_edge(self.margin, self.feather)
        if not isinstance(self.control_draws, (int, np.integer)) or self.control_draws < 1:
            raise ValueError(
                f"control_draws must be an integer of at least 1, not {self.control_draws!r}"
            )


@dataclass(frozen=True)
class RepairResult:
    """What repairs do to the score of each flagged anomalous image.

    A removed share is the part of the excess over the threshold that a repair takes away, (score -
    score after) / (score - threshold): 1 brings the score down to the threshold, more below it, and
    a negative share raises the score.

    Attributes
    ----------
    per_image : pandas.DataFrame
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
    settings : RepairSettings
    explainers : tuple of str
        As they were called in ``heatmaps``.
    """

    per_image: pd.DataFrame
    left_out: pd.Series
    threshold: float
    settings: RepairSettings
    explainers: tuple[str, ...]

    def values(self, column: str, explainer: str | None = None) -> NDArray[np.float64]:
        """One column of ``per_image`` for all images that were given.

        Parameters
        ----------
        column
            Such as ``"removed"``; with ``explainer`` one of ``"explained_score"``,
            ``"explained_cleared"``, ``"explained_removed"``.
        explainer
            As it was called in ``heatmaps``.

        Returns
        -------
        ndarray of float64, shape (n,)
            NaN for images that were left out; 0 and 1 for False and True.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        name = column if explainer is None else explainer_column(column, explainer)
        if name not in self.per_image:
            raise ValueError(
                f"column: there is no {name!r}; the table has {', '.join(self.per_image.columns)}"
            )
        values = np.full(len(self.per_image) + len(self.left_out), np.nan)
        values[self.per_image.index] = (
            self.per_image[name].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        )
        return values

    def table(self) -> pd.DataFrame:
        """In how many images each repair clears the flag, and the median share it removes."""
        repairs = {"true defect": ("cleared", "removed")} | {
            f"what {name} points at": (
                explainer_column("explained_cleared", name),
                explainer_column("explained_removed", name),
            )
            for name in self.explainers
        }
        one, rows = self.per_image, {}
        for name, (cleared, removed) in repairs.items():
            count = f"{int(one[cleared].sum())} of {one[cleared].count()}"
            rows[name] = [count, one[removed].median()]
        share = 100 * one["control_cleared"].mean()
        draws = "–" if np.isnan(share) else f"{share:.0f} % of the draws"
        rows["good surface"] = [draws, one["control_mean"].median()]
        columns = ["flag cleared", "median share of the excess removed"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def findings(self) -> list[str]:
        """In how many images the repair of the defect, and of good surface, clears the flag."""
        if self.per_image.empty:
            return ["No defective image is flagged, so there is no flag to verify."]
        found = (
            "Repairing the true defect lowers the score to the threshold or below in "
            f"{int(self.per_image['cleared'].sum())} of {len(self.per_image)} flagged defective "
            "images"
        )
        share = self.per_image["control_cleared"].mean()
        if np.isnan(share):
            return [f"{found}."]
        return [
            f"{found}; repairing good surface of the same shape instead does so in "
            f"{100 * share:.0f} % of the draws."
        ]


def repair_test(
    score: ScoreFunction,
    images: Images,
    counterparts: Images | Fill,
    masks: Masks | None,
    heatmaps: Mapping[str, ArrayLike],
    threshold: Threshold | float,
    *,
    object_regions: Masks | None = None,
    settings: RepairSettings | None = None,
    batch_size: int = 32,
    show_progress: bool = True,
) -> RepairResult:
    """Score flagged anomalous images again after repairs of the defect and of other regions.

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
    score
        ``score(images) -> (n,)`` for float32 images (n, h, w, c).
    images, counterparts : ndarray of float32, shape (n, h, w, c)
        Images in [0, 1], and what a normal version of each looks like to the detector. In place of
        counterparts a function that fills a region: ``fill(image, region)`` returns the image
        (h, w, c) with the pixels of ``region`` (bool (h, w)) made normal from those around it.
    masks : ndarray of bool, shape (n, h, w)
        The true defects; an image with an empty mask is left out.
    heatmaps : dict of str to ndarray of float, shape (n, h, w)
        For each explainer; higher speaks more for the anomaly. A heatmap that is NaN throughout
        stands for an explanation that failed. Of equal values those beside higher ones count first,
        then those in higher rows.
    threshold
        Flagged is a score strictly greater; an image that is not flagged is left out.
    object_regions : ndarray of bool, shape (n, h, w), optional
        Where the object is. Controls then lie on it as fully as the defect does, within a tenth, or
        as fully as its shape can. In any case they neither overlap nor touch the repair of the
        defect and lie wholly in the image.
    settings
        By default ``RepairSettings()``.
    batch_size
        Images in one call of ``score``.
    show_progress

    Returns
    -------
    RepairResult

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, ``masks`` is None, two explainers' names differ
        only in case or spaces, or ``score`` does not return one finite number for each image.

    Examples
    --------
    >>> images = np.zeros((1, 16, 16, 1), np.float32)
    >>> images[0, 2:5, 2:5] = 1
    >>> flipped = np.flip(images[..., 0], axis=1)
    >>> result = repair_test(lambda images: images.sum(axis=(1, 2, 3)), images, 0 * images,
    ...                      images[..., 0] > 0, {"flipped": flipped}, 4, show_progress=False)
    >>> result.per_image[["score", "cleared", "removed", "control_max"]].values.tolist()
    [[9.0, True, 1.8, 0.0]]
    >>> result.values("explained_removed", "flipped").tolist()
    [0.0]
    """
    settings = settings or RepairSettings()
    if not isinstance(threshold, Threshold):
        threshold = Threshold(threshold, "given", uses_test_labels=False)
    fill = counterparts if callable(counterparts) else None
    whole = images if callable(counterparts) else counterparts
    images, whole, stacks = checked_stacks(images, whole, heatmaps)
    shape = images.shape[:3]
    masks = checked_mask(masks, shape, "masks")
    if object_regions is not None:
        object_regions = checked_mask(object_regions, shape, "object_regions")
    batched = BatchedScore(score, batch_size)
    scores = batched(images)
    anomalous = masks.any(axis=(1, 2))
    tested = np.flatnonzero(anomalous & threshold.flag(scores))

    def repairs() -> Iterator[tuple[tuple[int, str], Floats]]:
        """The repairs of all tested images, with the image's index and what is repaired."""
        for index in progress(tested, "repair test", enabled=show_progress):
            image, counterpart = check_pair(images[index], whole[index])
            on_object = None if object_regions is None else object_regions[index]
            maps = {name: stack[index] for name, stack in stacks.items()}
            for part, weights in _regions(masks[index], maps, on_object, settings, index):
                if fill is not None:
                    _, counterpart = check_pair(image, fill(image, weights > 0))
                yield (index, part), pasted(image, counterpart, weights)

    after: dict[int, dict[str, list[float]]] = {int(index): defaultdict(list) for index in tested}
    for (index, part), value in scored(batched, repairs()):
        after[index][part].append(value)
    rows = []
    for index, parts in after.items():
        core = paste_weights(masks[index], settings.margin, settings.feather) == 1
        row = _row(scores[index], threshold.value, parts, list(stacks))
        rows.append({"area": int(core.sum())} | row)
    reasons = pd.Series(
        np.where(anomalous, "not flagged", "no defect in its mask"), dtype=object, name="reason"
    )
    return RepairResult(
        _per_image(rows, tested, list(stacks)),
        reasons.drop(tested).rename_axis("index"),
        threshold.value,
        settings,
        tuple(stacks),
    )


def _regions(
    mask: Flags,
    heatmaps: Mapping[str, Floats],
    on_object: Flags | None,
    settings: RepairSettings,
    index: int,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """What is repaired of an image, with the weights of the paste: defect, controls, explained."""
    weights = paste_weights(mask, settings.margin, settings.feather)
    yield _DEFECT, weights
    random = np.random.default_rng([settings.seed, index])
    for region in control_regions(
        weights, settings.feather, on_object, settings.control_draws, random
    ):
        yield _CONTROL, paste_weights(region, 0, settings.feather)
    for name, heatmap in heatmaps.items():
        if not np.isnan(heatmap).any():
            yield _EXPLAINED + name, top_weights(heatmap, weights.sum(), settings.feather)


def _row(
    score: float, threshold: float, after: Mapping[str, list[float]], explainers: Sequence[str]
) -> dict[str, float | bool]:
    """The scores of one image after its repairs, and what they say."""
    excess = score - threshold
    [value] = after[_DEFECT]
    controls = np.array(after.get(_CONTROL, []))
    shares = (score - controls) / excess if len(controls) else np.array([np.nan])
    row = {
        "score": score,
        "repaired_score": value,
        "cleared": value <= threshold,
        "removed": (score - value) / excess,
        "control_draws": len(controls),
        "control_cleared": (controls <= threshold).mean() if len(controls) else np.nan,
        "control_mean": shares.mean(),
        "control_sd": shares.std(),
        "control_max": shares.max(),
    }
    for name in explainers:
        [value] = after.get(_EXPLAINED + name, [np.nan])
        cleared = pd.NA if np.isnan(value) else value <= threshold
        found = (value, cleared, (score - value) / excess)
        row.update(zip(_explainer_columns(name), found, strict=True))
    return row


def _explainer_columns(explainer: str) -> list[str]:
    """The columns of one explainer in the table of all images."""
    return [
        explainer_column(f"explained_{what}", explainer) for what in ("score", "cleared", "removed")
    ]


def _per_image(
    rows: Sequence[Mapping[str, float | bool]], tested: Integers, explainers: Sequence[str]
) -> pd.DataFrame:
    """The table of all tested images, each column of its type even where there is no row."""
    columns = ["area", "score", "repaired_score", "cleared", "removed", *_CONTROL_COLUMNS]
    kinds: dict[str, type | str] = dict.fromkeys(columns, float)
    kinds |= {"area": int, "control_draws": int, "cleared": bool}
    for name in explainers:
        kinds |= dict(zip(_explainer_columns(name), (float, "boolean", float), strict=True))
    index = pd.Index(tested.astype(np.int64), name="index")
    return pd.DataFrame(rows, columns=list(kinds), index=index).astype(kinds)
