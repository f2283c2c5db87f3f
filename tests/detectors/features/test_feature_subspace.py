"""The subspace of features against scikit-learn's decomposition of all patches."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA

from adhelpers.detectors import BackboneSettings, FeatureSettings, FeatureSubspace

SIZE = 64
# Two layers that are quick to compute.
LAYERS = BackboneSettings(layers=("block1_conv2", "block2_conv2"))


def stripes(count, seed=0):
    """Good images: the same stripes at the same place, a little noise."""
    random = np.random.default_rng(seed)
    wave = 0.5 + 0.2 * np.sin(2 * np.pi * np.arange(SIZE) / 16)
    return np.clip(wave[None, :, None] + random.normal(0, 0.02, (count, SIZE, SIZE)), 0, 1)[
        ..., None
    ].astype(np.float32)


def scratched(count, seed=1):
    images = stripes(count, seed)
    images[:, 28:36, 28:36] = 0.9
    return images


def fitted(train=None, **parameters):
    values = {"backbone": LAYERS, "smoothing": 2.0, "variance": 0.9, "centre": "all"} | parameters
    return FeatureSubspace(**values).fit(
        stripes(18) if train is None else train, stripes(3, seed=5), show_progress=False
    )


def patches(detector, images, place_means):
    """Scaled features of the images about the mean of the 18 good ones, in double precision."""
    scale = detector._arrays["scale"].astype(np.float64)
    good = detector._features_of(stripes(18)).astype(np.float64) * scale
    mean = good.mean(axis=0) if place_means else good.mean(axis=(0, 1, 2))
    given = detector._features_of(images).astype(np.float64) * scale - mean
    return (good - mean).reshape(-1, good.shape[-1]), given


@pytest.mark.parametrize("centre", ["all", "place"])
def test_the_map_is_what_scikit_learns_pca_leaves_of_each_patch(centre):
    detector, images = fitted(centre=centre), scratched(2)
    good, given = patches(detector, images, centre == "place")
    pca = PCA(svd_solver="full").fit(good)
    count = np.searchsorted(np.cumsum(pca.explained_variance_ratio_), 0.9) + 1
    assert detector.n_components == count
    flat = given.reshape(-1, given.shape[-1])
    rest = flat - flat @ pca.components_[:count].T @ pca.components_[:count]
    cells = np.linalg.norm(rest, axis=1).reshape(given.shape[:3])
    large = tf.image.resize(cells[..., None], (SIZE, SIZE))[..., 0].numpy()
    expected = np.stack([gaussian_filter(one, 2.0, mode="reflect") for one in large])
    maps = detector.anomaly_map(images)
    np.testing.assert_allclose(maps, expected, rtol=2e-3)
    np.testing.assert_allclose(detector.score(images), maps.max(axis=(1, 2)), rtol=1e-6)


def test_the_mahalanobis_distance_is_that_of_the_covariance_with_one_variance_outside():
    detector = fitted(distance="mahalanobis")
    good, given = patches(detector, scratched(2), False)
    variances, vectors = np.linalg.eigh(good.T @ good / len(good))
    variances, vectors = variances[::-1].copy(), vectors[:, ::-1]
    count = detector.n_components
    variances[count:] = variances[count:].mean()
    inverse = vectors / variances @ vectors.T
    flat = given.reshape(-1, given.shape[-1])
    expected = np.sqrt(np.einsum("ij,jk,ik->i", flat, inverse, flat)).reshape(given.shape[:3])
    features = tf.constant(detector._features_of(scratched(2)), tf.float32)
    np.testing.assert_allclose(detector._cells_of_features(features), expected, rtol=5e-3)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"centre": "place"},
        {"distance": "mahalanobis"},
        {"variance": "auto", "centre": "auto"},
        {"features": FeatureSettings("patch", stride=16, scaling="channel")},
    ],
)
def test_a_scratch_scores_higher_and_is_found_at_its_place(parameters):
    detector = fitted(**parameters)
    assert detector.score(scratched(4)).min() > detector.score(stripes(4, seed=3)).max()
    for one in detector.anomaly_map(scratched(2)):
        row, column = np.unravel_index(one.argmax(), one.shape)
        assert 20 <= row < 44 and 20 <= column < 44


def test_what_is_good_at_another_place_is_anomalous_only_to_a_mean_of_each_place():
    left = stripes(20, seed=2)
    left[:, 24:40, 8:24] = 0.9
    # The bright square is at another place, where no good image has one.
    moved = stripes(4, seed=3)
    moved[:, 24:40, 8:24] = 0.9
    moved[:, 24:40, 40:56] = 0.9
    plain = stripes(4, seed=3)
    plain[:, 24:40, 8:24] = 0.9
    ratios = {
        centre: (
            (detector := fitted(left, centre=centre, variance=0.95)).score(moved)
            / detector.score(plain)
        ).min()
        for centre in ("all", "place")
    }
    assert ratios["place"] > 1.2 * ratios["all"]


def test_the_choice_is_the_best_that_was_tried_on_planted_patches():
    detector = fitted(variance="auto", centre="auto")
    tried = detector.selection
    assert {row["centre"] for row in tried} == {"all", "place"} and len(tried) == 14
    best = max(tried, key=lambda row: row["auroc"])
    assert detector.n_components == best["n_components"]
    # Scoring all of them at once is scoring each alone.
    same = fitted(variance=best["variance"], centre=best["centre"])
    np.testing.assert_allclose(same.score(scratched(2)), detector.score(scratched(2)), rtol=1e-5)
    assert not same.selection


def test_a_second_fit_chooses_anew():
    detector = fitted(variance="auto", centre="auto")
    first = detector.selection
    detector.fit(stripes(18), stripes(3, seed=5), show_progress=False)
    assert detector.selection == first and len(first) == 14


def test_scores_have_a_gradient():
    detector, images = fitted(), tf.constant(scratched(2))
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = detector.score_tensor(images)
    np.testing.assert_allclose(scores, detector.score(images.numpy()), rtol=2e-3)
    assert np.abs(tape.gradient(scores, images)).max() > 0


def test_the_counterpart_is_a_good_image_and_that_of_a_good_image_itself():
    detector = fitted()
    good = stripes(18)
    np.testing.assert_allclose(detector.counterpart(good), good, atol=3e-4)


@pytest.mark.parametrize("parameters", [{}, {"variance": "auto", "distance": "mahalanobis"}])
def test_a_stored_one_gives_the_same_numbers(tmp_path, parameters):
    detector, images = fitted(**parameters), scratched(2)
    detector.save(tmp_path / "model")
    loaded = FeatureSubspace.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.anomaly_map(images), detector.anomaly_map(images))
    np.testing.assert_array_equal(loaded.counterpart(images), detector.counterpart(images))
    assert loaded.selection == detector.selection
    assert loaded.parameters == detector.parameters


def test_one_image_is_enough_for_a_subspace_of_all_places():
    detector = fitted(stripes(1), centre="auto")
    assert {row["centre"] for row in detector.selection} <= {"all"}
    assert np.isfinite(detector.score(scratched(2))).all()


def test_patches_that_are_all_equal_are_refused():
    with pytest.raises(ValueError, match="train: all patches are equal"):
        fitted(np.full((3, SIZE, SIZE, 1), 0.5, np.float32), centre="place")


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"variance": 1.0}, "variance must be 'auto' or a share between 0 and 1, not 1.0"),
        ({"variance": "most"}, "variance must be 'auto'"),
        ({"centre": "some"}, "centre must be one of"),
        ({"distance": "cosine"}, "distance must be one of"),
        ({"features": FeatureSettings("image")}, "features: a subspace of features needs"),
        ({"smoothing": -1}, "smoothing must be 0 or more pixels"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        FeatureSubspace(**parameters)
