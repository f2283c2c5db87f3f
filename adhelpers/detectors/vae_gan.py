"""A variational autoencoder with an adversarial term, trained on good images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers

from adhelpers._shared.arrays import Floats, Images
from adhelpers._shared.checks import check_choice, checked_images
from adhelpers.training import (
    PRECISIONS,
    Augmentation,
    Trainable,
    TrainingPlan,
    adam,
    adversarial_loss,
    binary_cross_entropy,
    discriminator_loss,
    kl_divergence,
    squared_error,
    train,
)

from .linear_start import add_straight_code, add_straight_image, begin_as_subspace
from .manifest import StoredFiles
from .registry import register
from .residuals import ReconstructionDetector, ResidualScore
from .weights import load_arrays, load_weights, save_weights

LATENTS = ("vector", "components")
_MEAN = "mean_image.npz"
_RECONSTRUCTION_LOSSES = {
    "binary_cross_entropy": binary_cross_entropy,
    "squared_error": squared_error,
}


@dataclass(frozen=True)
class VAELoss:
    """What a `VAEGAN` minimises.

    reconstruction + kl_weight * KL divergence + adversarial_weight * adversarial term.

    Parameters
    ----------
    reconstruction : {"squared_error", "binary_cross_entropy"}
        Summed over pixels, averaged over channels.
    kl_weight, adversarial_weight : float
        Without the adversarial term (0) no discriminator is trained.
    """

    reconstruction: str = "squared_error"
    kl_weight: float = 0.02
    adversarial_weight: float = 0.0

    def __post_init__(self) -> None:
        check_choice("reconstruction", self.reconstruction, _RECONSTRUCTION_LOSSES)
        for name in ("kl_weight", "adversarial_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")


@dataclass(frozen=True)
class _Size:
    """What a published or designed size means where the caller says nothing else."""

    latent_dim: int
    loss: VAELoss
    plan: TrainingPlan


_SIZES = {
    "paper": _Size(32, VAELoss("binary_cross_entropy", 1.0, 1.0), TrainingPlan(batch_size=32)),
    "compact": _Size(128, VAELoss("squared_error", 0.02, 0.0), TrainingPlan(schedule="cosine")),
}


def _scaled(filters: int, width: float) -> int:
    """The number of filters at a width."""
    return max(4, round(filters * width))


def _first_weights(latent: str) -> str:
    """How the last layer starts: at zero where it adds to a linear map."""
    return "zeros" if latent == "components" else "glorot_uniform"


def build_encoder(
    shape: Sequence[int],
    size: str = "paper",
    latent_dim: int = 32,
    width: float = 1.0,
    policy: str = "float32",
    latent: str = "vector",
) -> keras.Model:
    """The encoder: an image to the mean and the log-variance of its latent code.

    Parameters
    ----------
    shape : tuple of int
        (h, w, c); h and w are multiples of 16.
    size : {"paper", "compact"}
    latent_dim : int
    width : float
        Scales the number of filters.
    policy : str
        Keras' dtype policy.
    latent : {"vector", "components"}
        See `VAEGAN`.

    Returns
    -------
    keras.Model
        (n, h, w, c) -> two outputs (n, latent_dim).

    Examples
    --------
    >>> build_encoder((128, 128, 3)).count_params()
    3021216
    """
    image = hidden = keras.Input(shape)
    if size == "paper":
        for filters in (32, 64, 128):
            hidden = layers.Conv2D(
                _scaled(filters, width), 3, 2, "same", activation="relu", dtype=policy
            )(hidden)
            hidden = layers.BatchNormalization(dtype=policy)(hidden)
        hidden = layers.Conv2D(_scaled(256, width), 3, 2, "same", activation="relu", dtype=policy)(
            hidden
        )
        hidden = layers.Dense(_scaled(160, width), activation="tanh", dtype=policy)(
            layers.Flatten(dtype=policy)(hidden)
        )
    else:
        # Without batch normalisation ReLU units died in the first steps of most trainings that were
        # tried, and the code with them.
        for filters in (32, 64, 64, 128):
            hidden = layers.Conv2D(
                _scaled(filters, width), 4, 2, "same", activation="elu", dtype=policy
            )(hidden)
        hidden = layers.Flatten(dtype=policy)(hidden)
    weights = {"kernel_initializer": _first_weights(latent), "dtype": "float32"}
    mean = layers.Dense(latent_dim, name="mean", **weights)(hidden)
    log_variance = layers.Dense(latent_dim, name="log_variance", **weights)(hidden)
    if latent == "components":
        mean = add_straight_code(image, mean)
    return keras.Model(image, (mean, log_variance), name="encoder")


def build_decoder(
    shape: Sequence[int],
    size: str = "paper",
    latent_dim: int = 32,
    width: float = 1.0,
    policy: str = "float32",
    latent: str = "vector",
) -> keras.Model:
    """The decoder: a latent code to an image; see `build_encoder` for the parameters.

    Returns
    -------
    keras.Model
        (n, latent_dim) -> (n, h, w, c); in [0, 1] for ``size="paper"``, unbounded (to be added to
        the mean image) for ``"compact"``.

    Examples
    --------
    >>> build_decoder((128, 128, 3)).count_params()
    1159715
    """
    rows, columns, channels = shape[0] // 16, shape[1] // 16, shape[2]
    code = keras.Input((latent_dim,))
    filters, activation = (
        (_scaled(64, width), "relu") if size == "paper" else (_scaled(128, width), "elu")
    )
    hidden = layers.Dense(rows * columns * filters, activation=activation, dtype=policy)(code)
    hidden = layers.Reshape((rows, columns, filters), dtype=policy)(hidden)
    if size == "paper":
        for filters in (256, 128, 64, 32):
            hidden = layers.Conv2DTranspose(
                _scaled(filters, width), 2, 2, activation="relu", dtype=policy
            )(hidden)
            hidden = layers.Conv2D(
                _scaled(filters, width), 3, 1, "same", activation="relu", dtype=policy
            )(hidden)
            if filters > 32:
                hidden = layers.BatchNormalization(dtype=policy)(hidden)
        image = layers.Conv2DTranspose(
            channels, 3, 1, "same", activation="sigmoid", dtype="float32"
        )(hidden)
    else:
        for filters in (64, 64, 32):
            hidden = layers.Conv2DTranspose(
                _scaled(filters, width), 4, 2, "same", activation=activation, dtype=policy
            )(hidden)
        weights = {"kernel_initializer": _first_weights(latent), "dtype": "float32"}
        image = layers.Conv2DTranspose(channels, 4, 2, "same", **weights)(hidden)
    if latent == "components":
        image = add_straight_image(code, image)
    return keras.Model(code, image, name="decoder")


def build_discriminator(
    shape: Sequence[int], width: float = 1.0, policy: str = "float32"
) -> keras.Model:
    """The published discriminator: the probability that an image is no reconstruction.

    Parameters
    ----------
    shape, width, policy
        As in `build_encoder`.

    Returns
    -------
    keras.Model
        (n, h, w, c) -> (n, 1) in [0, 1].

    Examples
    --------
    >>> build_discriminator((128, 128, 3)).count_params()
    328929
    """
    image = keras.Input(shape)
    hidden = layers.Conv2D(_scaled(128, width), 8, 2, "same", activation="relu", dtype=policy)(
        image
    )
    hidden = layers.BatchNormalization(dtype=policy)(
        layers.MaxPooling2D(padding="same", dtype=policy)(hidden)
    )
    hidden = layers.Conv2D(_scaled(64, width), 5, 2, "same", activation="relu", dtype=policy)(
        hidden
    )
    hidden = layers.BatchNormalization(dtype=policy)(
        layers.MaxPooling2D(padding="same", dtype=policy)(hidden)
    )
    hidden = layers.Conv2D(_scaled(32, width), 4, 2, "same", activation="relu", dtype=policy)(
        hidden
    )
    hidden = layers.Dense(_scaled(128, width), activation="relu", dtype=policy)(
        layers.Flatten(dtype=policy)(hidden)
    )
    return keras.Model(
        image, layers.Dense(1, activation="sigmoid", dtype="float32")(hidden), name="discriminator"
    )


class _Training(Trainable):
    """The updates of a step: the autoencoder's, and the discriminator's where there is one."""

    monitor = "val_reconstruction"

    def __init__(
        self, detector: "VAEGAN", optimizers: dict[str, keras.optimizers.Optimizer]
    ) -> None:
        self.networks, self.optimizers = detector.networks, optimizers
        self._detector, self._loss = detector, detector.loss
        self._reconstruction_loss = _RECONSTRUCTION_LOSSES[detector.loss.reconstruction]

    def train_step(self, images: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Update the autoencoder, and the discriminator where there is one."""
        images = self._detector.augmentation.apply(images, seed)
        noise = tf.random.stateless_normal(
            (tf.shape(images)[0], self._detector.latent_dim),
            tf.random.experimental.stateless_fold_in(seed, 100),
        )
        adversarial = "discriminator" in self.networks
        weights = {name: self.networks[name].trainable_variables for name in self.networks}
        with tf.GradientTape(persistent=adversarial) as tape:
            mean, log_variance = self.networks["encoder"](
                self._detector.centred(images), training=True
            )
            decoded = self.networks["decoder"](
                mean + tf.exp(log_variance / 2) * noise, training=True
            )
            reconstructions = self._detector.uncentred(decoded)
            losses = {
                "reconstruction": tf.reduce_mean(
                    self._reconstruction_loss(images, reconstructions)
                ),
                "kl": tf.reduce_mean(kl_divergence(mean, log_variance)),
            }
            loss = losses["reconstruction"] + self._loss.kl_weight * losses["kl"]
            if adversarial:
                real = self.networks["discriminator"](images, training=True)
                fake = self.networks["discriminator"](reconstructions, training=True)
                losses["discriminator"] = discriminator_loss(real, fake)
                losses["adversarial"] = adversarial_loss(fake, losses["discriminator"])
                loss += self._loss.adversarial_weight * losses["adversarial"]
        autoencoder = weights["encoder"] + weights["decoder"]
        gradients = tape.gradient(loss, autoencoder)
        if adversarial:
            against = tape.gradient(losses["discriminator"], weights["discriminator"])
            self.optimizers["discriminator"].apply(against, weights["discriminator"])
        self.optimizers["autoencoder"].apply(gradients, autoencoder)
        return {"loss": loss, **losses}

    def validation_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """The losses of held-out good images, decoded from their mean codes."""
        mean, log_variance = self.networks["encoder"](
            self._detector.centred(images), training=False
        )
        reconstructions = self._detector.uncentred(self.networks["decoder"](mean, training=False))
        return {
            "reconstruction": tf.reduce_mean(self._reconstruction_loss(images, reconstructions)),
            "kl": tf.reduce_mean(kl_divergence(mean, log_variance)),
        }


