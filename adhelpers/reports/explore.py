"""One test image at a time, with sliders in JupyterLab and as a fixed grid where nobody can move a slider."""

import html
import os

import ipywidgets as widgets
import numpy as np

from adhelpers.metrics import explained_region

from .gallery import figure_png
from .style import (
    EXPLANATION,
    MAX_WIDTH,
    check_batch,
    check_plane,
    corner,
    image_panels,
    name_panel,
    one_line,
    outline,
    panel_size,
    show_heatmap,
    show_image,
    show_map,
    show_overlap,
    styled,
    threshold_text,
    threshold_value,
)

__all__ = ["explore"]


def explore(
    images,
    scores,
    heatmaps,
    masks=None,
    types=None,
    names=None,
    threshold=None,
    counterparts=None,
    anomaly_maps=None,
    max_static=12,
    counterpart_name="reconstruction",
):
    """Look through test images and their explanations.

    In JupyterLab: a slider for the image, a menu for the explainer, and a slider for the threshold
    of its heatmap, given as the quantile of the heatmap's values above which a pixel counts as
    explained. The region at that threshold is drawn over the image and compared with the true
    defect. Where the environment variable ``ADHELPERS_STATIC`` is set, as in batch runs whose
    notebooks become HTML, a fixed grid of images and heatmaps is returned instead, because sliders
    do nothing there.

    Parameters
    ----------
    images : array (n, h, w, c)
        Values in [0, 1], n ≥ 1.
    scores : array (n,)
    heatmaps : dict of str to array (n, h, w)
        Computed beforehand; at least one explainer.
    masks : bool array (n, h, w), optional
        The true defects.
    types, names : sequence of str (n,), optional
    threshold : Threshold or float, optional
        Of the score: tells what is flagged.
    counterparts : array (n, h, w, c), optional
        What a normal version of each image looks like to the detector.
    anomaly_maps : array (n, h, w), optional
    max_static : int
        At most so many images in the fixed grid, spread evenly from the lowest score to the
        highest.
    counterpart_name : str
        What the counterparts are, above their pictures.

    Returns
    -------
    ipywidgets.VBox or matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are no images or no explainers, or shapes do not fit.

    Examples
    --------
    >>> images, heatmaps = np.zeros((2, 8, 8, 1)), {"LIME": np.zeros((2, 8, 8))}
    >>> box = explore(images, [0.1, 0.9], heatmaps)
    >>> [control.description for control in box.children[0].children]
    ['Image', 'Explainer', 'Quantile']
    """
    images, scores = np.asarray(images), np.asarray(scores, dtype=float)
    if len(images) == 0:
        raise ValueError("images must hold at least one image.")
    if not heatmaps:
        raise ValueError("heatmaps must name at least one explainer.")
    heatmaps = {name: np.asarray(values) for name, values in heatmaps.items()}
    masks = None if masks is None else np.asarray(masks, dtype=bool)
    check_batch(len(images), scores=scores, types=types, names=names, counterparts=counterparts)
    check_plane(
        images.shape[:3],
        masks=masks,
        anomaly_maps=anomaly_maps,
        **{f"heatmaps[{name!r}]": values for name, values in heatmaps.items()},
    )

    def describe(index):
        words = [one_line(names[index]) if names is not None else f"image {index}"]
        words += [one_line(types[index])] if types is not None else []
        words += [f"score {scores[index]:.4g}"]
        if threshold is not None:
            words[-1] += ", flagged" if scores[index] > threshold_value(threshold) else ", passed"
        return words

    if os.environ.get("ADHELPERS_STATIC", "0") not in ("", "0"):
        return _static_grid(images, scores, heatmaps, masks, describe, max_static)
    return _browser(
        images, heatmaps, masks, counterparts, anomaly_maps, describe, threshold, counterpart_name
    )


