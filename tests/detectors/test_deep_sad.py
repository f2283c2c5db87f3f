"""Deep SAD: loss and centre by hand, pretraining, training, maps, storage, resuming, bad labels."""

import functools
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from adhelpers.detectors import DeepSAD, fit_or_load
from adhelpers.detectors import deep_sad as module
from adhelpers.detectors.deep_sad import deep_sad_centre, deep_sad_losses
from adhelpers.training import Augmentation
from adhelpers.training import loop as training


def images(count=24, angle=0.0, seed=0):
    """Bars of 12 x 12 pixels, shifted at random; normal and anomalous ones differ in the angle."""
    random, (down, across) = np.random.default_rng(seed), np.indices((12, 12)) - 5.5
    distance = (
        down * np.cos(angle) + across * np.sin(angle) - random.uniform(-3, 3, count)[:, None, None]
    )
    return (np.exp(-(distance**2) / 2) * random.uniform(0.7, 1, count)[:, None, None])[
        ..., None
    ].astype("float32")


SHORT = replace(DeepSAD.default_plan(), epochs=3, batch_size=8, milestones=(), checkpoint_every=1)
SHORT_PRETRAINING = replace(SHORT, weight_decay=DeepSAD.default_pretraining().weight_decay)


def small(plan=SHORT, pretraining=SHORT_PRETRAINING, latent_dim=8, **changes):
    return DeepSAD(plan=plan, pretraining=pretraining, latent_dim=latent_dim, **changes)


TRAIN = np.concatenate([images(24), images(4, np.pi / 2, seed=1)])
LABELS = np.repeat([0, 1, -1], [20, 4, 4])


@functools.cache
def fitted(**changes):
    """One training for all tests that change nothing: compiling takes most of its time."""
    return small(**changes).fit(TRAIN, images(6, seed=2), LABELS, show_progress=False)


def test_the_loss_of_each_label_by_hand():
    distances, labels = (
        tf.constant([0.25, 4.0, 4.0, 0.0, 0.5]),
        tf.constant([0.0, 1.0, -1.0, -1.0, 0.0]),
    )
    # d, eta (d + 1e-6), eta / (d + 1e-6).
    np.testing.assert_allclose(
        deep_sad_losses(distances, labels, 3.0),
        [0.25, 3 * 4.000001, 3 / 4.000001, 3 / 1e-6, 0.5],
        rtol=1e-6,
    )
    assert float(tf.reduce_mean(deep_sad_losses(distances[:3], labels[:3], 1.0))) == pytest.approx(
        (0.25 + 4.000001 + 0.24999994) / 3, rel=1e-6
    )


def test_the_centre_is_the_mean_kept_away_from_zero():
    codes = np.float32([[1, 0.1, -0.02, 0.3, 0, 0.05], [3, 0.1, -0.02, -0.5, 0, -0.05]])
    np.testing.assert_allclose(deep_sad_centre(codes), [2, 0.1, -0.1, -0.1, 0.1, 0.1], rtol=1e-6)
    assert deep_sad_centre(codes).dtype == np.float32


def test_a_step_minimises_the_mean_loss_plus_half_the_squared_weights():
    """One step of gradient descent on one dense layer, against the gradient worked out by hand."""
    inputs = keras.Input((2,))
    encoder = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
    encoder.set_weights([np.float32([[1.0], [2.0]])])
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(encoder.trainable_variables)
    step = module._Training(encoder, np.float32([1.0]), 2.0, 0.5, Augmentation(), optimizer)
    samples = tf.constant([[1.0, 1.0], [0.0, 1.0]])
    # Codes 3 and 2, distances 4 and 1; the second is a known anomaly. Loss: (4 + 2 / 1.000001) / 2
    # = 3.
    loss = step.train_step(samples, tf.constant((0, 0)), tf.constant([0.0, -1.0]))["loss"]
    assert float(loss) == pytest.approx(3.0, rel=1e-5)
    # d(d)/dw = 2 (code - 1) x: (4, 4) and (0, 2). Mean of (4, 4) and -2 (0, 2), plus 0.5 w.
    gradient = (np.array([4.0, 4.0]) - 2 * np.array([0.0, 2.0])) / 2 + 0.5 * np.array([1.0, 2.0])
    np.testing.assert_allclose(
        encoder.get_weights()[0].ravel(), np.array([1.0, 2.0]) - 0.1 * gradient, rtol=1e-5
    )


