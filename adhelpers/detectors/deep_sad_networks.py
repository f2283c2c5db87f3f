"""The networks of Deep SAD: encoders without biases, and the decoders that pretrain them."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from adhelpers._shared.checks import check_choice

NETWORKS = ("auto", "lenet_small", "lenet", "lenet_large", "mlp", "conv")
_SLOPE = 0.01
# As published: side, filters of the convolutions, units of the dense layer before the code (0 for
# none), length of the code.
_LENETS = {
    "lenet_small": (28, (8, 4), 0, 32),
    "lenet": (28, (16, 32), 128, 64),
    "lenet_large": (32, (32, 64, 128), 0, 128),
}
# Side of the grid with which the published decoders begin.
_DECODER_SIDE = 4
_CONV_FILTERS, _CONV_SIDE, _CONV_LATENT = (16, 32, 64, 128), 4, 64
# Vectors of at least this length take the larger of the two published forms.
_LONG_VECTOR = 64


class BatchNormalization(layers.BatchNormalization):
    """Keras' batch normalisation without offset and scale, on images in one pass of TensorFlow.

    Keras' own goes over a batch of images so often that it takes half the time of a training step.
    It has Keras' name, under which the weights of stored networks are found.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"center": False, "scale": False})

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Normalised inputs; in training also the new moving averages."""
        if not (training and self.trainable) or len(inputs.shape) != 4:
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        normalized, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, tf.ones(channels), tf.zeros(channels), epsilon=self.epsilon
        )
        # The kernel divides the squares by one less than their number, Keras by their number.
        count = tf.cast(tf.size(inputs) // channels, variance.dtype)
        for moving, value in (
            (self.moving_mean, mean),
            (self.moving_variance, variance * (count - 1) / count),
        ):
            moving.assign(self.momentum * moving + (1 - self.momentum) * value)
        return normalized


def _normalized(hidden: keras.KerasTensor) -> keras.KerasTensor:
    """Batch normalisation without offset and scale: an offset would be a bias.

    With biases a network could map everything to the centre.
    """
    return BatchNormalization(epsilon=1e-4, momentum=0.9)(hidden)


def _active(hidden: keras.KerasTensor) -> keras.KerasTensor:
    return layers.LeakyReLU(_SLOPE)(_normalized(hidden))


def _convolution(
    hidden: keras.KerasTensor, filters: int, size: int = 5, activation: str | None = None
) -> keras.KerasTensor:
    return layers.Conv2D(
        filters,
        size,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        activation=activation,
    )(hidden)


def _dense(hidden: keras.KerasTensor, units: int, **options: str | None) -> keras.KerasTensor:
    return layers.Dense(units, use_bias=False, kernel_initializer="he_normal", **options)(hidden)


def _upsampled(hidden: keras.KerasTensor, sides: Sequence[int]) -> keras.KerasTensor:
    """Twice as large along each axis that the encoder has halved, cut to the size it had there."""
    before = hidden.shape[1:3]
    factors = [1 if small == large else 2 for small, large in zip(before, sides, strict=True)]
    hidden = layers.UpSampling2D(factors)(hidden)
    excess = [large - wanted for large, wanted in zip(hidden.shape[1:3], sides, strict=True)]
    if not any(excess):
        return hidden
    return layers.Cropping2D([(one // 2, one - one // 2) for one in excess])(hidden)


def _lenet(
    shape: tuple[int, ...], name: str, latent_dim: int | None
) -> tuple[keras.Model, keras.Model]:
    side, filters, units, published = _LENETS[name]
    if len(shape) != 3 or tuple(shape[:2]) != (side, side):
        raise ValueError(
            f"network {name!r} is for images of {side} x {side} pixels, not for the shape "
            f"{tuple(shape)}: load them in that size, or use the network "
            f"{'conv' if len(shape) == 3 else 'mlp'!r}"
        )
    latent_dim = latent_dim or published
    if not units and latent_dim % _DECODER_SIDE**2:
        raise ValueError(
            f"latent_dim of network {name!r} must be a multiple of {_DECODER_SIDE**2}, not "
            f"{latent_dim}"
        )
    inputs = hidden = keras.Input(shape)
    for count in filters:
        hidden = layers.MaxPooling2D()(_active(_convolution(hidden, count)))
    hidden = layers.Flatten()(hidden)
    if units:
        hidden = _active(_dense(hidden, units))
    encoder = keras.Model(inputs, _dense(hidden, latent_dim, name="code"), name=f"{name}_encoder")

    code = hidden = keras.Input((latent_dim,))
    if units:
        hidden = _normalized(_dense(hidden, units))
    hidden = layers.Reshape((_DECODER_SIDE, _DECODER_SIDE, -1))(hidden)
    hidden = _lenet_rebuilt(layers.LeakyReLU(_SLOPE)(hidden), side, filters[::-1])
    image = _convolution(hidden, shape[2], activation="sigmoid")
    return encoder, keras.Model(code, image, name=f"{name}_decoder")


def _lenet_rebuilt(
    hidden: keras.KerasTensor, side: int, filters: Sequence[int]
) -> keras.KerasTensor:
    """The decoder's convolutions from its first grid to the size of the image, as published."""
    sides: tuple[int, ...] = (8, 16, 32)
    if side == 28:
        # 4 -> 8 -> 14 -> 28: the first convolution at 8 pixels, the second at 16 cut to 14.
        hidden, sides = _upsampled(hidden, (8, 8)), (14, 28)
    for count, size in zip(filters, sides, strict=True):
        hidden = _upsampled(_active(_convolution(hidden, count)), (size, size))
    return hidden


