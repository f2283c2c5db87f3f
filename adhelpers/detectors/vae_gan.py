"""A variational autoencoder with an adversarial term, trained on good images."""

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers

from adhelpers.training.loop import PRECISIONS, Augmentation, Trainable, TrainingPlan, adam, train
from adhelpers.training.losses import (
    adversarial_loss,
    binary_cross_entropy,
    discriminator_loss,
    kl_divergence,
    squared_error,
)

from .base import check_images, load_weights
from .residuals import ReconstructionDetector

# What each published or designed size means where the caller says nothing else.
_SIZES = {
    "paper": {
        "latent_dim": 32,
        "reconstruction_loss": "binary_cross_entropy",
        "kl_weight": 1.0,
        "adversarial_weight": 1.0,
        "batch_size": 32,
        "schedule": "constant",
        "epochs": 100,
    },
    "compact": {
        "latent_dim": 128,
        "reconstruction_loss": "squared_error",
        "kl_weight": 0.02,
        "adversarial_weight": 0.0,
        "batch_size": 16,
        "schedule": "cosine",
        "epochs": 100,
    },
}
_RECONSTRUCTION_LOSSES = {
    "binary_cross_entropy": binary_cross_entropy,
    "squared_error": squared_error,
}


def _scaled(filters, width):
    return max(4, round(filters * width))


def build_encoder(shape, size="paper", latent_dim=32, width=1.0, policy="float32"):
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
    mean = layers.Dense(latent_dim, dtype="float32", name="mean")(hidden)
    log_variance = layers.Dense(latent_dim, dtype="float32", name="log_variance")(hidden)
    return keras.Model(image, (mean, log_variance), name="encoder")


def build_decoder(shape, size="paper", latent_dim=32, width=1.0, policy="float32"):
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
        image = layers.Conv2DTranspose(channels, 4, 2, "same", dtype="float32")(hidden)
    return keras.Model(code, image, name="decoder")


