"""What a classifier looked at, and how much a review of the flagged images gains."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Floats, Images, Masks

from ..style import (
    ANOMALOUS,
    DEFECT_COLORS,
    FAINT,
    GOOD,
    GROUND_TRUTH,
    INK,
    SEQUENTIAL,
    Texts,
    check_batch,
    check_plane,
    describe,
    displayable,
    footnote,
    grey,
    headline,
    image_panels,
    name_panel,
    new_figure,
    one_line,
    outline,
    show_image,
    styled,
)

if TYPE_CHECKING:
    from adhelpers.audit import ReviewCurve

_TAG = "#CC79A7"
# How much of the heat's colour lies over the picture where the map is largest.
_OPACITY = 0.65


@styled
def explanation_grid(
    images: Images,
    heatmaps: Floats | None,
    titles: Texts,
    defects: Masks | None = None,
    tags: Masks | None = None,
    colors: Sequence[str] | None = None,
    columns: int = 8,
    title: str = "What the classifier looked at",
    note: str = "colour from 0 to 1",
    scale: float = 0.75,
) -> Figure:
    """Images with their heatmaps over them; defects and tags are outlined.

    Parameters
    ----------
    images : ndarray of float, shape (n, h, w, c)
        Values in [0, 1], n ≥ 1.
    heatmaps : ndarray of float, shape (n, h, w), or None
        In [0, 1]; under them the images are grey. None shows the images as they are.
    titles
        One for each image.
    defects, tags : ndarray of bool, shape (n, h, w), optional
        What should decide, outlined in blue, and what must not decide, in pink.
    colors
        Of the titles.
    columns
        Maximum number of images in a row.
    title
    note
        The scale of the heatmaps, in words.
    scale
        Of the panels; at 1 they are as large as those of other figures.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no images, or lengths or shapes differ.

    Examples
    --------
    >>> figure = explanation_grid(np.zeros((2, 8, 8, 3)), np.ones((2, 8, 8)), ["good", "broken"])
    >>> [ax.get_title("left") for ax in figure.axes]
    ['good', 'broken']
    """
    images = np.asarray(images)
    heatmaps = None if heatmaps is None else np.asarray(heatmaps, dtype=float)
    if images.ndim != 4 or not len(images):
        raise ValueError(
            f"images must have the shape (n, h, w, c) with at least one image, not {images.shape}"
        )
    check_batch(
        len(images), heatmaps=heatmaps, titles=titles, defects=defects, tags=tags, colors=colors
    )
    check_plane(images.shape[:3], heatmaps=heatmaps, defects=defects, tags=tags)
    columns = min(columns, len(images))
    figure, axes = image_panels(
        -(-len(images) // columns),
        columns,
        images.shape[1:],
        top=0.5,
        row_gap=0.24,
        scale=scale,
        bottom=0.08 if heatmaps is None else 0.25,
    )
    headline(figure, title)
    if heatmaps is not None:
        footnote(figure, note)
    for index, ax in enumerate(axes.ravel()):
        if index >= len(images):
            ax.remove()
            continue
        picture = displayable(images[index])
        if heatmaps is None:
            show_image(ax, picture)
        else:
            show_image(ax, grey(picture))
            alpha = _OPACITY * np.clip(heatmaps[index], 0, 1)
            ax.imshow(heatmaps[index], cmap=SEQUENTIAL, vmin=0, vmax=1, alpha=alpha, aspect="auto")
        for regions, color in ((defects, GROUND_TRUTH), (tags, _TAG)):
            if regions is not None:
                outline(ax, regions[index], color)
        name_panel(ax, titles[index], color=INK if colors is None else colors[index])
    maps = "" if heatmaps is None else " with their maps over them"
    told = f"; {note}" if note and heatmaps is not None else ""
    describe(figure, f"{title or 'Images'}{maps}{told}")
    return figure


@styled
def review_figure(
    curve: "ReviewCurve",
    gain: float | None = None,
    most: float = 0.5,
    title: str = "What a review gains",
) -> Figure:
    """Accuracy over the share of images that a person classifies again, for each way of choosing.

    Parameters
    ----------
    curve
    gain
        A rise in accuracy that is drawn as a line; the share at which the first score reaches it
        stands in the title.
    most
        The largest share that is drawn.
    title

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If ``most`` is not in (0, 1].

    Examples
    --------
    >>> from adhelpers.audit import review_curve
    >>> figure = review_figure(review_curve({"distance": [0.9, 0.1]}, [0, 1], [1, 1]), gain=0.1)
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['distance', 'ideal', 'random']
    """
    if not 0 < most <= 1:
        raise ValueError(f"most must lie in (0, 1], not {most!r}")
    figure = new_figure(7.4, 4.0, layout="constrained")
    ax = figure.add_subplot(
        xlabel="share of the images that are reviewed", ylabel="accuracy", xlim=(0, most)
    )
    colors = iter((GOOD, ANOMALOUS, *DEFECT_COLORS[2:]))
    first = next((name for name in curve.accuracy if name not in ("random", "ideal")), None)
    shown = curve.shares <= most + 1e-12
    for name, values in sorted(
        curve.accuracy.items(),
        key=lambda item: (item[0] == "random", item[0] == "ideal", item[0] != first),
    ):
        plain = name in ("random", "ideal")
        ax.plot(
            curve.shares[shown],
            values[shown],
            color=FAINT if plain else next(colors),
            linewidth=2.2 if name == first else 1.4,
            linestyle={"random": ":", "ideal": "--"}.get(name, "-"),
            label=one_line(name, 40),
        )
    if gain is not None:
        ax.axhline(curve.before + gain, color=INK, linewidth=0.8)
        needed = np.nan if first is None else curve.share_needed(gain)[first]
        reached = f"after {100 * needed:.1f} %" if np.isfinite(needed) else "not even after all"
        title = f"{title}: +{100 * gain:g} points {reached} of the images"
        if np.isfinite(needed) and needed <= most:
            ax.plot(needed, curve.before + gain, "o", color=GOOD, markersize=6, zorder=4)
    ax.set_title(one_line(title), loc="left")
    ax.legend(loc="lower right")
    describe(
        figure,
        "Accuracy after a share of the images was classified again by a person, by the order in "
        "which they are looked at",
    )
    return figure
