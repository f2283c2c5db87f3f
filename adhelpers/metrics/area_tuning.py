"""Area and threshold together: a large enough region above the threshold flags an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from skimage.measure import label as label_components
from skimage.segmentation import clear_border as without_border

from adhelpers._shared.arrays import Flags, Floats, Integers, Masks, Names
from adhelpers._shared.checks import check_choice, checked_labels, checked_map, checked_types

from .components import area_levels, check_connectivity
from .thresholds import Threshold

SELECTIONS = ("balanced", "normal-only")
# The published steps of the threshold, by kind of residual and whether maps are 8 bit.
PUBLISHED_STEPS = {
    ("ssim", False): 0.002,
    ("l2", False): 0.0005,
    ("ssim", True): 1,
    ("l2", True): 1,
}


def eight_bit(maps: ArrayLike) -> NDArray[np.uint8]:
    """Residual maps as 8 bit: values clipped to [0, 1] and rounded to 0 ... 255.

    Parameters
    ----------
    maps : ndarray of float

    Returns
    -------
    ndarray of uint8, of the same shape

    Examples
    --------
    >>> eight_bit(np.array([-0.2, 0.0, 0.5, 1.0, 1.7])).tolist()
    [0, 0, 128, 255, 255]
    """
    return np.round(np.clip(checked_map(maps, "maps"), 0, 1) * 255).astype(np.uint8)


@dataclass(frozen=True)
class AreaGrid:
    """Which areas and thresholds are tried, and what a region is.

    Parameters
    ----------
    areas : sequence of int
        In pixels; those larger than a map are left out.
    step : float, optional
        Thresholds are the multiples of it from the lowest value of the validation maps on (see
        `PUBLISHED_STEPS`); None takes the exact value.
    connectivity : {4, 8}
        Whether pixels are connected across edges only, or across corners too.
    clear_border : bool
        Regions that touch the border do not count.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> AreaGrid(range(5, 30, 5), step=0.002).connectivity
    8
    """

    areas: Sequence[int] = range(5, 1001, 5)
    step: float | None = None
    connectivity: int = 8
    clear_border: bool = False

    def __post_init__(self) -> None:
        if self.step is not None and not self.step > 0:
            raise ValueError(
                "step must be above 0, such as 0.002, or None for exact thresholds; got "
                f"{self.step}"
            )
        check_connectivity(self.connectivity)

    def within(self, pixels: int) -> Integers:
        """The areas that a map of so many pixels can hold, rising."""
        areas = np.unique(np.asarray(list(self.areas), dtype=int))
        if areas.size == 0 or areas[0] < 1 or areas[0] > pixels:
            raise ValueError(
                f"areas must hold numbers of pixels from 1 to {pixels}, the size of a map; got "
                f"{areas.tolist()}"
            )
        return areas[areas <= pixels]

    def levels(self, maps: Floats | Integers, areas: ArrayLike) -> NDArray[np.float64]:
        """`area_levels` of the maps with this grid's regions."""
        return area_levels(maps, areas, self.connectivity, self.clear_border)


@dataclass(frozen=True)
class AreaChoice:
    """Which images choose the area.

    Parameters
    ----------
    selection : {"balanced", "normal-only"}
        ``"balanced"``: a share of the test images, the published way; it looks at their labels, and
        the `Threshold` says so. ``"normal-only"``: good images with planted defects.
    share : float
        Share of the test images of each type that ``"balanced"`` chooses with; at least one of
        each.
    strict : bool
        Take these images out of the test set; the published method left them in. At least one of
        each type remains.
    seed : int
        Of the share.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> AreaChoice("normal-only").share
    0.2
    """

    selection: str = "balanced"
    share: float = 0.2
    strict: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("selection", self.selection, SELECTIONS)
        if not 0 < self.share < 1:
            raise ValueError(f"share must lie between 0 and 1, such as 0.2; got {self.share}")

    def images(self, types: Names) -> Flags:
        """A seeded choice of test images, the share of each type: ndarray of bool, shape (n,)."""
        random, chosen = np.random.default_rng(self.seed), np.zeros(len(types), dtype=bool)
        for kind in np.unique(types):
            members = np.flatnonzero(types == kind)
            wanted = max(1, round(self.share * len(members)))
            if self.strict and wanted >= len(members):
                count = f"{len(members)} test image{'' if len(members) == 1 else 's'}"
                raise ValueError(
                    f"type '{kind}' has {count}, but a share (finetune_share) of {self.share:g} "
                    f"takes {wanted} of them for the choice of the area and none would be left to "
                    "test on: take selection normal-only, which needs no test images, or strict "
                    "False, which tests on the same images and says so"
                )
            chosen[random.permutation(members)[:wanted]] = True
        return chosen


