"""Pooling and patches against numbers by hand, and the cache that is never taken by mistake."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from adhelpers._shared.array_files import read_arrays, write_arrays
from adhelpers.detectors import BackboneSettings, FeatureSettings, feature_cache
from adhelpers.detectors.features.backbones import Backbone, _numbers_sha256
from adhelpers.detectors.features.patches import compute_features, join_maps, pool_maps


def images(count=3, shape=(32, 32, 1), seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype(np.float32)


def built(**options):
    return Backbone(BackboneSettings(**options), image_shape=(32, 32, 1))


@functools.cache
def hed():
    return built()


def pooled_features(backbone, pictures, pooling="average"):
    return compute_features(backbone, FeatureSettings("image", pooling), pictures)


def patch_features(backbone, pictures, stride=8):
    return compute_features(backbone, FeatureSettings("patch", stride=stride), pictures)


def test_pooling_by_hand():
    first = tf.reshape([0.0, 2.0, 4.0, 2.0], (1, 2, 2, 1))
    second = tf.constant([[7.0, 9.0]])
    assert pool_maps([first, second]).numpy().tolist() == [[2, 7, 9]]
    assert pool_maps([first], "max").numpy().tolist() == [[4]]
    assert float(pool_maps([first], "gem", power=2)[0, 0]) == pytest.approx(
        np.sqrt(24 / 4), rel=1e-5
    )
    assert float(pool_maps([first], "gem", power=1)[0, 0]) == pytest.approx(2, rel=1e-5)


def test_pooling_equals_that_of_numpy():
    maps = np.random.default_rng(0).gamma(1.0, size=(2, 5, 7, 3)).astype(np.float32)
    expected = {
        "average": maps.mean(axis=(1, 2)),
        "max": maps.max(axis=(1, 2)),
        "gem": np.mean(maps.astype(np.float64) ** 3, axis=(1, 2)) ** (1 / 3),
    }
    for pooling, values in expected.items():
        found = FeatureSettings("image", pooling).of_maps([tf.constant(maps)], (40, 56, 1))
        np.testing.assert_allclose(found, values, rtol=1e-5)
    assert (expected["average"] < expected["gem"]).all()
    assert (expected["gem"] < expected["max"]).all()


def test_scaling_by_hand():
    values = np.float32([[0, 0, 1], [2, 0, 5]])

    def scale(kind):
        return FeatureSettings("patch", scaling=kind).scale(values, [2, 1]).tolist()

    assert scale("none") == [1, 1, 1]
    assert scale("layer") == [1, 1, 0.5]
    assert scale("channel") == [1, 1, 0.5]
    values[1, 1] = np.sqrt(12)
    assert scale("layer") == [0.5, 0.5, 0.5]


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
    alone = compute_features(hed(), FeatureSettings("image"), pictures[::-1], batch_size=2)
    np.testing.assert_allclose(together[::-1], alone, rtol=1e-4, atol=1e-3)
    assert patch_features(hed(), pictures, stride=16).dtype == np.float16


def test_the_cache_is_used_for_the_same_images_weights_and_settings_only(tmp_path, monkeypatch):
    pictures, backbone = images(4), built()
    fresh = pooled_features(backbone, pictures)
    with feature_cache(tmp_path):
        np.testing.assert_array_equal(pooled_features(backbone, pictures), fresh)
        files = sorted(tmp_path.rglob("*.arrays"))
        assert len(files) == 4
        # An interrupted pass: one file is lost, one damaged; only these two are computed again.
        files[0].unlink()
        files[1].write_bytes(b"broken")
        place = FeatureSettings("image").identity()
        seen, function = [], backbone.compiled[place]
        backbone.compiled[place] = lambda batch, size: (
            seen.append(len(batch)),
            function(batch, size=size),
        )[1]
        np.testing.assert_allclose(pooled_features(backbone, pictures), fresh, rtol=1e-4, atol=1e-3)
        assert seen == [2]
        pooled_features(backbone, images(1, seed=9))
        pooled_features(backbone, pictures, "max")
        patch_features(backbone, pictures)
        assert seen == [2, 1] and len(list(tmp_path.rglob("*.arrays"))) == 4 + 1 + 4 + 4
        layer = backbone.model.get_layer("block1_conv1")
        other = built(layers=("block2_conv2",))
        pooled_features(other, pictures)
        assert layer is not None and len({file.parent for file in tmp_path.rglob("*.arrays")}) == 4
    pooled_features(backbone, images(2, seed=11))
    assert len(list(tmp_path.rglob("*.arrays"))) == 17


def cached(pictures, folder, compute):
    """The features, and whether each image's was computed and not taken from the cache."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.arrays")}
    with feature_cache(folder):
        found = compute(hed(), pictures)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.arrays")}
    return found, sum(before.get(path) != time for path, time in after.items())


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def claims_64_gigabytes(path):
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"[", b"[68719476736, ", 3))


