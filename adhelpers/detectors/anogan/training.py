"""Training a GAN and its encoder on a few hundred images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Floats
from adhelpers.training import Augmentation, Trainable

from .latent_search import LatentSearch

# The gradient penalty is measured on this share of each batch: its second derivative costs as much
# as the rest of the step.
_PENALISED = 4
# Standard deviation of the noise on codes, and the weight that keeps codes near the noise vector's
# distribution, which has the standard deviation 1.
_CODE_NOISE, _CODE_WEIGHT = 0.2, 0.05


@contextmanager
def unfused_layers() -> Iterator[None]:
    """Compile what is traced in the body without TensorFlow's fusion of neighbouring layers.

    The fusion sometimes fails on the steps of a GAN and its encoder, for no reason in the graph.
    Sums round differently with and without it, so that a resumed training would end in other bits
    than an uninterrupted one.
    """
    before = tf.config.optimizer.get_experimental_options().get("remapping", True)
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": before})


def gan_losses(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The losses of discriminator and generator: binary cross-entropy, non-saturating.

    Goodfellow et al., "Generative adversarial nets", NeurIPS 2014.

    Parameters
    ----------
    real_logits, fake_logits : tensor of float32, shape (n, 1)
        The discriminator's logits of real images and of samples.

    Returns
    -------
    discriminator, generator : tensor of float32, scalar

    Examples
    --------
    >>> undecided = tf.constant([[0.0]])
    >>> [round(float(loss), 4) for loss in gan_losses(undecided, undecided)]  # 2 log 2 and log 2
    [1.3863, 0.6931]
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    real = tf.reduce_mean(entropy(tf.ones_like(real_logits), real_logits))
    fake = tf.reduce_mean(entropy(tf.zeros_like(fake_logits), fake_logits))
    return real + fake, tf.reduce_mean(entropy(tf.ones_like(fake_logits), fake_logits))


def gradient_penalty(
    discriminator: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor
) -> tf.Tensor:
    """R1: the mean squared length of the gradient of the discriminator's logit at real images.

    Mescheder, Geiger and Nowozin, "Which training methods for GANs do actually converge?", ICML
    2018.

    Parameters
    ----------
    discriminator : callable
        (n, h, w, c) -> logits (n, 1).
    images : tensor of float32, shape (n, h, w, c)

    Returns
    -------
    tensor of float32, scalar

    Examples
    --------
    >>> float(gradient_penalty(lambda images: 3 * images[:, 0, 0], tf.ones((2, 4, 4, 1))))
    9.0
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = discriminator(images)
    gradient = tape.gradient(logits, images)
    return tf.reduce_mean(tf.reduce_sum(gradient**2, axis=(1, 2, 3)))


def spread(images: ArrayLike) -> tuple[float, float]:
    """How different the images of a set are from each other; low values tell a collapsed generator.

    Parameters
    ----------
    images : array_like of float, shape (n, h, w, c)
        At least 2.

    Returns
    -------
    diversity : float
        Root mean square difference between the pixels of two of the images.
    nearest : float
        The same between each image and the one most similar to it, averaged: near 0 where a few
        images are repeated.

    Examples
    --------
    >>> grey = np.array([0.0, 0.0, 1.0])  # two images that are equal and a third
    >>> spread(grey[:, None, None, None] * np.ones((3, 4, 4, 1)))
    (0.816496580927726, 0.3333333333333333)
    """
    pixels = np.asarray(images, dtype=float)
    flat = pixels.reshape(len(pixels), -1)
    squares = (flat**2).mean(axis=1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * flat @ flat.T / flat.shape[1], 0)
    others = ~np.eye(len(flat), dtype=bool)
    diversity = float(np.sqrt(distances[others].mean()))
    return diversity, float(np.sqrt(np.where(others, distances, np.inf).min(axis=1)).mean())


