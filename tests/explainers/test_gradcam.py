"""Gradient maps against linear networks, whose maps are known, and against slow versions."""

import gc
import weakref
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors import BackboneSettings
from adhelpers.detectors.features.backbones import Backbone
from adhelpers.explainers import class_maps, explain_images, explain_with_gradcam
from adhelpers.explainers._gradients import convolutions

METHODS = ["gradcam", "gradcam++", "gradient x input"]


def images(count=3, shape=(12, 8, 1), seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype(np.float32)


def linear_head(shape=(12, 8, 1), classes=3, activation="softmax", stride=1, seed=0):
    """A convolution whose channels are averaged over all places and weighted: its map is known."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(5, 3, stride, padding="same", activation="relu", name="shapes"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes, activation=activation),
        ]
    )


def deep(shape=(12, 8, 1), classes=3, seed=1):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="second"),
            keras.layers.Flatten(),
            keras.layers.Dense(7, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


def outputs_of(network, name, pictures):
    return (
        keras.Model(network.inputs[0], network.get_layer(name).output)(pictures)
        .numpy()
        .astype(np.float64)
    )


@pytest.mark.parametrize("asked", [None, 0, 2])
def test_the_map_of_a_linear_head_is_its_weighted_activation(asked):
    network, pictures = linear_head(), images()
    activations = outputs_of(network, "shapes", pictures)
    kernel = network.layers[-1].kernel.numpy().astype(np.float64)
    classes = network(pictures).numpy().argmax(axis=1) if asked is None else np.full(3, asked)
    expected = np.maximum(np.einsum("nhwk,kn->nhw", activations, kernel[:, classes]) / (12 * 8), 0)
    np.testing.assert_allclose(
        class_maps(network, pictures, classes=asked, normalize=False), expected, rtol=0, atol=1e-6
    )
    # A class that nothing in an image speaks for has a map of zeros.
    largest = np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-30)
    np.testing.assert_allclose(
        class_maps(network, pictures, classes=asked), expected / largest, atol=1e-5
    )


def test_without_the_cut_at_zero_the_map_sums_to_the_value_of_the_class():
    network, pictures = linear_head(activation=None), images()
    maps = class_maps(network, pictures, classes=1, positive=False, normalize=False)
    np.testing.assert_allclose(
        maps.sum(axis=(1, 2)) + network.layers[-1].bias.numpy()[1],
        network(pictures).numpy()[:, 1],
        atol=1e-5,
    )


def slow_value(network, activations, name, chosen):
    """The class's value before the softmax from a layer's output on, one image at a time."""
    names = [layer.name for layer in network.layers]
    hidden = activations
    for layer in network.layers[names.index(name) + 1 : -1]:
        hidden = layer(hidden)
    last = network.layers[-1]
    return (tf.linalg.matvec(tf.transpose(last.kernel), hidden[0]) + last.bias)[chosen]


@pytest.mark.parametrize("name", ["first", "second"])
@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_against_a_slow_version(name, method):
    network, pictures = deep(), images()
    found = class_maps(
        network, pictures, method=method, layer=name, classes=[0, 1, 2], normalize=False
    )
    for chosen, (picture, ours) in enumerate(zip(pictures, found, strict=True)):
        activations = tf.Variable(outputs_of(network, name, picture[None]).astype(np.float32))
        with tf.GradientTape() as tape:
            value = slow_value(network, activations, name, chosen)
        gradient, values = (
            tape.gradient(value, activations)[0].numpy().astype(np.float64),
            activations.numpy()[0].astype(np.float64),
        )
        rows, columns, channels = values.shape
        heatmap = np.zeros((rows, columns))
        for channel in range(channels):
            if method == "gradcam":
                weight = gradient[..., channel].mean()
            else:
                weight = 0.0
                for row in range(rows):
                    for column in range(columns):
                        slope = gradient[row, column, channel]
                        below = 2 * slope**2 + values[..., channel].sum() * slope**3
                        weight += (slope**2 / below if below else 0.0) * max(slope, 0.0)
            heatmap += weight * values[..., channel]
        expected = tf.image.resize(np.maximum(heatmap, 0)[..., None], (12, 8))[..., 0].numpy()
        np.testing.assert_allclose(ours, expected, atol=1e-5 * max(1, expected.max()))


def test_gradcam_plus_plus_by_hand():
    # One channel of 2 x 1 places, value = 3 a + b: slopes 3 and 1. With a = 1, b = 0: 9 / (18 + 27)
    # * 3 + 1 / (2 + 1) * 1.
    network = keras.Sequential(
        [
            keras.Input((2, 1, 1)),
            keras.layers.Conv2D(1, 1, use_bias=False, name="same"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, use_bias=False),
        ]
    )
    network.layers[0].set_weights([np.ones((1, 1, 1, 1))])
    network.layers[-1].set_weights([np.array([[3.0, 0.0], [1.0, 0.0]])])
    picture = np.array([1.0, 0.0], np.float32).reshape(1, 2, 1, 1)
    found = class_maps(network, picture, method="gradcam++", classes=0, normalize=False)
    np.testing.assert_allclose(found[0, :, 0], [9 / 45 * 3 + 1 / 3, 0], rtol=1e-6)
    assert class_maps(network, picture, classes=0, normalize=False)[0, 0, 0] == pytest.approx(2.0)


def test_gradient_times_input_of_a_linear_network_is_exact():
    network = keras.Sequential(
        [
            keras.Input((4, 3, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    pictures = images(2, (4, 3, 3))
    kernel = network.layers[-1].kernel.numpy().reshape(4, 3, 3, 2)
    found = class_maps(
        network,
        pictures,
        method="gradient x input",
        classes=[1, 0],
        positive=False,
        normalize=False,
    )
    np.testing.assert_allclose(
        found,
        np.stack([(pictures[0] * kernel[..., 1]).sum(-1), (pictures[1] * kernel[..., 0]).sum(-1)]),
        atol=1e-6,
    )
    signed = class_maps(
        network, pictures, method="gradient x input", classes=[1, 0], positive=False
    )
    np.testing.assert_allclose(np.abs(signed).max(axis=(1, 2)), 1)


@pytest.mark.parametrize("method", METHODS)
def test_batches_give_what_single_images_give(method):
    network, pictures = deep(), images(7)
    together = class_maps(network, pictures, method=method, batch_size=3)
    alone = np.concatenate(
        [class_maps(network, picture[None], method=method) for picture in pictures]
    )
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.shape == (7, 12, 8) and together.dtype == np.float32
    assert together.min() >= 0 and together.max() == 1


def test_nested_models_and_other_ends_give_the_same_maps():
    plain, pictures = linear_head(), images()
    # The same weights: the trunk a model of its own, the softmax a layer of its own, a last
    # activation, or none at all.
    trunk = keras.Sequential(
        [
            keras.Input((12, 8, 1)),
            keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="inner"),
        ],
        name="trunk",
    )
    ends = {
        "softmax": [keras.layers.Dense(3), keras.layers.Softmax()],
        "activation": [keras.layers.Dense(3), keras.layers.Activation("softmax")],
        "none": [keras.layers.Dense(3)],
        "inside": [keras.layers.Dense(3, activation="softmax")],
    }
    for end in ends.values():
        nested = keras.Sequential(
            [keras.Input((12, 8, 1)), trunk, keras.layers.GlobalAveragePooling2D(), *end]
        )
        nested.set_weights(plain.get_weights())
        assert convolutions(nested) == ["inner"]
        np.testing.assert_allclose(
            class_maps(nested, pictures), class_maps(plain, pictures), atol=1e-5
        )
    assert "call" not in vars(trunk.layers[0])


def test_a_network_of_ones_own_class_is_explained_too():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.shapes = keras.layers.Conv2D(5, 3, padding="same", activation="relu")
            self.pooled, self.head = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)

        def call(self, inputs):
            return self.head(self.pooled(self.shapes(inputs)))

        def compute_output_shape(self, shape):
            return (shape[0], 3)

        output_shape = (None, 3)

    own, plain, pictures = Own(), linear_head(), images()
    own(pictures)
    own.set_weights(plain.get_weights())
    np.testing.assert_allclose(
        class_maps(own, pictures, classes=2), class_maps(plain, pictures, classes=2), atol=1e-5
    )


def test_one_sigmoid_output_speaks_for_the_second_class_and_against_the_first():
    network, pictures = linear_head(classes=1, activation="sigmoid"), images()
    first, second = (
        class_maps(network, pictures, classes=chosen, positive=False, normalize=False)
        for chosen in (0, 1)
    )
    np.testing.assert_allclose(first, -second, atol=1e-6)
    chosen = (network(pictures).numpy()[:, 0] > 0.5).astype(int)
    predicted = class_maps(network, pictures, positive=False, normalize=False)
    np.testing.assert_allclose(predicted, np.where(chosen[:, None, None], second, first), atol=1e-6)


def test_the_maps_follow_the_weights_and_a_dropped_network_is_freed():
    network, pictures = linear_head(), images()
    before = class_maps(network, pictures, classes=0, positive=False)
    network.layers[-1].set_weights([-one for one in network.layers[-1].get_weights()])
    np.testing.assert_allclose(
        class_maps(network, pictures, classes=0, positive=False), -before, atol=1e-6
    )
    reference = weakref.ref(network)
    del network
    gc.collect()
    assert reference() is None


def test_a_map_without_a_positive_value_is_zero():
    network = linear_head()
    network.layers[-1].set_weights([-np.ones((5, 3)), np.zeros(3)])
    assert (class_maps(network, images()) == 0).all()


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"layer": "shape"},
            "has no layer 'shape'; did you mean 'shapes'\\? Its convolutions are shapes",
        ),
        ({"layer": "dense"}, "convolutions are shapes"),
        ({"method": "cam"}, "method must be one of gradcam, gradcam\\+\\+, gradient x input"),
        ({"classes": 3}, "classes must be whole numbers from 0 to 2"),
        ({"classes": 0.5}, "classes must be whole numbers"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        class_maps(linear_head(), images(), **options)


def test_bad_networks_and_images():
    dense = keras.Sequential(
        [keras.Input((12, 8, 1)), keras.layers.Flatten(name="flat"), keras.layers.Dense(2)]
    )
    with pytest.raises(ValueError, match="has no convolution, so GradCAM has no places"):
        class_maps(dense, images())
    assert class_maps(dense, images(), method="gradient x input").shape == (3, 12, 8)
    with pytest.raises(ValueError, match="output of 'flat' keeps no places"):
        class_maps(dense, images(), layer="flat")
    with pytest.raises(ValueError, match="one output for each class"):
        class_maps(keras.Sequential([keras.Input((12, 8, 1)), keras.layers.Conv2D(2, 3)]), images())
    with pytest.raises(ValueError, match="images must have the shape"):
        class_maps(linear_head(), images()[0])


class Quadratic:
    """A stand-in for a feature detector: pooled patches' squared distance from a normal image's."""

    def __init__(self, normal):
        self.normal = tf.constant(normal)

    def forward(self, pictures):
        patches = tf.nn.avg_pool2d(pictures, 2, 2, "VALID")
        return patches, tf.reduce_sum(
            (patches - tf.nn.avg_pool2d(self.normal[None], 2, 2, "VALID")) ** 2, axis=(1, 2, 3)
        )

    def score(self, pictures):
        return self.forward(tf.constant(pictures))[1].numpy()


@pytest.fixture
def changed():
    normal = np.full((8, 8, 1), 0.5, np.float32)
    image = normal.copy()
    image[2:4, 4:6] = 1.0
    return Quadratic(normal), image, normal


def test_a_score_is_explained_by_what_the_image_has_and_its_counterpart_has_not(changed):
    detector, image, normal = changed
    explain = partial(explain_with_gradcam, detector.score, image, normal, forward=detector.forward)
    # One patch is 0.5 above normal: slope 1, on average over 16 patches 1/16; difference from the
    # counterpart 0.5.
    heatmap = explain().heatmap
    assert (
        heatmap.shape == (8, 8)
        and heatmap.max() <= 0.5 / 16 + 1e-6
        and np.unravel_index(heatmap.argmax(), (8, 8))[0] in (2, 3)
    )
    assert heatmap[0, 0] == 0 and explain(reference="zero").heatmap[0, 0] == pytest.approx(0.5 / 16)
    # The pixels' own slopes: 1/4 of the patch's for each, times their difference of 0.5.
    exact = explain(method="gradient x input").heatmap
    np.testing.assert_allclose(exact, (image - normal)[..., 0] * 0.25, atol=1e-6)
    assert explain(method="gradcam++").heatmap.argmax() == heatmap.argmax() and explain().details[
        "score"
    ] == pytest.approx(0.25)


def test_a_score_through_a_pretrained_backbone_points_at_the_change():
    backbone, normal = (
        Backbone(BackboneSettings(), image_shape=(64, 64, 1)),
        np.full((64, 64, 1), 0.5, np.float32),
    )
    image = normal.copy()
    image[40:48, 8:16] = np.random.default_rng(0).uniform(size=(8, 8, 1))
    usual = backbone.maps(tf.constant(normal[None]))[-1]

    def forward(pictures):
        activations = backbone.maps(pictures)[-1]
        return activations, tf.reduce_max(
            tf.reduce_mean((activations - usual) ** 2, axis=-1), axis=(1, 2)
        )

    for method in METHODS:
        found = explain_with_gradcam(
            lambda pictures: forward(tf.constant(pictures))[1].numpy(),
            image,
            normal,
            forward=forward,
            method=method,
        )
        row, column = np.unravel_index(found.heatmap.argmax(), (64, 64))
        assert abs(row - 44) <= 10 and abs(column - 12) <= 10


def test_a_forward_pass_is_found_again_in_the_store(changed, tmp_path):
    detector, image, normal = changed
    explain = partial(explain_with_gradcam, forward=detector.forward)
    first = explain_images(
        explain, detector.score, image[None], normal[None], show_progress=False, store=tmp_path
    )
    assert len(list(tmp_path.iterdir())) == 1
    again = explain_images(
        partial(explain_with_gradcam, forward=detector.forward),
        detector.score,
        image[None],
        normal[None],
        show_progress=False,
        store=tmp_path,
    )
    assert len(list(tmp_path.iterdir())) == 1 and (again.heatmaps == first.heatmaps).all()
    # A function that is no detector's own has no name to be known by.
    with pytest.raises(ValueError, match="with a store, the explainer's parameters must be"):
        explain_images(
            partial(explain_with_gradcam, forward=lambda pictures: detector.forward(pictures)),
            detector.score,
            image[None],
            normal[None],
            show_progress=False,
            store=tmp_path,
        )


def test_another_score_than_the_one_explained_is_refused(changed):
    detector, image, normal = changed
    with pytest.raises(
        ValueError, match="forward must return the score that is explained: 40 for this image"
    ):
        explain_with_gradcam(
            lambda pictures: np.full(len(pictures), 40.0), image, normal, forward=detector.forward
        )
    with pytest.raises(ValueError, match="forward must return activations"):
        explain_with_gradcam(
            detector.score, image, normal, forward=lambda pictures: (pictures, pictures)
        )
    with pytest.raises(ValueError, match="reference must be one of counterpart, zero"):
        explain_with_gradcam(
            detector.score, image, normal, forward=detector.forward, reference="mean"
        )
