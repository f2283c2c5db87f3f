"""Nearest neighbours within a bound of memory, and the coreset: few points that stand for many."""
from importlib.util import find_spec

import numpy as np

from .._progress import progress

SEARCHES = ("auto", "numpy", "faiss")
CORESETS = ("exact", "approximate", "random")
_MEBIBYTE = 2**20
# Largest number of candidates of one round of the greedy choice, and the share of the farthest distance that "approximate" gives up.
_CANDIDATES = 1024
_SLACK = 0.1


def nearest_neighbours(queries, bank, count=1, *, search="auto", memory_limit=256):
    """The nearest points of a bank, by Euclidean distance.

    Parameters
    ----------
    queries : ndarray of float32, shape (m, d)
    bank : ndarray of float32, shape (n, d)
    count : int
        Neighbours of each query, at most n.
    search : {"auto", "numpy", "faiss"}
        ``"auto"`` takes ``faiss`` where the package faiss-cpu is installed. Both are exact: the distances are equal, and so are
        the indices but for points equally near.
    memory_limit : float
        Mebibytes that the search may take beside its arguments and its result. Fewer queries are compared at once to keep it; only a
        bound below the distances of one query (12 n bytes) is exceeded.

    Returns
    -------
    distances : ndarray of float32, shape (m, count)
        Ascending.
    indices : ndarray of int64, shape (m, count)

    Raises
    ------
    ValueError
        If the bank holds fewer than ``count`` points, or a parameter is out of range.
    ModuleNotFoundError
        For ``search="faiss"`` where it is not installed.

    Examples
    --------
    >>> distances, indices = nearest_neighbours(np.float32([[0, 0]]), np.float32([[3, 4], [1, 0]]))
    >>> distances.tolist(), indices.tolist()
    ([[1.0]], [[1]])
    """
    queries, bank = np.ascontiguousarray(queries, dtype=np.float32), np.ascontiguousarray(bank, dtype=np.float32)
    if search not in SEARCHES:
        raise ValueError(f"search must be one of {', '.join(SEARCHES)}, not {search!r}.")
    if not 1 <= count <= len(bank):
        raise ValueError(f"neighbours: {count} nearest points were asked for, but the bank holds {len(bank)}.")
    if not memory_limit > 0:
        raise ValueError(f"memory_limit must be above 0 mebibytes, not {memory_limit}.")
    installed = find_spec("faiss") is not None
    if search == "faiss" and not installed:
        raise ModuleNotFoundError('search="faiss" needs the package faiss-cpu: pip install faiss-cpu')
    # Distances come from squared lengths and products, whose rounding grows with the distance from the origin.
    centre = bank.mean(axis=0)
    bank_centred = bank - centre
    find = _faiss_search(bank_centred) if search != "numpy" and installed else _numpy_search(bank_centred)
    limit = memory_limit * _MEBIBYTE
    # A distance is four bytes, an index of the partial sort eight; then a row of differences for each neighbour.
    rows = int(max(1, limit // (12 * len(bank) + 8 * (count + 1) * bank.shape[1])))
    distances, indices = np.empty((len(queries), count), np.float32), np.empty((len(queries), count), np.int64)
    for start in range(0, len(queries), rows):
        part = queries[start:start + rows]
        found = find(part - centre, count)
        exact = np.sqrt(((part[:, None] - bank[found]) ** 2).sum(axis=-1))
        order = np.argsort(exact, axis=1, kind="stable")
        distances[start:start + rows] = np.take_along_axis(exact, order, axis=1)
        indices[start:start + rows] = np.take_along_axis(found, order, axis=1)
    return distances, indices


def _numpy_search(bank):
    lengths = (bank**2).sum(axis=1)

    def find(queries, count):
        # The query's own length is the same for all points and changes no order.
        values = queries @ bank.T
        values *= -2
        values += lengths
        if count == 1:
            return values.argmin(axis=1)[:, None]
        if count == len(bank):
            return np.tile(np.arange(count), (len(queries), 1))
        return np.argpartition(values, count - 1, axis=1)[:, :count].copy()
    return find


def _faiss_search(bank):
    import faiss

    index = faiss.IndexFlatL2(bank.shape[1])
    index.add(bank)
    return lambda queries, count: index.search(np.ascontiguousarray(queries), count)[1]


def greedy_coreset(points, count, *, method="exact", seed=0, show_progress=False):
    """Choose points such that every point has a chosen one near it: greedy k-centre.

    One point after the other is chosen, each the farthest from all those before it; no point is then farther from a chosen one
    than twice the best possible (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985; as the coreset of a memory bank:
    arXiv 2106.08265). The plain algorithm passes over all points for each choice. Here a round takes the farthest points as candidates
    and goes on among them for as long as none outside can be farther, since distances to the chosen only shrink; then
    all points are updated at once by one matrix product. The choice is the same.

    Parameters
    ----------
    points : ndarray of float32, shape (n, d)
    count : int
        Points to choose, 1 to n.
    method : {"exact", "approximate", "random"}
        ``"approximate"`` lets a round go on until a point outside may be farther by a ninth: each choice is at least 0.9 times as far as
        the farthest point, fewer rounds are needed, and the bound is 2.2 in place of 2. ``"random"`` draws.
    seed : int
        For the first point, or for all random ones.
    show_progress : bool

    Returns
    -------
    ndarray of int64, shape (count,)
        Indices in the order in which they were chosen.

    Raises
    ------
    ValueError
        For another method, or a count that is not between 1 and n.

    Examples
    --------
    >>> greedy_coreset(np.float32([[0], [1], [9], [10]]), 2, seed=3).tolist()
    [3, 0]
    """
    points = np.ascontiguousarray(points, dtype=np.float32)
    if method not in CORESETS:
        raise ValueError(f"coreset_method must be one of {', '.join(CORESETS)}, not {method!r}.")
    if not 1 <= count <= len(points):
        raise ValueError(f"coreset: {count} points were asked for of {len(points)}.")
    random = np.random.default_rng(seed)
    if method == "random":
        return random.permutation(len(points))[:count]
    points = points - points.mean(axis=0)
    lengths = (points**2).sum(axis=1)
    chosen = [int(random.integers(len(points)))]
    nearest = _squared_distances(points, lengths, points[chosen], lengths[chosen])[:, 0]
    nearest[chosen] = -1
    keep = 1.0 if method == "exact" else (1 - _SLACK) ** 2
    with progress(description="coreset", total=count, enabled=show_progress) as bar:
        bar.update(1)
        while len(chosen) < count:
            new = _round(points, lengths, nearest, count - len(chosen), keep)
            for start in range(0, len(points), 65536):
                part = slice(start, start + 65536)
                distances = _squared_distances(points[part], lengths[part], points[new], lengths[new])
                np.minimum(nearest[part], distances.min(axis=1), out=nearest[part])
            nearest[new] = -1
            chosen += new
            bar.update(len(new))
    return np.array(chosen, dtype=np.int64)


def _squared_distances(points, lengths, others, other_lengths):
    values = points @ others.T
    values *= -2
    values += lengths[:, None]
    values += other_lengths
    return np.maximum(values, 0, out=values)


def _round(points, lengths, nearest, wanted, keep):
    """Choices among the farthest points, up to where one outside could be farther."""
    size = min(_CANDIDATES, len(points))
    candidates, outside = np.arange(len(points)), -1.0
    if size < len(points):
        order = np.argpartition(nearest, len(points) - size - 1)
        # In the order of their indices, so that of equals the first is taken as by argmax over all.
        candidates, outside = np.sort(order[-size:]), nearest[order[-size - 1]] * keep
    local, chosen = nearest[candidates].copy(), []
    while len(chosen) < wanted:
        farthest = int(local.argmax())
        if chosen and local[farthest] <= outside:
            break
        place = candidates[farthest]
        chosen.append(int(place))
        distances = _squared_distances(points[candidates], lengths[candidates], points[[place]], lengths[[place]])[:, 0]
        np.minimum(local, distances, out=local)
        local[farthest] = -1
    return chosen
