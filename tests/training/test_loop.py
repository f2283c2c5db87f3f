from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors import VAEGAN, vae_gan
from adhelpers.training import Trainable, TrainingPlan
from adhelpers.training.loop import _epoch_order, train


def images(count=4, shape=(16, 16, 1), seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype("float32")


def small(latent_dim=4, **changes):
    plan = replace(TrainingPlan(epochs=3, batch_size=4, schedule="cosine"), **changes)
    return VAEGAN("compact", width=0.1, latent_dim=latent_dim, plan=plan)


@pytest.mark.parametrize("count, batch_size", [(27, 16), (32, 16), (5, 5), (7, 3)])
def test_every_image_is_seen_in_every_epoch_in_full_batches(count, batch_size):
    order = _epoch_order(count, batch_size, seed=0, epoch=3)
    assert order.shape == (-(-count // batch_size), batch_size)
    assert set(order.ravel()) == set(range(count))
    assert not np.array_equal(order, _epoch_order(count, batch_size, seed=0, epoch=4))


def test_the_order_of_the_images_follows_from_the_seed_and_nothing_else():
    order = _epoch_order(27, 16, seed=0, epoch=3)
    np.testing.assert_array_equal(order, _epoch_order(27, 16, seed=0, epoch=3))
    assert not np.array_equal(order, _epoch_order(27, 16, seed=1, epoch=3))
    # Nor is a seed another one's later epoch.
    assert not np.array_equal(order, _epoch_order(27, 16, seed=3, epoch=0))


def test_the_best_weights_are_kept_not_the_last():
    train, validation = images(8), images(4, seed=1)
    # A learning rate this high makes the validation error go up and down.
    detector = small(epochs=12, learning_rate=0.05, schedule="constant").fit(
        train, validation, show_progress=False
    )
    errors = detector.history["val_reconstruction"]
    assert errors.iloc[-1] > errors.min()
    kept = np.mean(np.sum((detector.counterpart(validation) - validation) ** 2, axis=(1, 2, 3)))
    # The reconstruction that is scored is clipped to [0, 1], the loss is not.
    assert kept <= errors.min() * 1.001


def test_a_seed_below_zero_is_refused():
    with pytest.raises(ValueError, match="seed must be 0 or more, not -1"):
        train(Counted(), np.ones((4, 2), np.float32), None, TrainingPlan(), seed=-1)


def test_early_stopping_ends_after_patience():
    detector = small(epochs=200, patience=3, learning_rate=0.05).fit(
        images(8), images(4, seed=1), show_progress=False
    )
    history = detector.history
    assert len(history) == history["val_reconstruction"].idxmin() + 1 + 3 < 200


def test_diverging_training_stops_with_a_clear_error(tmp_path):
    with pytest.raises(
        FloatingPointError, match="diverged.*learning_rate.*last checkpoint is .*state.npz"
    ):
        small(epochs=30, learning_rate=1e30, checkpoint_every=1).fit(
            images(8), images(4), checkpoint=tmp_path / "state.npz", show_progress=False
        )


def test_without_a_monitor_the_last_weights_are_kept_and_nothing_stops_early(monkeypatch):
    monkeypatch.setattr(vae_gan._Training, "monitor", None)
    with pytest.raises(ValueError, match="patience and plateau must be 0 where nothing is monit"):
        small(patience=2).fit(images(8), images(4), show_progress=False)
    detector = small(epochs=6, schedule="constant", learning_rate=0.05)
    detector.fit(images(8), images(4, seed=1), show_progress=False)
    kept = np.mean(
        np.sum(
            (
                np.clip(
                    detector.uncentred(
                        detector.networks["decoder"](detector.encode(images(4, seed=1)))
                    ),
                    -9,
                    9,
                )
                - images(4, seed=1)
            )
            ** 2,
            axis=(1, 2, 3),
        )
    )
    assert len(detector.history) == 6 and kept == pytest.approx(
        detector.history["val_reconstruction"].iloc[-1], rel=1e-3
    )


class Counted(Trainable):
    """Learns nothing but remembers which labels came with which samples."""

    def __init__(self):
        network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        self.networks, self.optimizers = (
            {"network": network},
            {"network": keras.optimizers.SGD(0.5)},
        )
        self.optimizers["network"].build(network.trainable_variables)

    def train_step(self, images, seed, labels):
        return {"loss": tf.reduce_max(tf.abs(images[:, 0] - labels)), "seen": tf.reduce_sum(labels)}

    def validation_step(self, images):
        return {"loss": tf.reduce_sum(images)}


def test_labels_come_with_their_samples_and_validation_may_be_missing():
    values = np.arange(8, dtype=np.float32)
    vectors = np.stack([values, -values], axis=1)
    history = train(
        Counted(),
        vectors,
        None,
        TrainingPlan(epochs=3, batch_size=4),
        labels=values,
        show_progress=False,
    )
    assert (
        (history["loss"] == 0).all()
        and (history["seen"] == 14).all()
        and list(history) == ["epoch", "loss", "seen", "seconds", "learning_rate"]
    )
    with_validation = train(
        Counted(),
        vectors,
        vectors[:2],
        TrainingPlan(epochs=1, batch_size=4),
        labels=values,
        show_progress=False,
    )
    assert with_validation["val_loss"].tolist() == [0]


class Recorded(Counted):
    """Remembers the sum of each batch's first sample: which image came first."""

    def train_step(self, images, seed, labels):
        return {"loss": images[0, 0] * 1.0, "drawn": tf.cast(seed[0] * 1000 + seed[1], tf.float32)}


def test_two_seeds_see_the_images_in_another_order_and_one_seed_in_the_same():
    values = np.arange(64, dtype=np.float32)
    vectors = np.stack([values, values], axis=1)
    plan = TrainingPlan(epochs=4, batch_size=64)
    firsts = [
        train(Recorded(), vectors, None, plan, seed=seed, labels=values, show_progress=False)
        for seed in (0, 0, 1)
    ]
    assert firsts[0]["loss"].tolist() == firsts[1]["loss"].tolist()
    assert firsts[0]["loss"].tolist() != firsts[2]["loss"].tolist()
    # The model's own randomness follows from the seed and the step.
    assert [one["drawn"].tolist() for one in firsts] == [
        [0, 1, 2, 3],
        [0, 1, 2, 3],
        [1000, 1001, 1002, 1003],
    ]


def test_milestones_are_rising_epochs_and_survive_a_checkpoint(tmp_path):
    for wrong in ((0, 3), (3, 2), (2, 2)):
        with pytest.raises(ValueError, match="milestones must be rising"):
            TrainingPlan(epochs=1, batch_size=1, milestones=wrong)
    values, plan = (
        np.ones((4, 2), np.float32),
        TrainingPlan(epochs=4, batch_size=4, milestones=(1, 3), checkpoint_every=2),
    )
    arguments = {
        "labels": values[:, 0],
        "checkpoint": tmp_path / "state.npz",
        "show_progress": False,
    }
    rates = train(Counted(), values, None, plan, **arguments)["learning_rate"]
    np.testing.assert_allclose(rates, [0.5, 0.05, 0.05, 0.005], rtol=1e-6)
    np.testing.assert_allclose(
        train(Counted(), values, None, plan, **arguments)["learning_rate"], rates
    )
