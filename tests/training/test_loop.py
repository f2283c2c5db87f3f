import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors import VAEGAN, vae_gan
from adhelpers.training import Augmentation, Trainable, TrainingPlan
from adhelpers.training.loop import _epoch_order, train

SEED = tf.constant((0, 1), tf.int32)


def images(count=4, shape=(16, 16, 1), seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype("float32")


def small(latent_dim=4, **changes):
    plan = replace(TrainingPlan(epochs=3, batch_size=4, schedule="cosine"), **changes)
    return VAEGAN("compact", width=0.1, latent_dim=latent_dim, plan=plan)


def test_no_augmentation_changes_nothing():
    assert not Augmentation().active
    np.testing.assert_array_equal(Augmentation().apply(images(), SEED), images())


def test_flips_mirror_about_half_of_the_images():
    original = images(64)
    for flip, axis in (("horizontal", 2), ("vertical", 1)):
        changed = Augmentation(flip=flip).apply(original, SEED).numpy()
        mirrored = np.flip(original, axis)
        is_same = np.isclose(changed, original, atol=1e-4).all(axis=(1, 2, 3))
        is_mirrored = np.isclose(changed, mirrored, atol=1e-4).all(axis=(1, 2, 3))
        assert (is_same ^ is_mirrored).all() and 16 < is_mirrored.sum() < 48


def test_rotation_turns_about_the_centre_by_the_drawn_angle():
    grid_y, grid_x = np.mgrid[:33, :33] - 16.0
    blob = np.exp(-((grid_x - 10) ** 2 + grid_y**2) / 8).astype("float32")[None, ..., None]
    angles = []
    for step in range(20):
        turned = (
            Augmentation(rotation=60)
            .apply(blob, tf.constant((0, step), tf.int32))
            .numpy()[0, ..., 0]
        )
        x, y = (turned * grid_x).sum() / turned.sum(), (turned * grid_y).sum() / turned.sum()
        assert np.hypot(x, y) == pytest.approx(10, abs=0.2)
        angles.append(np.degrees(np.arctan2(y, x)))
    assert max(angles) > 30 and min(angles) < -30 and max(np.abs(angles)) <= 60.5


def test_shift_and_brightness_stay_within_their_limits():
    image = np.full((50, 20, 20, 1), 0.5, "float32")
    image[:, 10, 10] = 1
    moved = Augmentation(shift=0.1).apply(image, SEED).numpy()[..., 0]
    centres = [
        np.average(np.indices(one.shape).reshape(2, -1), axis=1, weights=(one - 0.5).ravel())
        for one in moved
    ]
    assert 1.2 < np.abs(np.array(centres) - 10).max() <= 2.05
    bright = (
        Augmentation(brightness=0.2)
        .apply(np.full((200, 4, 4, 1), 0.5, "float32"), SEED)
        .numpy()[:, 0, 0, 0]
    )
    assert 0.4 <= bright.min() < 0.42 and 0.58 < bright.max() <= 0.6


def test_each_image_and_step_draws_its_own_change():
    twice = np.repeat(images(1), 2, axis=0)
    rule = Augmentation(rotation=180)
    first = rule.apply(twice, SEED).numpy()
    assert np.abs(first[0] - first[1]).max() > 0.1
    np.testing.assert_array_equal(first, rule.apply(twice, SEED))
    assert np.abs(first - rule.apply(twice, tf.constant((0, 2), tf.int32))).max() > 0.1


@pytest.mark.parametrize(
    "wrong", [{"rotation": 200}, {"shift": -0.1}, {"brightness": 2}, {"flip": "diagonal"}]
)
def test_wrong_augmentations_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 0}, {"patience": -1}, {"learning_rate": 0}]
)
def test_wrong_plans_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingPlan(**{"epochs": 1, "batch_size": 1, **wrong})


@pytest.mark.parametrize("count, batch_size", [(27, 16), (32, 16), (5, 5), (7, 3)])
def test_every_image_is_seen_in_every_epoch_in_full_batches(count, batch_size):
    order = _epoch_order(count, batch_size, seed=0, epoch=3)
    assert order.shape == (-(-count // batch_size), batch_size)
    assert set(order.ravel()) == set(range(count))
    assert not np.array_equal(order, _epoch_order(count, batch_size, seed=0, epoch=4))


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


_KILLED = textwrap.dedent("""
    import sys
    import numpy as np
    from adhelpers.detectors import VAEGAN, VAELoss
    from adhelpers.training import Augmentation, TrainingPlan
    random = np.random.default_rng(0)
    train, validation = (random.uniform(size=(n, 32, 16, 1)).astype("float32") for n in (10, 4))
    for name in sys.argv[1:]:
        plan = TrainingPlan(epochs=8, batch_size=4, schedule="cosine", checkpoint_every=2)
        detector = VAEGAN(size="compact", width=0.1, latent_dim=4, loss=VAELoss(adversarial_weight=1.0), plan=plan,
                          augmentation=Augmentation(rotation=20.0), seed=3)
        detector.fit(train, validation, checkpoint=f"{name}.checkpoint.npz", show_progress=False)
        detector.history.drop(columns="seconds").to_csv(f"{name}.csv", index=False)
        np.savez(name, *[v.value.numpy() for network in detector.networks.values() for v in network.variables])
""")


def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path):
    """Both networks with both optimisers, dropout of the process by SIGKILL, and a new process that goes on."""
    slowed = textwrap.dedent("""
        import adhelpers.training.loop as training, time
        write = training.write_checkpoint
        def slow(*arguments):
            write(*arguments)
            time.sleep(60)
        training.write_checkpoint = slow
    """)
    command = [sys.executable, "-c"]
    # On one thread: on several, TensorFlow adds the parts of a gradient in the order in which they
    # are done, now and then another one.
    alone = {
        "cwd": tmp_path,
        "env": {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"},
    }
    victim = subprocess.Popen([*command, slowed + _KILLED, "cut"], **alone)
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut.checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not (tmp_path / "cut.npz").exists()
    # Starting TensorFlow takes longer than training: the process that goes on trains once more from
    # the beginning.
    subprocess.run([*command, _KILLED, "cut", "whole"], check=True, **alone)
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "cut.npz") as cut:
        assert len(whole.files) > 20
        for name in whole.files:
            np.testing.assert_array_equal(whole[name], cut[name])
    assert (tmp_path / "whole.csv").read_text() == (tmp_path / "cut.csv").read_text()


def test_checkpoints_of_another_plan_or_architecture_or_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "state.npz"
    small(epochs=2, checkpoint_every=1).fit(
        images(8), images(4), checkpoint=path, show_progress=False
    )
    with pytest.raises(ValueError, match="another training plan"):
        small(epochs=3, checkpoint_every=1).fit(
            images(8), images(4), checkpoint=path, show_progress=False
        )
    with pytest.raises(ValueError, match="another architecture"):
        small(epochs=2, checkpoint_every=1, latent_dim=6).fit(
            images(8), images(4), checkpoint=path, show_progress=False
        )
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        small(epochs=2, checkpoint_every=1).fit(
            images(8), images(4), checkpoint=path, show_progress=False
        )


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    small(epochs=2, checkpoint_every=2).fit(
        images(8), images(4), checkpoint=path, show_progress=False
    )
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        small(epochs=4, checkpoint_every=2).fit(
            images(8), images(4), checkpoint=tmp_path / "other.npz", show_progress=False
        )
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == [
        "state.csv",
        "state.npz",
    ]


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
