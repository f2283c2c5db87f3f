"""Nearest neighbours within a bound of memory, and the coreset: few points that stand for many."""

from importlib.util import find_spec

import numpy as np
import tensorflow as tf

from adhelpers._shared.progress import progress

SEARCHES = ("auto", "numpy", "faiss")
CORESETS = ("exact", "approximate", "random")
_MEBIBYTE = 2**20
# Largest number of candidates of one round of the greedy choice, and the share of the farthest
# distance that "approximate" gives up.
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
        ``"auto"`` takes ``faiss`` where the package faiss-cpu is installed. Both are exact: the
        distances are equal, and so are the indices but for points equally near.
    memory_limit : float
        Mebibytes that the search may take beside its arguments and its result. Fewer queries are
        compared at once to keep it; only a bound below the distances of one query (12 n bytes) is
        exceeded.

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
    return NeighbourSearch(bank, search=search, memory_limit=memory_limit).find(queries, count)


class NeighbourSearch:
    """A bank that is prepared once and searched many times; see `nearest_neighbours`.

    Parameters
    ----------
    bank, search, memory_limit
        As in `nearest_neighbours`.

    Examples
    --------
    >>> bank = NeighbourSearch(np.float32([[3, 4], [1, 0]]))
    >>> bank.find(np.float32([[0, 0]]), count=2)[0].tolist()
    [[1.0, 5.0]]
    """

    def __init__(self, bank, *, search="auto", memory_limit=256):
        bank = np.ascontiguousarray(bank, dtype=np.float32)
        installed = _checked_search(search, memory_limit)
        self.memory_limit = memory_limit
        # Distances come from squared lengths and products, whose rounding grows with the distance
        # from the origin.
        self.centre = bank.mean(axis=0)
        self._bank = bank - self.centre
        self._nearest = (
            _faiss_search(self._bank)
            if search != "numpy" and installed
            else _numpy_search(self._bank)
        )

    def __len__(self):
        return len(self._bank)

    def find(self, queries, count=1):
        """Distances and indices of the ``count`` nearest points of each query (m, d), as `nearest_neighbours` returns them."""
        queries, bank = np.ascontiguousarray(queries, dtype=np.float32), self._bank
        _check_count(count, len(bank))
        # A distance is four bytes, an index of the partial sort eight; then a row of differences
        # for each neighbour.
        rows = int(
            max(
                1,
                self.memory_limit * _MEBIBYTE // (12 * len(bank) + 8 * (count + 1) * bank.shape[1]),
            )
        )
        distances, indices = (
            np.empty((len(queries), count), np.float32),
            np.empty((len(queries), count), np.int64),
        )
        for start in range(0, len(queries), rows):
            part = queries[start : start + rows] - self.centre
            found = self._nearest(part, count)
            exact = np.sqrt(((part[:, None] - bank[found]) ** 2).sum(axis=-1))
            order = np.argsort(exact, axis=1, kind="stable")
            distances[start : start + rows] = np.take_along_axis(exact, order, axis=1)
            indices[start : start + rows] = np.take_along_axis(found, order, axis=1)
        return distances, indices

    def points(self, indices):
        """The bank's points at ``indices``: float32 (*indices.shape, d)."""
        return self._bank[indices] + self.centre


