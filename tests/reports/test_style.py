"""The parts that all figures share: colours, layout, and what a panel shows."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.ndimage import distance_transform_edt

from adhelpers.reports import style as _style


def bare_panel(shape=(8, 8)):
    return _style.image_panels(1, 1, shape)[1][0, 0]


@pytest.mark.parametrize("shape", [(128, 128), (256, 96), (40, 120)])
def test_panels_keep_the_aspect_of_the_image(shape):
    figure, axes = _style.image_panels(2, 3, shape, every=3)
    width, height = figure.get_size_inches()
    for ax in axes.ravel():
        box = ax.get_position()
        assert (box.height * height) / (box.width * width) == pytest.approx(shape[0] / shape[1])
        assert 0 <= box.x0 and box.x1 <= 1 and 0 <= box.y0 and box.y1 <= 1


def test_tall_panels_waste_no_width():
    figure, axes = _style.image_panels(1, 7, (256, 96))
    assert sum(ax.get_position().width for ax in axes.ravel()) > 0.9


def test_a_new_figure_is_not_left_open_for_a_second_showing():
    _style.new_figure(2, 2)
    assert plt.get_fignums() == []


def test_styled_leaves_the_readers_settings_alone():
    before = plt.rcParams["axes.grid"], plt.rcParams["text.parse_math"]
    inside = _style.styled(lambda: (plt.rcParams["axes.grid"], plt.rcParams["text.parse_math"]))()
    assert inside == (True, False)
    assert (plt.rcParams["axes.grid"], plt.rcParams["text.parse_math"]) == before


@pytest.mark.parametrize(
    "shape, shown", [((4, 5, 1), (4, 5)), ((4, 5), (4, 5)), ((4, 5, 3), (4, 5, 3))]
)
def test_displayable_shapes(shape, shown):
    picture = _style.displayable(np.full(shape, 1.7))
    assert picture.shape == shown and picture.max() == 1.0


def test_an_image_of_two_channels_is_refused():
    with pytest.raises(ValueError, match=r"image must have shape \(h, w, 1\)"):
        _style.displayable(np.zeros((4, 4, 2)))


def maps_with_peaks(*peaks, size=8):
    maps = np.zeros((len(peaks), size, size), dtype=np.float32)
    maps[:, 2, 2] = peaks
    return maps


def test_overlap_gives_each_part_its_colour():
    region, mask = np.zeros((2, 4, 4), dtype=bool)
    region[:2], mask[:, :2] = True, True
    canvas = _style.show_overlap(bare_panel(), np.full((4, 4, 1), 0.5), region, mask).get_array()
    colors = {
        "overlap": _style.OVERLAP,
        "truth": _style.GROUND_TRUTH,
        "explanation": _style.EXPLANATION,
    }

    def nearest(pixel):
        return min(colors, key=lambda name: np.abs(pixel - np.array(to_rgb(colors[name]))).sum())

    assert (
        nearest(canvas[0, 0]) == "overlap"
        and nearest(canvas[3, 0]) == "truth"
        and nearest(canvas[0, 3]) == "explanation"
    )
    assert np.ptp(canvas[3, 3]) == 0


def test_outline_goes_around_a_defect_at_the_border_and_ignores_an_empty_mask():
    ax, mask = bare_panel(), np.zeros((6, 6), dtype=bool)
    assert _style.outline(ax, mask) is None
    mask[0, 0] = True
    lines = _style.outline(ax, mask)
    path = lines.get_paths()[0].vertices
    # More than half a pixel to each side of the only pixel's centre, even outside the image.
    assert (path.min(axis=0) < -0.5).all() and (path.max(axis=0) > 0.5).all()
    assert (path[0] == path[-1]).all() and not lines.get_clip_on()
    assert ax.get_xlim() == (-0.5, 5.5) and ax.get_ylim() == (5.5, -0.5)


@pytest.mark.parametrize("side", [24, 96, 256])
@pytest.mark.parametrize("kind", ["pixel", "scratch", "diagonal", "border", "frame"])
def test_outline_does_not_cover_a_pixel_of_a_thin_defect(side, kind):
    mask = np.zeros((side, side), dtype=bool)
    if kind == "pixel":
        mask[side // 2, side // 2] = True
    elif kind == "scratch":
        mask[side // 2, 4:-4] = True
    elif kind == "diagonal":
        np.fill_diagonal(mask[4:-4, 4:-4], True)
        mask |= np.roll(mask, 1, axis=1)
    elif kind == "border":
        mask[0:2, 3:9] = True
    else:
        mask[4:-4, 4:-4] = True
        mask[6:-6, 6:-6] = False
    drawn = []
    for outlined in (False, True):
        figure, axes = _style.image_panels(1, 1, mask.shape)
        ax = axes[0, 0]
        _style.show_image(ax, np.full((*mask.shape, 1), 0.5))
        if outlined:
            _style.outline(ax, mask)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        drawn.append(np.asarray(canvas.buffer_rgba())[..., :3].astype(int))
    changed = (drawn[0] != drawn[1]).any(axis=2)
    assert changed.any()
    rows, columns = np.nonzero(mask)
    places = ax.transData.transform(np.column_stack([columns, rows]))
    y, x = (len(changed) - places[:, 1]).astype(int), places[:, 0].astype(int)
    assert not changed[y, x].any()
    # It is beside the defect, not somewhere: no drawn point is farther than four points and
    # two pixels of the image away.
    near = np.zeros_like(changed)
    near[y, x] = True
    size = 2 * figure.get_size_inches()[0] * figure.dpi / side
    assert distance_transform_edt(~near)[changed].max() <= 4 * figure.dpi / 72 + size


def test_type_colors_are_stable_and_good_is_blue():
    assert _style.type_colors(["good", "cut", "crack"]) == {
        "good": _style.GOOD,
        "crack": _style.DEFECT_COLORS[0],
        "cut": _style.DEFECT_COLORS[1],
    }
    assert "good" not in _style.type_colors(["cut"])


@pytest.mark.parametrize(
    "text, width", [("LIME", 1.0), ("manipulated_front/000.png", 1.0), ("x" * 300, 1.0)]
)
def test_fitted_text_is_not_wider_than_its_panel(text, width):
    shown, size = _style.fitted(text, width)
    figure = _style.new_figure(10, 1, dpi=100)
    drawn = figure.text(0, 0, shown, fontsize=size).get_window_extent()
    assert drawn.width / 100 <= width * 1.05 and 6 <= size <= 8


def test_one_line_keeps_both_ends():
    assert _style.one_line("a\nb  c") == "a b c"
    assert len(_style.one_line("test/crack/000.png", 10)) == 10
    assert _style.one_line("test/crack/000.png", 10).endswith("0.png")


def test_check_plane_names_what_does_not_fit():
    with pytest.raises(
        ValueError, match=r"mask must have the image's shape \(4, 4\); it has \(4, 5\)"
    ):
        _style.check_plane((4, 4), mask=np.zeros((4, 5)))


def test_a_notebook_stores_what_a_figure_shows_with_its_picture():
    from IPython.core.formatters import DisplayFormatter
    from IPython.core.pylabtools import print_figure

    formatter = DisplayFormatter()
    formatter.formatters["image/png"].enabled = True
    formatter.formatters["image/png"].for_type(Figure, lambda figure: print_figure(figure, "png"))
    # IPython shows no figure that is empty.
    figure = _style.new_figure(1.0, 1.0)
    figure.add_axes((0, 0, 1, 1))
    _style.describe(figure, "Losses\nagainst the epoch")
    data, metadata = formatter.format(figure)
    assert metadata["image/png"]["alt"] == "Losses against the epoch"
    assert data["image/png"].startswith(b"\x89PNG")
    # One that says nothing has no empty text in place of the heading above it.
    assert "image/png" not in formatter.format(_style.new_figure(1.0, 1.0))[1]


@pytest.mark.parametrize("note", ["", "score 0.09306 > 0.09265: flagged"])
@pytest.mark.parametrize("width", [4.5, 5.6, 9.0])
@pytest.mark.parametrize(
    "title",
    [
        "good/001.png: false alarm",
        "scratch_head/002.png: right reason, badly explained",
        "manipulated_front/000.png: " + "right reason " * 30,
    ],
)
def test_title_and_note_of_a_figure_do_not_meet(title, note, width):
    figure = _style.new_figure(width, 1.0)
    _style.headline(figure, title, note)
    FigureCanvasAgg(figure).draw()
    left, right = (text.get_window_extent() for text in figure.texts)
    assert left.x1 <= (right.x0 if note else width * figure.dpi)
    if width == 9.0 and len(title) < 100:
        assert figure.texts[0].get_text() == title
