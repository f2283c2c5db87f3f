import numpy as np
import pytest

from adhelpers.detectors import Subspace, copied_share, plant_patches


def test_planted_patches_change_one_rectangle_and_are_seeded():
    good = np.random.default_rng(0).uniform(size=(5, 64, 48, 3)).astype("float32")
    planted = plant_patches(good, seed=3)
    np.testing.assert_array_equal(planted, plant_patches(good, seed=3))
    assert planted.shape == (10, 64, 48, 3)
    for one, original in zip(planted, np.tile(good, (2, 1, 1, 1)), strict=True):
        rows, columns = np.nonzero((one != original).any(axis=-1))
        assert 2 <= np.ptp(rows) + 1 <= 5 and 2 <= np.ptp(columns) + 1 <= 5
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_what_a_counterpart_takes_over_of_what_is_planted_is_measured():
    class Copier:
        def counterpart(self, pictures):
            return 0.25 * pictures

    plain = np.random.default_rng(0).uniform(size=(6, 64, 64, 1)).astype("float32")
    planted = plant_patches(plain, seed=0, draws=1)
    assert copied_share(Copier(), plain, planted) == pytest.approx(0.25, abs=1e-4)
    subspace = Subspace(n_components=2).fit(plain[:4], plain[4:])
    assert copied_share(subspace, plain, planted) < 0.2
    with pytest.raises(ValueError, match="nothing that could be copied"):
        copied_share(Copier(), plain, plain)
