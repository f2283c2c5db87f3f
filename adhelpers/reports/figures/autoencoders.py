"""Figures for autoencoders: the sweep of the learning rate, area and threshold, segmented regions, reconstructions side by side."""

import numpy as np
from matplotlib.patches import Patch

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
    headline,
    image_panels,
    name_panel,
    new_figure,
    one_line,
    outline,
    panel_size,
    plain_log_axis,
    show_image,
    show_map,
    show_overlap,
    styled,
)


@styled
def learning_rate_curve(sweep, suggested, title="Which learning rate?"):
    """The loss against the learning rate of a sweep, and the rate that it suggests.

    Parameters
    ----------
    sweep : pandas.DataFrame
        Columns ``learning_rate``, ``loss`` and ``smoothed``, see
        `adhelpers.detectors.LearningRateSweep`.
    suggested : float
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a column is missing.

    Examples
    --------
    >>> import pandas
    >>> sweep = pandas.DataFrame({"learning_rate": [1e-4, 1e-3, 1e-2], "loss": [3.0, 2.0, 9.0], "smoothed": [3.0, 2.5, 5.0]})
    >>> learning_rate_curve(sweep, 1e-3).axes[0].get_xlabel()
    'learning rate'
    """
    missing = {"learning_rate", "loss", "smoothed"} - set(sweep.columns)
    if missing:
        raise ValueError(
            f"sweep must have the columns learning_rate, loss and smoothed; {', '.join(sorted(missing))} is missing."
        )
    figure = new_figure(6.0, 3.0, layout="constrained")
    figure.suptitle(one_line(title), fontweight="bold", x=0.01, ha="left")
    ax = figure.add_subplot(xlabel="learning rate", ylabel="loss", xscale="log")
    ax.plot(
        sweep["learning_rate"], sweep["loss"], color="#c9c9c9", linewidth=0.9, label="each step"
    )
    ax.plot(sweep["learning_rate"], sweep["smoothed"], color=GOOD, linewidth=1.6, label="smoothed")
    if sweep["smoothed"].min() > 0 and sweep["smoothed"].max() > 20 * sweep["smoothed"].min():
        ax.set_yscale("log")
        plain_log_axis(ax.yaxis)
    # A loss that ran away must not squeeze the part that matters.
    highest = sweep["smoothed"].max()
    ax.set_ylim(top=highest * 1.1)
    ax.axvline(
        suggested,
        color=ANOMALOUS,
        linewidth=1.2,
        linestyle="--",
        label=f"suggested: {suggested:.2g}",
    )
    ax.legend()
    return figure


@styled
def area_tuning_curves(table, minimal_area, threshold, title="Area and threshold"):
    """For each minimal area the threshold that good validation images allow, and how well it decides on the images that chose.

    Parameters
    ----------
    table : pandas.DataFrame
        As `adhelpers.metrics.AreaTuning` has it.
    minimal_area : int
        The area that was chosen.
    threshold : Threshold or float
        The threshold that belongs to it.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Two panels that share the axis of the area.

    Raises
    ------
    ValueError
        If a column is missing.

    Examples
    --------
    >>> import pandas
    >>> table = pandas.DataFrame({"area": [5, 10], "threshold": [0.5, 0.3], "true_positive_rate": [0.5, 0.7],
    ...                           "true_negative_rate": [1.0, 0.9], "balanced": [0.75, 0.8]})
    >>> len(area_tuning_curves(table, 10, 0.3).axes)
    2
    """
    columns = ["area", "threshold", "true_positive_rate", "true_negative_rate", "balanced"]
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(
            f"table must have the columns {', '.join(columns)}; {', '.join(missing)} is missing."
        )
    figure = new_figure(9.6, 3.1, layout="constrained")
    figure.suptitle(one_line(title), fontweight="bold", x=0.01, ha="left")
    left, right = figure.subplots(1, 2)
    left.set(
        xlabel="minimal area in pixels",
        ylabel="threshold",
        title="good validation images fix the threshold of each area",
    )
    left.plot(table["area"], table["threshold"], color=GOOD, linewidth=1.6, drawstyle="steps-post")
    value = float(getattr(threshold, "value", threshold))
    left.plot(
        minimal_area,
        value,
        "o",
        color=ANOMALOUS,
        markersize=6,
        label=f"chosen: {minimal_area} pixels, {value:.4g}",
    )
    left.legend()
    right.set(
        xlabel="minimal area in pixels",
        ylabel="share",
        ylim=(-0.03, 1.03),
        title="what it decides on the images that chose",
    )
    for name, color, dashes, width in (
        ("true_positive_rate", ANOMALOUS, "-", 1.1),
        ("true_negative_rate", GOOD, "-", 1.1),
        ("balanced", INK, "-", 1.8),
    ):
        right.plot(
            table["area"],
            table[name],
            dashes,
            color=color,
            linewidth=width,
            label=name.replace("_", " "),
            drawstyle="steps-post",
        )
    right.axvline(minimal_area, color=FAINT, linewidth=1.0, linestyle="--")
    right.legend(loc="lower right")
    return figure


