"""The component curve against labelling: ratios in one run, results held equal.

Run with ``python -m pytest tests/benchmarks/test_regions_speed.py -s``.
"""

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label, regionprops

from adhelpers.metrics import area_levels
from adhelpers.metrics.components import component_curve


def residual(kind, size=256):
    """A map like a residual: noise smoothed a little, a few strong places."""
    random = np.random.default_rng(0)
    heatmap = np.abs(ndimage.gaussian_filter(random.normal(size=(size, size)), 1.5))
    heatmap[60:70, 80:95] += 0.3
    heatmap = (heatmap / heatmap.max()).astype(np.float32)
    return np.round(heatmap * 255).astype(np.uint8) if kind == "8 bit" else heatmap


def largest_with_skimage(region):
    return np.bincount(label(region, connectivity=2).ravel())[1:].max(initial=0)


def largest_with_scipy(region):
    return np.bincount(ndimage.label(region, np.ones((3, 3)))[0].ravel())[1:].max(initial=0)


@pytest.mark.parametrize("kind", ["8 bit", "float"])
@pytest.mark.parametrize("labelling", [largest_with_skimage, largest_with_scipy])
def test_one_curve_against_a_labelling_pass_for_each_of_256_levels(
    best_time, goal, kind, labelling
):
    heatmap = residual(kind)
    levels = np.arange(256) if kind == "8 bit" else np.linspace(0, 1, 256, dtype=np.float32)
    component_curve(heatmap)  # compiled before it is timed
    plain, expected = best_time(lambda: [labelling(heatmap >= level) for level in levels], 3)
    ours, (changes, areas) = best_time(lambda: component_curve(heatmap), 60)
    position = np.searchsorted(-changes.astype(float), -levels.astype(float), side="right") - 1
    np.testing.assert_array_equal(np.where(position < 0, 0, areas[position]), expected)
    print(
        f"\n{kind}, {labelling.__name__}: {plain * 1e3:.1f} ms -> {ours * 1e3:.2f} ms, "
        f"{plain / ours:.0f} times faster"
    )
    least = 50 if kind == "8 bit" else 30
    goal(f"largest regions, {kind}", labelling.__name__, plain / ours, at_least=least)
    assert plain / ours >= least


def test_all_areas_against_relabelling_for_each_area_and_level(best_time, goal):
    """The published search labels every map for each area and threshold and measures regions."""
    heatmap, areas, levels = residual("8 bit"), np.arange(5, 1001, 5), np.arange(256)
    ours, found = best_time(lambda: area_levels(heatmap[None], areas)[0], 60)

    def largest(level):
        return max(
            (region.area for region in regionprops(label(heatmap >= level, connectivity=2))),
            default=0,
        )

    # For each area, all levels would be labelled again: two areas are timed and stand for all.
    plain, expected = best_time(
        lambda: [
            max(level for level in levels if largest(level) >= area) for area in areas[[0, 100]]
        ],
        1,
    )
    assert found[[0, 100]].tolist() == expected
    ratio = plain / 2 * len(areas) / ours
    print(
        f"\n{len(areas)} areas x 256 levels: {plain / 2 * len(areas):.0f} s -> "
        f"{ours * 1e3:.2f} ms, {ratio:,.0f} times faster"
    )
    goal("all areas and levels", "labelling for each", ratio, at_least=1000)
    assert ratio >= 1000
