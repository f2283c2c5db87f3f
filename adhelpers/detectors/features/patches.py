"""Pooled and patch features of a pretrained network, and their cache on disk."""

import hashlib
import json
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from adhelpers._shared.files import replacing
from adhelpers._shared.progress import progress

from .backbones import Backbone, check_choice

# Raise it when the same settings give other features: cached ones are then left alone.
_FORMAT = 1
_BATCH = 16
POOLINGS = ("average", "maximum", "generalised mean")
_cache_folder = ContextVar("feature cache", default=None)


@contextmanager
def feature_cache(folder):
    """Within the ``with`` block the features of every image are kept in ``folder`` and found again.

    Each image's features are a file of their own, written as soon as they are there, so that an
    interrupted pass goes on where it stopped. The file's name follows from the image's content, the
    numbers in the network's weights, and all settings: features of other images or weights are
    never taken by mistake. Explainers score thousands of images that are never seen again: run them
    outside of the block.

    Parameters
    ----------
    folder : str or Path or None
        Made where it is missing. It may be removed at any time. None keeps nothing.

    Examples
    --------
    >>> import tempfile
    >>> backbone, images = Backbone(weights="hed", image_shape=(32, 32, 1)), np.zeros((2, 32, 32, 1), np.float32)
    >>> folder = Path(tempfile.mkdtemp())
    >>> with feature_cache(folder):
    ...     vectors = pooled_features(backbone, images)
    >>> len(list(folder.rglob("*.npy")))     # both images are the same
    1
    """
    token = _cache_folder.set(None if folder is None else Path(folder))
    try:
        yield
    finally:
        _cache_folder.reset(token)


def pool_maps(maps, pooling="average", power=3.0):
    """One vector an image: each layer's output pooled over all places, the layers joined.

    Parameters
    ----------
    maps : list of tensor, (n, rows, columns, channels) or (n, channels)
        What `Backbone.maps` returns; outputs of fully connected layers are taken as they are.
    pooling : {"average", "maximum", "generalised mean"}
        The generalised mean lies between the two others: the mean of the values to ``power``, and
        the root of it (Radenović, Tolias and Chum, "Fine-tuning CNN image retrieval with no human
        annotation", TPAMI 2019). Values below 0 count as 0.
    power : float
        At least 1, for the generalised mean.

    Returns
    -------
    tensor of float32, (n, sum of channels)

    Examples
    --------
    >>> pool_maps([tf.reshape([1.0, 3.0], (1, 1, 2, 1))], "average").numpy().tolist()
    [[2.0]]
    """
    check_choice("pooling", pooling, POOLINGS)
    if not power >= 1:
        raise ValueError(f"power must be 1 or more, not {power}.")
    vectors = []
    for one in maps:
        if len(one.shape) == 2:
            vectors.append(one)
        elif pooling == "average":
            vectors.append(tf.reduce_mean(one, axis=(1, 2)))
        elif pooling == "maximum":
            vectors.append(tf.reduce_max(one, axis=(1, 2)))
        else:
            # The root has no slope at 0.
            vectors.append(
                tf.reduce_mean(tf.maximum(one, 1e-6) ** power, axis=(1, 2)) ** (1 / power)
            )
    return tf.concat(vectors, axis=-1)


