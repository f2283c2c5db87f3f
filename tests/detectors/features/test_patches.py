"""Pooling and patches against numbers by hand, and the cache that must never be taken by mistake."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors import (
    Backbone,
    FeatureSettings,
    compute_features,
    feature_cache,
    join_maps,
    patch_features,
    pool_maps,
    pooled_features,
)


def images(count=3, shape=(32, 32, 1), seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype(np.float32)


@functools.cache
def hed(shape=(32, 32, 1), **options):
    return Backbone(weights="hed", image_shape=shape, **options)


def test_pooling_by_hand():
    first = tf.reshape([0.0, 2.0, 4.0, 2.0], (1, 2, 2, 1))
    second = tf.constant([[7.0, 9.0]])
    assert pool_maps([first, second]).numpy().tolist() == [[2, 7, 9]]
    assert pool_maps([first], "maximum").numpy().tolist() == [[4]]
    assert float(pool_maps([first], "generalised mean", power=2)[0, 0]) == pytest.approx(
        np.sqrt(24 / 4), rel=1e-5
    )
    assert float(pool_maps([first], "generalised mean", power=1)[0, 0]) == pytest.approx(
        2, rel=1e-5
    )


def test_patches_are_averaged_over_neighbours_and_brought_to_one_grid():
    fine = tf.reshape(tf.range(16.0), (1, 4, 4, 1))
    coarse = tf.reshape([1.0, 2.0, 3.0, 4.0], (1, 2, 2, 1))
    joined = join_maps([fine, coarse], (2, 2), local_average=1).numpy()
    assert joined[0, ..., 0].tolist() == [[2.5, 4.5], [10.5, 12.5]] and joined[
        0, ..., 1
    ].tolist() == [[1, 2], [3, 4]]
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
        backbone._functions[FeatureSettings("pooled")] = lambda batch: (
            seen.append(len(batch)),
            function(batch),
        )[1]
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


def test_bad_input_is_named():
    for call, message in [
        (lambda: pool_maps([], "median"), "pooling"),
        (lambda: pool_maps([], power=0.5), "power"),
        (lambda: join_maps([], (1, 1), 2), "odd number"),
        (lambda: join_maps([tf.zeros((1, 4))], (1, 1)), "keep the places apart"),
        (lambda: FeatureSettings("patch", stride=0), "stride"),
        (lambda: pooled_features(hed(), images(1, (64, 32, 1))), "built for"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
