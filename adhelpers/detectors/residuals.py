"""From an image and its counterpart to an anomaly map and a score, differentiable."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf
from scipy import ndimage

from adhelpers._shared.arrays import Floats, Images, Maps, Scores
from adhelpers._shared.batches import Batched
from adhelpers._shared.checks import check_choice, checked_images
from adhelpers.metrics import area_levels
from adhelpers.training import gaussian_kernel, separable, structural_similarity

from .base import Detector

RESIDUALS = ("absolute", "ssim", "l2")
SCORES = ("smooth_max", "max", "sse", "mean", "top", "area")
# Up to this side smoothing by matrix products is faster than by convolutions.
_LARGEST_PRODUCT = 512


def smooth(maps: tf.Tensor, sigma: float) -> tf.Tensor:
    """Gaussian smoothing with mirrored borders, as `scipy.ndimage.gaussian_filter` on each map.

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
    height, width = maps.shape[1:3]
    if max(height, width) > _LARGEST_PRODUCT:
        return _convolved(maps, kernel)
    # Two matrix products take a third of the time of two convolutions.
    rows, columns = (
        tf.constant(ndimage.correlate1d(np.eye(side, dtype=np.float32), kernel, axis=0))
        for side in (height, width)
    )
    return tf.matmul(rows, tf.matmul(maps, columns, transpose_b=True))