def _mlp(
    shape: tuple[int, ...], name: str, latent_dim: int | None
) -> tuple[keras.Model, keras.Model]:
    length = math.prod(shape)
    hidden_units, published = ((128, 64), 32) if length >= _LONG_VECTOR else ((32, 16), 8)
    latent_dim = latent_dim or published
    inputs = keras.Input(shape)
    hidden = layers.Flatten()(inputs)
    for units in hidden_units:
        hidden = _active(_dense(hidden, units))
    encoder = keras.Model(inputs, _dense(hidden, latent_dim, name="code"), name="mlp_encoder")
    code = hidden = keras.Input((latent_dim,))
    for units in hidden_units[::-1]:
        hidden = _active(_dense(hidden, units))
    output = layers.Reshape(shape)(
        _dense(hidden, length, activation="sigmoid" if len(shape) == 3 else None)
    )
    return encoder, keras.Model(code, output, name="mlp_decoder")


def _conv(
    shape: tuple[int, ...], name: str, latent_dim: int | None
) -> tuple[keras.Model, keras.Model]:
    if len(shape) != 3:
        raise ValueError(
            f"network 'conv' is for images, not for vectors of {shape[0]} values: use the network "
            "'mlp'"
        )
    latent_dim = latent_dim or _CONV_LATENT
    inputs = hidden = keras.Input(shape)
    sizes: list[tuple[int, int]] = []
    counts: list[int] = []
    while max(hidden.shape[1:3]) > _CONV_SIDE:
        counts.append(_CONV_FILTERS[min(len(counts), len(_CONV_FILTERS) - 1)])
        sizes.append(hidden.shape[1:3])
        pool = tuple(2 if side > _CONV_SIDE else 1 for side in hidden.shape[1:3])
        hidden = layers.MaxPooling2D(pool, padding="same")(
            _active(_convolution(hidden, counts[-1], 3))
        )
    last = hidden.shape[1:]
    encoder = keras.Model(
        inputs, _dense(layers.Flatten()(hidden), latent_dim, name="code"), name="conv_encoder"
    )
    code = keras.Input((latent_dim,))
    hidden = layers.Reshape(last)(_active(_dense(code, math.prod(last))))
    for count, sides in zip(counts[::-1], sizes[::-1], strict=True):
        hidden = _active(_convolution(_upsampled(hidden, sides), count, 3))
    return encoder, keras.Model(
        code, _convolution(hidden, shape[2], 3, activation="sigmoid"), name="conv_decoder"
    )


def build_deep_sad_networks(
    shape: Sequence[int], network: str = "auto", latent_dim: int | None = None
) -> tuple[keras.Model, keras.Model]:
    """An encoder without biases and the decoder that mirrors it.

    Without biases, and with batch normalisation without offset and scale, no network can map every
    input to the centre (Ruff et al., "Deep one-class classification", ICML 2018). Leaky ReLU 0.01.

    Parameters
    ----------
    shape : tuple of int
        (h, w, c), or (d,) for vectors.
    network : {"auto", "lenet_small", "lenet", "lenet_large", "mlp", "conv"}
        - ``"lenet_small"``: published for MNIST, 28 x 28. Convolutions 5 x 5 with 8 and 4 filters,
          each pooled, and a dense code of 32.
        - ``"lenet"``: published for Fashion-MNIST, 28 x 28. 16 and 32 filters, dense 128, code of
          64.
        - ``"lenet_large"``: published for CIFAR-10, 32 x 32. 32, 64 and 128 filters, code of 128.
        - ``"mlp"``: dense 128 and 64 with a code of 32; for vectors shorter than 64, dense 32 and
          16 with a code of 8.
        - ``"conv"``: any image size. Convolutions 3 x 3, each pooled, down to a side of 4, code of
          64.
        - ``"auto"``: ``"lenet_small"`` for 28 x 28, ``"lenet_large"`` for 32 x 32, ``"conv"`` for
          other images, ``"mlp"`` for vectors.
    latent_dim : int, optional
        Length of the code, if not that of the network.

    Returns
    -------
    encoder, decoder : keras.Model
        (n, h, w, c) or (n, d) -> (n, latent_dim) and back; images in [0, 1] (sigmoid), vectors
        without bounds.

    Raises
    ------
    ValueError
        If the network is unknown or does not fit the shape.

    Examples
    --------
    >>> encoder, decoder = build_deep_sad_networks((28, 28, 1))
    >>> encoder.output_shape, decoder.output_shape, encoder.count_params() - 2 * (8 + 4)
    ((None, 32), (None, 28, 28, 1), 7272)
    """
    check_choice("network", network, NETWORKS)
    if network == "auto":
        by_size: dict[tuple[int, ...], str] = {(28, 28): "lenet_small", (32, 32): "lenet_large"}
        network = "mlp" if len(shape) == 1 else by_size.get(tuple(shape[:2]), "conv")
    builder = {"mlp": _mlp, "conv": _conv}.get(network, _lenet)
    return builder(tuple(shape), network, latent_dim)
