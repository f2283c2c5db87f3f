"""Area and threshold together: an image is flagged where a large enough region of its map lies above the threshold."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from skimage.measure import label as label_components
from skimage.segmentation import clear_border as without_border

from adhelpers._shared.checks import checked_labels, checked_map, checked_types

from .regions import area_levels
from .thresholds import Threshold

SELECTIONS = ("balanced", "normal-only")
# The published steps of the threshold, by kind of residual and whether maps are 8 bit.
PUBLISHED_STEPS = {
    ("ssim", False): 0.002,
    ("l2", False): 0.0005,
    ("ssim", True): 1,
    ("l2", True): 1,
}


def eight_bit(maps):
    """Residual maps as 8 bit: values clipped to [0, 1] and rounded to 0 ... 255.

    Parameters
    ----------
    maps : array of float

    Returns
    -------
    array of uint8, of the same shape

    Examples
    --------
    >>> eight_bit(np.array([-0.2, 0.0, 0.5, 1.0, 1.7])).tolist()
    [0, 0, 128, 255, 255]
    """
    return np.round(np.clip(checked_map(maps, "maps"), 0, 1) * 255).astype(np.uint8)


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
    table : pandas.DataFrame
        A row for each area that was tried: ``area``, ``threshold`` (NaN where no threshold keeps
        the validation images free of so large a region and yet lets any image be flagged),
        ``true_positive_rate``, ``true_negative_rate``, ``balanced`` (their mean), on the images
        that chose.
    selection : {"balanced", "normal-only"}
    strict : bool
        Whether the images that chose leave the test set.
    chosen_with : (n,) array of bool
        The test images whose labels chose; none for ``"normal-only"``.
    step : float or None
    connectivity : {4, 8}
    clear_border : bool
    """

    minimal_area: int
    threshold: Threshold
    table: pd.DataFrame
    selection: str
    strict: bool
    chosen_with: np.ndarray
    step: float | None
    connectivity: int
    clear_border: bool

    @property
    def tested_on(self):
        """The test images that figures are to be given for: bool (n,)."""
        return ~self.chosen_with if self.strict else np.ones_like(self.chosen_with)

    def levels(self, maps):
        """The score that the threshold is about: (n,), the highest level at which a region has the minimal area."""
        maps = np.asarray(maps)
        levels = area_levels(maps, [self.minimal_area], self.connectivity, self.clear_border)[:, 0]
        # An image in which no region is ever that large is not flagged; minus infinity would be no
        # score.
        return np.where(
            np.isfinite(levels), levels, np.minimum(maps.min(axis=(1, 2)), self.threshold.value)
        )

    def segment(self, maps):
        """The regions that raise a flag: bool (n, h, w).

        With ``clear_border`` an image can be flagged and have no region left, where the region that
        flagged it reaches the border at the threshold.
        """
        segmented = np.zeros(np.shape(maps), dtype=bool)
        for region, heatmap in zip(segmented, np.asarray(maps), strict=True):
            above = heatmap > self.threshold.value
            if self.clear_border:
                above = (
                    without_border(label_components(above, connectivity=self.connectivity // 4)) > 0
                )
            components = label_components(above, connectivity=self.connectivity // 4)
            large = np.bincount(components.ravel()) >= self.minimal_area
            large[0] = False
            region[:] = large[components]
        return segmented

    def as_dict(self):
        """Plain values, ready for JSON; a missing threshold is None."""
        rows = [
            {name: None if np.isnan(value) else float(value) for name, value in row.items()}
            for row in self.table.to_dict("records")
        ]
        return {
            "minimal_area": self.minimal_area,
            "threshold": self.threshold.as_dict(),
            "selection": self.selection,
            "strict": self.strict,
            "chosen_with": np.flatnonzero(self.chosen_with).tolist(),
            "step": self.step,
            "connectivity": self.connectivity,
            "clear_border": self.clear_border,
            "areas": [{**row, "area": int(row["area"])} for row in rows],
        }


def tune_area(
    validation_maps,
    test_maps=None,
    labels=None,
    types=None,
    *,
    planted_maps=None,
    areas=range(5, 1001, 5),
    step=None,
    selection="balanced",
    share=0.2,
    strict=True,
    connectivity=8,
    clear_border=False,
    seed=0,
):
    """Choose a minimal area and a threshold together.

    For each area the threshold is the smallest at which no validation image has a connected region
    as large above it. Which area is best is then asked of some test images (``"balanced"``, the
    published way) or of good images with planted patches (``"normal-only"``): the one with the
    highest mean of true positive and true negative rate, the smallest of equals.

    Parameters
    ----------
    validation_maps : (n, h, w) array of float or uint8
        Residual maps of good images.
    test_maps, labels, types : arrays, (n, h, w), (n,) and (n,), optional
        Residual maps of test images, 0 or 1, and the name of each image's type. Needed for
        ``"balanced"``; for ``"normal-only"`` only their number matters.
    planted_maps : (m, h, w) array, optional
        For ``"normal-only"``: residual maps of good images into which something was planted.
    areas : sequence of int
        Areas to try, in pixels; those larger than a map are left out.
    step : float, optional
        Thresholds are the multiples of it from the lowest value of the validation maps on (see
        `PUBLISHED_STEPS`); None takes the exact value.
    selection : {"balanced", "normal-only"}
        ``"balanced"`` looks at labels of test images, and its `Threshold` says so.
    share : float
        Share of the test images of each type that ``"balanced"`` chooses with; at least one of
        each.
    strict : bool
        Take these images out of the test set; the published method left them in. At least one of
        each type remains.
    connectivity : {4, 8}
    clear_border : bool
        Regions that touch the border do not count.
    seed : int
        Of the share.

    Returns
    -------
    AreaTuning

    Raises
    ------
    ValueError
        If the validation maps are all equal, no area has a threshold, a type has too few images for
        the share, or a parameter is out of range.

    References
    ----------
    Bergmann, Batzner, Fauser, Sattlegger, Steger, "The MVTec Anomaly Detection Dataset", IJCV 2021,
    section 5.2: a minimal area on validation images fixes the threshold.

    Examples
    --------
    >>> maps = np.random.default_rng(0).uniform(0, 0.2, size=(8, 16, 16))
    >>> test = maps[4:].copy()
    >>> test[2:, 4:8, 4:8] += 0.5
    >>> tuning = tune_area(maps[:4], test, [0, 0, 1, 1], ["good", "good", "cut", "cut"], areas=[4, 8, 16], share=0.5)
    >>> tuning.minimal_area, tuning.threshold.flag(tuning.levels(test)).tolist(), tuning.tested_on.sum()
    (4, [False, False, True, True], np.int64(2))
    """
    validation_maps = _checked_stack(validation_maps, "validation_maps")
    if selection not in SELECTIONS:
        raise ValueError(f"selection must be one of {', '.join(SELECTIONS)}; got {selection!r}")
    if step is not None and not step > 0:
        raise ValueError(
            f"step must be above 0, such as 0.002, or None for exact thresholds; got {step}"
        )
    areas = np.unique(np.asarray(list(areas), dtype=int))
    pixels = validation_maps[0].size
    if areas.size == 0 or areas[0] < 1 or areas[0] > pixels:
        raise ValueError(
            f"areas must hold numbers of pixels from 1 to {pixels}, the size of a map; got {areas.tolist()}"
        )
    areas = areas[areas <= pixels]
    if validation_maps.min() == validation_maps.max():
        raise ValueError(
            f"validation_maps are all equal ({validation_maps.flat[0]:g} everywhere): no threshold can be learned from them; "
            "look at the detector's reconstructions"
        )
    settings = {"connectivity": connectivity, "clear_border": clear_border}
    thresholds = _thresholds(validation_maps, area_levels(validation_maps, areas, **settings), step)
    if np.isnan(thresholds).all():
        raise ValueError(
            f"no area from {areas[0]} to {areas[-1]} has a threshold: some validation map holds the highest possible value, "
            f"{_ceiling(validation_maps):g}, in a region of {areas[-1]} pixels or more; try larger areas, or float maps"
        )

    count = 0 if test_maps is None else len(test_maps)
    if selection == "balanced":
        if test_maps is None or labels is None or types is None:
            raise ValueError(
                "selection='balanced' needs test_maps, labels and types; without defective images use "
                "selection='normal-only' with planted_maps"
            )
        test_maps = _checked_stack(test_maps, "test_maps", like=validation_maps)
        anomalous = checked_labels(labels, count, both_classes=True)
        chosen = _stratified_share(checked_types(types, count), share, strict, seed)
        levels = area_levels(test_maps[chosen], areas, **settings)
        positive, negative = levels[anomalous[chosen]], levels[~anomalous[chosen]]
        rule = f"no good validation image has a region of so many pixels above it; area chosen on {int(chosen.sum())} test images"
    else:
        if planted_maps is None:
            raise ValueError(
                "selection='normal-only' needs planted_maps: residual maps of good images with planted patches"
            )
        planted_maps = _checked_stack(planted_maps, "planted_maps", like=validation_maps)
        chosen = np.zeros(count, dtype=bool)
        positive, negative = (
            area_levels(planted_maps, areas, **settings),
            area_levels(validation_maps, areas, **settings),
        )
        rule = "no good validation image has a region of so many pixels above it; area chosen with planted patches"
    with np.errstate(invalid="ignore"):
        true_positive_rate = np.where(
            np.isnan(thresholds), np.nan, (positive > thresholds).mean(axis=0)
        )
        true_negative_rate = np.where(
            np.isnan(thresholds), np.nan, (negative <= thresholds).mean(axis=0)
        )
    balanced = (true_positive_rate + true_negative_rate) / 2
    best = int(np.nanargmax(balanced))
    table = pd.DataFrame(
        {
            "area": areas,
            "threshold": thresholds,
            "true_positive_rate": true_positive_rate,
            "true_negative_rate": true_negative_rate,
            "balanced": balanced,
        }
    )
    return AreaTuning(
        int(areas[best]),
        Threshold(thresholds[best], rule, uses_test_labels=selection == "balanced"),
        table,
        selection,
        strict,
        chosen,
        step,
        connectivity,
        clear_border,
    )


def _checked_stack(maps, name, like=None):
    maps = np.asarray(maps)
    if maps.dtype != np.uint8:
        maps = checked_map(maps, name)
    if maps.ndim != 3:
        raise ValueError(f"{name} must have shape (n, h, w); got {maps.shape}")
    if like is not None and (
        maps.shape[1:] != like.shape[1:] or (maps.dtype == np.uint8) != (like.dtype == np.uint8)
    ):
        raise ValueError(
            f"{name} must be of the same size and kind as validation_maps, {like.shape[1:]} {like.dtype}; "
            f"got {maps.shape[1:]} {maps.dtype}"
        )
    return maps


def _ceiling(maps):
    return 255.0 if maps.dtype == np.uint8 else np.inf


def _thresholds(maps, levels, step):
    """For each area the smallest threshold with no so large a region strictly above it in any map; NaN where nothing can lie above."""
    lowest = float(maps.min())
    highest_level = np.maximum(levels.max(axis=0), lowest)
    thresholds = highest_level
    if step is not None:
        start = np.floor(lowest / step) * step
        # Rounded first, so that a level that is a multiple of the step but for rounding stays where
        # it is.
        thresholds = start + np.ceil(np.round((highest_level - start) / step, 6)) * step
        thresholds = np.maximum(thresholds, highest_level)
    return np.where(thresholds >= _ceiling(maps), np.nan, thresholds)


def _stratified_share(types, share, strict, seed):
    """A seeded choice of images, so many of each type: bool (n,)."""
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, such as 0.2; got {share}")
    random, chosen = np.random.default_rng(seed), np.zeros(len(types), dtype=bool)
    for kind in np.unique(types):
        members = np.flatnonzero(types == kind)
        wanted = max(1, round(share * len(members)))
        if strict and wanted >= len(members):
            raise ValueError(
                f"type '{kind}' has {len(members)} test images, but a share of {share:g} takes {wanted} of them for the choice "
                "of the area and none would be left to test on: use selection='normal-only', or strict=False and say so"
            )
        chosen[random.permutation(members)[:wanted]] = True
    return chosen
