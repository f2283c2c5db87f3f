"""SHAP: the share of each region in the difference from the counterpart's score."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.arrays import ScoreFunction

from .composed import ComposedImage, RegionScoresOf
from .explanation import Explanation, check_pair, versioned

# Relative to the largest score involved: float32 models repeat themselves to about 1e-6 between
# batches.
_ADDITIVITY_TOLERANCE = 1e-4
_SMALLEST_BUDGET = 4

# First and last row, first and last column, the last ones not included.
_Box: TypeAlias = tuple[int, int, int, int]


# Raise the version when equal arguments give another explanation.
@versioned(2)
def explain_with_shap(
    score: ScoreFunction,
    image: ArrayLike,
    counterpart: ArrayLike,
    *,
    max_evaluations: int = 500,
    region_scores: RegionScoresOf | None = None,
    batch_size: int = 16,
    seed: int = 0,
) -> Explanation:
    """Explain the score of one image with Owen values of nested regions.

    The image is halved again and again along its longer side, the regions that change the score
    most first; each region gets its Owen value, the Shapley value for this nesting of regions [1]_.
    "Absent" means replaced by the counterpart. Where the budget ends, the share of a region is
    spread evenly over its pixels. It is the method of shap's ``PartitionExplainer`` [2]_, without
    the tree of all pixels that shap prepares and the functions that it compiles.

    Parameters
    ----------
    score : callable
        ``score(images) -> (n,)`` for float32 images (n, h, w, c).
    image : ndarray, shape (h, w, c)
        In [0, 1], c = 1 or 3.
    counterpart : ndarray, shape (h, w, c)
        What a normal version of the image looks like to the detector.
    max_evaluations : int
        Budget of scored images, at least 4. More shows finer regions: each halving of all regions
        costs about four times as many as the one before, 500 come to regions of about 1/60 of the
        image's area, finer where the score changes.
    region_scores : callable, optional
        ``region_scores(image, counterpart)``, where a detector offers a quicker way to the scores
        of composed images, see `RegionScores`; ``score`` is only asked for a check then.
    batch_size : int
        Largest number of images in one call of the score; on CPUs small batches stay in the cache
        and are quicker than 64. As many regions are halved at once, so it can change which.
    seed : int
        Orders regions whose effects are exactly equal.

    Returns
    -------
    Explanation
        Heatmap: each pixel's share, in units of the score; all shares sum to the score of the image
        minus that of the counterpart. Details: ``score``, ``base_value`` (the counterpart's score),
        ``num_evaluations``, ``additivity_error`` (absolute, in units of the score).

    Raises
    ------
    ValueError
        For an image, counterpart, score or budget out of range.
    RuntimeError
        If the shares do not sum to the difference of the scores to 1e-4 of the larger score: the
        score gives different values for the same image, or depends on the other images in the
        batch.

    References
    ----------
    .. [1] G. Owen, "Values of games with a priori unions", 1977.
    .. [2] S. M. Lundberg and S.-I. Lee, "A unified approach to interpreting model predictions",
       NeurIPS 2017.

    Examples
    --------
    >>> image = np.zeros((8, 8, 1)); image[2:4, 4:8] = 1
    >>> def score(images):
    ...     return images.sum(axis=(1, 2, 3))
    >>> explanation = explain_with_shap(score, image, np.zeros((8, 8, 1)))
    >>> np.allclose(explanation.heatmap, image[..., 0])
    True
    """
    image, counterpart = check_pair(image, counterpart)
    if not isinstance(max_evaluations, (int, np.integer)) or max_evaluations < _SMALLEST_BUDGET:
        raise ValueError(
            f"max_evaluations must be an integer of at least {_SMALLEST_BUDGET}, not "
            f"{max_evaluations!r}"
        )
    composed = ComposedImage(score, image, counterpart, batch_size, region_scores)
    game = _Halving(composed, image.shape[:2], int(batch_size), seed)
    while game.halve(max_evaluations - composed.evaluations):
        pass
    values = game.heatmap()
    # Scored again, because the shares telescope and would always agree with themselves.
    of_image, of_counterpart = composed.whole(image), composed.whole(counterpart)
    error = abs(values.sum() + of_counterpart - of_image)
    if error > _ADDITIVITY_TOLERANCE * max(abs(of_image), abs(of_counterpart)):
        raise RuntimeError(
            f"SHAP values sum to {values.sum():.6g}, but the score rises by "
            f"{of_image - of_counterpart:.6g} from counterpart to image: score must give the same "
            "value for the same image in every batch"
        )
    details = {
        "score": of_image,
        "base_value": of_counterpart,
        "num_evaluations": composed.evaluations,
        "additivity_error": float(error),
    }
    return Explanation(values.astype(np.float32), details)


@dataclass(frozen=True)
class _Context:
    """What is shown beside a region: as an array, and as a sum of known regions."""

    shown: NDArray[np.bool_]
    regions: dict[int, int]

    def joined(self, box: _Box, regions: dict[int, int]) -> "_Context":
        """The same with a box, which is the sum of ``regions``."""
        shown = self.shown.copy()
        shown[box[0] : box[1], box[2] : box[3]] = True
        return _Context(shown, _sum(self.regions, regions))


@dataclass(frozen=True)
class _Share:
    """What a region adds to the score in one context, and how much of it counts."""

    box: _Box
    # How known regions make up the box.
    regions: dict[int, int]
    context: _Context
    without: float
    with_it: float
    weight: float

    @property
    def value(self) -> float:
        return (self.with_it - self.without) * self.weight


class _Halving:
    """The regions of one image, and the shares that they have got so far."""

    def __init__(
        self, composed: ComposedImage, shape: tuple[int, int], batch_size: int, seed: int
    ) -> None:
        self._composed, self._shape, self._batch_size = composed, shape, batch_size
        self._draws = np.random.default_rng(seed)
        self._indices: dict[_Box, int] = {}
        self._pixels: list[_Share] = []
        # Largest share first; a random number decides between equals.
        self._waiting: list[tuple[float, float, _Share]] = []
        whole = (0, shape[0], 0, shape[1])
        self._learn([whole])
        empty = _Context(np.zeros(shape, bool), {})
        full = empty.joined(whole, {0: 1})
        without, with_it = self._scores([empty, full])
        self._wait(_Share(whole, {0: 1}, empty, without, with_it, 1.0))

    def _wait(self, share: _Share) -> None:
        heapq.heappush(self._waiting, (-abs(share.value), self._draws.random(), share))

    def _learn(self, boxes: list[_Box]) -> None:
        """Give boxes that were not met before a number, and add them to the known regions."""
        new = [box for box in dict.fromkeys(boxes) if box not in self._indices]
        regions = np.zeros((len(new), *self._shape), bool)
        for region, (top, bottom, left, right) in zip(regions, new, strict=True):
            region[top:bottom, left:right] = True
        self._indices |= {box: len(self._indices) + index for index, box in enumerate(new)}
        self._composed.add(regions)

    def _scores(self, contexts: list[_Context]) -> Iterator[float]:
        present = np.zeros((len(contexts), len(self._indices)), np.float32)
        for row, context in zip(present, contexts, strict=True):
            row[list(context.regions)] = list(context.regions.values())
        return map(float, self._composed(np.stack([one.shown for one in contexts]), present))

    def halve(self, budget: int) -> bool:
        """Halve the regions with the largest shares; False where nothing could be done."""
        size = min(self._batch_size, budget)
        chosen: list[_Share] = []
        while self._waiting and (2 * len(chosen) + 2 <= size or (not chosen and budget >= 2)):
            share = heapq.heappop(self._waiting)[2]
            (chosen if _area(share.box) > 1 else self._pixels).append(share)
        if not chosen:
            return False
        halves = [_halves(share.box) for share in chosen]
        # The second half is the whole without the first, so only first halves are new regions.
        self._learn([first for first, _ in halves])
        contexts, parts = [], []
        for share, (first, second) in zip(chosen, halves, strict=True):
            of_first = {self._indices[first]: 1}
            of_second = _sum(share.regions, {self._indices[first]: -1})
            parts.append((of_first, of_second))
            contexts += [
                share.context.joined(first, of_first),
                share.context.joined(second, of_second),
            ]
        values = self._scores(contexts)
        for share, boxes, regions, beside in zip(
            chosen, halves, parts, zip(contexts[::2], contexts[1::2], strict=True), strict=True
        ):
            scores = next(values), next(values)
            for one, other in ((0, 1), (1, 0)):
                # Once without the other half, once beside it; half of the share each.
                for context, without, with_it in (
                    (share.context, share.without, scores[one]),
                    (beside[other], scores[other], share.with_it),
                ):
                    self._wait(
                        _Share(
                            boxes[one], regions[one], context, without, with_it, share.weight / 2
                        )
                    )
        return True

    def heatmap(self) -> NDArray[np.float64]:
        """Each pixel's share so far, that of a region spread evenly: (h, w)."""
        values = np.zeros(self._shape)
        for share in (*self._pixels, *(waiting for _, _, waiting in self._waiting)):
            top, bottom, left, right = share.box
            values[top:bottom, left:right] += share.value / _area(share.box)
        return values


def _sum(one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
    return one | {region: number + one.get(region, 0) for region, number in other.items()}


def _area(box: _Box) -> int:
    return (box[1] - box[0]) * (box[3] - box[2])


def _halves(box: _Box) -> tuple[_Box, _Box]:
    """A box cut in the middle of its longer side, of equal sides between rows.

    Of an odd number of pixels the first half has one more.
    """
    top, bottom, left, right = box
    if bottom - top >= right - left:
        middle = (top + bottom + 1) // 2
        return (top, middle, left, right), (middle, bottom, left, right)
    middle = (left + right + 1) // 2
    return (top, bottom, left, middle), (top, bottom, middle, right)
