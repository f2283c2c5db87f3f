"""Pictures made of images: what their panels hold."""

import numpy as np
import pytest

from adhelpers.reports import MapScale, map_scale
from adhelpers.reports import style as _style
from adhelpers.reports.figures import images as pictures


def titles(figure):
    return [ax.get_title("left") for ax in figure.axes]


@pytest.mark.parametrize("channels", [1, 3])
def test_image_grid_shows_all_and_no_empty_panels(channels):
    images = np.random.default_rng(0).random((7, 16, 6, channels))
    figure = pictures.image_grid(
        images, titles=[f"image {n}" for n in range(7)], columns=4, title="Good"
    )
    assert titles(figure) == [f"image {n}" for n in range(7)]
    assert len({round(ax.get_position().y0, 6) for ax in figure.axes}) == 2
    np.testing.assert_allclose(figure.axes[6].images[0].get_array(), images[6].squeeze())


def test_image_grid_refuses_nothing_and_too_few_titles():
    with pytest.raises(ValueError, match="images must hold at least one"):
        pictures.image_grid(np.zeros((0, 4, 4, 1)))
    with pytest.raises(
        ValueError, match="titles must have one entry for each of the 2 images; it has 1"
    ):
        pictures.image_grid(np.zeros((2, 4, 4, 1)), titles=["a"])


def test_ground_truth_grid_spreads_over_sizes_and_leaves_good_images_out():
    masks = np.zeros((9, 10, 10), dtype=bool)
    for index in range(1, 9):
        masks[index, 0, :index] = True
    figure = pictures.ground_truth_grid(
        np.zeros((9, 10, 10, 3)), masks, ["good"] + ["cut"] * 8, per_type=3
    )
    assert titles(figure) == ["cut"] * 3
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["1 %", "5 %", "8 %"]
    assert all(len(ax.collections) == 1 for ax in figure.axes)
    with pytest.raises(ValueError, match="masks must hold at least one defect"):
        pictures.ground_truth_grid(np.zeros((1, 10, 10, 3)), masks[:1], ["good"])


def test_reconstruction_grid_shares_one_scale_and_has_its_bar():
    random = np.random.default_rng(1)
    images, maps = (
        random.random((3, 16, 16, 3)),
        random.random((3, 16, 16)) * np.array([1, 2, 5]).reshape(3, 1, 1),
    )
    figure = pictures.reconstruction_grid(
        images, 1 - images, maps, titles=["a", "b", "c"], scores=[0.1, 0.2, 0.3]
    )
    panels, bar = figure.axes[:-1], figure.axes[-1]
    assert titles(figure)[:-1] == ["image", "reconstruction", "anomaly map"] * 3
    # The lowest value is as good as 0.
    assert maps.min() < 0.01
    assert {panels[position].images[0].get_clim() for position in (2, 5, 8)} == {(0, maps.max())}
    np.testing.assert_allclose(panels[4].images[0].get_array(), 1 - images[1])
    assert panels[3].texts[0].get_text() == "b   score 0.2"
    assert bar.get_ylim() == pytest.approx((0, maps.max()))
    assert [label.get_text() for label in bar.get_yticklabels()] == ["0", f"{maps.max():.3g}"]


def test_reconstruction_grid_of_good_images_is_dark_and_its_bar_says_where_the_threshold_is():
    images, maps = np.full((6, 16, 16, 1), 0.5), np.full((6, 16, 16), 0.01)
    maps[:, 3, 3] = 0.02
    scale = map_scale(maps, scores=np.full(6, 0.02), threshold=0.4)
    figure = pictures.reconstruction_grid(images, images, maps, scale=scale)
    for ax in figure.axes[2:-1:3]:
        drawn = ax.images[0]
        brightness = drawn.to_rgba(drawn.get_array())[..., :3].max()
        assert brightness < 0.15
    bar = figure.axes[-1]
    assert [text.get_text() for text in bar.texts] == ["threshold 0.4"]
    assert {line.get_ydata()[0] for line in bar.lines} == {0.4}
    brighter = pictures.reconstruction_grid(images, images, maps + 1, scale=scale).axes[-1]
    assert brighter.get_yticklabels()[-1].get_text() == "0.4 or more"


@pytest.mark.parametrize(("lowest", "diverging"), [(-0.5, True), (-0.001, False), (0.0, False)])
def test_reconstruction_grid_has_one_kind_of_colours(lowest, diverging):
    images = np.zeros((2, 8, 8, 1))
    maps = np.stack([np.full((8, 8), 1.0), np.full((8, 8), lowest)])
    drawn = [
        ax.images[0] for ax in pictures.reconstruction_grid(images, images, maps).axes if ax.images
    ][2:6:3]
    assert {one.get_cmap().name for one in drawn} == {
        _style.DIVERGING if diverging else _style.SEQUENTIAL
    }
    assert {one.get_clim() for one in drawn} == {(-1.0 if diverging else 0.0, 1.0)}


def test_overlay_grid_is_transparent_below_its_floor_and_its_legend_fits():
    images, maps = np.full((2, 16, 16, 1), 0.5), np.zeros((2, 16, 16))
    maps[0, 2:5, 3], maps[0, 7, 7] = 0.6, 1.2
    maps[1, 0, 0] = 0.49
    scale = MapScale(1.0, floor=0.5)
    figure = pictures.overlay_grid(images, maps, scale, ["a", "b"], maps > 1, title="On it")
    first, second, bar = figure.axes
    drawn = first.images[1].get_array()
    np.testing.assert_array_equal(~np.ma.getmaskarray(drawn), maps[0] >= 0.5)
    assert second.images[1].get_array().count() == 0
    assert first.images[1].get_clim() == bar.get_ylim() == (0.5, 1.0)
    assert [len(ax.collections) for ax in (first, second)] == [1, 0]
    figure.draw_without_rendering()
    labels = bar.get_yticklabels()
    assert labels[-1].get_text() == "1 or more"
    assert max(label.get_window_extent().x1 for label in labels) <= figure.bbox.x1
    with pytest.raises(ValueError, match="maps must have the image's shape"):
        pictures.overlay_grid(images, maps[:, 1:], scale)
