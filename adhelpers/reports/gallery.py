"""The gallery of a run: one HTML file with its tables and a card for each test image."""

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import quote

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from adhelpers._shared.files import write_text

from ._pages import page_script, page_template, webp_bytes, webp_uri
from .figures import VERDICT_COLORS

_NOTHING = "–"
# More pictures in one file make browsers slow.
PER_PAGE = 300
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
        The sample's strip as WebP, such as `figure_webp` makes it; it needs no title, because
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
        If ``decision`` is another word or ``picture`` is no WebP picture.

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
        if bytes(self.picture)[8:12] != b"WEBP":
            raise ValueError(f"picture of card {self.name!r} must be the bytes of a WebP file")

    @property
    def outcome(self) -> str:
        """``"correct"``, ``"false alarm"`` or ``"missed"``."""
        return _OUTCOMES[self.decision, bool(self.correct)]


def figure_webp(figure: Figure, dpi: float = 100, quality: int = 80) -> bytes:
    """A figure as a WebP picture, about a third of the size of a PNG with a palette.

    Parameters
    ----------
    figure
    dpi
        Pixels per inch.
    quality
        0 to 100; from 80 on the loss is barely visible.

    Returns
    -------
    bytes
        The file's content.

    Examples
    --------
    >>> from adhelpers.reports import image_grid
    >>> figure_webp(image_grid(np.zeros((1, 8, 8, 1))))[8:12]
    b'WEBP'
    """
    before = figure.get_dpi()
    figure.set_dpi(dpi)
    try:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    finally:
        figure.set_dpi(before)
    return webp_bytes(picture, quality)


def write_gallery(
    path: str | Path,
    *,
    title: str,
    settings: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    cards: Sequence[Card],
    notes: Sequence[str] = (),
) -> Path:
    """Write a run's gallery as a self-contained HTML file, or several with many cards.

    The summary tables come first, then a card for each test image, which can be filtered by type
    and decision, sorted by index, score or the optimal Jaccard of any explainer, and enlarged. All
    images are embedded, the page's policy forbids any request, and every text is escaped, so the
    file can be moved, mailed and opened without a network.

    Of more than 300 cards the first 300 are in ``path``, the next ones in ``<stem>-2.html`` and so
    on beside it, linked with each other; filters and sorting work within a page.

    Parameters
    ----------
    path
        The file to write; an existing one is replaced, and further pages of it are removed.
    title
    settings
        Folded up: parameters, seed, versions.
    tables
        Heading and table. Values that are not finite are shown as a dash; an estimate with
        ``value``, ``low`` and ``high`` as its value with the interval in brackets. An index with a
        name or with texts becomes a column.
    cards
        In the order in which they are shown.
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
    >>> picture = figure_webp(image_grid(np.zeros((1, 8, 8))))
    >>> card = Card("test/good/0.png", "good", 0, 0.1, "passed", True, {"LIME": None}, picture)
    >>> tables = {"Counts": pd.DataFrame({"type": ["good"], "images": [1]})}
    >>> path = Path(tempfile.mkdtemp()) / "gallery.html"
    >>> path = write_gallery(path, title="screw", settings={}, tables=tables, cards=[card])
    >>> "data:image/webp;base64," in path.read_text(), "https://" in path.read_text()
    (True, False)
    """
    path = Path(path)
    template = page_template("gallery.html", shown=_shown, number=_number, data_uri=webp_uri)
    starts = range(0, max(len(cards), 1), PER_PAGE)
    pages = [_page_path(path, number) for number in range(1, len(starts) + 1)]
    for number, (start, page) in enumerate(zip(starts, pages, strict=True), start=1):
        own = cards[start : start + PER_PAGE]
        text = template.render(
            title=title if number == 1 else f"{title}, page {number}",
            settings=settings if number == 1 else {},
            notes=notes if number == 1 else [],
            tables={name: _table(table) for name, table in tables.items()} if number == 1 else {},
            cards=own,
            verdict_colors=VERDICT_COLORS,
            verdicts=sorted({card.verdict for card in own if card.verdict}),
            types=sorted({str(card.type) for card in own}, key=lambda name: (name != "good", name)),
            explainers=list(dict.fromkeys(name for card in own for name in card.jaccards)),
            page=number,
            pages=[one.name for one in pages],
            span=(start + 1, start + len(own), len(cards)),
            **page_script("gallery.js"),
        )
        # A file name that is not UTF-8 holds surrogates, which cannot be written.
        write_text(page, text.encode("utf-8", "backslashreplace").decode("utf-8"))
    _remove_pages(path, len(pages) + 1)
    return path


def _page_path(path: Path, number: int) -> Path:
    """Where a page of a gallery is, counted from 1."""
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _remove_pages(path: Path, number: int) -> None:
    """Remove the pages from ``number`` on of an earlier gallery, and no other file."""
    link = f'href="{quote(path.name)}"'
    while (page := _page_path(path, number)).is_file():
        if link not in page.read_text(encoding="utf-8", errors="replace"):
            return
        page.unlink()
        number += 1


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
