import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from adhelpers.detectors import ResidualScore, Subspace, plant_defects, subspace
from adhelpers.detectors.subspace import principal_components


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


@pytest.mark.parametrize("amount, count", [(20, 19), (20, 3), (400, 256), (300, 5)])
def test_components_equal_those_of_scikit_learn(amount, count):
    samples = blobs(amount, size=16).reshape(amount, -1)
    fast = principal_components(samples, count)
    full = PCA(count, svd_solver="full").fit(samples.astype(np.float64))
    for name, value in vars(full).items():
        if isinstance(value, np.ndarray) and name != "components_":
            np.testing.assert_allclose(getattr(fast, name), value, rtol=1e-3, atol=1e-5)
    # The last ones are as good as equal in variance, so only what they span is defined.
    np.testing.assert_allclose(fast.components_[:3], full.components_[:3], atol=1e-3)
    np.testing.assert_allclose(
        fast.inverse_transform(fast.transform(samples)),
        full.inverse_transform(full.transform(samples)),
        atol=0.02 if 3 < count < 19 else 1e-3,
    )
    assert fast.get_params() == full.get_params() and fast.n_features_in_ == full.n_features_in_


def test_equal_training_images_leave_unit_vectors():
    samples = np.repeat(blobs(3, size=16).reshape(3, -1), 4, axis=0)
    for one in (samples, np.full_like(samples, 0.5)):
        pca = principal_components(one, 11)
        np.testing.assert_allclose(pca.components_ @ pca.components_.T, np.eye(11), atol=1e-5)
        np.testing.assert_allclose(pca.inverse_transform(pca.transform(one)), one, atol=1e-5)


def test_each_number_tried_scores_as_a_detector_with_that_number():
    good = blobs(30)
    detector = Subspace(seed=3).fit(good[:22], good[22:])
    planted = plant_defects(good[22:], 3).images
    labels = np.repeat([0, 1], [len(good[22:]), len(planted)])
    assert [row["n_components"] for row in detector.selection] == [1, 2, 5, 10, 20, 21]
    for row in detector.selection:
        fixed = Subspace(row["n_components"]).fit(good[:22], good[22:])
        scores = fixed.score(np.concatenate([good[22:], planted]))
        assert row["auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)


def test_more_images_than_pixels_allow_one_component_for_each_pixel():
    good = blobs(90, size=8)
    assert Subspace().fit(good[:80], good[80:]).selection[-1]["n_components"] == 64
    with pytest.raises(ValueError, match="up to 64; asked for 70"):
        Subspace(70).fit(good[:80], good[80:])


def decaying(amount, seed=0, size=700):
    """Samples around a mean that wanders; each deviation is a fifth smaller than the last one."""
    random = np.random.default_rng(seed)
    directions = np.linalg.qr(random.normal(size=(size, 40)))[0].T
    codes = random.normal(size=(amount, 40)) * 0.8 ** np.arange(40)
    codes[:, 0] += np.linspace(-2, 2, amount)
    return (0.5 + codes @ directions).astype(np.float32)


@pytest.mark.parametrize("amount, size", [(201, 700), (256, 700), (300, 120)])
def test_components_in_blocks_are_nearly_those_of_all_samples_at_once(monkeypatch, amount, size):
    samples = decaying(amount, size=size)
    expected = PCA(6, svd_solver="full").fit(samples)
    monkeypatch.setattr(subspace, "_ROWS", 50)
    monkeypatch.setattr(subspace, "_MORE", 8)
    found = principal_components(samples, 6)
    np.testing.assert_allclose(found.mean_, expected.mean_, atol=1e-6)
    np.testing.assert_allclose(found.components_ @ expected.components_.T, np.eye(6), atol=0.02)
    np.testing.assert_allclose(found.components_ @ found.components_.T, np.eye(6), atol=1e-5)
    for name in ("explained_variance_", "explained_variance_ratio_", "singular_values_"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-3)
    assert found.noise_variance_ == pytest.approx(expected.noise_variance_, rel=0.01)


def test_blocks_lose_nothing_where_few_directions_have_all_the_variance(monkeypatch):
    samples = decaying(173)
    samples = PCA(4).fit(samples).inverse_transform(PCA(4).fit_transform(samples)).astype("f4")
    expected = PCA(4, svd_solver="full").fit(samples)
    monkeypatch.setattr(subspace, "_ROWS", 43)
    monkeypatch.setattr(subspace, "_MORE", 1)
    found = principal_components(samples, 4)
    np.testing.assert_allclose(found.components_, expected.components_, atol=1e-4)
    np.testing.assert_allclose(found.explained_variance_, expected.explained_variance_, rtol=1e-4)


def test_equal_images_in_blocks_leave_unit_vectors(monkeypatch):
    monkeypatch.setattr(subspace, "_ROWS", 10)
    found = principal_components(np.full((35, 200), 0.3, np.float32), 3)
    np.testing.assert_allclose(found.components_ @ found.components_.T, np.eye(3), atol=1e-5)
    assert not found.explained_variance_.any()


def test_the_number_is_chosen_on_some_images_where_there_are_many(monkeypatch):
    good, planted_in = blobs(60), []
    monkeypatch.setattr(subspace, "_CHOSEN_ON", 8)
    plant = subspace.plant_defects

    def watched(images, seed):
        planted_in.append(images)
        return plant(images, seed)

    monkeypatch.setattr(subspace, "plant_defects", watched)
    Subspace().fit(good[:30], good[30:])
    assert len(planted_in[0]) == 8
    np.testing.assert_array_equal(planted_in[0][[0, -1]], good[[30, -1]])
