import numpy as np
import pytest

from adhelpers.data import DEFECT_KINDS
from adhelpers.detectors import Subspace, copied_share, plant_defects


def test_planted_defects_are_seeded_and_each_image_gets_each_kind():
    good = np.random.default_rng(0).uniform(size=(5, 64, 48, 3)).astype("float32")
    before = good.copy()
    planted = plant_defects(good, seed=3)
    np.testing.assert_array_equal(good, before)
    np.testing.assert_array_equal(planted.images, plant_defects(good, seed=3).images)
    assert (planted.images != plant_defects(good, seed=4).images).any()
    assert planted.images.shape == (25, 64, 48, 3)
    originals = np.tile(good, (5, 1, 1, 1))
    np.testing.assert_array_equal(planted.masks, (planted.images != originals).any(axis=-1))
    assert planted.masks.any(axis=(1, 2)).all() and planted.masks.mean() < 0.2
    for index in range(5):
        assert set(planted.kinds[index::5]) == set(DEFECT_KINDS)


def test_what_a_counterpart_takes_over_of_what_is_planted_is_measured():
    class Copier:
        def counterpart(self, pictures):
            return 0.25 * pictures

    plain = np.random.default_rng(0).uniform(size=(6, 64, 64, 1)).astype("float32")
    planted = plant_defects(plain, seed=0, draws=1).images
    assert copied_share(Copier(), plain, planted) == pytest.approx(0.25, abs=1e-4)
    subspace = Subspace(n_components=2).fit(plain[:4], plain[4:])
    assert copied_share(subspace, plain, planted) < 0.2
    with pytest.raises(ValueError, match="nothing that could be copied"):
        copied_share(Copier(), plain, plain)
