"""Training a GAN and its encoder on a few hundred images: losses, steadying options, and what the samples looked like on the way."""

from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from adhelpers.training.loop import Trainable

# Changes as Zhao et al. draw them, for images in [-1, 1].
_BRIGHTNESS, _CONTRAST, _SHIFT, _CUTOUT = 0.25, 0.5, 1 / 8, 1 / 4
# The gradient penalty is measured on this share of each batch: its second derivative costs as much
# as the rest of the step.
_PENALISED = 4


@contextmanager
def unfused_layers():
    """Compile what is traced in the body without TensorFlow's fusion of neighbouring layers.

    On the steps of a GAN and of its encoder the fusion fails now and then, for no reason in the
    graph; with it and without it sums round differently, and a training that was resumed would end
    in other bits than one that was not.
    """
    before = tf.config.optimizer.get_experimental_options().get("remapping", True)
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": before})


def gan_losses(real_logits, fake_logits, label_smoothing=0.0):
    """The discriminator's and the generator's loss: binary cross-entropy, the generator's not saturating.

    Goodfellow et al., "Generative adversarial nets", NeurIPS 2014; one-sided label smoothing:
    Salimans et al., "Improved techniques for training GANs", NeurIPS 2016.

    Parameters
    ----------
    real_logits, fake_logits : tensor of float32, shape (n, 1)
        What the discriminator says to real images and to samples.
    label_smoothing : float
        The discriminator is to call real images real with the probability 1 - label_smoothing.

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
    real = entropy(tf.fill(tf.shape(real_logits), 1 - label_smoothing), real_logits)
    discriminator = tf.reduce_mean(real) + tf.reduce_mean(
        entropy(tf.zeros_like(fake_logits), fake_logits)
    )
    return discriminator, tf.reduce_mean(entropy(tf.ones_like(fake_logits), fake_logits))


def gradient_penalty(discriminator, images):
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


def differentiable_augmentation(images, seed):
    """Change brightness, contrast and position of each image and blank out a part, so that gradients pass to the image.

    Shown to the discriminator only, real images and samples alike, so that it cannot learn a few
    images by heart and the generator does not learn the changes. Zhao et al., "Differentiable
    augmentation for data-efficient GAN training", NeurIPS 2020.

    Parameters
    ----------
    images : tensor of float32, shape (n, h, w, c)
        In [-1, 1].
    seed : tensor of int32, shape (2,)
        The same seed gives the same changes.

    Returns
    -------
    tensor of float32, shape (n, h, w, c)
        Not clipped.

    Examples
    --------
    >>> differentiable_augmentation(tf.zeros((2, 32, 32, 3)), tf.constant((0, 1))).shape
    TensorShape([2, 32, 32, 3])
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]

    def uniform(number, low, high):
        return tf.random.stateless_uniform(
            (count,), tf.random.experimental.stateless_fold_in(seed, number), low, high
        )

    def moved(number, side):
        """A matrix for each image that reads each row (or column) from a shifted place, the edge repeated."""
        shift = tf.round(uniform(number, -_SHIFT * side, _SHIFT * side))
        return tf.one_hot(
            tf.cast(
                tf.clip_by_value(tf.range(side, dtype=tf.float32) + shift[:, None], 0, side - 1),
                tf.int32,
            ),
            side,
        )

    def kept(number, side):
        """1 outside of a randomly placed stretch of each side, 0 inside."""
        middle = uniform(number, 0.0, float(side))[:, None]
        return tf.cast(
            tf.abs(tf.range(side, dtype=tf.float32) + 0.5 - middle) >= _CUTOUT * side / 2,
            tf.float32,
        )

    means = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    images = (images - means) * uniform(0, 1 - _CONTRAST, 1 + _CONTRAST)[
        :, None, None, None
    ] + means
    images += uniform(1, -_BRIGHTNESS, _BRIGHTNESS)[:, None, None, None]
    # Matrix products: the gradient of a gather or a warp is far slower on a processor.
    images = tf.einsum("nij,njkc->nikc", moved(2, height), images)
    images = tf.einsum("nkj,nijc->nikc", moved(3, width), images)
    outside = 1 - (1 - kept(4, height))[:, :, None] * (1 - kept(5, width))[:, None, :]
    return images * outside[..., None]


