"""What detectors on a pretrained network's features share."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf

from adhelpers._shared.arrays import Floats, Images, Maps, Scores
from adhelpers._shared.batches import Batched
from adhelpers._shared.checks import checked_images

from ..base import Detector
from ..manifest import StoredModelError
from ..residuals import smooth
from .backbones import Backbone, BackboneSettings
from .neighbours import NeighbourSearch
from .patches import FeatureSettings, compute_features

# Images whose features are in memory at once.
BATCH = 16


def cells_to_map(cells: tf.Tensor, image_shape: Sequence[int], smoothing: float) -> tf.Tensor:
    """A value for each patch as a map of pixels: interpolated linearly, then smoothed.

    Parameters
    ----------
    cells : tensor of float32, shape (n, rows, columns)
    image_shape : tuple of int
        (h, w, ...) of the images.
    smoothing : float
        Standard deviation of the Gaussian in pixels.

    Returns
    -------
    tensor of float32, shape (n, h, w)

    Examples
    --------
    >>> cells_to_map(tf.ones((1, 4, 2)), (32, 16, 1), 2.0).shape
    TensorShape([1, 32, 16])
    """
    return smooth(tf.image.resize(cells[..., None], image_shape[:2])[..., 0], smoothing)


def check_neighbours(wanted: int, available: int) -> None:
    """Refuse more neighbours than there are training images, with a ValueError."""
    if available < wanted:
        raise ValueError(
            f"neighbours: {wanted} nearest were asked for, but there are only {available} training "
            "images; give more good images or ask for fewer neighbours"
        )


@lru_cache(maxsize=4)
def _shared_backbone(
    settings: BackboneSettings,
    image_shape: tuple[int, ...],
    seed: int,
    stamp: tuple[int, int] | None,
) -> Backbone:
    """One network for all detectors that look at the same features.

    It is never changed, and compiled once.
    """
    return Backbone(settings, image_shape=image_shape, seed=seed)


def _stamp(weights: str) -> tuple[int, int] | None:
    """Changes when the file behind ``weights`` does."""
    path = Path(weights)
    return (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else None


class FeatureDetector(Detector):
    """A detector that looks at a backbone's features.

    A subclass defines `_learn`, `_keys` and `_cells_of_features`: the map is `cells_to_map` of the
    last, and the score is the map's maximum.

    The manifest keeps the SHA-256 over the weights' numbers, and `load` refuses others: the same
    path may hold another file.

    Parameters
    ----------
    features : FeatureSettings
    backbone : BackboneSettings
    smoothing : float
        Standard deviation of the Gaussian over the map, in pixels.
    seed : int

    Attributes
    ----------
    network : Backbone
        The network of the settings ``backbone``, once it is fitted or loaded.
    """

    counterpart_name = "similar good image"

    def __init__(
        self, features: FeatureSettings, backbone: BackboneSettings, smoothing: float, seed: int
    ) -> None:
        super().__init__()
        if smoothing < 0:
            raise ValueError(f"smoothing must be 0 or more pixels, not {smoothing}")
        self.features, self.backbone = features, backbone
        self.smoothing, self.seed = smoothing, seed

    def fit(
        self,
        train: Images,
        validation: Images,
        *,
        checkpoint: str | Path | None = None,
        show_progress: bool = True,
    ) -> Self:
        """Fit on good images; see `Detector.fit`.

        An interrupted run resumes from an open `feature_cache`; ``checkpoint`` is not used.
        """
        train = checked_images(train, name="train")
        checked_images(validation, train.shape[1:], name="validation")
        self._build(train.shape[1:])
        try:
            self._learn(train, show_progress)
        except BaseException:
            self.image_shape = None
            raise
        return self

    @abstractmethod
    def _learn(self, train: Images, show_progress: bool) -> None:
        """Fit on checked images; the network is built."""

    @abstractmethod
    def _keys(self, images: Images) -> Floats:
        """Vectors by which the nearest good image is found: (n, k)."""

    def _build(self, image_shape: Sequence[int]) -> None:
        self.image_shape = tuple(image_shape)
        random = self.backbone.weights == "random"
        self.network = _shared_backbone(
            self.backbone,
            self.image_shape,
            self.seed if random else 0,
            _stamp(self.backbone.weights),
        )
        self._batched: dict[str, Batched] = {}

    def _set_good(self, images: Floats, keys: Floats) -> None:
        """Keep the good images, of which the nearest is an image's counterpart."""
        self._good, self._nearest_good = images, NeighbourSearch(keys)

    def _features_of(self, images: Images, show_progress: bool = False) -> Floats:
        return compute_features(self.network, self.features, images, show_progress=show_progress)

    def _in_batches(self, function: Callable[[tf.Tensor], tf.Tensor], images: Images) -> Floats:
        """A function of the features, for images in batches, compiled once."""
        self._require_fitted()
        images = checked_images(images, self.image_shape)
        batched = self._batched.setdefault(function.__name__, Batched(function, BATCH))
        return np.concatenate(
            [
                batched(self._features_of(images[start : start + BATCH]).astype(np.float32))
                for start in range(0, len(images), BATCH)
            ]
        )

    @abstractmethod
    def _cells_of_features(self, features: tf.Tensor) -> tf.Tensor:
        """A value for each patch."""

    def _map_of_features(self, features: tf.Tensor) -> tf.Tensor:
        return cells_to_map(
            self._cells_of_features(features), self.image_shape or (), self.smoothing
        )

    def _score_of_features(self, features: tf.Tensor) -> tf.Tensor:
        return tf.reduce_max(self._map_of_features(features), axis=(1, 2))

    def anomaly_map(self, images: Images) -> Maps:
        """The smoothed value of each patch: float32 (n, h, w), higher is more anomalous."""
        return self._in_batches(self._map_of_features, images)

    def score(self, images: Images) -> Scores:
        """The score of each image: float32 (n,), higher is more anomalous."""
        return self._in_batches(self._score_of_features, images)

    def counterpart(self, images: Images) -> Images:
        """The nearest good image of those that were trained on: float32 (n, h, w, c) in [0, 1]."""
        self._require_fitted()
        images = checked_images(images, self.image_shape)
        nearest = [
            self._nearest_good.find(self._keys(images[start : start + BATCH]))[1][:, 0]
            for start in range(0, len(images), BATCH)
        ]
        return self._good[np.concatenate(nearest)].astype(np.float32)

    def forward(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What gradient explainers need, recorded by an open gradient tape.

        Parameters
        ----------
        images : tensor of float32, shape (n, h, w, c)

        Returns
        -------
        activations : tensor of float32, shape (n, rows, columns, channels)
            The last layer's output.
        scores : tensor of float32, shape (n,)
        """
        self._require_fitted()
        maps = self.network.maps(images)
        features = self.features.of_maps(maps, self.network.image_shape)
        return maps[-1], self._score_of_features(features)

    def score_tensor(self, images: tf.Tensor) -> tf.Tensor:
        """The score as a differentiable function of the image: tensor of float32, shape (n,)."""
        return self.forward(images)[1]

    def _write_backbone(self) -> dict[str, Any]:
        return {"backbone": self.network.describe()}

    def _read_backbone(self, folder: Path, manifest: dict[str, Any]) -> None:
        self._build(self.image_shape or ())
        stored = manifest["backbone"]["weights_sha256"]
        if self.network.sha256 != stored:
            raise StoredModelError(
                f"{folder} was fitted on features of weights with SHA-256 {stored[:16]}…, but "
                f"{self.backbone.weights} now holds {self.network.sha256[:16]}…: take the weights "
                "it was fitted with, or remove the folder and fit again"
            )