@register
class VAEGAN(ReconstructionDetector):
    """Variational autoencoder with an adversarial term; what it cannot reproduce is anomalous.

    Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", ICML 2016.

    Parameters
    ----------
    size : {"compact", "paper"}
        ``"paper"`` is the published architecture (128 x 128 x 3: 3,021,216 + 1,159,715 + 328,929
        parameters) with its loss: binary cross-entropy summed over pixels, KL divergence,
        adversarial term. ``"compact"`` is made for two cores: a plain variational autoencoder
        without batch normalisation (which overfits a few hundred images), the mean image
        subtracted, squared error.
    latent_dim : int, optional
        Length of the latent code. Here, for ``loss`` and for ``plan`` None takes what belongs to
        ``size``.
    loss : VAELoss, optional
    width : float
        Scales the number of filters.
    plan : TrainingPlan, optional
        See `default_plan`. What is monitored is the reconstruction error of the validation images.
    augmentation : Augmentation, optional
        None changes nothing; leave it at that where ``pose="axis"`` has turned the objects alike.
    scoring : ResidualScore, optional
        None is the smoothed absolute difference.
    latent : {"vector", "components"}
        ``"components"``, for ``"compact"``: beside the convolutions lies a linear map from the
        image to the code and one from the code to the image, set to the principal components of the
        training images and kept; the convolutions begin at zero and learn what is not linear. A few
        epochs are then enough.
    precision : {"float32", "bfloat16"}
        bfloat16 trains faster on processors that support it; weights stay float32.
    seed : int

    Attributes
    ----------
    history : pandas.DataFrame
        One row an epoch, see `adhelpers.training.train`.

    Raises
    ------
    ValueError
        If a parameter is out of range or, in `fit`, the image size is not a multiple of 16.

    Examples
    --------
    >>> good = np.random.default_rng(0).uniform(size=(8, 32, 32, 1)).astype("float32")
    >>> detector = VAEGAN(width=0.25, plan=TrainingPlan(epochs=1))
    >>> detector = detector.fit(good[:6], good[6:], show_progress=False)
    >>> detector.counterpart(good).shape
    (8, 32, 32, 1)
    """

    name = "vae_gan"
    title = "VAE-GAN"

    def __init__(
        self,
        size: str = "compact",
        *,
        latent_dim: int | None = None,
        loss: VAELoss | None = None,
        width: float = 1.0,
        plan: TrainingPlan | None = None,
        augmentation: Augmentation | None = None,
        scoring: ResidualScore | None = None,
        latent: str = "vector",
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        check_choice("size", size, _SIZES)
        check_choice("latent", latent, LATENTS)
        if latent == "components" and size != "compact":
            raise ValueError(
                f"latent 'components' needs size 'compact', not {size!r}: use latent 'vector'"
            )
        check_choice("precision", precision, PRECISIONS)
        super().__init__(scoring or ResidualScore())
        designed = _SIZES[size]
        if size == "compact":
            # Without a discriminator it is no GAN. The folder of stored models stays the same.
            self.title = "VAE"
        self.size, self.width, self.precision, self.seed = size, width, precision, seed
        self.latent_dim = designed.latent_dim if latent_dim is None else latent_dim
        self.loss, self.latent = loss or designed.loss, latent
        self.plan = plan or designed.plan
        self.augmentation = augmentation or Augmentation()
        for name, number in (("latent_dim", self.latent_dim), ("width", self.width)):
            if not number > 0:
                raise ValueError(f"{name} must be above 0, not {number}")
        self.history = pd.DataFrame()

    @staticmethod
    def default_plan(size: str = "compact") -> TrainingPlan:
        """The plan that belongs to a size, to change single fields of it.

        Examples
        --------
        >>> from dataclasses import replace
        >>> replace(VAEGAN.default_plan("compact"), epochs=40).schedule
        'cosine'
        """
        return _SIZES[size].plan

    def _build(self, mean_image: Floats) -> None:
        assert self.image_shape is not None
        height, width, _ = self.image_shape
        if height % 16 or width % 16:
            nearest = " x ".join(str(max(16, round(side / 16) * 16)) for side in (height, width))
            raise ValueError(
                "image_size must be a multiple of 16 in both directions, "
                f"not {height} x {width}; the nearest is {nearest}"
            )
        shape, policy = self.image_shape, PRECISIONS[self.precision]
        coder = (shape, self.size, self.latent_dim, self.width, policy, self.latent)
        self.networks = {"encoder": build_encoder(*coder), "decoder": build_decoder(*coder)}
        if self.loss.adversarial_weight:
            self.networks["discriminator"] = build_discriminator(shape, self.width, policy)
        # Only the unbounded decoder adds to a mean image; the published one ends in a sigmoid.
        # A variable, because an exported graph cannot hold a constant from outside of it.
        self._mean_image = tf.Variable(
            mean_image if self.size == "compact" else np.zeros_like(mean_image), trainable=False
        )
        self._batched = {}

    def centred(self, images: tf.Tensor) -> tf.Tensor:
        """What the encoder sees: the images less the mean image, which is 0 for ``"paper"``."""
        return images - self._mean_image

    def uncentred(self, decoded: tf.Tensor) -> tf.Tensor:
        """What the decoder's output means as an image, not clipped."""
        return decoded + self._mean_image

    def fit(
        self,
        train_images: Images,
        validation: Images,
        *,
        checkpoint: str | Path | None = None,
        show_progress: bool = True,
    ) -> Self:
        """Train; see `Detector.fit`."""
        train_images = checked_images(train_images, name="train")
        validation = checked_images(validation, train_images.shape[1:], name="validation")
        keras.utils.set_random_seed(self.seed)
        self.image_shape = train_images.shape[1:]
        self._build(train_images.mean(axis=0))
        if self.latent == "components":
            self._begin_as_subspace(train_images)

        rate, networks = self.plan.learning_rate, self.networks
        optimizers = {"autoencoder": adam(rate, networks["encoder"], networks["decoder"])}
        if "discriminator" in networks:
            optimizers["discriminator"] = adam(rate, networks["discriminator"])
        self.history = train(
            _Training(self, optimizers),
            train_images,
            validation,
            self.plan,
            seed=self.seed,
            checkpoint=checkpoint,
            show_progress=show_progress,
            description=self.title,
        )
        return self

    def _begin_as_subspace(self, train_images: Images) -> None:
        # The reconstruction loss is averaged over the channels.
        weight = self.loss.kl_weight * train_images.shape[-1] / 2
        encoder, decoder = self.networks["encoder"], self.networks["decoder"]
        centred = train_images - self._mean_image.numpy()
        noise = begin_as_subspace(encoder, decoder, centred, noise_weight=weight)
        encoder.get_layer("log_variance").bias.assign(np.log(noise))

    def encode(self, images: Images) -> Floats:
        """The mean of each image's latent code: float32 (n, latent_dim)."""
        return self._in_batches(self._encode_tensor, images)

    def _encode_tensor(self, images: tf.Tensor) -> tf.Tensor:
        return self.networks["encoder"](self.centred(images), training=False)[0]

    def reconstruct_tensor(self, images: tf.Tensor) -> tf.Tensor:
        """What the decoder makes of each image's mean code, cut to [0, 1]."""
        decoded = self.networks["decoder"](self._encode_tensor(images), training=False)
        return tf.clip_by_value(self.uncentred(decoded), 0.0, 1.0)

    def _write(self, folder: Path) -> dict[str, Any]:
        for name, network in self.networks.items():
            save_weights(network, folder / f"{name}.weights.h5")
        np.savez(folder / _MEAN, mean_image=self._mean_image.numpy())
        self.history.to_csv(folder / "history.csv", index=False)
        return {}

    def _read(self, files: StoredFiles, manifest: dict[str, Any]) -> None:
        self._build(load_arrays(files / _MEAN)["mean_image"])
        for name, network in self.networks.items():
            load_weights(network, files / f"{name}.weights.h5", name)
        self.history = pd.read_csv(files / "history.csv")
