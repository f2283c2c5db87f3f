"""Scale, projection and maps by hand, and weights that must be those of the fit."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist

from adhelpers.detectors import MemoryBank, cells_to_map, feature_scale, random_projection
from adhelpers.detectors.features import backbones
from adhelpers.detectors.features.detector import _shared_backbone


def test_scaling_by_hand():
    values = np.float32([[0, 0, 1], [2, 0, 5]])
    assert feature_scale(values, [2, 1], "none").tolist() == [1, 1, 1]
    assert feature_scale(values, [2, 1], "layer").tolist() == [1, 1, 0.5]
    assert feature_scale(values, [2, 1], "channel").tolist() == [1, 1, 0.5]
    values[1, 1] = np.sqrt(12)
    assert feature_scale(values, [2, 1], "layer").tolist() == [0.5, 0.5, 0.5]


def test_a_projection_nearly_keeps_distances_and_is_seeded():
    points = np.random.default_rng(0).normal(size=(60, 2000)).astype(np.float16)
    scale = np.random.default_rng(1).uniform(0.5, 2, 2000).astype(np.float32)
    near = random_projection(points, scale, 600, seed=0)
    ratios = pdist(near) / pdist(points.astype(float) * scale)
    assert near.shape == (60, 600) and 0.85 < ratios.min() and ratios.max() < 1.15
    np.testing.assert_array_equal(near, random_projection(points, scale, 600, seed=0))
    np.testing.assert_array_equal(random_projection(points, scale, None, seed=0), points * scale)


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
