"""The panels of a test image's strip, whatever they are drawn with."""

from dataclasses import dataclass

import numpy as np

from adhelpers._shared.arrays import Flags, Floats
from adhelpers.metrics import Threshold, explained_region

from .maps import MapScale, heatmap_scale, map_scale
from .sample import Sample
from .style import GAP, overlap_colors, panel_size

# Least width of a panel in inches: 165 pixels at the resolution of a notebook.
_WIDTH = 1.5
_MAP = "anomaly map"
HEATMAP_COLORS = "heatmaps: orange raises the score, purple lowers it"
OVERLAP_NAMES = ("overlap", "ground truth only", "explanation only")


@dataclass(frozen=True)
class Panel:
    """One picture of a strip.

    Attributes
    ----------
    name : str
        Above it.
    values : ndarray of float or None
        An image or the colours of an overlap in [0, 1], or a map (h, w); None says that there is
        nothing to show.
    scale : MapScale or None
        Of a map; written below it.
    sharp : bool
        Whether pixels stay squares, because each is in or out.
    outlined : bool
        Whether the true defect is outlined on it.
    corner : str
        In its lower left corner.
    """

    name: str
    values: Floats | None
    scale: MapScale | None = None
    sharp: bool = False
    outlined: bool = False
    corner: str = ""


@dataclass(frozen=True)
class Layout:
    """Measures of a strip in inches, and what is explained below its panels.

    Attributes
    ----------
    top, bottom, width, height : float
        Room above and below the panels, and the sides of one.
    scale : float
        How large a panel is beside `style.panel_size`.
    heatmaps, overlaps : bool
        Whether the colours of these are explained.
    """

    top: float
    bottom: float
    width: float
    height: float
    scale: float
    heatmaps: bool
    overlaps: bool


def strip_panels(
    sample: Sample,
    threshold: Threshold | float | None,
    scale: MapScale | None,
    counterpart_name: str,
) -> list[Panel]:
    """What `sample_strip` shows of a sample, from the left."""
    image, optimal = sample.image, sample.optimal or {}
    panels = [Panel("image", image, outlined=True)]
    if sample.counterpart is not None:
        panels.append(Panel(counterpart_name, sample.counterpart))
    if sample.anomaly_map is not None:
        scale = scale or _own_scale(sample, threshold)
        panels.append(Panel(_MAP, _shown(sample.anomaly_map), scale, outlined=True))
    if sample.repaired is not None:
        mended, score = sample.repaired
        panels.append(Panel(sample.repaired_name, mended, corner=f"score {score:.3g}"))
    for name, heatmap in sample.heatmaps.items():
        if _is_own_panel(name, sample):
            panels.append(Panel(name, _shown(heatmap), heatmap_scale(heatmap), outlined=True))
    named = [name for name in optimal if sample.has_defect and _tells(sample, name)]
    return panels + [_overlap(sample, name, *optimal[name]) for name in named]


def strip_layout(sample: Sample, panels: list[Panel], *, titled: bool) -> Layout:
    """How large the panels of `strip_panels` are."""
    scale = max(1.0, _WIDTH / panel_size(sample.image.shape)[0])
    width, height = (scale * side for side in panel_size(sample.image.shape))
    heatmaps = any(_is_own_panel(name, sample) for name in sample.heatmaps)
    overlaps = any(panel.sharp for panel in panels)
    total = 0.16 + len(panels) * (width + GAP) - GAP
    return Layout(
        0.45 if titled else 0.2,
        # Two lines for the scale of the map, and one for what colours mean.
        0.27 + (0.24 if sample.anomaly_map is not None else 0.14 if sample.heatmaps else 0),
        width,
        height,
        scale,
        heatmaps and total > (6.7 if overlaps else 3.3),
        overlaps,
    )


def _is_own_panel(name: str, sample: Sample) -> bool:
    """Whether a heatmap is shown: not the map a second time, and nothing without any region."""
    return _tells(sample, name) and (name != _MAP or sample.anomaly_map is None)


def _shown(values: Floats) -> Floats | None:
    """A map, or None where none of its values is finite."""
    values = np.asarray(values, dtype=float)
    return values if np.isfinite(values).any() else None


def _tells(sample: Sample, name: str) -> bool:
    """Whether a heatmap has regions, or failed: the whole image is no place."""
    return bool(np.ptp(sample.heatmaps[name]) != 0)


def _own_scale(sample: Sample, threshold: Threshold | float | None) -> MapScale:
    """The scale of one sample's anomaly map."""
    scores = None if sample.score is None else [sample.score]
    return map_scale(np.asarray(sample.anomaly_map)[None], scores, threshold)


def _overlap(sample: Sample, name: str, value: float, cut: float) -> Panel:
    """Where the true defect and one explainer's region at its optimal threshold overlap."""
    title, mask = f"{name}: overlap", np.asarray(sample.mask, dtype=bool)
    if value is None or not np.isfinite(value):
        return Panel(title, None, sharp=True)
    region: Flags = explained_region(sample.heatmaps[name], cut)
    colors = overlap_colors(sample.image, region, mask)
    return Panel(title, colors, sharp=True, corner=f"J* {value:.2f}")
