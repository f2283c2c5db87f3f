"""What labels bring and what pollution costs: the same training for several shares of either."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.checks import check_choice
from adhelpers.data import LabelledSamples
from adhelpers.metrics import image_auroc
from adhelpers.reports import label_curve

from .deep_sad import train_deep_sad
from .deep_sad_settings import DeepSADSettings

# Ruff et al., "Deep semi-supervised anomaly detection", ICLR 2020: mean AUROC on the whole MNIST,
# without pollution.
PUBLISHED_MNIST = pd.DataFrame(
    {"ratio": [0.0, 0.01, 0.05, 0.1], "auroc": [0.928, 0.964, 0.967, 0.969]}
)
_COLUMNS = [
    *("normal_class", "seed", "ratio", "known_outlier_class", "known", "unlabelled_outliers"),
    "auroc",
]
# What a curve changes: the name in a row, in a sentence, in its figure.
_SHARES = {
    "ratio_known_outlier": (
        "known",
        "known anomalies",
        "known anomalies in the training set",
        "How much do a few labels help?",
    ),
    "ratio_pollution": (
        "pollution",
        "pollution",
        "anomalies among the unlabelled training samples",
        "How much do unnoticed anomalies hurt?",
    ),
}


@dataclass(frozen=True)
class LabelCurve:
    """AUROC over the share of known anomalies, or of unlabelled ones (pollution).

    Attributes
    ----------
    runs : pandas.DataFrame
        A row a training: ``normal_class``, ``seed``, ``ratio``, ``known_outlier_class``, ``known``
        (how many anomalies are known), ``unlabelled_outliers`` (how many are taken for normal),
        ``auroc``.
    published : pandas.DataFrame or None
        The published curve where the data are MNIST's: ``ratio`` and ``auroc``.
    share : {"ratio_known_outlier", "ratio_pollution"}
        What ``ratio`` is.
    """

    runs: pd.DataFrame
    published: pd.DataFrame | None = None
    share: str = "ratio_known_outlier"

    def table(self) -> pd.DataFrame:
        """Mean and deviation of the AUROC for each share."""
        grouped = self.runs.groupby("ratio")["auroc"]
        table = pd.DataFrame(
            {
                "trainings": grouped.size(),
                "mean AUROC": grouped.mean().round(4),
                "deviation": grouped.std().round(4),
                "lowest": grouped.min().round(4),
            }
        )
        if self.published is not None:
            published = self.published.set_index("ratio")["auroc"]
            table["published, whole MNIST"] = published.reindex(table.index)
        name = _SHARES[self.share][0]
        table.index = pd.Index([f"{100 * ratio:g} % {name}" for ratio in table.index])
        return table

    def findings(self) -> list[str]:
        """How the AUROC changes with the share."""
        if self.runs.empty:
            return []
        ratios = self.runs["ratio"].astype(float)
        means = {one: self.runs["auroc"][ratios == one].mean() for one in sorted(set(ratios))}
        first, last, best = min(means), max(means), max(means, key=means.__getitem__)
        name = _SHARES[self.share][1]
        if len(means) < 2:
            return [f"With {100 * first:g} % {name} the mean AUROC is {means[first]:.3f}."]
        paired = self.runs.pivot_table(
            index=["normal_class", "seed"], columns="ratio", values="auroc"
        ).dropna()
        gains = paired[last] - paired[first]
        return [
            f"From {100 * first:g} % to {100 * last:g} % {name} the mean AUROC changes "
            f"from {means[first]:.3f} to {means[last]:.3f}; it is higher in {(gains > 0).sum()} of "
            f"{len(gains)} pairs of trainings. The highest mean, {means[best]:.3f}, is that of "
            f"{100 * best:g} %."
        ]

    def figure(self) -> Figure:
        """Every training, the mean and the deviation; there must be a training."""
        _, _, what, title = _SHARES[self.share]
        return label_curve(self.runs, self.published, title, what)


def run_label_curve(
    labelled: LabelledSamples,
    settings: DeepSADSettings,
    models: str | Path,
    *,
    ratios: Sequence[float] = (0.0, 0.01, 0.05, 0.1),
    share: str = "ratio_known_outlier",
    classes: str = "",
    seeds: int = 1,
    show_progress: bool = True,
) -> LabelCurve:
    """Train for every normal class, seed and share of known anomalies, or of pollution.

    Parameters
    ----------
    labelled : LabelledSamples
    settings : DeepSADSettings
        Of every training; the normal class, the share and the seed are set here. Its seed is the
        first.
    models : str or Path
        Trainings are found again there.
    ratios : sequence of float
        Shares.
    share : {"ratio_known_outlier", "ratio_pollution"}
        Of what; the other one is that of the settings.
    classes : str
        Normal classes, with commas between; empty is that of the settings, ``"all"`` every class in
        turn.
    seeds : int
        Trainings of each, with other draws of samples, known classes and weights.
    show_progress : bool

    Returns
    -------
    LabelCurve
    """
    check_choice("share", share, tuple(_SHARES))
    rows = [
        _trained(labelled, one, share, models, show_progress)
        for one in settings.of_curve(labelled, ratios, classes, seeds, share)
    ]
    known = share == "ratio_known_outlier"
    published = PUBLISHED_MNIST if known and labelled.name == "mnist" else None
    return LabelCurve(pd.DataFrame(rows, columns=_COLUMNS), published, share)


def _trained(
    labelled: LabelledSamples,
    settings: DeepSADSettings,
    share: str,
    models: str | Path,
    show_progress: bool,
) -> dict[str, object]:
    """One training as a row of the table."""
    category = settings.split_samples(labelled)
    detector = train_deep_sad(settings, category, models, show_progress=show_progress)
    known = category.counts.known_outlier
    return {
        "normal_class": category.settings["normal_class"],
        "seed": settings.split["seed"],
        "ratio": settings.split[share],
        "known_outlier_class": category.settings["known_outlier_class"] if known else "",
        "known": known,
        "unlabelled_outliers": category.counts.unlabelled_outlier,
        "auroc": image_auroc(detector.score(category.test.images), category.test.labels),
    }
