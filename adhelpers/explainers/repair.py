"""The smallest repair: the smallest region whose replacement by the counterpart clears the flag."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import (
    binary_closing,
    binary_fill_holes,
    distance_transform_edt,
    gaussian_filter,
    label,
    median_filter,
    sum_labels,
)

from adhelpers._shared.arrays import Flags, Floats, Integers, Maps, ScoreFunction
from adhelpers._shared.checks import checked_map

from .explanation import BatchedScore, Explanation, check_pair, versioned

# Pixels that touch at a corner belong together.
_TOUCHING = np.ones((3, 3), dtype=bool)
# The median over such a part of the longer side keeps the edges of what is as large as defects
# that people look for and drops the noise between.
_MEDIAN = 50
# So much of the difference itself is added, or a defect of a single pixel would be lost.
_DETAIL = 0.25
# Exponent of the difference in the order of pixels, beside that of an anomaly map or a coarse one.
_BESIDE_MAP, _BESIDE_COARSE = 0.2, 0.5
# Sizes of regions that are tried first, and how often the interval around a target is halved.
_SIZES, _HALVINGS = 8, 5
# Without an anomaly map, one evaluation in so many is a block of the coarse pass, each seen twice.
_BLOCK_SHARE = 5
# A part reaches beyond what makes the image pass by this share of the longer side. If more than the
# other share of the image must be replaced for it to look normal, that says nothing of a part.
_REACH, _WIDEST = 0.05, 0.1
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
        Whether a repair of the same extent, also of what is only slightly unusual elsewhere, brings
        the score down to ``normal``.
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
    anomaly_map: ArrayLike | None = None,
    max_evaluations: int = 40,
    batch_size: int = 16,
) -> Repair:
    """Find the smallest region whose replacement by the counterpart makes an image pass.

    Which parts are repaired: as few as make the image pass. How far each of them reaches: as far as
    is needed for the image to look normal, if that is not far. Regions are the highest pixels: to
    pass, of a weighted geometric mean of the anomaly map and of the difference between image and
    counterpart; to look normal, of the difference, because replacing what is equal changes nothing.
    Their size is searched for both targets; of what looks normal, that is kept which touches what
    passes (hysteresis, as in Canny, "A computational approach to edge detection", PAMI 1986), and
    parts are left out as long as the image still passes.

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
    anomaly_map : ndarray, shape (h, w), optional
        Higher is more anomalous. Without, each of a few blocks is replaced, and kept alone, first.
    max_evaluations : int
        Largest number of images scored, at least 16, or 32 without a map.
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
        return _result(
            trials, np.zeros(image.shape[:2], bool), passes, trials.before <= normal, True
        )
    weight = _BESIDE_MAP
    if anomaly_map is None:
        anomaly_map, weight = _coarse_map(trials), _BESIDE_COARSE
    anomaly_map = checked_map(anomaly_map, "anomaly_map").astype(np.float64)
    if anomaly_map.shape != image.shape[:2]:
        raise ValueError(
            f"anomaly_map must have the shape {image.shape[:2]}, not {anomaly_map.shape}"
        )
    difference = _difference(image, counterpart)
    return _repair(trials, _priority(anomaly_map, difference, weight), difference, passes, normal)


# Raise the version when equal arguments give another explanation.
@versioned(1)
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
        ``anomaly_map(images) -> (n, h, w)``, such as a detector's method; called once.
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
    given = None if anomaly_map is None else np.asarray(anomaly_map(image[None]))[0]
    repair = smallest_repair(
        score,
        image,
        counterpart,
        passes=passes,
        normal=normal,
        anomaly_map=given,
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
        self._known: dict[bytes, float] = {}
        self.before = self([np.zeros(image.shape[:2], dtype=bool)])[0]

    @property
    def left(self) -> int:
        """How many more regions may be scored."""
        return self.limit - self.score.evaluations

    def __call__(self, regions: Sequence[Flags]) -> list[float]:
        """The score of the image with each region replaced; infinite if none is left."""
        keys = [np.packbits(region).tobytes() for region in regions]
        new = {key: region for key, region in zip(keys, regions, strict=True)}
        new = {key: region for key, region in new.items() if key not in self._known}
        tried = list(new)[: self.left]
        if tried:
            pasted = [np.where(new[key][..., None], self.counterpart, self.image) for key in tried]
            values = self.score(np.stack(pasted)).tolist()
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
    """How much each pixel differs from its counterpart, without noise but with its edges."""
    difference = np.abs(image.astype(np.float64) - counterpart).mean(axis=-1)
    side = max(3, max(difference.shape) // _MEDIAN // 2 * 2 + 1)
    return median_filter(difference, side) + _DETAIL * difference


def _priority(anomaly_map: Floats, difference: Floats, weight: float) -> Floats:
    """In which order pixels enter a region: high where the map is and the counterpart differs."""
    above = anomaly_map - anomaly_map.min()
    if not above.any() or not difference.any():
        return above + difference
    return above ** (1 - weight) * difference**weight


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

    def size(self, level: int) -> int:
        """Pixels of a region before its outline is smoothed."""
        return int(self._sizes[level])

    def lowest(self) -> float:
        """The lowest score of any region."""
        return min(self._scores.values())


def _repair(
    trials: _Trials, priority: Floats, difference: Floats, passes: float, normal: float
) -> Repair:
    passing = _Levels(trials, priority)
    passing.search(passes)
    lowest = passing.lowest()
    # Not even the whole counterpart may pass; then nearly the best that can be done must do.
    target = passes if lowest <= passes else lowest + _NEARLY * max(trials.before - lowest, 0)
    level = passing.search(target) if target < trials.before else None
    if level is None:
        return _result(trials, np.zeros(priority.shape, dtype=bool), passes, False, True)
    narrow = passing.region(level)
    extended = _extended(trials, narrow, difference, min(normal, target))
    start = narrow
    # Regions need not add up: what holds one that passes may fail.
    if extended is not None and trials([extended])[0] <= target:
        start = extended
    region, minimal = _fewest_parts(trials, start, priority, target)
    return _result(trials, region, passes, start is extended and lowest <= passes, minimal)


def _extended(trials: _Trials, narrow: Flags, difference: Floats, normal: float) -> Flags | None:
    """A region as far as is needed for the image to look normal, or None if that says nothing."""
    levels = _Levels(trials, difference)
    level = levels.search(normal)
    if level is None or levels.size(level) > _WIDEST * narrow.size:
        return None
    near = distance_transform_edt(~narrow) <= _REACH * max(narrow.shape)
    return _touched(levels.region(level) & near | narrow, narrow)


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


def _result(
    trials: _Trials, region: Flags, passes: float, looks_normal: bool, minimal: bool
) -> Repair:
    parts, _ = label(region, _TOUCHING)
    shares, after = trials.shares(region, parts), trials([region])[0]
    return Repair(
        region,
        parts,
        shares,
        trials.score.evaluations,
        trials.before,
        after,
        after <= passes,
        looks_normal,
        minimal,
    )