def build_discriminator(shape, width=1.0, policy="float32"):
    """The published discriminator: an image to the probability that it is a real one and not a reconstruction.

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
    """The two updates of a step: the autoencoder's, and the discriminator's where there is one."""

    def __init__(self, detector, optimizers):
        self.networks, self.optimizers = detector.networks, optimizers
        self._detector = detector
        self._parameters = detector.parameters
        self._augmentation = Augmentation(
            *(detector.parameters[name] for name in ("rotation", "shift", "brightness", "flip"))
        )
        self._reconstruction_loss = _RECONSTRUCTION_LOSSES[
            detector.parameters["reconstruction_loss"]
        ]

    def train_step(self, images, seed):
        images = self._augmentation.apply(images, seed)
        noise = tf.random.stateless_normal(
            (tf.shape(images)[0], self._parameters["latent_dim"]),
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
            loss = losses["reconstruction"] + self._parameters["kl_weight"] * losses["kl"]
            if adversarial:
                real = self.networks["discriminator"](images, training=True)
                fake = self.networks["discriminator"](reconstructions, training=True)
                losses["discriminator"] = discriminator_loss(real, fake)
                losses["adversarial"] = adversarial_loss(fake, losses["discriminator"])
                loss += self._parameters["adversarial_weight"] * losses["adversarial"]
        autoencoder = weights["encoder"] + weights["decoder"]
        gradients = tape.gradient(loss, autoencoder)
        if adversarial:
            against = tape.gradient(losses["discriminator"], weights["discriminator"])
            self.optimizers["discriminator"].apply(against, weights["discriminator"])
        self.optimizers["autoencoder"].apply(gradients, autoencoder)
        return {"loss": loss, **losses}

    def validation_step(self, images):
        mean, log_variance = self.networks["encoder"](
            self._detector.centred(images), training=False
        )
        reconstructions = self._detector.uncentred(self.networks["decoder"](mean, training=False))
        return {
            "reconstruction": tf.reduce_mean(self._reconstruction_loss(images, reconstructions)),
            "kl": tf.reduce_mean(kl_divergence(mean, log_variance)),
        }


class VAEGAN(ReconstructionDetector):
    """Variational autoencoder with an adversarial term; what it cannot reproduce of an image is anomalous.

    Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", ICML 2016.

    Parameters
    ----------
    size : {"compact", "paper"}
        ``"paper"`` is the published architecture (128 x 128 x 3: 3,021,216 + 1,159,715 + 328,929
        parameters) with its loss: binary cross-entropy summed over pixels, KL divergence,
        adversarial term. ``"compact"`` is made for two cores: a plain variational autoencoder
        without batch normalisation (which overfits a few hundred images), the mean image
        subtracted, squared error.
    latent_dim, reconstruction_loss, kl_weight, adversarial_weight, batch_size, schedule, epochs : optional
        None takes what belongs to ``size``. ``adversarial_weight=0`` trains no discriminator.
        ``schedule`` is one of `TrainingPlan`.
    width : float
        Scales the number of filters.
    learning_rate : float
        Of Adam, for both optimisers.
    rotation, shift, brightness, flip
        As in `Augmentation`; leave them off where ``pose="axis"`` has turned the objects alike.
    precision : {"float32", "bfloat16"}
        bfloat16 trains faster on processors that support it; weights stay float32.
    score, residual, smoothing, top_fraction, minimal_area
        As in `ResidualScore`.
    patience : int
        Stop after so many epochs without a better validation reconstruction error; 0 never stops
        early.
    checkpoint_every : int
        Epochs between checkpoints.
    seed : int

    Attributes
    ----------
    history : pandas.DataFrame
        One row an epoch, see `adhelpers.detectors.train`.

    Raises
    ------
    ValueError
        If a parameter is out of range or, in `fit`, the image size is not a multiple of 16.

    Examples
    --------
    >>> good = np.random.default_rng(0).uniform(size=(8, 32, 32, 1)).astype("float32")
    >>> detector = VAEGAN(epochs=1, width=0.25).fit(good[:6], good[6:], show_progress=False)
    >>> detector.counterpart(good).shape
    (8, 32, 32, 1)
    """

    name = "vae_gan"

    def __init__(
        self,
        size="compact",
        *,
        latent_dim=None,
        width=1.0,
        reconstruction_loss=None,
        kl_weight=None,
        adversarial_weight=None,
        epochs=None,
        batch_size=None,
        learning_rate=1e-3,
        schedule=None,
        rotation=0.0,
        shift=0.0,
        brightness=0.0,
        flip="none",
        precision="float32",
        score="smooth_max",
        residual="absolute",
        smoothing=2.0,
        top_fraction=0.01,
        minimal_area=25,
        patience=0,
        checkpoint_every=5,
        seed=0,
    ):
        if size not in _SIZES:
            raise ValueError(f"size must be one of {', '.join(_SIZES)}, not {size!r}.")
        given = {
            "latent_dim": latent_dim,
            "reconstruction_loss": reconstruction_loss,
            "kl_weight": kl_weight,
            "adversarial_weight": adversarial_weight,
            "batch_size": batch_size,
            "schedule": schedule,
            "epochs": epochs,
        }
        chosen = _SIZES[size] | {name: value for name, value in given.items() if value is not None}
        super().__init__(
            size=size,
            width=width,
            learning_rate=learning_rate,
            rotation=rotation,
            shift=shift,
            brightness=brightness,
            flip=flip,
            precision=precision,
            score=score,
            residual=residual,
            smoothing=smoothing,
            top_fraction=top_fraction,
            minimal_area=minimal_area,
            patience=patience,
            checkpoint_every=checkpoint_every,
            seed=seed,
            **chosen,
        )
        self._check()
        self.history = pd.DataFrame()

    def _check(self):
        parameters = self.parameters
        choices = {"reconstruction_loss": _RECONSTRUCTION_LOSSES, "precision": PRECISIONS}
        for name, allowed in choices.items():
            if parameters[name] not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, not {parameters[name]!r}."
                )
        for name in ("latent_dim", "width", "learning_rate"):
            if not parameters[name] > 0:
                raise ValueError(f"{name} must be above 0, not {parameters[name]}.")
        for name in ("kl_weight", "adversarial_weight"):
            if not parameters[name] >= 0:
                raise ValueError(f"{name} must be 0 or more, not {parameters[name]}.")
        Augmentation(*(parameters[name] for name in ("rotation", "shift", "brightness", "flip")))
        self._plan()

    def _plan(self):
        return TrainingPlan(
            **{
                name: self.parameters[name]
                for name in (
                    "epochs",
                    "batch_size",
                    "patience",
                    "checkpoint_every",
                    "seed",
                    "schedule",
                )
            }
        )

    def _build(self, mean_image):
        height, width, _ = self.image_shape
        if height % 16 or width % 16:
            raise ValueError(
                f"image_size must be a multiple of 16 in both directions, not {height} x {width}; "
                f"the nearest is {max(16, round(height / 16) * 16)} x {max(16, round(width / 16) * 16)}."
            )
        parameters, policy = self.parameters, PRECISIONS[self.parameters["precision"]]
        shared = {"shape": self.image_shape, "width": parameters["width"], "policy": policy}
        coder = {"size": parameters["size"], "latent_dim": parameters["latent_dim"], **shared}
        self.networks = {"encoder": build_encoder(**coder), "decoder": build_decoder(**coder)}
        if parameters["adversarial_weight"]:
            self.networks["discriminator"] = build_discriminator(**shared)
        # Only the unbounded decoder adds to a mean image; the published one ends in a sigmoid.
        self._mean_image = tf.constant(
            mean_image if parameters["size"] == "compact" else np.zeros_like(mean_image)
        )
        self._compiled = {}

    def centred(self, images):
        """What the encoder sees: the images less the mean image (which is zero for the published size)."""
        return images - self._mean_image

    def uncentred(self, decoded):
        """What the decoder's output means as an image, not clipped."""
        return decoded + self._mean_image

    def fit(self, train_images, validation, *, checkpoint=None, show_progress=True):
        """Train; see `Detector.fit`."""
        train_images = check_images(train_images, name="train")
        validation = check_images(validation, train_images.shape[1:], name="validation")
        parameters = self.parameters
        keras.utils.set_random_seed(parameters["seed"])
        self.image_shape = train_images.shape[1:]
        self._build(train_images.mean(axis=0))

        rate, networks = parameters["learning_rate"], self.networks
        optimizers = {"autoencoder": adam(rate, networks["encoder"], networks["decoder"])}
        if "discriminator" in networks:
            optimizers["discriminator"] = adam(rate, networks["discriminator"])
        self.history = train(
            _Training(self, optimizers),
            train_images,
            validation,
            self._plan(),
            checkpoint=checkpoint,
            show_progress=show_progress,
            description="VAE-GAN",
        )
        return self

    def encode(self, images):
        """The mean of each image's latent code: float32 (n, latent_dim)."""
        return self._in_batches(self._encode_tensor, images)

    def _encode_tensor(self, images):
        return self.networks["encoder"](self.centred(images), training=False)[0]

    def reconstruct_tensor(self, images):
        decoded = self.networks["decoder"](self._encode_tensor(images), training=False)
        return tf.clip_by_value(self.uncentred(decoded), 0.0, 1.0)

    def _write(self, folder):
        for name, network in self.networks.items():
            network.save_weights(folder / f"{name}.weights.h5")
        np.save(folder / "mean_image.npy", self._mean_image.numpy())
        self.history.to_csv(folder / "history.csv", index=False)
        return {}

    def _read(self, folder, manifest):
        self._build(np.load(folder / "mean_image.npy", allow_pickle=False))
        for name, network in self.networks.items():
            load_weights(network, folder / f"{name}.weights.h5", name)
        self.history = pd.read_csv(folder / "history.csv")
