"""The gallery of a run: one HTML file that holds its tables and a card for each test image, and needs nothing else."""

import base64
import functools
import hashlib
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.spatial import KDTree

from adhelpers._shared.files import write_text

from . import style as _style
from ._pages import page_template

__all__ = ["Card", "figure_png", "write_gallery"]

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
    name : str
        The file's name within its category.
    type : str
        ``"good"`` or the defect's type.
    index : int
        Position in the test set, from 0.
    score : float
    decision : str
        ``"flagged"`` or ``"passed"``.
    correct : bool
        Whether the decision fits the label.
    jaccards : mapping of str to float or None
        Optimal Jaccard of each explainer; None or NaN where there is none.
    picture : bytes
        The sample's strip as PNG, such as :func:`figure_png` makes it; it needs no title, because
        the card has one.
    badges : tuple of str
        Short remarks shown beside the decision.
    extra : mapping of str to object
        Further lines of the card: what is shown before the value, and the value.
    verdict : str
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
    ValueError: decision of card 'test/crack/000.png' must be 'flagged' or 'passed'; it is 'maybe'.
    """

    name: str
    type: str
    index: int
    score: float
    decision: str
    correct: bool
    jaccards: Mapping
    picture: bytes
    badges: tuple = ()
    extra: Mapping = field(default_factory=dict)
    verdict: str = ""

    def __post_init__(self):
        if self.decision not in ("flagged", "passed"):
            raise ValueError(
                f"decision of card {self.name!r} must be 'flagged' or 'passed'; it is {self.decision!r}."
            )
        if not bytes(self.picture).startswith(b"\x89PNG\r\n\x1a\n"):
            raise ValueError(f"picture of card {self.name!r} must be the bytes of a PNG file.")

    @property
    def outcome(self):
        """``"correct"``, ``"false alarm"`` or ``"missed"``."""
        return _OUTCOMES[self.decision, bool(self.correct)]


def figure_png(figure, dpi=100, colors=256):
    """A figure as a small PNG: reduced to a palette, which halves its size and hardly shows.

    The palette holds the colours that mean something exactly (classes, overlap, the colour maps);
    the pictures share the rest.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    dpi : float
        Pixels per inch.
    colors : int
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
    >>> from adhelpers.reports.figures.scores import image_grid
    >>> figure_png(image_grid(np.zeros((1, 8, 8, 1))))[1:4]
    b'PNG'
    """
    if not 64 <= colors <= 256:
        raise ValueError(f"colors must be from 64 to 256; it is {colors}.")
    full = BytesIO()
    figure.savefig(full, format="png", dpi=dpi)
    with Image.open(full) as picture:
        picture = picture.convert("RGB")
    fixed = _meaningful_colors()
    rest = picture.quantize(
        colors - len(fixed), method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    ).getpalette()
    palette = np.concatenate([fixed, np.reshape(rest, (-1, 3))])[:colors]
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


def write_gallery(path, *, title, settings, tables, cards, notes=()):
    """Write a run's gallery as one self-contained HTML file.

    The summary tables come first, then a card for each test image, which can be filtered by type
    and decision, sorted by index, score or the optimal Jaccard of any explainer, and enlarged. All
    images are embedded, the page's policy forbids any request, and every text is escaped, so the
    file can be moved, mailed and opened without a network.

    Parameters
    ----------
    path : str or Path
        The file to write; an existing one is replaced.
    title : str
    settings : mapping of str to object
        Shown behind a fold: parameters, seed, versions.
    tables : mapping of str to pandas.DataFrame
        Heading and table. Values that are not finite are shown as a dash; an estimate with
        ``value``, ``low`` and ``high`` as its value with the interval in brackets. An index with a
        name or with texts becomes a column.
    cards : sequence of Card
    notes : sequence of str
        Remarks under the title.

    Returns
    -------
    Path
        ``path``.

    Examples
    --------
    >>> import tempfile
    >>> from adhelpers.reports.figures.scores import image_grid
    >>> picture = figure_png(image_grid(np.zeros((1, 8, 8))))
    >>> card = Card("test/good/0.png", "good", 0, 0.1, "passed", True, {"LIME": None}, picture)
    >>> path = write_gallery(Path(tempfile.mkdtemp()) / "gallery.html", title="screw", settings={"seed": 0},
    ...                      tables={"Counts": pd.DataFrame({"type": ["good"], "images": [1]})}, cards=[card])
    >>> "data:image/png;base64," in path.read_text(), "https://" in path.read_text()
    (True, False)
    """
    path = Path(path)
    cards = list(cards)
    script = (resources.files("adhelpers.reports") / "templates" / "gallery.js").read_text(
        encoding="utf-8"
    )
    template = page_template("gallery.html", shown=_shown, number=_number, data_uri=_data_uri)
    text = template.render(
        title=title,
        settings=settings,
        notes=notes,
        tables={name: _table(table) for name, table in tables.items()},
        cards=cards,
        verdicts=sorted({card.verdict for card in cards if card.verdict}),
        types=sorted({str(card.type) for card in cards}, key=lambda name: (name != "good", name)),
        explainers=list(dict.fromkeys(name for card in cards for name in card.jaccards)),
        # Only this script may run: a text that got past the escaping would still do nothing.
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    # A file name that is not UTF-8 holds surrogates, which cannot be written.
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))
    return path


@functools.cache
def _meaningful_colors():
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


def _table(table):
    """Header, rows of texts and which columns hold numbers, for the template."""
    header = [str(name) for name in table.columns]
    # Cells are taken one column at a time, because a row of a mixed table turns its integers into
    # floats.
    columns = [
        [table.iloc[row, column] for row in range(len(table))] for column in range(table.shape[1])
    ]
    if any(name is not None for name in table.index.names) or not pd.api.types.is_integer_dtype(
        table.index
    ):
        header = ["" if name is None else str(name) for name in table.index.names] + header
        columns = [
            list(table.index.get_level_values(level)) for level in range(table.index.nlevels)
        ] + columns
    numeric = [
        any(_is_number(value) or hasattr(value, "low") for value in column) for column in columns
    ]
    return {
        "header": header,
        "numeric": numeric,
        "rows": [
            list(row) for row in zip(*([_shown(value) for value in column] for column in columns))
        ],
    }


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def _number(value):
    """``value`` as a number for a data attribute, None where it is not finite or not there."""
    if value is None or not math.isfinite(value):
        return None
    return repr(float(value))


def _shown(value):
    """``value`` as a reader wants it: three digits, a dash for nothing, words for truth."""
    if all(hasattr(value, part) for part in ("value", "low", "high")):
        return _shown(value.value) + (
            f" [{_shown(value.low)}, {_shown(value.high)}]" if _number(value.low) else ""
        )
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if _is_number(value):
        if not math.isfinite(value):
            return _NOTHING
        if isinstance(value, numbers.Integral) or abs(value) >= 1000:
            return f"{value:.0f}"
        return f"{value:.3g}"
    if value is None or value is pd.NA or value is pd.NaT:
        return _NOTHING
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_shown(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return str(value)


def _data_uri(picture):
    return "data:image/png;base64," + base64.b64encode(picture).decode()
