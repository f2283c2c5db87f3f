"""Pictures made of images and maps: contact sheets, true defects, reconstructions, superpixels."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Images, Maps, Masks

from ..maps import MapScale, color_bar, map_scale, show_map
from ..style import (
    FAINT,
    MAX_WIDTH,
    PANEL_AREA,
    SEQUENTIAL,
    Texts,
    blocks_of_panels,
    caption,
    check_batch,
    check_plane,
    corner,
    describe,
    fitted,
    footnote,
    headline,
    image_panels,
    name_panel,
    one_line,
    outline,
    panel_size,
    show_image,
    spread,
    styled,
)

# Side in inches of a square image below its anomaly map, and the colours of that.
_OVERLAY = 3.0
_BRIGHT = ListedColormap(colormaps[SEQUENTIAL](np.linspace(0.5, 1.0, 128)))


@styled
def image_grid(
    images: Images,
    titles: Texts | None = None,
    columns: int | None = None,
    title: str | None = None,
    note: str = "",
) -> Figure:
    """A contact sheet.

    Parameters
    ----------
    images : ndarray of float, shape (n, h, w, c) or (n, h, w)
        Values in [0, 1], c = 1 or 3, n ≥ 1.
    titles
        One for each image, written above it.
    columns
        By default as many as fit the page.
    title
    note
        Below the images.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no images, or shapes do not fit.

    Examples
    --------
    >>> len(image_grid(np.zeros((5, 8, 8, 1)), columns=3).axes)
    5
    """
    figure, axes = _flow(images, titles, columns, title, bottom=0.25 if note else 0.08)
    for ax, image in zip(axes, images, strict=True):
        show_image(ax, image)
    footnote(figure, note)
    describe(figure, title or "Images")
    return figure


@styled
def ground_truth_grid(
    images: Images,
    masks: Masks,
    types: ArrayLike,
    per_type: int = 4,
    title: str = "Ground truth",
) -> Figure:
    """Examples of each defect type, the true defect outlined, with the share that it covers.

    Parameters
    ----------
    images : ndarray of float, shape (n, h, w, c)
        Values in [0, 1].
    masks : ndarray of bool, shape (n, h, w)
        True where the defect is. Images without a defect are left out.
    types : array-like of str, shape (n,)
    per_type
        Maximum number for each type, spread evenly from its smallest defect to its largest.
    title

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If no mask holds a defect, or shapes do not fit.

    Examples
    --------
    >>> masks = np.zeros((2, 8, 8), bool)
    >>> masks[1, :4, :4] = True
    >>> figure = ground_truth_grid(np.zeros((2, 8, 8, 1)), masks, ["good", "crack"])
    >>> [ax.get_title("left") for ax in figure.axes]
    ['crack']
    """
    images, masks = np.asarray(images), np.asarray(masks, dtype=bool)
    types = np.asarray(types).astype(str)
    check_batch(len(images), masks=masks, types=types)
    if not masks.any():
        raise ValueError("masks must hold at least one defect")
    shares = masks.reshape(len(masks), -1).mean(axis=1)
    chosen: list[int] = []
    for name in sorted(set(types[shares > 0])):
        ordered = np.flatnonzero((types == name) & (shares > 0))
        ordered = ordered[np.argsort(shares[ordered], kind="stable")]
        chosen += list(ordered[spread(len(ordered), per_type)])
    figure, axes = _flow(images[chosen], types[chosen], None, title)
    for ax, index in zip(axes, chosen, strict=True):
        show_image(ax, images[index])
        outline(ax, masks[index])
        corner(ax, f"{100 * shares[index]:.2g} %")
    describe(
        figure,
        "Defective test images of each type, the true defect outlined; the number is the share of "
        "the image that it covers",
    )
    return figure


@styled
def reconstruction_grid(
    images: Images,
    counterparts: Images,
    maps: Maps,
    titles: Texts | None = None,
    scores: ArrayLike | None = None,
    masks: Masks | None = None,
    title: str = "What the detector sees",
    names: tuple[str, str, str] = ("image", "reconstruction", "anomaly map"),
    scale: MapScale | None = None,
) -> Figure:
    """Image, reconstruction and anomaly map side by side for each sample.

    Parameters
    ----------
    images, counterparts : ndarray of float, shape (n, h, w, c)
        Values in [0, 1].
    maps : ndarray of float, shape (n, h, w)
        Anomaly maps. All share one colour scale, so that a faint map looks faint.
    titles
        One for each image.
    scores : array-like of float, shape (n,), optional
        Written after the titles.
    masks : ndarray of bool, shape (n, h, w), optional
        Outlined on the image and the map.
    title
    names
        What the three panels of a sample are called.
    scale
        Of the maps; by default from the lowest value to the highest of those shown, see
        `map_scale`.

    Returns
    -------
    Figure
        Three panels for each sample, and a colour bar.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> images = np.zeros((2, 8, 8, 1))
    >>> len(reconstruction_grid(images, images, images[..., 0], scores=[0.1, 0.2]).axes)
    7
    """
    images, maps = np.asarray(images), np.asarray(maps, dtype=float)
    count = len(images)
    if count == 0:
        raise ValueError("images must hold at least one image")
    scores = None if scores is None else np.asarray(scores, dtype=float)
    check_batch(
        count, counterparts=counterparts, maps=maps, titles=titles, scores=scores, masks=masks
    )
    check_plane(images.shape[:3], maps=maps, masks=masks)
    figure, blocks = blocks_of_panels(
        count, 3, images.shape[1:], top=0.74, right=1.25, row_gap=0.45
    )
    headline(figure, title)
    scale = map_scale(maps) if scale is None else scale
    largest = float(maps.max(where=np.isfinite(maps), initial=-np.inf))
    for index, panels in enumerate(blocks):
        for ax, name in zip(panels, names, strict=True):
            name_panel(ax, name, color=FAINT)
        show_image(panels[0], images[index])
        show_image(panels[1], counterparts[index])
        drawn = show_map(panels[2], maps[index], scale, told=False)
        if index == 0:
            rightmost = max((block[-1] for block in blocks), key=lambda ax: ax.get_position().x1)
            color_bar(figure, drawn, rightmost, scale, largest)
        words = [] if titles is None else [one_line(titles[index], 44)]
        words += [] if scores is None else [f"score {scores[index]:.4g}"]
        caption(panels[0], "   ".join(words))
        if masks is not None:
            outline(panels[0], masks[index])
            outline(panels[2], masks[index])
    outlined = "" if masks is None else "; true defects outlined"
    describe(figure, f"{title}: {names[0]}, {names[1]} and {names[2]}{outlined}")
    return figure


@styled
def overlay_grid(
    images: Images,
    maps: Maps,
    scale: MapScale,
    titles: Texts | None = None,
    masks: Masks | None = None,
    title: str = "",
    note: str = "",
) -> Figure:
    """Large images with their anomaly maps over them, where these are high.

    Parameters
    ----------
    images : ndarray of float, shape (n, h, w, c)
        Values in [0, 1], n ≥ 1.
    maps : ndarray of float, shape (n, h, w)
    scale
        Below its floor a map is transparent; its limit has the last colour.
    titles
        One for each image.
    masks : ndarray of bool, shape (n, h, w), optional
        Outlined.
    title
    note
        Below the images.

    Returns
    -------
    Figure
        A panel for each image, and a colour bar.

    Raises
    ------
    ValueError
        If there are no images, or shapes do not fit.

    Examples
    --------
    >>> images, maps = np.zeros((1, 8, 8, 1)), np.eye(8)[None]
    >>> figure = overlay_grid(images, maps, MapScale(1.0, floor=0.5))
    >>> int(figure.axes[0].images[1].get_array().count())
    8
    """
    images, maps = np.asarray(images), np.asarray(maps, dtype=float)
    check_batch(len(images), maps=maps, masks=masks)
    check_plane(images.shape[:3], maps=maps, masks=masks)
    figure, axes = _flow(
        images,
        titles,
        None,
        title,
        bottom=0.25 if note else 0.08,
        right=1.1,
        scale=_OVERLAY / np.sqrt(PANEL_AREA),
    )
    drawn = None
    for index, ax in enumerate(axes):
        show_image(ax, images[index])
        # The upper half of the map's colours, which hardly an object has.
        drawn = ax.imshow(
            np.ma.masked_less(np.ma.masked_invalid(maps[index]), scale.floor),
            cmap=_BRIGHT,
            vmin=scale.floor,
            vmax=scale.limit,
            alpha=0.75,
            aspect="auto",
            interpolation="nearest",
        )
        if masks is not None:
            outline(ax, masks[index])
    rightmost = max(axes, key=lambda ax: ax.get_position().x1)
    largest = float(maps.max(where=np.isfinite(maps), initial=-np.inf))
    color_bar(figure, drawn, rightmost, scale, largest)
    footnote(figure, note)
    describe(figure, f"{title or 'Images'}: the anomaly map over each image{note and f'; {note}'}")
    return figure


def _flow(
    images: Images,
    titles: Texts | None,
    columns: int | None,
    title: str | None,
    bottom: float = 0.08,
    right: float = 0.08,
    scale: float = 1.0,
) -> tuple[Figure, list[Axes]]:
    """Panels for ``images`` in reading order, as many a row as fit."""
    if len(images) == 0:
        raise ValueError("images must hold at least one image")
    check_batch(len(images), titles=titles)
    shape = np.shape(images)[1:]
    width = scale * panel_size(shape)[0]
    columns = columns or max(1, int((MAX_WIDTH - right) // (width + 0.07)))
    columns = min(columns, len(images))
    figure, axes = image_panels(
        -(-len(images) // columns),
        columns,
        shape,
        top=(0.25 if title else 0.06) + (0.2 if titles is not None else 0.0),
        bottom=bottom,
        right=right,
        row_gap=0.26 if titles is not None else 0.07,
        scale=scale,
    )
    panels = list(axes.ravel())
    for ax in panels[len(images) :]:
        ax.remove()
    panels = panels[: len(images)]
    if titles is not None:
        # One size for all, that of the longest: titles of many sizes look restless.
        size = min(fitted(text, width)[1] for text in titles)
        for ax, text in zip(panels, titles, strict=True):
            name_panel(ax, text, size=size)
    if title:
        headline(figure, title)
    return figure, panels
