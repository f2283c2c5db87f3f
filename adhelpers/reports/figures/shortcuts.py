"""What the shortcut probe found, in one figure."""

import numpy as np

from ..style import ANOMALOUS, FAINT, GOOD, INK, check_batch, new_figure, say, styled
from .scores import _swarm, _wrapped


@styled
def shortcut_figure(probe, statistics, labels):
    """The strongest trivial statistic of every test image by class, beside the AUROC of all statistics.

    Parameters
    ----------
    probe : ShortcutProbe
        What :func:`adhelpers.audit.probe_shortcuts` found; its sentence is written above.
    statistics : pandas.DataFrame (n rows)
        The statistics that were probed.
    labels : int array (n,)
        0 good, 1 anomalous.

    Returns
    -------
    matplotlib.figure.Figure
        Filled bars are significant; lines are 95 % bootstrap intervals. With a single class, both
        panels say so.

    Raises
    ------
    ValueError
        If lengths differ, or ``statistics`` lacks the strongest one.

    Examples
    --------
    >>> import pandas
    >>> from adhelpers.audit import probe_shortcuts
    >>> statistics, labels = pandas.DataFrame({"noise": [1.0, 2, 3, 4]}), [0, 0, 1, 1]
    >>> figure = shortcut_figure(probe_shortcuts(statistics, labels), statistics, labels)
    >>> [ax.get_xlabel() for ax in figure.axes]
    ['noise', 'AUROC, in the direction that separates']
    """
    labels, table = np.asarray(labels), probe.table
    check_batch(len(labels), statistics=statistics)
    if probe.strongest is not None and probe.strongest not in statistics:
        raise ValueError(
            f"statistics must have the column {probe.strongest!r}; it has {list(map(str, statistics.columns))}."
        )
    figure = new_figure(
        10.0,
        2.0 if probe.strongest is None else max(2.9, 0.23 * len(table) + 1.5),
        layout="constrained",
    )
    figure.suptitle(_wrapped(probe.sentence, 125), x=0.01, ha="left", fontsize=9, fontweight="bold")
    strip, bars = figure.subplots(1, 2, width_ratios=(1, 1.25))
    if probe.strongest is None:
        for ax in (strip, bars):
            ax.set(xticks=[], yticks=[])
            say(ax, "needs good and defective images")
        return figure
    _draw_strip(strip, statistics[probe.strongest].to_numpy(dtype=float), labels, probe.strongest)
    _draw_bars(bars, table)
    return figure


def _draw_strip(ax, values, labels, name):
    groups = [
        (label, text, color)
        for label, text, color in ((1, "defective", ANOMALOUS), (0, "good", GOOD))
    ]
    for row, (label, _, color) in enumerate(groups):
        chosen = values[labels == label]
        ax.scatter(
            chosen, row + _swarm(chosen), s=18, color=color, alpha=0.75, linewidths=0, zorder=3
        )
    ax.set(
        yticks=range(len(groups)),
        ylim=(-0.6, len(groups) - 0.4),
        xlabel=name.replace("_", " "),
        yticklabels=[f"{text} ({np.count_nonzero(labels == label)})" for label, text, _ in groups],
    )
    ax.set_title("strongest statistic, a point for each test image", fontweight="normal")
    ax.grid(axis="y", visible=False)


def _draw_bars(ax, table):
    table = table[::-1]
    rows = np.arange(len(table))
    significant = table["significant"].to_numpy(dtype=bool)
    reach = table["separability"].to_numpy()
    for chosen, face, label in (
        (significant, ANOMALOUS, "significant"),
        (~significant, "white", "may be chance"),
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
                edgecolor=ANOMALOUS if face == ANOMALOUS else FAINT,
            )
    ax.hlines(rows, table["low"], table["high"], color=INK, linewidth=1.3, zorder=3)
    for row, value in zip(rows, reach):
        ax.annotate(
            f"{value:.2f}",
            (1, row),
            (6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=FAINT,
        )
    ax.axvline(0.5, color=INK, linewidth=0.8)
    names = table["statistic"].str.replace("_", " ") + table["direction"].map(
        {"higher": " ↑", "lower": " ↓"}
    ).fillna("")
    ax.set(
        yticks=rows,
        yticklabels=names,
        xlim=(min(0.35, table["low"].min() - 0.02), 1.01),
        xlabel="AUROC, in the direction that separates",
    )
    ax.set_title("all statistics; ↑ ↓: higher or lower in defective images", fontweight="normal")
    ax.grid(axis="y", visible=False)
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside lower right", ncols=2)
