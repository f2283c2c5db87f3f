"""Scores of whole images and of patches, and maps that add up."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.covariance import EllipticEnvelope, LedoitWolf, ShrunkCovariance
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.svm import OneClassSVM

from adhelpers.detectors import BackboneSettings, FeatureSettings, FeatureSVM, SVMSelection
from adhelpers.detectors.features import detector as detector_module
from adhelpers.detectors.features.patches import compute_features
from adhelpers.detectors.features.pipelines import pipeline_score


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


def whitened(model, components=0.99):
    return make_pipeline(PCA(components, whiten=True), model)


def svm(components=0.99):
    return whitened(OneClassSVM(nu=0.1), components)


def approximate(components=0.99):
    """For many patches; the width of the approximate kernel needs a `SVMSelection`."""
    return make_pipeline(
        PCA(components, whiten=True),
        Nystroem(n_components=40),
        SGDOneClassSVM(average=True, tol=1e-5),
    )


FIXED = SVMSelection(nu=0.1, gamma=1.0)
MODELS = {
    "svm": svm(),
    "gaussian": whitened(LedoitWolf()),
    "envelope": whitened(EllipticEnvelope(random_state=0), 2),
    "nearest": whitened(NearestNeighbors(n_neighbors=3)),
    "isolation_forest": whitened(IsolationForest(n_estimators=30)),
    "local_outlier_factor": whitened(LocalOutlierFactor(n_neighbors=5, novelty=True)),
}
LAYER = BackboneSettings(layers=("block3_conv3",))


def fitted(estimator=None, level="image", backbone=LAYER, *, features=None, **parameters):
    detector = FeatureSVM(
        svm() if estimator is None else estimator,
        FeatureSettings(level, **features or {}),
        backbone,
        **{"smoothing": 2.0} | parameters,
    )
    return detector.fit(texture(12), texture(2, seed=5), show_progress=False)


def test_the_score_of_an_image_is_that_of_its_pooled_features():
    detector, images = fitted(svm(5), output="decision"), scratched(3)
    vectors = compute_features(detector.network, detector.features, images)
    expected = -detector.pipeline.decision_function(vectors)
    np.testing.assert_allclose(detector.score(images), expected, rtol=1e-4, atol=1e-4)
    assert detector.nu == 0.1 and detector.pipeline[-1].kernel == "rbf"


@pytest.mark.parametrize(
    "estimator, parameters",
    [
        (svm(), {}),
        (svm(), {"output": "decision"}),
        (approximate(0.9), {"selection": FIXED}),
        *((MODELS[name], {}) for name in MODELS if name != "svm"),
    ],
)
def test_the_map_of_patches_is_the_score_of_each(estimator, parameters):
    detector = fitted(
        estimator, "patch", features={"stride": 16}, smoothing=0.0, patches=30, **parameters
    )
    images = scratched(2)
    flat = compute_features(detector.network, detector.features, images)
    score = pipeline_score(detector.pipeline, detector.fitted_output)
    cells = score(tf.constant(flat.reshape(8, -1).astype(np.float32))).numpy().reshape(2, 2, 2)
    expected = tf.image.resize(cells[..., None], (32, 32))[..., 0].numpy()
    np.testing.assert_allclose(detector.anomaly_map(images), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        detector.score(images), expected.max(axis=(1, 2)), rtol=1e-4, atol=1e-4
    )


def test_the_mean_of_each_place_is_taken_off():
    bright = texture(12)
    bright[:, :, 16:] += 0.3
    gaussian, first = whitened(LedoitWolf()), BackboneSettings(layers=("block1_conv1",))
    detector = FeatureSVM(
        gaussian,
        FeatureSettings("patch", stride=16, local_average=1),
        first,
        centre="place",
        smoothing=0.0,
    )
    detector.fit(np.clip(bright, 0, 1), texture(1), show_progress=False)
    flat = compute_features(detector.network, detector.features, np.clip(bright, 0, 1)).astype(
        np.float32
    )
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
    other = fitted(gaussian, "patch", first, centre="all").fit(
        np.clip(bright, 0, 1), texture(1), show_progress=False
    )
    ratios = [
        one.score(texture(1, seed=3))[0] / one.score(np.clip(bright[:1], 0, 1))[0]
        for one in (detector, other)
    ]
    assert ratios[0] > 2 * ratios[1]


@pytest.mark.parametrize("level", ["image", "patch"])
@pytest.mark.parametrize("model", MODELS)
def test_scratches_score_higher(level, model):
    detector = fitted(MODELS[model], level)
    assert detector.score(scratched(4)).mean() > detector.score(texture(4, seed=3)).max()
    if model in ("isolation_forest", "local_outlier_factor"):
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


@pytest.mark.parametrize("pooling", ["average", "gem", "max"])
def test_the_map_of_an_image_shares_out_the_difference_from_the_counterpart(pooling):
    detector, images = fitted(MODELS["gaussian"], features={"pooling": pooling}), scratched(3)
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
    forest = fitted(MODELS["isolation_forest"])
    assert forest.anomaly_map(scratched(2)).shape == (2, 32, 32)


def test_the_counterpart_is_the_nearest_good_image():
    good = texture(12)
    for level in ("image", "patch"):
        detector = fitted(MODELS["gaussian"], level)
        np.testing.assert_allclose(detector.counterpart(good[3:6]), good[3:6], atol=3e-4)


@pytest.mark.parametrize("level, centre", [("image", "all"), ("patch", "all"), ("patch", "place")])
def test_features_in_blocks_give_the_same_model(monkeypatch, level, centre):
    choice = SVMSelection(nu=0.1, folds=2)
    parameters = {"level": level, "centre": centre, "patches": 30, "selection": choice}
    once, images = fitted(svm(4), **parameters), scratched(3)
    monkeypatch.setattr(detector_module, "_BLOCK", 1)
    blocks = fitted(svm(4), **parameters)
    assert (blocks.nu, blocks.trials[0]["nu"]) == (once.nu, once.trials[0]["nu"])
    assert blocks.gamma == pytest.approx(once.gamma, rel=1e-3)
    np.testing.assert_allclose(blocks.score(images), once.score(images), rtol=0.02, atol=0.02)


def test_more_images_than_the_estimator_takes_are_drawn():
    detector = fitted(NearestNeighbors(n_neighbors=2), patches=7)
    assert len(detector.pipeline[-1]._fit_X) == 7 and len(detector._good) == 12


def test_more_good_images_are_outside_with_a_larger_nu():
    points, share = cloud(200), {}
    for nu in (0.05, 0.5):
        detector = FeatureSVM(OneClassSVM(), FeatureSettings("image", scaling="none"))
        share[nu] = (detector._trial(points)(nu, 1.0)(points) > 0).mean()
    assert share[0.05] < 0.15 and 0.4 < share[0.5] < 0.6


def test_nu_and_gamma_are_chosen_on_images_and_on_patches():
    for level in ("image", "patch"):
        detector = FeatureSVM(
            whitened(OneClassSVM(), 4),
            FeatureSettings(level, stride=16),
            selection=SVMSelection(folds=2),
        ).fit(texture(8), texture(1), show_progress=False)
        assert len(detector.trials) == 16 and detector.nu in {row["nu"] for row in detector.trials}
        assert np.isfinite(detector.score(texture(2))).all()
    linear = FeatureSVM(
        whitened(OneClassSVM(kernel="linear"), 4), selection=SVMSelection(folds=2)
    ).fit(texture(8), texture(1), show_progress=False)
    assert len(linear.trials) == 4
    with pytest.raises(ValueError, match="on 6 good images or more, not 5"):
        FeatureSVM().fit(texture(5), texture(1), show_progress=False)


def test_numbers_of_the_selection_take_the_place_of_the_estimators():
    images, scale = scratched(2), fitted().gamma
    same = fitted(whitened(OneClassSVM()), selection=SVMSelection(nu=0.1, gamma=1.0))
    np.testing.assert_array_equal(same.score(images), fitted().score(images))
    wider = fitted(whitened(OneClassSVM()), selection=SVMSelection(nu=0.2, gamma=2.0))
    assert (same.nu, wider.nu, same.trials) == (0.1, 0.2, [])
    assert (same.gamma, wider.gamma) == (pytest.approx(scale), pytest.approx(2 * scale))
    near = fitted(approximate(), "patch", selection=FIXED)
    assert near.nu == 0.1 and near.gamma > 0
    assert near.estimator[-1].nu == 0.5, "the estimator is cloned"


def test_the_seed_is_that_of_estimators_without_one():
    images = scratched(3)
    scores = [
        fitted(whitened(IsolationForest(n_estimators=5)), seed=seed).score(images)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert (scores[0] != scores[2]).any()


@pytest.mark.parametrize(
    "estimator, level, parameters",
    [
        (svm(3), "image", {"selection": SVMSelection(gamma=1.0, folds=2)}),
        (approximate(), "patch", {"selection": FIXED, "centre": "place"}),
        (MODELS["isolation_forest"], "image", {}),
        (whitened(ShrunkCovariance(shrinkage=0.2)), "image", {}),
        (MODELS["nearest"], "patch", {}),
        (MODELS["envelope"], "image", {}),
        (MODELS["local_outlier_factor"], "patch", {}),
    ],
)
def test_stored_and_loaded_scores_are_equal(tmp_path, estimator, level, parameters):
    detector = fitted(estimator, level, features={"stride": 16}, **parameters)
    images = scratched(2)
    detector.save(tmp_path / "svm")
    loaded = FeatureSVM.load(tmp_path / "svm")
    np.testing.assert_array_equal(loaded.score(images), detector.score(images))
    np.testing.assert_allclose(loaded.anomaly_map(images), detector.anomaly_map(images), atol=1e-6)
    np.testing.assert_array_equal(loaded.counterpart(images), detector.counterpart(images))
    assert (
        loaded.parameters == detector.parameters
        and loaded.trials == detector.trials
        and (loaded.nu, loaded.gamma) == (detector.nu, detector.gamma)
    )
    assert FeatureSVM.load(tmp_path / "svm", smoothing=0.0).smoothing == 0


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
        fitted(
            MODELS["gaussian"],
            backbone=BackboneSettings(weights="random", layers=("fc2",)),
            smoothing=0.0,
        ),
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
        ({"estimator": PCA()}, "estimator: PCA is not among sklearn.covariance"),
        ({"patches": 0}, "patches"),
        ({"smoothing": -1}, "smoothing"),
        (
            {"estimator": approximate(), "output": "log"},
            'output="log" needs OneClassSVM with kernel="rbf"',
        ),
        ({"estimator": OneClassSVM(kernel="poly"), "output": "log"}, 'output="log" needs'),
        ({"output": "best"}, "output must be one of"),
        ({"centre": "mean"}, "centre must be one of"),
        ({"centre": "place"}, 'centre="place" needs FeatureSettings."patch"'),
        (
            {"estimator": IsolationForest(), "selection": FIXED},
            "selection: IsolationForest has no nu",
        ),
        (
            {"estimator": NearestNeighbors(n_neighbors=13)},
            "13 nearest were asked for, but there are only 12 training images",
        ),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        fitted(**parameters)
