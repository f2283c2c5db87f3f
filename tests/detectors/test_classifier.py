"""The classifier: its network, what it learns, storage without pickle, interruption, refusals."""

import functools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from keras import layers

from adhelpers._shared.files import sha256
from adhelpers.data import make_class_images
from adhelpers.detectors import Classifier, Subspace, fit_or_load
from adhelpers.detectors.classifier import build_classifier
from adhelpers.explainers import class_maps
from adhelpers.explainers._gradients import convolutions
from adhelpers.training import Augmentation

PLAN = replace(Classifier.default_plan(), epochs=4, batch_size=8, learning_rate=0.02)
SMALL = {"filters": (4, 8), "plan": PLAN, "dropout": 0.0}
# Twelve epochs on images that are neither shifted nor mirrored.
LONG = SMALL | {"plan": replace(PLAN, epochs=12), "augmentation": Augmentation(brightness=0.1)}


def corners(count=32, size=16, seed=0):
    """Noise with a bright square in the upper left corner, the lower right one, or none."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = random.uniform(0.2, 0.4, (count, size, size, 1))
    images[labels == 1, 2:6, 2:6] = 0.9
    images[labels == 2, -6:-2, -6:-2] = 0.1
    return make_class_images(images, labels, ("none", "bright", "dark"))


@functools.cache
def fitted():
    return Classifier(**LONG).fit(corners(), show_progress=False)


def test_the_network_is_its_table():
    network = build_classifier((64, 48, 3), 5, filters=(16, 32, 64))
    found = [
        (layer.filters, *layer.output.shape[1:3])
        for layer in network.layers
        if isinstance(layer, layers.Conv2D)
    ]
    assert found == [(16, 64, 48)] + [(32, 32, 24)] * 2 + [(64, 16, 12)] * 2
    assert convolutions(network)[-1] == "last_convolution" and network.output_shape == (None, 5)
    sizes = [(3, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
    # Convolutions without bias; batch normalisation has four numbers a channel.
    assert (
        network.count_params()
        == sum(9 * first * second + 4 * second for first, second in sizes) + 64 * 5 + 5
    )


def test_it_learns_and_says_how_sure_it_is():
    classifier, images = fitted(), corners(seed=1)
    probabilities = classifier.probabilities(images.images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (classifier.predict(images.images) == images.labels).mean() > 0.9
    assert (
        classifier.history["loss"].iloc[-1] < classifier.history["loss"].iloc[0]
        and len(classifier.history) == 12
    )
    assert classifier.class_names == ("none", "bright", "dark")


def test_a_rare_class_is_learned_too():
    images = corners(72)
    rare = np.flatnonzero(images.labels == 1)[4:]
    few = images.subset(np.setdiff1d(np.arange(72), rare))
    assert (few.labels == 1).sum() == 4 and len(few) == 52
    classifier = Classifier(**LONG).fit(few, show_progress=False)
    test = corners(seed=1)
    assert (classifier.predict(test.images)[test.labels == 1] == 1).mean() > 0.8


def test_its_maps_show_what_decides():
    classifier, images = fitted(), corners(seed=1)
    chosen = images.images[images.labels == 1]
    heat = class_maps(classifier.network, chosen, classes=1).mean(axis=0)
    assert heat[:8, :8].mean() > 1.5 * heat.mean()


def test_equal_seeds_give_equal_classifiers():
    quick = SMALL | {"plan": replace(PLAN, epochs=1)}
    first, second, other = (
        Classifier(**quick, seed=seed)
        .fit(corners(), show_progress=False)
        .probabilities(corners().images)
        for seed in (0, 0, 1)
    )
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert np.abs(first - other).max() > 1e-3


def test_stored_and_found_again(tmp_path):
    def task(images):
        return SimpleNamespace(name="corners", train=images, fingerprint=images.fingerprint)

    images = corners()
    classifier = fit_or_load(Classifier(**SMALL), task(images), tmp_path, show_progress=False)
    folder = classifier.folder
    assert folder.parent == tmp_path / "corners" / "classifier"
    assert sorted(path.name for path in folder.iterdir()) == [
        "classifier.weights.h5",
        "history.csv",
        "manifest.json",
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"]["classifier.weights.h5"] == sha256(folder / "classifier.weights.h5")
    assert manifest["class_names"] == ["none", "bright", "dark"]
    again = fit_or_load(Classifier(**SMALL), task(images), tmp_path, show_progress=False)
    np.testing.assert_array_equal(
        again.probabilities(images.images), classifier.probabilities(images.images)
    )
    assert (
        again.folder == folder
        and len(list(folder.parent.iterdir())) == 1
        and again.history.equals(classifier.history)
    )
    # Other parameters or other images are another classifier.
    other = Classifier(**SMALL | {"plan": replace(PLAN, epochs=1)})
    fit_or_load(other, task(corners(seed=2)), tmp_path, show_progress=False)
    assert len(list(folder.parent.iterdir())) == 2


def test_damaged_and_foreign_folders_are_refused(tmp_path):
    fitted().save(tmp_path / "mine")
    weights = tmp_path / "mine" / "classifier.weights.h5"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="SHA-256 of .*classifier.weights.h5"):
        Classifier.load(tmp_path / "mine")
    good = np.random.default_rng(0).uniform(size=(6, 16, 16, 1)).astype("float32")
    Subspace(n_components=2).fit(good[:4], good[4:]).save(tmp_path / "other")
    with pytest.raises(ValueError, match="holds a Subspace, not a Classifier"):
        Classifier.load(tmp_path / "other")


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path):
    class Stopped(Exception):
        pass

    options = SMALL | {"plan": replace(PLAN, epochs=10)}
    whole = Classifier(**options).fit(corners(), show_progress=False)
    from adhelpers.training import loop as training

    write, calls = training.write_checkpoint, []

    def stop(*arguments):
        write(*arguments)
        calls.append(1)
        raise Stopped

    training.write_checkpoint = stop
    try:
        with pytest.raises(Stopped):
            Classifier(**options).fit(
                corners(), checkpoint=tmp_path / "state.npz", show_progress=False
            )
    finally:
        training.write_checkpoint = write
    assert calls == [1]
    resumed = Classifier(**options).fit(
        corners(), checkpoint=tmp_path / "state.npz", show_progress=False
    )
    np.testing.assert_allclose(
        resumed.probabilities(corners().images), whole.probabilities(corners().images), atol=1e-3
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dropout": 1.0}, "dropout must be in"),
        ({"pooling": "median"}, "pooling must be one of maximum, average"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        Classifier(**options)


def test_bad_images():
    with pytest.raises(ValueError, match="no image of class 'c'"):
        Classifier(**SMALL).fit(
            make_class_images(np.zeros((2, 16, 16, 1)), [0, 1], "abc"), show_progress=False
        )
    with pytest.raises(ValueError, match="3 blocks need images of at least 16 x 16 pixels"):
        build_classifier((8, 16, 1), 2, filters=(4, 4, 4))
    with pytest.raises(ValueError, match="pooling must be one of"):
        build_classifier((16, 16, 1), 2, filters=(4,), pooling="sum")
    with pytest.raises(ValueError, match="two classes or more"):
        build_classifier((16, 16, 1), 1)
    with pytest.raises(RuntimeError, match="not fitted yet"):
        Classifier().probabilities(np.zeros((1, 16, 16, 1)))
    with pytest.raises(ValueError, match="fitted on"):
        fitted().probabilities(np.zeros((1, 8, 16, 1)))
