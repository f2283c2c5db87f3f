"""Pictures made of images and maps: contact sheets, reconstructions, true defects, superpixels, the strip of a sample."""

import numpy as np
from matplotlib.patches import Patch
from skimage.segmentation import find_boundaries

from adhelpers.metrics import explained_region

from ..style import (
    ANOMALOUS,
    EXPLANATION,
    FAINT,
    GOOD,
    GROUND_TRUTH,
    INK,
    MAX_WIDTH,
    OVERLAP,
    check_batch,
    check_plane,
    corner,
    displayable,
    fitted,
    headline,
    image_panels,
    name_panel,
    one_line,
    outline,
    panel_size,
    say,
    show_heatmap,
    show_image,
    show_map,
    show_overlap,
    styled,
    threshold_value,
)

__all__ = [
    "ground_truth_grid",
    "image_grid",
    "reconstruction_grid",
    "sample_strip",
    "superpixel_overlay",
]


@styled
def image_grid(images, titles=None, columns=None, title=None):
    """A contact sheet.

    Parameters
    ----------
    images : array (n, h, w, c) or (n, h, w)
        Values in [0, 1], c = 1 or 3, n ≥ 1.
    titles : sequence of str (n,), optional
        Written above the images.
    columns : int, optional
        By default as many as fit the page.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are no images, or shapes do not fit.

    Examples
    --------
    >>> len(image_grid(np.zeros((5, 8, 8, 1)), columns=3).axes)
    5
    """
    figure, axes = _flow(images, titles, columns, title)
    for ax, image in zip(axes, images):
        show_image(ax, image)
    return figure


@styled
def ground_truth_grid(images, masks, types, per_type=4, title="Ground truth"):
    """Examples of each defect type, the true defect outlined, with the share of the image that it covers.

    Parameters
    ----------
    images : array (n, h, w, c)
        Values in [0, 1].
    masks : bool array (n, h, w)
        True where the defect is. Images without a defect are left out.
    types : sequence of str (n,)
    per_type : int
        At most so many of each type, spread evenly from its smallest defect to its largest.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If no mask holds a defect, or shapes do not fit.

    Examples
    --------
    >>> masks = np.zeros((2, 8, 8), bool)
    >>> masks[1, :4, :4] = True
    >>> [ax.get_title("left") for ax in ground_truth_grid(np.zeros((2, 8, 8, 1)), masks, ["good", "crack"]).axes]
    ['crack']
    """
    images, masks, types = (
        np.asarray(images),
        np.asarray(masks, dtype=bool),
        np.asarray(types).astype(str),
    )
    check_batch(len(images), masks=masks, types=types)
    if not masks.any():
        raise ValueError("masks must hold at least one defect.")
    shares = masks.reshape(len(masks), -1).mean(axis=1)
    chosen = []
    for name in sorted(set(types[shares > 0])):
        ordered = np.flatnonzero((types == name) & (shares > 0))
        ordered = ordered[np.argsort(shares[ordered], kind="stable")]
        chosen += list(ordered[_spread(len(ordered), per_type)])
    figure, axes = _flow(images[chosen], types[chosen], None, title)
    for ax, index in zip(axes, chosen):
        show_image(ax, images[index])
        outline(ax, masks[index])
        corner(ax, f"{100 * shares[index]:.2g} %")
    return figure


