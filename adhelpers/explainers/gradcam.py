"""GradCAM, GradCAM++ and gradient × input: a network's own gradients of a class or a score."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Maps, ScoreFunction
from adhelpers._shared.checks import check_choice

from .explanation import BatchedScore, Explanation, check_pair, versioned

if TYPE_CHECKING:  # TensorFlow takes seconds to import, and the other explainers need none
    import keras
    import tensorflow as tf

METHODS = ("gradcam", "gradcam++", "gradient x input")
REFERENCES = ("counterpart", "zero")
# The score that an explainer is given and that of ``forward`` may differ by the rounding of number
# formats, not by more.
_SAME_SCORE = 1e-2


def class_maps(
    network: keras.Model,
    images: ArrayLike,
    *,
    method: str = "gradcam",
    layer: str | None = None,
    classes: ArrayLike | None = None,
    positive: bool = True,
    normalize: bool = True,
    batch_size: int = 64,
) -> Maps:
    """Where a classifier sees a class in each image.

    Parameters
    ----------
    network : keras.Model
        Images (n, h, w, c) to one output for each class, or to a single one for two classes. A
        softmax or sigmoid at its end is left out: the gradient is that of the class's own value
        before it, as published. Layers may be nested in models.
    images : ndarray of float32, shape (n, h, w, c)
        As the network takes them.
    method : {"gradcam", "gradcam++", "gradient x input"}
        GradCAM [1]_: the layer's channels weighted by their mean gradient. GradCAM++ [2]_: positive
        gradients, each weighted by how much it counts; the paper's common factor exp(value) is left
        out. Gradient × input: of the image itself.
    layer : str, optional
        Name of the layer whose channels are weighted; by default the last convolution. Not used by
        gradient × input.
    classes : int or array-like of int, shape (n,), optional
        The class that is explained; by default the one that the network predicts for each image.
    positive : bool
        Whether values below 0, which count against the class, become 0 (as published); before
        upsampling.
    normalize : bool
        Whether each map is divided by its largest magnitude; a map that is 0 throughout stays so.
    batch_size : int
        Images in one pass; 64 is many times faster than one by one.

    Returns
    -------
    ndarray of float32, shape (n, h, w)
        In [0, 1] where ``positive`` and ``normalize`` are set. Maps of a layer are linearly
        upsampled to the image.

    Raises
    ------
    ValueError
        If the images' shape is wrong, the layer does not exist (the candidates are listed) or keeps
        no places, the network has no convolution, its output is not one row an image, or a class is
        out of range.

    References
    ----------
    .. [1] R. R. Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via
       gradient-based localization", ICCV 2017.
    .. [2] A. Chattopadhay et al., "Grad-CAM++: Generalized gradient-based visual explanations for
       deep convolutional networks", WACV 2018.

    Examples
    --------
    >>> import keras
    >>> network = keras.Sequential([
    ...     keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, padding="same", name="shapes"),
    ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)])
    >>> class_maps(network, np.ones((2, 8, 8, 1), np.float32), layer="shapes", classes=1).shape
    (2, 8, 8)
    """
    from . import _gradients

    check_choice("method", method, METHODS)
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.ndim != 4 or not len(images):
        raise ValueError(
            "images must have the shape (n, height, width, channels) with n >= 1, not "
            f"{images.shape}"
        )
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size must be an integer of at least 1, not {batch_size!r}")
    target = None if method == "gradient x input" else _gradients.find_layer(network, layer)
    count = _gradients.class_count(network)
    wanted = (
        np.full(len(images), -1)
        if classes is None
        else np.broadcast_to(np.asarray(classes), len(images))
    )
    if classes is not None and (
        not np.issubdtype(wanted.dtype, np.integer) or wanted.min() < 0 or wanted.max() >= count
    ):
        raise ValueError(
            f"classes must be whole numbers from 0 to {count - 1}, one or one for each image, not "
            f"{classes!r}"
        )
    function = _gradients.class_maps_of(network, target, method, positive)
    maps = function(images, wanted.astype(np.int32), size=batch_size)
    return _normalized(maps) if normalize else maps


# Raise the version when equal arguments give another explanation.
@versioned(1)
def explain_with_gradcam(
    score: ScoreFunction,
    image: ArrayLike,
    counterpart: ArrayLike,
    *,
    forward: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    method: str = "gradcam",
    reference: str = "counterpart",
    seed: int = 0,
) -> Explanation:
    """Explain the score of one image by the gradients of the network that it comes from.

    Parameters
    ----------
    score : callable
        ``score(images) -> (n,)``; used only to check that ``forward`` returns this score.
    image : ndarray, shape (h, w, c)
        In [0, 1], c = 1 or 3.
    counterpart : ndarray, shape (h, w, c)
        What a normal version of the image looks like to the detector.
    forward : callable
        ``forward(images) -> (activations, scores)`` for a float32 tensor (n, h, w, c), written in
        TensorFlow: the output of a layer (n, rows, columns, channels), and from it the scores (n,).
    method : {"gradcam", "gradcam++", "gradient x input"}
        As in `class_maps`.
    reference : {"counterpart", "zero"}
        What the activations (or, for gradient × input, the pixels) are compared with: ``"zero"``
        weighs them as they are, as published; ``"counterpart"`` weighs their difference from those
        of the counterpart, so that what a normal image has as well does not count. The weights
        themselves are the published ones.
    seed : int
        Not used; all explainers share one signature.

    Returns
    -------
    Explanation
        Heatmap: signed, linearly upsampled to the image; its positive part for ``reference="zero"``
        is GradCAM as published. Details: ``score``, ``method`` and ``reference``.

    Raises
    ------
    ValueError
        For an argument out of range, or where ``forward`` returns something else or another score.

    Examples
    --------
    >>> import tensorflow as tf
    >>> def forward(images):
    ...     activations = tf.nn.avg_pool2d(images, 2, 2, "VALID")
    ...     return activations, tf.reduce_sum(activations, axis=(1, 2, 3))
    >>> def score(images):
    ...     return forward(images)[1].numpy()
    >>> image = np.zeros((4, 4, 1), np.float32); image[:2, :2] = 1
    >>> explanation = explain_with_gradcam(score, image, 0 * image, forward=forward)
    >>> bool(explanation.heatmap[0, 0] == explanation.heatmap.max()), explanation.details["score"]
    (True, 1.0)
    """
    from . import _gradients

    check_choice("method", method, METHODS)
    check_choice("reference", reference, REFERENCES)
    image, counterpart = check_pair(image, counterpart)
    function = _gradients.score_maps_of(forward, method, reference)
    heatmaps, values = function(image[None], counterpart[None])
    value, given = float(values[0]), float(BatchedScore(score, 1)(image[None])[0])
    if abs(value - given) > _SAME_SCORE * max(abs(value), abs(given)) + 1e-6:
        raise ValueError(
            f"forward must return the score that is explained: {given:g} for this image, not "
            f"{value:g}"
        )
    return Explanation(heatmaps[0], {"score": value, "method": method, "reference": reference})


def _normalized(maps: Maps) -> Maps:
    largest = np.abs(maps).max(axis=(1, 2), keepdims=True)
    return np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)
