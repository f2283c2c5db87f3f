"""Convolutional autoencoders of five architectures."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import layers

from adhelpers._shared.checks import check_choice

from .linear_start import add_straight_code, add_straight_image

ARCHITECTURES = ("mvtec", "baseline", "inception", "resnet", "skip")
# Shortcuts around the code let an anomaly through to the reconstruction, where it is no longer
# seen.
COPYING_ARCHITECTURES = ("resnet", "skip")
LATENTS = ("vector", "map", "components")
_LATENT_DIMS = {"mvtec": 100, "baseline": 64, "inception": 64, "resnet": 64, "skip": 64}
# The side to which mvtec's encoder reduces an image before the latent code, and the halvings that
# take the others there.
_MVTEC_SIDE = 8
_BLOCK_FILTERS = (32, 32, 64, 64, 128, 128)
_RESNET_FILTERS = (32, 64, 64, 128, 128)
_Size = int | tuple[int, int]
# What comes before the last layer, and that layer's kernel and stride.
_Decoded = tuple[keras.KerasTensor, tuple[int, _Size]]


def _start(inputs: float) -> keras.initializers.Initializer:
    """Start weights of a layer with this number of inputs to each output."""
    return keras.initializers.RandomNormal(stddev=float(np.sqrt(2 / inputs)))


class _Layers:
    """Layers with the number format and the width of one network.

    With them the architectures below read like their tables.

    Weights start with the variance that hands the signal on unchanged (He et al., "Delving deep
    into rectifiers", ICCV 2015), transposed convolutions by the inputs that really meet in one
    output. With Keras' own start the signal fades over the many layers, and a training stays at the
    mean image for dozens of epochs, with 1 - SSIM for good.
    """

    def __init__(
        self, width: float, policy: str, straight: keras.KerasTensor | None = None
    ) -> None:
        self._width, self.policy, self._straight = width, policy, straight
        self.code: keras.KerasTensor | None = None

    def filters(self, count: int) -> int:
        """The scaled number of filters."""
        return max(4, round(count * self._width))

    def policy_at(self, hidden: keras.KerasTensor) -> str:
        """The number format at a place of the network.

        On maps of one or two pixels bfloat16 brings no speed, and TensorFlow 2.21's convolutions
        there read what they have not written: every other training began with NaN.
        """
        return "float32" if len(hidden.shape) == 4 and min(hidden.shape[1:3]) <= 2 else self.policy

    def convolution(
        self,
        hidden: keras.KerasTensor,
        filters: int,
        size: _Size,
        stride: _Size = 1,
        padding: str = "same",
    ) -> keras.KerasTensor:
        """A convolution to a scaled number of filters."""
        start = _start(hidden.shape[-1] * np.prod(np.broadcast_to(size, 2)))
        return layers.Conv2D(
            self.filters(filters),
            size,
            stride,
            padding,
            kernel_initializer=start,
            dtype=self.policy_at(hidden),
        )(hidden)

    def transposed(
        self,
        hidden: keras.KerasTensor,
        filters: int,
        size: _Size,
        stride: _Size = 1,
        padding: str = "same",
    ) -> keras.KerasTensor:
        """A transposed convolution to a scaled number of filters."""
        return self.transposed_to(hidden, self.filters(filters), size, stride, padding)

    def transposed_to(
        self,
        hidden: keras.KerasTensor,
        channels: int,
        size: _Size,
        stride: _Size = 1,
        padding: str = "same",
    ) -> keras.KerasTensor:
        """A transposed convolution to the channels of an earlier layer, scaled already."""
        # With "valid" the only input is a code of one place, which meets each output once.
        meeting = (
            1
            if padding == "valid"
            else np.prod(np.broadcast_to(size, 2) / np.broadcast_to(stride, 2))
        )
        return layers.Conv2DTranspose(
            channels,
            size,
            stride,
            padding,
            kernel_initializer=_start(hidden.shape[-1] * meeting),
            dtype=self.policy_at(hidden),
        )(hidden)

    def leaky(self, hidden: keras.KerasTensor, slope: float) -> keras.KerasTensor:
        """Leaky ReLU."""
        return layers.LeakyReLU(negative_slope=slope, dtype=self.policy_at(hidden))(hidden)

    def normalized(self, hidden: keras.KerasTensor) -> keras.KerasTensor:
        """Batch normalisation."""
        # A few hundred images make few steps: Keras' momentum of 0.99 would still hold the
        # statistics of the first ones.
        return layers.BatchNormalization(momentum=0.9, dtype=self.policy_at(hidden))(hidden)

    def pooled(
        self, hidden: keras.KerasTensor, size: int = 2, stride: int = 2
    ) -> keras.KerasTensor:
        """Maximum pooling."""
        return layers.MaxPooling2D(size, stride, "same", dtype=self.policy_at(hidden))(hidden)

    def averaged(self, hidden: keras.KerasTensor) -> keras.KerasTensor:
        """Average pooling to half the side."""
        return layers.AveragePooling2D(2, dtype=self.policy_at(hidden))(hidden)

    def upsampled(self, hidden: keras.KerasTensor) -> keras.KerasTensor:
        """Twice the side."""
        return layers.UpSampling2D(2, dtype=self.policy_at(hidden))(hidden)

    def added(self, *hidden: keras.KerasTensor) -> keras.KerasTensor:
        """Sum of several layers."""
        return layers.Add(dtype=self.policy_at(hidden[0]))(hidden)

    def joined(self, *hidden: keras.KerasTensor) -> keras.KerasTensor:
        """Channels of several layers one after the other."""
        return layers.Concatenate(dtype=self.policy_at(hidden[0]))(hidden)

    def through_code(self, hidden: keras.KerasTensor, latent_dim: int) -> keras.KerasTensor:
        """Flatten, a dense code, and back to the shape before."""
        shape, policy = hidden.shape[1:], self.policy_at(hidden)
        code = layers.Dense(
            latent_dim, kernel_initializer=self.first("glorot_uniform"), dtype=policy, name="code"
        )(layers.Flatten(dtype=policy)(hidden))
        return layers.Reshape(shape, dtype=policy)(
            layers.Dense(int(np.prod(shape)), dtype=policy)(self.completed(code))
        )

    def first(self, start: str) -> str:
        """First weights of a layer that a linear map is added to, if there is one."""
        return start if self._straight is None else "zeros"

    def completed(self, code: keras.KerasTensor) -> keras.KerasTensor:
        """The code, with the linear map of the image added where training begins with one."""
        self.code = code if self._straight is None else add_straight_code(self._straight, code)
        return self.code


def _mvtec(make: _Layers, image: keras.KerasTensor, latent_dim: int, latent: str) -> _Decoded:
    halvings = _mvtec_halvings(image.shape[1:3])
    # Four halvings are the published ones for 128 pixels; each doubling of the image adds one in
    # front.
    steps = [(32, 4, 2)] * (halvings - 2) + [
        (32, 3, 1),
        (64, 4, 2),
        (64, 3, 1),
        (128, 4, 2),
        (64, 3, 1),
        (32, 3, 1),
    ]
    hidden = image
    for filters, size, stride in steps:
        hidden = make.leaky(make.convolution(hidden, filters, size, stride), 0.2)
    size, padding = (_MVTEC_SIDE, "same") if latent == "map" else (hidden.shape[1:3], "valid")
    code = layers.Conv2D(
        latent_dim,
        size,
        1,
        padding,
        kernel_initializer=make.first("he_normal"),
        dtype=make.policy,
        name="code",
    )(hidden)
    code = make.completed(code)
    hidden = make.leaky(make.transposed(code, 32, size, 1, padding), 0.2)
    # Mirrored: a step from a to b filters becomes one from b to a; the last one to the image's
    # channels is made by the caller.
    inputs = [32] + [filters for filters, _, _ in steps[:-1]]
    for filters, (_, size, stride) in list(zip(inputs, steps, strict=True))[:0:-1]:
        hidden = make.leaky(make.transposed(hidden, filters, size, stride), 0.2)
    return hidden, (4, 2)


def _baseline(make: _Layers, image: keras.KerasTensor, latent_dim: int, latent: str) -> _Decoded:
    hidden = image
    for filters in _BLOCK_FILTERS:
        hidden = make.pooled(make.leaky(make.normalized(make.convolution(hidden, filters, 3)), 0.1))
    hidden = make.through_code(hidden, latent_dim)
    for filters in _BLOCK_FILTERS[::-1]:
        hidden = make.leaky(
            make.normalized(make.convolution(make.upsampled(hidden), filters, 3)), 0.1
        )
    return hidden, (3, 1)


def _inception_block(make: _Layers, hidden: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    each = filters // 4
    branches = [make.convolution(hidden, each, size) for size in (1, 3, 5)]
    branches.append(make.convolution(make.pooled(hidden, 3, 1), each, 1))
    return make.leaky(make.normalized(make.joined(*branches)), 0.1)


def _inception(make: _Layers, image: keras.KerasTensor, latent_dim: int, latent: str) -> _Decoded:
    hidden = image
    for filters in _BLOCK_FILTERS:
        hidden = make.pooled(_inception_block(make, hidden, filters))
    hidden = make.through_code(hidden, latent_dim)
    for filters in _BLOCK_FILTERS[::-1]:
        hidden = _inception_block(make, make.upsampled(hidden), filters)
    return hidden, (3, 1)


def _resnet(make: _Layers, image: keras.KerasTensor, latent_dim: int, latent: str) -> _Decoded:
    hidden = make.convolution(image, _RESNET_FILTERS[0], 3)
    shortcuts = []
    for filters in _RESNET_FILTERS:
        shortcuts.append(hidden)
        # Pre-activation (He et al., "Identity mappings in deep residual networks", ECCV 2016):
        # nothing after the addition.
        active = make.leaky(make.normalized(hidden), 0.1)
        inner = make.leaky(make.normalized(make.convolution(active, filters, 3, 2)), 0.1)
        # Averaged first (He et al., "Bag of tricks for image classification", CVPR 2019): a 1x1
        # convolution of stride 2 would throw three of four values away, and with few channels its
        # gradient ends the process in TensorFlow 2.21 on some processors.
        hidden = make.added(
            make.convolution(inner, filters, 3), make.convolution(make.averaged(active), filters, 1)
        )
    hidden = make.through_code(hidden, latent_dim)
    for shortcut in shortcuts[::-1]:
        hidden = make.transposed_to(
            make.leaky(make.normalized(hidden), 0.1), shortcut.shape[-1], 3, 2
        )
        hidden = make.added(hidden, shortcut)
    return make.leaky(make.normalized(hidden), 0.1), (3, 1)


def _skip(make: _Layers, image: keras.KerasTensor, latent_dim: int, latent: str) -> _Decoded:
    hidden, before = image, []
    strides: list[tuple[int, int]] = []
    counts = (32, 64, 128, 128, 256, 256)
    while max(hidden.shape[1:3]) > 1:
        height, width = hidden.shape[1:3]
        strides.append((2 if height > 1 else 1, 2 if width > 1 else 1))
        before.append(hidden)
        filters = counts[min(len(strides), len(counts)) - 1]
        last = max(hidden.shape[1:3]) == 2
        hidden = make.leaky(
            make.normalized(make.convolution(hidden, 256 if last else filters, 4, strides[-1])), 0.1
        )
    hidden = make.through_code(hidden, latent_dim)
    # Two shortcuts: at a quarter of the image's side, and at a sixteenth of it.
    shortcuts = {position for position in (2, 4) if position < len(before)}
    for position in range(len(before) - 1, 0, -1):
        hidden = make.leaky(
            make.normalized(
                make.transposed_to(hidden, before[position].shape[-1], 4, strides[position])
            ),
            0.1,
        )
        if position in shortcuts:
            hidden = make.added(hidden, before[position])
    return hidden, (4, strides[0])


_BUILDERS: dict[str, Callable[[_Layers, keras.KerasTensor, int, str], _Decoded]] = {
    "mvtec": _mvtec,
    "baseline": _baseline,
    "inception": _inception,
    "resnet": _resnet,
    "skip": _skip,
}


def _mvtec_halvings(sides: Sequence[int]) -> int:
    """How often mvtec's encoder halves an image."""
    return max(3, round(np.log2(max(sides) / _MVTEC_SIDE)))


def _check_size(architecture: str, sides: Sequence[int]) -> None:
    """Refuse a height or width that the architecture cannot halve often enough."""
    if architecture == "skip":
        if any(side < 16 or side & (side - 1) for side in sides):
            nearest = " x ".join(str(max(16, 2 ** round(np.log2(side)))) for side in sides)
            raise ValueError(
                "architecture 'skip' halves an image down to one pixel: height and width must be "
                f"powers of two from 16 on, not {sides[0]} x {sides[1]}; the nearest is {nearest}"
            )
        return
    halvings = {"mvtec": _mvtec_halvings(sides), "resnet": len(_RESNET_FILTERS)}
    multiple = 2 ** halvings.get(architecture, len(_BLOCK_FILTERS))
    if any(side % multiple for side in sides):
        nearest = " x ".join(
            str(max(multiple, round(side / multiple) * multiple)) for side in sides
        )
        raise ValueError(
            f"architecture {architecture!r} needs a height and width that are multiples of "
            f"{multiple}, not {sides[0]} x {sides[1]}; the nearest is {nearest}"
        )


def build_autoencoder(
    shape: Sequence[int],
    architecture: str = "mvtec",
    latent_dim: int | None = None,
    latent: str = "vector",
    width: float = 1.0,
    policy: str = "float32",
) -> keras.Model:
    """A convolutional autoencoder: an image to its reconstruction.

    Parameters
    ----------
    shape : tuple of int
        (h, w, c).
    architecture : {"mvtec", "baseline", "inception", "resnet", "skip"}
        ``"mvtec"``: Bergmann et al., "Improving unsupervised defect segmentation by applying
        structural similarity to autoencoders", VISAPP 2019, table 1, leaky ReLU 0.2.
        ``"baseline"``: six blocks of convolution, batch normalisation, leaky ReLU 0.1 and pooling,
        mirrored with upsampling. ``"inception"``: six blocks of parallel 1x1, 3x3, 5x5 and pooled
        1x1 convolutions. ``"resnet"``: pre-activation residual blocks, transposed decoder with
        additive shortcuts. ``"skip"``: stride-2 convolutions to 1x1x256, two additive shortcuts.
        The last two tend to copy defects into the reconstruction.
    latent_dim : int, optional
        Length of the code (channels, for ``latent="map"``); None is 100 for ``"mvtec"`` (1 for a
        map) and 64 for the others.
    latent : {"vector", "map", "components"}
        A code without places; for ``"mvtec"`` a map of 8x8 places; or a code without places that
        linear maps from the image and to the image, not trained, lie beside, where the last layers
        before both start at zero.
    width : float
        Scales the number of filters.
    policy : str
        Keras' dtype policy.

    Returns
    -------
    keras.Model
        (n, h, w, c) -> (n, h, w, c) in [0, 1] (sigmoid); unbounded with
        ``latent="components"``.

    Raises
    ------
    ValueError
        If the architecture or latent is unknown, a map is asked of another architecture, or the
        size does not fit: the nearest that does is named.

    Examples
    --------
    >>> build_autoencoder((128, 128, 1)).get_layer("code").output.shape
    (None, 1, 1, 100)
    """
    check_choice("architecture", architecture, ARCHITECTURES)
    if latent not in LATENTS or (latent == "map" and architecture != "mvtec"):
        raise ValueError(
            "latent must be 'vector' or 'components', or 'map' for the architecture 'mvtec', "
            f"not {latent!r} for {architecture!r}"
        )
    _check_size(architecture, shape[:2])
    latent_dim = latent_dim or (1 if latent == "map" else _LATENT_DIMS[architecture])
    image = keras.Input(shape)
    linear = latent == "components"
    make = _Layers(width, policy, image if linear else None)
    hidden, (size, stride) = _BUILDERS[architecture](make, image, latent_dim, latent)
    # In float32 also where the rest is not: a reconstruction of 8 significant bits would be a
    # residual by itself.
    reconstruction = layers.Conv2DTranspose(
        shape[2],
        size,
        stride,
        "same",
        activation=None if linear else "sigmoid",
        kernel_initializer=make.first("glorot_uniform"),
        dtype="float32",
    )(hidden)
    if linear:
        reconstruction = add_straight_image(make.code, reconstruction)
    return keras.Model(image, reconstruction, name=architecture)
