import numpy as np

from adhelpers.detectors import plant_patches


def test_planted_patches_change_one_rectangle_and_are_seeded():
    good = np.random.default_rng(0).uniform(size=(5, 64, 48, 3)).astype("float32")
    planted = plant_patches(good, seed=3)
    np.testing.assert_array_equal(planted, plant_patches(good, seed=3))
    assert planted.shape == (10, 64, 48, 3)
    for one, original in zip(planted, np.tile(good, (2, 1, 1, 1)), strict=True):
        rows, columns = np.nonzero((one != original).any(axis=-1))
        assert 2 <= np.ptp(rows) + 1 <= 5 and 2 <= np.ptp(columns) + 1 <= 5
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
