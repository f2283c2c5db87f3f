"""The strip of a test image as an array: what `sample_strip` draws, without Matplotlib's figure."""

import functools
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt

from adhelpers._shared.arrays import Flags, Floats
from adhelpers.metrics import Threshold

from ._pages import webp_bytes
from .maps import MapScale
from .panels import HEATMAP_COLORS, OVERLAP_NAMES, Layout, Panel, strip_layout, strip_panels
from .sample import Sample
from .style import (
    DIVERGING,
    EXPLANATION,
    FAINT,
    GAP,
    GROUND_TRUTH,
    INK,
    OVERLAP,
    SEQUENTIAL,
    displayable,
    fitted,
)

# Pixels per inch, and per point.
_DPI = 110
_POINT = _DPI / 72
_MARGIN = round(0.08 * _DPI)
# Width in points of the line around a defect, and of its dark edge with it.
_LINE, _STROKE = 1.1, 2.0


def strip_picture(
    sample: Sample,
    threshold: Threshold | float | None = None,
    *,
    scale: MapScale | None = None,
    counterpart_name: str = "reconstruction",
) -> NDArray[np.uint8]:
    """The strip of a test image without a title, for a page that shows hundreds of them.

    Panels, colours and words are those of `sample_strip`; it takes a tenth of its time.

    Parameters
    ----------
    sample, threshold, scale, counterpart_name
        As for `sample_strip`.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Examples
    --------
    >>> image, heatmap = np.zeros((64, 64, 1)), np.eye(64)
    >>> strip_picture(Sample(image, {"LIME": heatmap}, mask=heatmap > 0)).shape
    (254, 400, 3)
    """
    panels = strip_panels(sample, threshold, scale, counterpart_name)
    layout = strip_layout(sample, panels, titled=False)
    width, height = round(layout.width * _DPI), round(layout.height * _DPI)
    top, step = round(layout.top * _DPI), width + round(GAP * _DPI)
    whole = (
        top + height + round(layout.bottom * _DPI),
        2 * _MARGIN + step * len(panels) - round(GAP * _DPI),
    )
    canvas = np.full((*whole, 3), 255, np.uint8)
    edge = None if sample.mask is None else _Edge.around(sample.mask, (height, width))
    for position, panel in enumerate(panels):
        x = _MARGIN + position * step
        canvas[top - 1 : top + height + 1, x - 1 : x + width + 1] = 0xC8
        canvas[top : top + height, x : x + width] = _colors(panel, (height, width))
        if panel.outlined and panel.values is not None and edge is not None:
            edge.draw(canvas, top, x)
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    for position, panel in enumerate(panels):
        _write(draw, panel, _MARGIN + position * step, top, width, height)
    _explain(draw, layout, whole)
    return np.asarray(picture)


def sample_webp(sample: Sample, *arguments: Any, **options: Any) -> bytes:
    """What `strip_picture` draws, as the bytes of a WebP file."""
    return webp_bytes(Image.fromarray(strip_picture(sample, *arguments, **options)))


class _Edge:
    """The line around a defect, drawn once and laid over several panels."""

    def __init__(self, place: tuple[int, int], dark: Floats, line: Floats) -> None:
        self.place, self.dark, self.line = place, dark, line

    @classmethod
    def around(cls, mask: Flags, size: tuple[int, int]) -> "_Edge | None":
        """Of a mask on a panel of this height and width; None where nothing is masked.

        It lies beside the pixels of the defect, as `style.outline` draws it.
        """
        mask = np.asarray(mask, dtype=bool)
        if not mask.any():
            return None
        pixel = np.divide(size, mask.shape)
        away = 0.75 * pixel.max() + (_STROKE / 2 + 1.0) * _POINT
        reach = away + _STROKE * _POINT
        frame = int(np.ceil((reach + 1) / pixel.min())) + 1
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        first = np.array([rows[0], columns[0]])
        last = np.array([rows[-1], columns[-1]]) + 1
        cut = np.pad(mask[first[0] : last[0], first[1] : last[1]], frame)
        distances = distance_transform_edt(~cut, sampling=pixel).astype(np.float32)
        # Whole pixels of the picture, and where they lie in the array of distances.
        start = np.floor(first * pixel - reach).astype(int)
        stop = np.ceil(last * pixel + reach).astype(int)
        (upper, left), (lower, right) = (one / pixel - first + frame for one in (start, stop))
        fine = Image.fromarray(distances).resize(
            (int(stop[1] - start[1]), int(stop[0] - start[0])),
            Image.Resampling.BILINEAR,
            box=(left, upper, right, lower),
        )
        off = np.abs(np.asarray(fine) - away)
        dark, line = (
            np.clip(0.5 + width * _POINT / 2 - off, 0, 1)[..., None] for width in (_STROKE, _LINE)
        )
        return cls((int(start[0]), int(start[1])), dark, line)

    def draw(self, canvas: NDArray[np.uint8], top: int, left: int) -> None:
        """Lay it over the panel whose upper left corner is there."""
        y, x = self.place[0] + top, self.place[1] + left
        height, width = self.dark.shape[:2]
        # What would lie outside of the picture is cut off.
        up, back = max(0, -y), max(0, -x)
        part = canvas[y + up : y + height, x + back : x + width]
        inside = np.s_[up : up + part.shape[0], back : back + part.shape[1]]
        mixed = part + self.dark[inside] * (16.0 - part)
        mixed += self.line[inside] * (_rgb(GROUND_TRUTH) - mixed)
        part[:] = mixed.round()


