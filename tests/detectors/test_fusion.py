import numpy as np
import pytest
import tensorflow as tf

from adhelpers._shared.checks import checked_images
from adhelpers.detectors import Detector, Fusion, MemoryBank, Subspace


class Known(Detector):
    """Its score is a factor times the first pixel, its map the whole image."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor, self.fits = factor, 0

    def fit(self, train, validation, *, checkpoint=None, show_progress=True):
        self.image_shape, self.fits = train.shape[1:], self.fits + 1
        return self

    def anomaly_map(self, images):
        return np.float32(self.factor) * checked_images(images)[..., 0]

    def score(self, images):
        return self.anomaly_map(images)[:, 0, 0]

    def counterpart(self, images):
        return images / 2

    _write = _read = None


def flat(*values):
    return np.ones((len(values), 4, 4, 1), np.float32) * np.float32(values)[:, None, None, None]


def good(count, seed=0):
    return np.random.default_rng(seed).uniform(size=(count, 32, 32, 1)).astype(np.float32)


def test_scores_are_standardised_and_averaged_by_hand():
    fusion = Fusion([Known(1.0), Known(-10.0)]).fit(flat(0.5), flat(0.1, 0.2, 0.3))
    np.testing.assert_allclose(fusion.means, [0.2, -2], rtol=1e-5)
    np.testing.assert_allclose(fusion.deviations, [0.1, 1], rtol=1e-5)
    np.testing.assert_allclose(fusion.member_scores(flat(0.5)), [[3], [-3]], rtol=1e-4)
    np.testing.assert_allclose(fusion.score(flat(0.5, 0.2)), [0, 0], atol=1e-5)
    fusion = Fusion([Known(1.0), Known(10.0)]).fit(flat(0.5), flat(0.1, 0.2, 0.3))
    np.testing.assert_allclose(fusion.score(flat(0.5, 0.2, 0.1)), [3, 0, -1], atol=1e-4)
    np.testing.assert_allclose(fusion.anomaly_map(flat(0.5)), np.full((1, 4, 4), 3), rtol=1e-4)
    assert fusion.counterpart(flat(0.5)).max() == 0.25


def test_members_that_are_fitted_stay_as_they_are():
    old, new = Known().fit(flat(0.5), None), Known(2.0)
    Fusion([old, new]).fit(flat(0.5), flat(0.1, 0.2))
    assert (old.fits, new.fits) == (1, 1)


def test_stored_and_loaded_scores_are_equal(tmp_path):
    subspace = Subspace(2).fit(good(8), good(3))
    subspace.save(tmp_path / "alone")
    fusion = Fusion([subspace, MemoryBank(smoothing=2.0)]).fit(
        good(8), good(3, seed=1), show_progress=False
    )
    fusion.save(tmp_path / "both")
    assert subspace.folder == tmp_path / "alone"
    loaded, images = Fusion.load(tmp_path / "both"), good(3, seed=2)
    np.testing.assert_array_equal(loaded.score(images), fusion.score(images))
    np.testing.assert_array_equal(loaded.anomaly_map(images), fusion.anomaly_map(images))
    np.testing.assert_allclose(
        fusion.score_tensor(tf.constant(images)), fusion.score(images), atol=0.02
    )
    # A changed file of a member is refused like any other.
    (tmp_path / "both" / "member_1" / "bank.npz").write_bytes(b"broken")
    with pytest.raises(ValueError, match="SHA-256 of .*member_1.bank.npz"):
        Fusion.load(tmp_path / "both")


def test_by_place_a_place_where_good_images_vary_counts_less():
    random = np.random.default_rng(0)
    validation = random.normal(0.3, 0.01, (40, 64, 64, 1)).astype(np.float32)
    # The left half varies five times as much.
    validation[:, :, :32] += random.normal(0, 0.05, (40, 64, 32, 1))
    validation = validation.clip(0, 1)
    fusion = Fusion([Known(1.0), Known(5.0)], "place").fit(validation, validation)
    assert fusion.deviations.shape == fusion.means.shape == (2, 64, 64)
    left, right = np.full((2, 1, 64, 64, 1), 0.3, np.float32)
    left[:, 32, 8], right[:, 32, 56] = 0.5, 0.5
    maps = fusion.anomaly_map(np.concatenate([left, right]))
    # Both members see the same, whatever their factor.
    each = fusion.member_scores(np.concatenate([left, right]))
    np.testing.assert_allclose(each[0], each[1], rtol=1e-3)
    np.testing.assert_array_equal(
        fusion.score(np.concatenate([left, right])), maps.max(axis=(1, 2))
    )
    # By hand, far from the border: 0.2 over the root of the place's and of the mean variance.
    between = (0.01**2 + (0.01**2 + 0.05**2)) / 2
    expected = [0.2 / np.sqrt(0.05**2 + 0.01**2 + between), 0.2 / np.sqrt(0.01**2 + between)]
    np.testing.assert_allclose(fusion.score(np.concatenate([left, right])), expected, rtol=0.15)
    with pytest.raises(TypeError, match="maps have no gradient"):
        fusion.score_tensor(tf.constant(left))


def test_by_place_stored_and_loaded_scores_are_equal(tmp_path):
    fusion = Fusion([Subspace(2), Subspace(3)], "place").fit(good(8), good(3, seed=1))
    fusion.save(tmp_path)
    loaded, images = Fusion.load(tmp_path), good(3, seed=2)
    assert loaded.standardise == "place"
    np.testing.assert_array_equal(loaded.score(images), fusion.score(images))


def test_checkpoints_of_members_do_not_meet(tmp_path):
    class Writing(Known):
        def fit(self, train, validation, *, checkpoint=None, show_progress=True):
            assert not checkpoint.exists()
            checkpoint.write_text(str(self.parameters))
            return super().fit(train, validation)

    Fusion([Writing(1.0), Writing(2.0)]).fit(
        flat(0.5), flat(0.1, 0.2), checkpoint=tmp_path / "state.npz"
    )
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_fused_is_named():
    with pytest.raises(ValueError, match="two detectors or more, not 1"):
        Fusion([Known()])
    with pytest.raises(ValueError, match="there is no detector 'Unknown'"):
        Fusion.from_parameters({"members": 2 * [{"detector": "Unknown", "parameters": {}}]})
    with pytest.raises(ValueError, match="at least two"):
        Fusion([Known(), Known()]).fit(flat(0.5), flat(0.1))
    with pytest.raises(ValueError, match="Known gives all validation images the score"):
        Fusion([Known(), Known()]).fit(flat(0.5), flat(0.1, 0.1))
    with pytest.raises(
        ValueError, match=r"Known was fitted on images of \(4, 4, 1\), not \(32, 32, 1\)"
    ):
        Fusion([Known().fit(flat(0.5), None), Known()]).fit(good(2), good(2))
    with pytest.raises(ValueError, match="Known has the same map for all validation images"):
        Fusion([Known(), Known()], "place").fit(flat(0.5), flat(0.1, 0.1))
    with pytest.raises(ValueError, match="standardise must be one of score, place"):
        Fusion([Known(), Known()], "image")
    with pytest.raises(RuntimeError, match="not fitted"):
        Fusion([Known(), Known()]).score(flat(0.1))
