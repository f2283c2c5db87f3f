"""Layers that let the training of an autoencoder begin as a linear subspace."""

import keras
import numpy as np
from keras import layers
from sklearn.decomposition import PCA

from adhelpers._shared.arrays import Floats, Images

_LAYER = "straight"


def add_straight_code(image: keras.KerasTensor, code: keras.KerasTensor) -> keras.KerasTensor:
    """Add a linear map of the image to a code.

    Parameters
    ----------
    image : tensor, shape (n, h, w, c)
    code : tensor, shape (n, ...)
        What the layers between make of the image. The last of them should start at zero.

    Returns
    -------
    tensor of float32, shape as ``code``

    Examples
    --------
    >>> image = keras.Input((4, 4, 1))
    >>> hidden = layers.Dense(3)(layers.Flatten()(image))
    >>> add_straight_code(image, hidden).shape
    (None, 3)
    """
    shape = tuple(code.shape[1:])
    straight = layers.Dense(
        int(np.prod(shape)), trainable=False, use_bias=False, dtype="float32", name=f"{_LAYER}_code"
    )(layers.Flatten(dtype="float32")(image))
    return layers.Add(dtype="float32")([code, layers.Reshape(shape, dtype="float32")(straight)])


def add_straight_image(code: keras.KerasTensor, image: keras.KerasTensor) -> keras.KerasTensor:
    """Add a linear map of the code to what the layers between make of it; as above.

    Parameters
    ----------
    code : tensor, shape (n, ...)
    image : tensor, shape (n, h, w, c)

    Returns
    -------
    tensor of float32, shape (n, h, w, c)
    """
    shape = tuple(image.shape[1:])
    straight = layers.Dense(
        int(np.prod(shape)), trainable=False, dtype="float32", name=f"{_LAYER}_image"
    )(layers.Flatten(dtype="float32")(code))
    return layers.Add(dtype="float32")([image, layers.Reshape(shape, dtype="float32")(straight)])


def begin_as_subspace(
    encoder: keras.Model, decoder: keras.Model, train_images: Images, *, noise_weight: float = 0.0
) -> Floats:
    """Set the straight layers so that the code holds the principal components' coordinates.

    They are not trained: a step of Adam moves each of their many weights by the learning rate, and
    so would undo the start at once.

    Parameters
    ----------
    encoder, decoder : keras.Model
        With the layers of `add_straight_code` and `add_straight_image`; the same model twice where
        one holds both.
    train_images : ndarray of float32, shape (n, h, w, c)
        As the encoder sees them.
    noise_weight : float
        Half the weight of the KL divergence beside a summed squared error. With it the coordinates
        are those of a linear variational autoencoder at its optimum (Lucas et al., "Don't blame the
        ELBO!", NeurIPS 2019).

    Returns
    -------
    ndarray of float32, shape (d,)
        The variance of the code's noise at that optimum; 1 where no component is left.
    """
    inwards, outwards = (
        encoder.get_layer(f"{_LAYER}_code"),
        decoder.get_layer(f"{_LAYER}_image"),
    )
    flat = train_images.reshape(len(train_images), -1)
    length = inwards.kernel.shape[1]
    count = min(length, len(flat) - 1)
    pca = PCA(count, svd_solver="full").fit(flat)
    # A component without any variance has no coordinate of variance 1.
    variances = np.maximum(pca.explained_variance_, 1e-9)
    deviations = np.sqrt(variances)[:, None]
    kept = (variances / (variances + noise_weight))[:, None]
    to_code = np.zeros((flat.shape[1], length), np.float32)
    to_code[:, :count] = (kept * pca.components_ / deviations).T
    to_image = np.zeros((length, flat.shape[1]), np.float32)
    to_image[:count] = pca.components_ * deviations
    inwards.set_weights([to_code])
    outwards.set_weights([to_image, pca.mean_ - (pca.mean_ @ to_code) @ to_image])
    noise = np.ones(length, np.float32)
    noise[:count] = noise_weight / (variances + noise_weight) if noise_weight else 1.0
    return noise