class Filmstrip(keras.layers.Layer):
    """Samples of fixed noise at some epochs of a training, kept as a weight of the checkpoints.

    Parameters
    ----------
    epochs : sequence of int
        The epochs to keep.
    samples : int
    shape : tuple of int
        (h, w, c).

    Examples
    --------
    >>> film = Filmstrip([1, 3], 2, (4, 4, 1))
    >>> film.record(3, np.ones((2, 4, 4, 1)))
    >>> film.frames().shape, float(film.frames()[1].min())
    ((2, 2, 4, 4, 1), 1.0)
    """

    def __init__(self, epochs: Sequence[int], samples: int, shape: Sequence[int]) -> None:
        super().__init__(name="filmstrip", trainable=False)
        self.epochs = [int(epoch) for epoch in epochs]
        self._frames = self.add_weight(
            shape=(len(self.epochs), samples, *shape),
            initializer="zeros",
            dtype="uint8",
            trainable=False,
            name="frames",
        )

    def record(self, epoch: int, images: ArrayLike) -> None:
        """Keep images in [0, 1], shape (samples, h, w, c), if the epoch is one to keep."""
        if epoch in self.epochs:
            frames = self._frames.value.numpy()
            frames[self.epochs.index(epoch)] = np.round(255 * np.asarray(images))
            self._frames.assign(frames)

    def frames(self) -> Floats:
        """What has been recorded, else zero: float32 (epochs, samples, h, w, c) in [0, 1]."""
        return self._frames.value.numpy().astype(np.float32) / 255


