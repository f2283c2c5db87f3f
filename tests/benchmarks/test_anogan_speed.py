"""AnoGAN's search: batched against a fit loop for each image, by start, and by number format.

Run with ``python -m pytest tests/benchmarks/test_anogan_speed.py -s``.
"""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from adhelpers.data import Corrections, load_category, rendered_root
from adhelpers.detectors import AnoGAN, EncoderPlan, GanSettings, Search
from adhelpers.detectors.anogan.latent_search import LatentSearch
from adhelpers.detectors.anogan.networks import build_dcgan_discriminator, build_dcgan_generator
from adhelpers.training import TrainingPlan

STEPS = 500
PUBLISHED = Search(learning_rate=0.05, schedule="constant", tolerance=0)


@pytest.fixture(scope="module")
def nuts():
    root = rendered_root(
        "hazelnut", image_size=128, train_count=80, test_good_count=20, defect_count=3
    )
    return load_category(
        root,
        "hazelnut",
        image_size=(64, 64),
        color="rgb",
        corrections=Corrections(illumination="none", pose="none", crop="none"),
        validation_fraction=0.2,
        seed=0,
    )


@pytest.fixture(scope="module")
def anogan(nuts):
    return AnoGAN(
        gan=GanSettings(width=0.25),
        plan=TrainingPlan(epochs=20, learning_rate=8e-4),
        encoder=EncoderPlan(epochs=20),
    ).fit(nuts.train.images, nuts.validation.images, show_progress=False)


@pytest.fixture(scope="module")
def searched(anogan, nuts):
    """Images, starts, the search at a constant rate, its final losses, and its seconds."""
    images = 2 * np.concatenate([nuts.test.images, nuts.validation.images])[:48] - 1
    search = LatentSearch(anogan._generator, anogan.networks["discriminator"], PUBLISHED)
    starts = np.tile(anogan._noise(1, 0), (len(images), 1, 1))
    search.find(images[:1], starts[:1], 1)
    started = time.perf_counter()
    found = search.find(images, starts, STEPS)
    seconds = time.perf_counter() - started
    return images, starts, search, search.total(found.residual, found.feature), seconds


class Noise(keras.layers.Layer):
    """One trainable noise vector, whatever comes in."""

    def __init__(self, start):
        super().__init__()
        self.noise = self.add_weight(
            shape=start.shape, initializer=lambda shape, dtype=None: tf.constant(start)
        )

    def call(self, inputs):
        return 0 * inputs + self.noise


def searched_with_fit(search, image, start, steps):
    """The usual way: a model of the noise alone, compiled for each image, and one fit a step."""
    generator, features = (
        search.generator,
        keras.Model(search.discriminator.input, search.discriminator.output[1]),
    )
    generator.trainable = features.trainable = False
    inputs = keras.Input((len(start),))
    made = generator(Noise(start[None])(inputs), training=False)
    weight = search.settings.feature_weight
    model = keras.Model(inputs, (made, features(made, training=False)))
    model.compile(
        keras.optimizers.Adam(search.settings.learning_rate),
        loss=[lambda wanted, found: tf.reduce_sum(tf.abs(wanted - found))] * 2,
        loss_weights=[1 - weight, weight],
    )
    wanted, ones = (
        (image[None], np.asarray(search.features(image[None]))),
        np.ones((1, len(start)), "float32"),
    )
    for _ in range(steps):
        history = model.fit(ones, wanted, epochs=1, batch_size=1, verbose=0)
    return history.history["loss"][0]


def test_batched_search_against_a_fit_loop_for_each_image(searched, goal):
    images, starts, search, losses, seconds_of_all = searched
    ours = seconds_of_all / len(images)
    # Two images are enough to time a loop.
    seconds, theirs = [], []
    for image in images[:2]:
        started = time.perf_counter()
        theirs.append(searched_with_fit(search, image, starts[0, 0], STEPS))
        seconds.append(time.perf_counter() - started)
    ratio = min(seconds) / ours
    print(
        f"\n{STEPS} steps: a fit loop {min(seconds):.1f} s an image, the batched search "
        f"{ours:.2f} s, {ratio:.0f} times faster; final losses "
        f"{np.round(theirs, 1)} and {np.round(losses[:2], 1)}"
    )
    goal("AnoGAN's search", "a fit for each image", ratio, at_least=15)
    assert ratio >= 15
    assert (losses[:2] <= np.array(theirs) * 1.001).all()


def test_the_encoders_start_against_a_random_one(anogan, searched):
    images, starts, search, losses, long = searched
    wanted = np.median(losses)
    # Fewer steps need longer ones: 0.8 here, 0.5 for the default of 500.
    falling = LatentSearch(
        anogan._generator,
        anogan.networks["discriminator"],
        Search(learning_rate=0.8, tolerance=0),
    )
    falling.find(images[:1], starts[:1], 1)
    random = falling.find(images, starts, 90)
    print(
        "\nrandom start, 90 steps at a falling rate: median loss "
        f"{np.median(search.total(random.residual, random.feature)):.1f}",
        end="",
    )
    for steps in (0, 10, 25, 50, 75, 90):
        started = time.perf_counter()
        begin = anogan._in_batches(anogan._encoded, images)[:, None]
        refined = falling.find(images, begin, steps)
        short, reached = (
            time.perf_counter() - started,
            np.median(search.total(refined.residual, refined.feature)),
        )
        print(
            f"\nencoder and {steps} steps: median loss {reached:.1f} in {short:.2f} s; "
            f"random start and {STEPS}: {wanted:.1f} in "
            f"{long:.2f} s, {short / long:.2f} of the time",
            end="",
        )
        if reached <= wanted:
            break
    print()
    assert reached <= wanted and short <= long / 5


def test_bfloat16_against_float32(anogan, nuts):
    images = 2 * nuts.test.images[:32] - 1
    starts, seconds, losses = np.tile(anogan._noise(1, 0), (len(images), 1, 1)), {}, {}
    for policy in ("float32", "mixed_bfloat16"):
        generator = build_dcgan_generator((64, 64, 3), width=0.25, policy=policy)
        discriminator = build_dcgan_discriminator((64, 64, 3), width=0.25, policy=policy)
        generator.set_weights(anogan._generator.get_weights())
        discriminator.set_weights(anogan.networks["discriminator"].get_weights())
        search = LatentSearch(generator, discriminator, PUBLISHED)
        search.find(images[:1], starts[:1], 1)
        started = time.perf_counter()
        found = search.find(images, starts, 200)
        seconds[policy] = time.perf_counter() - started
        # Both are judged in float32.
        exact = LatentSearch(anogan._generator, anogan.networks["discriminator"])
        losses[policy] = exact.total(*exact.evaluate(images, found.noise))
    change = np.median(losses["mixed_bfloat16"]) / np.median(losses["float32"]) - 1
    print(
        f"\nbfloat16: {seconds['float32'] / seconds['mixed_bfloat16']:.2f} times as fast as "
        f"float32, median loss {100 * change:+.2f} %"
    )
    assert change < 0.01
