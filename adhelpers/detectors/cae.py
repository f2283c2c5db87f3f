"""Convolutional autoencoders, trained on good images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import keras
import pandas as pd
import tensorflow as tf

from adhelpers._shared.arrays import Images
from adhelpers._shared.checks import check_choice, checked_images
from adhelpers.training import (
    PRECISIONS,
    Augmentation,
    Trainable,
    TrainingPlan,
    adam,
    find_learning_rate,
    multiscale_dissimilarity,
    squared_error,
    structural_dissimilarity,
    train,
)

from .cae_networks import ARCHITECTURES, COPYING_ARCHITECTURES, LATENTS, build_autoencoder
from .linear_start import begin_as_subspace
from .manifest import StoredFiles
from .registry import register
from .residuals import ReconstructionDetector, ResidualScore
from .weights import load_weights, save_weights

_Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
_LOSSES: dict[str, _Loss] = {
    "l2": squared_error,
    "ssim": structural_dissimilarity,
    "ms_ssim": multiscale_dissimilarity,
}


class _Training(Trainable):
    monitor = "val_loss"

    def __init__(
        self,
        network: keras.Model,
        loss: _Loss,
        augmentation: Augmentation,
        optimizer: keras.optimizers.Optimizer,
    ) -> None:
        self.networks, self.optimizers = {"autoencoder": network}, {"autoencoder": optimizer}
        self._loss, self._augmentation = loss, augmentation

    def train_step(self, images: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Update the autoencoder."""
        images, network = self._augmentation.apply(images, seed), self.networks["autoencoder"]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self._loss(images, network(images, training=True)))
        weights = network.trainable_variables
        self.optimizers["autoencoder"].apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}

    def validation_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same loss of held-out good images."""
        reconstructions = self.networks["autoencoder"](images, training=False)
        return {"loss": tf.reduce_mean(self._loss(images, reconstructions))}


@register
class CAE(ReconstructionDetector):
    """Convolutional autoencoder: what it cannot reproduce of an image is anomalous.

    Bergmann, Löwe, Fauser, Sattlegger, Steger, "Improving unsupervised defect segmentation by
    applying structural similarity to autoencoders", VISAPP 2019.

    Parameters
    ----------
    architecture, latent_dim, latent, width
        As in `build_autoencoder`. With ``latent="components"`` its linear maps are set to the
        principal components of the training images and kept; the convolutions learn what is not
        linear. A few epochs are then enough.
    loss : {"l2", "ssim", "ms_ssim"}
        Squared error; 1 - SSIM, for grey images; 1 - MS-SSIM, for colour. What ``residual`` is may
        be chosen apart from it.
    plan : TrainingPlan, optional
        None is `default_plan`. With ``learning_rate=None`` the rate is found by a sweep before
        training (`find_learning_rate`), kept as ``learning_rate_sweep``. What is monitored is the
        loss of the validation images.
    augmentation : Augmentation, optional
        None changes nothing; leave it at that where ``pose="axis"`` has turned the objects alike.
    scoring : ResidualScore, optional
        None is the smoothed squared difference; it can be changed after training.
    precision : {"float32", "bfloat16"}
        bfloat16 trains faster on processors that support it; weights stay float32.
    seed : int

    Attributes
    ----------
    history : pandas.DataFrame
        One row an epoch, see `adhelpers.detectors.train`.
    learning_rate_sweep : pandas.DataFrame or None
        ``learning_rate``, ``loss`` and ``smoothed`` of the sweep; None where the rate was given.
    found_learning_rate : float or None
        The rate that the sweep suggested.

    Raises
    ------
    ValueError
        If a parameter is out of range or, in `fit`, the size does not fit the architecture or the
        loss does not fit the colour.

    Examples
    --------
    >>> import numpy as np
    >>> good = np.random.default_rng(0).uniform(size=(8, 64, 64, 1)).astype("float32")
    >>> detector = CAE(loss="ssim", width=0.2, plan=TrainingPlan(epochs=1))
    >>> detector = detector.fit(good[:6], good[6:], show_progress=False)
    >>> detector.counterpart(good).shape
    (8, 64, 64, 1)
    """

    name = "cae"
    title = "autoencoder"

    def __init__(
        self,
        architecture: str = "mvtec",
        loss: str = "l2",
        *,
        latent_dim: int | None = None,
        latent: str = "vector",
        width: float = 1.0,
        plan: TrainingPlan | None = None,
        augmentation: Augmentation | None = None,
        scoring: ResidualScore | None = None,
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        check_choice("architecture", architecture, ARCHITECTURES)
        check_choice("loss", loss, _LOSSES)
        check_choice("precision", precision, PRECISIONS)
        check_choice("latent", latent, LATENTS)
        for name, number in (("latent_dim", latent_dim), ("width", width)):
            if number is not None and not number > 0:
                raise ValueError(f"{name} must be above 0, not {number}")
        super().__init__(scoring or ResidualScore(residual="l2"))
        self.architecture, self.loss = architecture, loss
        self.latent_dim, self.latent, self.width = latent_dim, latent, width
        self.plan = plan or self.default_plan()
        self.augmentation = augmentation or Augmentation()
        self.precision, self.seed = precision, seed
        self.history = pd.DataFrame()
        self.learning_rate_sweep: pd.DataFrame | None = None
        self.found_learning_rate: float | None = None

    @staticmethod
    def default_plan() -> TrainingPlan:
        """A rate found by a sweep, cyclical and halved on plateaus, until nothing gets better."""
        return TrainingPlan(
            epochs=200, learning_rate=None, schedule="cyclical", patience=12, plateau=6
        )

    @property
    def copies_defects(self) -> bool:
        """Whether shortcuts around the code may copy a defect into the reconstruction."""
        return self.architecture in COPYING_ARCHITECTURES

    def _build(self) -> None:
        assert self.image_shape is not None
        _check_loss(self.loss, self.image_shape)
        self.network = build_autoencoder(
            self.image_shape,
            self.architecture,
            self.latent_dim,
            self.latent,
            self.width,
            PRECISIONS[self.precision],
        )
        self._batched = {}

    def fit(
        self,
        train_images: Images,
        validation: Images,
        *,
        checkpoint: str | Path | None = None,
        show_progress: bool = True,
        tensorboard: str | Path | None = None,
    ) -> Self:
        """Train; see `Detector.fit`. ``tensorboard`` is a folder for TensorBoard's event files."""
        train_images = checked_images(train_images, name="train")
        validation = checked_images(validation, train_images.shape[1:], name="validation")
        keras.utils.set_random_seed(self.seed)
        self.image_shape = train_images.shape[1:]
        try:
            self._build()
        except ValueError:
            self.image_shape = None
            raise
        if self.latent == "components":
            begin_as_subspace(self.network, self.network, train_images)
        # A sweep sets the rate anew.
        optimizer = adam(self.plan.learning_rate or 1e-3, self.network)
        training = _Training(self.network, _LOSSES[self.loss], self.augmentation, optimizer)
        if self.plan.learning_rate is None:
            sweep = find_learning_rate(
                training,
                train_images,
                batch_size=self.plan.batch_size,
                seed=self.seed,
                show_progress=show_progress,
            )
            self.learning_rate_sweep, self.found_learning_rate = sweep.table, sweep.suggested
            optimizer.learning_rate.assign(sweep.suggested)
        self.history = train(
            training,
            train_images,
            validation,
            self.plan,
            seed=self.seed,
            checkpoint=checkpoint,
            show_progress=show_progress,
            description=f"{self.architecture} autoencoder",
            tensorboard=tensorboard,
        )
        return self

    def reconstruct_tensor(self, images: tf.Tensor) -> tf.Tensor:
        """What the autoencoder makes of each image, cut to [0, 1]."""
        return tf.clip_by_value(self.network(images, training=False), 0.0, 1.0)

    def _write(self, folder: Path) -> dict[str, Any]:
        save_weights(self.network, folder / "autoencoder.weights.h5")
        self.history.to_csv(folder / "history.csv", index=False)
        if self.learning_rate_sweep is not None:
            self.learning_rate_sweep.to_csv(folder / "learning_rate.csv", index=False)
        return {"found_learning_rate": self.found_learning_rate}

    def _read(self, files: StoredFiles, manifest: dict[str, Any]) -> None:
        self._build()
        load_weights(self.network, files / "autoencoder.weights.h5")
        self.history = pd.read_csv(files / "history.csv")
        self.found_learning_rate = manifest["found_learning_rate"]
        if self.found_learning_rate is not None:
            self.learning_rate_sweep = pd.read_csv(files / "learning_rate.csv")


def _check_loss(loss: str, shape: tuple[int, ...]) -> None:
    """Refuse a loss that is not for images of this colour or size."""
    colour = shape[2] == 3
    kind, other, right, setting = (
        ("colour", "grey", "ms_ssim", "grayscale") if colour else ("grey", "colour", "ssim", "rgb")
    )
    if loss == ("ssim" if colour else "ms_ssim"):
        raise ValueError(
            f"loss {loss!r} is for {other} images, and these are {kind}: use loss {right!r} "
            f"(or 'l2'), or load them with color={setting!r}"
        )
    if loss != "l2" and min(shape[:2]) < 11:
        raise ValueError(
            f"loss {loss!r} compares windows of 11 pixels; images of {shape[0]} x {shape[1]} "
            "are too small"
        )