def test_the_pretrained_encoder_is_where_the_training_starts(monkeypatch):
    """All weights are compared, the statistics of the normalisation as well.

    The code published with the paper drops the pretrained weights silently.
    """
    seen = {}

    def spy(trainable, *arguments, description, **options):
        seen[f"before {description}"] = trainable.networks["encoder"].get_weights()
        history = train(trainable, *arguments, description=description, **options)
        seen[f"after {description}"] = trainable.networks["encoder"].get_weights()
        return history

    train = module.train
    monkeypatch.setattr(module, "train", spy)
    detector = small().fit(TRAIN, None, LABELS, show_progress=False)
    for first, second, kept in zip(
        seen["after autoencoder"],
        seen["before Deep SAD"],
        detector.pretrained_encoder.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, kept)
    assert any(
        np.abs(first - second).max() > 1e-3
        for first, second in zip(seen["before autoencoder"], seen["after autoencoder"], strict=True)
    )
    assert any(
        np.abs(first - second).max() > 1e-3
        for first, second in zip(seen["before Deep SAD"], seen["after Deep SAD"], strict=True)
    )
    np.testing.assert_allclose(
        detector.centre, deep_sad_centre(detector.autoencoder_features(TRAIN)), rtol=1e-5, atol=1e-6
    )


def test_the_autoencoder_learns_and_rebuilds():
    detector = small(
        plan=replace(SHORT, epochs=1),
        pretraining=replace(SHORT_PRETRAINING, epochs=40, learning_rate=5e-3),
    ).fit(TRAIN, images(6, seed=2), show_progress=False)
    history = detector.pretraining_history
    assert history["reconstruction"].iloc[-1] < 0.3 * history["reconstruction"].iloc[0]
    error = ((detector.reconstruct(images(6, seed=2)) - images(6, seed=2)) ** 2).mean()
    assert error == pytest.approx(history["val_reconstruction"].iloc[-1], rel=1e-3)


def test_known_anomalies_are_pushed_off_and_with_them_others_of_their_kind():
    normal, anomalous = images(40, seed=3), images(40, np.pi / 2, seed=4)
    aurocs = {}
    for labels in (None, LABELS):
        training = TRAIN[LABELS >= 0] if labels is None else TRAIN
        detector = small(
            plan=replace(SHORT, epochs=30, learning_rate=3e-3),
            pretraining=replace(SHORT_PRETRAINING, epochs=10),
        ).fit(training, None, labels, show_progress=False)
        scores = detector.score(np.concatenate([normal, anomalous]))
        aurocs[labels is None] = roc_auc_score(np.repeat([0, 1], 40), scores)
    assert aurocs[False] > 0.95 and aurocs[False] >= aurocs[True] - 0.02


def test_the_score_is_the_squared_distance_from_the_centre_and_the_history_says_so():
    detector = fitted()
    codes = detector.encode(TRAIN)
    np.testing.assert_allclose(
        detector.score(TRAIN), ((codes - detector.centre) ** 2).sum(axis=1), rtol=1e-4
    )
    assert detector.history["val_loss"].iloc[-1] == pytest.approx(
        detector.score(images(6, seed=2)).mean(), rel=1e-4
    )
    np.testing.assert_allclose(detector.score(TRAIN[3:4]), detector.score(TRAIN)[3:4], rtol=1e-4)


def test_the_counterpart_is_the_most_similar_of_the_normal_half():
    detector = fitted()
    known_normal = TRAIN[LABELS >= 0]
    half = known_normal[np.argsort(detector.score(known_normal), kind="stable")[:12]]
    query = np.concatenate([images(3, np.pi / 2, seed=5), half[:1]])
    codes, bank = detector.autoencoder_features(query), detector.autoencoder_features(half)
    nearest = ((codes[:, None] - bank[None]) ** 2).sum(axis=-1).argmin(axis=1)
    np.testing.assert_array_equal(detector.counterpart(query), half[nearest])
    np.testing.assert_array_equal(detector.counterpart(half[:1]), half[:1])