@styled
def segmentation_grid(images, segmentations, masks=None, titles=None, title="Segmented regions"):
    """Predicted regions over dimmed images: green where they meet the true defect, orange beside it, blue where it was missed.

    Parameters
    ----------
    images : array (n, h, w, c)
        Values in [0, 1].
    segmentations : bool array (n, h, w)
    masks : bool array (n, h, w), optional
        Without them every predicted region is orange.
    titles : sequence of str (n,), optional
    title : str

    Returns
    -------
    matplotlib.figure.Figure
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
        raise ValueError("images must hold at least one image.")
    check_batch(count, segmentations=segmentations, masks=masks, titles=titles)
    check_plane(images.shape[:3], segmentations=segmentations, masks=masks)
    across = max(
        1, min(count, int(MAX_WIDTH // (2 * (panel_size(images.shape[1:])[0] + 0.09) + 0.16)))
    )
    rows = -(-count // across)
    figure, axes = image_panels(rows, 2 * across, images.shape[1:], top=0.5, bottom=0.3, every=2)
    headline(figure, title)
    for position in range(rows * across):
        plain, marked = axes[
            position // across, 2 * (position % across) : 2 * (position % across) + 2
        ]
        if position >= count:
            plain.remove()
            marked.remove()
            continue
        mask = (
            np.zeros(images.shape[1:3], dtype=bool)
            if masks is None
            else np.asarray(masks[position], dtype=bool)
        )
        show_image(plain, images[position])
        outline(plain, mask)
        show_overlap(marked, images[position], segmentations[position], mask)
        either = (segmentations[position] | mask).sum()
        if mask.any():
            corner(marked, f"IoU {(segmentations[position] & mask).sum() / either:.2f}")
        elif not segmentations[position].any():
            corner(marked, "nothing")
        if titles is not None:
            name_panel(plain, titles[position])
    handles = [
        Patch(color=OVERLAP, label="found defect"),
        Patch(color=GROUND_TRUTH, label="missed defect"),
        Patch(color=EXPLANATION, label="found, no defect"),
    ]
    figure.legend(
        handles=handles,
        ncols=3,
        loc="lower left",
        borderaxespad=0.1,
        bbox_to_anchor=(0.0, 0.0),
        handlelength=1.1,
        handleheight=0.9,
        columnspacing=1.2,
        fontsize=7.5,
    )
    return figure


@styled
def counterparts_grid(
    image, counterparts, maps, mask=None, title="The same image, several detectors"
):
    """One image as several detectors give it back: a column for each, the counterpart above its anomaly map.

    Parameters
    ----------
    image : array (h, w, c)
        Values in [0, 1].
    counterparts : dict of str to array (h, w, c)
    maps : dict of str to array (h, w)
        Each with its own colour scale, because scores of different detectors have different units.
    mask : bool array (h, w), optional
        Outlined everywhere.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no counterpart, names differ, or shapes do not fit.

    Examples
    --------
    >>> image = np.full((16, 8, 1), 0.5)
    >>> len(counterparts_grid(image, {"a": image, "b": image}, {"a": image[..., 0], "b": image[..., 0]}).axes)
    5
    """
    image = np.asarray(image)
    if not counterparts or set(counterparts) != set(maps):
        raise ValueError(
            f"counterparts and maps must hold the same detectors, at least one; got {sorted(counterparts)} and {sorted(maps)}."
        )
    check_plane(
        image.shape[:2], mask=mask, **{f"maps[{name!r}]": values for name, values in maps.items()}
    )
    columns = 1 + len(counterparts)
    scale = min(1.0, MAX_WIDTH / (columns * (panel_size(image.shape)[0] + 0.09)))
    figure, axes = image_panels(2, columns, image.shape, top=0.5, row_gap=0.1, scale=scale)
    headline(figure, title)
    axes[1, 0].remove()
    name_panel(axes[0, 0], "image")
    show_image(axes[0, 0], image)
    outline(axes[0, 0], mask)
    for column, name in enumerate(counterparts, start=1):
        name_panel(axes[0, column], name)
        show_image(axes[0, column], counterparts[name])
        show_map(axes[1, column], maps[name])
        outline(axes[1, column], mask)
    return figure
