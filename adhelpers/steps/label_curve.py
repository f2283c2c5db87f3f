"""What a few labels bring: the same training for several shares of known anomalies, classes and seeds."""

import pandas as pd

from adhelpers._shared.text import listed
from adhelpers.data import semi_supervised
from adhelpers.detectors import DeepSAD, fit_or_load
from adhelpers.metrics import image_auroc

# Ruff et al., "Deep semi-supervised anomaly detection", ICLR 2020: mean AUROC on the whole MNIST,
# without pollution.
PUBLISHED_MNIST = pd.DataFrame(
    {"ratio": [0.0, 0.01, 0.05, 0.1], "auroc": [0.928, 0.964, 0.967, 0.969]}
)


def run_curve(
    labelled,
    models,
    detector,
    split,
    *,
    ratios=(0.0, 0.01, 0.05, 0.1),
    classes="",
    seeds=1,
    first_seed=0,
    show_progress=True,
):
    """Train for every share of known anomalies, normal class and seed.

    Parameters
    ----------
    labelled : LabelledSamples
    models : str or Path
        Trainings are found again there.
    detector, split : dict
        As from `adhelpers.steps.deep_sad.settings`; the share of known anomalies and the seed are
        set here.
    ratios : sequence of float
        Shares of known anomalies.
    classes : str
        Normal classes, with commas between; empty is that of ``split``, ``"all"`` every class in
        turn.
    seeds : int
        Trainings of each, with other draws of samples, known classes and weights.
    first_seed : int
    show_progress : bool

    Returns
    -------
    pandas.DataFrame
        A row a training: ``normal_class``, ``seed``, ``ratio``, ``known_outlier_class``, ``known``
        (how many anomalies are known), ``auroc``.
    """
    chosen = (
        sorted(set(map(str, labelled.classes)))
        if classes == "all"
        else listed(classes) or (split["normal_class"],)
    )
    rows = []
    for normal_class in chosen:
        for seed in range(first_seed, first_seed + seeds):
            for ratio in ratios:
                category = semi_supervised(
                    labelled,
                    **split
                    | {"normal_class": normal_class, "ratio_known_outlier": ratio, "seed": seed},
                )
                model = fit_or_load(
                    DeepSAD(**detector | {"seed": seed}),
                    category,
                    models,
                    labels=category.known,
                    show_progress=show_progress,
                )
                known = category.counts.known_outlier
                rows.append(
                    {
                        "normal_class": category.settings["normal_class"],
                        "seed": seed,
                        "ratio": ratio,
                        "known_outlier_class": category.settings["known_outlier_class"]
                        if known
                        else "",
                        "known": known,
                        "auroc": image_auroc(
                            model.score(category.test.images), category.test.labels
                        ),
                    }
                )
    return pd.DataFrame(
        rows, columns=["normal_class", "seed", "ratio", "known_outlier_class", "known", "auroc"]
    )


def published_curve(labelled):
    """The published curve where the data are MNIST's, else None: a DataFrame with the columns ``ratio`` and ``auroc``."""
    return PUBLISHED_MNIST if labelled.name == "mnist" else None


def curve_table(runs, published=None):
    """Mean and deviation of the AUROC for each share of known anomalies.

    Parameters
    ----------
    runs : pandas.DataFrame
        As from `run_curve`.
    published : pandas.DataFrame, optional
        As `published_curve` returns it.

    Returns
    -------
    pandas.DataFrame
    """
    grouped = runs.groupby("ratio")["auroc"]
    table = pd.DataFrame(
        {
            "trainings": grouped.size(),
            "mean AUROC": grouped.mean().round(4),
            "deviation": grouped.std().round(4),
            "lowest": grouped.min().round(4),
        }
    )
    if published is not None:
        table["published, whole MNIST"] = published.set_index("ratio")["auroc"].reindex(table.index)
    table.index = [f"{100 * ratio:g} % known" for ratio in table.index]
    return table


def curve_findings(runs):
    """What labels bring, in sentences that are true for the data.

    Parameters
    ----------
    runs : pandas.DataFrame
        As from `run_curve`.

    Returns
    -------
    list of str
    """
    if runs.empty:
        return []
    means = runs.groupby("ratio")["auroc"].mean()
    if len(means) < 2:
        return [
            f"With {100 * means.index[0]:g} % known anomalies the mean AUROC is {means.iloc[0]:.3f}."
        ]
    first, best = means.index[0], means.idxmax()
    paired = runs.pivot_table(
        index=["normal_class", "seed"], columns="ratio", values="auroc"
    ).dropna()
    gains = paired[means.index[-1]] - paired[first]
    return [
        f"From {100 * first:g} % to {100 * means.index[-1]:g} % known anomalies the mean AUROC goes from {means.iloc[0]:.3f} to {means.iloc[-1]:.3f}; "
        f"it is higher in {(gains > 0).sum()} of {len(gains)} pairs of trainings. The highest mean, {means[best]:.3f}, is that of {100 * best:g} %."
    ]
