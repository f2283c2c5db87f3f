"""Figures of the notebook on pretrained features."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from adhelpers.metrics import Estimate

from ..style import FAINT, GOOD, INK, chart_title, describe, new_figure, one_line, styled


@styled
def contest_figure(
    estimates: Mapping[str, Estimate],
    aurocs: Mapping[str, Sequence[float]],
    title: str = "Who ranks defective above good?",
) -> Figure:
    """AUROCs of several detectors with their intervals, and the AUROC of each seed.

    Parameters
    ----------
    estimates
        By the detector's name, from top to bottom.
    aurocs
        For each detector one number for each seed.
    title

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is nothing to draw or the names differ.

    Examples
    --------
    >>> from adhelpers.metrics import Estimate
    >>> len(contest_figure({"A": Estimate(0.9, 0.8, 0.95)}, {"A": [0.88, 0.92]}).axes)
    1
    """
    if not estimates or set(estimates) != set(aurocs):
        raise ValueError("estimates and aurocs must hold the same detectors, at least one")
    figure = new_figure(8.6, 1.3 + 0.34 * len(estimates), layout="constrained")
    axis = figure.subplots()
    for place, (name, estimate) in enumerate(estimates.items()):
        axis.plot(
            [estimate.low, estimate.high],
            [place, place],
            color=GOOD,
            linewidth=1.6,
            solid_capstyle="round",
        )
        axis.plot(
            aurocs[name],
            [place] * len(aurocs[name]),
            "o",
            color="white",
            markeredgecolor=INK,
            markeredgewidth=0.8,
            markersize=4,
            label=None if place else "one seed",
        )
        axis.plot(
            estimate.value,
            place,
            "D",
            color=GOOD,
            markersize=6,
            label=None if place else "mean, with the interval over test images",
        )
        axis.annotate(
            f"{estimate.value:.3f}",
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            color=INK,
        )
    axis.axvline(0.5, color=FAINT, linewidth=1, linestyle="--")
    lowest = min(
        0.45,
        *(estimate.low for estimate in estimates.values()),
        *(min(values) for values in aurocs.values()),
    )
    axis.set(
        xlim=(lowest - 0.02, 1.01),
        ylim=(len(estimates) - 0.5, -0.5),
        yticks=range(len(estimates)),
        yticklabels=list(estimates),
        xlabel="image AUROC (dashed: chance)",
    )
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    chart_title(figure, one_line(title))
    describe(figure, f"{title} Image AUROC of each with its interval over the test images")
    return figure