@styled
def reconstruction_grid(
    images,
    counterparts,
    maps,
    titles=None,
    scores=None,
    masks=None,
    title="What the detector sees",
    names=("image", "reconstruction", "anomaly map"),
):
    """Image, reconstruction and anomaly map side by side for each sample.

    Parameters
    ----------
    images, counterparts : array (n, h, w, c)
        Values in [0, 1].
    maps : array (n, h, w)
        Anomaly maps. All share one colour scale, from the lowest value to the highest, so that a
        faint map looks faint.
    titles : sequence of str (n,), optional
    scores : array (n,), optional
        Written behind the titles.
    masks : bool array (n, h, w), optional
        Outlined on the image and the map.
    title : str
    names : tuple of str (3,)
        What the three panels of a sample are called.

    Returns
    -------
    matplotlib.figure.Figure
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
        raise ValueError("images must hold at least one image.")
    check_batch(
        count, counterparts=counterparts, maps=maps, titles=titles, scores=scores, masks=masks
    )
    check_plane(images.shape[:3], maps=maps, masks=masks)
    block = 3 * (panel_size(images.shape[1:])[0] + 0.09) + 0.16
    across = max(1, min(count, int(MAX_WIDTH // block)))
    rows = -(-count // across)
    figure, axes = image_panels(
        rows, 3 * across, images.shape[1:], top=0.74, right=0.75, row_gap=0.45, every=3
    )
    headline(figure, title)
    limit = float(np.nanmax(maps)) if np.isfinite(maps).any() else 1.0
    limit = limit if limit > 0 else 1.0
    floor = float(np.nanmin(maps)) if np.isfinite(maps).any() else 0.0
    # What is noticeably below 0 somewhere; a trace of it would take half the colours from all the
    # others.
    signed = floor < -0.05 * limit
    for position in range(rows * across):
        panels = axes[position // across, 3 * (position % across) : 3 * (position % across) + 3]
        if position >= count:
            for ax in panels:
                ax.remove()
            continue
        for ax, name in zip(panels, names, strict=True):
            name_panel(ax, name, color=FAINT)
        show_image(panels[0], images[position])
        show_image(panels[1], counterparts[position])
        drawn = show_map(panels[2], maps[position], limit, signed, floor)
        words = [] if titles is None else [one_line(titles[position], 44)]
        words += [] if scores is None else [f"score {float(scores[position]):.4g}"]
        panels[0].annotate(
            "   ".join(words),
            (0, 1),
            (0, 15),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=8,
            fontweight="bold",
            annotation_clip=False,
        )
        if masks is not None:
            outline(panels[0], masks[position])
            outline(panels[2], masks[position])
        if position == 0:
            _side_bar(figure, drawn, axes[0, -1] if count >= across else panels[2])
    return figure


@styled
def superpixel_overlay(image, segments, title=None):
    """An image beside its superpixels: their borders on the image, and each filled with its mean.

    Parameters
    ----------
    image : array (h, w, c)
        Values in [0, 1].
    segments : int array (h, w)
        Label of each pixel's superpixel.
    title : str, optional
        By default the number of superpixels.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If ``segments`` has another shape than the image.

    Examples
    --------
    >>> figure = superpixel_overlay(np.zeros((8, 8, 1)), np.arange(64).reshape(8, 8) // 32)
    >>> figure.texts[0].get_text()
    '2 superpixels'
    """
    shown = displayable(image)
    segments = np.asarray(segments)
    check_plane(shown.shape[:2], segments=segments)
    labels, numbered = np.unique(segments, return_inverse=True)
    numbered = numbered.reshape(segments.shape)
    colored = shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2)
    counts = np.bincount(numbered.ravel())
    sums = [
        np.bincount(numbered.ravel(), weights=colored[..., channel].ravel()) for channel in range(3)
    ]
    means = np.stack(sums, axis=1) / counts[:, None]
    # On a grid four times as fine the borders lie between the pixels instead of covering them.
    fine = find_boundaries(np.kron(numbered, np.ones((4, 4), dtype=int)), mode="inner")
    bordered = np.kron(colored, np.ones((4, 4, 1)))
    bordered[fine] = (1.0, 0.85, 0.1)
    figure, axes = image_panels(1, 3, shown.shape, top=0.45, scale=1.6)
    headline(figure, f"{len(labels)} superpixels" if title is None else title)
    for ax, name, picture in zip(
        axes[0], ("image", "borders", "mean of each"), (shown, bordered, means[numbered])
    ):
        name_panel(ax, name, color=FAINT)
        show_image(ax, picture)
    return figure


@styled
def sample_strip(
    image,
    counterpart,
    anomaly_map,
    heatmaps,
    mask=None,
    optimal=None,
    title="",
    score=None,
    threshold=None,
    map_limit=None,
    map_floor=0.0,
    counterpart_name="reconstruction",
    repaired=None,
):
    """One sample from the image to the verdict on its explanations, side by side.

    Image, counterpart, anomaly map, the heatmap of each explainer; then for each explainer a
    Jaccard panel that shows, in three colours, where its heatmap at the optimal threshold and the
    true defect overlap and where only one of them is. The true defect is outlined on the image, the
    map and the heatmaps.

    Parameters
    ----------
    image, counterpart : array (h, w, c)
        Values in [0, 1]; ``counterpart`` is what a normal version of the image looks like to the
        detector.
    anomaly_map : array (h, w)
    heatmaps : dict of str to array (h, w)
        For each explainer its signed heatmap, each drawn on its own scale. Where all is NaN the
        panel says so.
    mask : bool array (h, w), optional
        The true defect.
    optimal : dict of str to (float, float), optional
        For each explainer its optimal Jaccard and the threshold that gives it; the region is
        ``heatmap >= threshold``. Without it there are no Jaccard panels; on an image without a
        defect or without a mask they say so.
    title : str
        Such as the file's name.
    score : float, optional
    threshold : Threshold or float, optional
        With ``score`` it tells whether the image is flagged (score > threshold).
    map_limit : float, optional
        The map value of the last colour, so that the strips of a run can be compared; by default
        the map's own largest.
    map_floor : float
        The map value of the first colour.
    counterpart_name : str
        What the counterpart is, above its picture.
    repaired : (array (h, w, c), float), optional
        The image after its true defect was replaced by the counterpart, and its score then.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not fit, or ``optimal`` names an explainer without a heatmap.

    Examples
    --------
    >>> image, heatmap = np.zeros((8, 8, 1)), np.eye(8)
    >>> figure = sample_strip(image, image, heatmap, {"LIME": heatmap}, mask=heatmap > 0, optimal={"LIME": (1.0, 1.0)})
    >>> [ax.get_title("left") for ax in figure.axes]
    ['image', 'reconstruction', 'anomaly map', 'LIME', 'LIME: overlap']
    """
    shown = displayable(image)
    displayable(counterpart, "counterpart")
    check_plane(
        shown.shape[:2],
        counterpart=np.asarray(counterpart)[..., 0] if np.ndim(counterpart) == 3 else counterpart,
        anomaly_map=anomaly_map,
        mask=mask,
        **{f"heatmaps[{name!r}]": heatmap for name, heatmap in heatmaps.items()},
    )
    optimal = {} if optimal is None else optimal
    stray = sorted(set(optimal) - set(heatmaps))
    if stray:
        raise ValueError(
            f"optimal must only name explainers in heatmaps, {sorted(heatmaps)}; it also names {stray}."
        )
    mask = None if mask is None else np.asarray(mask, dtype=bool)
    headed = bool(title) or score is not None
    figure, axes = image_panels(
        1,
        3 + (repaired is not None) + len(heatmaps) + len(optimal),
        shown.shape,
        top=0.45 if headed else 0.2,
        bottom=0.27,
    )
    panels = iter(axes[0])
    ax = _named(panels, "image")
    show_image(ax, image)
    outline(ax, mask)
    show_image(_named(panels, counterpart_name), counterpart)
    ax = _named(panels, "anomaly map")
    show_map(ax, anomaly_map, map_limit, floor=map_floor)
    outline(ax, mask)
    if repaired is not None:
        ax = _named(panels, "defect repaired")
        show_image(ax, repaired[0])
        corner(ax, f"score {repaired[1]:.3g}")
    for name, heatmap in heatmaps.items():
        ax = _named(panels, name)
        if show_heatmap(ax, heatmap) in ax.images:
            outline(ax, mask)
    for name, (value, cut) in optimal.items():
        ax = _named(panels, f"{name}: overlap")
        if mask is None:
            say(ax, "no ground truth")
        elif not mask.any():
            say(ax, "no defect")
        elif value is None or not np.isfinite(value):
            say(ax, "not available")
        else:
            show_overlap(ax, image, explained_region(heatmaps[name], cut), mask)
            corner(ax, f"J* {value:.2f}")
    width, height = figure.get_size_inches()
    compared = bool(optimal) and mask is not None and mask.any()
    if heatmaps and width > (6.7 if compared else 3.3):
        figure.text(
            0.08 / width,
            0.07 / height,
            "heatmaps: orange raises the score, purple lowers it",
            color=FAINT,
            fontsize=7.5,
        )
    if compared:
        figure.legend(
            handles=[
                Patch(color=OVERLAP, label="overlap"),
                Patch(color=GROUND_TRUTH, label="ground truth only"),
                Patch(color=EXPLANATION, label="explanation only"),
            ],
            ncols=3,
            loc="lower right",
            borderaxespad=0.1,
            bbox_to_anchor=(1.0, 0.0),
            handlelength=1.1,
            handleheight=0.9,
            columnspacing=1.2,
            fontsize=7.5,
        )
    headline(figure, title, *_decision(score, threshold))
    return figure


def _decision(score, threshold):
    """What a strip says of its image's score, and the colour for it."""
    if score is None:
        return "", INK
    if threshold is None:
        return f"score {score:.4g}", INK
    # As Python numbers: a float32 score would round the threshold before it is compared.
    flagged = float(score) > threshold_value(threshold)
    return (
        f"score {score:.4g} {'>' if flagged else '≤'} {threshold_value(threshold):.4g}: {'flagged' if flagged else 'passed'}",
        ANOMALOUS if flagged else GOOD,
    )


def _named(panels, name):
    """The next panel, named."""
    ax = next(panels)
    name_panel(ax, name)
    return ax


def _flow(images, titles, columns, title):
    """Panels for ``images`` in reading order, as many a row as fit; the surplus of the last row is removed."""
    if len(images) == 0:
        raise ValueError("images must hold at least one image.")
    check_batch(len(images), titles=titles)
    shape = np.shape(images)[1:]
    columns = columns or max(1, int(MAX_WIDTH // (panel_size(shape)[0] + 0.07)))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure, axes = image_panels(
        rows,
        columns,
        shape,
        top=(0.25 if title else 0.06) + (0.2 if titles is not None else 0.0),
        row_gap=0.26 if titles is not None else 0.07,
    )
    for ax in axes.ravel()[len(images) :]:
        ax.remove()
    if titles is not None:
        # One size for all, that of the longest: a sheet with titles of many sizes looks like a
        # ransom note.
        size = min(fitted(text, panel_size(shape)[0])[1] for text in titles)
        for ax, text in zip(axes.ravel(), titles):
            name_panel(ax, text, size=size)
    if title:
        headline(figure, title)
    return figure, axes.ravel()[: len(images)]


def _spread(available, wanted):
    """At most ``wanted`` positions spread evenly over ``available``."""
    return np.unique(np.linspace(0, available - 1, min(wanted, available)).round().astype(int))


def _side_bar(figure, drawn, ax):
    """A thin colour bar right of ``ax``, as tall as it."""
    box, width = ax.get_position(), figure.get_figwidth()
    bar = figure.add_axes((box.x1 + 0.09 / width, box.y0, 0.11 / width, box.height))
    if drawn in ax.images or hasattr(drawn, "cmap"):
        figure.colorbar(drawn, cax=bar)
        bar.tick_params(labelsize=7)
        bar.grid(False)
