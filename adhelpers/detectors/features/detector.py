"""What detectors on a pretrained network's features share."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.random_projection import GaussianRandomProjection

from adhelpers._shared.checks import checked_images

from ..base import Detector
from ..residuals import smooth
from .backbones import Backbone
from .patches import compute_features

SCALINGS = ("none", "layer", "channel")
_KEY_DIMENSIONS = 32
_BATCH = 16


def cells_to_map(cells, image_shape, smoothing):
    """A value for each patch as a map of pixels: interpolated linearly, then smoothed with a Gaussian.

    Parameters
    ----------
    cells : tensor of float32, shape (n, rows, columns)
    image_shape : tuple of int
        (h, w, ...) of the images.
    smoothing : float
        Standard deviation in pixels.

    Returns
    -------
    tensor of float32, shape (n, h, w)

    Examples
    --------
    >>> cells_to_map(tf.ones((1, 4, 2)), (32, 16, 1), 2.0).shape
    TensorShape([1, 32, 16])
    """
    return smooth(tf.image.resize(cells[..., None], image_shape[:2])[..., 0], smoothing)


def feature_scale(features, sizes, scaling):
    """Factors that bring features to a common scale.

    Parameters
    ----------
    features : ndarray, shape (m, d)
        Of good images.
    sizes : sequence of int
        Channels of each layer; their sum is d.
    scaling : {"none", "layer", "channel"}
        ``"layer"``: the root mean square distance from the mean is 1 in each layer, so that layers
        count alike whatever the size of their values; ``"channel"``: each channel's standard
        deviation is 1, so that channels count alike.

    Returns
    -------
    ndarray of float32, shape (d,)

    Examples
    --------
    >>> feature_scale(np.float32([[0, 0, 3], [2, 4, 3]]), [2, 1], "channel").tolist()
    [1.0, 0.5, 1.0]
    """
    if scaling not in SCALINGS:
        raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}, not {scaling!r}.")
    if scaling == "none":
        return np.ones(features.shape[1], np.float32)
    variance = np.var(features, axis=0, dtype=np.float64)
    if scaling == "layer":
        parts = np.split(variance, np.cumsum(sizes)[:-1])
        variance = np.concatenate([np.full(len(one), one.sum()) for one in parts])
    # What never varies says nothing about the scale.
    return np.where(variance > 1e-12, 1 / np.sqrt(np.maximum(variance, 1e-12)), 1).astype(
        np.float32
    )


def random_projection(points, scale, dimensions, seed):
    """Scaled features in fewer random dimensions, in which distances are nearly kept (Johnson and Lindenstrauss, 1984).

    Parameters
    ----------
    points : ndarray, shape (m, d)
    scale : ndarray, shape (d,)
    dimensions : int or None
        None, or d or more, projects nothing.
    seed : int

    Returns
    -------
    ndarray of float32, shape (m, dimensions)

    Examples
    --------
    >>> random_projection(np.ones((3, 100), np.float16), np.ones(100, np.float32), 8, seed=0).shape
    (3, 8)
    """
    if dimensions is None or dimensions >= points.shape[1]:
        return points.astype(np.float32) * scale
    projection = GaussianRandomProjection(dimensions, random_state=seed).fit(
        np.zeros((1, points.shape[1]), np.float32)
    )
    matrix = (projection.components_.T * scale[:, None]).astype(np.float32)
    # In parts, because the features come in half precision and there are many.
    return np.concatenate(
        [
            points[start : start + 8192].astype(np.float32) @ matrix
            for start in range(0, len(points), 8192)
        ]
    )


def image_keys(features, scale, seed):
    """Short vectors of whole images whose distances are nearly those of their patches, place by place.

    Parameters
    ----------
    features : ndarray, shape (n, rows, columns, d)
    scale : ndarray of float32, shape (d,)
    seed : int

    Returns
    -------
    ndarray of float32, shape (n, k)

    Examples
    --------
    >>> image_keys(np.ones((3, 2, 2, 100), np.float16), np.ones(100, np.float32), seed=0).shape
    (3, 128)
    """
    return np.stack(
        [
            random_projection(one.reshape(-1, one.shape[-1]), scale, _KEY_DIMENSIONS, seed).ravel()
            for one in features
        ]
    )


def check_neighbours(wanted, available):
    """Refuse more neighbours than there are training images.

    Raises
    ------
    ValueError
    """
    if available < wanted:
        raise ValueError(
            f"neighbours: {wanted} nearest were asked for, but there are only {available} training images; give more good images or "
            "ask for fewer neighbours."
        )


@lru_cache(maxsize=4)
def _shared_backbone(name, weights, layers, image_shape, precision, seed, stamp):
    """One network for all detectors that look at the same features: it is never changed, and compiled once."""
    return Backbone(name, weights, layers, image_shape=image_shape, precision=precision, seed=seed)


def _stamp(weights):
    """Changes when the file behind ``weights`` does."""
    path = Path(weights)
    return (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else None


class FeatureDetector(Detector):
    """A detector that looks at a backbone's features; its parameters name the network and the weights.

    A subclass sets ``_feature_settings``. One that judges each patch gives ``_cells_of_features``:
    the map is then `cells_to_map` of it, and the score the map's maximum.

    The manifest keeps the SHA-256 over the weights' numbers, and `load` refuses others: the same
    path may hold another file.

    Attributes
    ----------
    backbone : Backbone
        Once it is fitted or loaded.
    """

    counterpart_name = "similar good image"
    _feature_settings = None

    def _build(self, image_shape):
        parameters = self.parameters
        self.image_shape = tuple(image_shape)
        layers = None if parameters["layers"] is None else tuple(parameters["layers"])
        self.backbone = _shared_backbone(
            parameters["backbone"],
            parameters["weights"],
            layers,
            self.image_shape,
            parameters["precision"],
            parameters["seed"] if parameters["weights"] == "random" else 0,
            _stamp(parameters["weights"]),
        )
        self._functions = {}

    def _features(self, images, show_progress=False):
        return compute_features(
            self.backbone, self._feature_settings, images, show_progress=show_progress
        )

    def _in_batches(self, function, images):
        """A function of the features, for images in batches, compiled once."""
        self._require_fitted()
        images, parts = checked_images(images, self.image_shape), []
        for start in range(0, len(images), _BATCH):
            features = self._features(images[start : start + _BATCH]).astype(np.float32)
            if function.__name__ not in self._functions:
                signature = (tf.TensorSpec((None, *features.shape[1:]), tf.float32),)
                self._functions[function.__name__] = tf.function(
                    function, input_signature=signature
                )
            parts.append(self._functions[function.__name__](tf.constant(features)).numpy())
        return np.concatenate(parts)

    def _map_of_features(self, features):
        return cells_to_map(
            self._cells_of_features(features), self.image_shape, self.parameters["smoothing"]
        )

    def _score_of_features(self, features):
        return tf.reduce_max(self._map_of_features(features), axis=(1, 2))

    def anomaly_map(self, images):
        return self._in_batches(self._map_of_features, images)

    def score(self, images):
        return self._in_batches(self._score_of_features, images)

    def forward(self, images):
        """What gradient explainers need: the last layer's output and the score, recorded by an open gradient tape.

        Parameters
        ----------
        images : tensor of float32, shape (n, h, w, c)

        Returns
        -------
        activations : tensor of float32, shape (n, rows, columns, channels)
        scores : tensor of float32, shape (n,)
        """
        self._require_fitted()
        maps = self.backbone.maps(images)
        return maps[-1], self._score_of_features(
            self._feature_settings.of_maps(maps, self.image_shape)
        )

    def score_tensor(self, images):
        """The score as a differentiable function of the image: tensor of float32, shape (n,)."""
        return self.forward(images)[1]

    def _write_backbone(self):
        return {"backbone": self.backbone.describe()}

    def _read_backbone(self, folder, manifest):
        self._build(self.image_shape)
        stored = manifest["backbone"]["weights_sha256"]
        if self.backbone.sha256 != stored:
            raise ValueError(
                f"{folder} was fitted on features of weights with SHA-256 {stored[:16]}…, but {self.backbone.weights} now holds "
                f"{self.backbone.sha256[:16]}…: take the weights it was fitted with, or remove the folder and fit again."
            )
