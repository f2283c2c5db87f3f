"""A small convolutional classifier whose decisions are then explained: trained with the suite's loop, stored like its detectors."""

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers

from adhelpers._shared.files import replacing_folder
from adhelpers._shared.checks import checked_images
from adhelpers.training import Augmentation, Trainable, TrainingPlan, adam, remove_checkpoint, train

from .manifest import MANIFEST, load_weights, read_manifest, write_manifest

_BATCH = 128
_POOLINGS = {"maximum": layers.GlobalMaxPooling2D, "average": layers.GlobalAveragePooling2D}


def build_classifier(shape, classes, filters=(16, 32, 64), dropout=0.3, pooling="maximum"):
    """Blocks of convolutions, halved after each but the last, and one value of each channel over all places into a dense layer.

    The first block, which has the most places, has one convolution, the others have two.

    The last convolution keeps a fine grid of places, a quarter of the image's side for three
    blocks, so that its GradCAM shows more than a coarse spot.

    Parameters
    ----------
    shape : tuple of int
        (h, w, c).
    classes : int
        At least 2.
    filters : sequence of int
        Of each block.
    dropout : float
        Share of the pooled channels that is left out in training.
    pooling : {"maximum", "average"}
        Over all places. A fault is small: in the mean of all places little of it is left.

    Returns
    -------
    keras.Model
        (n, h, w, c) in [0, 1] to probabilities (n, classes).

    Raises
    ------
    ValueError
        If the image is too small for so many blocks, there are fewer than two classes, or the
        pooling is unknown.

    Examples
    --------
    >>> build_classifier((32, 32, 1), 3).get_layer("last_convolution").output.shape
    (None, 8, 8, 64)
    """
    if pooling not in _POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(_POOLINGS)}, not {pooling!r}.")
    if classes < 2:
        raise ValueError(f"a classifier needs two classes or more, not {classes}.")
    if not filters or min(shape[:2]) < 2 ** (len(filters) + 1):
        raise ValueError(
            f"filters: {len(filters)} blocks need images of at least {2 ** (len(filters) + 1)} x {2 ** (len(filters) + 1)} pixels, "
            f"not {shape[0]} x {shape[1]}."
        )
    image = keras.Input(shape)
    hidden = layers.Rescaling(2.0, -1.0)(image)
    for block, count in enumerate(filters):
        for step in range(min(block + 1, 2)):
            last = block == len(filters) - 1 and step == 1
            hidden = layers.Conv2D(
                count,
                3,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                name="last_convolution" if last else f"convolution_{block}_{step}",
            )(hidden)
            # A few hundred images make few steps: Keras' momentum of 0.99 would still hold the
            # statistics of the first ones.
            hidden = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(hidden))
        if block < len(filters) - 1:
            hidden = layers.MaxPooling2D()(hidden)
    hidden = layers.Dropout(dropout, seed=0)(_POOLINGS[pooling]()(hidden))
    return keras.Model(
        image,
        layers.Dense(classes, activation="softmax", name="classes")(hidden),
        name="classifier",
    )


class _Training(Trainable):
    def __init__(self, network, augmentation, smoothing, weight_decay, class_weights, optimizer):
        self.networks, self.optimizers = {"classifier": network}, {"classifier": optimizer}
        self._class_weights = tf.constant(class_weights, tf.float32)
        self._augmentation, self._smoothing, self._weight_decay = (
            augmentation,
            smoothing,
            weight_decay,
        )

    def train_step(self, images, seed, labels):
        network, images = self.networks["classifier"], self._augmentation.apply(images, seed)
        weights = network.trainable_variables
        with tf.GradientTape() as tape:
            probabilities = network(images, training=True)
            targets = tf.one_hot(tf.cast(labels, tf.int32), probabilities.shape[1])
            weighed = tf.gather(self._class_weights, tf.cast(labels, tf.int32))
            entropy = tf.reduce_mean(
                weighed
                * keras.losses.categorical_crossentropy(
                    targets, probabilities, label_smoothing=self._smoothing
                )
            )
            decay = tf.add_n([tf.reduce_sum(one**2) for one in weights if len(one.shape) > 1])
            loss = entropy + 0.5 * self._weight_decay * decay
        self.optimizers["classifier"].apply(tape.gradient(loss, weights), weights)
        hits = tf.equal(tf.argmax(probabilities, axis=1), tf.cast(labels, tf.int64))
        return {"loss": entropy, "accuracy": tf.reduce_mean(tf.cast(hits, tf.float32))}

    def validation_step(self, images):
        probabilities = self.networks["classifier"](images, training=False)
        return {"confidence": tf.reduce_mean(tf.reduce_max(probabilities, axis=1))}


