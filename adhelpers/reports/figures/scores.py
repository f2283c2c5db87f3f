"""The suite's figures. Each function returns a matplotlib figure; none needs LaTeX or tells things apart by red and green.

Those made of images live in :mod:`adhelpers.reports.figures.images` and are offered here too.
"""

import textwrap

import numpy as np
from matplotlib.lines import Line2D
from sklearn.decomposition import PCA

from ..style import (
    ANOMALOUS,
    FAINT,
    GOOD,
    INK,
    check_batch,
    new_figure,
    one_line,
    plain_log_axis,
    say,
    styled,
    threshold_text,
    threshold_value,
    type_colors,
)
from .images import (
    ground_truth_grid,
    image_grid,
    reconstruction_grid,
    sample_strip,
    superpixel_overlay,
)

__all__ = [
    "deletion_insertion_curves",
    "explainer_against_explainer",
    "ground_truth_grid",
    "image_grid",
    "latent_pca",
    "reconstruction_grid",
    "sample_strip",
    "score_against_jaccard",
    "score_separation",
    "superpixel_overlay",
    "training_curves",
]

_SPLIT_MARKERS = {"train": "o", "validation": "s", "test": "^"}


@styled
def training_curves(history, title="Training", monitor="val_reconstruction"):
    """Every loss of a training against the epoch, training and validation in one panel.

    Parameters
    ----------
    history : pandas.DataFrame
        A row for each epoch: ``epoch`` and any numeric columns. A column ``val_x`` is drawn in the
        panel of ``x``. Columns that are not numbers are left out.
    title : str
    monitor : str
        The validation column whose lowest epoch was kept; it is marked where the column is there.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each quantity, logarithmic where its values are positive and span more than a
        factor of 20.

    Raises
    ------
    ValueError
        If ``epoch`` or every other numeric column is missing.

    Examples
    --------
    >>> import pandas
    >>> history = pandas.DataFrame({"epoch": [1, 2], "loss": [3.0, 2.0], "val_loss": [3.5, 2.5], "kl": [0.1, 0.2]})
    >>> [ax.get_title("left") for ax in training_curves(history).axes]
    ['loss', 'kl']
    """
    if "epoch" not in history:
        raise ValueError(
            f"history must have a column 'epoch'; it has {list(map(str, history.columns))}."
        )
    numeric = [str(name) for name in history.select_dtypes("number").columns if name != "epoch"]
    quantities = list(dict.fromkeys(name.removeprefix("val_") for name in numeric))
    if not quantities:
        raise ValueError("history must have a numeric column besides 'epoch'.")
    columns = min(3, len(quantities))
    rows = -(-len(quantities) // columns)
    figure = new_figure(max(3.6 * columns, 5.0), 2.5 * rows + 0.4, layout="constrained")
    figure.suptitle(one_line(title), fontweight="bold", x=0.01, ha="left")
    epochs = history["epoch"].to_numpy()
    for position, quantity in enumerate(quantities):
        ax = figure.add_subplot(
            rows, columns, position + 1, title=quantity.replace("_", " "), xlabel="epoch"
        )
        for name, label, color, dashes in (
            (quantity, "training", GOOD, "-"),
            (f"val_{quantity}", "validation", ANOMALOUS, "--"),
        ):
            if name in numeric:
                # A training of a single epoch has no line, only a point.
                marker = "." if len(epochs) < 3 else ""
                ax.plot(
                    epochs,
                    history[name],
                    dashes,
                    color=color,
                    label=label,
                    linewidth=1.5,
                    marker=marker,
                )
        drawn = history[
            [name for name in (quantity, f"val_{quantity}") if name in numeric]
        ].to_numpy(dtype=float)
        finite = drawn[np.isfinite(drawn)]
        if finite.size and finite.min() > 0 and finite.max() > 20 * finite.min():
            ax.set_yscale("log")
            plain_log_axis(ax.yaxis)
        if monitor == f"val_{quantity}" and monitor in numeric and history[monitor].notna().any():
            best = int(history[monitor].argmin())
            ax.plot(
                epochs[best],
                history[monitor].iloc[best],
                "o",
                color=ANOMALOUS,
                markersize=5,
                label=f"kept: epoch {epochs[best]:g}",
            )
        if f"val_{quantity}" in numeric:
            ax.legend()
    return figure


@styled
def latent_pca(latents, types, splits=None, title="Latent space"):
    """The first two principal components of latent codes, coloured by type, with a marker for each split.

    Parameters
    ----------
    latents : array (n, d)
        Latent codes, d ≥ 2, n ≥ 2.
    types : sequence of str (n,)
        ``"good"`` or the defect's type.
    splits : sequence of str (n,), optional
        ``"train"``, ``"validation"`` or ``"test"``; by default all are test codes.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        The axes tell the share of the variance that each component explains.

    Raises
    ------
    ValueError
        If shapes do not fit, a code is not finite, or a split has another name.

    Examples
    --------
    >>> figure = latent_pca(np.eye(3), ["good", "good", "crack"])
    >>> figure.axes[0].get_xlabel()
    'first component (50 % of the variance)'
    """
    latents = np.asarray(latents, dtype=float)
    if latents.ndim != 2 or latents.shape[0] < 2 or latents.shape[1] < 2:
        raise ValueError(
            f"latents must have shape (n, d) with n and d at least 2; it has {latents.shape}."
        )
    if not np.isfinite(latents).all():
        raise ValueError("latents must be finite.")
    splits = np.full(len(latents), "test") if splits is None else np.asarray(splits).astype(str)
    check_batch(len(latents), types=types, splits=splits)
    unknown = sorted(map(str, set(splits) - set(_SPLIT_MARKERS)))
    if unknown:
        raise ValueError(f"splits must be 'train', 'validation' or 'test'; it has {unknown}.")
    types = np.asarray(types).astype(str)
    model = PCA(n_components=2, svd_solver="full").fit(latents)
    points = model.transform(latents)
    figure = new_figure(7.2, 4.6, layout="constrained")
    ax = figure.add_subplot(title=one_line(title))
    colors = type_colors(types)
    for split, marker in _SPLIT_MARKERS.items():
        for name, color in colors.items():
            chosen = (splits == split) & (types == name)
            if chosen.any():
                fitted = split != "test"
                ax.scatter(
                    *points[chosen].T,
                    marker=marker,
                    s=14 if fitted else 30,
                    color=color,
                    alpha=0.35 if fitted else 0.85,
                    linewidths=0,
                    label=f"{name}, {split} ({chosen.sum()})",
                )
    shares = [f"{100 * share:.0f} % of the variance" for share in model.explained_variance_ratio_]
    ax.set(xlabel=f"first component ({shares[0]})", ylabel=f"second component ({shares[1]})")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@styled
def score_separation(
    scores, labels, types, threshold, validation_scores=None, title="Scores by type"
):
    """The score of every image, a row for each type, with the threshold; wrongly decided images are hollow.

    Parameters
    ----------
    scores : array (n,)
    labels : int array (n,)
        0 good, 1 anomalous.
    types : sequence of str (n,)
    threshold : Threshold or float
        Its rule is written out, and a notice if it used test labels.
    validation_scores : array, optional
        Scores of good validation images, drawn as a row of their own.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If lengths differ or there are no scores.

    Examples
    --------
    >>> figure = score_separation([0.1, 0.9], [0, 1], ["good", "crack"], 0.5)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['crack', 'good']
    """
    scores, labels, types = (
        np.asarray(scores, dtype=float),
        np.asarray(labels),
        np.asarray(types).astype(str),
    )
    if not len(scores):
        raise ValueError("scores must hold at least one score.")
    check_batch(len(scores), labels=labels, types=types)
    cut = threshold_value(threshold)
    rows = []
    if validation_scores is not None:
        validation_scores = np.asarray(validation_scores, dtype=float)
        rows.append(
            ("validation (good)", validation_scores, np.zeros(len(validation_scores), dtype=int))
        )
    for name in sorted(set(types), key=lambda name: (labels[types == name].max(), name)):
        rows.append((name, scores[types == name], labels[types == name]))
    figure = new_figure(8.4, 0.42 * len(rows) + 1.7, layout="constrained")
    ax = figure.add_subplot()
    for row, (name, values, truth) in enumerate(reversed(rows)):
        heights = row + _swarm(values)
        for label, color in ((0, GOOD), (1, ANOMALOUS)):
            for right in (True, False):
                chosen = (truth == label) & (((values > cut) == bool(label)) == right)
                if chosen.any():
                    ax.scatter(
                        values[chosen],
                        heights[chosen],
                        s=20,
                        facecolor=color if right else "white",
                        edgecolor=color,
                        linewidth=1.1,
                        alpha=0.8 if right else 1.0,
                        zorder=3,
                    )
        ax.annotate(
            f"{int((values > cut).sum())} of {len(values)} flagged",
            (1, row),
            (6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=FAINT,
        )
    ax.axvline(cut, color=INK, linewidth=1.2, linestyle="--")
    ax.set(
        yticks=range(len(rows)),
        yticklabels=[one_line(name, 30) for name, *_ in reversed(rows)],
        ylim=(-0.6, len(rows) - 0.4),
        xlabel="score (higher is more anomalous)",
    )
    figure.suptitle(one_line(title), x=0.01, ha="left", fontweight="bold", fontsize=9.5)
    ax.set_title(_wrapped(threshold_text(threshold), 95), fontweight="normal")
    ax.grid(axis="y", visible=False)
    dot = {"marker": "o", "linestyle": "", "markersize": 5}
    figure.legend(
        handles=[
            Line2D([], [], color=GOOD, label="good", **dot),
            Line2D([], [], color=ANOMALOUS, label="anomalous", **dot),
            Line2D(
                [], [], markerfacecolor="white", markeredgecolor=INK, label="decided wrongly", **dot
            ),
        ],
        loc="outside lower right",
        ncols=3,
    )
    return figure


@styled
def score_against_jaccard(
    scores, jaccards, types, threshold, cutoff=0.1, title="Flagged, but in the wrong place?"
):
    """Optimal Jaccard against the score, a panel for each explainer; shaded: flagged although the explanation misses the defect.

    Parameters
    ----------
    scores : array (n,)
    jaccards : dict of str to array (n,)
        Optimal Jaccard in [0, 1] of each explainer; NaN (good images) is left out.
    types : sequence of str (n,)
    threshold : Threshold or float
    cutoff : float
        Below this Jaccard an explanation counts as in the wrong place.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If ``jaccards`` is empty or lengths differ.

    Examples
    --------
    >>> figure = score_against_jaccard([0.9, 0.8], {"LIME": [0.5, 0.02]}, ["crack", "cut"], 0.5)
    >>> figure.axes[0].get_title("left")
    'LIME: 1 of 2 flagged in the wrong place'
    """
    if not jaccards:
        raise ValueError("jaccards must name at least one explainer.")
    scores, types = np.asarray(scores, dtype=float), np.asarray(types).astype(str)
    check_batch(
        len(scores),
        types=types,
        **{f"jaccards[{name!r}]": values for name, values in jaccards.items()},
    )
    cut, colors = threshold_value(threshold), type_colors(types)
    figure = new_figure(4.3 * len(jaccards) + 1.0, 4.1, layout="constrained")
    figure.suptitle(
        _wrapped(f"{one_line(title)} At {threshold_text(threshold)}", 55 * len(jaccards)),
        x=0.01,
        ha="left",
        fontsize=9.5,
    )
    drawn = {}
    for position, (name, values) in enumerate(jaccards.items()):
        values = np.asarray(values, dtype=float)
        known = np.isfinite(values) & np.isfinite(scores)
        ax = figure.add_subplot(1, len(jaccards), position + 1, xlabel="score", ylim=(-0.03, 1.03))
        ax.set_ylabel("optimal Jaccard" if position == 0 else "")
        for kind, color in colors.items():
            chosen = known & (types == kind)
            if chosen.any():
                drawn[kind] = ax.scatter(
                    scores[chosen],
                    values[chosen],
                    s=24,
                    color=color,
                    alpha=0.85,
                    linewidths=0,
                    zorder=3,
                )
        ax.axvline(cut, color=INK, linestyle="--", linewidth=1.1)
        ax.axhline(cutoff, color=INK, linestyle=":", linewidth=1.1)
        right = max([cut, *scores[known]])
        right += 0.04 * ((right - min([cut, *scores[known]])) or 1.0)
        ax.set_xlim(right=right)
        ax.fill_between([cut, right], -0.03, cutoff, color=ANOMALOUS, alpha=0.12, linewidth=0)
        flagged = known & (scores > cut)
        ax.set_title(
            f"{one_line(name, 24)}: {int((flagged & (values < cutoff)).sum())} of {int(flagged.sum())} flagged"
            " in the wrong place"
        )
    if drawn:
        figure.legend(list(drawn.values()), list(drawn), loc="outside right center")
    return figure


@styled
def explainer_against_explainer(
    jaccards_a,
    jaccards_b,
    types,
    names=("LIME", "SHAP"),
    title="Which explainer hits the defect better?",
):
    """The optimal Jaccard of one explainer against another's, a point for each anomalous image.

    Parameters
    ----------
    jaccards_a, jaccards_b : array (n,)
        In [0, 1]; images where one is NaN are left out.
    types : sequence of str (n,)
    names : (str, str)
        The explainers' names; the first goes along, the second up.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Above the diagonal the second explainer is better; the count is written out.

    Raises
    ------
    ValueError
        If lengths differ.

    Examples
    --------
    >>> figure = explainer_against_explainer([0.2, 0.5], [0.4, 0.1], ["crack", "cut"])
    >>> figure.axes[0].get_title("left")
    'SHAP above LIME in 1 of 2'
    """
    first, second = np.asarray(jaccards_a, dtype=float), np.asarray(jaccards_b, dtype=float)
    types = np.asarray(types).astype(str)
    check_batch(len(first), jaccards_b=second, types=types)
    known = np.isfinite(first) & np.isfinite(second)
    figure = new_figure(6.0, 4.5, layout="constrained")
    figure.suptitle(one_line(title), x=0.01, ha="left", fontweight="bold", fontsize=9)
    ax = figure.add_subplot(
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
        aspect="equal",
        xlabel=f"optimal Jaccard of {names[0]}",
        ylabel=f"optimal Jaccard of {names[1]}",
    )
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    for kind, color in type_colors(types).items():
        chosen = known & (types == kind)
        if chosen.any():
            ax.scatter(
                first[chosen],
                second[chosen],
                s=26,
                color=color,
                alpha=0.85,
                linewidths=0,
                label=kind,
                zorder=3,
            )
    ax.set_title(
        f"{names[1]} above {names[0]} in {int((second[known] > first[known]).sum())} of {int(known.sum())}"
    )
    if known.any():
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@styled
def deletion_insertion_curves(
    shares,
    deletion,
    insertion,
    title="What happens to the score when the explained pixels go, or come back?",
):
    """Mean deletion and insertion curves of each explainer.

    Parameters
    ----------
    shares : array (steps + 1,)
        Share of the pixels that has been changed.
    deletion, insertion : dict of str to array (n, steps + 1)
        Scores of each image; a row of NaN is left out.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = deletion_insertion_curves([0, 1], {"SHAP": [[1, 0]]}, {"SHAP": [[0, 1]]})
    >>> [ax.get_title("left") for ax in figure.axes]
    ['deletion: low is good', 'insertion: high is good']
    """
    figure = new_figure(8.6, 3.4, layout="constrained")
    figure.suptitle(one_line(title), fontweight="bold", x=0.01, ha="left")
    first = None
    for position, (heading, curves) in enumerate(
        (("deletion: low is good", deletion), ("insertion: high is good", insertion))
    ):
        first = figure.add_subplot(
            1,
            2,
            position + 1,
            sharey=first,
            title=heading,
            xlabel="share of pixels, most relevant first",
        )
        for name, scores in curves.items():
            first.plot(
                shares,
                np.nanmean(np.asarray(scores, dtype=float), axis=0),
                label=name,
                linewidth=1.5,
            )
    figure.axes[0].set_ylabel("mean score")
    if deletion:
        figure.axes[1].legend()
    else:
        say(figure.axes[0], "no flagged defective image")
    return figure


def _wrapped(text, width):
    """``text`` in lines of at most ``width`` letters."""
    return "\n".join(textwrap.wrap(text, width))


def _swarm(values):
    """Vertical offsets in [-0.3, 0.3] that keep equal scores apart: the same for the same values, so figures can be compared."""
    golden = (np.arange(len(values)) * 0.618034) % 1.0
    offsets = np.empty(len(values))
    offsets[np.argsort(values, kind="stable")] = 0.6 * golden - 0.3
    return offsets
