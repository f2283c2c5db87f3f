"""How a training went: its losses against the epoch."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..style import (
    ANOMALOUS,
    GOOD,
    chart_title,
    describe,
    new_figure,
    one_line,
    plain_log_axis,
    styled,
)


@styled
def training_curves(
    history: pd.DataFrame, title: str = "Training", monitor: str = "val_reconstruction"
) -> Figure:
    """Every loss of a training against the epoch, training and validation in one panel.

    Parameters
    ----------
    history
        A row for each epoch: ``epoch`` and any numeric columns. A column ``val_x`` is drawn in the
        panel of ``x``. Columns that are not numbers are left out.
    title
    monitor
        The validation column whose lowest epoch was kept; it is marked where the column is there.

    Returns
    -------
    Figure
        A panel for each quantity, logarithmic where its values are positive and span more than a
        factor of 20.

    Raises
    ------
    ValueError
        If ``epoch`` or every other numeric column is missing.

    Examples
    --------
    >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [3, 2], "val_loss": [4, 3], "kl": [1, 2]})
    >>> [ax.get_title("left") for ax in training_curves(history).axes]
    ['loss', 'kl']
    """
    if "epoch" not in history:
        raise ValueError(
            f"history must have a column 'epoch'; it has {list(map(str, history.columns))}"
        )
    numbers = history.drop(columns="epoch").select_dtypes("number").rename(columns=str)
    epochs = history["epoch"].to_numpy()
    quantities = list(dict.fromkeys(str(name).removeprefix("val_") for name in numbers))
    if not quantities:
        raise ValueError("history must have a numeric column besides 'epoch'")
    columns = min(3, len(quantities))
    rows = -(-len(quantities) // columns)
    figure = new_figure(max(3.6 * columns, 5.0), 2.5 * rows + 0.4, layout="constrained")
    chart_title(figure, one_line(title))
    for position, quantity in enumerate(quantities, start=1):
        ax = figure.add_subplot(
            rows, columns, position, title=quantity.replace("_", " "), xlabel="epoch"
        )
        _draw_curves(ax, epochs, numbers, quantity)
        if monitor == f"val_{quantity}" and monitor in numbers and numbers[monitor].notna().any():
            best, lowest = epochs[numbers[monitor].argmin()], numbers[monitor].min()
            label = f"kept: epoch {best:g}"
            ax.plot(best, lowest, "o", color=ANOMALOUS, markersize=5, label=label)
        if f"val_{quantity}" in numbers:
            ax.legend()
    describe(figure, f"{title}: {', '.join(quantities)} against the epoch".replace("_", " "))
    return figure


def _draw_curves(ax: Axes, epochs: NDArray, numbers: pd.DataFrame, quantity: str) -> None:
    """One quantity on the training and, where there are any, on the validation images."""
    # A training of a single epoch has no line, only a point.
    marker = "." if len(epochs) < 3 else ""
    curves = (
        (quantity, "training", GOOD, "-"),
        (f"val_{quantity}", "validation", ANOMALOUS, "--"),
    )
    drawn = []
    for name, label, color, dashes in curves:
        if name in numbers:
            drawn.append(numbers[name].to_numpy(dtype=float))
            ax.plot(
                epochs,
                drawn[-1],
                dashes,
                color=color,
                label=label,
                linewidth=1.5,
                marker=marker,
            )
    values = np.concatenate(drawn)
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > 20 * finite.min():
        ax.set_yscale("log")
        plain_log_axis(ax.yaxis)
