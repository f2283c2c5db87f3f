"""Structural similarity of two images, on one scale and on several, differentiable."""

import numpy as np
import tensorflow as tf

from adhelpers._shared.arrays import Floats

# Wang, Simoncelli and Bovik's weights of the scales, the finest first.
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SIGMA, _RADIUS = 1.5, 5


def gaussian_kernel(sigma: float, truncate: float = 4.0) -> Floats:
    """A normalised Gaussian of one dimension, as `scipy.ndimage.gaussian_filter` uses it.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels.
    truncate : float
        Radius in standard deviations.

    Returns
    -------
    ndarray of float32, shape (2 * radius + 1,)

    Examples
    --------
    >>> gaussian_kernel(1.0).shape
    (9,)
    """
    radius = int(truncate * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (kernel / kernel.sum()).astype(np.float32)


def separable(images: tf.Tensor, kernel: Floats, padding: str) -> tf.Tensor:
    """Convolve each channel with ``kernel`` along both axes; ``padding`` as in TensorFlow."""
    channels = images.shape[-1]
    taps = tf.constant(np.tile(kernel[:, None, None, None], (1, 1, channels, 1)))
    images = tf.nn.depthwise_conv2d(images, taps, (1, 1, 1, 1), padding)
    return tf.nn.depthwise_conv2d(images, tf.transpose(taps, (1, 0, 2, 3)), (1, 1, 1, 1), padding)


def similarity_parts(first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Both parts of SSIM, which is their product, at each pixel whose window lies inside the image.

    Parameters
    ----------
    first, second : tensor of float32, shape (n, h, w, c)
        In [0, 1].

    Returns
    -------
    luminance, contrast_structure : tensor of float32, shape (n, h - 10, w - 10, c)
        At most 1.

    Notes
    -----
    A variance as the difference of two squares loses in float32 what matters in flat areas. So each
    image's mean is subtracted first, which changes no variance, and both parts are written as one
    less a quotient: ``2 cov(x, y) = var(x) + var(y) - var(x - y)``.
    """
    # 1.5 standard deviations times 3.5 is a radius of 5 pixels, a window of 11.
    kernel = gaussian_kernel(_SIGMA, truncate=3.5)
    levels = [
        tf.stop_gradient(tf.reduce_mean(one, (1, 2), keepdims=True)) for one in (first, second)
    ]
    first, second = first - levels[0], second - levels[1]
    mean_first, mean_second = separable(first, kernel, "VALID"), separable(second, kernel, "VALID")

    def variance(images: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        return tf.maximum(separable(images * images, kernel, "VALID") - mean**2, 0.0)

    variances = variance(first, mean_first) + variance(second, mean_second)
    of_difference = variance(first - second, mean_first - mean_second)
    apart = (mean_first - mean_second) + (levels[0] - levels[1])
    brightness = (mean_first + levels[0]) ** 2 + (mean_second + levels[1]) ** 2
    return (
        1 - apart**2 / (brightness + 0.01**2),
        1 - of_difference / (variances + 0.03**2),
    )


def structural_similarity(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Structural similarity (SSIM) at each pixel.

    Gaussian window of 11 pixels, sigma 1.5, dynamic range 1. Equal to
    `skimage.metrics.structural_similarity` with ``gaussian_weights=True,
    use_sample_covariance=False``, averaged over channels. Wang, Bovik, Sheikh and Simoncelli, IEEE
    Transactions on Image Processing 2004.

    Parameters
    ----------
    first, second : tensor of float32, shape (n, h, w, c)
        In [0, 1]; h and w at least 11.

    Returns
    -------
    tensor of float32, shape (n, h, w)
        In [-1, 1]; 1 where the neighbourhoods are equal.

    Examples
    --------
    >>> image = tf.random.uniform((1, 16, 16, 1))
    >>> round(float(tf.reduce_min(structural_similarity(image, image))), 4)
    1.0
    """
    borders = ((0, 0), (_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0))
    luminance, contrast_structure = similarity_parts(
        tf.pad(first, borders, "SYMMETRIC"), tf.pad(second, borders, "SYMMETRIC")
    )
    return tf.reduce_mean(luminance * contrast_structure, axis=-1)


def similarity_scales(height: int, width: int) -> int:
    """Number of scales that MS-SSIM has for an image size.

    Up to 5, as long as the window of 11 pixels fits into the halved image.

    Examples
    --------
    >>> similarity_scales(256, 256), similarity_scales(128, 128), similarity_scales(16, 16)
    (5, 4, 1)
    """
    scales = 1
    while scales < len(_SCALE_WEIGHTS) and min(height, width) // 2**scales >= 2 * _RADIUS + 1:
        scales += 1
    return scales


def multiscale_similarity(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Multi-scale structural similarity (MS-SSIM) of each pair of images.

    Contrast and structure are compared at each of up to five scales, each half the size of the one
    before, luminance at the coarsest. Smaller images have fewer scales (see `similarity_scales`),
    their weights divided by their sum. Channels are averaged at the end. Wang, Simoncelli and
    Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003.

    Parameters
    ----------
    first, second : tensor of float32, shape (n, h, w, c)
        In [0, 1]; h and w at least 11.

    Returns
    -------
    tensor of float32, shape (n,)
        In [0, 1]; 1 for equal images.

    Examples
    --------
    >>> image = tf.random.uniform((1, 32, 32, 3))
    >>> round(float(multiscale_similarity(image, image)[0]), 4)
    1.0
    """
    scales = similarity_scales(first.shape[1], first.shape[2])
    weights = np.array(_SCALE_WEIGHTS[:scales]) / sum(_SCALE_WEIGHTS[:scales])
    product = 1.0
    for scale, weight in enumerate(weights):
        luminance, contrast_structure = similarity_parts(first, second)
        last = scale == scales - 1
        similarity = tf.reduce_mean(
            luminance * contrast_structure if last else contrast_structure, axis=(1, 2)
        )
        # A power of a negative number is none, and at zero its slope is infinite.
        product *= tf.maximum(similarity, 1e-6) ** float(weight)
        if not last:
            first, second = (tf.nn.avg_pool2d(images, 2, 2, "VALID") for images in (first, second))
    return tf.reduce_mean(product, axis=-1)
