"""A small convolutional classifier whose decisions are explained and audited."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers

from adhelpers._shared.arrays import Floats, Images, Integers
from adhelpers._shared.batches import Batched
from adhelpers._shared.checks import check_choice, checked_images
from adhelpers.data import ClassImages
from adhelpers.training import Augmentation, Trainable, WeightDecayPlan, adam, train

from .base import Model
from .manifest import StoredFiles
from .weights import load_weights, save_weights

_BATCH = 128
_POOLINGS = {"maximum": layers.GlobalMaxPooling2D, "average": layers.GlobalAveragePooling2D}


def build_classifier(
    shape: Sequence[int],
    classes: int,
    filters: Sequence[int] = (16, 32, 64),
    dropout: float = 0.3,
    pooling: str = "maximum",
) -> keras.Model:
    """Blocks of convolutions, then one value of each channel over all places into a dense layer.

    The first block, which has the most places, has one convolution, the others have two; all but
    the last end in a pooling to half the size. So the last convolution keeps a grid of a quarter of
    the image's side for three blocks, fine enough for its GradCAM to show more than a coarse spot.

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
        Over all places. In the average over all places little is left of a small fault.

    Returns
    -------
    keras.Model
        (n, h, w, c) in [0, 1] to probabilities (n, classes).

    Raises
    ------
    ValueError
        If the image is too small for that number of blocks, there are fewer than two classes, or
        the pooling is unknown.

    Examples
    --------
    >>> build_classifier((32, 32, 1), 3).get_layer("last_convolution").output.shape
    (None, 8, 8, 64)
    """
    check_choice("pooling", pooling, _POOLINGS)
    if classes < 2:
        raise ValueError(f"a classifier needs two classes or more, not {classes}")
    least = 2 ** (len(filters) + 1)
    if not filters or min(shape[:2]) < least:
        raise ValueError(
            f"filters: {len(filters)} blocks need images of at least {least} x {least} pixels, "
            f"not {shape[0]} x {shape[1]}"
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
            # With Keras' momentum of 0.99 the statistics of the first steps would still count at
            # the end of a training on a few hundred images.
            hidden = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(hidden))
        if block < len(filters) - 1:
            hidden = layers.MaxPooling2D()(hidden)
    hidden = layers.Dropout(dropout, seed=0)(_POOLINGS[pooling]()(hidden))
    output = layers.Dense(classes, activation="softmax", name="classes")(hidden)
    return keras.Model(image, output, name="classifier")


class _Training(Trainable):
    """The classifier learns with a loss in which all classes have the same weight."""

    def __init__(
        self,
        network: keras.Model,
        augmentation: Augmentation,
        weight_decay: float,
        class_weights: Floats,
        optimizer: keras.optimizers.Optimizer,
    ) -> None:
        self.networks, self.optimizers = {"classifier": network}, {"classifier": optimizer}
        self._class_weights = tf.constant(class_weights, tf.float32)
        self._augmentation, self._weight_decay = augmentation, weight_decay

    def train_step(
        self, images: tf.Tensor, seed: tf.Tensor, labels: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        network, images = self.networks["classifier"], self._augmentation.apply(images, seed)
        weights = network.trainable_variables
        with tf.GradientTape() as tape:
            probabilities = network(images, training=True)
            targets = tf.one_hot(tf.cast(labels, tf.int32), probabilities.shape[1])
            of_class = tf.gather(self._class_weights, tf.cast(labels, tf.int32))
            entropies = keras.losses.categorical_crossentropy(targets, probabilities)
            entropy = tf.reduce_mean(of_class * entropies)
            decay = tf.add_n([tf.reduce_sum(one**2) for one in weights if len(one.shape) > 1])
            loss = entropy + 0.5 * self._weight_decay * decay
        self.optimizers["classifier"].apply(tape.gradient(loss, weights), weights)
        hits = tf.equal(tf.argmax(probabilities, axis=1), tf.cast(labels, tf.int64))
        return {"loss": entropy, "accuracy": tf.reduce_mean(tf.cast(hits, tf.float32))}

    def validation_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = self.networks["classifier"](images, training=False)
        return {"confidence": tf.reduce_mean(tf.reduce_max(probabilities, axis=1))}


class Classifier(Model):
    """A small convolutional network for images of several classes.

    Every class has the same weight in the loss, however few images it has.

    Parameters
    ----------
    filters, dropout, pooling
        As in `build_classifier`.
    plan : WeightDecayPlan, optional
        See `default_plan`; the decay is of convolutions' and dense kernels. Nothing is monitored.
    augmentation : Augmentation, optional
        None shifts by up to 4 %, changes the brightness by up to 10 % and mirrors left-right.
    seed : int

    Attributes
    ----------
    network : keras.Model
        Once it is fitted or loaded; see `build_classifier`.
    class_names : tuple of str
    history : pandas.DataFrame
        One row an epoch: ``loss``, ``accuracy`` on the training images as the network sees them
        (changed, with dropout).

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> from adhelpers.data import make_class_images
    >>> levels = np.repeat([0.2, 0.8], 8)
    >>> pixels = levels[:, None, None, None] * np.ones((1, 16, 16, 1))
    >>> images = make_class_images(pixels, (levels > 0.5).astype(int), ("dark", "bright"))
    >>> classifier = Classifier((4, 8), plan=WeightDecayPlan(epochs=1, batch_size=8))
    >>> classifier.fit(images, show_progress=False).probabilities(images.images).shape
    (16, 2)
    """

    name = title = "classifier"

    def __init__(
        self,
        filters: tuple[int, ...] = (16, 32, 64),
        *,
        dropout: float = 0.3,
        pooling: str = "maximum",
        plan: WeightDecayPlan | None = None,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        check_choice("pooling", pooling, _POOLINGS)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {dropout}")
        super().__init__()
        self.filters, self.dropout, self.pooling = tuple(filters), dropout, pooling
        self.plan = plan or self.default_plan()
        self.augmentation = augmentation or Augmentation(0.0, 0.04, 0.1, "horizontal")
        self.seed = seed
        self.network: keras.Model = None
        self.class_names: tuple[str, ...] = ()
        self.history = pd.DataFrame()

    @staticmethod
    def default_plan() -> WeightDecayPlan:
        """The plan to change single fields of.

        Examples
        --------
        >>> from dataclasses import replace
        >>> replace(Classifier.default_plan(), epochs=25).schedule
        'cosine'
        """
        return WeightDecayPlan(20, 32, 3e-3, schedule="cosine", weight_decay=1e-4)

    def fit_on(self, data: Any, **options: Any) -> Self:
        """Fit on the `ClassImages` ``data.train``, as `fit_or_load` does."""
        return self.fit(data.train, **options)

    def fit(
        self,
        images: ClassImages,
        *,
        checkpoint: str | Path | None = None,
        show_progress: bool = True,
    ) -> Self:
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
        counts = np.bincount(images.labels, minlength=len(images.class_names))
        if not counts.all():
            empty = images.class_names[int(np.argmin(counts))]
            raise ValueError(
                f"train: there is no image of class {empty!r}, so it cannot be learned"
            )
        keras.utils.set_random_seed(self.seed)
        self.image_shape, self.class_names = images.images.shape[1:], images.class_names
        self._build()
        training = _Training(
            self.network,
            self.augmentation,
            self.plan.weight_decay,
            len(images) / (len(counts) * counts),
            adam(self.plan.learning_rate, self.network),
        )
        self.history = train(
            training,
            images.images,
            None,
            self.plan,
            seed=self.seed,
            labels=images.labels.astype(np.float32),
            checkpoint=checkpoint,
            show_progress=show_progress,
            description=self.title,
        )
        return self

    def _build(self) -> None:
        self.network = build_classifier(
            self.image_shape or (),
            len(self.class_names),
            self.filters,
            self.dropout,
            self.pooling,
        )
        self._probabilities = Batched(
            lambda images: self.network(images, training=False), size=_BATCH
        )

    def probabilities(self, images: Images) -> Floats:
        """The probability of each class: float32 (n, classes), each row summing to 1."""
        self._require_fitted()
        return self._probabilities(checked_images(images, self.image_shape))

    def predict(self, images: Images) -> Integers:
        """Index of the most probable class of each image: int64 (n,)."""
        return self.probabilities(images).argmax(axis=1)

    def _write(self, folder: Path) -> dict[str, Any]:
        save_weights(self.network, folder / "classifier.weights.h5")
        self.history.to_csv(folder / "history.csv", index=False)
        return {"class_names": list(self.class_names)}

    def _read(self, files: StoredFiles, manifest: dict[str, Any]) -> None:
        self.class_names = tuple(manifest["class_names"])
        self._build()
        load_weights(self.network, files / "classifier.weights.h5")
        self.history = pd.read_csv(files / "history.csv")
