"""Strips drawn as arrays, held against the ones that Matplotlib draws."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.ndimage import uniform_filter

from adhelpers.metrics.localization import optimal_jaccard
from adhelpers.reports import MapScale, Sample, sample_strip, sample_webp
from adhelpers.reports import style as _style
from adhelpers.reports.strip_picture import strip_picture


def make_sample(shape, channels=1, **changes):
    random = np.random.default_rng(0)
    rows, columns = np.indices(shape)
    smooth = uniform_filter(random.random(shape), 9)
    mask = np.hypot(rows - shape[0] / 2, columns - shape[1] / 3) < min(shape) / 6
    heatmap = uniform_filter(np.roll(mask, 3, axis=1) - 0.2, 5)
    image = np.repeat(smooth[..., None], channels, axis=2) * np.linspace(0.6, 1, channels)
    values = {
        "image": image,
        "heatmaps": {"SHAP": heatmap},
        "anomaly_map": smooth * mask,
        "mask": mask,
        "score": 0.5,
        "optimal": {"SHAP": optimal_jaccard(heatmap, mask)},
        "repaired": (image[::-1], 0.25),
    }
    return Sample(**(values | changes))


def drawn(sample, **options):
    """The slow way: a figure."""
    figure = sample_strip(sample, 0.4, title="", **options)
    figure.set_dpi(110)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


@pytest.mark.parametrize(
    ("shape", "channels"), [((64, 64), 1), ((128, 48), 3), ((48, 128), 1), ((300, 260), 3)]
)
def test_it_looks_like_the_figure(shape, channels):
    sample = make_sample(shape, channels)
    fast, slow = strip_picture(sample, 0.4), drawn(sample)
    assert np.abs(np.subtract(fast.shape, slow.shape)).max() <= 4
    # Lines and letters may lie a pixel or two beside those of the figure.
    height, width = np.minimum(fast.shape[:2], slow.shape[:2])
    one, other = (
        uniform_filter(picture[:height, :width].astype(float), (9, 9, 0))
        for picture in (fast, slow)
    )
    assert np.abs(one - other).mean() < 4
    assert np.quantile(np.abs(one - other).max(axis=2), 0.99) < 45
    # The test can fail: another heatmap is told apart.
    turned = {"SHAP": sample.heatmaps["SHAP"][::-1, ::-1]}
    changed = strip_picture(make_sample(shape, channels, heatmaps=turned), 0.4)
    other = uniform_filter(changed[:height, :width].astype(float), (9, 9, 0))
    assert np.quantile(np.abs(one - other).max(axis=2), 0.99) > 45


def panel(picture, position, side):
    """The pixels of a panel of square images, inside its frame."""
    size = round(side * 110)
    x = 9 + position * (size + 8)
    return picture[22 : 22 + size, x : x + size]


SIDE = np.sqrt(_style.PANEL_AREA)


def test_a_map_has_the_colours_of_its_scale():
    steps = np.repeat(np.array([[-1.0, 0.0, 1.0, 2.0]]), 4, axis=0)
    sample = Sample(np.zeros((4, 4, 1)), {}, anomaly_map=steps)
    shown = panel(strip_picture(sample, scale=MapScale(1.0)), 1, SIDE)
    ends = 255 * np.array([to_rgb(colormaps["magma"](value)) for value in (0.0, 1.0)])
    np.testing.assert_allclose(shown[90, [10, -10]], ends, atol=2)
    signed = panel(strip_picture(sample, scale=MapScale(1.0, signed=True)), 1, SIDE)
    np.testing.assert_allclose(
        signed[90, [10, -10]],
        255 * np.array([to_rgb(colormaps["PuOr_r"](value)) for value in (0.0, 1.0)]),
        atol=2,
    )


def outlined(picture):
    """Where the line around the defect is."""
    return np.abs(picture.astype(int) - 255 * np.array(to_rgb(_style.GROUND_TRUTH))).max(axis=2) < 6


@pytest.mark.parametrize("side", [16, 64, 187, 512])
def test_the_line_lies_around_a_defect_of_one_pixel_and_not_on_it(side):
    mask = np.zeros((side, side), bool)
    row, column = side // 3, side // 2
    mask[row, column] = True
    shown = panel(strip_picture(Sample(np.full((side, side, 1), 0.5), {}, mask=mask)), 0, SIDE)
    found, scale = np.argwhere(outlined(shown)), len(shown) / side
    centre = (np.array([row, column]) + 0.5) * scale - 0.5
    distances = np.hypot(*(found - centre).T)
    assert len(found) >= 12 and np.abs(found.mean(axis=0) - centre).max() < 0.8
    # Beside the pixel and within a few points of it, on all sides.
    assert distances.min() > 0.5 * scale and distances.max() < 1.5 * scale + 6
    assert {tuple(np.sign(np.round(one - centre)).astype(int)) for one in found} >= {
        (-1, -1),
        (-1, 1),
        (1, -1),
        (1, 1),
    }


def test_a_defect_at_the_border_is_closed_and_the_picture_keeps_its_size():
    mask = np.zeros((32, 32), bool)
    mask[-4:, -4:] = mask[:3, :3] = True
    image = np.full((32, 32, 1), 0.5)
    picture = strip_picture(Sample(image, {}, mask=mask))
    plain = strip_picture(Sample(image, {}))
    assert picture.shape == plain.shape
    found = np.argwhere(outlined(picture))
    panel_end = 22 + len(panel(picture, 0, SIDE))
    # The line goes on beyond the panel, above and below.
    assert found[:, 0].min() < 22 and found[:, 0].max() > panel_end
    everything = strip_picture(Sample(image, {}, mask=np.ones((32, 32), bool)))
    assert everything.shape == plain.shape


def test_without_a_defect_there_is_no_line():
    image, empty = np.full((32, 32, 1), 0.5), np.zeros((32, 32), bool)
    picture = strip_picture(Sample(image, {}, mask=empty))
    assert not outlined(picture).any()
    assert (picture == strip_picture(Sample(image, {}))).all()


def test_an_overlap_has_as_much_of_each_colour_as_there_are_pixels():
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    heatmap = np.roll(mask, 4, axis=0).astype(float)
    sample = Sample(
        np.full((20, 20, 1), 0.5), {"SHAP": heatmap}, mask=mask, optimal={"SHAP": (0.43, 0.5)}
    )
    shown = panel(strip_picture(sample), 2, SIDE).astype(int)
    for color, share in ((_style.OVERLAP, 60), (_style.GROUND_TRUTH, 40), (_style.EXPLANATION, 40)):
        meant = np.round(255 * (0.2 * 0.5 + 0.8 * np.array(to_rgb(color))))
        found = (np.abs(shown - meant).max(axis=2) <= 2).mean()
        assert found == pytest.approx(share / 400, rel=0.1)


def test_one_pixel_of_overlap_is_seen_where_the_panel_is_smaller_than_the_image():
    mask = np.zeros((600, 600), bool)
    mask[300, 300] = True
    heatmap = mask.astype(float)
    sample = Sample(
        np.zeros((600, 600, 1)), {"SHAP": heatmap}, mask=mask, optimal={"SHAP": (1.0, 1.0)}
    )
    shown = panel(strip_picture(sample), 2, SIDE).astype(int)
    assert (shown[..., 1] - shown[..., 0]).max() > 4


def test_what_failed_or_is_not_finite_is_told_or_passed_over():
    sample = make_sample((32, 32))
    nothing = np.full((32, 32), np.nan)
    failed = make_sample((32, 32), heatmaps={"SHAP": nothing}, optimal={"SHAP": (np.nan, np.nan)})
    picture = strip_picture(failed)
    assert picture.shape == strip_picture(sample).shape
    for position in (3, 4):
        part = panel(picture, position, SIDE)
        assert (part == 0xF1).all(axis=2).mean() > 0.8 and (part < 0xC0).any()
    holed = make_sample((32, 32), anomaly_map=np.where(sample.mask, np.nan, 0.0))
    dark = panel(strip_picture(holed, scale=MapScale(1.0)), 1, SIDE)
    # What is not finite has the first colour, as 0 does.
    assert (dark[:20] < 8).all()


def test_a_card_is_small_and_its_line_stays_sharp():
    rough = np.random.default_rng(1).normal(0.5, 0.06, (128, 128, 1))
    sample = make_sample((128, 128), image=uniform_filter(rough, (2, 2, 1)))
    content = sample_webp(sample, 0.4)
    assert content[8:12] == b"WEBP" and len(content) < 40_000
    seen = np.asarray(Image.open(BytesIO(content)).convert("RGB")).astype(float)
    exact = strip_picture(sample, 0.4)
    assert seen.shape == exact.shape
    line = outlined(exact)
    grey = seen @ _style.LUMA, exact @ _style.LUMA
    # Brightness tells a line from its dark edge; its colour may bleed.
    assert line.sum() > 200 and np.abs(grey[0] - grey[1])[line].mean() < 12
