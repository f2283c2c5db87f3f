"""One test image at a time, with sliders in JupyterLab; a fixed grid where there is no kernel."""

import html
import os
from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adhelpers.metrics import Threshold, explained_region

from .gallery import figure_webp
from .maps import MapScale, map_scale, show_heatmap, show_map
from .sample import Sample
from .style import (
    EXPLANATION,
    blocks_of_panels,
    caption,
    corner,
    describe,
    image_panels,
    name_panel,
    one_line,
    outline,
    show_image,
    show_overlap,
    spread,
    styled,
    threshold_text,
    threshold_value,
)


def explore(
    samples: Sequence[Sample],
    threshold: Threshold | float | None = None,
    *,
    max_static: int = 12,
    counterpart_name: str = "reconstruction",
) -> widgets.VBox | Figure:
    """Look through test images and their explanations.

    In JupyterLab: a slider for the image, a menu for the explainer, and a slider for the threshold
    of its heatmap, given as the quantile of the heatmap's values above which a pixel counts as
    explained. The region at that threshold is drawn over the image and compared with the true
    defect. Where the environment variable ``ADHELPERS_STATIC`` is set, as in batch runs whose
    notebooks become HTML, a fixed grid of images and heatmaps is returned instead, because sliders
    do nothing there.

    Parameters
    ----------
    samples
        At least one; all with a score, and with heatmaps of the same explainers.
    threshold
        Of the score: tells what is flagged.
    max_static
        Maximum number of images in the fixed grid, spread evenly from the lowest score to the
        highest.
    counterpart_name
        What the counterparts are, above their pictures.

    Returns
    -------
    ipywidgets.VBox or matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are no samples or no explainers, a score is missing, or explainers or shapes
        differ.

    Examples
    --------
    >>> image, heatmap = np.zeros((8, 8, 1)), np.zeros((8, 8))
    >>> box = explore([Sample(image, {"LIME": heatmap}, score=score) for score in (0.1, 0.9)])
    >>> [control.description for control in box.children[0].children]
    ['Image', 'Explainer', 'Quantile']
    """
    scores = _checked_scores(samples)
    words = [
        _words(index, sample, score, threshold)
        for index, (sample, score) in enumerate(zip(samples, scores, strict=True))
    ]
    if os.environ.get("ADHELPERS_STATIC", "0") not in ("", "0"):
        ordered = np.argsort(scores, kind="stable")
        chosen = ordered[spread(len(ordered), max_static)]
        return _static_grid(
            [samples[index] for index in chosen], [words[index] for index in chosen]
        )
    return _browser(samples, words, threshold, counterpart_name)


def _checked_scores(samples: Sequence[Sample]) -> list[float]:
    """The score of each sample; samples that cannot be looked through together are refused."""
    if len(samples) == 0:
        raise ValueError("samples must hold at least one image")
    first = samples[0]
    if not first.heatmaps:
        raise ValueError("heatmaps must name at least one explainer")
    scores = []
    for index, sample in enumerate(samples):
        if sample.score is None:
            raise ValueError(f"samples[{index}] must have a score")
        if list(sample.heatmaps) != list(first.heatmaps):
            raise ValueError(
                f"samples[{index}] must have heatmaps of {', '.join(first.heatmaps)} as the first; "
                f"it has those of {', '.join(sample.heatmaps) or 'none'}"
            )
        if np.shape(sample.image) != np.shape(first.image):
            raise ValueError(
                f"samples[{index}] must have an image of the first one's shape "
                f"{np.shape(first.image)}, not {np.shape(sample.image)}"
            )
        scores.append(float(sample.score))
    return scores


def _words(
    index: int, sample: Sample, score: float, threshold: Threshold | float | None
) -> list[str]:
    """What is said of an image: its name, type where it has one, score and decision."""
    said = f"score {score:.4g}"
    if threshold is not None:
        said += ", flagged" if score > threshold_value(threshold) else ", passed"
    kind = [one_line(sample.type)] if sample.type else []
    return [one_line(sample.name) if sample.name else f"image {index}", *kind, said]


