"""The gallery of a run: one HTML file with its tables and a card for each test image."""

import functools
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from scipy.spatial import KDTree

from adhelpers._shared.arrays import Floats
from adhelpers._shared.files import write_text

from . import style as _style
from ._pages import page_script, page_template, png_uri
from .figures import VERDICT_COLORS

_NOTHING = "–"
_OUTCOMES = {
    ("flagged", True): "correct",
    ("passed", True): "correct",
    ("flagged", False): "false alarm",
    ("passed", False): "missed",
}


@dataclass(frozen=True)
class Card:
    """What the gallery shows of one test image.

    Parameters
    ----------
    name
        The file's name within its category.
    type
        ``"good"`` or the defect's type.
    index
        Position in the test set, from 0.
    score
    decision
        ``"flagged"`` or ``"passed"``.
    correct
        Whether the decision fits the label.
    jaccards
        Optimal Jaccard of each explainer; None or NaN where there is none.
    picture
        The sample's strip as PNG, such as :func:`figure_png` makes it; it needs no title, because
        the card has one.
    badges
        Short remarks next to the decision.
    extra
        Further values of the card, each with the text before it.
    verdict
        Such as ``"wrong reason"``; the cards can be filtered by it.

    Raises
    ------
    ValueError
        If ``decision`` is another word or ``picture`` is not a PNG.

    Examples
    --------
    >>> Card("test/crack/000.png", "crack", 0, 0.7, "maybe", True, {}, b"")
    Traceback (most recent call last):
    ...
    ValueError: decision of card 'test/crack/000.png' must be 'flagged' or 'passed'; it is 'maybe'
    """

    name: str
    type: str
    index: int
    score: float
    decision: str
    correct: bool
    jaccards: Mapping[str, float | None]
    picture: bytes
    badges: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    verdict: str = ""

    def __post_init__(self) -> None:
        """Check the decision and the picture."""
        if self.decision not in ("flagged", "passed"):
            raise ValueError(
                f"decision of card {self.name!r} must be 'flagged' or 'passed'; "
                f"it is {self.decision!r}"
            )
        if not bytes(self.picture).startswith(b"\x89PNG\r\n\x1a\n"):
            raise ValueError(f"picture of card {self.name!r} must be the bytes of a PNG file")

    @property
    def outcome(self) -> str:
        """``"correct"``, ``"false alarm"`` or ``"missed"``."""
        return _OUTCOMES[self.decision, bool(self.correct)]


def figure_png(figure: Figure, dpi: float = 100, colors: int = 256) -> bytes:
    """A figure as a small PNG: reduced to a palette, which halves its size and is barely visible.

    The palette holds the colours that mean something exactly (classes, overlap, the colour maps);
    the pictures share the rest.

    Parameters
    ----------
    figure
    dpi
        Pixels per inch.
    colors
        Size of the palette, 64 to 256.

    Returns
    -------
    bytes
        The PNG file's content.

    Raises
    ------
    ValueError
        If ``colors`` is out of range.

    Examples
    --------
    >>> from adhelpers.reports import image_grid
    >>> figure_png(image_grid(np.zeros((1, 8, 8, 1))))[1:4]
    b'PNG'
    """
    if not 64 <= colors <= 256:
        raise ValueError(f"colors must be from 64 to 256; it is {colors}")
    full = BytesIO()
    figure.savefig(full, format="png", dpi=dpi)
    with Image.open(full) as opened:
        picture = opened.convert("RGB")
    fixed = _meaningful_colors()
    rest = picture.quantize(
        colors - len(fixed), method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    ).getpalette()
    palette = np.concatenate([fixed, np.reshape(rest or [], (-1, 3))])[:colors]
    # Pillow's own search for the nearest colour is approximate and greys the white page. Without
    # dithering flat areas stay flat, and a flat area compresses to nothing.
    packed_pixels = np.asarray(picture).astype(np.uint32) @ np.array(
        [65536, 256, 1], dtype=np.uint32
    )
    present, positions = np.unique(packed_pixels, return_inverse=True)
    nearest = KDTree(palette).query(
        np.stack([present >> 16, present >> 8 & 255, present & 255], axis=1)
    )[1]
    small = Image.fromarray(nearest.astype(np.uint8)[positions].reshape(packed_pixels.shape))
    small.putpalette(palette.astype(np.uint8).ravel().tolist())
    content = BytesIO()
    small.save(content, format="png", optimize=True)
    return content.getvalue()