def test_attributions_add_up_to_the_difference_of_the_scores(tmp_path):
    query = images(5, np.pi / 3, seed=6)
    fitted().save(tmp_path / "stored")
    fine = DeepSAD.load(tmp_path / "stored", integration_steps=256)
    added, maps = fine.attributions(query), fine.anomaly_map(query)
    difference = fine.score(query) - fine.score(fine.counterpart(query))
    np.testing.assert_allclose(added.sum(axis=(1, 2, 3)), difference, rtol=0.02, atol=1e-3)
    assert np.abs(difference).max() > 0.01
    np.testing.assert_allclose(
        maps[0], gaussian_filter(np.abs(added[0, ..., 0]), 1.0), rtol=1e-3, atol=1e-6
    )
    # Where sample and counterpart agree, nothing can add to the difference.
    assert (added[(query == fine.counterpart(query))] == 0).all()
    assert np.abs(fine.anomaly_map(fine.counterpart(query))).max() == 0


def test_vectors_are_learned_from_too(tmp_path):
    random = np.random.default_rng(0)
    train, other = (
        random.normal(size=(60, 5)).astype("float32"),
        random.normal(3, 1, size=(40, 5)).astype("float32"),
    )
    labels = np.repeat([0, -1], [60, 4])
    detector = small(
        plan=replace(SHORT, epochs=20, learning_rate=5e-3),
        pretraining=replace(SHORT_PRETRAINING, epochs=10),
        latent_dim=None,
    ).fit(np.concatenate([train, other[:4]]), train[:5], labels, show_progress=False)
    assert detector.score(other[4:]).mean() > 2 * detector.score(train).mean()
    assert (
        detector.anomaly_map(other).shape == other.shape
        and detector.counterpart(other).shape == other.shape
    )
    detector.save(tmp_path / "vectors")
    np.testing.assert_array_equal(
        DeepSAD.load(tmp_path / "vectors").score(other), detector.score(other)
    )
    with pytest.raises(ValueError, match=r"vector of the shape \(5,\)"):
        detector.score(other[:, :3])
    with pytest.raises(ValueError, match="images must be finite"):
        detector.score(np.full((1, 5), np.nan))


def test_without_pretraining_there_is_no_autoencoder_and_counterparts_are_similar_samples():
    detector = fitted(pretrain=False)
    assert detector.decoder is None and detector.pretraining_history.empty
    assert ((detector.counterpart(TRAIN[:3]) - TRAIN[:3]) ** 2).sum() <= (
        (TRAIN[3:6] - TRAIN[:3]) ** 2
    ).sum()
    for function in (detector.autoencoder_features, detector.reconstruct):
        with pytest.raises(RuntimeError, match="pretrain=False"):
            function(TRAIN)


