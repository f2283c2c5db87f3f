"""The batched search against a slow one, and against itself in other company."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors import Search
from adhelpers.detectors.anogan.latent_search import LatentSearch
from adhelpers.detectors.anogan.networks import build_dcgan_discriminator, build_dcgan_generator

LATENT = 6


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture(scope="module")
def networks():
    keras.utils.set_random_seed(3)
    generator = build_dcgan_generator((32, 32, 1), latent_dim=LATENT, width=0.05)
    # Two steps of training mode, so that the normalisation has something of its own to apply.
    for seed in range(2):
        generator(random((16, LATENT), seed), training=True)
    return generator, build_dcgan_discriminator((32, 32, 1), width=0.05)


@pytest.fixture(scope="module")
def search(networks):
    return LatentSearch(*networks, Search(learning_rate=0.05, schedule="constant", tolerance=0))


@pytest.fixture(scope="module")
def falling(networks):
    return LatentSearch(*networks, Search(learning_rate=0.2, tolerance=0))


@pytest.fixture(scope="module")
def pictures(networks):
    """Images that the generator can make, and one that it cannot."""
    made = networks[0](random((20, LATENT), 7), training=False).numpy()
    made[-1] = np.sign(random(made.shape[1:], 1))
    return made


def starts(count, restarts=1, seed=5):
    return np.tile(random((restarts, LATENT), seed), (count, 1, 1))


def test_losses_and_total_by_hand(networks, search):
    image, noise = random((2, 32, 32, 1)).clip(-1, 1), random((2, LATENT))
    made = networks[0](noise, training=False).numpy()
    wanted, found = (networks[1](one, training=False)[1].numpy() for one in (image, made))
    residual, feature = search.evaluate(image, noise)
    np.testing.assert_allclose(residual, np.abs(image - made).sum(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(feature, np.abs(wanted - found).sum(axis=(1, 2, 3)), rtol=1e-4)
    assert search.total(10.0, 20.0) == pytest.approx(11.0)
    np.testing.assert_allclose(search.generate(noise), made, atol=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_search_equals_keras_adam_on_one_image_at_a_time(request, schedule, pictures):
    search = request.getfixturevalue({"constant": "search", "cosine": "falling"}[schedule])
    steps, begin = 30, random((LATENT,), 5)
    found = search.find(pictures[:3], starts(3), steps)
    for index in range(3):
        image, noise = tf.constant(pictures[index : index + 1]), tf.Variable(begin[None])
        optimizer, lowest = keras.optimizers.Adam(0.05, epsilon=1e-8), np.inf
        if schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(0.2, steps, alpha=0.1)
            optimizer = keras.optimizers.Adam(rate, beta_2=0.9, epsilon=1e-8)
        optimizer.build([noise])
        for step in range(steps + 1):
            with tf.GradientTape() as tape:
                loss = search.total(
                    *(part[0] for part in search.losses(noise, image, search.features(image)))
                )
            if float(loss) < lowest:
                lowest, best = float(loss), noise.numpy()[0].copy()
            if step < steps:
                optimizer.apply([tape.gradient(loss, noise)], [noise])
        np.testing.assert_allclose(
            search.total(found.residual[index], found.feature[index]), lowest, rtol=1e-3
        )
        np.testing.assert_allclose(found.noise[index], best, atol=2e-2)


def test_no_image_depends_on_the_others_or_on_its_place(search, pictures):
    found = search.find(pictures, starts(20, 2), 120)
    order = np.random.default_rng(0).permutation(20)
    shuffled = search.find(pictures[order], starts(20, 2), 120)
    alone = search.find(pictures[7:8], starts(1, 2), 120)
    for name in ("noise", "residual", "feature"):
        np.testing.assert_array_equal(getattr(found, name)[order], getattr(shuffled, name))
        np.testing.assert_array_equal(getattr(found, name)[7:8], getattr(alone, name))


def test_the_best_noise_counts_and_not_the_last(networks, pictures):
    # With so long steps the loss jumps up and down.
    wild = LatentSearch(*networks, Search(learning_rate=1.0, schedule="constant", tolerance=0))
    short, long = (wild.find(pictures, starts(20), steps) for steps in (40, 41))
    losses = [wild.total(one.residual, one.feature) for one in (short, long)]
    assert (losses[1] <= losses[0] * (1 + 1e-6)).all() and (losses[1] == losses[0]).sum() > 5
    np.testing.assert_allclose(wild.evaluate(pictures, long.noise)[0], long.residual, rtol=1e-4)


def test_more_restarts_are_never_worse_and_the_best_is_kept(search, pictures):
    one, three = (
        search.find(pictures, starts(20, 3)[:, :1], 40),
        search.find(pictures, starts(20, 3), 40),
    )
    first, best = (search.total(found.residual, found.feature) for found in (one, three))
    assert (best <= first).all() and (best < first).any()


def test_a_settled_image_stops_and_the_others_go_on(networks, pictures):
    patient, hasty = (
        LatentSearch(
            *networks, Search(learning_rate=0.05, schedule="constant", tolerance=tolerance)
        )
        for tolerance in (0, 0.02)
    )
    found, all_steps = (
        hasty.find(pictures, starts(20), 400),
        patient.find(pictures, starts(20), 400),
    )
    assert (
        (all_steps.steps == 400).all()
        and len(set(found.steps)) > 1
        and set(found.steps) <= set(range(100, 401, 50))
    )
    losses = [hasty.total(one.residual, one.feature) for one in (found, all_steps)]
    assert (losses[0] <= losses[1] * 1.25 + 1).all()


def test_a_rate_that_falls_is_not_given_up_in_its_first_half(networks, pictures):
    hasty = LatentSearch(*networks, Search(learning_rate=0.5, tolerance=0.5))
    assert (hasty.find(pictures, starts(20), 400).steps >= 200).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "zero"},
        {"steps": -1},
        {"restarts": 0},
        {"learning_rate": 0},
        {"schedule": "linear"},
        {"tolerance": -1},
        {"feature_weight": 2},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Search(**wrong)


def test_an_unknown_schedule_is_told_with_those_there_are():
    with pytest.raises(ValueError, match="cosine, constant, not 'linear'"):
        Search(schedule="linear")


def test_no_steps_look_at_the_starts_only(search, pictures):
    found, begin = search.find(pictures, starts(20), 0), starts(20)[:, 0]
    np.testing.assert_array_equal(found.noise, begin)
    np.testing.assert_allclose(found.residual, search.evaluate(pictures, begin)[0], rtol=1e-5)
    assert (found.steps == 0).all()


def test_a_walk_ends_where_the_search_does(search, pictures):
    noise, losses = search.walk(pictures[2], random((LATENT,), 5), (0, 1, 7, 60, 120))
    found = search.find(pictures[2:3], starts(1), 120)
    np.testing.assert_array_equal(noise[0], random((LATENT,), 5))
    assert (np.diff(losses) <= 0).all()
    np.testing.assert_allclose(
        losses[-1], search.total(found.residual, found.feature)[0], rtol=1e-3
    )


def test_every_finished_start_is_told(search, pictures):
    told = []
    search.find(pictures, starts(20, 2), 3, told.append)
    assert sum(told) == 40


def test_a_loss_that_is_never_finite_does_not_look_like_a_low_one(networks, pictures):
    broken = build_dcgan_generator((32, 32, 1), latent_dim=LATENT, width=0.05)
    broken.set_weights([np.full_like(weight, np.nan) for weight in broken.get_weights()])
    found = LatentSearch(broken, networks[1]).find(pictures[:2], starts(2), 10)
    assert not np.isfinite(found.residual).any()
