"""The coreset of a memory bank: few points that represent many."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.arrays import Floats
from adhelpers._shared.progress import progress

# Largest number of candidates in one round of the greedy choice.
_CANDIDATES = 1024
# So many coresets of one level are merged into one of the next.
_MERGED = 8

Points = NDArray[np.float32]


def greedy_coreset(
    points: Floats, count: int, *, seed: int = 0, show_progress: bool = False
) -> NDArray[np.int64]:
    """Choose points such that every point has a chosen one near it: greedy k-centre.

    One point after the other is chosen, each the farthest from all those before it; no point is
    then farther from a chosen one than twice the best possible (Gonzalez, "Clustering to minimize
    the maximum intercluster distance", 1985; as the coreset of a memory bank: arXiv 2106.08265).
    The plain algorithm passes over all points for each choice. Here a round takes the farthest
    points as candidates and goes on among them for as long as none outside can be farther, since
    distances to the chosen only shrink; then all points are updated at once by one matrix product.
    The choice is the same.

    Parameters
    ----------
    points : ndarray of float32, shape (n, d)
    count : int
        Points to choose, 1 to n.
    seed : int
        For the first point.
    show_progress : bool

    Returns
    -------
    ndarray of int64, shape (count,)
        Indices in the order in which they were chosen.

    Raises
    ------
    ValueError
        For a count that is not between 1 and n.

    Examples
    --------
    >>> greedy_coreset(np.float32([[0], [1], [9], [10]]), 2, seed=3).tolist()
    [3, 0]
    """
    centred = np.ascontiguousarray(points, dtype=np.float32)
    if not 1 <= count <= len(centred):
        raise ValueError(f"coreset: {count} points were asked for of {len(centred)}")
    centred = centred - centred.mean(axis=0)
    lengths = (centred**2).sum(axis=1)
    chosen = [int(np.random.default_rng(seed).integers(len(centred)))]
    nearest = _squared_distances(centred, lengths, centred[chosen], lengths[chosen])[:, 0]
    nearest[chosen] = -1
    with progress(description="coreset", total=count, enabled=show_progress) as bar:
        bar.update(1)
        while len(chosen) < count:
            new = _round(centred, lengths, nearest, count - len(chosen))
            for start in range(0, len(centred), 65536):
                part = slice(start, start + 65536)
                distances = _squared_distances(
                    centred[part], lengths[part], centred[new], lengths[new]
                )
                np.minimum(nearest[part], distances.min(axis=1), out=nearest[part])
            nearest[new] = -1
            chosen += new
            bar.update(len(new))
    return np.array(chosen, dtype=np.int64)


def _squared_distances(
    points: Points, lengths: Points, others: Points, other_lengths: Points
) -> Points:
    values = points @ others.T
    values *= -2
    values += lengths[:, None]
    values += other_lengths
    return np.maximum(values, 0, out=values)


def _round(points: Points, lengths: Points, nearest: Points, wanted: int) -> list[int]:
    """Choices among the farthest points, up to where one outside could be farther."""
    size = min(_CANDIDATES, len(points))
    candidates, outside = np.arange(len(points)), np.float32(-1)
    if size < len(points):
        order = np.argpartition(nearest, len(points) - size - 1)
        # In the order of their indices, so that of equals the first is taken as by argmax over all.
        candidates, outside = np.sort(order[-size:]), nearest[order[-size - 1]]
    local, chosen = nearest[candidates].copy(), list[int]()
    while len(chosen) < wanted:
        farthest = int(local.argmax())
        if chosen and local[farthest] <= outside:
            break
        place = candidates[farthest]
        chosen.append(int(place))
        distances = _squared_distances(
            points[candidates], lengths[candidates], points[[place]], lengths[[place]]
        )[:, 0]
        np.minimum(local, distances, out=local)
        local[farthest] = -1
    return chosen


@dataclass(frozen=True)
class _Part:
    """Points that represent a block or several, and what belongs to each of them."""

    points: Points
    carried: NDArray[Any]


class StreamedCoreset:
    """The coreset of points that come in blocks and are never in memory all at once.

    Merge and reduce: of each block `greedy_coreset` keeps as many points as are wanted in the end;
    eight such coresets are put together and reduced to one again, and so on. Each block keeps
    enough points to stand for all of it by itself, so every level adds to the distance of a point
    from the nearest chosen one no more than twice the best possible (Malkomes et al., "Fast
    distributed k-center clustering with outliers on massive data", NeurIPS 2015). One block gives
    just `greedy_coreset`. Time is linear in the number of points; memory is that of a block and of
    eight coresets a level.

    Parameters
    ----------
    count : int
        Points to choose; where there are fewer, all are kept.
    seed : int

    Examples
    --------
    >>> coreset = StreamedCoreset(2)
    >>> for block in ([[0.0], [1.0]], [[9.0], [10.0]], [[0.5], [9.5]]):
    ...     coreset.add(np.float32(block), np.float32(block))
    >>> coreset.chosen().ravel().tolist()
    [0.0, 9.5]
    """

    def __init__(self, count: int, *, seed: int = 0) -> None:
        if count < 1:
            raise ValueError(f"coreset: {count} points were asked for")
        self.count, self.seed = count, seed
        self._levels: list[list[_Part]] = []

    def add(self, points: Floats, carried: NDArray[Any], *, show_progress: bool = False) -> None:
        """Take a block of points in.

        Parameters
        ----------
        points : ndarray of float32, shape (n, d)
            Between which distances are measured.
        carried : ndarray, shape (n, ...)
            What is kept of each chosen point.
        show_progress : bool
        """
        part = self._reduced(_Part(np.asarray(points, np.float32), carried), show_progress)
        for level in self._levels:
            level.append(part)
            if len(level) < _MERGED:
                return
            part = self._reduced(_together(level), show_progress)
            level.clear()
        self._levels.append([part])

    def chosen(self, *, show_progress: bool = False) -> NDArray[Any]:
        """What was carried with the chosen points, in the order in which it came: (count, ...).

        Raises
        ------
        ValueError
            Where no points have come.
        """
        # The higher a level, the earlier its points have come.
        parts = [part for level in reversed(self._levels) for part in level]
        if not parts:
            raise ValueError("coreset: there are no points")
        return self._reduced(_together(parts), show_progress).carried

    def _reduced(self, part: _Part, show_progress: bool) -> _Part:
        if len(part.points) <= self.count:
            return part
        kept = greedy_coreset(part.points, self.count, seed=self.seed, show_progress=show_progress)
        kept.sort()
        return _Part(part.points[kept], part.carried[kept])


def _together(parts: list[_Part]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    return _Part(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.carried for part in parts]),
    )
