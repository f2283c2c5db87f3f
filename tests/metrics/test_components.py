"""The component curve and the levels of areas against labelling at every threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import label

from adhelpers.metrics.components import area_levels, component_curve


def largest_by_labelling(heatmap, threshold, connectivity, clear):
    region = heatmap >= threshold
    labels = label(region, connectivity=1 if connectivity == 4 else 2)
    sizes = np.bincount(labels.ravel(), minlength=2)
    sizes[0] = 0
    if clear:
        sizes[np.unique(np.r_[labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = 0
    return sizes.max()


@settings(max_examples=150)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 10**6),
    st.sampled_from((2, 6, 1000)),
    st.sampled_from((4, 8)),
    st.booleans(),
    st.sampled_from((np.float32, np.uint8, np.int64)),
)
def test_the_component_curve_equals_labelling_at_every_threshold(
    height, width, seed, values, connectivity, clear, kind
):
    heatmap = (
        np.random.default_rng(seed).integers(0, min(values, 250), (height, width)).astype(kind)
    )
    levels, areas = component_curve(heatmap, connectivity, clear)
    assert (np.diff(levels.astype(float)) < 0).all() and (np.diff(areas, prepend=0) != 0).all()
    for threshold in np.unique(heatmap):
        position = np.flatnonzero(levels >= threshold)
        ours = areas[position[-1]] if position.size else 0
        assert ours == largest_by_labelling(heatmap, threshold, connectivity, clear)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("clear", [False, True])
def test_the_component_curve_of_a_whole_image(connectivity, clear):
    heatmap = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(64, 48)), 1.5).astype(
        np.float32
    )
    levels, areas = component_curve(heatmap, connectivity, clear)
    for threshold in np.quantile(heatmap, np.linspace(0, 1, 60)).astype(np.float32):
        position = np.flatnonzero(levels >= threshold)
        assert (areas[position[-1]] if position.size else 0) == largest_by_labelling(
            heatmap, threshold, connectivity, clear
        )


def test_a_diagonal_hangs_together_only_across_corners():
    heatmap = np.eye(5)
    assert [component_curve(heatmap, connectivity)[1].tolist() for connectivity in (4, 8)] == [
        [1, 25],
        [5, 25],
    ]


@given(st.integers(0, 10**6), st.sampled_from((4, 8)))
def test_the_level_of_an_area_says_at_which_thresholds_a_component_is_as_large(seed, connectivity):
    maps = np.random.default_rng(seed).integers(0, 12, (3, 6, 7))
    areas = [1, 2, 5, 20, 42, 43]
    levels = area_levels(maps, areas, connectivity)
    for threshold in range(13):
        for heatmap, row in zip(maps, levels, strict=True):
            assert (
                (row >= threshold)
                == [
                    largest_by_labelling(heatmap, threshold, connectivity, False) >= area
                    for area in areas
                ]
            ).all()


def test_without_the_border_a_component_counts_from_its_highest_level_on():
    heatmap = np.zeros((5, 5))
    heatmap[2, 2:4], heatmap[2, 4] = 3, 2
    assert area_levels(heatmap[None], [1, 2, 3], clear_border=True).tolist() == [[3, 3, -np.inf]]
    levels, areas = component_curve(heatmap, clear_border=True)
    assert levels.tolist() == [3, 2] and areas.tolist() == [2, 0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.zeros((2, 2)), 6), "connectivity must be 4"),
        ((np.zeros(3), 8), r"shape \(h, w\)"),
        ((np.array([[np.nan]]), 8), "finite"),
    ],
)
def test_bad_input_of_the_component_curve_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        component_curve(*arguments)


def test_bad_input_of_area_levels_is_named():
    for maps, areas, message in [
        (np.zeros((2, 2)), [1], r"\(n, h, w\)"),
        (np.zeros((1, 2, 2)), [0], "at least 1"),
        (np.zeros((1, 2, 2)), [], "areas"),
    ]:
        with pytest.raises(ValueError, match=message):
            area_levels(maps, areas)
