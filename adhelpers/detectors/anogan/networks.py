"""The networks of a deep convolutional GAN for images whose sides are powers of two, and an encoder back to its noise."""

import keras
from keras import layers

SIDES = (32, 64, 128, 256)
# The coarsest grid's shorter side.
_COARSEST = 8
_FILTERS = 256
_SLOPE = 0.2


def check_sides(shape):
    """Raise a ValueError where an image is not a power of two from 32 to 256 along each side.

    Parameters
    ----------
    shape : tuple of int
        (h, w, c).

    Examples
    --------
    >>> check_sides((64, 100, 3))
    Traceback (most recent call last):
        ...
    ValueError: image_size must be a power of two from 32 to 256 in both directions, not 64 x 100; the nearest is 64 x 128.
    """
    if any(side not in SIDES for side in shape[:2]):
        nearest = [min(SIDES, key=lambda side: abs(side - given)) for given in shape[:2]]
        raise ValueError(
            f"image_size must be a power of two from 32 to 256 in both directions, not {shape[0]} x {shape[1]}; the nearest "
            f"is {nearest[0]} x {nearest[1]}."
        )


def _doublings(shape):
    """How often the coarsest grid doubles on the way to the image: its shorter side begins with 8."""
    return (min(shape[:2]) // _COARSEST).bit_length() - 1


def _scaled(filters, width):
    return max(4, round(filters * width))


def build_dcgan_generator(shape, latent_dim=100, width=1.0, policy="float32"):
    """The generator: noise to an image in [-1, 1].

    Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional
    generative adversarial networks", ICLR 2016. A dense layer gives a coarse grid (8 x 8 for a
    square image) of 256 channels; one transposed convolution keeps it, each further one doubles it
    and halves the channels; 5 x 5 kernels, batch normalisation and ReLU between them, tanh at the
    end.

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


def _normalised(hidden, policy):
    # The published momentum of 0.99 still remembers the first weights after the few hundred steps
    # that small data get.
    return layers.BatchNormalization(momentum=0.9, dtype=policy)(hidden)


def build_dcgan_discriminator(
    shape, width=1.0, dropout=0.3, normalization="batch", policy="float32"
):
    """The discriminator: an image in [-1, 1] to a logit (above 0: real) and the features before it.

    The mirror image of `build_dcgan_generator`: 5 x 5 convolutions of stride 2 down to the coarsest
    grid, leaky ReLU 0.2, dropout; as published, the first one is not normalised.

    Parameters
    ----------
    shape, width, policy
        As in `build_dcgan_generator`.
    dropout : float
        Share of activations that training drops behind each convolution.
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


def _narrowing(shape, width):
    """Filters of the convolutions from the image down to the coarsest grid: 64, 128, 256 at 64 x 64."""
    doublings = _doublings(shape)
    return [_scaled(_FILTERS >> (doublings - 1 - index), width) for index in range(doublings)]


def build_latent_encoder(shape, latent_dim=100, width=1.0, policy="float32"):
    """The encoder: an image in [-1, 1] to the noise from which the generator should make it.

    The discriminator's convolutions without normalisation and dropout: a search has to start from
    the same noise whatever the other images of a batch are, in training too.

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
