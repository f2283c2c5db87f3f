"""Features of whole images and of patches from a pretrained network, and their cache on disk."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from adhelpers._shared.array_files import read_arrays, write_arrays
from adhelpers._shared.arrays import Floats, Images
from adhelpers._shared.batches import Batched
from adhelpers._shared.checks import check_choice

from .backbones import Backbone

# Raise it when the same settings give other features: cached ones are then left alone.
_FORMAT = 2
_NAME = "features"
_BATCH = 16
_LEVELS = ("image", "patch")
_POOLINGS = ("average", "max", "gem")
_SCALINGS = ("none", "layer", "channel")
_cache_folder: ContextVar[Path | None] = ContextVar("feature cache", default=None)


@contextmanager
def feature_cache(folder: str | Path | None) -> Iterator[None]:
    """Within the ``with`` block the features of every image are kept in ``folder`` and found again.

    Each image's features are stored in a file of their own as soon as they are computed, so that an
    interrupted pass resumes. The file's name follows from the image's content, the numbers in the
    network's weights, and all settings: features of other images or weights are never taken by
    mistake. It has a checksum: what a damaged file held is computed again. Explainers score
    thousands of images only once: run them outside of the block.

    Parameters
    ----------
    folder : str or Path or None
        Made where it is missing. It may be removed at any time. None keeps nothing.

    Examples
    --------
    >>> import tempfile
    >>> from adhelpers.detectors.features.backbones import BackboneSettings
    >>> backbone = Backbone(BackboneSettings(), image_shape=(32, 32, 1))
    >>> folder = Path(tempfile.mkdtemp())
    >>> with feature_cache(folder):
    ...     vectors = compute_features(backbone, FeatureSettings("image"), np.zeros((2, 32, 32, 1)))
    >>> len(list(folder.rglob("*.arrays")))     # both images are the same
    1
    """
    token = _cache_folder.set(None if folder is None else Path(folder))
    try:
        yield
    finally:
        _cache_folder.reset(token)


@contextmanager
def features_kept() -> Iterator[None]:
    """Within the ``with`` block features are computed once: in the open cache or a temporary one.

    Examples
    --------
    >>> with features_kept():
    ...     _cache_folder.get().is_dir()
    True
    """
    if _cache_folder.get() is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="adhelpers-features-") as folder, feature_cache(folder):
        yield


def pool_maps(maps: list[tf.Tensor], pooling: str = "average", power: float = 3.0) -> tf.Tensor:
    """One vector an image: each layer's output pooled over all places, the layers joined.

    Parameters
    ----------
    maps : list of tensor, shape (n, rows, columns, channels) or (n, channels)
        What `Backbone.maps` returns; outputs of fully connected layers are taken as they are.
    pooling, power
        As in `FeatureSettings`.

    Returns
    -------
    tensor of float32, shape (n, sum of channels)

    Examples
    --------
    >>> pool_maps([tf.reshape([1.0, 3.0], (1, 1, 2, 1))], "average").numpy().tolist()
    [[2.0]]
    """
    vectors = []
    for one in maps:
        if len(one.shape) == 2:
            vectors.append(one)
        elif pooling == "average":
            vectors.append(tf.reduce_mean(one, axis=(1, 2)))
        elif pooling == "max":
            vectors.append(tf.reduce_max(one, axis=(1, 2)))
        else:
            # The root has no slope at 0.
            vectors.append(
                tf.reduce_mean(tf.maximum(one, 1e-6) ** power, axis=(1, 2)) ** (1 / power)
            )
    return tf.concat(vectors, axis=-1)


def join_maps(maps: list[tf.Tensor], grid: tuple[int, int], local_average: int = 3) -> tf.Tensor:
    """One vector a patch: each layer averaged locally, brought to one grid, the layers joined.

    Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022 (arXiv
    2106.08265).

    Parameters
    ----------
    maps : list of tensor, shape (n, rows, columns, channels)
    grid : tuple of int
        Rows and columns of patches. A finer layer is averaged over each patch where its size is a
        multiple, else interpolated linearly, as a coarser one is.
    local_average : int
        As in `FeatureSettings`.

    Returns
    -------
    tensor of float32, shape (n, *grid, sum of channels)

    Raises
    ------
    ValueError
        For the output of a fully connected layer, which has no positions.

    Examples
    --------
    >>> join_maps([tf.zeros((1, 16, 8, 3)), tf.zeros((1, 8, 4, 5))], (8, 4)).shape
    TensorShape([1, 8, 4, 8])
    """
    joined = []
    for one in maps:
        if len(one.shape) != 4:
            raise ValueError(
                "layers: patch features need layers with spatial positions, not fully connected "
                "ones"
            )
        if local_average > 1:
            one = tf.nn.avg_pool2d(one, local_average, 1, "SAME")
        rows, columns = one.shape[1:3]
        if (rows, columns) != tuple(grid):
            if rows % grid[0] == columns % grid[1] == 0:
                sides = rows // grid[0], columns // grid[1]
                one = tf.nn.avg_pool2d(one, sides, sides, "VALID")
            else:
                one = tf.image.resize(one, grid)
        joined.append(one)
    return tf.concat(joined, axis=-1)


@dataclass(frozen=True)
class FeatureSettings:
    """How the outputs of a network's layers become features of whole images or of patches.

    Parameters
    ----------
    level : {"image", "patch"}
        One vector for each image, or one for each patch.
    pooling : {"average", "max", "gem"}
        For ``level="image"``: how a layer is pooled over all places. ``"gem"``, the generalised
        mean, lies between the two others: the mean of the values to ``power``, and the root of it
        (Radenović, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation",
        TPAMI 2019). Values below 0 count as 0.
    power : float
        At least 1, for ``pooling="gem"``.
    stride : int
        For ``level="patch"``: side of a patch in pixels.
    local_average : int
        For ``level="patch"``: side of the neighbourhood, in cells of the layer, over which a layer
        is averaged; odd, 1 averages nothing. At the border only cells inside count.
    scaling : {"none", "layer", "channel"}
        ``"layer"``: the root mean square distance from the mean is 1 in each layer, so that layers
        count alike whatever the size of their values; ``"channel"``: each channel's standard
        deviation is 1, so that channels count alike.

    Raises
    ------
    ValueError
        If a value is none of these.

    Examples
    --------
    >>> FeatureSettings("patch", stride=16).grid((64, 32, 1))
    (4, 2)
    """

    level: str
    pooling: str = "average"
    power: float = 3.0
    stride: int = 8
    local_average: int = 3
    scaling: str = "layer"

    def __post_init__(self) -> None:
        check_choice("level", self.level, _LEVELS)
        check_choice("pooling", self.pooling, _POOLINGS)
        check_choice("scaling", self.scaling, _SCALINGS)
        if not self.power >= 1:
            raise ValueError(f"power must be 1 or more, not {self.power}")
        if self.stride < 1:
            raise ValueError(f"stride must be 1 pixel or more, not {self.stride}")
        if self.local_average < 1 or self.local_average % 2 == 0:
            raise ValueError(
                f"local_average must be an odd number of 1 or more, not {self.local_average}"
            )

    def grid(self, image_shape: Sequence[int]) -> tuple[int, int]:
        """Rows and columns of patches."""
        return image_shape[0] // self.stride, image_shape[1] // self.stride

    def shape(self, channels: Sequence[int], image_shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of the features of one image."""
        return (*(self.grid(image_shape) if self.level == "patch" else ()), sum(channels))

    def of_maps(self, maps: list[tf.Tensor], image_shape: Sequence[int]) -> tf.Tensor:
        """The features as a differentiable function of the maps."""
        if self.level == "image":
            return pool_maps(maps, self.pooling, self.power)
        return join_maps(maps, self.grid(image_shape), self.local_average)

    def identity(self) -> tuple[Any, ...]:
        """What distinguishes these features from others; they are stored before their scaling."""
        if self.level == "image":
            return self.level, self.pooling, float(self.power)
        return self.level, self.stride, self.local_average

    def scale(self, features: Floats, channels: Sequence[int]) -> NDArray[np.float32]:
        """Factors that bring features to a common scale.

        Parameters
        ----------
        features : ndarray, shape (m, d)
            Of good images.
        channels : sequence of int
            Channels of each layer; their sum is d.

        Returns
        -------
        ndarray of float32, shape (d,)

        Examples
        --------
        >>> settings = FeatureSettings("patch", scaling="channel")
        >>> settings.scale(np.float32([[0, 0, 3], [2, 4, 3]]), [2, 1]).tolist()
        [1.0, 0.5, 1.0]
        """
        variance = np.var(features, axis=0, dtype=np.float64)
        return self.scale_of_variance(variance, channels)

    def scale_of_variance(self, variance: Floats, channels: Sequence[int]) -> NDArray[np.float32]:
        """The same factors from the variance of each channel: ndarray of float32, shape (d,)."""
        if self.scaling == "none":
            return np.ones(len(variance), np.float32)
        if self.scaling == "layer":
            parts = np.split(variance, np.cumsum(channels)[:-1])
            variance = np.concatenate([np.full(len(one), one.sum()) for one in parts])
        # What never varies says nothing about the scale.
        factors = np.where(variance > 1e-12, 1 / np.sqrt(np.maximum(variance, 1e-12)), 1)
        return factors.astype(np.float32)


