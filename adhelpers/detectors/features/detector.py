"""What detectors on a pretrained network's features share."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from adhelpers._shared.arrays import Floats, Images, Maps, Scores
from adhelpers._shared.batches import Batched
from adhelpers._shared.checks import checked_images
from adhelpers._shared.large_arrays import allocated, gathered
from adhelpers._shared.progress import progress

from ..base import Detector
from ..counterparts import composed
from ..manifest import StoredModelError
from ..residuals import smooth
from .backbones import Backbone, BackboneSettings
from .neighbours import NeighbourSearch
from .patches import FeatureSettings, batch_of, compute_features

# Bytes of features that are in memory at once while a detector is fitted.
_BLOCK = 2**29
# How many good images an image's counterpart is chosen from, and bytes that they take.
_GOOD, _GOOD_BYTES = 1000, 2**29
# Of so many similar good images a counterpart is composed.
_COMPOSED = 8


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


def kept_images(images: Images, seed: int) -> NDArray[np.int64]:
    """Which good images a model keeps, to choose counterparts from: all, or a random 1000 of them.

    Fewer where they would take more than 512 MiB. So neither a model nor the search for a
    counterpart grows with the number of training images.

    Examples
    --------
    >>> kept_images(np.zeros((3, 8, 8, 1)), seed=0).tolist()
    [0, 1, 2]
    """
    most = max(1, min(_GOOD, _GOOD_BYTES // (2 * images[0].size)))
    if len(images) <= most:
        return np.arange(len(images))
    return np.sort(np.random.default_rng(seed).choice(len(images), most, replace=False))


def half_precision(images: Images, chosen: NDArray[np.int64]) -> Floats:
    """Chosen images as float16: a sixteenth of a grey level, for what is only shown or pasted."""
    half = allocated((len(chosen), *images.shape[1:]), np.float16)
    for row, index in enumerate(chosen):
        half[row] = images[index]
    return half


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

    counterpart_name = "similar good images, composed"

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
        """Keep the good images, of which the nearest make up an image's counterpart."""
        self._good, self._nearest_good = images, NeighbourSearch(keys)

    def _features_of(self, images: Images, bar: Any = None) -> Floats:
        return compute_features(self.network, self.features, images, bar=bar)

    def _blocks(self, images: Images, show_progress: bool) -> Iterator[tuple[slice, Floats]]:
        """The features of images in blocks of 512 MiB, each with the images that it is of."""
        shape = self.features.shape(self.network.channels(), self.network.image_shape)
        count = max(1, _BLOCK // (2 * math.prod(shape)))
        with progress(description="features", total=len(images), enabled=show_progress) as bar:
            for start in range(0, len(images), count):
                block = slice(start, min(start + count, len(images)))
                yield block, self._features_of(images[block], bar)

    @property
    def _batch(self) -> int:
        """Images whose features are in memory at once while images are scored."""
        return batch_of(self.network.image_shape)

    def _parts(self, images: Images) -> Iterator[Images]:
        """Checked images in batches."""
        self._require_fitted()
        images = checked_images(images, self.image_shape)
        return (images[start : start + self._batch] for start in range(0, len(images), self._batch))

    def _compiled(self, function: Callable[[tf.Tensor], tf.Tensor]) -> Batched:
        """A function of the features, compiled once."""
        return self._batched.setdefault(function.__name__, Batched(function, self._batch))

    def _in_batches(self, function: Callable[[tf.Tensor], tf.Tensor], images: Images) -> Floats:
        """A function of the features, for images in batches."""
        parts, compiled = self._parts(images), self._compiled(function)
        return gathered(
            (compiled(self._features_of(part).astype(np.float32)) for part in parts), len(images)
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
        """At each place the nearest of similar good images: float32 (n, h, w, c) in [0, 1].

        The good images, of those that were kept, whose features are nearest, moved to lie as the
        image does and blended by how like it they are around each place (`composed`).
        """
        parts = self._parts(images)
        return gathered((self._composed(one, self._keys(one)) for one in parts), len(images))

    def _composed(self, images: Images, keys: Floats) -> Images:
        """The counterparts of images whose keys are known."""
        nearest = self._nearest_good.find(keys, min(_COMPOSED, len(self._good)))[1]
        return np.stack(
            [composed(one, self._good[found]) for one, found in zip(images, nearest, strict=True)]
        )

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
