"""What the tests of all drawings share."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from adhelpers.data.rendered.catalogue import render_sample


@pytest.fixture(scope="session")
def assert_masked():
    """Function that asserts that a defect's mask is where the picture changed."""

    def check(category, defect, image_size, channels):
        for seed in range(4) if image_size == 64 else range(2):
            good, nothing = render_sample(category, None, image_size, seed)
            bad, mask = render_sample(category, defect, image_size, seed)
            assert not nothing.any()
            assert good.shape == bad.shape == (image_size, image_size, channels)
            assert good.dtype == bad.dtype == np.float32 and 0 <= bad.min() < bad.max() <= 1
            assert 3 <= mask.sum() < 0.08 * mask.size
            change = np.abs(bad - good).max(axis=2)
            # Only faint traces, such as a shadow's fringe, lie outside; beyond the neighbourhood
            # hardly anything.
            inside, outside = change[mask].mean(), change[~mask].mean()
            assert outside < 0.002
            assert inside > 0.04 and inside > 40 * outside
            far = ~binary_dilation(mask, iterations=max(3, image_size // 12))
            assert change[far].max() < 0.13
            assert label(mask, np.ones((3, 3)))[1] <= 12

    return check
