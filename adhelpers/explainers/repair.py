"""The smallest repair: the smallest region whose replacement by the counterpart clears the flag."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import (
    binary_closing,
    binary_fill_holes,
    gaussian_filter,
    label,
    sum_labels,
    uniform_filter,
)

from adhelpers._shared.arrays import Flags, Floats, Integers, Maps, ScoreFunction
from adhelpers._shared.checks import checked_map

from .explanation import BatchedScore, Explanation, check_pair, versioned

# Pixels that touch at a corner belong together.
_TOUCHING = np.ones((3, 3), dtype=bool)
# Of the filter that keeps edges: half of its window as a share of the longer side, and the
# variance of what it takes for noise, a contrast of 0.03.
_WINDOW, _NOISE = 1 / 64, 1e-3
# Sizes of regions that are tried first, and how often the interval around a target is halved.
_SIZES, _HALVINGS = 8, 5
# Without an anomaly map, one evaluation in so many is a block of the coarse pass, each seen twice.
_BLOCK_SHARE = 5
# What is repaired first reaches down to this share of the peak: a smoothed edge is half as high as
# what it bounds, and what is faint beside the worst of a defect belongs to it too. What is repaired
# after it is there to make the image pass, and reaches less far.
_FIRST, _LATER = 0.4, 0.6
# So often what is left is repaired, before the size of a region of the highest pixels is searched.
_STEPS = 6
# The score is the map's maximum if they differ by no more than this share.
_EQUAL = 1e-3
# Where no region makes the image pass, one counts that removes all but this share of what the best
# one does.
_NEARLY = 0.05


@dataclass(frozen=True)
class Repair:
    """The smallest region that was found to make an image pass.

    Attributes
    ----------
    region : ndarray of bool, shape (h, w)
        Replaced by the counterpart, the image passes, if ``reached``. Empty where the image passes
        as it is, or nothing that was tried lowers its score.
    parts : ndarray of int, shape (h, w)
        The connected parts of the region, numbered from 1; 0 elsewhere.
    shares : tuple of float
        For each part: how much of what the repair removes comes back if this part alone is left
        out. The sum is 1 where each part counts for itself; each is 1 where the score is a maximum
        over the image and the parts are equally bad.
    evaluations : int
        Images scored.
    score_before, score_after : float
        Of the image, and of the repaired image.
    reached : bool
        Whether the repaired image passes. It does not where even the whole counterpart fails.
    looks_normal : bool
        Whether the repaired image scores no more than ``normal``.
    minimal : bool
        Whether it was seen of each part that the image does not pass without its repair.
    """

    region: Flags
    parts: Integers
    shares: tuple[float, ...]
    evaluations: int
    score_before: float
    score_after: float
    reached: bool
    looks_normal: bool
    minimal: bool


def smallest_repair(
    score: ScoreFunction,
    image: ArrayLike,
    counterpart: ArrayLike,
    *,
    passes: SupportsFloat,
    normal: SupportsFloat | None = None,
    anomaly_map: ArrayLike | Callable[[Any], Maps] | None = None,
    max_evaluations: int = 40,
    batch_size: int = 16,
) -> Repair:
    """Find the smallest region whose replacement by the counterpart makes an image pass.

    Pixels are ordered by the geometric mean of the anomaly map and of the difference between image
    and counterpart, which has the edges that a smoothed map has lost. What is connected with the
    peak and at least two fifths as high is repaired, then what is still anomalous, until the image
    passes. Where the score is the map's maximum, the first repair is of all places above
    ``passes``, and none reaches below ``normal`` (hysteresis, as in Canny, "A computational
    approach to edge detection", PAMI 1986). If that does not suffice, the size of a region of the
    highest pixels is searched by halving. Last, parts are left out as long as the image still
    passes.

    Parameters
    ----------
    score : callable
        ``score(images) -> (n,)`` for float32 images (n, h, w, c).
    image : ndarray, shape (h, w, c)
        In [0, 1], c = 1 or 3.
    counterpart : ndarray, shape (h, w, c)
        What a normal version of the image looks like to the detector.
    passes : float
        The threshold: an image passes whose score is not above.
    normal : float, optional
        A score that is usual for good images, at most ``passes``, such as a low quantile of the
        validation scores; default: ``passes``.
    anomaly_map : ndarray, shape (h, w), or callable, optional
        Higher is more anomalous. ``anomaly_map(images) -> (n, h, w)``, such as a detector's method,
        is asked again after each repair, which counts as an evaluation. Without, each of a few
        blocks is replaced, and kept alone, first.
    max_evaluations : int
        Largest number of images scored, or whose map is asked for, at least 16, or 32 without a
        map.
    batch_size : int
        Largest number of images in one call of the score.

    Returns
    -------
    Repair

    Raises
    ------
    ValueError
        For an argument out of range, or a score that does not return one finite number for each
        image.

    Examples
    --------
    >>> image = np.zeros((16, 16, 1)); image[2:5, 4:8] = 1
    >>> repair = smallest_repair(lambda images: images.max(axis=(1, 2, 3)), image, 0 * image,
    ...                          passes=0.5, anomaly_map=image[..., 0])
    >>> bool((repair.region == (image[..., 0] > 0)).all()), repair.score_after, repair.reached
    (True, 0.0, True)
    """
    image, counterpart = check_pair(image, counterpart)
    passes, normal = _checked_targets(passes, normal)
    least = 16 if anomaly_map is not None else 32
    if not isinstance(max_evaluations, (int, np.integer)) or max_evaluations < least:
        raise ValueError(
            f"max_evaluations must be a whole number of at least {least}, not {max_evaluations!r}"
        )
    trials = _Trials(BatchedScore(score, batch_size), image, counterpart, int(max_evaluations))
    if trials.before <= passes:
        return _result(trials, np.zeros(image.shape[:2], bool), passes, normal, True)
    if anomaly_map is None:
        first = _coarse_map(trials)
    elif callable(anomaly_map):
        trials.map_of = anomaly_map
        looked = trials.look(np.zeros(image.shape[:2], dtype=bool))
        first = _coarse_map(trials) if looked is None else looked
    else:
        first = _checked_map(anomaly_map, image.shape[:2])
    return _repair(trials, first, passes, normal)


# Raise the version when equal arguments give another explanation.
@versioned(3)
def explain_with_repair(
    score: ScoreFunction,
    image: ArrayLike,
    counterpart: ArrayLike,
    *,
    passes: float,
    normal: float | None = None,
    anomaly_map: Callable[[Any], Maps] | None = None,
    max_evaluations: int = 40,
    batch_size: int = 16,
    seed: int = 0,
) -> Explanation:
    """Explain the score of one image by its `smallest_repair`.

    Parameters
    ----------
    score, image, counterpart, passes, normal, max_evaluations, batch_size
        As in `smallest_repair`.
    anomaly_map : callable, optional
        ``anomaly_map(images) -> (n, h, w)``, such as a detector's method.
    seed : int
        Not used; all explainers share one signature.

    Returns
    -------
    Explanation
        Heatmap: in each part of the region by how much the score rises if this part alone is left
        out, 0 elsewhere. Details: ``score``, ``repaired score``, ``reached``, ``looks normal``,
        ``minimal``, ``evaluations``, ``area`` (share of the image), ``parts`` (their number) and
        ``shares``.

    Raises
    ------
    ValueError
        As `smallest_repair`.

    Examples
    --------
    >>> image = np.zeros((16, 16, 1)); image[2:5, 4:8] = 1
    >>> explanation = explain_with_repair(lambda images: images.max(axis=(1, 2, 3)), image,
    ...                                   0 * image, passes=0.5,
    ...                                   anomaly_map=lambda images: images.mean(axis=3))
    >>> bool((explanation.heatmap == image[..., 0]).all()), explanation.details["parts"]
    (True, 1)
    """
    image, counterpart = check_pair(image, counterpart)
    repair = smallest_repair(
        score,
        image,
        counterpart,
        passes=passes,
        normal=normal,
        anomaly_map=anomaly_map,
        max_evaluations=max_evaluations,
        batch_size=batch_size,
    )
    removed = repair.score_before - repair.score_after
    # Where too many parts were left to try each, those that were not tried count alike.
    shares = np.nan_to_num(np.array(repair.shares), nan=1 / max(len(repair.shares), 1))
    rises = np.r_[0.0, shares * removed]
    details = {
        "score": repair.score_before,
        "repaired score": repair.score_after,
        "reached": repair.reached,
        "looks normal": repair.looks_normal,
        "minimal": repair.minimal,
        "evaluations": repair.evaluations,
        "area": float(repair.region.mean()),
        "parts": len(repair.shares),
        "shares": list(repair.shares),
    }
    return Explanation(rises[repair.parts].astype(np.float32), details)


def _checked_targets(passes: SupportsFloat, normal: SupportsFloat | None) -> tuple[float, float]:
    passes = float(passes)
    normal = passes if normal is None else float(normal)
    for name, value in (("passes", passes), ("normal", normal)):
        if not np.isfinite(value):
            raise ValueError(f"{name} is a score and must be a finite number, not {value}")
    if normal > passes:
        raise ValueError(f"normal must be at most passes, {passes:g}, not {normal:g}")
    return passes, normal


def _checked_map(values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    found = checked_map(values, "anomaly_map").astype(np.float64)
    if found.shape != shape:
        raise ValueError(f"anomaly_map must have the shape {shape}, not {found.shape}")
    return found


class _Trials:
    """Repairs of one image: each region is scored once, and not more of them than allowed."""

    def __init__(
        self,
        score: BatchedScore,
        image: NDArray[np.float32],
        counterpart: NDArray[np.float32],
        limit: int,
    ) -> None:
        self.score, self.image, self.counterpart, self.limit = score, image, counterpart, limit
        self.map_of: Callable[[Any], Maps] | None = None
        self._looks = 0
        self._known: dict[bytes, float] = {}
        self.before = self([np.zeros(image.shape[:2], dtype=bool)])[0]

    @property
    def left(self) -> int:
        """How many more regions may be scored."""
        return self.limit - self.evaluations

    @property
    def evaluations(self) -> int:
        """Images scored, or whose anomaly map was asked for."""
        return self.score.evaluations + self._looks

    def pasted(self, region: Flags) -> NDArray[np.float32]:
        """The image with a region replaced."""
        return np.where(region[..., None], self.counterpart, self.image)

    def look(self, region: Flags) -> Floats | None:
        """The anomaly map of the image with a region replaced; None where it cannot be asked."""
        if self.map_of is None or not self.left:
            return None
        self._looks += 1
        return _checked_map(np.asarray(self.map_of(self.pasted(region)[None]))[0], region.shape)

    def __call__(self, regions: Sequence[Flags]) -> list[float]:
        """The score of the image with each region replaced; infinite if none is left."""
        keys = [np.packbits(region).tobytes() for region in regions]
        new = {key: region for key, region in zip(keys, regions, strict=True)}
        new = {key: region for key, region in new.items() if key not in self._known}
        tried = list(new)[: self.left]
        if tried:
            values = self.score(np.stack([self.pasted(new[key]) for key in tried])).tolist()
            self._known.update(zip(tried, values, strict=True))
        return [self._known.get(key, np.inf) for key in keys]

    def shares(self, region: Flags, parts: Integers) -> tuple[float, ...]:
        """What comes back without each part, as a share of what the repair removes."""
        without = self([region & (parts != part) for part in range(1, int(parts.max()) + 1)])
        after = self([region])[0]
        return tuple(
            (value - after) / (self.before - after) if np.isfinite(value) else np.nan
            for value in without
        )


def _difference(image: NDArray[np.float32], counterpart: NDArray[np.float32]) -> Floats:
    """How much each pixel differs from its counterpart, smoothed within the edges of the image.

    The guided filter of He, Sun and Tang, "Guided image filtering", PAMI 2013.
    """
    difference = np.abs(image.astype(np.float64) - counterpart).mean(axis=-1)
    guide = image.astype(np.float64).mean(axis=-1)
    window = 2 * max(1, round(max(guide.shape) * _WINDOW)) + 1

    def mean(values: Floats) -> Floats:
        return uniform_filter(values, window)

    together = mean(guide * difference) - mean(guide) * mean(difference)
    slope = together / (np.maximum(mean(guide**2) - mean(guide) ** 2, 0) + _NOISE)
    offset = mean(difference) - slope * mean(guide)
    return np.maximum(mean(slope) * guide + mean(offset), 0)


def _priority(anomaly_map: Floats, difference: Floats) -> Floats:
    """In which order pixels enter a region: high where the map is and the counterpart differs."""
    # Most of an image is as good images are, and there the map need not be 0.
    above = np.maximum(anomaly_map - np.median(anomaly_map), 0)
    if not above.any() or not difference.any():
        return anomaly_map - anomaly_map.min() + difference
    return np.sqrt(above * difference)


def _coarse_map(trials: _Trials) -> Floats:
    """How much the score falls where a block is replaced, and rises where it alone is kept."""
    height, width = trials.image.shape[:2]
    rows, columns = _grid(height, width, trials.limit // _BLOCK_SHARE)
    blocks = np.arange(height)[:, None] * rows // height * columns
    blocks = blocks + np.arange(width) * columns // width
    apart = [blocks == block for block in range(rows * columns)]
    whole, *found = trials([blocks >= 0, *apart, *(~block for block in apart)])
    replaced, kept = np.array(found).reshape(2, -1)
    # A fall is small where there are several defects, a rise where the counterpart is a poor one.
    change = np.maximum(trials.before - replaced, 0) + np.maximum(kept - whole, 0)
    return gaussian_filter(change[blocks], min(height / rows, width / columns) / 4)


def _grid(height: int, width: int, most: int) -> tuple[int, int]:
    """Rows and columns of at most ``most`` blocks that are as nearly square as can be."""
    grids = [
        (rows, most // rows) for rows in range(1, min(most, height) + 1) if most // rows <= width
    ]
    return min(grids, key=lambda grid: abs(np.log(height / grid[0] * grid[1] / width)))


def _outlined(region: Flags) -> Flags:
    """The region with its gaps closed and its holes filled, but for those larger than itself."""
    closed = binary_closing(np.pad(region, 1, mode="edge"), _TOUCHING)[1:-1, 1:-1] | region
    holes, count = label(binary_fill_holes(closed) & ~closed)
    small = sum_labels(holes > 0, holes, np.arange(count + 1)) <= closed.sum()
    return closed | ((holes > 0) & small[holes])


class _Levels:
    """Regions of the highest pixels of a map, by the number of its distinct values in them."""

    def __init__(self, trials: _Trials, priority: Floats) -> None:
        self._trials, self._priority = trials, priority
        values, counts = np.unique(priority, return_counts=True)
        self._values, self._sizes = values[::-1], np.cumsum(counts[::-1])
        self._scores: dict[int, float] = {}

    def region(self, level: int) -> Flags:
        """The pixels of the highest values, with a smooth outline; level 0 is the highest alone."""
        return _outlined(self._priority >= self._values[level])

    def search(self, target: float) -> int | None:
        """The smallest region that was found to reach the target, if any."""
        levels = np.arange(len(self._sizes))
        if len(levels) > _SIZES:
            sizes = np.geomspace(1, self._priority.size, _SIZES).round()
            levels = np.unique(np.searchsorted(self._sizes, sizes))
        self._try(levels.tolist())
        for _ in range(_HALVINGS):
            level = self.smallest(target)
            # The rest is for the parts.
            if level is None or self._trials.left <= self._trials.limit // 5:
                break
            before = max((one for one in self._scores if one < level), default=level)
            if level - before < 2:
                break
            middle = np.sqrt(self._sizes[before] * self._sizes[level])
            found = int(np.searchsorted(self._sizes, middle, side="right")) - 1
            self._try([min(max(found, before + 1), level - 1)])
        return self.smallest(target)

    def _try(self, levels: Sequence[int]) -> None:
        scores = self._trials([self.region(level) for level in levels])
        self._scores.update(zip(levels, scores, strict=True))

    def smallest(self, target: float) -> int | None:
        """The first level whose repair reaches the target, if any."""
        return min((level for level, one in self._scores.items() if one <= target), default=None)

    def lowest(self) -> float:
        """The lowest score of any region."""
        return min(self._scores.values())


def _repair(trials: _Trials, anomaly_map: Floats, passes: float, normal: float) -> Repair:
    difference = _difference(trials.image, trials.counterpart)
    priority = _priority(anomaly_map, difference)
    target = passes
    region = _by_parts(trials, anomaly_map, difference, passes, normal)
    if region is None:
        levels = _Levels(trials, priority)
        levels.search(passes)
        lowest = levels.lowest()
        # Not even the whole counterpart may pass; then nearly the best that can be done must do.
        if lowest > passes:
            target = lowest + _NEARLY * max(trials.before - lowest, 0)
        level = levels.search(target) if target < trials.before else None
        if level is None:
            return _result(trials, np.zeros(priority.shape, dtype=bool), passes, normal, True)
        region = levels.region(level)
    region, minimal = _fewest_parts(trials, region, priority, target)
    return _result(trials, region, passes, normal, minimal)


def _by_parts(
    trials: _Trials, anomaly_map: Floats, difference: Floats, passes: float, normal: float
) -> Flags | None:
    """Repair the worst, look what is left, repair that, until the image passes; None if not."""
    highest = float(anomaly_map.max())
    same = abs(highest - trials.before) <= _EQUAL * abs(trials.before)
    floor, enough = (normal, passes) if same else (-np.inf, np.inf)
    # A map that is high everywhere, as distances of features are, falls less towards an edge.
    flatness = float(np.clip(np.median(anomaly_map) / highest, 0, 1)) if highest > 0 else 0.0
    region = np.zeros(difference.shape, dtype=bool)
    share = _FIRST
    for _ in range(_STEPS):
        order = np.where(region, 0.0, _priority(anomaly_map, difference))
        # Where nothing above the floor is left, what is below it is the reason.
        above = np.where(anomaly_map >= floor, order, 0.0)
        order = above if above.any() else order
        peak = order.max()
        if not peak > 0:
            return None
        high = order >= (share + flatness * (_LATER - share)) * peak
        seeds = (order == peak) | high & (anomaly_map > enough)
        region = _outlined(region | _touched(high, seeds))
        if trials([region])[0] <= passes:
            return region
        seen = trials.look(region)
        anomaly_map = anomaly_map if seen is None else seen
        share, enough = _LATER, np.inf
    return None


def _touched(wide: Flags, narrow: Flags) -> Flags:
    """The parts of a wide region that touch a narrow one."""
    parts, count = label(wide, _TOUCHING)
    kept = np.zeros(count + 1, dtype=bool)
    kept[parts[narrow]] = True
    kept[0] = False
    return kept[parts]


def _fewest_parts(
    trials: _Trials, region: Flags, priority: Floats, target: float
) -> tuple[Flags, bool]:
    """The region without the parts that are not needed, and whether each other one is."""
    parts, count = label(region, _TOUCHING)
    weights = sum_labels(priority, parts, np.arange(1, count + 1))
    spare = (np.argsort(weights, kind="stable") + 1).tolist()
    kept = set(spare)
    while len(kept) > 1:
        # The most of the least ones that can be left out together, by halving.
        low, high = 0, len(spare)
        while low < high:
            middle = (low + high + 1) // 2
            without = np.isin(parts, list(kept - set(spare[:middle])))
            if trials([without])[0] <= target:
                low = middle
            else:
                high = middle - 1
        kept -= set(spare[:low])
        order = [part for part in sorted(kept, key=lambda part: weights[part - 1])]
        alone = trials([np.isin(parts, list(kept - {part})) for part in order])
        spare = [part for part, value in zip(order, alone, strict=True) if value <= target]
        if not spare:
            return np.isin(parts, list(kept)), bool(np.isfinite(alone).all())
    return np.isin(parts, list(kept)), True


def _result(trials: _Trials, region: Flags, passes: float, normal: float, minimal: bool) -> Repair:
    parts, _ = label(region, _TOUCHING)
    shares, after = trials.shares(region, parts), trials([region])[0]
    return Repair(
        region,
        parts,
        shares,
        trials.evaluations,
        trials.before,
        after,
        after <= passes,
        after <= normal,
        minimal,
    )