class LocalNeighbourSearch:
    """Patches are compared only with those of their own place and its neighbours: for objects that always lie alike.

    Parameters
    ----------
    bank : ndarray of float32, shape (rows, columns, m, d)
        m points of each place.
    radius : int
        Places up to so many rows and columns away are compared too; 0 is the own place alone.
    memory_limit : float
        As in `nearest_neighbours`; exceeded only below the distances of one image.

    Examples
    --------
    >>> bank = LocalNeighbourSearch(np.float32([[[[0.0]], [[5.0]]]]), radius=0)
    >>> bank.find(np.float32([[[[5.0], [5.0]]]]))[0].ravel().tolist()
    [5.0, 0.0]
    """

    def __init__(self, bank, radius=0, *, memory_limit=256):
        bank = np.asarray(bank, dtype=np.float32)
        _checked_search("numpy", memory_limit)
        if isinstance(radius, bool) or int(radius) != radius or radius < 0:
            raise ValueError(
                f"neighbourhood must be None or a whole number of cells, 0 or more, not {radius!r}."
            )
        self.memory_limit, self.radius = memory_limit, int(radius)
        self.centre = bank.mean(axis=(0, 1, 2))
        self._bank = bank - self.centre
        self._lengths = (self._bank**2).sum(axis=-1)

    def __len__(self):
        return int(np.prod(self._bank.shape[:3]))

    def find(self, queries, count=1):
        """The nearest points of each patch.

        Parameters
        ----------
        queries : ndarray of float32, shape (n, rows, columns, d)
        count : int
            At most the number of points that a corner's patch is compared with.

        Returns
        -------
        distances : ndarray of float32, shape (n, rows, columns, count)
            Ascending.
        indices : ndarray of int64, shape (n, rows, columns, count)
            Into the bank as (rows * columns * m, d).
        """
        rows, columns, each, dimensions = self._bank.shape
        reach = self.radius
        _check_count(count, each * min(reach + 1, rows) * min(reach + 1, columns))
        queries = np.asarray(queries, dtype=np.float32)
        distances, indices = (
            np.empty((*queries.shape[:3], count), np.float32),
            np.empty((*queries.shape[:3], count), np.int64),
        )
        offsets = [
            (down, right)
            for down in range(-reach, reach + 1)
            for right in range(-reach, reach + 1)
            if abs(down) < rows and abs(right) < columns
        ]
        size = rows * columns * (12 * len(offsets) * each + 8 * (count + 1) * dimensions)
        step = int(max(1, self.memory_limit * _MEBIBYTE // size))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            distances[part], indices[part] = self._find(queries[part] - self.centre, count, offsets)
        return distances, indices

    def _find(self, queries, count, offsets):
        rows, columns, each, dimensions = self._bank.shape
        places = np.ascontiguousarray(queries.transpose(1, 2, 0, 3))
        values = np.full((rows, columns, len(queries), len(offsets), each), np.inf, np.float32)
        for number, (down, right) in enumerate(offsets):
            here = (
                slice(max(0, -down), rows - max(0, down)),
                slice(max(0, -right), columns - max(0, right)),
            )
            there = (
                slice(max(0, down), rows + min(0, down)),
                slice(max(0, right), columns + min(0, right)),
            )
            products = places[here] @ self._bank[there].swapaxes(-1, -2)
            values[here][..., number, :] = self._lengths[there][:, :, None] - 2 * products
        values = values.reshape(rows, columns, len(queries), -1)
        found = (
            np.argpartition(values, count - 1, axis=-1)[..., :count]
            if count < values.shape[-1]
            else np.broadcast_to(np.arange(count), (*values.shape[:3], count))
        )
        moves = np.array(offsets)[found // each]
        row = np.arange(rows)[:, None, None, None] + moves[..., 0]
        column = np.arange(columns)[None, :, None, None] + moves[..., 1]
        indices = (row * columns + column) * each + found % each
        nearest = self._bank.reshape(-1, dimensions)[indices]
        exact = np.sqrt(((places[..., None, :] - nearest) ** 2).sum(axis=-1))
        order = np.argsort(exact, axis=-1, kind="stable")
        return (
            np.take_along_axis(one, order, axis=-1).transpose(2, 0, 1, 3)
            for one in (exact, indices)
        )

    def compared_at(self, row, column):
        """Indices of all points that a patch at this place is compared with."""
        rows, columns, each = self._bank.shape[:3]
        numbers = np.arange(rows * columns * each).reshape(rows, columns, each)
        reach = self.radius
        return numbers[
            max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1
        ].ravel()

    def points(self, indices):
        """The bank's points at ``indices`` into it as (rows * columns * m, d): float32 (*indices.shape, d)."""
        return self._bank.reshape(-1, self._bank.shape[-1])[indices] + self.centre


def neighbour_distances(queries, search, count=1):
    """Distances to the nearest points as a differentiable function of the queries; which points these are has no gradient.

    Parameters
    ----------
    queries : tensor of float32, shape (m, d) or (n, rows, columns, d)
        As ``search.find`` takes them.
    search : NeighbourSearch or LocalNeighbourSearch
    count : int

    Returns
    -------
    tensor of float32, shape (m, count) or (n, rows, columns, count)

    Examples
    --------
    >>> neighbour_distances(tf.constant([[0.0, 0.0]]), NeighbourSearch(np.float32([[3, 4], [1, 0]]))).numpy().tolist()
    [[1.0]]
    """

    @tf.custom_gradient
    def distances_of(points):
        distances, indices = tf.numpy_function(
            lambda values: search.find(values, count),
            [points],
            (tf.float32, tf.int64),
            stateful=False,
        )

        def gradient(upstream):
            nearest = tf.numpy_function(search.points, [indices], tf.float32, stateful=False)
            # The distance has no slope at the point itself; 0 is the middle of what is possible
            # there.
            weights = tf.math.divide_no_nan(upstream, distances)
            return tf.reduce_sum(weights[..., None] * (points[..., None, :] - nearest), axis=-2)

        return tf.ensure_shape(distances, (*points.shape[:-1], count)), gradient

    return distances_of(tf.convert_to_tensor(queries))


def _checked_search(search, memory_limit):
    """Whether faiss is installed."""
    if search not in SEARCHES:
        raise ValueError(f"search must be one of {', '.join(SEARCHES)}, not {search!r}.")
    if not memory_limit > 0:
        raise ValueError(f"memory_limit must be above 0 mebibytes, not {memory_limit}.")
    installed = find_spec("faiss") is not None
    if search == "faiss" and not installed:
        raise ModuleNotFoundError(
            'search="faiss" needs the package faiss-cpu: pip install faiss-cpu'
        )
    return installed


def _check_count(count, available):
    if not 1 <= count <= available:
        raise ValueError(
            f"neighbours: {count} nearest points were asked for, but the bank holds {available}."
        )


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
    method : {"exact", "approximate", "random"}
        ``"approximate"`` lets a round go on until a point outside may be farther by a ninth: each
        choice is at least 0.9 times as far as the farthest point, fewer rounds are needed, and the
        bound is 2.2 in place of 2. ``"random"`` draws.
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
                distances = _squared_distances(
                    points[part], lengths[part], points[new], lengths[new]
                )
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
        distances = _squared_distances(
            points[candidates], lengths[candidates], points[[place]], lengths[[place]]
        )[:, 0]
        np.minimum(local, distances, out=local)
        local[farthest] = -1
    return chosen
