"""Integrated gradients against closed forms, their sum, and a slow integral."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import quad

from adhelpers.detectors.integrated_gradients import integrated_gradients

ENDS, STARTS = (
    np.float32([[1.0, -2.0, 0.5], [0.3, 0.0, 2.0]]),
    np.float32([[0.0, 1.0, 0.5], [-1.0, 0.4, 1.0]]),
)


def test_a_linear_score_is_shared_out_by_its_weights():
    weights = np.float32([2.0, -1.0, 3.0])
    [found] = integrated_gradients(
        lambda arrays: tf.linalg.matvec(arrays[0], weights),
        [tf.constant(ENDS)],
        [tf.constant(STARTS)],
        steps=3,
    )
    np.testing.assert_allclose(found, weights * (ENDS - STARTS), atol=1e-5)


def test_against_an_integral_along_the_way():
    def score(arrays):
        return tf.reduce_prod(tf.sin(arrays[0]), axis=1)

    def slope(share, start, end, place):
        here = start + share * (end - start)
        return np.cos(here[place]) * np.prod(np.delete(np.sin(here), place))

    [found] = integrated_gradients(score, [tf.constant(ENDS)], [tf.constant(STARTS)], steps=200)
    for row in range(2):
        end, start = ENDS[row].astype(float), STARTS[row].astype(float)
        for place in range(3):
            integral = quad(slope, 0, 1, args=(start, end, place))[0]
            assert float(found[row, place]) == pytest.approx(
                integral * (end - start)[place], abs=1e-4
            )
    np.testing.assert_allclose(np.sum(found, axis=1), score([ENDS]) - score([STARTS]), atol=1e-4)


def test_several_arrays_share_one_score():
    first, second = integrated_gradients(
        lambda arrays: tf.reduce_sum(arrays[0], axis=1) + 2 * tf.reduce_sum(arrays[1], axis=(1, 2)),
        [tf.ones((2, 3)), tf.ones((2, 2, 2))],
        [tf.zeros((2, 3)), tf.zeros((2, 2, 2))],
    )
    np.testing.assert_allclose(first, np.ones((2, 3)), atol=1e-6)
    np.testing.assert_allclose(second, 2 * np.ones((2, 2, 2)), atol=1e-6)
