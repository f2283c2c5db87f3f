"""The networks of a deep convolutional GAN and of an encoder for images with sides 2 ** n."""

from collections.abc import Sequence

import keras
from keras import layers

SIDES = (32, 64, 128, 256)
# The coarsest grid's shorter side.
_COARSEST = 8
_FILTERS = 256
_SLOPE = 0.2


def check_sides(shape: Sequence[int]) -> None:
    """Raise a ValueError unless both sides of the shape (h, w, c) are powers of two from 32 to 256.

    Examples
    --------
    >>> check_sides((64, 100, 3))
    Traceback (most recent call last):
        ...
    ValueError: image_size must be a power of two from 32 to 256 in both directions, not 64 x 100...
    """
    if any(side not in SIDES for side in shape[:2]):
        nearest = [min(SIDES, key=lambda side: abs(side - given)) for given in shape[:2]]
        raise ValueError(
            "image_size must be a power of two from 32 to 256 in both directions, not "
            f"{shape[0]} x {shape[1]}; the nearest is {nearest[0]} x {nearest[1]}"
        )


def _doublings(shape: Sequence[int]) -> int:
    """How often the coarsest grid, whose shorter side is 8, doubles on the way to the image."""
    return (min(shape[:2]) // _COARSEST).bit_length() - 1


def _scaled(filters: int, width: float) -> int:
    return max(4, round(filters * width))


def build_dcgan_generator(
    shape: Sequence[int], latent_dim: int = 100, width: float = 1.0, policy: str = "float32"
) -> keras.Model:
    """The generator: noise to an image in [-1, 1].

    Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional
    generative adversarial networks", ICLR 2016. A dense layer gives a coarse grid (8 x 8 for a
    square image) of 256 channels. One transposed convolution keeps its size, each further one
    doubles it and halves the channels, with 5 x 5 kernels, batch normalisation and ReLU; tanh at
    the end.

    Parameters
    ----------
    shape : tuple of int
        (h, w, c); h and w are powers of two from 32 to 256.
    latent_dim : int
        Length of the noise vector.
    width : float
        Scales the number of filters.
    policy : str
        Keras' dtype policy.

    Returns
    -------
    keras.Model
        (n, latent_dim) -> (n, h, w, c).

    Raises
    ------
    ValueError
        If a side is no power of two from 32 to 256.

    Examples
    --------
    >>> build_dcgan_generator((64, 64, 3)).count_params()
    4372928
    """
    check_sides(shape)
    doublings, filters = _doublings(shape), _scaled(_FILTERS, width)
    rows, columns = shape[0] >> doublings, shape[1] >> doublings
    noise = keras.Input((latent_dim,))
    # No biases: the normalisation behind each layer has its own.
    hidden = layers.Dense(rows * columns * filters, use_bias=False, dtype=policy)(noise)
    hidden = layers.ReLU(dtype=policy)(_normalised(hidden, policy))
    hidden = layers.Reshape((rows, columns, filters), dtype=policy)(hidden)
    for doubling in range(doublings):
        hidden = layers.Conv2DTranspose(
            _scaled(_FILTERS >> doubling, width),
            5,
            1 if doubling == 0 else 2,
            "same",
            use_bias=False,
            dtype=policy,
        )(hidden)
        hidden = layers.ReLU(dtype=policy)(_normalised(hidden, policy))
    image = layers.Conv2DTranspose(shape[2], 5, 2, "same", use_bias=False, dtype=policy)(hidden)
    return keras.Model(noise, layers.Activation("tanh", dtype="float32")(image), name="generator")


def _normalised(hidden: keras.KerasTensor, policy: str) -> keras.KerasTensor:
    # With the published momentum of 0.99 the statistics of the first weights would still count
    # after the few hundred steps of a training on small data.
    return layers.BatchNormalization(momentum=0.9, dtype=policy)(hidden)


def build_dcgan_discriminator(
    shape: Sequence[int],
    width: float = 1.0,
    dropout: float = 0.3,
    normalization: str = "batch",
    policy: str = "float32",
) -> keras.Model:
    """The discriminator: an image in [-1, 1] to a logit (above 0: real) and the features before it.

    The mirror image of `build_dcgan_generator`: 5 x 5 convolutions of stride 2 down to the coarsest
    grid, leaky ReLU 0.2, dropout; as published, the first one is not normalised.

    Parameters
    ----------
    shape, width, policy
        As in `build_dcgan_generator`.
    dropout : float
        Share of activations that training drops after each convolution.
    normalization : {"batch", "none"}

    Returns
    -------
    keras.Model
        (n, h, w, c) -> (n, 1) and (n, rows, columns, filters), both float32.

    Examples
    --------
    >>> discriminator = build_dcgan_discriminator((64, 64, 3))
    >>> discriminator.count_params(), discriminator.output_shape[1]
    (1047169, (None, 8, 8, 256))
    """
    check_sides(shape)
    image = hidden = keras.Input(shape)
    for index, filters in enumerate(_narrowing(shape, width)):
        hidden = layers.Conv2D(filters, 5, 2, "same", dtype=policy)(hidden)
        if index and normalization == "batch":
            hidden = _normalised(hidden, policy)
        hidden = layers.LeakyReLU(_SLOPE, dtype=policy)(hidden)
        features = hidden
        hidden = layers.Dropout(dropout, dtype=policy)(hidden)
    logit = layers.Dense(1, dtype="float32")(layers.Flatten(dtype=policy)(hidden))
    return keras.Model(
        image, (logit, layers.Activation("linear", dtype="float32")(features)), name="discriminator"
    )


def _narrowing(shape: Sequence[int], width: float) -> list[int]:
    """Filters of the convolutions down to the coarsest grid: 64, 128, 256 for 64 x 64 pixels."""
    doublings = _doublings(shape)
    return [_scaled(_FILTERS >> (doublings - 1 - index), width) for index in range(doublings)]


def build_latent_encoder(
    shape: Sequence[int], latent_dim: int = 100, width: float = 1.0, policy: str = "float32"
) -> keras.Model:
    """The encoder: an image in [-1, 1] to the noise from which the generator should make it.

    The discriminator's convolutions without normalisation and dropout, so that the noise of an
    image never depends on the other images of a batch.

    Parameters
    ----------
    shape, latent_dim, width, policy
        As in `build_dcgan_generator`.

    Returns
    -------
    keras.Model
        (n, h, w, c) -> (n, latent_dim).

    Examples
    --------
    >>> build_latent_encoder((32, 32, 1), latent_dim=20, width=0.25).output_shape
    (None, 20)
    """
    check_sides(shape)
    image = hidden = keras.Input(shape)
    for filters in _narrowing(shape, width):
        hidden = layers.Conv2D(filters, 5, 2, "same", dtype=policy)(hidden)
        hidden = layers.LeakyReLU(_SLOPE, dtype=policy)(hidden)
    return keras.Model(
        image,
        layers.Dense(latent_dim, dtype="float32")(layers.Flatten(dtype=policy)(hidden)),
        name="encoder",
    )
