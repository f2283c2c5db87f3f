"""Losses and measures against numbers worked out by hand or by a slow second way."""

import math

import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors.anogan.networks import build_dcgan_discriminator
from adhelpers.detectors.anogan.training import Filmstrip, gan_losses, gradient_penalty, spread


def images(count=4, shape=(32, 32, 3), seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype("float32")


def test_losses_by_hand():
    real, fake = tf.constant([[math.log(4.0)], [0.0]]), tf.constant([[-math.log(3.0)], [0.0]])
    # As probabilities 0.8 and 0.5, 0.25 and 0.5.
    discriminator, generator = gan_losses(real, fake)
    assert float(discriminator) == pytest.approx(
        -(math.log(0.8) + math.log(0.5)) / 2 - (math.log(0.75) + math.log(0.5)) / 2, rel=1e-5
    )
    assert float(generator) == pytest.approx(-(math.log(0.25) + math.log(0.5)) / 2, rel=1e-5)


def test_losses_of_certain_mistakes_are_finite():
    assert all(np.isfinite(gan_losses(tf.constant([[-1e4]]), tf.constant([[1e4]]))))


def test_the_gradient_penalty_equals_finite_differences_and_has_a_gradient():
    discriminator = build_dcgan_discriminator((32, 32, 1), width=0.05)
    shown = tf.constant(images(2, (32, 32, 1)))

    def logits(pictures):
        return discriminator(pictures, training=False)[0]

    with tf.GradientTape() as tape:
        penalty = gradient_penalty(logits, shown)
    assert any(
        np.abs(one).max() > 0
        for one in tape.gradient(penalty, discriminator.trainable_variables)
        if one is not None
    )
    with tf.GradientTape() as tape:
        tape.watch(shown)
        total = tf.reduce_sum(logits(shown))
    direction = tape.gradient(total, shown).numpy()
    lengths = np.sqrt((direction**2).sum(axis=(1, 2, 3)))
    step = 1e-2 * direction / lengths[:, None, None, None]
    slopes = (logits(shown + step) - logits(shown - step)).numpy()[:, 0] / 2e-2
    assert float(penalty) == pytest.approx((slopes**2).mean(), rel=0.02)


def test_spread_equals_a_loop_over_pairs():
    pictures = images(7, (4, 4, 1))
    distances = np.array(
        [[np.sqrt(np.mean((one - other) ** 2)) for other in pictures] for one in pictures]
    )
    others = ~np.eye(7, dtype=bool)
    diversity, nearest = spread(pictures)
    assert diversity == pytest.approx(np.sqrt((distances[others] ** 2).mean()), rel=1e-5)
    assert nearest == pytest.approx(
        np.where(others, distances, np.inf).min(axis=1).mean(), rel=1e-5
    )


def test_spread_tells_one_picture_from_two_and_from_many():
    many, two = images(20), np.repeat(images(2), 10, axis=0)
    assert spread(np.repeat(images(1), 20, axis=0)) == pytest.approx((0, 0), abs=1e-4)
    assert spread(two)[0] > 0.5 * spread(many)[0] and spread(two)[1] < 0.01 * spread(many)[1]


def test_the_filmstrip_keeps_only_its_epochs():
    film = Filmstrip([1, 4], 2, (2, 2, 1))
    for epoch in range(1, 6):
        film.record(epoch, np.full((2, 2, 2, 1), epoch / 10))
    np.testing.assert_allclose(film.frames().mean(axis=(1, 2, 3, 4)), [0.1, 0.4], atol=0.003)
    assert len(film.variables) == 1 and not film.trainable_variables
