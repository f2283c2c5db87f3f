"""The strip of a test image: panel by panel from the image to where its explanations lie."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adhelpers.metrics import Threshold

from ..maps import MapScale, show_map
from ..panels import HEATMAP_COLORS, OVERLAP_NAMES, Panel, strip_layout, strip_panels
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
    say,
    show_image,
    styled,
    threshold_value,
)


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
    >>> import numpy as np
    >>> image, heatmap = np.zeros((8, 8, 1)), np.eye(8)
    >>> sample = Sample(image, {"LIME": heatmap}, mask=heatmap > 0, optimal={"LIME": (1.0, 1.0)})
    >>> [ax.get_title("left") for ax in sample_strip(sample).axes]
    ['image', 'LIME', 'LIME: overlap']
    """
    note, color = "", INK
    if title != "":
        title = title or sample.name
        note, color = _decision(sample.score, threshold)
    panels = strip_panels(sample, threshold, scale, counterpart_name)
    layout = strip_layout(sample, panels, titled=bool(title or note))
    figure, axes = image_panels(
        1,
        len(panels),
        sample.image.shape,
        top=layout.top,
        bottom=layout.bottom,
        scale=layout.scale,
    )
    for ax, panel in zip(axes[0], panels, strict=True):
        name_panel(ax, panel.name)
        _draw(ax, panel)
        if panel.outlined and panel.values is not None:
            outline(ax, sample.mask)
    if layout.heatmaps:
        footnote(figure, HEATMAP_COLORS)
    if layout.overlaps:
        overlap_legend(figure, OVERLAP_NAMES, right=True)
    headline(figure, title, note, color)
    return figure


def _draw(ax: Axes, panel: Panel) -> None:
    """The picture of one panel, or that there is none."""
    if panel.values is None:
        say(ax, "not available")
        return
    if panel.scale is not None:
        show_map(ax, panel.values, panel.scale)
    elif panel.sharp:
        ax.imshow(panel.values, aspect="auto", interpolation="nearest")
    else:
        show_image(ax, panel.values)
    if panel.corner:
        corner(ax, panel.corner)


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