@dataclass(frozen=True)
class AreaTuning:
    """A minimal area and a threshold, how they were chosen, and the decisions that follow.

    Attributes
    ----------
    minimal_area : int
        In pixels.
    threshold : Threshold
        Of the level at which a connected region has the minimal area; a pixel belongs to a
        segmented region where its value is greater (strictly).
    areas : pandas.DataFrame
        See `table`.
    grid : AreaGrid
    choice : AreaChoice
    chosen_with : ndarray of bool, shape (n,)
        The test images whose labels chose; none for ``"normal-only"``.
    """

    minimal_area: int
    threshold: Threshold
    areas: pd.DataFrame
    grid: AreaGrid
    choice: AreaChoice
    chosen_with: Flags

    def table(self) -> pd.DataFrame:
        """Every area that was tried.

        Returns
        -------
        pandas.DataFrame
            A row for each: ``area``, ``threshold`` (NaN where no threshold keeps the validation
            images free of so large a region and yet lets any image be flagged),
            ``true_positive_rate``, ``true_negative_rate``, ``balanced`` (their mean), on the images
            that chose.
        """
        return self.areas.copy()

    def findings(self) -> list[str]:
        """What was chosen, and for how many areas there was nothing to choose, as sentences."""
        best = self.areas.set_index("area").loc[self.minimal_area]
        found = [
            f"A region of {self.minimal_area} pixels above {self.threshold.value:.4g} flags "
            f"{best['true_positive_rate']:.0%} of the defective and passes "
            f"{best['true_negative_rate']:.0%} of the good images that it was chosen with."
        ]
        missing = int(self.areas["threshold"].isna().sum())
        if missing:
            found.append(
                f"For {missing} of {len(self.areas)} areas there is no threshold: a good "
                "validation image reaches the highest value there."
            )
        return found

    @property
    def tested_on(self) -> Flags:
        """The test images that figures are to be given for: ndarray of bool, shape (n,)."""
        return ~self.chosen_with if self.choice.strict else np.ones_like(self.chosen_with)

    def levels(self, maps: Floats | Integers) -> NDArray[np.float64]:
        """The score that the threshold is about.

        Parameters
        ----------
        maps : ndarray, shape (n, h, w)

        Returns
        -------
        ndarray of float64, shape (n,)
            The highest level at which a region of each map has the minimal area.
        """
        levels = self.grid.levels(maps, [self.minimal_area])[:, 0]
        # An image in which no region is ever that large is not flagged; minus infinity would be no
        # score.
        lowest = np.asarray(maps).min(axis=(1, 2))
        return np.where(np.isfinite(levels), levels, np.minimum(lowest, self.threshold.value))

    def segment(self, maps: Floats | Integers) -> Masks:
        """The regions that raise a flag.

        With ``clear_border`` an image can be flagged and have no region left, where the region that
        flagged it reaches the border at the threshold.

        Parameters
        ----------
        maps : ndarray, shape (n, h, w)

        Returns
        -------
        ndarray of bool, shape (n, h, w)
        """
        segmented = np.zeros(np.shape(maps), dtype=bool)
        corners = self.grid.connectivity // 4
        for region, heatmap in zip(segmented, np.asarray(maps), strict=True):
            above = heatmap > self.threshold.value
            if self.grid.clear_border:
                above = without_border(label_components(above, connectivity=corners)) > 0
            components = label_components(above, connectivity=corners)
            large = np.bincount(components.ravel()) >= self.minimal_area
            large[0] = False
            region[:] = large[components]
        return segmented

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; a missing threshold is None."""
        rows = [
            {
                name: int(value) if name == "area" else None if np.isnan(value) else float(value)
                for name, value in row.items()
            }
            for row in self.areas.to_dict("records")
        ]
        return {
            "minimal_area": self.minimal_area,
            "threshold": self.threshold.as_dict(),
            "selection": self.choice.selection,
            "strict": self.choice.strict,
            "chosen_with": np.flatnonzero(self.chosen_with).tolist(),
            "step": self.grid.step,
            "connectivity": self.grid.connectivity,
            "clear_border": self.grid.clear_border,
            "areas": rows,
        }


_GRID, _CHOICE = AreaGrid(), AreaChoice()


def tune_area(
    validation_maps: Floats | Integers,
    test_maps: Floats | Integers | None = None,
    labels: ArrayLike | None = None,
    types: ArrayLike | None = None,
    *,
    planted_maps: Floats | Integers | None = None,
    grid: AreaGrid = _GRID,
    choice: AreaChoice = _CHOICE,
) -> AreaTuning:
    """Choose a minimal area and a threshold together.

    For each area the threshold is the smallest at which no validation image has a connected region
    as large above it. The best area is the one with the highest mean of true positive and true
    negative rate on some test images or on good images with planted defects (see `AreaChoice`), the
    smallest of equals.

    Parameters
    ----------
    validation_maps : ndarray of float or uint8, shape (n, h, w)
        Residual maps of good images.
    test_maps, labels, types : ndarray, shapes (n, h, w), (n,) and (n,), optional
        Residual maps of test images, 0 or 1, and the name of each image's type. Needed for
        ``"balanced"``; for ``"normal-only"`` only their number matters.
    planted_maps : ndarray, shape (m, h, w), optional
        For ``"normal-only"``: residual maps of good images into which something was planted.
    grid : AreaGrid
        Areas and thresholds to try.
    choice : AreaChoice
        Which images choose the area.

    Returns
    -------
    AreaTuning

    Raises
    ------
    ValueError
        If the validation maps are all equal, no area has a threshold, or a type has too few images
        for the share.

    References
    ----------
    Bergmann, Batzner, Fauser, Sattlegger, Steger, "The MVTec Anomaly Detection Dataset", IJCV 2021,
    section 5.2: a minimal area on validation images fixes the threshold.

    Examples
    --------
    >>> maps = np.random.default_rng(0).uniform(0, 0.2, size=(8, 16, 16))
    >>> test = maps[4:].copy()
    >>> test[2:, 4:8, 4:8] += 0.5
    >>> tuning = tune_area(maps[:4], test, [0, 0, 1, 1], ["good", "good", "cut", "cut"],
    ...                    grid=AreaGrid([4, 8, 16]), choice=AreaChoice(share=0.5))
    >>> tuning.minimal_area, tuning.threshold.flag(tuning.levels(test)).tolist()
    (4, [False, False, True, True])
    """
    validation_maps = _checked_stack(validation_maps, "validation_maps")
    areas = grid.within(validation_maps[0].size)
    if validation_maps.min() == validation_maps.max():
        raise ValueError(
            f"validation_maps are all equal ({validation_maps.flat[0]:g} everywhere): no threshold "
            "can be learned from them; look at the detector's reconstructions"
        )
    validation_levels = grid.levels(validation_maps, areas)
    thresholds = _thresholds(validation_maps, validation_levels, areas, grid.step)
    rule = "no good validation image has a region of so many pixels above it; "
    if choice.selection == "balanced":
        test_maps, anomalous, types = _checked_test(test_maps, labels, types, validation_maps)
        chosen = choice.images(types)
        levels = grid.levels(test_maps[chosen], areas)
        positive, negative = levels[anomalous[chosen]], levels[~anomalous[chosen]]
        rule += f"area chosen on {int(chosen.sum())} test images"
    else:
        if planted_maps is None:
            raise ValueError(
                "selection='normal-only' needs planted_maps: residual maps of good images with "
                "planted defects"
            )
        planted_maps = _checked_stack(planted_maps, "planted_maps", like=validation_maps)
        chosen = np.zeros(0 if test_maps is None else len(test_maps), dtype=bool)
        positive, negative = grid.levels(planted_maps, areas), validation_levels
        rule += "area chosen with planted defects"
    table = _rates(areas, thresholds, positive, negative)
    best = _best(thresholds, positive, negative)
    return AreaTuning(
        int(areas[best]),
        Threshold(thresholds[best], rule, uses_test_labels=choice.selection == "balanced"),
        table,
        grid,
        choice,
        chosen,
    )


def _rates(areas: Integers, thresholds: Floats, positive: Floats, negative: Floats) -> pd.DataFrame:
    """The table of `AreaTuning` from the levels (n, areas) of defective and good images."""
    known = ~np.isnan(thresholds)
    with np.errstate(invalid="ignore"):
        true_positive_rate = np.where(known, (positive > thresholds).mean(axis=0), np.nan)
        true_negative_rate = np.where(known, (negative <= thresholds).mean(axis=0), np.nan)
    return pd.DataFrame(
        {
            "area": areas,
            "threshold": thresholds,
            "true_positive_rate": true_positive_rate,
            "true_negative_rate": true_negative_rate,
            "balanced": (true_positive_rate + true_negative_rate) / 2,
        }
    )


def _best(thresholds: Floats, positive: Floats, negative: Floats) -> int:
    """Index of the first area with the highest mean of both rates, compared as exact fractions.

    With n defective and m good images, tp / n + tn / m is (m tp + n tn) / (n m): integers keep
    equals equal, which rounded rates do not.
    """
    true_positives = (positive > thresholds).sum(axis=0)
    true_negatives = (negative <= thresholds).sum(axis=0)
    balanced = len(negative) * true_positives + len(positive) * true_negatives
    return int(np.argmax(np.where(np.isnan(thresholds), -1, balanced)))


def _checked_test(
    maps: Any, labels: Any, types: Any, like: Floats | Integers
) -> tuple[Floats | Integers, Flags, Names]:
    """Maps, whether they are anomalous and types of the test images, all of which are needed."""
    if maps is None or labels is None or types is None:
        raise ValueError(
            "selection='balanced' needs test_maps, labels and types; without defective images use "
            "selection='normal-only' with planted_maps"
        )
    maps = _checked_stack(maps, "test_maps", like=like)
    anomalous = checked_labels(labels, len(maps), both_classes=True)
    return maps, anomalous, checked_types(types, len(maps))


def _checked_stack(
    maps: Any, name: str, like: Floats | Integers | None = None
) -> Floats | Integers:
    """Maps (n, h, w), finite, of the size and kind of ``like``."""
    maps = np.asarray(maps)
    if maps.dtype != np.uint8:
        maps = checked_map(maps, name)
    if maps.ndim != 3:
        raise ValueError(f"{name} must have shape (n, h, w); got {maps.shape}")
    if like is not None and (
        maps.shape[1:] != like.shape[1:] or (maps.dtype == np.uint8) != (like.dtype == np.uint8)
    ):
        raise ValueError(
            f"{name} must be of the same size and kind as validation_maps, {like.shape[1:]} "
            f"{like.dtype}; got {maps.shape[1:]} {maps.dtype}"
        )
    return maps


def _thresholds(
    maps: Floats | Integers, levels: Floats, areas: Integers, step: float | None
) -> NDArray[np.float64]:
    """For each area the smallest threshold that no map exceeds in so large a region, or NaN."""
    ceiling = 255.0 if maps.dtype == np.uint8 else np.inf
    lowest = float(maps.min())
    highest_level = np.maximum(levels.max(axis=0), lowest)
    thresholds = highest_level
    if step is not None:
        start = np.floor(lowest / step) * step
        # Rounded first, so that a level that is a multiple of the step but for rounding stays where
        # it is.
        thresholds = start + np.ceil(np.round((highest_level - start) / step, 6)) * step
        thresholds = np.maximum(thresholds, highest_level)
    # Nothing can lie above the highest possible value.
    thresholds = np.where(thresholds >= ceiling, np.nan, thresholds)
    if np.isnan(thresholds).all():
        raise ValueError(
            f"no area from {areas[0]} to {areas[-1]} has a threshold: some validation map holds "
            f"the highest possible value, {ceiling:g}, in a region of {areas[-1]} pixels or more; "
            "try larger areas, or float maps"
        )
    return thresholds
