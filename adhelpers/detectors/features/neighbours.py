"""Nearest neighbours within a bound of memory."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from adhelpers._shared.arrays import Floats, Integers

_MEBIBYTE = 2**20

Points = NDArray[np.float32]


class NeighbourSearch:
    """The exact nearest points of a bank by Euclidean distance, prepared once for many queries.

    Candidates come from one matrix product for each block of queries; the distances to the nearest
    are then computed from the differences, because the product loses digits.

    Parameters
    ----------
    bank : ndarray of float32, shape (n, d)
    memory_limit : float
        Mebibytes that the search may take in addition to its arguments and its result: the size of
        a block follows from it. Only a bound below the distances of one query (4 n bytes) is
        exceeded. Blocks much larger than the processor's cache are not faster.

    Raises
    ------
    ValueError
        If ``memory_limit`` is not above 0.

    Examples
    --------
    >>> search = NeighbourSearch(np.float32([[3, 4], [1, 0]]))
    >>> distances, indices = search.find(np.float32([[0, 0]]), count=2)
    >>> distances.tolist(), indices.tolist()
    ([[1.0, 5.0]], [[1, 0]])
    """

    def __init__(self, bank: Floats, *, memory_limit: float = 32) -> None:
        if not memory_limit > 0:
            raise ValueError(f"memory_limit must be above 0 mebibytes, not {memory_limit}")
        points = np.ascontiguousarray(bank, dtype=np.float32)
        self.memory_limit = memory_limit
        # Distances come from squared lengths and products, whose rounding grows with the distance
        # from the origin.
        self._centre = points.mean(axis=0)
        self._bank = points - self._centre
        self._lengths = (self._bank**2).sum(axis=1)

    def __len__(self) -> int:
        return len(self._bank)

    def find(self, queries: Floats, count: int = 1) -> tuple[Points, NDArray[np.int64]]:
        """The ``count`` nearest points of each query.

        Parameters
        ----------
        queries : ndarray of float32, shape (m, d)
        count : int
            1 to n.

        Returns
        -------
        distances : ndarray of float32, shape (m, count)
            Ascending.
        indices : ndarray of int64, shape (m, count)

        Raises
        ------
        ValueError
            If the bank holds fewer than ``count`` points.
        """
        if not 1 <= count <= len(self):
            raise ValueError(
                f"neighbours: {count} nearest points were asked for, but the bank holds {len(self)}"
            )
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        # Of each query: its distances, and the differences from its nearest points.
        size = 4 * len(self) + 8 * (count + 2) * self._bank.shape[1]
        rows = int(max(1, self.memory_limit * _MEBIBYTE // size))
        distances = np.empty((len(queries), count), np.float32)
        indices = np.empty((len(queries), count), np.int64)
        for start in range(0, len(queries), rows):
            part = queries[start : start + rows] - self._centre
            found = self._candidates(part, count)
            exact = np.sqrt(((part[:, None] - self._bank[found]) ** 2).sum(axis=-1))
            order = np.argsort(exact, axis=1, kind="stable")
            distances[start : start + rows] = np.take_along_axis(exact, order, axis=1)
            indices[start : start + rows] = np.take_along_axis(found, order, axis=1)
        return distances, indices

    def _candidates(self, queries: Points, count: int) -> NDArray[np.int64]:
        """Indices of the nearest points; a pass for each is faster than a partial sort."""
        # A query's own length is the same for all points and changes no order.
        values = (-2 * queries) @ self._bank.T
        values += self._lengths
        found = np.empty((len(queries), count), np.int64)
        rows = np.arange(len(queries))
        for number in range(count):
            found[:, number] = values.argmin(axis=1)
            values[rows, found[:, number]] = np.inf
        return found

    def points(self, indices: Integers) -> Points:
        """The bank's points at these indices: ndarray of float32, shape (*indices.shape, d)."""
        return self._bank[indices] + self._centre


def neighbour_distances(queries: tf.Tensor, search: NeighbourSearch, count: int = 1) -> tf.Tensor:
    """Distances to the nearest points as a differentiable function of the queries.

    Which points are the nearest has no gradient.

    Parameters
    ----------
    queries : tensor of float32, shape (m, d)
    search : NeighbourSearch
    count : int

    Returns
    -------
    tensor of float32, shape (m, count)

    Examples
    --------
    >>> search = NeighbourSearch(np.float32([[3, 4], [1, 0]]))
    >>> neighbour_distances(tf.constant([[0.0, 0.0]]), search).numpy().tolist()
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
            return tf.reduce_sum(weights[..., None] * (points[:, None] - nearest), axis=1)

        return tf.ensure_shape(distances, (points.shape[0], count)), gradient

    return distances_of(tf.convert_to_tensor(queries))