def spread(images):
    """How different images of a set are from each other: what tells a collapsed generator from one that covers its data.

    Parameters
    ----------
    images : array_like of float, shape (n, h, w, c)
        n at least 2.

    Returns
    -------
    diversity : float
        Root mean square difference between the pixels of two of the images.
    nearest : float
        The same between each image and the one most like it, averaged: near 0 where a few pictures
        come again and again.

    Examples
    --------
    >>> spread(np.array([0.0, 0.0, 1.0])[:, None, None, None] * np.ones((3, 4, 4, 1)))  # two twins and a third
    (0.816496580927726, 0.3333333333333333)
    """
    flat = np.asarray(images, dtype=float).reshape(len(images), -1)
    squares = (flat**2).mean(axis=1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * flat @ flat.T / flat.shape[1], 0)
    others = ~np.eye(len(flat), dtype=bool)
    diversity = float(np.sqrt(distances[others].mean()))
    return diversity, float(np.sqrt(np.where(others, distances, np.inf).min(axis=1)).mean())


class Filmstrip(keras.layers.Layer):
    """Samples of fixed noise at some epochs of a training, kept as a weight so that checkpoints hold it.

    Parameters
    ----------
    epochs : sequence of int
        The epochs to be kept.
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

    def __init__(self, epochs, samples, shape):
        super().__init__(name="filmstrip", trainable=False)
        self.epochs = [int(epoch) for epoch in epochs]
        self._frames = self.add_weight(
            shape=(len(self.epochs), samples, *shape),
            initializer="zeros",
            dtype="uint8",
            trainable=False,
            name="frames",
        )

    def record(self, epoch, images):
        """Keep images in [0, 1] (samples, h, w, c), if this epoch is one of those to be kept."""
        if epoch in self.epochs:
            frames = self._frames.value.numpy()
            frames[self.epochs.index(epoch)] = np.round(255 * np.asarray(images))
            self._frames.assign(frames)

    def frames(self):
        """What has been recorded, zero elsewhere: float32 (epochs, samples, h, w, c) in [0, 1]."""
        return self._frames.value.numpy().astype(np.float32) / 255


class GanTraining(Trainable):
    """One step of both players; all that steadies them is optional.

    Parameters
    ----------
    networks : dict of str to keras.Model
        ``generator``, ``discriminator``, and ``average``, a second generator, where averaging is
        wanted.
    optimizers : dict of str to keras.optimizers.Optimizer
        ``generator`` and ``discriminator``, built.
    latent_dim : int
    augmentation : Augmentation
        Of the good images; the generator learns these changes.
    label_smoothing : float
        As in `gan_losses`.
    differentiable : bool
        Whether `differentiable_augmentation` stands before the discriminator.
    penalty : float
        Weight of half the `gradient_penalty`.
    average : float
        How much of its past the averaged generator keeps in a step.
    film_epochs : sequence of int
    film_noise : ndarray of float32, shape (n, latent_dim)
    """

    def __init__(
        self,
        networks,
        optimizers,
        *,
        latent_dim,
        augmentation,
        label_smoothing,
        differentiable,
        penalty,
        average,
        film_epochs,
        film_noise,
    ):
        self.networks, self.optimizers = dict(networks), optimizers
        self._latent_dim, self._augmentation, self._label_smoothing = (
            latent_dim,
            augmentation,
            label_smoothing,
        )
        self._differentiable, self._penalty, self._average = differentiable, penalty, average
        self._sampler = networks.get("average", networks["generator"])
        self._noise = tf.constant(film_noise)
        self.film = self.networks["filmstrip"] = Filmstrip(
            film_epochs, len(film_noise), self._sampler.output_shape[1:]
        )

    def _shown(self, images, seed, number):
        """What the discriminator gets to see of images."""
        return (
            differentiable_augmentation(
                images, tf.random.experimental.stateless_fold_in(seed, number)
            )
            if self._differentiable
            else images
        )

    def train_step(self, images, seed):
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        images = 2 * self._augmentation.apply(images, seed) - 1
        noise = tf.random.stateless_normal(
            (tf.shape(images)[0], self._latent_dim),
            tf.random.experimental.stateless_fold_in(seed, 100),
        )
        with tf.GradientTape(persistent=True) as tape:
            samples = generator(noise, training=True)
            real = discriminator(self._shown(images, seed, 200), training=True)[0]
            fake = discriminator(self._shown(samples, seed, 300), training=True)[0]
            losses = dict(
                zip(
                    ("discriminator", "generator"),
                    gan_losses(real, fake, self._label_smoothing),
                    strict=True,
                )
            )
            against = losses["discriminator"]
            if self._penalty:
                few = images[: max(1, images.shape[0] // _PENALISED)]
                losses["penalty"] = gradient_penalty(
                    lambda shown: discriminator(self._shown(shown, seed, 200), training=False)[0],
                    few,
                )
                against += 0.5 * self._penalty * losses["penalty"]
        for name, loss in (("generator", losses["generator"]), ("discriminator", against)):
            variables = self.networks[name].trainable_variables
            self.optimizers[name].apply(tape.gradient(loss, variables), variables)
        if "average" in self.networks:
            self._move_average(tf.cast(seed[1], tf.float32))
        return {
            "loss": losses["discriminator"] + losses["generator"],
            **losses,
            "real": tf.reduce_mean(tf.sigmoid(real)),
            "fake": tf.reduce_mean(tf.sigmoid(fake)),
        }

    def _move_average(self, step):
        # Early on the average must forget faster than later, or a short training would keep its
        # first weights.
        kept = tf.minimum(self._average, (1 + step) / (10 + step))
        for mean, variable in zip(
            self.networks["average"].variables, self.networks["generator"].variables, strict=True
        ):
            mean.assign(kept * mean + (1 - kept) * variable)

    def validation_step(self, images):
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

    def after_epoch(self, epoch):
        if epoch in self.film.epochs:
            self.film.record(epoch, (self._sampler(self._noise, training=False).numpy() + 1) / 2)


class EncoderTraining(Trainable):
    """The encoder learns to find the noise from which the frozen generator makes an image.

    Half of what it sees are good images, judged by the search's own loss (image and features), half
    are the generator's samples, judged in the same way: there are as many as one likes of them.

    Parameters
    ----------
    encoder : keras.Model
    optimizer : keras.optimizers.Optimizer
    search : LatentSearch
        Its networks are not trained.
    latent_dim : int
    augmentation : Augmentation
    samples : bool
        Whether the generator's samples are used.
    """

    def __init__(self, encoder, optimizer, search, *, latent_dim, augmentation, samples=True):
        self.networks, self.optimizers = {"encoder": encoder}, {"encoder": optimizer}
        self._search, self._latent_dim, self._augmentation, self._samples = (
            search,
            latent_dim,
            augmentation,
            samples,
        )

    def train_step(self, images, seed):
        encoder = self.networks["encoder"]
        images = 2 * self._augmentation.apply(images, seed) - 1
        if self._samples:
            noise = tf.random.stateless_normal(
                (images.shape[0], self._latent_dim),
                tf.random.experimental.stateless_fold_in(seed, 100),
            )
            images = tf.concat((images, self._search.generator(noise, training=False)), axis=0)
        wanted = self._search.features(images)
        with tf.GradientTape() as tape:
            residual, feature = self._search.losses(encoder(images, training=True), images, wanted)
            loss = tf.reduce_mean(self._search.total(residual, feature))
        variables = encoder.trainable_variables
        self.optimizers["encoder"].apply(tape.gradient(loss, variables), variables)
        return {
            "loss": loss,
            "reconstruction": tf.reduce_mean(residual),
            "feature": tf.reduce_mean(feature),
        }

    def validation_step(self, images):
        images = 2 * images - 1
        residual, feature = self._search.losses(
            self.networks["encoder"](images, training=False), images, self._search.features(images)
        )
        return {
            "loss": tf.reduce_mean(self._search.total(residual, feature)),
            "reconstruction": tf.reduce_mean(residual),
            "feature": tf.reduce_mean(feature),
        }
