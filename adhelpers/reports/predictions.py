"""What is left of a detector's decisions on new images: overlays, rows, and one HTML page."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from adhelpers._shared.arrays import Images, Maps
from adhelpers._shared.files import write_text
from adhelpers._shared.text import escaped

from . import style as _style
from ._pages import page_script, page_template, webp_bytes, webp_uri
from .gallery import _number, _shown, _table
from .summary import _no_formula

_HEIGHT = 320
_QUALITY = 90
_STRONGEST = 0.65


@dataclass(frozen=True)
class PredictedCard:
    """What the page shows of one image.

    Attributes
    ----------
    index : int
        Row in ``predictions.csv``, from 1.
    name : str
        The file, as it was given.
    score : float
    decision : {"flagged", "passed", ""}
        Empty without a threshold.
    picture : bytes
        Photograph and overlay side by side, as WebP (`strip_webp`).
    region, remark, overlay : str
        The box in words, what could not be corrected, and the overlay's file beside the page.
    """

    index: int
    name: str
    score: float
    decision: str
    picture: bytes
    region: str = ""
    remark: str = ""
    overlay: str = ""


def csv_row(values: Sequence[Any]) -> bytes:
    r"""A row of a table as CSV; a text that a spreadsheet would compute gets an apostrophe.

    Examples
    --------
    >>> csv_row(["=1.png", 0.25, True, None])
    b"'=1.png,0.25,True,\n"
    """
    text = io.StringIO()
    cells = ["" if value is None else value for value in values]
    csv.writer(text, lineterminator="\n").writerow(
        [_no_formula(escaped(cell)) if isinstance(cell, str) else cell for cell in cells]
    )
    return text.getvalue().encode("utf-8", "backslashreplace")


def draw_overlay(
    picture: Image.Image,
    anomaly_map: Maps | None,
    matrix: NDArray[np.float64],
    level: float,
    box: tuple[int, int, int, int] | None,
) -> Image.Image:
    """A photograph in its own size with what is anomalous in colour, and a box.

    Parameters
    ----------
    picture : PIL.Image.Image
        The photograph as RGB, see `as_picture`; it stays as it is.
    anomaly_map : ndarray of float32, shape (h, w), or None
    matrix : ndarray of float64, shape (3, 3)
        Takes (x, y, 1) in pixels of the map to pixels of the photograph.
    level : float
        Colour begins at half of it and is strongest from it on.
    box : tuple of int or None
        Left, top, width and height.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Examples
    --------
    >>> grey = as_picture(np.full((30, 40, 1), 0.5, np.float32))
    >>> drawn = draw_overlay(grey, np.eye(15, 20), np.diag([2.0, 2, 1]), 0.5, (0, 0, 9, 9))
    >>> drawn.size, drawn.mode
    ((40, 30), 'RGB')
    """
    picture = picture.copy()
    if anomaly_map is not None:
        values = np.asarray(anomaly_map, np.float64) / max(level, 1e-12)
        colours = colormaps[_style.SEQUENTIAL](np.clip(values / 2, 0, 1))
        colours[..., 3] = _STRONGEST * np.clip(2 * values - 1, 0, 1)
        heat = Image.fromarray(np.round(255 * colours).astype(np.uint8), "RGBA")
        inverse = np.linalg.inv(matrix)
        # Pillow counts from the corner of a pixel, the matrix from its centre.
        shift = 0.5 - 0.5 * (inverse[:2, 0] + inverse[:2, 1])
        offset = inverse[:2, 2] + shift
        coefficients = (*inverse[0, :2], offset[0], *inverse[1, :2], offset[1])
        spread = heat.transform(
            picture.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
        )
        picture.paste(spread.convert("RGB"), mask=spread.getchannel("A"))
    if box is not None:
        _draw_box(picture, box)
    return picture


def _draw_box(picture: Image.Image, box: tuple[int, int, int, int]) -> None:
    """A line around the box, beside its pixels, with a dark one around it."""
    draw = ImageDraw.Draw(picture)
    line = max(1, round(0.004 * max(picture.size)))
    x, y, width, height = box
    colour = tuple(round(255 * part) for part in to_rgb(_style.EXPLANATION))
    for grow, shade in ((2 * line, (16, 16, 16)), (line, colour)):
        corners = (x - grow, y - grow, x + width - 1 + grow, y + height - 1 + grow)
        draw.rectangle(corners, outline=shade, width=line)


def as_picture(photograph: Images) -> Image.Image:
    """A photograph with values in [0, 1] as RGB with 8 bits."""
    levels = np.round(np.clip(photograph, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels).convert("RGB")


def strip_webp(picture: Image.Image, overlay: Image.Image) -> bytes:
    """Photograph and overlay side by side, 320 pixels high or less, as the bytes of a WebP."""
    height = min(_HEIGHT, overlay.height)
    width = max(1, round(overlay.width * height / overlay.height))
    gap = 6
    strip = Image.new("RGB", (2 * width + gap, height), "white")
    for column, one in enumerate((picture, overlay)):
        small = one.resize((width, height), Image.Resampling.BOX)
        strip.paste(small, (column * (width + gap), 0))
    return webp_bytes(strip)


def jpeg_bytes(picture: Image.Image, quality: int = _QUALITY) -> bytes:
    """A picture as the bytes of a JPEG."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return content.getvalue()


def write_predictions_page(
    path: str | Path,
    *,
    title: str,
    heading: str,
    notes: Sequence[str],
    tables: Mapping[str, pd.DataFrame],
    cards: Sequence[PredictedCard],
) -> Path:
    """Write the page of a detector's decisions as one self-contained HTML file.

    Parameters
    ----------
    path
        The file to write; an existing one is replaced.
    title, heading
        Of the page and above the cards.
    notes
        Sentences under the title.
    tables
        Heading and table, folded up.
    cards
        In the order in which they are shown.

    Returns
    -------
    Path
        ``path``.

    Examples
    --------
    >>> import tempfile
    >>> picture = strip_webp(Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8)))
    >>> card = PredictedCard(1, "<b>.png", 0.5, "flagged", picture)
    >>> page = Path(tempfile.mkdtemp()) / "predictions.html"
    >>> page = write_predictions_page(
    ...     page, title="screw", heading="Flagged", notes=[], tables={}, cards=[card]
    ... )
    >>> "<bdi>&lt;b&gt;.png</bdi>" in page.read_text(), "https://" in page.read_text()
    (True, False)
    """
    template = page_template("predictions.html", shown=_shown, number=_number, data_uri=webp_uri)
    text = template.render(
        title=title,
        heading=heading,
        notes=notes,
        tables={name: _table(table) for name, table in tables.items()},
        cards=cards,
        verdict_colors={},
        **page_script("gallery.js"),
    )
    # A file name that is not UTF-8 holds surrogates, which cannot be written.
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))
    return Path(path)
