"""Drawn screws and their defects."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, gaussian_filter

from adhelpers.data.rendered.catalogue import render_sample

DEFECTS = ["manipulated_front", "scratch_head", "scratch_neck", "thread_side", "thread_top"]


@pytest.mark.parametrize("image_size", [64, 97, 256])
@pytest.mark.parametrize("defect", DEFECTS)
def test_the_mask_is_where_the_picture_changed(defect, image_size, assert_masked):
    assert_masked("screw", defect, image_size, channels=1)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_lies_on_the_screw(defect):
    _, mask = render_sample("screw", defect, 128, seed=3)
    good, _ = render_sample("screw", None, 128, seed=3)
    screw = binary_dilation(gaussian_filter(good[..., 0], 0.7) < 0.62, iterations=4)
    assert 0.02 < screw.mean() < 0.7
    assert screw[mask].mean() > 0.9


def test_the_same_screw_lies_in_another_direction_for_another_seed():
    directions = []
    for seed in range(8):
        image, _ = render_sample("screw", None, 96, seed)
        rows, columns = np.nonzero(gaussian_filter(image[..., 0], 0.7) < 0.55)
        spread, axes = np.linalg.eigh(np.cov(np.stack([columns, rows])))
        # Elongated: at least four times as long as it is wide, standard deviation against standard
        # deviation.
        assert spread[1] > 10 * spread[0]
        length = np.ptp(np.stack([columns, rows], 1) @ axes[:, 1]) / 96
        assert 0.55 < length < 0.82
        directions.append(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])) % 180)
    assert np.ptp(directions) > 60
