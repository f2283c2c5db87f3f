"""GradCAM maps of many images at once against one by one, in one run.

Run with ``python -m pytest tests/benchmarks/test_gradcam_speed.py -s``.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors.classifier import build_classifier
from adhelpers.explainers import class_maps


def usual_gradcam(network, middle, images):
    """One image after the other with an open tape, as GradCAM is usually written."""
    maps = []
    for image in images:
        with tf.GradientTape() as tape:
            activations, values = middle(image[None], training=False)
            value = values[0, tf.argmax(values[0])]
        weights = tf.reduce_mean(tape.gradient(value, activations), axis=(1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1, keepdims=True))
        heat = tf.image.resize(heat, image.shape[:2])[0, ..., 0].numpy()
        maps.append(heat / heat.max() if heat.max() > 0 else heat)
    return np.stack(maps)


@pytest.mark.parametrize("filters", [(4, 8, 16), (12, 24, 48)])
def test_a_thousand_images_at_once_and_one_by_one(best_time, goal, filters):
    keras.utils.set_random_seed(0)
    network = build_classifier((64, 64, 3), 3, filters=filters)
    network.layers[-1].activation = keras.activations.linear
    last = network.get_layer("last_convolution").output
    middle = keras.Model(network.inputs[0], [last, network.output])
    images = np.random.default_rng(0).uniform(size=(1000, 64, 64, 3)).astype(np.float32)
    class_maps(network, images[:1])  # compilation is paid once a process

    together, maps = best_time(lambda: class_maps(network, images), 2)
    alone, single = best_time(
        lambda: np.concatenate([class_maps(network, image[None]) for image in images]), 1
    )
    usual, slow = best_time(lambda: usual_gradcam(network, middle, images), 1)
    print(
        f"\nfilters {filters}, 1000 images at 64x64: batched {together:.2f} s; one by one compiled "
        f"{alone:.2f} s, {alone / together:.1f} times "
        f"as long; one by one as usually written {usual:.2f} s, {usual / together:.1f} times"
    )
    np.testing.assert_allclose(maps, single, atol=1e-4)
    np.testing.assert_allclose(maps, slow, atol=1e-3)
    goal("GradCAM of 1000 images", "an eager loop", usual / together, at_least=5)
    assert usual > 5 * together and alone > together
