"""One look for every figure: colours, type, and panels in inches that fit images of any shape."""

import functools
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt

from adhelpers._shared.arrays import Flags, Floats, Names
from adhelpers.metrics import Threshold

# Okabe and Ito's palette, distinguishable with every common colour vision.
GOOD, ANOMALOUS = "#0072B2", "#D55E00"
GROUND_TRUTH, EXPLANATION, OVERLAP = "#56B4E9", "#E69F00", "#009E73"
INK, FAINT = "#222222", "#767676"
DEFECT_COLORS = (
    ANOMALOUS,
    "#E69F00",
    "#CC79A7",
    "#009E73",
    "#8C7A00",
    "#56B4E9",
    "#000000",
    "#7A4FA3",
)

# Maps that are never negative take a sequential map; signed ones a diverging map whose upper half
# has the explanation's colour.
SEQUENTIAL, DIVERGING = "magma", "PuOr_r"

STYLE: dict[Any, Any] = {
    # A dollar sign in a file name is a character, not the beginning of a formula.
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": "#9a9a9a",
    "axes.linewidth": 0.8,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "text.color": INK,
}

# A panel has this area whatever its shape, so tall images make tall narrow panels instead of wide
# empty ones.
PANEL_AREA = 2.9
GAP = 0.07
MAX_WIDTH = 12.0
# Weights of red, green and blue in the brightness that people see.
LUMA = np.array([0.299, 0.587, 0.114])

# One text for each image.
Texts: TypeAlias = Sequence[str] | Names

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def styled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a drawing function with the suite's style and leave the reader's matplotlib settings."""

    @functools.wraps(function)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with plt.rc_context(STYLE):
            return function(*args, **kwargs)

    return wrapper


class DescribedFigure(Figure):
    """A figure whose label says what it shows.

    A notebook stores the label as the picture's alternative text, and reports make it the caption.
    """

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        metadata = self.picture_metadata()
        return {}, {"image/png": metadata} if metadata else {}

    def picture_metadata(self) -> dict[str, str]:
        """What a notebook keeps beside the picture."""
        label = str(self.get_label())
        return {"alt": label} if label else {}


def describe(figure: Figure, text: str) -> None:
    """Say in one line what a figure shows: its caption in reports."""
    figure.set_label(one_line(text, 300))


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """A figure of ``width`` × ``height`` inches that a notebook shows once.

    It is closed for pyplot, which would show it again at the end of its cell.
    """
    figure = plt.figure(figsize=(width, height), FigureClass=DescribedFigure, **options)
    plt.close(figure)
    return figure


def chart_title(figure: Figure, text: str, **options: Any) -> None:
    """The bold title of a chart, at the left."""
    figure.suptitle(text, **({"x": 0.01, "ha": "left", "fontweight": "bold"} | options))


def displayable(image: ArrayLike, parameter: str = "image") -> Floats:
    """An image as matplotlib shows it: shape (h, w) or (h, w, 3), clipped to [0, 1]."""
    image = np.asarray(image, dtype=float)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(
            f"{parameter} must have shape (h, w, 1), (h, w, 3) or (h, w); it has {image.shape}"
        )
    return np.clip(np.nan_to_num(image), 0.0, 1.0)


def grey(image: Floats) -> Floats:
    """A displayable image without its colours, shape (h, w)."""
    return image if image.ndim == 2 else image @ LUMA


def check_batch(length: int, **arrays: Any) -> None:
    """Raise a ValueError that names the first array (None allowed) not of length ``length``."""
    for name, values in arrays.items():
        if values is not None and len(values) != length:
            raise ValueError(
                f"{name} must have one entry for each of the {length} images; it has {len(values)}"
            )


def check_plane(shape: Sequence[int], **arrays: Any) -> None:
    """Raise a ValueError that names the first array (None allowed) not of ``shape``."""
    for name, values in arrays.items():
        if values is not None and np.shape(values) != tuple(shape):
            raise ValueError(
                f"{name} must have the image's shape {tuple(shape)}; it has {np.shape(values)}"
            )


def check_columns(table: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    """Raise a ValueError that names the columns which ``table``, called ``name``, lacks."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(
            f"{name} must have the columns {', '.join(columns)}; {', '.join(missing)} is missing"
        )


