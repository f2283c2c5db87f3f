"""Neighbours against all distances, the coreset against the plain greedy loop."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from adhelpers.detectors import (
    LocalNeighbourSearch,
    NeighbourSearch,
    greedy_coreset,
    nearest_neighbours,
    neighbour_distances,
)


def cloud(count, dimensions, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


@pytest.mark.parametrize("search", ["numpy", "faiss", "auto"])
@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("memory_limit", [0.001, 256])
def test_distances_equal_those_to_all_points(search, count, memory_limit):
    if search == "faiss":
        pytest.importorskip("faiss")
    # Far from the origin, where squared lengths lose digits.
    bank, queries = cloud(40, 6) + 100, cloud(25, 6, seed=1) + 100
    distances, indices = nearest_neighbours(
        queries, bank, count, search=search, memory_limit=memory_limit
    )
    everything = cdist(queries, bank)
    np.testing.assert_allclose(distances, np.sort(everything, axis=1)[:, :count], rtol=1e-4)
    np.testing.assert_allclose(
        np.take_along_axis(everything, indices, axis=1), distances, rtol=1e-4
    )
    assert indices.dtype == np.int64 and all(len(set(row)) == count for row in indices)


def plain_greedy(points, count, first):
    chosen = [first]
    nearest = ((points - points[first]) ** 2).sum(axis=1)
    while len(chosen) < count:
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 1000))
def test_the_exact_coreset_is_that_of_the_plain_loop(count, dimensions, seed):
    points = cloud(count, dimensions, seed)
    wanted = 1 + count // 2
    ours = greedy_coreset(points, wanted, seed=seed)
    assert ours.tolist() == plain_greedy(points.astype(float), wanted, int(ours[0]))


def test_rounds_with_fewer_candidates_than_points_choose_the_same():
    points = cloud(4000, 8)
    ours = greedy_coreset(points, 300)
    assert ours.tolist() == plain_greedy(points.astype(float), 300, int(ours[0]))


def test_every_approximate_choice_is_nearly_the_farthest():
    points = cloud(3000, 8)
    chosen = greedy_coreset(points, 120, method="approximate")
    nearest = cdist(points, points[chosen[:1]])[:, 0]
    for index in chosen[1:]:
        assert nearest[index] >= 0.9 * nearest.max() - 1e-3
        nearest = np.minimum(nearest, cdist(points, points[[index]])[:, 0])
    assert len(set(chosen)) == 120


def test_a_coreset_covers_better_than_chance():
    points = cloud(2000, 4)
    radius = {
        method: cdist(points, points[greedy_coreset(points, 50, method=method)]).min(axis=1).max()
        for method in ("exact", "approximate", "random")
    }
    assert (
        radius["exact"] <= 1.25 * radius["approximate"]
        and radius["approximate"] < 0.9 * radius["random"]
    )


def test_equal_points_are_all_chosen_once():
    assert sorted(greedy_coreset(np.zeros((5, 2), np.float32), 5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: nearest_neighbours(cloud(2, 2), cloud(3, 2), 4),
            "neighbours: 4 nearest points.*the bank holds 3",
        ),
        (
            lambda: nearest_neighbours(cloud(2, 2), cloud(3, 2), search="tree"),
            "search must be one of auto, numpy, faiss",
        ),
        (lambda: nearest_neighbours(cloud(2, 2), cloud(3, 2), memory_limit=0), "memory_limit"),
        (
            lambda: LocalNeighbourSearch(cloud(4, 2).reshape(1, 2, 2, 2), -1),
            "neighbourhood must be None or a whole number",
        ),
        (
            lambda: LocalNeighbourSearch(cloud(4, 2).reshape(1, 2, 2, 2)).find(
                cloud(2, 2).reshape(1, 1, 2, 2), 3
            ),
            "3 nearest points.*holds 2",
        ),
        (lambda: greedy_coreset(cloud(3, 2), 4), "coreset: 4 points were asked for of 3"),
        (
            lambda: greedy_coreset(cloud(3, 2), 1, method="best"),
            "coreset_method must be one of exact, approximate, random",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("radius", [0, 1, 7])
@pytest.mark.parametrize("memory_limit", [0.001, 256])
def test_local_distances_equal_those_to_all_points_near_the_place(radius, memory_limit):
    bank, queries = (
        cloud(3 * 4 * 5, 6).reshape(3, 4, 5, 6) + 50,
        cloud(2 * 3 * 4, 6, seed=1).reshape(2, 3, 4, 6) + 50,
    )
    search = LocalNeighbourSearch(bank, radius, memory_limit=memory_limit)
    distances, indices = search.find(queries, 4)
    assert len(search) == 60 and distances.shape == indices.shape == (2, 3, 4, 4)
    for row in range(3):
        for column in range(4):
            near = search.compared_at(row, column)
            rows, columns = np.unravel_index(near // 5, (3, 4))
            assert (abs(rows - row) <= radius).all() and (abs(columns - column) <= radius).all()
            assert len(near) == 5 * sum(
                abs(i - row) <= radius and abs(j - column) <= radius
                for i in range(3)
                for j in range(4)
            )
            everything = cdist(queries[:, row, column], bank.reshape(-1, 6)[near])
            np.testing.assert_allclose(
                distances[:, row, column], np.sort(everything, axis=1)[:, :4], rtol=1e-4
            )
            assert np.isin(indices[:, row, column], near).all()
    np.testing.assert_allclose(
        np.linalg.norm(search.points(indices) - queries[..., None, :], axis=-1),
        distances,
        rtol=1e-4,
    )


@pytest.mark.parametrize("local", [False, True])
def test_the_gradient_of_the_distances_is_that_of_finite_differences(local):
    bank, queries = cloud(12, 3).reshape(2, 2, 3, 3), cloud(4, 3, seed=1).reshape(1, 2, 2, 3)
    search = LocalNeighbourSearch(bank, 1) if local else NeighbourSearch(bank.reshape(-1, 3))
    variable = tf.constant(queries if local else queries.reshape(-1, 3))
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