def compute_features(
    backbone: Backbone,
    settings: FeatureSettings,
    images: Images,
    *,
    batch_size: int | None = None,
    bar: Any = None,
) -> Floats:
    """Features of images, in batches, through the `feature_cache` where one is open.

    Parameters
    ----------
    backbone : Backbone
    settings : FeatureSettings
    images : ndarray of float32, shape (n, h, w, c)
    batch_size : int, optional
        By default 16, or fewer where images have more than 256 x 256 pixels (`batch_of`).
    bar : progress bar, optional
        Told of each image (`adhelpers._shared.progress`).

    Returns
    -------
    ndarray
        Of whole images: float32, shape (n, channels). Of patches: float16 because of their number,
        shape (n, h // stride, w // stride, channels); float32 where a value is beyond float16. They
        are not scaled.

    Raises
    ------
    ValueError
        If the images are not of the shape that the backbone was built for.

    Examples
    --------
    >>> from adhelpers.detectors.features.backbones import BackboneSettings
    >>> backbone = Backbone(BackboneSettings(), image_shape=(32, 32, 1))
    >>> images = np.zeros((1, 32, 32, 1), np.float32)
    >>> compute_features(backbone, FeatureSettings("patch", stride=16), images).shape
    (1, 2, 2, 768)
    """
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.shape[1:] != backbone.image_shape:
        raise ValueError(
            f"images have the shape {images.shape[1:]}, but this backbone was built for "
            f"{backbone.image_shape}"
        )
    function = backbone.compiled.setdefault(
        settings.identity(),
        Batched(lambda part: settings.of_maps(backbone.maps(part), part.shape[1:]), _BATCH),
    )
    size = batch_size or batch_of(backbone.image_shape)
    files = _files(backbone, settings, images)
    shape = settings.shape(backbone.channels(), backbone.image_shape)
    features = np.zeros((len(images), *shape), np.float16 if settings.level == "patch" else "f4")
    # Equal images share one file and one pass.
    missing: dict[Path | int, list[int]] = {}
    for index, file in enumerate(files):
        found = _read(file, settings, shape)
        if found is None:
            missing.setdefault(file or index, []).append(index)
            continue
        features = _put(features, [index], found)
        if bar is not None:
            bar.update(1)
    groups = list(missing.values())
    for start in range(0, len(groups), size):
        batch = groups[start : start + size]
        values = function(images[[group[0] for group in batch]], size=size)
        for group, value in zip(batch, values, strict=True):
            value = rounded(value) if settings.level == "patch" else value
            file = files[group[0]]
            if file is not None:
                write_arrays(file, {_NAME: value})
            features = _put(features, group, value)
        if bar is not None:
            bar.update(sum(map(len, batch)))
    return features