def _browser(
    images, heatmaps, masks, counterparts, anomaly_maps, describe, threshold, counterpart_name
):
    """The controls, and a picture that follows them."""
    # A slider redraws when it is let go: one picture for each pixel that it passes would arrive
    # late and out of step.
    index = widgets.IntSlider(
        value=0, min=0, max=len(images) - 1, description="Image", continuous_update=False
    )
    explainer = widgets.Dropdown(options=list(heatmaps), description="Explainer")
    quantile = widgets.FloatSlider(
        value=0.95,
        min=0.5,
        max=0.999,
        step=0.001,
        readout_format=".3f",
        description="Quantile",
        continuous_update=False,
    )
    text, picture = (
        widgets.HTML(),
        widgets.Image(format="png", layout=widgets.Layout(max_width="100%", object_fit="contain")),
    )

    def redraw(_=None):
        at = index.value
        heatmap = heatmaps[explainer.value][at]
        words = describe(at)
        # A file name is the user's text, and this widget shows what it gets as HTML.
        line = f"<b>{html.escape(words[0])}</b>" + "".join(
            f" &nbsp; {html.escape(word)}" for word in words[1:]
        )
        text.value = line + (
            f" &nbsp; <small>{html.escape(threshold_text(threshold))}</small>"
            if threshold is not None
            else ""
        )
        picture.value = figure_png(
            _detail(
                images[at],
                None if counterparts is None else counterparts[at],
                None if anomaly_maps is None else anomaly_maps[at],
                explainer.value,
                heatmap,
                None if masks is None else masks[at],
                quantile.value,
                counterpart_name,
            )
        )

    for control in (index, explainer, quantile):
        control.observe(redraw, names="value")
    redraw()
    return widgets.VBox(
        [
            widgets.HBox([index, explainer, quantile], layout=widgets.Layout(flex_flow="row wrap")),
            text,
            picture,
        ]
    )


@styled
def _detail(
    image,
    counterpart,
    anomaly_map,
    name,
    heatmap,
    mask,
    quantile,
    counterpart_name="reconstruction",
):
    """One image with the region that one explainer's heatmap gives at one quantile."""
    failed = np.isnan(heatmap).all()
    region = (
        np.zeros(heatmap.shape, dtype=bool)
        if failed
        else explained_region(heatmap, np.quantile(heatmap, quantile))
    )
    count = 3 + (counterpart is not None) + (anomaly_map is not None)
    figure, axes = image_panels(1, count, image.shape, top=0.22, scale=1.25)
    panels = iter(axes[0])

    def panel(title):
        ax = next(panels)
        name_panel(ax, title)
        return ax

    ax = panel("image")
    show_image(ax, image)
    outline(ax, mask)
    if counterpart is not None:
        show_image(panel(counterpart_name), counterpart)
    if anomaly_map is not None:
        ax = panel("anomaly map")
        show_map(ax, anomaly_map, floor=float(np.min(anomaly_map)))
        outline(ax, mask)
    ax = panel(f"{name}, region")
    show_heatmap(ax, heatmap)
    outline(ax, region, EXPLANATION)
    if mask is not None and mask.any():
        ax = panel("against the truth")
        show_overlap(ax, image, region, mask)
        corner(ax, f"J {(region & mask).sum() / (region | mask).sum():.2f}")
    else:
        ax = panel("region")
        show_overlap(ax, image, region, np.zeros(region.shape, dtype=bool))
    return figure


@styled
def _static_grid(images, scores, heatmaps, masks, describe, limit):
    """Image and heatmaps of some images, from the lowest score to the highest."""
    ordered = np.argsort(scores, kind="stable")
    chosen = ordered[
        np.unique(np.linspace(0, len(ordered) - 1, min(limit, len(ordered))).round().astype(int))
    ]
    block = 1 + len(heatmaps)
    across = max(
        1,
        min(
            len(chosen), int(MAX_WIDTH // (block * (panel_size(images.shape[1:])[0] + 0.09) + 0.16))
        ),
    )
    rows = -(-len(chosen) // across)
    figure, axes = image_panels(
        rows, across * block, images.shape[1:], top=0.42, row_gap=0.45, every=block
    )
    for ax in axes.ravel()[len(chosen) * block :]:
        ax.remove()
    for position, index in enumerate(chosen):
        panels = axes[
            position // across, block * (position % across) : block * (position % across + 1)
        ]
        width = panels[-1].get_position().x1 - panels[0].get_position().x0
        # About thirteen letters to the inch at this size; what is too long is left out of the name,
        # not of the decision.
        letters = int(13 * width * figure.get_figwidth())
        name, *words = describe(index)
        if len("   ".join([name, *words])) > letters:
            name, words = name.removeprefix("test/"), words[-1:]
        words = "   ".join(words)
        name = one_line(name, max(8, letters - len(words) - 3))
        panels[0].annotate(
            f"{name}   {words}",
            (0, 1),
            (0, 15),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=8,
            fontweight="bold",
            annotation_clip=False,
        )
        mask = None if masks is None else masks[index]
        name_panel(panels[0], "image")
        show_image(panels[0], images[index])
        outline(panels[0], mask)
        for ax, (name, values) in zip(panels[1:], heatmaps.items()):
            name_panel(ax, name)
            if show_heatmap(ax, values[index]) in ax.images:
                outline(ax, mask)
    return figure