def join_maps(maps, grid, local_average=3):
    """One vector a patch: each layer averaged over its neighbourhood, brought to one grid, the layers joined.

    Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022 (arXiv
    2106.08265).

    Parameters
    ----------
    maps : list of tensor, (n, rows, columns, channels)
    grid : tuple of int
        Rows and columns of patches. A finer layer is averaged over each patch where its size is a
        multiple, else interpolated linearly, as a coarser one is.
    local_average : int
        Side of the neighbourhood in cells of the layer, odd; 1 averages nothing. At the border only
        cells inside count.

    Returns
    -------
    tensor of float32, (n, *grid, sum of channels)

    Examples
    --------
    >>> join_maps([tf.zeros((1, 16, 8, 3)), tf.zeros((1, 8, 4, 5))], (8, 4)).shape
    TensorShape([1, 8, 4, 8])
    """
    if local_average < 1 or local_average % 2 == 0:
        raise ValueError(f"local_average must be an odd number of 1 or more, not {local_average}.")
    joined = []
    for one in maps:
        if len(one.shape) != 4:
            raise ValueError(
                "layers: patch features need layers that keep the places apart, not fully connected ones."
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


def pooled_features(backbone, images, pooling="average", power=3.0, *, show_progress=False):
    """The vector of each image; see `pool_maps` and `feature_cache`.

    Parameters
    ----------
    backbone : Backbone
    images : ndarray of float32, shape (n, h, w, c)
    pooling, power
        As in `pool_maps`.
    show_progress : bool

    Returns
    -------
    ndarray of float32, shape (n, channels)

    Examples
    --------
    >>> backbone = Backbone(weights="hed", image_shape=(32, 32, 1))
    >>> pooled_features(backbone, np.zeros((2, 32, 32, 1), np.float32)).shape
    (2, 768)
    """
    return compute_features(
        backbone,
        FeatureSettings("pooled", pooling=pooling, power=float(power)),
        images,
        show_progress=show_progress,
    )


def patch_features(backbone, images, stride=8, local_average=3, *, show_progress=False):
    """The vectors of each image's patches; see `join_maps` and `feature_cache`.

    Parameters
    ----------
    backbone : Backbone
    images : ndarray of float32, shape (n, h, w, c)
    stride : int
        Side of a patch in pixels.
    local_average : int
        As in `join_maps`.
    show_progress : bool

    Returns
    -------
    ndarray of float16, shape (n, h // stride, w // stride, channels)
        Rounded, because of their number; float32 where a value is beyond float16.

    Examples
    --------
    >>> backbone = Backbone(weights="hed", image_shape=(32, 64, 1))
    >>> patch_features(backbone, np.zeros((2, 32, 64, 1), np.float32)).shape
    (2, 4, 8, 768)
    """
    return compute_features(
        backbone,
        FeatureSettings("patch", stride=stride, local_average=local_average),
        images,
        show_progress=show_progress,
    )


@dataclass(frozen=True)
class FeatureSettings:
    """How a network's maps become features: ``kind`` is ``"pooled"`` or ``"patch"``, the rest as in `pool_maps` and `join_maps`."""

    kind: str
    pooling: str = "average"
    power: float = 3.0
    stride: int = 8
    local_average: int = 3

    def __post_init__(self):
        check_choice("pooling", self.pooling, POOLINGS)
        if self.stride < 1:
            raise ValueError(f"stride must be 1 pixel or more, not {self.stride}.")
        if self.local_average < 1 or self.local_average % 2 == 0:
            raise ValueError(
                f"local_average must be an odd number of 1 or more, not {self.local_average}."
            )

    def grid(self, image_shape):
        """Rows and columns of patches."""
        return image_shape[0] // self.stride, image_shape[1] // self.stride

    def of_maps(self, maps, image_shape):
        """The features as a differentiable function of the maps."""
        if self.kind == "pooled":
            return pool_maps(maps, self.pooling, self.power)
        return join_maps(maps, self.grid(image_shape), self.local_average)

    def identity(self):
        """What distinguishes these settings' features from others, as plain values."""
        return (
            [self.kind, self.pooling, self.power]
            if self.kind == "pooled"
            else [self.kind, self.stride, self.local_average]
        )


def compute_features(backbone, settings, images, *, batch_size=_BATCH, show_progress=False):
    """Features of images, in batches, through the `feature_cache` where one is open.

    Parameters
    ----------
    backbone : Backbone
    settings : FeatureSettings
    images : ndarray of float32, shape (n, h, w, c)
    batch_size : int
    show_progress : bool

    Returns
    -------
    ndarray
        As `pooled_features` and `patch_features` say.

    Examples
    --------
    >>> backbone = Backbone(weights="hed", image_shape=(32, 32, 1))
    >>> compute_features(backbone, FeatureSettings("patch", stride=16), np.zeros((1, 32, 32, 1), np.float32)).shape
    (1, 2, 2, 768)
    """
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.shape[1:] != backbone.image_shape:
        raise ValueError(
            f"images have the shape {images.shape[1:]}, but this backbone was built for {backbone.image_shape}."
        )
    function, parts = _compiled(backbone, settings), [None] * len(images)
    files = _files(backbone, settings, images)
    missing = {}
    for index, file in enumerate(files):
        parts[index] = _read(file)
        if parts[index] is None:
            # Equal images share one file and one pass.
            missing.setdefault(file or index, []).append(index)
    groups = list(missing.values())
    with progress(description="features", total=len(groups), enabled=show_progress) as bar:
        for start in range(0, len(groups), batch_size):
            batch = groups[start : start + batch_size]
            values = function(tf.constant(images[[group[0] for group in batch]])).numpy()
            for group, value in zip(batch, values, strict=True):
                value = _rounded(value) if settings.kind == "patch" else value
                if files[group[0]] is not None:
                    with replacing(files[group[0]]) as temporary:
                        np.save(temporary, value)
                for index in group:
                    parts[index] = value
            bar.update(len(batch))
    return np.stack(parts)


def _compiled(backbone, settings):
    functions = vars(backbone).setdefault("_functions", {})
    if settings not in functions:
        signature = (tf.TensorSpec((None, *backbone.image_shape), tf.float32),)
        functions[settings] = tf.function(
            lambda images: settings.of_maps(backbone.maps(images), backbone.image_shape),
            input_signature=signature,
        )
    return functions[settings]


def _rounded(values):
    return values.astype(np.float16) if np.abs(values).max() < np.finfo(np.float16).max else values


def _files(backbone, settings, images):
    folder = _cache_folder.get()
    if folder is None:
        return [None] * len(images)
    identity = json.dumps(
        [
            _FORMAT,
            backbone.name,
            backbone.sha256,
            backbone.layers,
            backbone.precision,
            backbone.image_shape,
            settings.identity(),
        ]
    )
    folder = folder / hashlib.sha256(identity.encode()).hexdigest()[:16]
    return [folder / f"{hashlib.sha256(image.tobytes()).hexdigest()[:40]}.npy" for image in images]


def _read(file):
    """The cached features, or None where there are none or the file is damaged."""
    if file is None or not file.is_file():
        return None
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