class Classifier:
    """A small convolutional network for images of several classes.

    Every class weighs as much in the loss, however few its images are.

    Parameters
    ----------
    filters, dropout, pooling
        As in `build_classifier`.
    epochs, batch_size : int
    learning_rate : float
        Of Adam at the start; it falls along a cosine.
    weight_decay : float
        Of half the sum of squared kernels.
    label_smoothing : float
        Share of each target that is spread over all classes.
    rotation, shift, brightness, flip
        As in `adhelpers.detectors.Augmentation`.
    seed : int

    Attributes
    ----------
    network : keras.Model
        Once it is fitted or loaded; see `build_classifier`.
    class_names : tuple of str
    history : pandas.DataFrame
        One row an epoch: ``loss``, ``accuracy`` on the training images as the network sees them
        (changed, with dropout).
    folder : Path or None
        Where it is stored.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> from adhelpers.data import make_class_images
    >>> levels = np.repeat([0.2, 0.8], 8)
    >>> images = make_class_images(levels[:, None, None, None] * np.ones((1, 16, 16, 1)), (levels > 0.5).astype(int), ("dark", "bright"))
    >>> classifier = Classifier(filters=(4, 8), epochs=1, batch_size=8).fit(images, show_progress=False)
    >>> classifier.probabilities(images.images).shape
    (16, 2)
    """

    def __init__(
        self,
        *,
        filters=(16, 32, 64),
        dropout=0.3,
        pooling="maximum",
        epochs=20,
        batch_size=32,
        learning_rate=3e-3,
        weight_decay=1e-4,
        label_smoothing=0.0,
        rotation=0.0,
        shift=0.04,
        brightness=0.1,
        flip="horizontal",
        seed=0,
    ):
        self.parameters = {
            "filters": list(filters),
            "dropout": dropout,
            "pooling": pooling,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "label_smoothing": label_smoothing,
            "rotation": rotation,
            "shift": shift,
            "brightness": brightness,
            "flip": flip,
            "seed": seed,
        }
        if pooling not in _POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(_POOLINGS)}, not {pooling!r}.")
        for name in ("dropout", "label_smoothing"):
            if not 0 <= self.parameters[name] < 1:
                raise ValueError(f"{name} must lie in [0, 1), not {self.parameters[name]!r}.")
        if not learning_rate > 0 or weight_decay < 0:
            raise ValueError(
                f"learning_rate must be above 0 and weight_decay not below, not {learning_rate!r} and {weight_decay!r}."
            )
        self._augmentation = Augmentation(rotation, shift, brightness, flip)
        self._plan = TrainingPlan(epochs, batch_size, schedule="cosine")
        self.network = self.class_names = self.image_shape = self.folder = None
        self.history = pd.DataFrame()

    def fit(self, images, *, checkpoint=None, show_progress=True):
        """Train on images with their classes.

        Parameters
        ----------
        images : ClassImages
        checkpoint : str or Path, optional
            A file for the state of an interrupted training; one that is there is continued.
        show_progress : bool

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a class has no image.
        """
        checked_images(images.images, name="train")
        empty = [
            name
            for label, name in enumerate(images.class_names)
            if not (images.labels == label).any()
        ]
        if empty:
            raise ValueError(
                f"train: there is no image of class {empty[0]!r}, so it cannot be learned."
            )
        keras.utils.set_random_seed(self.parameters["seed"])
        self.image_shape, self.class_names = images.images.shape[1:], images.class_names
        self._build()
        optimizer = adam(self.parameters["learning_rate"], self.network)
        training = _Training(
            self.network,
            self._augmentation,
            self.parameters["label_smoothing"],
            self.parameters["weight_decay"],
            len(images)
            / (
                len(images.class_names)
                * np.bincount(images.labels, minlength=len(images.class_names))
            ),
            optimizer,
        )
        self.history = train(
            training,
            images.images,
            None,
            self._plan,
            seed=self.parameters["seed"],
            labels=images.labels.astype(np.float32),
            checkpoint=checkpoint,
            show_progress=show_progress,
            description="classifier",
        )
        return self

    def _build(self):
        self.network = build_classifier(
            self.image_shape,
            len(self.class_names),
            self.parameters["filters"],
            self.parameters["dropout"],
            self.parameters["pooling"],
        )
        # Compiled once for any number of images; keras' predict costs tens of milliseconds a call.
        signature = (tf.TensorSpec((None, *self.image_shape), tf.float32),)
        self._compiled = tf.function(
            lambda images: self.network(images, training=False), input_signature=signature
        )

    def probabilities(self, images):
        """How sure the classifier is of each class: float32 (n, classes), each row summing to 1."""
        if self.network is None:
            raise RuntimeError(
                "This Classifier is not fitted yet: call fit(images) or load(folder)."
            )
        images = checked_images(images, self.image_shape)
        return np.concatenate(
            [
                self._compiled(tf.constant(images[start : start + _BATCH])).numpy()
                for start in range(0, len(images), _BATCH)
            ]
        )

    def predict(self, images):
        """Index of the most probable class of each image: int64 (n,)."""
        return self.probabilities(images).argmax(axis=1)

    def save(self, folder):
        """Write weights, history and a manifest with SHA-256 checksums into ``folder``, at once or not at all."""
        if self.network is None:
            raise RuntimeError("This Classifier is not fitted yet: call fit(images) first.")
        with replacing_folder(folder) as temporary:
            self.network.save_weights(temporary / "classifier.weights.h5")
            self.history.to_csv(temporary / "history.csv", index=False)
            write_manifest(temporary, self, class_names=list(self.class_names))
        self.folder = Path(folder)

    @classmethod
    def load(cls, folder):
        """Rebuild a stored classifier: the architecture from code, the numbers from checked files.

        Raises
        ------
        FileNotFoundError
            If the manifest or a file it names is missing.
        ValueError
            If the folder holds something else, a file's SHA-256 is not the manifest's, or the
            weights do not fit.
        """
        manifest = read_manifest(folder)
        if manifest["detector"] != cls.__name__:
            raise ValueError(f"{folder} holds a {manifest['detector']}, not a {cls.__name__}.")
        classifier = cls(**manifest["parameters"])
        classifier.image_shape, classifier.class_names = (
            tuple(manifest["image_shape"]),
            tuple(manifest["class_names"]),
        )
        classifier._build()
        load_weights(classifier.network, Path(folder) / "classifier.weights.h5")
        classifier.history, classifier.folder = (
            pd.read_csv(Path(folder) / "history.csv"),
            Path(folder),
        )
        return classifier


def fit_or_load_classifier(classifier, images, models, name, *, show_progress=True):
    """Fit a classifier, or find the one that was fitted on the same images with the same parameters before.

    Parameters
    ----------
    classifier : Classifier
        Not fitted yet.
    images : ClassImages
    models : str or Path
        Folder for stored models; the place is ``models/<name>/classifier/<hash of parameters and
        data>/``.
    name : str
        Of the data.
    show_progress : bool

    Returns
    -------
    Classifier
    """
    identity = json.dumps(
        [type(classifier).__name__, classifier.parameters, images.fingerprint], sort_keys=True
    )
    folder = Path(models) / name / "classifier" / hashlib.sha256(identity.encode()).hexdigest()[:12]
    if (folder / MANIFEST).is_file():
        return Classifier.load(folder)
    checkpoint = folder.with_suffix(".checkpoint.npz")
    classifier.fit(images, checkpoint=checkpoint, show_progress=show_progress)
    classifier.save(folder)
    remove_checkpoint(checkpoint)
    return classifier
