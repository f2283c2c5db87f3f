"""Drawn brushed metal and its defects."""

import numpy as np
import pytest

from adhelpers.data.rendered.catalogue import render_sample

DEFECTS = ["black_spot", "thin_line", "arc"]


@pytest.mark.parametrize("image_size", [64, 97, 256])
@pytest.mark.parametrize("defect", DEFECTS)
def test_the_mask_is_where_the_picture_changed(defect, image_size, assert_masked):
    assert_masked("metal", defect, image_size, channels=1)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_keeps_away_from_the_border(defect):
    # The sheet fills the picture.
    _, mask = render_sample("metal", defect, 128, seed=3)
    assert (
        not mask[:4].any()
        and not mask[-4:].any()
        and not mask[:, :4].any()
        and not mask[:, -4:].any()
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_brushing_of_metal_runs_along_the_rows_in_good_images_and_a_line_crosses_it(seed):
    good, _ = render_sample("metal", None, 128, seed)
    across, along = (np.abs(np.diff(good[..., 0], axis=axis)).mean() for axis in (0, 1))
    assert across > 1.3 * along
    _, mask = render_sample("metal", "thin_line", 128, seed)
    rows, columns = np.nonzero(mask)
    spread, axes = np.linalg.eigh(np.cov(np.stack([columns, rows])))
    assert spread[1] > 25 * spread[0] and abs(axes[1, 1]) > np.sin(np.radians(20))
