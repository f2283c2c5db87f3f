"""Anomaly maps and heatmaps in colours, with a scale that they share and show."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Floats
from adhelpers.metrics import Threshold

from .style import DIVERGING, FAINT, SEQUENTIAL, fitted, say, threshold_value

# What lies below 0, or above it, by less than this share of the limit is as good as 0.
_TRACE = 0.05


@dataclass(frozen=True)
class MapScale:
    r"""Which values of maps have the first and the last colour; `map_scale` makes one.

    Attributes
    ----------
    limit : float
        The value of the last colour; whatever is higher has it too.
    floor : float
        The value of the first colour; of no meaning with colours for both signs.
    signed : bool
        Whether the colours are diverging about 0.
    threshold : float or None
        What a pixel can be held against, where the score is a value of its map.

    Examples
    --------
    >>> MapScale(0.314, threshold=0.12).text(), MapScale(0.5, signed=True).text(largest=0.7)
    ('0 to 0.314\nthreshold 0.12', '±0.5 or more')
    """

    limit: float = 1.0
    floor: float = 0.0
    signed: bool = False
    threshold: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The values of the first and the last colour."""
        return -self.limit if self.signed else self.floor, self.limit

    def text(self, largest: float = -np.inf) -> str:
        """The scale in words, the threshold in a second line; ``largest`` is the map's own."""
        said = f"±{self.limit:.3g}" if self.signed else f"{self.floor:.3g} to {self.limit:.3g}"
        said += " or more" if largest > self.limit else ""
        return said if self.threshold is None else f"{said}\nthreshold {self.threshold:.3g}"


def map_scale(
    maps: ArrayLike,
    scores: ArrayLike | None = None,
    threshold: Threshold | float | None = None,
    *,
    quantile: float = 1.0,
) -> MapScale:
    """One scale for several maps, so that a faint map looks faint beside the others.

    Parameters
    ----------
    maps : array-like of float, shape (n, h, w)
        What is not finite is passed over.
    scores : array-like of float, shape (n,), optional
    threshold
        Of the scores. Where each score is among the highest tenth of its map's values, and not far
        below the highest (as a sum or a mean would be), pixels can be held against the threshold,
        and the scale reaches it: maps of good images alone stay dark.
    quantile
        Of the maps' largest values, for the last colour; below 1 a single extreme map does not
        darken all others.

    Returns
    -------
    MapScale
        Colours for both signs where a value is noticeably below 0: a trace of it would take half
        the colours from all the others. The first colour is that of the lowest value, for distances
        that are nowhere near 0.

    Examples
    --------
    >>> maps = np.zeros((2, 8, 8)); maps[1, 0, 0] = 0.05
    >>> map_scale(maps, scores=[0.0, 0.05], threshold=0.2)
    MapScale(limit=0.2, floor=0.0, signed=False, threshold=0.2)
    """
    values = np.asarray(maps)
    flat = values.reshape(len(values), -1)
    finite = np.isfinite(flat)
    known = finite.any(axis=1)
    if not known.any():
        return MapScale()
    highest = flat.max(axis=1, where=finite, initial=-np.inf)
    limit, floor = float(np.quantile(highest[known], quantile)), float(flat[finite].min())
    # Where nearly all maps are flat, the few others must still show.
    limit, cut = limit if limit > floor else float(highest.max()), None
    if scores is not None and threshold is not None:
        if _are_values_of(np.asarray(scores, dtype=float)[known], flat[known], highest[known]):
            cut = threshold_value(threshold)
            limit = max(limit, cut)
    if floor < -_TRACE * max(limit, 0.0):
        return MapScale(max(limit, -floor), signed=True, threshold=cut)
    floor = floor if cut is None else min(floor, cut)
    floor = floor if _TRACE * limit <= floor < limit else 0.0
    return MapScale(limit if limit > 0 else 1.0, floor, threshold=cut)


def _are_values_of(scores: Floats, flat: Floats, highest: Floats) -> bool:
    """Whether each score is one of the high values of its map, one map a row."""
    # A score and its map are rounded differently.
    rounding = 1e-4 * np.abs(highest)
    below = (flat <= (scores + rounding)[:, None]).sum(axis=1) / np.isfinite(flat).sum(axis=1)
    near = (scores >= 0.1 * highest - rounding) & (scores <= highest + rounding)
    return bool(np.all(near & (below >= 0.9)))


def show_map(
    ax: Axes, values: ArrayLike, scale: MapScale | None = None, *, told: bool = True
) -> AxesImage | None:
    """Draw a map, its scale below it; by default the scale is the map's own.

    ``told`` is False where a colour bar tells the scale. A map without a finite value says so, and
    None is returned.
    """
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    if not finite.any():
        say(ax, "not available")
        return None
    scale = map_scale(values[None]) if scale is None else scale
    if told:
        _tell(ax, scale.text(float(values[finite].max())))
    first, last = scale.ends
    return ax.imshow(
        np.where(finite, values, 0.0),
        cmap=DIVERGING if scale.signed else SEQUENTIAL,
        vmin=first,
        vmax=last,
        aspect="auto",
    )


def heatmap_scale(values: ArrayLike) -> MapScale:
    """The scale of an explainer's heatmap: about 0, up to its own largest magnitude."""
    magnitudes = np.abs(np.asarray(values, dtype=float))
    known = magnitudes[np.isfinite(magnitudes)]
    largest = float(known.max()) if known.size else 0.0
    return MapScale(largest or 1.0, signed=True)


def show_heatmap(ax: Axes, values: ArrayLike) -> AxesImage | None:
    """Draw an explainer's heatmap about 0: orange raises the score, purple lowers it.

    The last colours are those of its own largest magnitude, which is written below it.
    """
    return show_map(ax, values, heatmap_scale(values))


def _tell(ax: Axes, text: str) -> None:
    """Write the scale of a map below its panel, small enough to stay within its width."""
    width = ax.get_position().width * cast(Figure, ax.figure).get_figwidth()
    size = min(fitted(line, width, 7.0, 1.0)[1] for line in text.split("\n"))
    ax.set_xlabel(text, fontsize=size, labelpad=2.0, color=FAINT, linespacing=1.05)


def color_bar(
    figure: Figure,
    drawn: ScalarMappable | None,
    ax: Axes,
    scale: MapScale,
    largest: float = -np.inf,
) -> None:
    """A thin colour bar right of ``ax``, as tall as it; empty where nothing was drawn.

    Its ends and the threshold are written beside it; ``largest`` is that of all maps.
    """
    box, width = ax.get_position(), figure.get_figwidth()
    bar = figure.add_axes((box.x1 + 0.09 / width, box.y0, 0.11 / width, box.height))
    if drawn is None:
        return
    figure.colorbar(drawn, cax=bar)
    first, last = scale.ends
    ends = (f"{first:.3g}", f"{last:.3g}{' or more' if largest > last else ''}")
    bar.set_yticks([first, last], ends, fontsize=7)
    bar.grid(False)
    if scale.threshold is not None and first <= scale.threshold <= last:
        bar.axhline(scale.threshold, color="black", linewidth=2.6)
        bar.axhline(scale.threshold, color="white", linewidth=1.2)
        # Far enough from the ends to stay readable beside their numbers.
        room = min(0.16 / (box.height * figure.get_figheight()), 0.5)
        place = np.clip((scale.threshold - first) / (last - first), room, 1 - room)
        text = f"threshold {scale.threshold:.3g}"
        bar.text(1.9, place, text, transform=bar.transAxes, va="center", fontsize=7)