def batch_of(image_shape: Sequence[int]) -> int:
    """Images that a network looks at together: 16, fewer of those beyond 256 x 256 pixels.

    A layer's output of one image of 512 x 512 takes 64 MB.

    Examples
    --------
    >>> batch_of((128, 64, 1)), batch_of((512, 512, 1)), batch_of((2048, 2048, 3))
    (16, 4, 1)
    """
    return max(1, min(_BATCH, _BATCH * 256**2 // (image_shape[0] * image_shape[1])))


def _put(features: Floats, places: list[int], value: Floats) -> Floats:
    """The features with those of some images filled in, in the wider of both precisions."""
    if value.dtype.itemsize > features.dtype.itemsize:
        features = features.astype(value.dtype)
    features[places] = value
    return features


def rounded(values: NDArray[np.float32]) -> Floats:
    """In half precision, unless a value is beyond it."""
    return values.astype(np.float16) if np.abs(values).max() < np.finfo(np.float16).max else values


def _files(backbone: Backbone, settings: FeatureSettings, images: Images) -> list[Path | None]:
    """Where each image's features are kept."""
    folder = _cache_folder.get()
    if folder is None:
        return [None] * len(images)
    identity = json.dumps(
        [
            _FORMAT,
            backbone.settings.name,
            backbone.sha256,
            backbone.layers,
            backbone.settings.precision,
            backbone.image_shape,
            settings.identity(),
        ]
    )
    folder = folder / hashlib.sha256(identity.encode()).hexdigest()[:16]
    digests = [hashlib.sha256(image.tobytes()).hexdigest()[:40] for image in images]
    return [folder / f"{digest}.arrays" for digest in digests]


def _read(file: Path | None, settings: FeatureSettings, shape: tuple[int, ...]) -> Floats | None:
    """The cached features, or None where there are none or the file is damaged."""
    try:
        found = None if file is None else (read_arrays(file) or {}).get(_NAME)
    except OSError:
        return None
    kinds = (np.float16, np.float32) if settings.level == "patch" else (np.float32,)
    if found is None or found.shape != shape or found.dtype not in kinds:
        return None
    return found if np.isfinite(found).all() else None
