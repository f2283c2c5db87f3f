"""Neighbours against all distances."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import cdist

from adhelpers.detectors.features.neighbours import NeighbourSearch, neighbour_distances


def cloud(count, dimensions, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("memory_limit", [0.001, 256])
def test_distances_equal_those_to_all_points(count, memory_limit):
    # Far from the origin, where squared lengths lose digits.
    bank, queries = cloud(40, 6) + 100, cloud(25, 6, seed=1) + 100
    distances, indices = NeighbourSearch(bank, memory_limit=memory_limit).find(queries, count)
    everything = cdist(queries, bank)
    np.testing.assert_allclose(distances, np.sort(everything, axis=1)[:, :count], rtol=1e-4)
    np.testing.assert_allclose(
        np.take_along_axis(everything, indices, axis=1), distances, rtol=1e-4
    )
    assert indices.dtype == np.int64 and all(len(set(row)) == count for row in indices)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: NeighbourSearch(cloud(3, 2)).find(cloud(2, 2), 4),
            "neighbours: 4 nearest points.*the bank holds 3",
        ),
        (lambda: NeighbourSearch(cloud(3, 2), memory_limit=0), "memory_limit"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_points_come_back():
    bank = cloud(5, 3) + 50
    indices = np.array([[0, 4], [2, 2]])
    np.testing.assert_allclose(NeighbourSearch(bank).points(indices), bank[indices], rtol=1e-6)


def test_the_gradient_of_the_distances_is_that_of_finite_differences():
    search, variable = NeighbourSearch(cloud(12, 3)), tf.constant(cloud(4, 3, seed=1))
    with tf.GradientTape() as tape:
        tape.watch(variable)
        total = tf.reduce_sum(neighbour_distances(variable, search, 2))
    slopes, step = tape.gradient(total, variable).numpy(), 1e-2
    for index in np.ndindex(slopes.shape):
        moved = np.zeros(slopes.shape, np.float32)
        moved[index] = step
        values = [
            float(tf.reduce_sum(neighbour_distances(variable + sign * moved, search, 2)))
            for sign in (1, -1)
        ]
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(slopes[index], abs=0.02)


def test_a_point_of_the_bank_has_distance_and_gradient_zero():
    points = tf.constant(cloud(4, 3))
    with tf.GradientTape() as tape:
        tape.watch(points)
        distances = neighbour_distances(points, NeighbourSearch(points.numpy()))
    assert (
        float(tf.reduce_max(distances)) == 0 and not tape.gradient(distances, points).numpy().any()
    )
