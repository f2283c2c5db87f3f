"""Training losses, one value an image."""

import tensorflow as tf

from .similarity import multiscale_similarity, similarity_parts

_EPSILON = 1e-7


def kl_divergence(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Kullback-Leibler divergence of N(mean, exp(log_variance)) from N(0, 1), summed over the code.

    Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendix B.

    Parameters
    ----------
    mean, log_variance : tensor of float32, shape (n, d)

    Returns
    -------
    tensor of float32, shape (n,)

    Examples
    --------
    >>> float(kl_divergence(tf.constant([[1.0]]), tf.constant([[0.0]]))[0])
    0.5
    """
    return 0.5 * tf.reduce_sum(mean**2 + tf.exp(log_variance) - 1 - log_variance, axis=1)


def binary_cross_entropy(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """Binary cross-entropy between grey values, summed over pixels and averaged over channels.

    Parameters
    ----------
    images, reconstructions : tensor of float32, shape (n, h, w, c)
        In [0, 1].

    Returns
    -------
    tensor of float32, shape (n,)

    Examples
    --------
    >>> half = tf.fill((1, 2, 2, 3), 0.5)
    >>> round(float(binary_cross_entropy(half, half)[0]), 4)  # 4 pixels of log 2
    2.7726
    """
    reconstructions = tf.clip_by_value(reconstructions, _EPSILON, 1 - _EPSILON)
    entropy = -images * tf.math.log(reconstructions) - (1 - images) * tf.math.log(
        1 - reconstructions
    )
    return tf.reduce_sum(tf.reduce_mean(entropy, axis=-1), axis=(1, 2))


def squared_error(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """Squared difference, summed over pixels and averaged over channels.

    Parameters
    ----------
    images, reconstructions : tensor of float32, shape (n, h, w, c)

    Returns
    -------
    tensor of float32, shape (n,)

    Examples
    --------
    >>> float(squared_error(tf.ones((1, 2, 2, 3)), tf.zeros((1, 2, 2, 3)))[0])
    4.0
    """
    return tf.reduce_sum(tf.reduce_mean((images - reconstructions) ** 2, axis=-1), axis=(1, 2))


def structural_dissimilarity(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """1 - SSIM, averaged over channels and over pixels whose window of 11 pixels lies inside.

    1 less `skimage.metrics.structural_similarity` with ``gaussian_weights=True,
    use_sample_covariance=False, data_range=1``.

    Parameters
    ----------
    images, reconstructions : tensor of float32, shape (n, h, w, c)
        In [0, 1]; h and w at least 11.

    Returns
    -------
    tensor of float32, shape (n,)
        In [0, 2]; 0 for equal images.

    Examples
    --------
    >>> image = tf.ones((1, 16, 16, 1))
    >>> # Black and white have no luminance in common.
    >>> round(float(structural_dissimilarity(image, 0 * image)[0]), 4)
    0.9999
    """
    luminance, contrast_structure = similarity_parts(images, reconstructions)
    return 1 - tf.reduce_mean(luminance * contrast_structure, axis=(1, 2, 3))


def multiscale_dissimilarity(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """1 - MS-SSIM, see `multiscale_similarity`.

    Parameters
    ----------
    images, reconstructions : tensor of float32, shape (n, h, w, c)
        In [0, 1]; h and w at least 11.

    Returns
    -------
    tensor of float32, shape (n,)
        In [0, 1]; 0 for equal images.

    Examples
    --------
    >>> image = tf.random.uniform((1, 32, 32, 3))
    >>> round(abs(float(multiscale_dissimilarity(image, image)[0])), 4)
    0.0
    """
    return 1 - multiscale_similarity(images, reconstructions)


def discriminator_loss(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Binary cross-entropy of a discriminator: 1 for real images, 0 for reconstructions.

    Parameters
    ----------
    real, fake : tensor of float32, shape (n, 1)
        Probabilities in [0, 1].

    Returns
    -------
    tensor of float32, scalar
        The mean over the batch of both terms added.

    Examples
    --------
    >>> half = tf.constant([[0.5]])
    >>> round(float(discriminator_loss(half, half)), 4)  # 2 log 2
    1.3863
    """
    real, fake = (tf.clip_by_value(value, _EPSILON, 1 - _EPSILON) for value in (real, fake))
    return tf.reduce_mean(-tf.math.log(real)) + tf.reduce_mean(-tf.math.log(1 - fake))


def adversarial_loss(fake: tf.Tensor, loss_of_discriminator: tf.Tensor) -> tf.Tensor:
    """What the published VAE-GAN adds to the generator's loss.

    max(BCE(0, D(reconstruction)) - discriminator loss, 1e-4).

    Parameters
    ----------
    fake : tensor of float32, shape (n, 1)
        The discriminator's probabilities for the reconstructions.
    loss_of_discriminator : tensor of float32, scalar

    Returns
    -------
    tensor of float32, scalar

    Examples
    --------
    >>> round(float(adversarial_loss(tf.constant([[0.9]]), 1.0)), 4)  # -log 0.1 - 1
    1.3026
    """
    fake = tf.clip_by_value(fake, _EPSILON, 1 - _EPSILON)
    return tf.maximum(tf.reduce_mean(-tf.math.log(1 - fake)) - loss_of_discriminator, 1e-4)
