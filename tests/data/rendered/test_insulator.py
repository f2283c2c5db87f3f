"""Drawn insulator strings with faults and tags."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from adhelpers.data.rendered.insulator import FAULTS, VARIATION, Insulator, InsulatorFault, Tag


def string(seed):
    generator = np.random.default_rng(seed)
    return Insulator(
        generator, dict(zip(VARIATION, generator.uniform(size=len(VARIATION)), strict=True))
    )


@pytest.mark.parametrize("image_size", [64, 128])
@pytest.mark.parametrize("kind", FAULTS)
def test_the_masks_are_where_the_picture_changed(kind, image_size):
    for seed in range(4):
        one = string(seed)
        fault, tag = (
            InsulatorFault(kind, seed / 3, np.random.default_rng(seed), one.count),
            Tag(np.random.default_rng(seed)),
        )
        (good, nothing, no_tag), (both, fault_mask, tag_mask), only_fault, only_tag = one.render(
            image_size, (None, None), (fault, tag), (fault, None), (None, tag)
        )
        assert (
            not nothing.any()
            and not no_tag.any()
            and good.shape == (image_size, image_size, 3)
            and good.dtype == np.float32
        )
        change = np.abs(both - good).max(axis=2)
        marked = fault_mask | tag_mask
        assert (
            0.003 < fault_mask.mean() < 0.08
            and 0.005 < tag_mask.mean() < 0.03
            and not (fault_mask & tag_mask).any()
        )
        # Outside there are but the pixels of the edges that show less than a third of it; beyond
        # them nothing at all.
        assert change[~binary_dilation(marked, iterations=3)].max() < 0.15
        assert change[marked].mean() > 0.12 and change[marked].mean() > 40 * change[~marked].mean()
        np.testing.assert_array_equal(only_tag[2], tag_mask)
        np.testing.assert_array_equal(only_fault[1], fault_mask)
        np.testing.assert_array_equal(one.render(image_size, (fault, None))[0][0], only_fault[0])
