"""Maps in colours: shared limits that reach the threshold, and a scale that is said."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from adhelpers.reports import maps as _maps
from adhelpers.reports import style as _style


def bare_panel(shape=(8, 8)):
    return _style.image_panels(1, 1, shape)[1][0, 0]


def maps_with_peaks(*peaks, size=8):
    maps = np.zeros((len(peaks), size, size), dtype=np.float32)
    maps[:, 2, 2] = peaks
    return maps


def test_a_map_without_negative_values_is_sequential_and_a_signed_one_is_centred_on_zero():
    positive = _maps.show_map(bare_panel(), np.array([[0.0, 2.0], [1.0, 0.5]]))
    assert positive.get_cmap().name == _style.SEQUENTIAL and positive.get_clim() == (0.0, 2.0)
    signed = _maps.show_map(bare_panel(), np.array([[-3.0, 2.0], [1.0, 0.5]]))
    assert signed.get_cmap().name == _style.DIVERGING and signed.get_clim() == (-3.0, 3.0)


@pytest.mark.parametrize(("lowest", "first"), [(0.5, 0.5), (0.05, 0.0), (-0.05, 0.0), (2.0, 0.0)])
def test_the_colours_of_distances_need_not_begin_at_zero(lowest, first):
    drawn = _maps.show_map(bare_panel(), np.array([[lowest, 2.0]]))
    assert drawn.get_clim() == (first, 2.0)


@pytest.mark.parametrize(
    "peaks", [[0.01, 0.02, 0.015], [0.02], [0.0, 0.0]], ids=["good alone", "one image", "constant"]
)
def test_maps_that_stay_below_the_threshold_are_drawn_dark(peaks):
    maps = maps_with_peaks(*peaks)
    scale = _maps.map_scale(maps, scores=peaks, threshold=0.5)
    assert (scale.ends, scale.threshold) == ((0.0, 0.5), 0.5)
    drawn = _maps.show_map(bare_panel(), maps[-1], scale)
    assert drawn.to_rgba(drawn.get_array())[..., :3].max() < 0.15


def test_a_map_above_the_threshold_sets_the_limit_and_the_others_keep_to_it():
    scale = _maps.map_scale(maps_with_peaks(0.1, 2.0), scores=[0.1, 2.0], threshold=0.5)
    assert scale == _maps.MapScale(2.0, threshold=0.5)


@pytest.mark.parametrize(
    "scores", [[0.3, 8.0], [0.001, 0.004], [0.1, 2.1]], ids=["sum", "mean", "beyond its map"]
)
def test_the_threshold_of_a_score_that_is_no_value_of_the_map_is_left_out(scores):
    assert _maps.map_scale(maps_with_peaks(0.1, 2.0), scores, 5.0) == _maps.MapScale(2.0)


def test_a_level_that_some_pixels_exceed_counts_as_a_value_of_the_map():
    maps = np.random.default_rng(0).random((3, 20, 20)).astype(np.float32)
    # The level at which 25 of 400 pixels lie above, as a score with a minimal area takes it.
    levels = np.sort(maps.reshape(3, -1), axis=1)[:, -25]
    assert _maps.map_scale(maps, levels, 1.5).ends == (0.0, 1.5)


def test_scores_and_maps_may_differ_by_rounding():
    maps = maps_with_peaks(0.1, 0.3)
    scores = maps.max(axis=(1, 2)).astype(float) * (1 + 2e-5)
    assert _maps.map_scale(maps, scores, 0.4).threshold == 0.4


def test_a_constant_map_is_dark_below_the_threshold_and_bright_above_it():
    maps = np.full((1, 8, 8), 5.0)
    below, above = (_maps.map_scale(maps, [5.0], cut) for cut in (7.0, 3.0))
    assert (below.ends, above.ends) == ((5.0, 7.0), (3.0, 5.0))


def test_what_is_not_finite_is_passed_over():
    maps = maps_with_peaks(0.1, 0.2, 0.3)
    maps[0], maps[1, 5, 5], maps[2, 6, 6] = np.nan, np.nan, np.inf
    scale = _maps.map_scale(maps, scores=[np.nan, 0.2, 0.3], threshold=0.25)
    assert scale.ends == pytest.approx((0.0, 0.3)) and scale.threshold == 0.25
    assert _maps.map_scale(np.full((2, 4, 4), np.nan), [1.0, 1.0], 0.5) == _maps.MapScale()


def test_one_extreme_map_need_not_darken_the_others_but_one_alone_still_shows():
    assert _maps.map_scale(maps_with_peaks(*[1.0] * 19, 100.0), quantile=0.9).limit == 1.0
    assert _maps.map_scale(maps_with_peaks(*[0.0] * 19, 100.0), quantile=0.9).limit == 100.0


def test_maps_that_are_negative_throughout_are_shown_whole():
    assert _maps.map_scale(np.full((1, 4, 4), -3.0)) == _maps.MapScale(3.0, signed=True)


def test_a_map_says_its_scale_unless_a_bar_does():
    ax, told = bare_panel(), bare_panel()
    _maps.show_map(ax, maps_with_peaks(2.0)[0], _maps.MapScale(0.5, threshold=0.25))
    assert ax.get_xlabel() == "0 to 0.5 or more\nthreshold 0.25"
    width = ax.get_position().width * ax.figure.get_size_inches()[0] * ax.figure.dpi
    assert ax.xaxis.label.get_window_extent().width <= width
    _maps.show_map(told, maps_with_peaks(2.0)[0], told=False)
    assert told.get_xlabel() == ""


def test_a_heatmap_is_centred_on_zero_even_where_it_is_positive():
    drawn = _maps.show_heatmap(bare_panel(), np.array([[0.0, 2.0]]))
    assert drawn.get_cmap().name == _style.DIVERGING and drawn.get_clim() == (-2.0, 2.0)


def test_positive_relevance_has_the_colour_family_of_explanations():
    red, green, blue, _ = plt.get_cmap(_style.DIVERGING)(0.8)
    assert red > green > blue
    red, green, blue, _ = plt.get_cmap(_style.DIVERGING)(0.2)
    assert blue > red > green


def test_a_map_that_failed_says_so():
    ax = bare_panel()
    _maps.show_heatmap(ax, np.full((4, 4), np.nan))
    assert [text.get_text() for text in ax.texts] == ["not available"] and not ax.images
