"""Losses against numbers worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from adhelpers.training import (
    adversarial_loss,
    binary_cross_entropy,
    discriminator_loss,
    kl_divergence,
    squared_error,
)


def test_kl_divergence_by_hand():
    mean, log_variance = (
        tf.constant([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]]),
        tf.constant([[0.0, 0.0], [0.0, 0.0], [math.log(4.0), 0.0]]),
    )
    # Row 2: (1 + 4) / 2. Row 3: (4 - 1 - log 4) / 2.
    np.testing.assert_allclose(
        kl_divergence(mean, log_variance), [0.0, 2.5, (3 - math.log(4)) / 2], rtol=1e-6
    )


def test_kl_divergence_against_sampling():
    random = np.random.default_rng(0)
    mean, log_variance = np.array([0.3, -1.0]), np.array([-0.5, 0.4])
    z = mean + np.exp(log_variance / 2) * random.standard_normal((400_000, 2))
    log_ratio = (-0.5 * ((z - mean) ** 2 / np.exp(log_variance) + log_variance) + 0.5 * z**2).sum(
        axis=1
    )
    ours = kl_divergence(tf.constant([mean], tf.float32), tf.constant([log_variance], tf.float32))
    assert float(ours[0]) == pytest.approx(log_ratio.mean(), abs=0.01)


def test_binary_cross_entropy_sums_pixels_and_averages_channels():
    images = np.zeros((1, 1, 2, 3), np.float32)
    images[0, 0, 1] = 1
    reconstructions = np.full((1, 1, 2, 3), 0.2, np.float32)
    assert float(binary_cross_entropy(images, reconstructions)[0]) == pytest.approx(
        -math.log(0.8) - math.log(0.2), rel=1e-5
    )


def test_binary_cross_entropy_of_a_certain_mistake_is_finite():
    assert np.isfinite(binary_cross_entropy(tf.ones((1, 2, 2, 1)), tf.zeros((1, 2, 2, 1)))[0])


def test_squared_error_by_hand():
    images, reconstructions = np.zeros((2, 2, 1, 3), np.float32), np.zeros((2, 2, 1, 3), np.float32)
    reconstructions[1, 0, 0] = (0.1, 0.2, 0.2)
    np.testing.assert_allclose(squared_error(images, reconstructions), [0, 0.03], rtol=1e-5)


def test_discriminator_and_adversarial_loss_by_hand():
    real, fake = tf.constant([[0.8], [0.5]]), tf.constant([[0.25], [0.5]])
    expected = -(math.log(0.8) + math.log(0.5)) / 2 - (math.log(0.75) + math.log(0.5)) / 2
    loss = discriminator_loss(real, fake)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    # The reconstructions' part is in both, so the difference is minus the real images' part: below
    # the floor.
    assert float(adversarial_loss(fake, loss)) == pytest.approx(1e-4)
    assert float(adversarial_loss(fake, 0.1)) == pytest.approx(
        -(math.log(0.75) + math.log(0.5)) / 2 - 0.1, rel=1e-5
    )