def zipped(path):
    np.savez(path.with_suffix(".npz"), features=np.zeros(512, np.float32))
    path.with_suffix(".npz").rename(path)


def holds(change):
    return lambda path: write_arrays(path, {"features": change(read_arrays(path)["features"])})


@pytest.mark.parametrize("compute", [pooled_features, patch_features])
@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        claims_64_gigabytes,
        zipped,
        holds(lambda values: np.full_like(values, np.nan)),
        holds(lambda values: np.full_like(values, np.inf)),
        holds(lambda values: values.astype(np.complex64)),
        holds(lambda values: values.astype(np.float64)),
        holds(lambda values: values[..., :-1]),
        holds(lambda values: values[None]),
        lambda path: write_arrays(path, {"others": read_arrays(path)["features"]}),
    ],
)
def test_what_a_cached_file_should_not_hold_is_computed_again(tmp_path, compute, damage):
    pictures = images(2)
    fresh, count = cached(pictures, tmp_path, compute)
    assert count == 2 and cached(pictures, tmp_path, compute)[1] == 0
    damage(sorted(tmp_path.rglob("*.arrays"))[0])
    again, count = cached(pictures, tmp_path, compute)
    assert count == 1
    np.testing.assert_allclose(again, fresh, rtol=1e-3, atol=1e-3)
    assert cached(pictures, tmp_path, compute)[1] == 0


def test_features_of_other_weights_are_never_taken_from_the_cache(tmp_path):
    """Two networks that differ in nothing but one weight."""
    pictures, first, second = images(2), built(), built()
    kernel = second.model.get_layer("block1_conv1").kernel
    kernel.assign(kernel.numpy() * 1.5)
    second.sha256 = _numbers_sha256(second.model)
    assert first.describe() | {"weights_sha256": second.sha256} == second.describe()
    expected = pooled_features(second, pictures)
    with feature_cache(tmp_path):
        others = pooled_features(first, pictures)
        found = pooled_features(second, pictures)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.abs(found - others).max() > 0.01 * np.abs(others).max()


def test_a_score_has_a_gradient_through_the_backbone():
    variable = tf.Variable(images(1))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(pool_maps(hed().maps(variable)) ** 2)
    assert float(tf.norm(tape.gradient(value, variable))) > 0


def test_bad_input_is_named():
    for call, message in [
        (lambda: FeatureSettings("pixel"), "level must be one of image, patch"),
        (lambda: FeatureSettings("image", "median"), "pooling"),
        (lambda: FeatureSettings("image", power=0.5), "power"),
        (lambda: FeatureSettings("patch", local_average=2), "odd number"),
        (lambda: FeatureSettings("patch", scaling="pixel"), "scaling must be one of none, layer"),
        (lambda: join_maps([tf.zeros((1, 4))], (1, 1)), "layers with spatial positions"),
        (lambda: FeatureSettings("patch", stride=0), "stride"),
        (lambda: pooled_features(hed(), images(1, (64, 32, 1))), "built for"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
