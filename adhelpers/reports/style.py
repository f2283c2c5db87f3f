"""One look for every figure: colours, type, and panels laid out in inches so that images of any shape sit without waste."""

import functools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patheffects
from matplotlib.colors import to_rgb
from matplotlib.ticker import FuncFormatter, NullFormatter

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

STYLE = {
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


def styled(function):
    """Run a drawing function with the suite's style, leaving the reader's own matplotlib settings alone."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        with plt.rc_context(STYLE):
            return function(*args, **kwargs)

    return wrapper


def new_figure(width, height, **options):
    """A figure of ``width`` × ``height`` inches that a notebook shows once: when it is returned, not again at the cell's end."""
    figure = plt.figure(figsize=(width, height), **options)
    plt.close(figure)
    return figure


def displayable(image, parameter="image"):
    """An image (h, w), (h, w, 1) or (h, w, 3) as matplotlib shows it: (h, w) or (h, w, 3), clipped to [0, 1]."""
    image = np.asarray(image, dtype=float)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(
            f"{parameter} must have shape (h, w, 1), (h, w, 3) or (h, w); it has {image.shape}."
        )
    return np.clip(np.nan_to_num(image), 0.0, 1.0)


def check_batch(length, **arrays):
    """Raise a ValueError that names the first array (None allowed) whose length is not ``length``."""
    for name, values in arrays.items():
        if values is not None and len(values) != length:
            raise ValueError(
                f"{name} must have one entry for each of the {length} images; it has {len(values)}."
            )


def check_plane(shape, **arrays):
    """Raise a ValueError that names the first array (None allowed) that is not of ``shape`` (h, w)."""
    for name, values in arrays.items():
        if values is not None and np.shape(values) != tuple(shape):
            raise ValueError(
                f"{name} must have the image's shape {tuple(shape)}; it has {np.shape(values)}."
            )


def threshold_value(threshold):
    """The number in a threshold: that of an object with ``value``, or a plain number."""
    return float(getattr(threshold, "value", threshold))


def threshold_text(threshold):
    """Value and rule of a threshold, and whether it was tuned on test labels, as one line."""
    text = f"threshold {threshold_value(threshold):.4g}"
    if getattr(threshold, "rule", None):
        text += f": {one_line(threshold.rule)}"
    if getattr(threshold, "uses_test_labels", False):
        text += "; this threshold used test labels"
    return text


def type_colors(types):
    """A colour for each type: blue for good, then the defect palette in order of name."""
    defects = sorted(set(map(str, types)) - {"good"})
    colors = {
        name: DEFECT_COLORS[position % len(DEFECT_COLORS)] for position, name in enumerate(defects)
    }
    return {"good": GOOD, **colors} if "good" in set(map(str, types)) else colors


def plain_log_axis(axis):
    """Write a logarithmic axis in plain numbers, because formulas are switched off."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def one_line(text, limit=None):
    """``text`` without line breaks, its middle left out where it is longer than ``limit`` characters."""
    text = " ".join(str(text).split())
    if limit is None or len(text) <= limit:
        return text
    return f"{text[: limit // 2 - 1]}…{text[-(limit - limit // 2) :]}"


def fitted(text, width, size=8.0, smallest=6.2):
    """``text`` and the font size at which it fits into ``width`` inches; at the smallest size its middle is left out instead."""
    # Measured: a letter of DejaVu Sans is on average at most 0.63 of its size wide in file names,
    # hinted at 100 dots per inch.
    text = one_line(text)
    points = width * 72 / (0.63 * max(len(text), 1))
    if points >= smallest:
        return text, min(size, points)
    return one_line(text, max(4, int(width * 72 / (0.63 * smallest)))), smallest


def panel_size(shape):
    """Width and height in inches of the panel for an image of ``shape`` (h, w, …)."""
    aspect = np.clip(shape[0] / shape[1], 0.2, 5.0)
    return float(np.sqrt(PANEL_AREA / aspect)), float(np.sqrt(PANEL_AREA * aspect))


def image_panels(
    rows,
    columns,
    shape,
    *,
    top=0.3,
    bottom=0.08,
    right=0.08,
    row_gap=0.26,
    column_gap=GAP,
    every=None,
    scale=1.0,
):
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


def name_panel(ax, text, *, color=INK, size=8.0):
    """Write ``text`` above a panel, small or short enough to stay within its width."""
    text, size = fitted(text, ax.get_position().width * ax.figure.get_figwidth(), size)
    ax.set_title(text, fontsize=size, pad=2.5, color=color, fontweight="normal")


def show_image(ax, image):
    """Draw a grey or colour image in [0, 1]."""
    image = displayable(image)
    return ax.imshow(image, cmap="gray", vmin=0, vmax=1, aspect="auto")


def show_map(ax, values, limit=None, signed=None, floor=0.0):
    """Draw a map: from ``floor`` in the sequential colours, or, where it has negative values, centred on 0 in the diverging ones.

    ``limit`` is the value of the last colour; by default the largest finite magnitude. ``signed``
    says which colours; several maps with one bar must agree on them. A ``floor`` below 0, or not
    below the limit, is 0. A map without a finite value says so.
    """
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    if not finite.any():
        return say(ax, "not available")
    top = float(np.abs(values[finite]).max()) if limit is None else float(limit)
    top = top if top > 0 else 1.0
    signed = values[finite].min() < 0 if signed is None else signed
    floor = floor if 0 < floor < top else 0.0
    return ax.imshow(
        np.where(finite, values, 0.0),
        cmap=DIVERGING if signed else SEQUENTIAL,
        vmin=-top if signed else floor,
        vmax=top,
        aspect="auto",
    )


def show_heatmap(ax, values):
    """Draw an explainer's heatmap, centred on 0 whatever its signs: orange raises the score, purple lowers it."""
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    if not finite.any():
        return say(ax, "not available")
    top = float(np.abs(values[finite]).max()) or 1.0
    return ax.imshow(
        np.where(finite, values, 0.0), cmap=DIVERGING, vmin=-top, vmax=top, aspect="auto"
    )


def show_overlap(ax, image, region, mask):
    """Draw where an explained region and the true defect agree, each part in its colour over the dimmed image."""
    grey = displayable(image)
    grey = grey if grey.ndim == 2 else grey @ np.array([0.299, 0.587, 0.114])
    canvas = np.repeat((0.25 + 0.5 * grey)[..., None], 3, axis=2)
    for part, color in (
        (region & mask, OVERLAP),
        (mask & ~region, GROUND_TRUTH),
        (region & ~mask, EXPLANATION),
    ):
        canvas[part] = 0.2 * canvas[part] + 0.8 * np.array(to_rgb(color))
    return ax.imshow(canvas, aspect="auto", interpolation="nearest")


def say(ax, text):
    """Fill a panel with a word instead of a picture."""
    ax.set_facecolor("#f1f1f1")
    return ax.text(
        0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=FAINT, fontsize=8
    )


def corner(ax, text):
    """Write ``text`` into a panel's lower left corner, readable on any picture."""
    return ax.text(
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


def outline(ax, mask, color=GROUND_TRUTH, width=1.1):
    """Draw the border of a mask with a dark edge, so that it shows on light and on dark. An empty mask draws nothing."""
    if mask is None or not np.any(mask):
        return None
    mask = np.asarray(mask, dtype=bool)
    height, length = mask.shape
    # With a frame of zeros a defect at the image's border is closed too.
    lines = ax.contour(
        np.arange(-1, length + 1),
        np.arange(-1, height + 1),
        np.pad(mask, 1).astype(float),
        levels=[0.5],
        colors=[color],
        linewidths=width,
    )
    lines.set_path_effects([patheffects.withStroke(linewidth=width + 0.9, foreground="#101010")])
    ax.set(xlim=(-0.5, length - 0.5), ylim=(height - 0.5, -0.5))
    return lines


def headline(figure, title, note="", color=INK):
    """Title at the left and a note at the right of a figure made of panels, the title shortened where both do not fit."""
    width, height = figure.get_size_inches()
    y = 1 - 0.08 / height
    title = one_line(title or "", max(12, int((width - 0.2) / 0.095 - 0.9 * len(note))))
    figure.text(0.08 / width, y, title, ha="left", va="top", fontsize=9.5, fontweight="bold")
    figure.text(
        1 - 0.08 / width, y, note, ha="right", va="top", fontsize=9, color=color, fontweight="bold"
    )
