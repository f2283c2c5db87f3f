"""What the score does while the explained pixels are replaced."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..style import chart_title, describe, new_figure, one_line, say, styled


@styled
def deletion_insertion_curves(
    shares: ArrayLike,
    deletion: Mapping[str, ArrayLike],
    insertion: Mapping[str, ArrayLike],
    title: str = "What happens to the score when the explained pixels go, or come back?",
) -> Figure:
    """Mean deletion and insertion curves of each explainer.

    Parameters
    ----------
    shares : array-like of float, shape (steps + 1,)
        Share of the pixels that has been changed.
    deletion, insertion : dict of str to array-like of float, shape (n, steps + 1)
        Scores of each image; a row of NaN is left out. Without any the figure says that no
        defective image is flagged.
    title

    Returns
    -------
    Figure

    Examples
    --------
    >>> figure = deletion_insertion_curves([0, 1], {"SHAP": [[1, 0]]}, {"SHAP": [[0, 1]]})
    >>> [ax.get_title("left") for ax in figure.axes]
    ['deletion: low is good', 'insertion: high is good']
    """
    figure = new_figure(8.6, 3.4, layout="constrained")
    chart_title(figure, one_line(title))
    panels = figure.subplots(1, 2)
    panels[1].sharey(panels[0])
    headings = ("deletion: low is good", "insertion: high is good")
    for ax, heading, curves in zip(panels, headings, (deletion, insertion), strict=True):
        ax.set(title=heading, xlabel="share of pixels, most relevant first")
        for name, scores in curves.items():
            mean = np.nanmean(np.asarray(scores, dtype=float), axis=0)
            ax.plot(shares, mean, label=name, linewidth=1.5)
    panels[0].set_ylabel("mean score")
    if deletion:
        panels[1].legend()
    else:
        say(panels[0], "no flagged defective image")
    describe(
        figure,
        "Mean score of the flagged defective images while pixels are replaced by the counterpart "
        "(deletion), or put back (insertion), the most relevant first",
    )
    return figure
