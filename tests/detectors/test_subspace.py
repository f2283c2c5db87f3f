import numpy as np
import pytest
from sklearn.decomposition import PCA

from adhelpers.detectors import ResidualScore, Subspace


def blobs(count, seed=0, size=32):
    """Good images on a plane: a bright bar whose height and brightness vary, and a little noise."""
    random = np.random.default_rng(seed)
    rows = np.arange(size)[None, :, None]
    height, brightness = (
        random.uniform(8, 20, (count, 1, 1)),
        random.uniform(0.3, 0.6, (count, 1, 1)),
    )
    bar = brightness / (1 + np.exp(rows - height)) * np.ones((1, 1, size))
    return np.clip(bar + 0.2 + random.normal(0, 0.01, (count, size, size)), 0, 1)[..., None].astype(
        "float32"
    )


def test_counterpart_equals_the_projection_of_scikit_learn():
    good = blobs(20)
    detector = Subspace(n_components=4).fit(good[:15], good[15:])
    pca = PCA(4, svd_solver="full").fit(good[:15].reshape(15, -1))
    expected = np.clip(pca.inverse_transform(pca.transform(good.reshape(20, -1))), 0, 1).reshape(
        good.shape
    )
    np.testing.assert_allclose(detector.counterpart(good), expected, atol=1e-5)
    np.testing.assert_allclose(
        detector.encode(good), pca.transform(good.reshape(20, -1)), atol=1e-4
    )


def test_a_full_subspace_reproduces_its_training_images():
    good = blobs(8)
    detector = Subspace(n_components=7).fit(good, good)
    np.testing.assert_allclose(detector.counterpart(good), good, atol=1e-4)
    assert detector.score(good).max() < 1e-3


def test_a_defect_scores_higher_and_the_map_has_it_at_its_place():
    good = blobs(60)
    defective = blobs(10, seed=1)
    defective[:, 24:28, 5:9] += 0.3
    detector = Subspace(scoring=ResidualScore(smoothing=1.0)).fit(good[:45], good[45:])
    assert detector.score(defective).min() > detector.score(good[45:]).max()
    for one in detector.anomaly_map(defective):
        row, column = np.unravel_index(one.argmax(), one.shape)
        assert 23 <= row <= 28 and 4 <= column <= 9
    np.testing.assert_array_equal(
        detector.score(defective), detector.anomaly_map(defective).max(axis=(1, 2))
    )


def test_the_chosen_number_of_components_is_the_best_and_smallest_tried():
    good = blobs(40)
    detector = Subspace().fit(good[:30], good[30:])
    best = max(row["auroc"] for row in detector.selection)
    assert len(detector.pca.components_) == next(
        row["n_components"] for row in detector.selection if row["auroc"] == best
    )
    fixed = Subspace(n_components=len(detector.pca.components_)).fit(good[:30], good[30:])
    np.testing.assert_allclose(detector.score(good), fixed.score(good), atol=1e-6)


def test_stored_and_loaded_scores_are_equal(tmp_path):
    good = blobs(20)
    detector = Subspace().fit(good[:15], good[15:])
    detector.save(tmp_path / "model")
    loaded = Subspace.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score(good), detector.score(good))
    assert loaded.selection == detector.selection and loaded.parameters == detector.parameters


def test_wrong_numbers_of_components_are_named():
    good = blobs(5)
    with pytest.raises(ValueError, match="n_components must be"):
        Subspace(n_components=0)
    with pytest.raises(ValueError, match="up to 4; asked for 9"):
        Subspace(n_components=9).fit(good, good)
    with pytest.raises(ValueError, match="up to 0"):
        Subspace().fit(good[:1], good)
