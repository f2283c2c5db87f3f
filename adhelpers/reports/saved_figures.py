"""A figure that is saved and then shown is drawn once: a notebook shows the file's own picture."""

import base64
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from matplotlib.figure import Figure

from adhelpers._shared.files import replacing

from .style import DescribedFigure

_pictures: WeakKeyDictionary[Figure, bytes] = WeakKeyDictionary()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, at its own resolution and as a notebook shows it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or Path
        An existing file is replaced.

    Examples
    --------
    >>> import tempfile
    >>> from adhelpers.reports import image_grid
    >>> file = Path(tempfile.mkdtemp()) / "figure.png"
    >>> save_figure(image_grid([[[0.0, 1.0]]]), file)
    >>> file.read_bytes()[1:4]
    b'PNG'
    """
    content = BytesIO()
    figure.savefig(content, format="png", dpi="figure", bbox_inches="tight")
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())
    # What is changed from here on is told by this.
    figure.stale = False
    _pictures[figure] = content.getvalue()


def show_saved_figures() -> None:
    """Let this notebook show a saved figure's own picture, where it runs in one."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if shell is not None:
        pictures = shell.display_formatter.formatters["image/png"]
        pictures.for_type(DescribedFigure, partial(_png, pictures))


def _png(pictures: Any, figure: DescribedFigure) -> Any:
    """A figure's picture: the one that was saved, else drawn as plain figures are.

    A formatter of a class stands before those of the classes that it is derived from.
    """
    if figure in _pictures and not figure.stale:
        return base64.b64encode(_pictures[figure]).decode(), figure.picture_metadata()
    try:
        draw = pictures.lookup_by_type(Figure)
    except KeyError:
        # Without the inline backend figures are shown as text.
        return None
    return draw(figure)