def _colors(panel: Panel, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture of one panel in pixels: (height, width, 3)."""
    if panel.values is None:
        return np.full((*size, 3), 0xF1, np.uint8)
    if panel.scale is None:
        colors = (255 * displayable(panel.values)).round().astype(np.uint8)
        sampling = Image.Resampling.BICUBIC
    else:
        colors = _mapped(panel.values, panel.scale)
        sampling = Image.Resampling.BILINEAR
    if panel.sharp:
        # A pixel stays a square, and none is lost where the panel is smaller than the image.
        sampling = Image.Resampling.BOX
    resized = Image.fromarray(colors).resize((size[1], size[0]), sampling)
    return np.asarray(resized.convert("RGB"))


def _mapped(values: Floats, scale: MapScale) -> NDArray[np.uint8]:
    """A map in the colours of its scale, as `maps.show_map` gives them: (h, w, 3)."""
    first, last = scale.ends
    share = (np.where(np.isfinite(values), values, 0.0) - first) / (last - first)
    return _lookup(DIVERGING if scale.signed else SEQUENTIAL)[
        np.clip(share * 256, 0, 255).astype(np.uint8)
    ]


@functools.cache
def _lookup(name: str) -> NDArray[np.uint8]:
    """The 256 colours of a colour map."""
    return matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3].copy()


@functools.cache
def _rgb(color: str) -> Floats:
    return 255 * np.array(to_rgb(color))


@functools.cache
def _font(points: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font of all figures, from Matplotlib's own files."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(
        Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, points * _POINT
    )


def _write(
    draw: ImageDraw.ImageDraw, panel: Panel, x: int, top: int, width: int, height: int
) -> None:
    """The name of a panel above it, its scale below, and what stands in it."""
    name, size = fitted(panel.name, width / _DPI)
    draw.text((x, top - 4), name, INK, _font(round(size, 1)), anchor="ls")
    if panel.values is None:
        place = x + width / 2, top + height / 2
        draw.text(place, "not available", FAINT, _font(8), anchor="mm")
        return
    if panel.scale is not None:
        finite = panel.values[np.isfinite(panel.values)]
        lines = panel.scale.text(float(finite.max())).split("\n")
        size = round(min(fitted(line, width / _DPI, 7.0, 1.0)[1] for line in lines), 1)
        for number, line in enumerate(lines):
            place = x + width / 2, top + height + 5 + number * 1.25 * size * _POINT
            draw.text(place, line, FAINT, _font(size), anchor="ma")
    if panel.corner:
        place = x + 0.03 * width, top + height - 4
        draw.text(
            place, panel.corner, "white", _font(8, True), "ls", stroke_width=2, stroke_fill="black"
        )


def _explain(draw: ImageDraw.ImageDraw, layout: Layout, whole: tuple[int, int]) -> None:
    """What colours mean, below the panels."""
    y, font = whole[0] - 7, _font(7.5)
    if layout.heatmaps:
        draw.text((_MARGIN, y), HEATMAP_COLORS, FAINT, font, anchor="ls")
    if layout.overlaps:
        x = whole[1] - _MARGIN / 2
        for name, color in reversed(
            list(zip(OVERLAP_NAMES, (OVERLAP, GROUND_TRUTH, EXPLANATION), strict=True))
        ):
            x -= draw.textlength(name, font)
            draw.text((x, y), name, INK, font, anchor="ls")
            x -= 20
            draw.rectangle((x, y - 9, x + 13, y), fill=color)
            x -= 13
