"""The part of the gradient explainers that needs TensorFlow: what is recorded and weighed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import keras
import tensorflow as tf

from adhelpers._shared.batches import Batched

# Images in one pass where no other number is given; 64 is many times faster than one by one.
_AT_ONCE = 64
_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Conv2DTranspose,
)


def _flattened(network: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _flattened(layer)
        else:
            yield layer


def convolutions(network: keras.Model) -> list[str]:
    """Names of a network's convolutions in order."""
    return [layer.name for layer in _flattened(network) if isinstance(layer, _CONVOLUTIONS)]


def find_layer(network: keras.Model, name: str | None) -> keras.layers.Layer:
    """The layer of that name, or the last convolution for None."""
    candidates = convolutions(network)
    if name is None:
        if not candidates:
            raise ValueError(
                f"this classifier ({network.name}) has no convolution, so GradCAM has no places to "
                "show: name a layer whose output is (n, rows, columns, channels), or take the "
                "method 'gradient x input'"
            )
        name = candidates[-1]
    found = [layer for layer in _flattened(network) if layer.name == name]
    if not found:
        near = get_close_matches(str(name), candidates, n=1, cutoff=0.5)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(
            f"layer: this classifier has no layer {name!r}{meant} Its convolutions are "
            f"{', '.join(candidates) or 'none'}"
        )
    return found[-1]


def class_count(network: keras.Model) -> int:
    """Number of classes; a single output stands for two."""
    shape = getattr(network, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] is None:
        raise ValueError(f"a classifier has one output for each class, (n, classes), not {shape}")
    return max(shape[1], 2)


def class_maps_of(
    network: keras.Model, layer: keras.layers.Layer | None, method: str, positive: bool
) -> Batched:
    """Maps (n, h, w) of images and int32 classes (-1: the predicted one), kept with the network."""
    functions = vars(network).setdefault("_class_map_functions", {})
    key = (None if layer is None else id(layer), method, positive)
    if key not in functions:

        def maps(images, classes):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                activations, values = _activations_and_values(network, layer, tape, images)
                chosen = tf.where(
                    classes < 0, tf.argmax(values, axis=1, output_type=tf.int32), classes
                )
                total = tf.reduce_sum(tf.gather(values, chosen, axis=1, batch_dims=1))
            gradients = tf.cast(tape.gradient(total, activations), tf.float32)
            activations = tf.cast(activations, tf.float32)
            return _weighed(activations, gradients, method, None, images.shape[1:], positive)

        functions[key] = Batched(maps, _AT_ONCE)
    return functions[key]


def _activations_and_values(
    network: keras.Model,
    layer: keras.layers.Layer | None,
    tape: tf.GradientTape,
    images: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """What ``layer`` puts out (for None the images), watched, and the values of the classes."""
    if layer is None:
        tape.watch(images)
        return images, _values(network, tape, images, [])
    found: list[tf.Tensor] = []
    values = _values(network, tape, images, [(layer, found)])
    if not found or len(found[-1].shape) != 4:
        raise ValueError(
            f"layer: the output of {layer.name!r} keeps no places; the convolutions are "
            f"{', '.join(convolutions(network))}"
        )
    return found[-1], values


def _values(network, tape, images, recorded):
    """The classes' values before a last softmax or sigmoid; ``recorded`` as in `_listening`."""
    last, inputs = list(_flattened(network))[-1], []
    # Where the last layer is an activation alone its input is what is looked for; a dense layer is
    # computed again without its own.
    bare = isinstance(last, (keras.layers.Softmax, keras.layers.Activation))
    squashes = isinstance(last, keras.layers.Dense) and last.activation in (
        keras.activations.softmax,
        keras.activations.sigmoid,
    )
    with _listening(tape, recorded), _listening(None, [(last, inputs)], of_inputs=True):
        values = network(images, training=False)
    if bare:
        values = inputs[-1]
    elif squashes:
        values = tf.matmul(inputs[-1], tf.cast(last.kernel, inputs[-1].dtype))
        if last.use_bias:
            values += tf.cast(last.bias, values.dtype)
    values = tf.cast(values, tf.float32)
    # One value for two classes is that of the second, and its negative that of the first.
    return tf.concat([-values, values], axis=1) if values.shape[1] == 1 else values


@contextmanager
def _listening(tape, recorded, of_inputs=False):
    """Append what the layers put out (or take in) within the block to their lists, and watch it."""
    for layer, kept in recorded:

        def call(inputs, *args, _plain=layer.call, _kept=kept, **options):
            outputs = _plain(inputs, *args, **options)
            if tape is not None:
                tape.watch(outputs)
            _kept.append(inputs if of_inputs else outputs)
            return outputs

        vars(layer)["call"] = call
    try:
        yield
    finally:
        for layer, _ in recorded:
            vars(layer).pop("call", None)


# A compiled function holds on to its detector: only the latest ones are kept.
@lru_cache(maxsize=3)
def score_maps_of(forward: Callable[..., Any], method: str, reference: str) -> Batched:
    """Maps (n, h, w) and scores (n,) of images and counterparts (n, h, w, c)."""

    def explain(images, counterparts):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            activations, scores = forward(images)
            if len(scores.shape) != 1 or len(activations.shape) != 4:
                raise ValueError(
                    "forward must return activations of the shape (n, rows, columns, channels) and "
                    f"scores of the shape (n,), not {tuple(activations.shape)} and "
                    f"{tuple(scores.shape)}"
                )
            total = tf.reduce_sum(scores)
        pixels = method == "gradient x input"
        source = images if pixels else activations
        gradients = tape.gradient(total, source, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        normal = (
            None if reference == "zero" else counterparts if pixels else forward(counterparts)[0]
        )
        maps = _weighed(source, gradients, method, normal, images.shape[1:], positive=False)
        return maps, scores

    return Batched(explain, _AT_ONCE)


def _weighed(activations, gradients, method, normal, shape, positive):
    """Maps (n, h, w) from activations, less those of ``normal``, and their gradients."""
    shown = activations if normal is None else activations - normal
    if method == "gradcam":
        weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    elif method == "gradcam++":
        squares = gradients**2
        denominators = (
            2 * squares + tf.reduce_sum(activations, axis=(1, 2), keepdims=True) * gradients**3
        )
        shares = tf.math.divide_no_nan(squares, denominators)
        weights = tf.reduce_sum(shares * tf.nn.relu(gradients), axis=(1, 2), keepdims=True)
    else:
        weights = gradients
    maps = tf.reduce_sum(weights * shown, axis=3, keepdims=True)
    maps = tf.nn.relu(maps) if positive else maps
    return tf.image.resize(maps, shape[:2])[..., 0]