class GanTraining(Trainable):
    """One step of generator and discriminator, with a gradient penalty and a running mean.

    Parameters
    ----------
    networks : dict of str to keras.Model
        ``generator``, ``discriminator``, for a running mean ``average``, a second generator, and
        for reconstructions ``encoder``.
    optimizers : dict of str to keras.optimizers.Optimizer
        ``generator``, ``discriminator`` and, where it is trained, ``encoder``, built.
    augmentation : Augmentation
        Of the good images; the generator learns these changes.
    penalty : float
        Weight of half the `gradient_penalty`.
    average : float
        Share of itself that the running mean of the generator keeps in a step.
    reconstruction : float
        Weight of the difference between good images and what the generator makes of their codes.
    film_epochs : sequence of int
    film_noise : ndarray of float32, shape (n, latent_dim)
    """

    def __init__(
        self,
        networks: Mapping[str, keras.Model],
        optimizers: Mapping[str, keras.optimizers.Optimizer],
        *,
        augmentation: Augmentation,
        penalty: float,
        average: float,
        reconstruction: float = 0.0,
        film_epochs: Sequence[int],
        film_noise: Floats,
    ) -> None:
        self.networks, self.optimizers = dict(networks), dict(optimizers)
        self._augmentation, self._penalty, self._average = augmentation, penalty, average
        self._reconstruction = reconstruction
        self._sampler = networks.get("average", networks["generator"])
        self._latent_dim, self._noise = film_noise.shape[1], tf.constant(film_noise)
        self.film = Filmstrip(film_epochs, len(film_noise), self._sampler.output_shape[1:])
        self.networks["filmstrip"] = self.film

    def train_step(self, images: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Update both networks and the running mean."""
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        images = 2 * self._augmentation.apply(images, seed) - 1
        noise = _normal(tf.shape(images)[0], self._latent_dim, seed)
        with tf.GradientTape(persistent=True) as tape:
            samples = generator(noise, training=True)
            real = discriminator(images, training=True)[0]
            fake = discriminator(samples, training=True)[0]
            of_discriminator, of_generator = gan_losses(real, fake)
            losses = {"discriminator": of_discriminator, "generator": of_generator}
            against = of_discriminator
            if self._penalty:
                few = images[: max(1, images.shape[0] // _PENALISED)]
                losses["penalty"] = gradient_penalty(
                    lambda shown: discriminator(shown, training=False)[0], few
                )
                against += 0.5 * self._penalty * losses["penalty"]
            learned = {"generator": of_generator, "discriminator": against}
            if self._reconstruction:
                losses["reconstruction"], size = self._reconstructed(images, seed)
                learned["generator"] += self._reconstruction * losses["reconstruction"]
                learned["encoder"] = self._reconstruction * losses["reconstruction"] + size
        for name, loss in learned.items():
            variables = self.networks[name].trainable_variables
            self.optimizers[name].apply(tape.gradient(loss, variables), variables)
        if "average" in self.networks:
            self._move_average(tf.cast(seed[1], tf.float32))
        return {
            "loss": of_discriminator + of_generator,
            **losses,
            "real": tf.reduce_mean(tf.sigmoid(real)),
            "fake": tf.reduce_mean(tf.sigmoid(fake)),
        }

    def _reconstructed(self, images: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """How far images are from what is made of their noisy codes; the codes' penalty."""
        codes = self.networks["encoder"](images, training=True)
        noise = _normal(tf.shape(images)[0], self._latent_dim, seed, 101)
        made = self.networks["generator"](codes + _CODE_NOISE * noise, training=True)
        return tf.reduce_mean(tf.abs(images - made)), _CODE_WEIGHT * tf.reduce_mean(codes**2)

    def _move_average(self, step: tf.Tensor) -> None:
        # Early on the average must forget faster than later, or a short training would keep its
        # first weights.
        kept = tf.minimum(self._average, (1 + step) / (10 + step))
        for mean, variable in zip(
            self.networks["average"].variables, self.networks["generator"].variables, strict=True
        ):
            mean.assign(kept * mean + (1 - kept) * variable)

    def validation_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """The discriminator's probabilities of good images and samples; the samples' diversity."""
        samples = self._sampler(self._noise, training=False)
        real, fake = (
            self.networks["discriminator"](shown, training=False)[0]
            for shown in (2 * images - 1, samples)
        )
        # In grey values of [0, 1], half of the distances in [-1, 1].
        diversity = tf.sqrt(tf.reduce_mean(tf.math.reduce_variance(samples, axis=0)) / 2)
        return {
            "real": tf.reduce_mean(tf.sigmoid(real)),
            "fake": tf.reduce_mean(tf.sigmoid(fake)),
            "diversity": diversity,
        }

    def after_epoch(self, epoch: int) -> None:
        """Record the samples of the fixed noise."""
        if epoch in self.film.epochs:
            self.film.record(epoch, (self._sampler(self._noise, training=False).numpy() + 1) / 2)


class EncoderTraining(Trainable):
    """The encoder learns to find the noise from which the frozen generator makes an image.

    Half of each batch are good images, half are samples of the generator, of which there is no end;
    both are judged by the search's own loss (image and features).

    Parameters
    ----------
    encoder : keras.Model
    optimizer : keras.optimizers.Optimizer
    search : LatentSearch
        Its networks are not trained.
    augmentation : Augmentation
        Of the good images.
    """

    monitor = "val_loss"

    def __init__(
        self,
        encoder: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        search: LatentSearch,
        augmentation: Augmentation,
    ) -> None:
        self.networks, self.optimizers = {"encoder": encoder}, {"encoder": optimizer}
        self._search, self._augmentation = search, augmentation

    def train_step(self, images: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Update the encoder."""
        encoder = self.networks["encoder"]
        images = 2 * self._augmentation.apply(images, seed) - 1
        noise = _normal(images.shape[0], encoder.output_shape[-1], seed)
        images = tf.concat((images, self._search.generator(noise, training=False)), axis=0)
        wanted = self._search.features(images)
        with tf.GradientTape() as tape:
            sums = self._search.losses(encoder(images, training=True), images, wanted)
            losses = self._means(*sums)
        variables = encoder.trainable_variables
        self.optimizers["encoder"].apply(tape.gradient(losses["loss"], variables), variables)
        return losses

    def validation_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same losses of held-out good images."""
        images = 2 * images - 1
        codes = self.networks["encoder"](images, training=False)
        return self._means(*self._search.losses(codes, images, self._search.features(images)))

    def _means(self, residual: tf.Tensor, feature: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "loss": tf.reduce_mean(self._search.total(residual, feature)),
            "reconstruction": tf.reduce_mean(residual),
            "feature": tf.reduce_mean(feature),
        }


def _normal(count: tf.Tensor | int, length: int, seed: tf.Tensor, stream: int = 100) -> tf.Tensor:
    """Noise for a step, another stream than that of the augmentation."""
    folded = tf.random.experimental.stateless_fold_in(seed, stream)
    return tf.random.stateless_normal((count, length), folded)
