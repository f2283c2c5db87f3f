"""Natural variation is spread evenly."""

import numpy as np

from adhelpers.data.rendered.variation import evenly


def test_a_few_points_cover_each_dimension_more_evenly_than_chance():
    start = np.random.default_rng(0).uniform(size=9)
    points = np.array([evenly(start, step) for step in range(20)])
    assert points.shape == (20, 9) and points.min() >= 0 and points.max() < 1
    # The largest gap of twenty points on a circle: chance leaves about 0.18, even spacing 0.05.
    ordered = np.sort(points, axis=0)
    gaps = np.diff(np.vstack([ordered, ordered[:1] + 1]), axis=0).max(axis=0)
    assert gaps.mean() < 0.12


def test_a_step_does_not_depend_on_the_number_of_dimensions():
    start = np.linspace(0, 0.8, 9)
    np.testing.assert_array_equal(evenly(start, 7)[:3], evenly(start[:3], 7))
