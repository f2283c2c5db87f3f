"""Scores of whole images and of patches, and maps that add up."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors import FeatureSVM, patch_features, pipeline_score, pooled_features


def cloud(count, dimensions=6, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, dimensions)) * np.linspace(0.5, 3, dimensions) + 20


def texture(count, seed=0):
    """Good images: soft noise of one kind."""
    random = np.random.default_rng(seed)
    return np.clip(0.5 + random.normal(0, 0.05, (count, 32, 32, 1)), 0, 1).astype(np.float32)


def scratched(count, seed=1):
    images = texture(count, seed)
    images[:, 14:18, 6:26] = 0.95
    return images


FAST = {
    "layers": ("block3_conv3",),
    "nu": 0.1,
    "gamma": "scale",
    "landmarks": 40,
    "trees": 30,
    "smoothing": 2.0,
}


def fitted(**parameters):
    return FeatureSVM(**FAST | parameters).fit(texture(12), texture(2, seed=5), show_progress=False)


def test_the_score_of_an_image_is_that_of_its_pooled_features():
    detector, images = fitted(pca=5, output="decision"), scratched(3)
    expected = -detector.pipeline.decision_function(pooled_features(detector.backbone, images))
    np.testing.assert_allclose(detector.score(images), expected, rtol=1e-4, atol=1e-4)
    assert detector.nu == 0.1 and detector.pipeline["model"].kernel == "rbf"


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"output": "decision"},
        {"solver": "nystroem", "pca": 0.9},
        {"model": "gaussian"},
        {"model": "nearest"},
        {"model": "isolation_forest"},
    ],
)
def test_the_map_of_patches_is_the_score_of_each(parameters):
    detector, images = (
        fitted(level="patch", smoothing=0.0, stride=16, patches=30, **parameters),
        scratched(2),
    )
    flat = patch_features(detector.backbone, images, stride=16).reshape(8, -1).astype(np.float32)
    cells = (
        pipeline_score(detector.pipeline, detector._output)(tf.constant(flat))
        .numpy()
        .reshape(2, 2, 2)
    )
    expected = tf.image.resize(cells[..., None], (32, 32))[..., 0].numpy()
    np.testing.assert_allclose(detector.anomaly_map(images), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        detector.score(images), expected.max(axis=(1, 2)), rtol=1e-4, atol=1e-4
    )


def test_the_mean_of_each_place_is_taken_off():
    bright = texture(12)
    bright[:, :, 16:] += 0.3
    detector = FeatureSVM(
        "patch",
        "gaussian",
        layers=("block1_conv1",),
        stride=16,
        local_average=1,
        centre="place",
        smoothing=0.0,
    )
    detector.fit(np.clip(bright, 0, 1), texture(1), show_progress=False)
    flat = patch_features(
        detector.backbone, np.clip(bright, 0, 1), stride=16, local_average=1
    ).astype(np.float32)
    expected = (
        pipeline_score(detector.pipeline)(
            tf.constant((flat - flat.mean(axis=0)).reshape(-1, flat.shape[-1]))
        )
        .numpy()
        .reshape(12, 2, 2)
    )
    cells = detector._cells_of_features(tf.constant(flat)).numpy()
    np.testing.assert_allclose(cells, expected, rtol=1e-2)
    # The dark half at the bright place is usual somewhere, but not there.
    other = fitted(level="patch", model="gaussian", layers=("block1_conv1",), centre="all").fit(
        np.clip(bright, 0, 1), texture(1), show_progress=False
    )
    ratios = [
        one.score(texture(1, seed=3))[0] / one.score(np.clip(bright[:1], 0, 1))[0]
        for one in (detector, other)
    ]
    assert ratios[0] > 2 * ratios[1]


@pytest.mark.parametrize("level", ["image", "patch"])
@pytest.mark.parametrize("model", ["svm", "gaussian", "nearest", "isolation_forest"])
def test_scratches_score_higher(level, model):
    detector = fitted(level=level, model=model)
    assert detector.score(scratched(4)).mean() > detector.score(texture(4, seed=3)).max()
    if model == "isolation_forest":
        with pytest.raises(ValueError, match="no gradient"):
            detector.score_tensor(tf.constant(scratched(1)))
        return
    images = tf.constant(scratched(2))
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = detector.score_tensor(images)
    # Features of patches are rounded to half precision.
    np.testing.assert_allclose(scores, detector.score(images.numpy()), rtol=2e-3, atol=2e-3)
    assert np.abs(tape.gradient(scores, images)).max() > 0


@pytest.mark.parametrize("pooling", ["average", "generalised mean", "maximum"])
def test_the_map_of_an_image_shares_out_the_difference_from_the_counterpart(pooling):
    detector, images = fitted(model="gaussian", pooling=pooling), scratched(3)
    difference = detector.score(images) - detector.score(detector.counterpart(images))
    np.testing.assert_allclose(
        detector.anomaly_map(images).mean(axis=(1, 2)), difference, rtol=0.05
    )


def test_without_gradients_blocks_are_replaced_by_the_counterparts():
    random = np.random.default_rng(0)
    maps, begin = (tf.constant(random.normal(size=(2, 16, 16, 3)), tf.float32) for _ in range(2))
    (found,) = FeatureSVM._by_blocks(
        lambda one: tf.reduce_sum(one[0], axis=(1, 2, 3)), [maps], [begin]
    )
    expected = (maps - begin).numpy().sum(axis=-1).reshape(2, 8, 2, 8, 2).sum(axis=(2, 4))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert fitted(model="isolation_forest").anomaly_map(scratched(2)).shape == (2, 32, 32)


def test_the_counterpart_is_the_nearest_good_image():
    good = texture(12)
    for level in ("image", "patch"):
        for kind in ("features", "pixels"):
            detector = fitted(level=level, counterpart=kind, model="gaussian", pca=5)
            np.testing.assert_allclose(detector.counterpart(good[3:6]), good[3:6], atol=3e-4)


def test_more_good_images_are_outside_with_a_larger_nu():
    points, share = cloud(200), {}
    for nu in (0.05, 0.5):
        detector = FeatureSVM(nu=nu, gamma="scale", scaling="none", pca=None)
        detector.backbone = None
        share[nu] = (detector._trial(points)(nu, 1.0)(points) > 0).mean()
    assert share[0.05] < 0.15 and 0.4 < share[0.5] < 0.6


def test_nu_and_gamma_are_chosen_on_images_and_on_patches():
    for level in ("image", "patch"):
        detector = FeatureSVM(level, pca=4, folds=2, stride=16).fit(
            texture(8), texture(1), show_progress=False
        )
        assert len(detector.selection) == 16 and detector.nu in {
            row["nu"] for row in detector.selection
        }
        assert np.isfinite(detector.score(texture(2))).all()
    linear = FeatureSVM(kernel="linear", pca=4, folds=2).fit(
        texture(8), texture(1), show_progress=False
    )
    assert len(linear.selection) == 4
    with pytest.raises(ValueError, match="at least 6 good images.*not 5"):
        FeatureSVM().fit(texture(5), texture(1), show_progress=False)


@pytest.mark.parametrize(
    "parameters",
    [
        {"nu": "auto", "folds": 2, "pca": 3},
        {"level": "patch", "stride": 16, "centre": "place", "solver": "nystroem"},
        {"model": "isolation_forest"},
        {"model": "gaussian", "shrinkage": 0.2},
        {"model": "nearest", "level": "patch", "stride": 16},
    ],
)
def test_stored_and_loaded_scores_are_equal(tmp_path, parameters):
    detector, images = fitted(**parameters), scratched(2)
    detector.save(tmp_path / "svm")
    loaded = FeatureSVM.load(tmp_path / "svm")
    np.testing.assert_array_equal(loaded.score(images), detector.score(images))
    np.testing.assert_allclose(loaded.anomaly_map(images), detector.anomaly_map(images), atol=1e-6)
    np.testing.assert_array_equal(loaded.counterpart(images), detector.counterpart(images))
    assert (
        loaded.parameters == detector.parameters
        and loaded.selection == detector.selection
        and (loaded.nu, loaded.gamma) == (detector.nu, detector.gamma)
    )
    assert FeatureSVM.load(tmp_path / "svm", smoothing=0.0).parameters["smoothing"] == 0


@pytest.mark.filterwarnings("ignore:The weights of")
def test_a_fully_connected_layer_has_a_map_of_pixels(monkeypatch):
    def small(**_):
        layers = [
            keras.Input((224, 224, 3)),
            keras.layers.AveragePooling2D(28),
            keras.layers.Flatten(),
            keras.layers.Dense(9, name="fc2"),
        ]
        return keras.Sequential(layers)

    # The real one has 138 million weights.
    monkeypatch.setattr(keras.applications, "VGG16", small)
    detector, images = (
        fitted(weights="random", layers=("fc2",), model="gaussian", smoothing=0.0),
        scratched(2),
    )
    difference = detector.score(images) - detector.score(detector.counterpart(images))
    np.testing.assert_allclose(
        detector.anomaly_map(images).mean(axis=(1, 2)), difference, rtol=0.05
    )


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"level": "pixel"}, "level must be one of image, patch"),
        ({"model": "forest"}, "model must be one of svm"),
        ({"nu": 0}, r"nu must be \"auto\" or in \(0, 1\]"),
        ({"nu": "best"}, "nu must be"),
        ({"gamma": 0}, "gamma must be"),
        ({"gamma": "best"}, "gamma must be"),
        ({"kernel": "cosine"}, "kernel"),
        ({"pca": 0}, "pca"),
        ({"shrinkage": 2}, "shrinkage"),
        ({"landmarks": 0}, "landmarks must be 1 or more"),
        ({"folds": 1}, "folds must be 2"),
        ({"patches": 0}, "patches"),
        ({"smoothing": -1}, "smoothing"),
        ({"solver": "fast"}, "solver"),
        ({"output": "log", "solver": "nystroem"}, 'output="log" needs.*solver="exact"'),
        ({"output": "log", "kernel": "poly"}, 'output="log" needs'),
        ({"counterpart": "mean"}, "counterpart"),
        ({"scaling": "pixel"}, "scaling"),
        ({"pooling": "median"}, "pooling"),
        ({"centre": "place"}, 'centre="place" needs level="patch"'),
        (
            {"model": "nearest", "neighbours": 13},
            "13 nearest were asked for, but there are only 12 training images",
        ),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        fitted(**parameters)