def write_gallery(
    path: str | Path,
    *,
    title: str,
    settings: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    cards: Sequence[Card],
    notes: Sequence[str] = (),
) -> Path:
    """Write a run's gallery as one self-contained HTML file.

    The summary tables come first, then a card for each test image, which can be filtered by type
    and decision, sorted by index, score or the optimal Jaccard of any explainer, and enlarged. All
    images are embedded, the page's policy forbids any request, and every text is escaped, so the
    file can be moved, mailed and opened without a network.

    Parameters
    ----------
    path
        The file to write; an existing one is replaced.
    title
    settings
        Folded up: parameters, seed, versions.
    tables
        Heading and table. Values that are not finite are shown as a dash; an estimate with
        ``value``, ``low`` and ``high`` as its value with the interval in brackets. An index with a
        name or with texts becomes a column.
    cards
    notes
        Remarks under the title.

    Returns
    -------
    Path
        ``path``.

    Examples
    --------
    >>> import tempfile
    >>> from adhelpers.reports import image_grid
    >>> picture = figure_png(image_grid(np.zeros((1, 8, 8))))
    >>> card = Card("test/good/0.png", "good", 0, 0.1, "passed", True, {"LIME": None}, picture)
    >>> tables = {"Counts": pd.DataFrame({"type": ["good"], "images": [1]})}
    >>> path = Path(tempfile.mkdtemp()) / "gallery.html"
    >>> path = write_gallery(path, title="screw", settings={}, tables=tables, cards=[card])
    >>> "data:image/png;base64," in path.read_text(), "https://" in path.read_text()
    (True, False)
    """
    path = Path(path)
    template = page_template("gallery.html", shown=_shown, number=_number, data_uri=png_uri)
    text = template.render(
        title=title,
        settings=settings,
        notes=notes,
        tables={name: _table(table) for name, table in tables.items()},
        cards=cards,
        verdict_colors=VERDICT_COLORS,
        verdicts=sorted({card.verdict for card in cards if card.verdict}),
        types=sorted({str(card.type) for card in cards}, key=lambda name: (name != "good", name)),
        explainers=list(dict.fromkeys(name for card in cards for name in card.jaccards)),
        **page_script("gallery.js"),
    )
    # A file name that is not UTF-8 holds surrogates, which cannot be written.
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))
    return path


@functools.cache
def _meaningful_colors() -> Floats:
    """The colours (k, 3), 0 to 255, that a palette must not lose."""
    names = (
        "white",
        "black",
        _style.INK,
        _style.FAINT,
        _style.GOOD,
        _style.ANOMALOUS,
        _style.GROUND_TRUTH,
        _style.EXPLANATION,
        _style.OVERLAP,
    )
    maps = [
        colormaps[name](np.linspace(0, 1, 20))[:, :3]
        for name in (_style.SEQUENTIAL, _style.DIVERGING)
    ]
    return np.round(255 * np.concatenate([[to_rgb(name) for name in names], *maps]))


def _table(table: pd.DataFrame) -> dict[str, Any]:
    """Header, rows of texts and which columns hold numbers, for the template."""
    header = [str(name) for name in table.columns]
    # Cells are taken one column at a time, because a row of a mixed table turns its integers into
    # floats.
    columns = [
        [table.iloc[row, column] for row in range(len(table))] for column in range(table.shape[1])
    ]
    named = any(name is not None for name in table.index.names)
    if named or not pd.api.types.is_integer_dtype(table.index):
        levels = range(table.index.nlevels)
        header = ["" if name is None else str(name) for name in table.index.names] + header
        columns = [list(table.index.get_level_values(level)) for level in levels] + columns
    return {
        "header": header,
        "numeric": [
            any(_is_number(value) or hasattr(value, "low") for value in column)
            for column in columns
        ],
        "rows": [[_shown(value) for value in row] for row in zip(*columns, strict=True)],
    }


def _is_number(value: object) -> TypeGuard[numbers.Real]:
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def _number(value: float | None) -> str | None:
    """``value`` as a number for a data attribute, None where it is not finite or not there."""
    if value is None or not math.isfinite(value):
        return None
    return repr(float(value))


def _shown(value: Any) -> str:
    """``value`` as a reader wants it: three digits, a dash for nothing, words for truth."""
    if all(hasattr(value, part) for part in ("value", "low", "high")):
        ends = [_shown(value.low), _shown(value.high)] if _number(value.low) else []
        note = [value.note] if getattr(value, "note", "") else []
        within = "; ".join([", ".join(ends)] * bool(ends) + note)
        return _shown(value.value) + (f" [{within}]" if within else "")
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if _is_number(value):
        return _shown_number(float(value), isinstance(value, numbers.Integral))
    if value is None or value is pd.NA or value is pd.NaT:
        return _NOTHING
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_shown(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return str(value)


def _shown_number(value: float, whole: bool) -> str:
    if not math.isfinite(value):
        return _NOTHING
    return f"{value:.0f}" if whole or abs(value) >= 1000 else f"{value:.3g}"
