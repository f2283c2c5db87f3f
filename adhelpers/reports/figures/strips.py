"""The strip of a test image: panel by panel from the image to where its explanations lie."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Flags
from adhelpers.metrics import Threshold, explained_region

from ..maps import MapScale, map_scale, show_heatmap, show_map
from ..sample import Sample
from ..style import (
    ANOMALOUS,
    GOOD,
    INK,
    corner,
    footnote,
    headline,
    image_panels,
    name_panel,
    outline,
    overlap_legend,
    panel_size,
    say,
    show_image,
    show_overlap,
    styled,
    threshold_value,
)

# Least width of a panel in inches: 165 pixels at the resolution of a notebook.
_WIDTH = 1.5
_MAP = "anomaly map"


@styled
def sample_strip(
    sample: Sample,
    threshold: Threshold | float | None = None,
    *,
    title: str | None = None,
    scale: MapScale | None = None,
    counterpart_name: str = "reconstruction",
) -> Figure:
    """One test image from what the detector sees to where its explanations lie, side by side.

    Image, counterpart, anomaly map, the image with a part of it repaired, the heatmap of each
    explainer; then, where there is a defect, for each explainer with an optimal Jaccard a panel
    that shows, in three colours, where its heatmap at the optimal threshold and the defect overlap
    and where only one of them is. The defect is outlined on the image, the map and the heatmaps.
    What the sample does not have is left out.

    Parameters
    ----------
    sample
    threshold
        Tells whether the image is flagged (score > threshold).
    title
        Above the panels, with score and decision; by default the sample's name. An empty one
        leaves all three out.
    scale
        Of the anomaly map, so that the strips of a run can be compared; by default that of this
        map, which reaches the threshold where the score is a value of the map.
    counterpart_name
        What the counterpart is, above its picture.

    Returns
    -------
    Figure

    Examples
    --------
    >>> image, heatmap = np.zeros((8, 8, 1)), np.eye(8)
    >>> sample = Sample(image, {"LIME": heatmap}, mask=heatmap > 0, optimal={"LIME": (1.0, 1.0)})
    >>> [ax.get_title("left") for ax in sample_strip(sample).axes]
    ['image', 'LIME', 'LIME: overlap']
    """
    overlaps = [name for name in sample.optimal or {} if sample.has_defect and _tells(sample, name)]
    note, color = "", INK
    if title != "":
        title = title or sample.name
        note, color = _decision(sample.score, threshold)
    heatmaps = dict(sample.heatmaps)
    if sample.anomaly_map is not None:
        # Held against the defect as an explanation is, the map need not be shown twice.
        heatmaps.pop(_MAP, None)
    parts = (sample.counterpart, sample.anomaly_map, sample.repaired)
    figure, axes = image_panels(
        1,
        1 + sum(part is not None for part in parts) + len(heatmaps) + len(overlaps),
        sample.image.shape,
        top=0.45 if title or note else 0.2,
        # Two lines for the scale of the map, and one for what colours mean.
        bottom=0.27 + (0.24 if sample.anomaly_map is not None else 0.14 if sample.heatmaps else 0),
        scale=max(1.0, _WIDTH / panel_size(sample.image.shape)[0]),
    )
    panels = iter(axes[0])
    mask = None if sample.mask is None else np.asarray(sample.mask, dtype=bool)
    ax = _next(panels, "image")
    show_image(ax, sample.image)
    outline(ax, mask)
    if sample.counterpart is not None:
        show_image(_next(panels, counterpart_name), sample.counterpart)
    if sample.anomaly_map is not None:
        ax = _next(panels, _MAP)
        show_map(ax, sample.anomaly_map, scale or _own_scale(sample, threshold))
        outline(ax, mask)
    if sample.repaired is not None:
        ax = _next(panels, sample.repaired_name)
        show_image(ax, sample.repaired[0])
        corner(ax, f"score {sample.repaired[1]:.3g}")
    for name, heatmap in heatmaps.items():
        ax = _next(panels, name)
        if show_heatmap(ax, heatmap) is not None:
            outline(ax, mask)
    for name in overlaps:
        _draw_overlap(_next(panels, f"{name}: overlap"), sample, name)
    _explain_colors(figure, bool(heatmaps), bool(overlaps))
    headline(figure, title, note, color)
    return figure


def _tells(sample: Sample, name: str) -> bool:
    """Whether a heatmap has regions, or failed: the whole image is no place."""
    return bool(np.ptp(sample.heatmaps[name]) != 0)


def _own_scale(sample: Sample, threshold: Threshold | float | None) -> MapScale:
    """The scale of one sample's anomaly map."""
    scores = None if sample.score is None else [sample.score]
    return map_scale(np.asarray(sample.anomaly_map)[None], scores, threshold)


def _next(panels: Iterator[Axes], name: str) -> Axes:
    """The next panel, named."""
    ax = next(panels)
    name_panel(ax, name)
    return ax


def _draw_overlap(ax: Axes, sample: Sample, name: str) -> None:
    """Where the true defect and one explainer's region at its optimal threshold overlap."""
    value, cut = (sample.optimal or {})[name]
    mask: Flags = np.asarray(sample.mask, dtype=bool)
    if value is None or not np.isfinite(value):
        say(ax, "not available")
    else:
        show_overlap(ax, sample.image, explained_region(sample.heatmaps[name], cut), mask)
        corner(ax, f"J* {value:.2f}")


def _explain_colors(figure: Figure, has_heatmaps: bool, compared: bool) -> None:
    """What the colours of heatmaps and overlaps mean, below the panels where there is room."""
    width = figure.get_figwidth()
    if has_heatmaps and width > (6.7 if compared else 3.3):
        footnote(figure, "heatmaps: orange raises the score, purple lowers it")
    if compared:
        names = ("overlap", "ground truth only", "explanation only")
        overlap_legend(figure, names, right=True)


def _decision(score: float | None, threshold: Threshold | float | None) -> tuple[str, str]:
    """What a strip says of its image's score, and the colour for it."""
    if score is None:
        return "", INK
    if threshold is None:
        return f"score {score:.4g}", INK
    # As Python numbers: a float32 score would round the threshold before it is compared.
    value = threshold_value(threshold)
    if float(score) > value:
        return f"score {score:.4g} > {value:.4g}: flagged", ANOMALOUS
    return f"score {score:.4g} ≤ {value:.4g}: passed", GOOD