def _convolved(maps: tf.Tensor, kernel: Floats) -> tf.Tensor:
    """Maps smoothed along both axes, with mirrored borders."""
    # TensorFlow mirrors at most one image's width; a wider kernel is cut there.
    radius = min(len(kernel) // 2, maps.shape[1], maps.shape[2])
    kernel = kernel[len(kernel) // 2 - radius : len(kernel) // 2 + radius + 1]
    padded = tf.pad(maps, ((0, 0), (radius, radius), (radius, radius)), "SYMMETRIC")[..., None]
    return separable(padded, kernel / kernel.sum(), "VALID")[..., 0]


@dataclass(frozen=True)
class ResidualScore:
    """How the difference between an image and its counterpart becomes a map, and the map a score.

    Parameters
    ----------
    score : {"smooth_max", "max", "sse", "mean", "top", "area"}
        ``smooth_max``: maximum of the Gaussian-smoothed residual (a single-pixel maximum is noise,
        a sum over the image drowns small defects); ``max``: maximum of the plain residual; ``sse``:
        sum of the squared residual; ``mean``: mean of the plain residual; ``top``: mean of the
        highest ``top_fraction`` of the smoothed residual; ``area``: the highest level at which a
        connected region of the plain residual is as large as ``minimal_area``, so that a threshold
        on it flags an image where such a region lies above (see `adhelpers.metrics.area_levels`).
    residual : {"absolute", "ssim", "l2"}
        Absolute difference averaged over channels, 1 - SSIM, or squared difference averaged over
        channels.
    smoothing : float
        Standard deviation of the Gaussian in pixels, for ``smooth_max`` and ``top``.
    top_fraction : float
        In (0, 1], for ``top``.
    minimal_area : int
        In pixels, for ``area``.

    Examples
    --------
    >>> image = np.zeros((1, 16, 16, 1), "float32")
    >>> counterpart = image.copy()
    >>> image[0, 4, 4] = 0.5
    >>> float(ResidualScore("max").score_of(image, counterpart)[0])
    0.5
    """

    score: str = "smooth_max"
    residual: str = "absolute"
    smoothing: float = 2.0
    top_fraction: float = 0.01
    minimal_area: int = 25

    def __post_init__(self) -> None:
        check_choice("score", self.score, SCORES)
        check_choice("residual", self.residual, RESIDUALS)
        if self.smoothing < 0:
            raise ValueError(f"smoothing must be 0 or more pixels, not {self.smoothing}")
        if not 0 < self.top_fraction <= 1:
            raise ValueError(f"top_fraction must be in (0, 1], not {self.top_fraction}")
        if self.minimal_area < 1:
            raise ValueError(f"minimal_area must be 1 pixel or more, not {self.minimal_area}")

    def residual_of(self, images: tf.Tensor, counterparts: tf.Tensor) -> tf.Tensor:
        """The plain residual at each pixel: tensor of float32, shape (n, h, w)."""
        images, counterparts = tf.convert_to_tensor(images), tf.convert_to_tensor(counterparts)
        if self.residual == "ssim":
            return 1 - structural_similarity(images, counterparts)
        difference = images - counterparts
        return tf.reduce_mean(
            difference**2 if self.residual == "l2" else tf.abs(difference), axis=-1
        )

    def map_of(self, images: tf.Tensor, counterparts: tf.Tensor) -> tf.Tensor:
        """The anomaly map, which `reduce` makes a score of: tensor of float32, shape (n, h, w)."""
        maps = self.residual_of(images, counterparts)
        if self.score in ("smooth_max", "top"):
            return smooth(maps, self.smoothing)
        return maps**2 if self.score == "sse" else maps

    def reduce(self, maps: tf.Tensor) -> tf.Tensor:
        """The score of each map: tensor of float32, shape (n,)."""
        flat = tf.reshape(maps, (-1, maps.shape[1] * maps.shape[2]))
        if self.score in ("smooth_max", "max"):
            return tf.reduce_max(flat, axis=1)
        if self.score == "sse":
            return tf.reduce_sum(flat, axis=1)
        if self.score == "mean":
            return tf.reduce_mean(flat, axis=1)
        if self.score == "area":
            return self._levels(flat, maps)
        count = max(1, round(self.top_fraction * maps.shape[1] * maps.shape[2]))
        return tf.reduce_mean(tf.math.top_k(flat, count).values, axis=1)

    def _levels(self, flat: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
        """The score ``area``, for maps and the same maps flattened."""
        if self.minimal_area > flat.shape[1]:
            raise ValueError(
                f"minimal_area is {self.minimal_area} pixels, but a map has only {flat.shape[1]}"
            )
        levels = tf.numpy_function(
            lambda values: area_levels(values, [self.minimal_area]).astype(np.float32),
            [maps],
            tf.float32,
        )
        # The level is the value of one pixel; taken from there, it has a gradient.
        pixel = tf.argmin(tf.abs(flat - tf.ensure_shape(levels, (None, 1))), axis=1)
        return tf.gather(flat, pixel, axis=1, batch_dims=1)

    def score_of(self, images: tf.Tensor, counterparts: tf.Tensor) -> tf.Tensor:
        """The score of each image beside its counterpart: tensor of float32, shape (n,)."""
        return self.reduce(self.map_of(images, counterparts))


class ReconstructionDetector(Detector):
    """A detector whose counterpart is a reconstruction, which its map and score compare with.

    A subclass gives `reconstruct_tensor`, and empties ``_batched`` where it builds its networks
    anew: compiled functions belong to the networks that they were traced with.

    Parameters
    ----------
    scoring : ResidualScore
        How the difference becomes a map, and the map a score.
    """

    scoring_parameters: ClassVar[tuple[str, ...]] = ("scoring",)
    _BATCH = 32

    def __init__(self, scoring: ResidualScore) -> None:
        super().__init__()
        self.scoring = scoring
        self._batched: dict[str, Batched] = {}

    @abstractmethod
    def reconstruct_tensor(self, images: tf.Tensor) -> tf.Tensor:
        """The counterpart, differentiable: tensor of float32, shape (n, h, w, c), in [0, 1]."""

    def score_tensor(self, images: tf.Tensor) -> tf.Tensor:
        """The score, differentiable: tensor of float32, shape (n,)."""
        return self.scoring.score_of(images, self.reconstruct_tensor(images))

    def _map_tensor(self, images: tf.Tensor) -> tf.Tensor:
        return self.scoring.map_of(images, self.reconstruct_tensor(images))

    def _residual_tensor(self, images: tf.Tensor) -> tf.Tensor:
        return self.scoring.residual_of(images, self.reconstruct_tensor(images))

    def _in_batches(self, function: Callable[[tf.Tensor], tf.Tensor], images: Images) -> Floats:
        self._require_fitted()
        images = checked_images(images, self.image_shape)
        name = function.__name__
        return self._batched.setdefault(name, Batched(function, self._BATCH))(images)

    def counterpart(self, images: Images) -> Images:
        """The reconstruction of each image: float32 (n, h, w, c) in [0, 1]."""
        return self._in_batches(self.reconstruct_tensor, images)

    def residual_map(self, images: Images) -> Maps:
        """The plain residual, before any smoothing: float32 (n, h, w)."""
        return self._in_batches(self._residual_tensor, images)

    def anomaly_map(self, images: Images) -> Maps:
        """The difference as ``scoring`` takes it: float32 (n, h, w)."""
        return self._in_batches(self._map_tensor, images)

    def score(self, images: Images) -> Scores:
        """The anomaly map reduced to one number: float32 (n,)."""
        return self._in_batches(self.score_tensor, images)
