"""Deep SAD's networks: as published, without biases, for any size."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from adhelpers.detectors.deep_sad_networks import BatchNormalization, build_deep_sad_networks


def kinds(network, kind):
    return [layer for layer in network.layers if type(layer) is kind]


@pytest.mark.parametrize(
    "name, shape, filters, dense, decoder",
    [
        ("lenet_small", (28, 28, 1), [8, 4], [32], [4, 8, 1]),
        ("lenet", (28, 28, 1), [16, 32], [128, 64], [32, 16, 1]),
        ("lenet_large", (32, 32, 3), [32, 64, 128], [128], [128, 64, 32, 3]),
    ],
)
def test_the_published_tables(name, shape, filters, dense, decoder):
    encoder, mirrored = build_deep_sad_networks(shape, name)
    assert [(layer.filters, layer.kernel_size) for layer in kinds(encoder, layers.Conv2D)] == [
        (count, (5, 5)) for count in filters
    ]
    assert [layer.units for layer in kinds(encoder, layers.Dense)] == dense
    assert len(kinds(encoder, layers.MaxPooling2D)) == len(filters)
    assert [
        layer.filters for layer in kinds(mirrored, layers.Conv2D)
    ] == decoder and mirrored.output_shape == (None, *shape)
    # Weights of convolutions and dense layers, written out; nothing else is trained.
    places = [shape[2], *filters]
    wanted = sum(25 * before * after for before, after in zip(places, filters, strict=False))
    flat = (shape[0] // 2 ** len(filters)) ** 2 * filters[-1]
    wanted += sum(before * after for before, after in zip([flat, *dense], dense, strict=False))
    assert sum(int(np.prod(weight.shape)) for weight in encoder.trainable_variables) == wanted


@pytest.mark.parametrize(
    "name, shape",
    [
        ("lenet", (28, 28, 1)),
        ("lenet_large", (32, 32, 3)),
        ("conv", (13, 40, 3)),
        ("mlp", (20,)),
        ("mlp", (9, 7, 1)),
    ],
)
def test_no_layer_has_a_bias_offset_or_scale(name, shape):
    for network in build_deep_sad_networks(shape, name):
        assert all(
            not layer.use_bias
            for layer in network.layers
            if isinstance(layer, (layers.Dense, layers.Conv2D))
        )
        normalizations = kinds(network, BatchNormalization)
        assert normalizations and all(
            not one.center and not one.scale and one.epsilon == 1e-4 for one in normalizations
        )
        assert {round(layer.negative_slope, 6) for layer in kinds(network, layers.LeakyReLU)} == {
            0.01
        }
        # Zeros stay zeros before any training, as biases would not let them; the decoder of images
        # ends in a sigmoid.
        answer = np.asarray(
            network(np.zeros((2, *network.input_shape[1:]), "float32"), training=False)
        )
        np.testing.assert_allclose(
            answer, 0.5 if "decoder" in network.name and len(shape) == 3 else 0, atol=1e-6
        )


@pytest.mark.parametrize("shape", [(8, 8, 1), (13, 40, 3), (64, 32, 1), (100, 100, 3)])
def test_conv_is_for_any_size(shape):
    encoder, decoder = build_deep_sad_networks(shape, "auto", latent_dim=6)
    assert (
        encoder.name == "conv_encoder"
        and encoder.output_shape == (None, 6)
        and decoder.output_shape == (None, *shape)
    )


def test_the_network_follows_from_the_shape():
    names = [
        build_deep_sad_networks(shape)[0].name
        for shape in ((28, 28, 1), (32, 32, 3), (31, 32, 3), (200,), (9,))
    ]
    assert names == [
        "lenet_small_encoder",
        "lenet_large_encoder",
        "conv_encoder",
        "mlp_encoder",
        "mlp_encoder",
    ]
    assert [
        [layer.units for layer in kinds(build_deep_sad_networks((length,))[0], layers.Dense)]
        for length in (200, 9)
    ] == [[128, 64, 32], [32, 16, 8]]
    assert isinstance(build_deep_sad_networks((9,))[1], keras.Model)


@pytest.mark.parametrize(
    "shape, name, latent_dim, message",
    [
        ((28, 28, 1), "resnet", None, "network must be one of auto, lenet_small"),
        ((32, 32, 1), "lenet", None, "28 x 28 pixels, not for the shape .32, 32, 1.*'conv'"),
        ((20,), "lenet", None, "use the network 'mlp'"),
        ((20,), "conv", None, "vectors of 20 values: use the network 'mlp'"),
        ((28, 28, 1), "lenet_small", 20, "multiple of 16, not 20"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(shape, name, latent_dim, message):
    with pytest.raises(ValueError, match=message):
        build_deep_sad_networks(shape, name, latent_dim)


@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (1, 2, 1, 1), (8, 7)])
def test_batch_normalisation_is_that_of_keras(shape):
    draws = np.random.default_rng(0)
    batches = [tf.constant(draws.normal(3, 2, shape).astype(np.float32)) for _ in range(3)]
    weights = draws.normal(size=shape).astype(np.float32)
    ours = BatchNormalization(epsilon=1e-4, momentum=0.9)
    theirs = layers.BatchNormalization(center=False, scale=False, epsilon=1e-4, momentum=0.9)
    for batch in batches:
        results = []
        for layer in (ours, theirs):
            with tf.GradientTape() as tape:
                tape.watch(batch)
                normalized = layer(batch, training=True)
                value = tf.reduce_sum(weights * normalized**2)
            results.append((normalized, tape.gradient(value, batch)))
        for found, expected in zip(*results, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert len(ours.weights) == len(theirs.weights) == 2
    for found, expected in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(ours(batches[0]), theirs(batches[0]), rtol=1e-5, atol=1e-6)
    ours.trainable = False
    before = [np.array(weight) for weight in ours.weights]
    np.testing.assert_allclose(ours(batches[1], training=True), ours(batches[1]))
    np.testing.assert_array_equal(before, [np.array(weight) for weight in ours.weights])


def test_weights_stored_with_keras_own_layer_are_found(monkeypatch, tmp_path):
    def plain(**options):
        return layers.BatchNormalization(center=False, scale=False, **options)

    with monkeypatch.context() as patch:
        patch.setattr("adhelpers.detectors.deep_sad_networks.BatchNormalization", plain)
        before, _ = build_deep_sad_networks((28, 28, 1))
    images = np.random.default_rng(0).random((4, 28, 28, 1), dtype=np.float32)
    before(images, training=True)
    before.save_weights(tmp_path / "e.weights.h5")
    after, _ = build_deep_sad_networks((28, 28, 1))
    after.load_weights(tmp_path / "e.weights.h5")
    np.testing.assert_allclose(after(images), before(images), atol=1e-6)
