"""From an image and its counterpart to an anomaly map and a score, as differentiable TensorFlow functions."""
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from .base import Detector, check_images

RESIDUALS = ("absolute", "ssim")
SCORES = ("smooth_max", "max", "sse", "mean", "top")


def gaussian_kernel(sigma, truncate=4.0):
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


def _separable(images, kernel, padding):
    """Convolve each channel with ``kernel`` along both axes; a depthwise convolution of one row and one column."""
    channels = images.shape[-1]
    taps = tf.constant(np.tile(kernel[:, None, None, None], (1, 1, channels, 1)))
    images = tf.nn.depthwise_conv2d(images, taps, (1, 1, 1, 1), padding)
    return tf.nn.depthwise_conv2d(images, tf.transpose(taps, (1, 0, 2, 3)), (1, 1, 1, 1), padding)


def smooth(maps, sigma):
    """Gaussian smoothing with mirrored borders, equal to `scipy.ndimage.gaussian_filter` on each map.

    Parameters
    ----------
    maps : tensor of float32, shape (n, h, w)
    sigma : float
        Standard deviation in pixels; 0 leaves the maps as they are.

    Returns
    -------
    tensor of float32, shape (n, h, w)

    Examples
    --------
    >>> smooth(tf.ones((1, 8, 8)), 1.0).shape
    TensorShape([1, 8, 8])
    """
    if sigma == 0:
        return maps
    kernel = gaussian_kernel(sigma)
    # TensorFlow mirrors at most one image's width; a wider kernel is cut there.
    radius = min(len(kernel) // 2, maps.shape[1], maps.shape[2])
    kernel = kernel[len(kernel) // 2 - radius:len(kernel) // 2 + radius + 1]
    padded = tf.pad(maps, ((0, 0), (radius, radius), (radius, radius)), "SYMMETRIC")[..., None]
    return _separable(padded, kernel / kernel.sum(), "VALID")[..., 0]


def structural_similarity(first, second):
    """Structural similarity (SSIM) at each pixel: Gaussian window of 11 pixels, sigma 1.5, dynamic range 1.

    Equal to `skimage.metrics.structural_similarity` with ``gaussian_weights=True, use_sample_covariance=False``, averaged over
    channels. Wang, Bovik, Sheikh and Simoncelli, IEEE Transactions on Image Processing 2004.

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
    kernel = gaussian_kernel(1.5, truncate=3.5)
    radius = len(kernel) // 2

    def local_mean(images):
        padded = tf.pad(images, ((0, 0), (radius, radius), (radius, radius), (0, 0)), "SYMMETRIC")
        return _separable(padded, kernel, "VALID")

    mean_first, mean_second = local_mean(first), local_mean(second)
    variance_first = local_mean(first * first) - mean_first ** 2
    variance_second = local_mean(second * second) - mean_second ** 2
    covariance = local_mean(first * second) - mean_first * mean_second
    luminance, contrast = 0.01 ** 2, 0.03 ** 2
    numerator = (2 * mean_first * mean_second + luminance) * (2 * covariance + contrast)
    denominator = (mean_first ** 2 + mean_second ** 2 + luminance) * (variance_first + variance_second + contrast)
    return tf.reduce_mean(numerator / denominator, axis=-1)


@dataclass(frozen=True)
class ResidualScore:
    """How the difference between an image and its counterpart becomes a map, and the map a score.

    Parameters
    ----------
    score : {"smooth_max", "max", "sse", "mean", "top"}
        ``smooth_max``: maximum of the Gaussian-smoothed residual (a single-pixel maximum is noise, a sum over the image drowns
        small defects); ``max``: maximum of the plain residual; ``sse``: sum of the squared residual; ``mean``: mean of the plain
        residual; ``top``: mean of the highest ``top_fraction`` of the smoothed residual.
    residual : {"absolute", "ssim"}
        Absolute difference averaged over channels, or 1 - SSIM.
    smoothing : float
        Standard deviation of the Gaussian in pixels, for ``smooth_max`` and ``top``.
    top_fraction : float
        In (0, 1], for ``top``.

    Examples
    --------
    >>> image, counterpart = np.zeros((1, 16, 16, 1), "float32"), np.zeros((1, 16, 16, 1), "float32")
    >>> image[0, 4, 4] = 0.5
    >>> float(ResidualScore("max").score_of(image, counterpart)[0])
    0.5
    """

    score: str = "smooth_max"
    residual: str = "absolute"
    smoothing: float = 2.0
    top_fraction: float = 0.01

    def __post_init__(self):
        if self.score not in SCORES:
            raise ValueError(f"score must be one of {', '.join(SCORES)}, not {self.score!r}.")
        if self.residual not in RESIDUALS:
            raise ValueError(f"residual must be one of {', '.join(RESIDUALS)}, not {self.residual!r}.")
        if self.smoothing < 0:
            raise ValueError(f"smoothing must be 0 or more pixels, not {self.smoothing}.")
        if not 0 < self.top_fraction <= 1:
            raise ValueError(f"top_fraction must be in (0, 1], not {self.top_fraction}.")

    def map_of(self, images, counterparts):
        """The anomaly map, such that `reduce` of it is the score: tensor of float32, shape (n, h, w)."""
        images, counterparts = tf.convert_to_tensor(images), tf.convert_to_tensor(counterparts)
        if self.residual == "ssim":
            maps = 1 - structural_similarity(images, counterparts)
        else:
            maps = tf.reduce_mean(tf.abs(images - counterparts), axis=-1)
        if self.score in ("smooth_max", "top"):
            return smooth(maps, self.smoothing)
        return maps ** 2 if self.score == "sse" else maps

    def reduce(self, maps):
        """The score of each map: tensor of float32, shape (n,)."""
        flat = tf.reshape(maps, (tf.shape(maps)[0], -1))
        if self.score in ("smooth_max", "max"):
            return tf.reduce_max(flat, axis=1)
        if self.score == "sse":
            return tf.reduce_sum(flat, axis=1)
        if self.score == "mean":
            return tf.reduce_mean(flat, axis=1)
        count = max(1, round(self.top_fraction * maps.shape[1] * maps.shape[2]))
        return tf.reduce_mean(tf.math.top_k(flat, count).values, axis=1)

    def score_of(self, images, counterparts):
        """The score of each image beside its counterpart: tensor of float32, shape (n,)."""
        return self.reduce(self.map_of(images, counterparts))


class ReconstructionDetector(Detector):
    """A detector whose counterpart is a reconstruction, and whose map and score come from the difference.

    A subclass gives `reconstruct_tensor`; the parameters ``score``, ``residual``, ``smoothing`` and ``top_fraction`` are those of
    `ResidualScore`.
    """

    scoring_parameters = ("score", "residual", "smoothing", "top_fraction")
    _BATCH = 32

    def __init__(self, *, score, residual, smoothing, top_fraction, **parameters):
        super().__init__(score=score, residual=residual, smoothing=smoothing, top_fraction=top_fraction, **parameters)
        self.residual_score = ResidualScore(score, residual, smoothing, top_fraction)
        self._compiled = {}

    @abstractmethod
    def reconstruct_tensor(self, images):
        """The counterpart as a differentiable function of the image: tensor of float32, (n, h, w, c) in [0, 1]."""

    def score_tensor(self, images):
        """The score as a differentiable function of the image: tensor of float32, shape (n,)."""
        return self.residual_score.score_of(images, self.reconstruct_tensor(images))

    def _map_tensor(self, images):
        return self.residual_score.map_of(images, self.reconstruct_tensor(images))

    def _in_batches(self, function, images):
        self._require_fitted()
        images = check_images(images, self.image_shape)
        if function.__name__ not in self._compiled:
            # Compiled once for any number of images; keras' predict costs tens of milliseconds a call.
            signature = (tf.TensorSpec((None, *self.image_shape), tf.float32),)
            self._compiled[function.__name__] = tf.function(function, input_signature=signature)
        compiled = self._compiled[function.__name__]
        return np.concatenate([compiled(tf.constant(images[start:start + self._BATCH])).numpy()
                               for start in range(0, len(images), self._BATCH)])

    def counterpart(self, images):
        return self._in_batches(self.reconstruct_tensor, images)

    def anomaly_map(self, images):
        return self._in_batches(self._map_tensor, images)

    def score(self, images):
        return self._in_batches(self.score_tensor, images)
