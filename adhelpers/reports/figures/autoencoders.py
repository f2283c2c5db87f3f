"""Figures for autoencoders: learning rates, area and threshold, regions, reconstructions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Flags, Floats, Images, Masks
from adhelpers.metrics import Threshold

from ..maps import MapScale, show_map
from ..style import (
    ANOMALOUS,
    FAINT,
    GOOD,
    INK,
    MAX_WIDTH,
    Texts,
    blocks_of_panels,
    chart_title,
    check_batch,
    check_columns,
    check_plane,
    corner,
    describe,
    headline,
    image_panels,
    name_panel,
    new_figure,
    one_line,
    outline,
    overlap_legend,
    panel_size,
    plain_log_axis,
    show_image,
    show_overlap,
    styled,
    threshold_value,
)


@styled
def learning_rate_curve(
    sweep: pd.DataFrame, suggested: float, title: str = "Which learning rate?"
) -> Figure:
    """The loss against the learning rate of a sweep, and the rate that it suggests.

    Parameters
    ----------
    sweep
        Columns ``learning_rate``, ``loss`` and ``smoothed``, see
        `adhelpers.training.LearningRateSweep`.
    suggested
    title

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a column is missing.

    Examples
    --------
    >>> sweep = pd.DataFrame({"learning_rate": [1e-4, 1e-3], "loss": [3, 9], "smoothed": [3, 5]})
    >>> learning_rate_curve(sweep, 1e-3).axes[0].get_xlabel()
    'learning rate'
    """
    check_columns(sweep, ("learning_rate", "loss", "smoothed"), "sweep")
    figure = new_figure(6.0, 3.0, layout="constrained")
    chart_title(figure, one_line(title))
    ax = figure.add_subplot(xlabel="learning rate", ylabel="loss", xscale="log")
    rates, smoothed = sweep["learning_rate"], sweep["smoothed"]
    ax.plot(rates, sweep["loss"], color="#c9c9c9", linewidth=0.9, label="each step")
    ax.plot(rates, smoothed, color=GOOD, linewidth=1.6, label="smoothed")
    if smoothed.min() > 0 and smoothed.max() > 20 * smoothed.min():
        ax.set_yscale("log")
        plain_log_axis(ax.yaxis)
    # A loss that ran away must not squeeze the part that matters.
    ax.set_ylim(top=smoothed.max() * 1.1)
    label = f"suggested: {suggested:.2g}"
    ax.axvline(suggested, color=ANOMALOUS, linewidth=1.2, linestyle="--", label=label)
    ax.legend()
    describe(
        figure, f"{title} The loss against the learning rate of the sweep; dashed: the rate taken"
    )
    return figure


@styled
def area_tuning_curves(
    table: pd.DataFrame,
    minimal_area: int,
    threshold: Threshold | float,
    title: str = "Area and threshold",
) -> Figure:
    """Threshold for each minimal area, and how well it decides on the images that chose the area.

    Parameters
    ----------
    table
        As `adhelpers.metrics.AreaTuning` has it.
    minimal_area
        The area that was chosen.
    threshold
        The threshold that belongs to it.
    title

    Returns
    -------
    Figure
        Two panels over the area.

    Raises
    ------
    ValueError
        If a column is missing.

    Examples
    --------
    >>> rates = {"true_positive_rate": [0.5, 0.7], "true_negative_rate": [1.0, 0.9]}
    >>> table = pd.DataFrame({"area": [5, 10], "threshold": [0.5, 0.3], "balanced": [0.7, 0.8]})
    >>> len(area_tuning_curves(table.assign(**rates), 10, 0.3).axes)
    2
    """
    rates = {
        "true_positive_rate": (ANOMALOUS, 1.1),
        "true_negative_rate": (GOOD, 1.1),
        "balanced": (INK, 1.8),
    }
    check_columns(table, ("area", "threshold", *rates), "table")
    figure = new_figure(9.6, 3.1, layout="constrained")
    chart_title(figure, one_line(title))
    left, right = figure.subplots(1, 2)
    left.set(
        xlabel="minimal area in pixels",
        ylabel="threshold",
        title="threshold from good validation images, by area",
    )
    left.plot(table["area"], table["threshold"], color=GOOD, linewidth=1.6, drawstyle="steps-post")
    value = threshold_value(threshold)
    label = f"chosen: {minimal_area} pixels, {value:.4g}"
    left.plot(minimal_area, value, "o", color=ANOMALOUS, markersize=6, label=label)
    left.legend()
    right.set(
        xlabel="minimal area in pixels",
        ylabel="share",
        ylim=(-0.03, 1.03),
        title="decisions on the images that chose the area",
    )
    for name, (color, width) in rates.items():
        right.plot(
            table["area"],
            table[name],
            "-",
            color=color,
            linewidth=width,
            label=name.replace("_", " "),
            drawstyle="steps-post",
        )
    right.axvline(minimal_area, color=FAINT, linewidth=1.0, linestyle="--")
    right.legend(loc="lower right")
    describe(
        figure,
        f"{title}: for each minimal area the threshold from good validation images, and the shares "
        "of right decisions on the images that chose the area",
    )
    return figure


@styled
def segmentation_grid(
    images: Images,
    segmentations: Masks,
    masks: Masks | None = None,
    titles: Texts | None = None,
    title: str = "Segmented regions",
) -> Figure:
    """Predicted regions over dimmed images: green is found, blue is missed, orange is no defect.

    Parameters
    ----------
    images : ndarray of float, shape (n, h, w, c)
        Values in [0, 1].
    segmentations : ndarray of bool, shape (n, h, w)
    masks : ndarray of bool, shape (n, h, w), optional
        Without them every predicted region is orange.
    titles
        One for each image.
    title

    Returns
    -------
    Figure
        Two panels for each image: as it is, with the true defect outlined, and with the regions.

    Raises
    ------
    ValueError
        If shapes do not fit or there is no image.

    Examples
    --------
    >>> images = np.full((3, 8, 8, 1), 0.5)
    >>> len(segmentation_grid(images, images[..., 0] > 1).axes)
    6
    """
    images, segmentations = np.asarray(images), np.asarray(segmentations, dtype=bool)
    count = len(images)
    if count == 0:
        raise ValueError("images must hold at least one image")
    check_batch(count, segmentations=segmentations, masks=masks, titles=titles)
    check_plane(images.shape[:3], segmentations=segmentations, masks=masks)
    truth = np.zeros_like(segmentations) if masks is None else np.asarray(masks, dtype=bool)
    figure, blocks = blocks_of_panels(count, 2, images.shape[1:], top=0.5, bottom=0.3)
    headline(figure, title)
    for index, (plain, marked) in enumerate(blocks):
        region, mask = segmentations[index], truth[index]
        show_image(plain, images[index])
        outline(plain, mask)
        show_overlap(marked, images[index], region, mask)
        if mask.any():
            corner(marked, f"IoU {(region & mask).sum() / (region | mask).sum():.2f}")
        elif not region.any():
            corner(marked, "nothing")
        if titles is not None:
            name_panel(plain, titles[index])
    overlap_legend(figure, ("found defect", "missed defect", "found, no defect"), right=False)
    describe(figure, f"{title}: test images, and the regions found in them beside the true defects")
    return figure


@styled
def counterparts_grid(
    image: Floats,
    counterparts: Mapping[str, Floats],
    maps: Mapping[str, Floats],
    mask: Flags | None = None,
    title: str = "The same image, several detectors",
    scales: Mapping[str, MapScale] | None = None,
) -> Figure:
    """One image as several detectors return it: each counterpart above its anomaly map.

    Parameters
    ----------
    image : ndarray of float, shape (h, w, c)
        Values in [0, 1].
    counterparts : dict of str to ndarray of float, shape (h, w, c)
    maps : dict of str to ndarray of float, shape (h, w)
        Each with a colour scale of its own, written below it, because scores of different
        detectors have different units.
    mask : ndarray of bool, shape (h, w), optional
        Outlined everywhere.
    title
    scales : dict of str to MapScale, optional
        Of the maps; by default each map's own.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no counterpart, names differ, or shapes do not fit.

    Examples
    --------
    >>> image = np.full((16, 8, 1), 0.5)
    >>> maps = {"a": image[..., 0], "b": image[..., 0]}
    >>> len(counterparts_grid(image, {"a": image, "b": image}, maps).axes)
    5
    """
    image = np.asarray(image)
    if not counterparts or set(counterparts) != set(maps):
        raise ValueError(
            "counterparts and maps must hold the same detectors, at least one; "
            f"got {sorted(counterparts)} and {sorted(maps)}"
        )
    check_plane(
        image.shape[:2], mask=mask, **{f"maps[{name!r}]": values for name, values in maps.items()}
    )
    columns = 1 + len(counterparts)
    scale = min(1.0, MAX_WIDTH / (columns * (panel_size(image.shape)[0] + 0.09)))
    figure, axes = image_panels(
        2, columns, image.shape, top=0.5, bottom=0.32, row_gap=0.1, scale=scale
    )
    headline(figure, title)
    axes[1, 0].remove()
    name_panel(axes[0, 0], "image")
    show_image(axes[0, 0], image)
    outline(axes[0, 0], mask)
    for column, name in enumerate(counterparts, start=1):
        name_panel(axes[0, column], name)
        show_image(axes[0, column], counterparts[name])
        show_map(axes[1, column], maps[name], (scales or {}).get(name))
        outline(axes[1, column], mask)
    describe(
        figure, f"{title}: what each takes for its normal version, above the anomaly map of each"
    )
    return figure