def threshold_value(threshold: Threshold | float) -> float:
    """The number in a threshold."""
    return float(threshold.value if isinstance(threshold, Threshold) else threshold)


def threshold_text(threshold: Threshold | float) -> str:
    """Value and rule of a threshold, and whether it was tuned on test labels, as one line."""
    text = f"threshold {threshold_value(threshold):.4g}"
    if isinstance(threshold, Threshold):
        text += f": {one_line(threshold.rule)}" if threshold.rule else ""
        text += "; this threshold used test labels" if threshold.uses_test_labels else ""
    return text


def type_colors(types: Iterable[object]) -> dict[str, str]:
    """A colour for each type: blue for good, then the defect palette in order of name."""
    names = set(map(str, types))
    defects = sorted(names - {"good"})
    colors = {
        name: DEFECT_COLORS[position % len(DEFECT_COLORS)] for position, name in enumerate(defects)
    }
    return {"good": GOOD, **colors} if "good" in names else colors


def plain_log_axis(axis: Axis) -> None:
    """Write a logarithmic axis in plain numbers, because formulas are switched off."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def swarm(values: Floats) -> Floats:
    """Offsets in [-0.3, 0.3] that keep equal scores apart, always the same for the same values."""
    golden = (np.arange(len(values)) * 0.618034) % 1.0
    offsets = np.empty(len(values))
    offsets[np.argsort(values, kind="stable")] = 0.6 * golden - 0.3
    return offsets


def spread(available: int, wanted: int) -> NDArray[np.int_]:
    """At most ``wanted`` positions spread evenly over ``available``."""
    return np.unique(np.linspace(0, available - 1, min(wanted, available)).round().astype(int))


def wrapped(text: str, width: int) -> str:
    """``text`` in lines of at most ``width`` letters."""
    return "\n".join(textwrap.wrap(text, width))


def one_line(text: object, limit: int | None = None) -> str:
    """``text`` without line breaks; the middle is left out of what is longer than ``limit``."""
    text = " ".join(str(text).split())
    if limit is None or len(text) <= limit:
        return text
    return f"{text[: limit // 2 - 1]}…{text[-(limit - limit // 2) :]}"


def fitted(
    text: object, width: float, size: float = 8.0, smallest: float = 6.2
) -> tuple[str, float]:
    """``text`` and the font size at which it fits into ``width`` inches.

    Where that would be below ``smallest``, the middle of the text is left out instead.
    """
    # Measured: a letter of DejaVu Sans is on average at most 0.63 of its size wide in file names,
    # hinted at 100 dots per inch.
    text = one_line(text)
    points = width * 72 / (0.63 * max(len(text), 1))
    if points >= smallest:
        return text, min(size, points)
    return one_line(text, max(4, int(width * 72 / (0.63 * smallest)))), smallest


def panel_size(shape: Sequence[int]) -> tuple[float, float]:
    """Width and height in inches of the panel for an image of ``shape`` (h, w, …)."""
    aspect = np.clip(shape[0] / shape[1], 0.2, 5.0)
    return float(np.sqrt(PANEL_AREA / aspect)), float(np.sqrt(PANEL_AREA * aspect))


def image_panels(
    rows: int,
    columns: int,
    shape: Sequence[int],
    *,
    top: float = 0.3,
    bottom: float = 0.08,
    right: float = 0.08,
    row_gap: float = 0.26,
    column_gap: float = GAP,
    every: int | None = None,
    scale: float = 1.0,
) -> tuple[Figure, NDArray[np.object_]]:
    """A figure with ``rows`` × ``columns`` bare axes that fit images of ``shape`` exactly.

    Measures are in inches. ``every`` widens the gap after that many columns, which groups them.

    Returns
    -------
    figure, axes
        ``axes`` is an object array (rows, columns).
    """
    width, height = (scale * side for side in panel_size(shape))
    group_gap = 0.16 if every else 0.0
    offsets = [
        column * (width + column_gap) + (column // every if every else 0) * group_gap
        for column in range(columns)
    ]
    total_width = 0.08 + offsets[-1] + width + right
    total_height = top + rows * height + (rows - 1) * row_gap + bottom
    figure = new_figure(total_width, total_height)
    axes = np.empty((rows, columns), dtype=object)
    for row in range(rows):
        y = total_height - top - row * (height + row_gap) - height
        for column in range(columns):
            box = (
                (0.08 + offsets[column]) / total_width,
                y / total_height,
                width / total_width,
                height / total_height,
            )
            ax = axes[row, column] = figure.add_axes(box)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            for spine in ax.spines.values():
                spine.set(visible=True, color="#c8c8c8", linewidth=0.6)
    return figure, axes


def blocks_of_panels(
    count: int, panels: int, shape: Sequence[int], **options: Any
) -> tuple[Figure, NDArray[np.object_]]:
    """A figure with ``count`` blocks of ``panels`` axes each, as many blocks a row as fit the page.

    Returns
    -------
    figure, blocks
        ``blocks`` is an object array (count, panels). ``options`` are those of `image_panels`.
    """
    block = panels * (panel_size(shape)[0] + 0.09) + 0.16
    across = max(1, min(count, int(MAX_WIDTH // block)))
    figure, axes = image_panels(
        -(-count // across), across * panels, shape, every=panels, **options
    )
    blocks = axes.reshape(-1, panels)
    for ax in blocks[count:].ravel():
        ax.remove()
    return figure, blocks[:count]


def name_panel(ax: Axes, text: object, *, color: str = INK, size: float = 8.0) -> None:
    """Write ``text`` above a panel, small or short enough to stay within its width."""
    figure = cast(Figure, ax.figure)
    text, size = fitted(text, ax.get_position().width * figure.get_figwidth(), size)
    ax.set_title(text, fontsize=size, pad=2.5, color=color, fontweight="normal")


def caption(ax: Axes, text: str) -> None:
    """Write the bold caption of a block above the name of its first panel."""
    ax.annotate(
        text,
        (0, 1),
        (0, 15),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8,
        fontweight="bold",
        annotation_clip=False,
    )


def note_right(ax: Axes, row: float, text: str) -> None:
    """Write ``text`` to the right of a chart, level with one of its rows."""
    ax.annotate(
        text,
        (1, row),
        (6, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=FAINT,
    )


def show_image(ax: Axes, image: ArrayLike) -> AxesImage:
    """Draw a grey or colour image in [0, 1]."""
    return ax.imshow(displayable(image), cmap="gray", vmin=0, vmax=1, aspect="auto")


def overlap_colors(image: ArrayLike, region: Flags, mask: Flags) -> Floats:
    """Where a region and the true defect agree, each part in its colour, the image dimmed.

    In [0, 1], shape (h, w, 3).
    """
    canvas = np.repeat((0.25 + 0.5 * grey(displayable(image)))[..., None], 3, axis=2)
    for part, color in (
        (region & mask, OVERLAP),
        (mask & ~region, GROUND_TRUTH),
        (region & ~mask, EXPLANATION),
    ):
        canvas[part] = 0.2 * canvas[part] + 0.8 * np.array(to_rgb(color))
    return canvas


def show_overlap(ax: Axes, image: ArrayLike, region: Flags, mask: Flags) -> AxesImage:
    """Draw where a region and the true defect agree; see `overlap_colors`."""
    canvas = overlap_colors(image, region, mask)
    return ax.imshow(canvas, aspect="auto", interpolation="nearest")


def overlap_legend(figure: Figure, names: Sequence[str], right: bool) -> None:
    """What the colours of `show_overlap` mean, in the lower left or lower ``right`` corner.

    ``names`` are those of the overlap, of what only the defect covers, and only the region.
    """
    colors = (OVERLAP, GROUND_TRUTH, EXPLANATION)
    figure.legend(
        handles=[Patch(color=color, label=name) for color, name in zip(colors, names, strict=True)],
        ncols=3,
        loc="lower right" if right else "lower left",
        borderaxespad=0.1,
        bbox_to_anchor=(float(right), 0.0),
        handlelength=1.1,
        handleheight=0.9,
        columnspacing=1.2,
        fontsize=7.5,
    )


def say(ax: Axes, text: str) -> None:
    """Fill a panel with a word instead of a picture."""
    ax.set_facecolor("#f1f1f1")
    ax.text(
        0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=FAINT, fontsize=8
    )


def corner(ax: Axes, text: str) -> None:
    """Write ``text`` into a panel's lower left corner, readable on any picture."""
    ax.text(
        0.03,
        0.02,
        text,
        transform=ax.transAxes,
        ha="left",
        va="bottom",
        fontsize=8,
        fontweight="bold",
        color="white",
        path_effects=[patheffects.withStroke(linewidth=2.2, foreground="black")],
    )