def _browser(
    samples: Sequence[Sample],
    words: Sequence[Sequence[str]],
    threshold: Threshold | float | None,
    counterpart_name: str,
) -> widgets.VBox:
    """The controls, and a picture that follows them."""
    # A slider redraws when it is let go: one picture for each pixel that it passes would arrive
    # late and out of step.
    index = widgets.IntSlider(
        value=0, min=0, max=len(samples) - 1, description="Image", continuous_update=False
    )
    explainer = widgets.Dropdown(options=list(samples[0].heatmaps), description="Explainer")
    quantile = widgets.FloatSlider(
        value=0.95,
        min=0.5,
        max=0.999,
        step=0.001,
        readout_format=".3f",
        description="Quantile",
        continuous_update=False,
    )
    text = widgets.HTML()
    picture = widgets.Image(
        format="webp", layout=widgets.Layout(max_width="100%", object_fit="contain")
    )
    scale = _map_scale(samples, threshold)
    rule = "" if threshold is None else f"<small>{html.escape(threshold_text(threshold))}</small>"

    def redraw(_: object = None) -> None:
        # A file name is the user's text, and this widget shows what it gets as HTML.
        name, *others = map(html.escape, words[index.value])
        parts = [f"<b>{name}</b>", *others, *([rule] if rule else [])]
        text.value = " &nbsp; ".join(parts)
        sample = samples[index.value]
        figure = _detail(sample, explainer.value, quantile.value, counterpart_name, scale)
        picture.value = figure_webp(figure)

    for control in (index, explainer, quantile):
        control.observe(redraw, names="value")
    redraw()
    controls = widgets.HBox(
        [index, explainer, quantile], layout=widgets.Layout(flex_flow="row wrap")
    )
    return widgets.VBox([controls, text, picture])


def _map_scale(samples: Sequence[Sample], threshold: Threshold | float | None) -> MapScale | None:
    """One scale for the anomaly maps of all samples; None where there are none."""
    known = [sample for sample in samples if sample.anomaly_map is not None]
    if not known:
        return None
    maps, scores = zip(*((sample.anomaly_map, sample.score) for sample in known), strict=True)
    return map_scale(maps, scores, threshold, quantile=0.9)


@styled
def _detail(
    sample: Sample,
    name: str,
    quantile: float,
    counterpart_name: str = "reconstruction",
    scale: MapScale | None = None,
) -> Figure:
    """One image with the region that one explainer's heatmap gives at one quantile."""
    heatmap = np.asarray(sample.heatmaps[name])
    region = np.zeros(heatmap.shape, dtype=bool)
    if not np.isnan(heatmap).all():
        region = explained_region(heatmap, np.quantile(heatmap, quantile))
    mask = np.zeros_like(region) if sample.mask is None else np.asarray(sample.mask, dtype=bool)
    optional = (sample.counterpart, sample.anomaly_map)
    count = 3 + sum(part is not None for part in optional)
    figure, axes = image_panels(1, count, sample.image.shape, top=0.22, bottom=0.34, scale=1.25)
    panels = iter(axes[0])

    def panel(title: str) -> Axes:
        ax = next(panels)
        name_panel(ax, title)
        return ax

    ax = panel("image")
    show_image(ax, sample.image)
    outline(ax, mask)
    if sample.counterpart is not None:
        show_image(panel(counterpart_name), sample.counterpart)
    if sample.anomaly_map is not None:
        ax = panel("anomaly map")
        show_map(ax, sample.anomaly_map, scale)
        outline(ax, mask)
    ax = panel(f"{name}, region")
    show_heatmap(ax, heatmap)
    outline(ax, region, EXPLANATION)
    ax = panel("against the truth" if mask.any() else "region")
    show_overlap(ax, sample.image, region, mask)
    if mask.any():
        corner(ax, f"J {(region & mask).sum() / (region | mask).sum():.2f}")
    return figure


@styled
def _static_grid(samples: Sequence[Sample], words: Sequence[Sequence[str]]) -> Figure:
    """Image and heatmaps of each sample."""
    names = list(samples[0].heatmaps)
    figure, blocks = blocks_of_panels(
        len(samples), 1 + len(names), samples[0].image.shape, top=0.42, bottom=0.2, row_gap=0.57
    )
    for sample, said, (first, *others) in zip(samples, words, blocks, strict=True):
        last = others[-1].get_position()
        width = (last.x1 - first.get_position().x0) * figure.get_figwidth()
        caption(first, _short(said, width))
        name_panel(first, "image")
        show_image(first, sample.image)
        outline(first, sample.mask)
        for ax, name in zip(others, names, strict=True):
            name_panel(ax, name)
            if show_heatmap(ax, sample.heatmaps[name]) is not None:
                outline(ax, sample.mask)
    describe(
        figure,
        "Test images from the lowest score to the highest, with the heatmap of each explainer; "
        "true defects outlined",
    )
    return figure


def _short(words: Sequence[str], width: float) -> str:
    """``words`` in one line of ``width`` inches: what is too long is left out of the name."""
    # About thirteen letters to the inch at this size.
    letters = int(13 * width)
    name, *others = words
    if len("   ".join(words)) > letters:
        name, others = name.removeprefix("test/"), others[-1:]
    said = "   ".join(others)
    return f"{one_line(name, max(8, letters - len(said) - 3))}   {said}"