def test_a_stored_detector_answers_alike_and_is_found_again(tmp_path):
    data = SimpleNamespace(
        name="bars",
        fingerprint="a",
        train=SimpleNamespace(images=TRAIN),
        validation=SimpleNamespace(images=TRAIN[:0]),
    )
    first = fit_or_load(small(), data, tmp_path, labels=LABELS, show_progress=False)
    again = fit_or_load(small(smoothing=0.0), data, tmp_path, labels=LABELS, show_progress=False)
    assert (
        again.folder == first.folder
        and again.parameters["smoothing"] == 0
        and not list(tmp_path.rglob("*checkpoint*"))
    )
    for function in ("score", "counterpart", "attributions", "reconstruct"):
        np.testing.assert_allclose(
            getattr(again, function)(TRAIN), getattr(first, function)(TRAIN), rtol=1e-5, atol=1e-6
        )
    assert (
        len(again.history) == 3
        and "val_loss" not in again.history
        and len(again.pretraining_history) == 3
    )
    (first.folder / "encoder.weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="SHA-256"):
        DeepSAD.load(first.folder)


@pytest.mark.parametrize(
    "change", [{"shift": 0.1}, {"rotation": 20.0}, {"brightness": 0.3}, {"flip": "both"}]
)
def test_augmentation_changes_what_both_trainings_see(change, monkeypatch):
    seen = []
    augmentation, once = Augmentation(**change), replace(SHORT, epochs=1)
    monkeypatch.setattr(
        Augmentation, "apply", lambda self, samples, seed: seen.append(self) or samples
    )
    small(once, once, augmentation=augmentation).fit(TRAIN, None, LABELS, show_progress=False)
    # Traced once for each of the two steps.
    assert seen == [augmentation] * 2
    with pytest.raises(ValueError, match="are for images; vectors take none"):
        small(augmentation=augmentation).fit(np.zeros((9, 3)), None, show_progress=False)


def test_milestones_make_the_rate_a_tenth():
    rates = (
        small(replace(SHORT, epochs=4, milestones=(2, 3), learning_rate=1e-2), pretrain=False)
        .fit(TRAIN, None, show_progress=False)
        .history["learning_rate"]
    )
    np.testing.assert_allclose(rates, [1e-2, 1e-2, 1e-3, 1e-4], rtol=1e-5)


@pytest.mark.parametrize("stage", ["pretraining.npz", "state.npz"])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(stage, tmp_path, monkeypatch):
    """Cut short after the second checkpoint of either stage.

    Another process is tried with the VAE-GAN, on the same loop.
    """
    whole, write = resumable(), training.write_checkpoint

    def cut_short(path, trainable, best, state):
        write(path, trainable, best, state)
        if str(path).endswith(stage) and state.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "write_checkpoint", cut_short)
    with pytest.raises(KeyboardInterrupt):
        small(**RESUMABLE).fit(
            TRAIN, None, LABELS, checkpoint=tmp_path / "state.npz", show_progress=False
        )
    monkeypatch.setattr(training, "write_checkpoint", write)
    resumed = small(**RESUMABLE).fit(
        TRAIN, None, LABELS, checkpoint=tmp_path / "state.npz", show_progress=False
    )
    for network in ("encoder", "decoder", "pretrained_encoder"):
        for first, second in zip(
            getattr(whole, network).get_weights(),
            getattr(resumed, network).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(whole.centre, resumed.centre)
    assert whole.history.drop(columns="seconds").equals(resumed.history.drop(columns="seconds"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.csv", "state.npz"]


RESUMABLE = {
    "plan": replace(SHORT, epochs=5, milestones=(3,)),
    "pretraining": replace(SHORT_PRETRAINING, epochs=5),
    "augmentation": Augmentation(shift=0.1),
}


@functools.cache
def resumable():
    return small(**RESUMABLE).fit(TRAIN, None, LABELS, show_progress=False)


@pytest.mark.parametrize(
    "labels, message",
    [
        ([0] * 27 + [2], "labels must be -1 .known anomaly.*found 2"),
        ([0] * 27 + [0.5], "found 0.5"),
        ([0] * 27 + [np.nan], "found nan"),
        ([0] * 5, r"each of the 28 training samples; they have the shape \(5,\)"),
        ([-1] * 28, "at least one must be unlabelled"),
    ],
)
def test_labels_that_are_none_are_refused(labels, message):
    detector = small()
    with pytest.raises(ValueError, match=message):
        detector.fit(TRAIN, None, labels, show_progress=False)
    with pytest.raises(RuntimeError, match="not fitted"):
        detector.score(TRAIN)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"network": "vgg"}, "network must be one of auto"),
        ({"eta": 0}, "eta must be above 0"),
        ({"integration_steps": 0}, "integration_steps"),
        ({"smoothing": -1}, "smoothing must be 0 or more"),
        ({"latent_dim": 0}, "latent_dim"),
    ],
)
def test_wrong_parameters_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"weight_decay": -1}, "weight_decay must be 0 or more"),
        ({"milestones": (3, 2)}, "milestones must be rising"),
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": 0}, "learning_rate"),
    ],
)
def test_wrong_plans_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SHORT, **changes)


def test_a_network_that_does_not_fit_leaves_the_detector_unfitted():
    detector = small(network="lenet")
    with pytest.raises(ValueError, match="28 x 28"):
        detector.fit(TRAIN, None, show_progress=False)
    with pytest.raises(RuntimeError, match="not fitted"):
        detector.score(TRAIN)
