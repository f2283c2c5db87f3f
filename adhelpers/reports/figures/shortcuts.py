"""What the shortcut probe found, in one figure."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Floats, Integers

from ..style import (
    ANOMALOUS,
    FAINT,
    GOOD,
    INK,
    chart_title,
    check_batch,
    describe,
    new_figure,
    note_right,
    say,
    styled,
    swarm,
    wrapped,
)

if TYPE_CHECKING:
    from adhelpers.audit import ShortcutProbe


@styled
def shortcut_figure(probe: "ShortcutProbe", statistics: pd.DataFrame, labels: ArrayLike) -> Figure:
    """The best single statistic of every test image by class, beside the AUROC of all statistics.

    Parameters
    ----------
    probe
        What :func:`adhelpers.audit.probe_shortcuts` found; its finding is written above.
    statistics
        The statistics that were probed, a row for each image; those outside the defects where the
        probe measured there.
    labels : array-like of int, shape (n,)
        0 good, 1 anomalous.

    Returns
    -------
    Figure
        Filled bars are significant; lines are 95 % bootstrap intervals. With a single class, both
        panels say so.

    Raises
    ------
    ValueError
        If lengths differ, or ``statistics`` lacks the best one.

    Examples
    --------
    >>> from adhelpers.audit import probe_shortcuts
    >>> statistics, labels = pd.DataFrame({"noise": [1.0, 2, 3, 4]}), [0, 0, 1, 1]
    >>> figure = shortcut_figure(probe_shortcuts(statistics, labels), statistics, labels)
    >>> [ax.get_xlabel() for ax in figure.axes]
    ['noise', 'AUROC, in the direction that separates']
    """
    labels, table = np.asarray(labels), probe.statistics
    check_batch(len(labels), statistics=statistics)
    if probe.strongest is not None and probe.strongest not in statistics:
        raise ValueError(
            f"statistics must have the column {probe.strongest!r}; "
            f"it has {list(map(str, statistics.columns))}"
        )
    height = 2.0 if probe.strongest is None else max(2.9, 0.23 * len(table) + 1.5)
    figure = new_figure(10.0, height, layout="constrained")
    chart_title(figure, wrapped(" ".join(probe.findings()), 125), fontsize=9)
    strip, bars = figure.subplots(1, 2, width_ratios=(1, 1.25))
    if probe.strongest is None:
        for ax in (strip, bars):
            ax.set(xticks=[], yticks=[])
            say(ax, "needs good and defective images")
        return figure
    _draw_strip(strip, statistics[probe.strongest].to_numpy(dtype=float), labels, probe.strongest)
    _draw_bars(bars, table, probe.outside_defects)
    figure.legend(*bars.get_legend_handles_labels(), loc="outside lower right", ncols=2)
    best = probe.strongest.replace("_", " ").capitalize()
    describe(figure, f"{best} of each test image, and the AUROC of every simple statistic")
    return figure


def _draw_strip(ax: Axes, values: Floats, labels: Integers, name: str) -> None:
    """One statistic of each image, a row a class."""
    groups = ((1, "defective", ANOMALOUS), (0, "good", GOOD))
    for row, (label, _, color) in enumerate(groups):
        chosen = values[labels == label]
        ax.scatter(
            chosen, row + swarm(chosen), s=18, color=color, alpha=0.75, linewidths=0, zorder=3
        )
    ax.set(
        yticks=range(len(groups)),
        ylim=(-0.6, len(groups) - 0.4),
        xlabel=name.replace("_", " "),
        yticklabels=[f"{text} ({np.count_nonzero(labels == label)})" for label, text, _ in groups],
    )
    ax.set_title("best single statistic, a point for each test image", fontweight="normal")
    ax.grid(axis="y", visible=False)


def _draw_bars(ax: Axes, table: pd.DataFrame, outside_defects: bool) -> None:
    """The AUROC of each statistic with its interval."""
    table = table[::-1]
    rows = np.arange(len(table))
    significant = table["significant"].to_numpy(dtype=bool)
    reach = table["separability"].to_numpy()
    for chosen, face, edge, label in (
        (significant, ANOMALOUS, ANOMALOUS, "significant"),
        (~significant, "white", FAINT, "may be chance"),
    ):
        if chosen.any():
            ax.barh(
                rows[chosen],
                reach[chosen] - 0.5,
                left=0.5,
                height=0.68,
                facecolor=face,
                label=label,
                linewidth=0.9,
                edgecolor=edge,
            )
    ax.hlines(rows, table["low"], table["high"], color=INK, linewidth=1.3, zorder=3)
    for row, value in enumerate(reach):
        note_right(ax, row, f"{value:.2f}")
    if outside_defects:
        ax.plot(
            table["whole_separability"],
            rows,
            "D",
            color="white",
            markeredgecolor=INK,
            markersize=4,
            zorder=4,
            label="whole image, defect included",
        )
    ax.axvline(0.5, color=INK, linewidth=0.8)
    arrows = table["direction"].map({"higher": " ↑", "lower": " ↓"}).fillna("")
    ax.set(
        yticks=rows,
        yticklabels=table["statistic"].str.replace("_", " ") + arrows,
        xlim=(min(0.35, table["low"].min() - 0.02), 1.01),
        xlabel="AUROC, in the direction that separates",
    )
    where = " outside the defects" if outside_defects else ""
    ax.set_title(f"all statistics{where}; ↑ ↓: in defective images", fontweight="normal")
    ax.grid(axis="y", visible=False)