def outline(
    ax: Axes, mask: ArrayLike | None, color: str = GROUND_TRUTH, width: float = 1.1
) -> ContourSet | None:
    """Draw a line around a mask, beside its pixels: on them it would hide a scratch.

    It has a dark edge, to show on light and dark; an empty mask has none.
    """
    if mask is None or not np.any(mask):
        return None
    mask = np.asarray(mask, dtype=bool)
    height, length = mask.shape
    box, stroke = ax.get_position(), width + 0.9
    inches = cast(Figure, ax.figure).get_size_inches()
    # In points, as lines are: how large a pixel is, and how far each is from the mask.
    pixel = 72 * inches[::-1] * (box.height, box.width) / mask.shape
    # One point more, because a line's edge is as soft as a pixel of the screen is large.
    away = 0.75 * pixel.max() + stroke / 2 + 1.0
    # With a frame as wide as that a defect at the image's border is closed too.
    frame = int(np.ceil(away / pixel.min())) + 1
    distances = distance_transform_edt(~np.pad(mask, frame), sampling=pixel)
    lines = ax.contour(
        np.arange(-frame, length + frame),
        np.arange(-frame, height + frame),
        distances,
        levels=[away],
        colors=[color],
        linewidths=width,
    )
    lines.set_path_effects([patheffects.withStroke(linewidth=stroke, foreground="#101010")])
    lines.set_clip_on(False)
    ax.set(xlim=(-0.5, length - 0.5), ylim=(height - 0.5, -0.5))
    return lines


def headline(figure: Figure, title: str, note: str = "", color: str = INK) -> None:
    """Title left and note right above panels; the title is small or short where both do not fit."""
    width, height = figure.get_size_inches()
    y = 1 - 0.08 / height
    # A bold letter is 0.095 inches wide at this size, an eighth more than `fitted` reckons with.
    room = max(1.1, width - 0.2 - 0.0855 * len(note))
    title, size = fitted(title or "", room / 1.14, 9.5, 7.0)
    figure.text(0.08 / width, y, title, ha="left", va="top", fontsize=size, fontweight="bold")
    figure.text(
        1 - 0.08 / width, y, note, ha="right", va="top", fontsize=9, color=color, fontweight="bold"
    )


def footnote(figure: Figure, text: str) -> None:
    """A line in the lower left corner, below panels with 0.25 inches of room there."""
    width, height = figure.get_size_inches()
    figure.text(0.08 / width, 0.07 / height, text, color=FAINT, fontsize=7.5)
