"""Maps by hand, and weights that must be those of the fit."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from adhelpers.detectors import MemoryBank
from adhelpers.detectors.features import backbones
from adhelpers.detectors.features.detector import _shared_backbone, cells_to_map


def test_a_map_is_interpolated_and_smoothed():
    cells = np.random.default_rng(0).uniform(size=(2, 4, 3)).astype(np.float32)
    large = tf.image.resize(cells[..., None], (32, 24))[..., 0].numpy()
    np.testing.assert_array_equal(cells_to_map(cells, (32, 24, 1), 0.0), large)
    np.testing.assert_allclose(
        cells_to_map(cells, (32, 24, 1), 1.5),
        [gaussian_filter(one, 1.5) for one in large],
        rtol=1e-4,
    )


@pytest.mark.filterwarnings("ignore:The weights of")
def test_other_weights_in_the_same_place_are_refused(tmp_path, monkeypatch):
    good = np.zeros((4, 32, 32, 1), np.float32)
    detector = MemoryBank().fit(good, good, show_progress=False)
    detector.save(tmp_path / "bank")
    _shared_backbone.cache_clear()
    monkeypatch.setattr(backbones, "_assign_hed", lambda network, path: None)
    with pytest.raises(ValueError, match="fitted on features of weights with SHA-256"):
        MemoryBank.load(tmp_path / "bank")
    # The untrained network must not be found by the next test.
    _shared_backbone.cache_clear()
