"""Deep semi-supervised anomaly detection: a network that draws normal samples to a centre and pushes the few known anomalies off."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from adhelpers._shared.checks import checked_images
from adhelpers.training import (
    Augmentation,
    Trainable,
    TrainingPlan,
    adam,
    remove_checkpoint,
    train,
)

from .base import Detector
from .deep_sad_networks import NETWORKS, build_deep_sad_networks
from .features.neighbours import nearest_neighbours
from .integrated_gradients import integrated_gradients
from .manifest import load_weights
from .registry import register
from .residuals import smooth

EPSILON = 1e-6
# A coordinate of the centre nearer to zero could be met by weights of zero.
LEAST_CENTRE = 0.1
_BATCH = 128
# The counterparts are chosen among the half of the training samples that is nearest to the centre,
# and among so many at most.
_NORMAL_SHARE, _BANK = 0.5, 2000


def deep_sad_losses(distances, labels, eta=1.0):
    """The loss of each sample: its distance, or a weighted power of it where the sample is labelled.

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
    >>> deep_sad_losses(tf.constant([3.0, 3.0, 4.0]), tf.constant([0.0, 1.0, -1.0]), eta=2.0).numpy().round(4).tolist()
    [3.0, 6.0, 0.5]
    """
    return tf.where(labels == 0, distances, eta * (distances + EPSILON) ** labels)


def deep_sad_centre(codes):
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
    return np.where(
        np.abs(centre) < LEAST_CENTRE, np.where(centre < 0, -LEAST_CENTRE, LEAST_CENTRE), centre
    ).astype(np.float32)


def _squared_weights(networks):
    """Half the sum of all squared weights: its gradient is the weight itself, as in weight decay."""
    return 0.5 * tf.add_n(
        [tf.reduce_sum(weight**2) for network in networks for weight in network.trainable_variables]
    )


class _Pretraining(Trainable):
    def __init__(self, encoder, decoder, weight_decay, augmentation, optimizer):
        self.networks, self.optimizers = (
            {"encoder": encoder, "decoder": decoder},
            {"autoencoder": optimizer},
        )
        self._weight_decay, self._augmentation = weight_decay, augmentation

    def _error(self, images, training):
        code = self.networks["encoder"](images, training=training)
        return tf.reduce_mean((self.networks["decoder"](code, training=training) - images) ** 2)

    def train_step(self, images, seed):
        weights = [
            weight for network in self.networks.values() for weight in network.trainable_variables
        ]
        images = self._augmentation.apply(images, seed)
        with tf.GradientTape() as tape:
            error = self._error(images, True)
            loss = error + self._weight_decay * _squared_weights(self.networks.values())
        self.optimizers["autoencoder"].apply(tape.gradient(loss, weights), weights)
        return {"reconstruction": error}

    def validation_step(self, images):
        return {"reconstruction": self._error(images, False)}


class _Training(Trainable):
    def __init__(self, encoder, centre, eta, weight_decay, augmentation, optimizer):
        self.networks, self.optimizers = {"encoder": encoder}, {"encoder": optimizer}
        self._centre, self._eta, self._weight_decay, self._augmentation = (
            tf.constant(centre),
            eta,
            weight_decay,
            augmentation,
        )

    def _distances(self, images, training):
        return tf.reduce_sum(
            (self.networks["encoder"](images, training=training) - self._centre) ** 2, axis=1
        )

    def train_step(self, images, seed, labels):
        encoder, images = self.networks["encoder"], self._augmentation.apply(images, seed)
        with tf.GradientTape() as tape:
            objective = tf.reduce_mean(
                deep_sad_losses(self._distances(images, True), labels, self._eta)
            )
            loss = objective + self._weight_decay * _squared_weights([encoder])
        weights = encoder.trainable_variables
        self.optimizers["encoder"].apply(tape.gradient(loss, weights), weights)
        return {"loss": objective}

    def validation_step(self, images):
        return {"loss": tf.reduce_mean(self._distances(images, False))}


@register
class DeepSAD(Detector):
    """Deep SAD: the score is the squared distance of a sample's code from a centre.

    Ruff, Vandermeulen, Görnitz, Binder, Müller, Müller, Kloft, "Deep semi-supervised anomaly
    detection", ICLR 2020 (arXiv 1906.02694). Unlabelled samples, most of them normal, and known
    normal ones are drawn to the centre, known anomalies are pushed off. Without labels it is Deep
    SVDD. An autoencoder is trained first, and its encoder is where the training starts.

    The `counterpart` is a real training sample: among the half that is nearest to the centre (known
    anomalies left out), the one that the pretrained encoder finds most similar. In the trained
    network's own code normal samples are all alike, so that a neighbour there says nothing of what
    is seen. Without pretraining the most similar one is found in the samples themselves. The
    `anomaly_map` is where the score comes from: integrated gradients of the score from the
    counterpart to the sample (Sundararajan et al., ICML 2017), summed over channels, absolute,
    smoothed. Before that (`attributions`) they add up to the score minus the counterpart's.

    Parameters
    ----------
    network, latent_dim
        As in `build_deep_sad_networks`.
    eta : float
        Weight of the labelled samples against the unlabelled ones.
    epochs, batch_size : int
    learning_rate : float
        Of Adam.
    milestones : sequence of int
        Epochs after which the learning rate is a tenth of what it was.
    weight_decay : float
        Of half the sum of squared weights.
    pretrain : bool
        Whether an autoencoder is trained first.
    pretrain_epochs, pretrain_batch_size, pretrain_learning_rate, pretrain_milestones,
    pretrain_weight_decay
        The same for the autoencoder.
    rotation, shift, brightness, flip
        As in `Augmentation`, for images: small random changes of the training samples, in both
        trainings; none as published.
    smoothing : float
        Standard deviation of the Gaussian over the anomaly map, in pixels; for images only. It can
        be changed after training.
    integration_steps : int
        Places between counterpart and sample at which gradients are taken. It can be changed after
        training.
    checkpoint_every : int
        Epochs between checkpoints.
    seed : int

    Attributes
    ----------
    history, pretraining_history : pandas.DataFrame
        One row an epoch, see `adhelpers.detectors.train`; the second is empty without pretraining.
    centre : ndarray of float32, shape (latent_dim,)
    encoder : keras.Model
    pretrained_encoder, decoder : keras.Model or None
        The autoencoder, as it was before the encoder was trained on.

    Raises
    ------
    ValueError
        If a parameter is out of range or, in `fit`, the network does not fit the samples or a label
        is not -1, 0 or 1.

    Examples
    --------
    >>> samples = np.random.default_rng(0).uniform(size=(12, 16, 16, 1)).astype("float32")
    >>> labels = np.array([0] * 8 + [-1, 1])
    >>> detector = DeepSAD(epochs=1, pretrain_epochs=1).fit(samples[:10], samples[10:], labels, show_progress=False)
    >>> detector.score(samples).shape, detector.anomaly_map(samples).shape
    ((12,), (12, 16, 16))
    """

    name = "deep_sad"
    scoring_parameters = ("smoothing", "integration_steps")

    def __init__(
        self,
        network="auto",
        *,
        latent_dim=None,
        eta=1.0,
        epochs=150,
        batch_size=128,
        learning_rate=1e-3,
        milestones=(50,),
        weight_decay=5e-7,
        pretrain=True,
        pretrain_epochs=150,
        pretrain_batch_size=128,
        pretrain_learning_rate=1e-3,
        pretrain_milestones=(50,),
        pretrain_weight_decay=5e-4,
        rotation=0.0,
        shift=0.0,
        brightness=0.0,
        flip="none",
        smoothing=1.0,
        integration_steps=16,
        checkpoint_every=25,
        seed=0,
    ):
        super().__init__(
            network=network,
            latent_dim=latent_dim,
            eta=eta,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            milestones=list(milestones),
            weight_decay=weight_decay,
            pretrain=pretrain,
            pretrain_epochs=pretrain_epochs,
            pretrain_batch_size=pretrain_batch_size,
            pretrain_learning_rate=pretrain_learning_rate,
            pretrain_milestones=list(pretrain_milestones),
            pretrain_weight_decay=pretrain_weight_decay,
            rotation=rotation,
            shift=shift,
            brightness=brightness,
            flip=flip,
            smoothing=smoothing,
            integration_steps=integration_steps,
            checkpoint_every=checkpoint_every,
            seed=seed,
        )
        if network not in NETWORKS:
            raise ValueError(f"network must be one of {', '.join(NETWORKS)}, not {network!r}.")
        for parameter in (
            "eta",
            "learning_rate",
            "pretrain_learning_rate",
            "latent_dim",
            "integration_steps",
        ):
            if self.parameters[parameter] is not None and not self.parameters[parameter] > 0:
                raise ValueError(f"{parameter} must be above 0, not {self.parameters[parameter]}.")
        for parameter in ("weight_decay", "pretrain_weight_decay", "smoothing"):
            if self.parameters[parameter] < 0:
                raise ValueError(
                    f"{parameter} must be 0 or more, not {self.parameters[parameter]}."
                )
        self._plans = {
            prefix: TrainingPlan(
                self.parameters[f"{prefix}epochs"],
                self.parameters[f"{prefix}batch_size"],
                milestones=tuple(self.parameters[f"{prefix}milestones"]),
                checkpoint_every=checkpoint_every,
            )
            for prefix in ("", "pretrain_")
        }
        self._augmentation = Augmentation(rotation, shift, brightness, flip)
        self.history = self.pretraining_history = pd.DataFrame()
        self.centre = self.pretrained_encoder = self.decoder = None

    def _checked(self, samples, name="images", shape=None):
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim != 2:
            return checked_images(samples, shape, name)
        if len(samples) == 0 or (shape is not None and samples.shape[1:] != tuple(shape)):
            raise ValueError(
                f"{name} must hold at least one vector{'' if shape is None else f' of the shape {tuple(shape)}'}; "
                f"they have the shape {samples.shape}."
            )
        if not np.isfinite(samples).all():
            raise ValueError(f"{name} must be finite.")
        return samples

    def _build(self, shape):
        self.encoder, self.decoder = build_deep_sad_networks(
            shape, self.parameters["network"], self.parameters["latent_dim"]
        )
        self.image_shape = shape
        self.pretrained_encoder = (
            keras.models.clone_model(self.encoder) if self.parameters["pretrain"] else None
        )
        if not self.parameters["pretrain"]:
            self.decoder = None
        self._compiled = {}

    def fit(
        self,
        train_images,
        validation,
        labels=None,
        *,
        checkpoint=None,
        show_progress=True,
        tensorboard=None,
    ):
        """Pretrain, set the centre, and train.

        Parameters
        ----------
        train_images : ndarray of float32, shape (n, h, w, c), in [0, 1], or (n, d)
        validation : ndarray of float32, shape (m, h, w, c) or (m, d), or None
            Normal samples that are held out: their mean score stands in ``history`` as
            ``val_loss``. They choose nothing.
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
        labels = _checked_labels(labels, len(train_images))
        if train_images.ndim == 2 and self._augmentation.active:
            raise ValueError(
                "rotation, shift, brightness and flip are for images; vectors take none of them."
            )
        keras.utils.set_random_seed(self.parameters["seed"])
        self._build(train_images.shape[1:])
        # It stays until the whole training is done: what is continued after it must start from the
        # same weights.
        pretraining_checkpoint = (
            None if checkpoint is None else Path(checkpoint).with_suffix(".pretraining.npz")
        )
        if self.parameters["pretrain"]:
            self._pretrain(train_images, validation, pretraining_checkpoint, show_progress)
        self.centre = deep_sad_centre(self._in_batches("code", train_images))
        training = _Training(
            self.encoder,
            self.centre,
            self.parameters["eta"],
            self.parameters["weight_decay"],
            self._augmentation,
            adam(self.parameters["learning_rate"], self.encoder),
        )
        self.history = train(
            training,
            train_images,
            validation,
            self._plans[""],
            seed=self.parameters["seed"],
            labels=labels,
            checkpoint=checkpoint,
            show_progress=show_progress,
            description="Deep SAD",
            tensorboard=tensorboard,
        )
        self._keep_normal(train_images[labels >= 0])
        remove_checkpoint(pretraining_checkpoint)
        return self

    def _pretrain(self, train_images, validation, checkpoint, show_progress):
        training = _Pretraining(
            self.encoder,
            self.decoder,
            self.parameters["pretrain_weight_decay"],
            self._augmentation,
            adam(self.parameters["pretrain_learning_rate"], self.encoder, self.decoder),
        )
        self.pretraining_history = train(
            training,
            train_images,
            validation,
            self._plans["pretrain_"],
            seed=self.parameters["seed"],
            checkpoint=checkpoint,
            show_progress=show_progress,
            description="autoencoder",
        )
        self.pretrained_encoder.set_weights(self.encoder.get_weights())

    def _keep_normal(self, samples):
        """Keep those training samples that counterparts are taken from."""
        scores = self.score(samples)
        nearest = np.argsort(scores, kind="stable")[: max(1, round(_NORMAL_SHARE * len(samples)))]
        if len(nearest) > _BANK:
            nearest = np.sort(
                np.random.default_rng(self.parameters["seed"]).permutation(nearest)[:_BANK]
            )
        self._bank = samples[nearest]
        self._bank_codes = self._described(self._bank)

    def _described(self, samples):
        return (
            self._in_batches("described", samples)
            if self.parameters["pretrain"]
            else samples.reshape(len(samples), -1)
        )

    def _tensor_function(self, name):
        return {
            "code": lambda samples: self.encoder(samples, training=False),
            "described": lambda samples: self.pretrained_encoder(samples, training=False),
            "reconstruction": lambda samples: self.decoder(
                self.pretrained_encoder(samples, training=False), training=False
            ),
            "score": self.score_tensor,
            "attributions": self._attributions,
        }[name]

    def _in_batches(self, name, *samples):
        if name not in self._compiled:
            # Compiled once for any number of samples; keras' predict costs tens of milliseconds a
            # call.
            signature = (tf.TensorSpec((None, *self.image_shape), tf.float32),) * len(samples)
            self._compiled[name] = tf.function(
                self._tensor_function(name), input_signature=signature
            )
        return np.concatenate(
            [
                self._compiled[name](
                    *(tf.constant(one[start : start + _BATCH]) for one in samples)
                ).numpy()
                for start in range(0, len(samples[0]), _BATCH)
            ]
        )

    def score_tensor(self, images):
        """The score as a differentiable function of the sample: tensor of float32, shape (n,)."""
        return tf.reduce_sum((self.encoder(images, training=False) - self.centre) ** 2, axis=1)

    def score(self, images):
        self._require_fitted()
        return self._in_batches("score", self._checked(images, shape=self.image_shape))

    def encode(self, images):
        """The code of each sample: float32 (n, latent_dim)."""
        self._require_fitted()
        return self._in_batches("code", self._checked(images, shape=self.image_shape))

    def autoencoder_features(self, images):
        """The code that the pretrained encoder had before Deep SAD: float32 (n, latent_dim); what baselines are given."""
        self._require_pretrained()
        return self._in_batches("described", self._checked(images, shape=self.image_shape))

    def reconstruct(self, images):
        """What the pretrained autoencoder makes of each sample: float32, of the samples' shape."""
        self._require_pretrained()
        return self._in_batches("reconstruction", self._checked(images, shape=self.image_shape))

    def _require_pretrained(self):
        self._require_fitted()
        if not self.parameters["pretrain"]:
            raise RuntimeError(
                "This DeepSAD was fitted with pretrain=False: it has no autoencoder."
            )

    def counterpart(self, images):
        self._require_fitted()
        images = self._checked(images, shape=self.image_shape)
        _, indices = nearest_neighbours(self._described(images), self._bank_codes, search="numpy")
        return self._bank[indices[:, 0]]

    def attributions(self, images):
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
        self._require_fitted()
        images = self._checked(images, shape=self.image_shape)
        return self._in_batches("attributions", images, self.counterpart(images))

    def _attributions(self, images, counterparts):
        return integrated_gradients(
            lambda one: self.score_tensor(one[0]),
            [images],
            [counterparts],
            self.parameters["integration_steps"],
        )[0]

    def anomaly_map(self, images):
        attributions = self.attributions(images)
        if attributions.ndim == 2:
            return np.abs(attributions)
        return smooth(
            tf.constant(np.abs(attributions.sum(axis=-1))), self.parameters["smoothing"]
        ).numpy()

    def _write(self, folder):
        self.encoder.save_weights(folder / "encoder.weights.h5")
        if self.parameters["pretrain"]:
            self.pretrained_encoder.save_weights(folder / "pretrained.weights.h5")
            self.decoder.save_weights(folder / "decoder.weights.h5")
            self.pretraining_history.to_csv(folder / "pretraining.csv", index=False)
        self.history.to_csv(folder / "history.csv", index=False)
        np.savez_compressed(folder / "normal.npz", centre=self.centre, samples=self._bank)
        return {}

    def _read(self, folder, manifest):
        self._build(self.image_shape)
        files = {"encoder": self.encoder}
        if self.parameters["pretrain"]:
            files |= {"pretrained": self.pretrained_encoder, "decoder": self.decoder}
            self.pretraining_history = pd.read_csv(folder / "pretraining.csv")
        for name, network in files.items():
            load_weights(network, folder / f"{name}.weights.h5")
        self.history = pd.read_csv(folder / "history.csv")
        with np.load(folder / "normal.npz", allow_pickle=False) as stored:
            self.centre, self._bank = stored["centre"], stored["samples"]
        self._bank_codes = self._described(self._bank)


def _checked_labels(labels, count):
    labels = np.zeros(count) if labels is None else np.asarray(labels)
    if labels.shape != (count,):
        raise ValueError(
            f"labels must hold one number for each of the {count} training samples; they have the shape {labels.shape}."
        )
    wrong = np.setdiff1d(labels, (-1, 0, 1))
    if len(wrong):
        raise ValueError(
            f"labels must be -1 (known anomaly), 0 (unlabelled) or 1 (known normal); found {', '.join(map(str, wrong[:5]))}."
        )
    if not (labels >= 0).any():
        raise ValueError(
            "labels say that every training sample is a known anomaly: at least one must be unlabelled or known normal."
        )
    return labels.astype(np.float32)
