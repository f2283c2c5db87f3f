"""Regions of an explanation beside the peak of the anomaly map, counted by hand."""

import numpy as np
import pytest

from adhelpers.audit import too_coarse


def peak_of(rows, columns, side=16):
    """An anomaly map with a peak of so many pixels, with slopes below half of its height."""
    found = np.full((side, side), 0.1)
    found[1 : rows + 3, 1 : columns + 3] = 0.3
    found[2 : rows + 2, 2 : columns + 2] = 1.0
    return found


def blocks(size, at=(0, 0), side=16):
    """A heatmap whose block at a place has the highest of many values."""
    values = np.random.default_rng(0).uniform(-1, 0.5, (side // size, side // size))
    values[at] = 2.0
    return np.kron(values, np.ones((size, size)))


@pytest.mark.parametrize(
    "size, rows, columns, expected",
    [(8, 2, 3, True), (4, 2, 3, True), (4, 4, 4, False), (2, 2, 3, False), (4, 4, 5, False)],
)
def test_a_block_is_compared_with_the_peak_pixel_by_pixel(size, rows, columns, expected):
    assert too_coarse([blocks(size)], [peak_of(rows, columns)]).tolist() == [expected]


def test_where_the_block_lies_does_not_matter():
    """A fine explanation of the wrong place is wrong, not coarse; a coarse one is coarse there."""
    peak = peak_of(4, 5)
    assert too_coarse([blocks(4, (3, 3)), blocks(8, (1, 1))], [peak, peak]).tolist() == [
        False,
        True,
    ]


def test_other_regions_of_the_same_value_do_not_count():
    """A peak of one pixel and many equal ones elsewhere: only the one at the highest counts."""
    heatmap = np.zeros((16, 16))
    heatmap[::2, ::2] = 1
    spot = np.zeros((16, 16))
    spot[3, 3] = spot[9, 9] = 1
    assert too_coarse([heatmap], [spot]).tolist() == [False]


def test_nothing_is_coarse_where_there_is_nothing_to_compare():
    flat, peak = np.ones((16, 16)), peak_of(1, 1)
    failed = np.full((16, 16), np.nan)
    assert too_coarse([flat, blocks(8), failed], [peak, flat, peak]).tolist() == [False] * 3


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"one shape \(n, h, w\)"):
        too_coarse(np.zeros((1, 4, 4)), np.zeros((1, 4, 5)))
