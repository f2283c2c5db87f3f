"""Deep semi-supervised anomaly detection: a network that maps normal samples near a centre."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Floats, Images, Maps, Scores
from adhelpers._shared.batches import Batched
from adhelpers._shared.checks import check_choice, checked_images
from adhelpers.training import (
    Augmentation,
    Trainable,
    WeightDecayPlan,
    adam,
    remove_checkpoint,
    train,
)

from .base import Detector
from .deep_sad_networks import NETWORKS, build_deep_sad_networks
from .features.neighbours import NeighbourSearch
from .integrated_gradients import integrated_gradients
from .manifest import StoredFiles
from .registry import register
from .residuals import smooth
from .weights import load_arrays, load_weights, save_weights

EPSILON = 1e-6
# Weights of zero could meet a coordinate of the centre that is nearer to zero than this.
LEAST_CENTRE = 0.1
_BATCH = 128
# Counterparts are taken from the half of the training samples that is nearest to the centre, from
# at most this number of them.
_NORMAL_SHARE, _BANK = 0.5, 2000


def deep_sad_losses(distances: tf.Tensor, labels: tf.Tensor, eta: float = 1.0) -> tf.Tensor:
    """The loss of each sample: its distance, or a weighted power of it where it is labelled.

    Ruff et al., "Deep semi-supervised anomaly detection", ICLR 2020, equation 7: d for an
    unlabelled sample, eta (d + 1e-6) for a known normal one, eta / (d + 1e-6) for a known anomaly;
    training minimises the mean over a batch.

    Parameters
    ----------
    distances : tensor of float32, shape (n,)
        Squared distances from the centre.
    labels : tensor of float32, shape (n,)
        0 unlabelled, 1 known normal, -1 known anomaly.
    eta : float
        Weight of the labelled samples.

    Returns
    -------
    tensor of float32, shape (n,)

    Examples
    --------
    >>> distances, labels = tf.constant([3.0, 3.0, 4.0]), tf.constant([0.0, 1.0, -1.0])
    >>> deep_sad_losses(distances, labels, eta=2.0).numpy().round(4).tolist()
    [3.0, 6.0, 0.5]
    """
    return tf.where(labels == 0, distances, eta * (distances + EPSILON) ** labels)


def deep_sad_centre(codes: Floats) -> Floats:
    """The centre of a hypersphere: the mean of the codes, its coordinates kept away from zero.

    Parameters
    ----------
    codes : ndarray of float32, shape (n, d)

    Returns
    -------
    ndarray of float32, shape (d,)
        Coordinates nearer to zero than 0.1 are moved to -0.1 or 0.1, exact zeros to 0.1: weights of
        zero would meet them without having learned anything.

    Examples
    --------
    >>> deep_sad_centre(np.float32([[1, 0.25, -0.1, 0], [2, -0.05, -0.06, 0]])).round(3)
    array([ 1.5,  0.1, -0.1,  0.1], dtype=float32)
    """
    centre = np.asarray(codes).mean(axis=0, dtype=np.float64)
    moved = np.where(centre < 0, -LEAST_CENTRE, LEAST_CENTRE)
    return np.where(np.abs(centre) < LEAST_CENTRE, moved, centre).astype(np.float32)


def _squared_weights(networks: Iterable[keras.Model]) -> tf.Tensor:
    """Half the sum of all squared weights: its gradient is the weight, as in weight decay."""
    return 0.5 * tf.add_n(
        [tf.reduce_sum(weight**2) for network in networks for weight in network.trainable_variables]
    )


class _Pretraining(Trainable):
    """The autoencoder learns to reconstruct its training samples."""

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        weight_decay: float,
        augmentation: Augmentation,
        optimizer: keras.optimizers.Optimizer,
    ) -> None:
        self.networks = {"encoder": encoder, "decoder": decoder}
        self.optimizers = {"autoencoder": optimizer}
        self._weight_decay, self._augmentation = weight_decay, augmentation

    def _error(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        code = self.networks["encoder"](images, training=training)
        return tf.reduce_mean((self.networks["decoder"](code, training=training) - images) ** 2)

    def train_step(self, images: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        weights = [
            weight for network in self.networks.values() for weight in network.trainable_variables
        ]
        images = self._augmentation.apply(images, seed)
        with tf.GradientTape() as tape:
            error = self._error(images, True)
            loss = error + self._weight_decay * _squared_weights(self.networks.values())
        self.optimizers["autoencoder"].apply(tape.gradient(loss, weights), weights)
        return {"reconstruction": error}

    def validation_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"reconstruction": self._error(images, False)}


class _Training(Trainable):
    """The encoder learns to map samples near the centre, known anomalies far from it."""

    def __init__(
        self,
        encoder: keras.Model,
        centre: Floats,
        eta: float,
        weight_decay: float,
        augmentation: Augmentation,
        optimizer: keras.optimizers.Optimizer,
    ) -> None:
        self.networks, self.optimizers = {"encoder": encoder}, {"encoder": optimizer}
        self._centre, self._eta = tf.constant(centre), eta
        self._weight_decay, self._augmentation = weight_decay, augmentation

    def _distances(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        codes = self.networks["encoder"](images, training=training)
        return tf.reduce_sum((codes - self._centre) ** 2, axis=1)

    def train_step(
        self, images: tf.Tensor, seed: tf.Tensor, labels: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        encoder, images = self.networks["encoder"], self._augmentation.apply(images, seed)
        with tf.GradientTape() as tape:
            losses = deep_sad_losses(self._distances(images, True), labels, self._eta)
            objective = tf.reduce_mean(losses)
            loss = objective + self._weight_decay * _squared_weights([encoder])
        weights = encoder.trainable_variables
        self.optimizers["encoder"].apply(tape.gradient(loss, weights), weights)
        return {"loss": objective}

    def validation_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"loss": tf.reduce_mean(self._distances(images, False))}


@register
class DeepSAD(Detector):
    """Deep SAD: the score is the squared distance of a sample's code from a centre.

    Ruff, Vandermeulen, Görnitz, Binder, Müller, Müller, Kloft, "Deep semi-supervised anomaly
    detection", ICLR 2020 (arXiv 1906.02694). Training maps unlabelled samples, most of them normal,
    and known normal ones near the centre, known anomalies far from it. Without labels it is Deep
    SVDD. An autoencoder is trained first, and training starts with its encoder.

    The `counterpart` is a real training sample: among the half that is nearest to the centre (known
    anomalies left out), the one that the pretrained encoder finds most similar. In the code of the
    trained network all normal samples are alike, so that a neighbour there need not look similar.
    Without pretraining the samples themselves are compared. The `anomaly_map` shows where the score
    comes from: integrated gradients of the score from the counterpart to the sample (Sundararajan
    et al., ICML 2017), summed over channels, absolute, smoothed. Before that (`attributions`) they
    add up to the difference of the two scores.

    Parameters
    ----------
    network, latent_dim
        As in `build_deep_sad_networks`.
    eta : float
        Weight of the labelled samples against the unlabelled ones.
    plan : WeightDecayPlan, optional
        See `default_plan`. Nothing is monitored.
    pretrain : bool
        Whether an autoencoder is trained first.
    pretraining : WeightDecayPlan, optional
        Of the autoencoder, see `default_pretraining`.
    augmentation : Augmentation, optional
        For images: random changes of the training samples, in both trainings. None changes nothing,
        as published.
    smoothing : float
        Standard deviation of the Gaussian over the anomaly map, in pixels; for images only. This
        and ``integration_steps`` can be changed after training.
    integration_steps : int
        Number of places between counterpart and sample at which gradients are taken.
    seed : int

    Attributes
    ----------
    history, pretraining_history : pandas.DataFrame
        One row an epoch, see `adhelpers.training.train`; the second is empty without pretraining.
    centre : ndarray of float32, shape (latent_dim,)
    encoder : keras.Model
    pretrained_encoder, decoder : keras.Model or None
        The autoencoder, with the encoder as it was before the main training.

    Raises
    ------
    ValueError
        If a parameter is out of range or, in `fit`, the network does not fit the samples or a label
        is not -1, 0 or 1.

    Examples
    --------
    >>> samples = np.random.default_rng(0).uniform(size=(12, 16, 16, 1)).astype("float32")
    >>> labels = np.array([0] * 8 + [-1, 1])
    >>> short = WeightDecayPlan(epochs=1)
    >>> detector = DeepSAD(plan=short, pretraining=short)
    >>> detector = detector.fit(samples[:10], samples[10:], labels, show_progress=False)
    >>> detector.score(samples).shape, detector.anomaly_map(samples).shape
    ((12,), (12, 16, 16))
    """

    name = "deep_sad"
    title = "Deep SAD"
    scoring_parameters = ("smoothing", "integration_steps")

    def __init__(
        self,
        network: str = "auto",
        *,
        latent_dim: int | None = None,
        eta: float = 1.0,
        plan: WeightDecayPlan | None = None,
        pretrain: bool = True,
        pretraining: WeightDecayPlan | None = None,
        augmentation: Augmentation | None = None,
        smoothing: float = 1.0,
        integration_steps: int = 16,
        seed: int = 0,
    ) -> None:
        check_choice("network", network, NETWORKS)
        for name, value in (
            ("latent_dim", latent_dim),
            ("eta", eta),
            ("integration_steps", integration_steps),
        ):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        if not smoothing >= 0:
            raise ValueError(f"smoothing must be 0 or more pixels, not {smoothing}")
        super().__init__()
        self.network, self.latent_dim, self.eta, self.seed = network, latent_dim, eta, seed
        self.plan = plan or self.default_plan()
        self.pretrain, self.pretraining = pretrain, pretraining or self.default_pretraining()
        self.augmentation = augmentation or Augmentation()
        self.smoothing, self.integration_steps = smoothing, integration_steps
        self.history = self.pretraining_history = pd.DataFrame()
        self.centre: Floats | None = None
        self.encoder: keras.Model = None
        self.pretrained_encoder: keras.Model = None
        self.decoder: keras.Model = None

    @staticmethod
    def default_plan() -> WeightDecayPlan:
        """The published plan of the main training, to change single fields of it."""
        return WeightDecayPlan(
            150, 128, 1e-3, milestones=(50,), checkpoint_every=25, weight_decay=5e-7
        )

    @staticmethod
    def default_pretraining() -> WeightDecayPlan:
        """The published plan of the autoencoder, to change single fields of it.

        Examples
        --------
        >>> from dataclasses import replace
        >>> replace(DeepSAD.default_pretraining(), epochs=20).batch_size
        128
        """
        return WeightDecayPlan(
            150, 128, 1e-3, milestones=(50,), checkpoint_every=25, weight_decay=5e-4
        )

    def _checked(
        self, samples: Floats, name: str = "images", shape: tuple[int, ...] | None = None
    ) -> Floats:
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim != 2:
            return checked_images(samples, shape, name)
        if len(samples) == 0 or (shape is not None and samples.shape[1:] != tuple(shape)):
            wanted = "" if shape is None else f" of the shape {tuple(shape)}"
            raise ValueError(
                f"{name} must hold at least one vector{wanted}; they have the shape {samples.shape}"
            )
        if not np.isfinite(samples).all():
            raise ValueError(f"{name} must be finite")
        return samples

    def _build(self, shape: tuple[int, ...]) -> None:
        self.encoder, decoder = build_deep_sad_networks(shape, self.network, self.latent_dim)
        self.image_shape = shape
        self.decoder = decoder if self.pretrain else None
        self.pretrained_encoder = keras.models.clone_model(self.encoder) if self.pretrain else None
        self._batched: dict[str, Batched] = {}

    def fit(
        self,
        train_images: Floats,
        validation: Floats | None,
        labels: ArrayLike | None = None,
        *,
        checkpoint: str | Path | None = None,
        show_progress: bool = True,
        tensorboard: str | Path | None = None,
    ) -> Self:
        """Pretrain, set the centre, and train.

        Parameters
        ----------
        train_images : ndarray of float32, shape (n, h, w, c), in [0, 1], or (n, d)
        validation : ndarray of float32, shape (m, h, w, c) or (m, d), or None
            Normal samples that are held out: ``val_loss`` in ``history`` is their mean score. They
            choose nothing.
        labels : array_like of int, shape (n,), optional
            For each training sample 0 unlabelled, 1 known normal, -1 known anomaly; None is 0 for
            all.
        checkpoint, show_progress
            See `Detector.fit`.
        tensorboard : str or Path, optional
            Folder for TensorBoard's event files.

        Returns
        -------
        self
        """
        train_images = self._checked(train_images, "train")
        if validation is not None and len(validation) == 0:
            validation = None
        if validation is not None:
            validation = self._checked(validation, "validation", train_images.shape[1:])
        known = _checked_labels(labels, len(train_images))
        if train_images.ndim == 2 and self.augmentation.active:
            raise ValueError(
                "rotation, shift, brightness and flip are for images; vectors take none of them"
            )
        keras.utils.set_random_seed(self.seed)
        self._build(train_images.shape[1:])
        # It stays until the whole training is done: what is resumed after it must start from the
        # same weights.
        pretraining_checkpoint = (
            None if checkpoint is None else Path(checkpoint).with_suffix(".pretraining.npz")
        )
        if self.pretrain:
            self._pretrain(train_images, validation, pretraining_checkpoint, show_progress)
        self.centre = deep_sad_centre(self._in_batches(self._code, train_images))
        training = _Training(
            self.encoder,
            self.centre,
            self.eta,
            self.plan.weight_decay,
            self.augmentation,
            adam(self.plan.learning_rate, self.encoder),
        )
        self.history = train(
            training,
            train_images,
            validation,
            self.plan,
            seed=self.seed,
            labels=known,
            checkpoint=checkpoint,
            show_progress=show_progress,
            description=self.title,
            tensorboard=tensorboard,
        )
        self._keep_normal(train_images[known >= 0])
        remove_checkpoint(pretraining_checkpoint)
        return self

    def _pretrain(
        self,
        train_images: Floats,
        validation: Floats | None,
        checkpoint: Path | None,
        show_progress: bool,
    ) -> None:
        training = _Pretraining(
            self.encoder,
            self.decoder,
            self.pretraining.weight_decay,
            self.augmentation,
            adam(self.pretraining.learning_rate, self.encoder, self.decoder),
        )
        self.pretraining_history = train(
            training,
            train_images,
            validation,
            self.pretraining,
            seed=self.seed,
            checkpoint=checkpoint,
            show_progress=show_progress,
            description="autoencoder",
        )
        self.pretrained_encoder.set_weights(self.encoder.get_weights())

    def _keep_normal(self, samples: Floats) -> None:
        """Keep the training samples that counterparts are taken from."""
        scores = self.score(samples)
        nearest = np.argsort(scores, kind="stable")[: max(1, round(_NORMAL_SHARE * len(samples)))]
        if len(nearest) > _BANK:
            nearest = np.sort(np.random.default_rng(self.seed).permutation(nearest)[:_BANK])
        self._bank = samples[nearest]
        self._bank_codes = self._described(self._bank)

    def _described(self, samples: Floats) -> Floats:
        """What samples are compared by when a counterpart is chosen."""
        if self.pretrain:
            return self._in_batches(self._pretrained_code, samples)
        return samples.reshape(len(samples), -1)

    def _in_batches(self, function: Callable[..., tf.Tensor], *samples: Floats) -> Floats:
        return self._batched.setdefault(function.__name__, Batched(function, _BATCH))(*samples)

    def _code(self, samples: tf.Tensor) -> tf.Tensor:
        return self.encoder(samples, training=False)

    def _pretrained_code(self, samples: tf.Tensor) -> tf.Tensor:
        return self.pretrained_encoder(samples, training=False)

    def _reconstruction(self, samples: tf.Tensor) -> tf.Tensor:
        return self.decoder(self._pretrained_code(samples), training=False)

    def score_tensor(self, images: tf.Tensor) -> tf.Tensor:
        """The score as a differentiable function of the sample: tensor of float32, shape (n,)."""
        return tf.reduce_sum((self._code(images) - self.centre) ** 2, axis=1)

    def score(self, images: Floats) -> Scores:
        """Squared distance of each sample's code from the centre: float32 (n,)."""
        return self._in_batches(self.score_tensor, self._fitted_on(images))

    def _fitted_on(self, images: Floats) -> Floats:
        """Samples of the kind that the detector was fitted on, checked."""
        self._require_fitted()
        return self._checked(images, shape=self.image_shape)

    def encode(self, images: Floats) -> Floats:
        """The code of each sample: float32 (n, latent_dim)."""
        return self._in_batches(self._code, self._fitted_on(images))

    def autoencoder_features(self, images: Floats) -> Floats:
        """The code of the pretrained encoder, for other methods: float32 (n, latent_dim)."""
        self._require_pretrained()
        return self._in_batches(self._pretrained_code, self._fitted_on(images))

    def reconstruct(self, images: Floats) -> Floats:
        """The pretrained autoencoder's reconstruction: float32, of the shape of the samples."""
        self._require_pretrained()
        return self._in_batches(self._reconstruction, self._fitted_on(images))

    def _require_pretrained(self) -> None:
        self._require_fitted()
        if not self.pretrain:
            raise RuntimeError("This DeepSAD was fitted with pretrain=False: it has no autoencoder")

    def counterpart(self, images: Floats) -> Images:
        """The most similar normal training sample: float32, of the shape of the samples."""
        described = self._described(self._fitted_on(images))
        _, indices = NeighbourSearch(self._bank_codes).find(described)
        return self._bank[indices[:, 0]]

    def attributions(self, images: Floats) -> Floats:
        """How much each value adds to the score, from counterpart to sample.

        Parameters
        ----------
        images : ndarray of float32, shape (n, h, w, c) or (n, d)

        Returns
        -------
        ndarray of float32, of the same shape
            The sum over a sample is its score minus that of its counterpart, up to the
            integration's error.
        """
        images = self._fitted_on(images)
        return self._in_batches(self._attributions, images, self.counterpart(images))

    def _attributions(self, images: tf.Tensor, counterparts: tf.Tensor) -> tf.Tensor:
        return integrated_gradients(
            lambda one: self.score_tensor(one[0]), [images], [counterparts], self.integration_steps
        )[0]

    def anomaly_map(self, images: Floats) -> Maps:
        """Absolute `attributions`: float32 (n, h, w), smoothed, or (n, d) for vectors."""
        attributions = self.attributions(images)
        if attributions.ndim == 2:
            return np.abs(attributions)
        return smooth(tf.constant(np.abs(attributions.sum(axis=-1))), self.smoothing).numpy()

    def _write(self, folder: Path) -> dict[str, Any]:
        for name, network in self._stored_networks().items():
            save_weights(network, folder / f"{name}.weights.h5")
        if self.pretrain:
            self.pretraining_history.to_csv(folder / "pretraining.csv", index=False)
        self.history.to_csv(folder / "history.csv", index=False)
        np.savez_compressed(
            folder / "normal.npz", centre=np.asarray(self.centre), samples=self._bank
        )
        return {}

    def _read(self, files: StoredFiles, manifest: dict[str, Any]) -> None:
        self._build(tuple(manifest["image_shape"]))
        for name, network in self._stored_networks().items():
            load_weights(network, files / f"{name}.weights.h5", name)
        if self.pretrain:
            self.pretraining_history = pd.read_csv(files / "pretraining.csv")
        self.history = pd.read_csv(files / "history.csv")
        stored = load_arrays(files / "normal.npz")
        self.centre, self._bank = stored["centre"], stored["samples"]
        self._bank_codes = self._described(self._bank)

    def _stored_networks(self) -> dict[str, keras.Model]:
        networks = {"encoder": self.encoder}
        if self.pretrain:
            networks |= {"pretrained": self.pretrained_encoder, "decoder": self.decoder}
        return networks


def _checked_labels(labels: ArrayLike | None, count: int) -> Floats:
    known = np.zeros(count) if labels is None else np.asarray(labels)
    if known.shape != (count,):
        raise ValueError(
            f"labels must hold one number for each of the {count} training samples; they have the "
            f"shape {known.shape}"
        )
    wrong = np.setdiff1d(known, (-1, 0, 1))
    if len(wrong):
        raise ValueError(
            "labels must be -1 (known anomaly), 0 (unlabelled) or 1 (known normal); found "
            f"{', '.join(map(str, wrong[:5]))}"
        )
    if not (known >= 0).any():
        raise ValueError(
            "labels say that every training sample is a known anomaly: at least one must be "
            "unlabelled or known normal"
        )
    return known.astype(np.float32)
