"""Detectors on the line of their mean ranks, joined where they are not shown to differ."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adhelpers.metrics import RankComparison

from ..style import FAINT, INK, chart_title, describe, new_figure, one_line, styled

# In inches: the figure's width, what names have at each side, and the height of a line of text.
_WIDTH, _SIDE, _LINE = 9.0, 2.9, 0.26
# The thick bars and the critical difference.
_BAR = "#D55E00"


@styled
def rank_figure(
    compared: RankComparison, names: Sequence[str], *, title: str = "Mean ranks"
) -> Figure:
    """The critical-difference diagram of Demšar (JMLR 2006).

    The best detector is at the left. A thick bar joins detectors that are not shown to differ.

    Parameters
    ----------
    compared : RankComparison
    names : sequence of str, length k
        Of the detectors, in the order of the ranks.
    title : str

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are not as many names as ranks.

    Examples
    --------
    >>> from adhelpers.metrics import compare_ranks
    >>> compared = compare_ranks([[0.9, 0.8, 0.7], [0.9, 0.8, 0.7], [0.9, 0.7, 0.8]])
    >>> figure = rank_figure(compared, ["A", "B", "C"])
    >>> [text.get_text() for text in figure.axes[0].texts if "." in text.get_text()]
    ['A  1.00', 'B  2.33', '2.67  C', 'critical difference 1.91']
    """
    count = len(compared.ranks)
    if len(names) != count:
        raise ValueError(f"names must have one entry for each of {count} ranks, not {len(names)}")
    order = sorted(range(count), key=lambda index: (compared.ranks[index], index))
    groups = compared.groups()
    left = math.ceil(count / 2)
    # Bars lie between the line and the names, one below the other.
    first = 0.32 + 0.13 * len(groups)
    depth = first + _LINE * left
    figure = new_figure(_WIDTH, depth + 1.15)
    chart_title(figure, title)
    height = figure.get_size_inches()[1]
    ax = figure.add_axes((0, 0, 1, 1 - 0.35 / height))
    scale = (_WIDTH - 2 * _SIDE) / (count - 1)

    def place(rank: float) -> float:
        return _SIDE + (rank - 1) * scale

    ax.set(xlim=(0, _WIDTH), ylim=(-depth - 0.1, height - 0.35 - depth - 0.1))
    ax.axis("off")
    ax.plot([place(1), place(count)], [0, 0], color=INK, lw=1.2)
    for rank in range(1, count + 1):
        ax.plot([place(rank)] * 2, [0, 0.09], color=INK, lw=1.2)
        ax.text(place(rank), 0.13, str(rank), ha="center", va="bottom", fontsize=8)
    for position, index in enumerate(order):
        at_left = position < left
        line = position if at_left else count - 1 - position
        y, x = -first - _LINE * line, place(compared.ranks[index])
        end = _SIDE - 0.15 if at_left else _WIDTH - _SIDE + 0.15
        ax.plot([x, x, end], [0, y, y], color=FAINT, lw=0.9, solid_joinstyle="miter")
        name, mean = one_line(names[index], 34), f"{compared.ranks[index]:.2f}"
        ax.text(
            end + (-0.08 if at_left else 0.08),
            y,
            f"{name}  {mean}" if at_left else f"{mean}  {name}",
            ha="right" if at_left else "left",
            va="center",
            fontsize=9,
        )
    for row, group in enumerate(groups):
        ends = [place(compared.ranks[index]) for index in (group[0], group[-1])]
        y = -0.16 - 0.13 * row
        ax.plot([ends[0] - 0.06, ends[1] + 0.06], [y, y], color=_BAR, lw=4, gid="group")
    if math.isfinite(compared.critical_difference):
        _draw_difference(ax, compared.critical_difference * scale, compared.critical_difference)
    describe(
        figure,
        "Mean ranks, the best at the left: "
        + ", ".join(f"{names[index]} {compared.ranks[index]:.2f}" for index in order)
        + ". A bar joins detectors that are not shown to differ.",
    )
    return figure


def _draw_difference(ax: Axes, width: float, value: float) -> None:
    """The length of a critical difference, above the line."""
    y = 0.48
    start, end = _SIDE, _SIDE + width
    ax.plot([start, end], [y, y], color=_BAR, lw=1.4, gid="difference")
    for x in (start, end):
        ax.plot([x, x], [y - 0.05, y + 0.05], color=_BAR, lw=1.4)
    ax.text(end + 0.1, y, f"critical difference {value:.2f}", va="center", fontsize=8, color=INK)
