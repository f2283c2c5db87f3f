"""The verdicts on all test images, in one figure."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..style import ANOMALOUS, INK, chart_title, describe, new_figure, say, styled

# Good news in green and grey, what the explainer is to blame for in yellow, the rest in reds.
VERDICT_COLORS = {
    "right reason": "#009E73",
    "found": "#009E73",
    "right class, right reason": "#009E73",
    "right class, other reason": "#E69F00",
    "right reason, explained too coarsely": "#F0D06A",
    "right reason, badly explained": "#E69F00",
    "right place": "#2F7F9E",
    "flagged, unverified": "#CC79A7",
    "flagged, not verifiable": "#8F6BB3",
    "flagged": "#CC79A7",
    "wrong reason": ANOMALOUS,
    "wrong place": "#B5651D",
    "missed": "#8A2D00",
    "wrong class": "#8A2D00",
    "false alarm": "#6E1A4B",
    "passed": "#B8C4CC",
}
_OTHER = "#444444"
# On these a number is dark.
_LIGHT = ("#E69F00", "#F0D06A", "#B8C4CC")


@styled
def verdict_figure(
    counts: pd.DataFrame, *, title: str = "Verdicts by type", samples: str = "test images"
) -> Figure:
    """How many images of each type got which verdict, a bar for each type.

    Parameters
    ----------
    counts
        A row for each verdict, a column for each type; a column ``"all"`` is left out.
    title
    samples
        What is counted.

    Returns
    -------
    Figure

    Examples
    --------
    >>> counts = pd.DataFrame({"cut": [3, 1], "good": [0, 0]}, index=["right reason", "missed"])
    >>> [float(bar.get_width()) for bar in verdict_figure(counts).axes[0].patches][:2]
    [0.0, 3.0]
    """
    counts = counts.drop(columns="all", errors="ignore")
    kinds = list(counts.columns)[::-1]
    figure = new_figure(10.0, 1.3 + 0.34 * max(1, len(kinds)), layout="constrained")
    chart_title(figure, title)
    ax = figure.subplots()
    if not kinds:
        say(ax, "no images")
        return figure
    left = np.zeros(len(kinds))
    known = [name for name in VERDICT_COLORS if name in counts.index]
    for name in [*known, *(name for name in counts.index if name not in known)]:
        width = counts.loc[name, kinds].to_numpy(dtype=float)
        color = VERDICT_COLORS.get(name, _OTHER)
        ax.barh(kinds, width, left=left, height=0.72, color=color, label=name)
        for row, (start, count) in enumerate(zip(left, width, strict=True)):
            if count:
                dark = color in _LIGHT
                ax.text(
                    start + count / 2,
                    row,
                    f"{count:.0f}",
                    ha="center",
                    va="center",
                    color=INK if dark else "white",
                    fontsize=8,
                )
        left += width
    ax.set(xlabel=f"number of {samples}", xlim=(0, max(1.0, left.max())))
    ax.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=min(4, len(counts)))
    describe(figure, f"{title}: numbers of {samples}")
    return figure
