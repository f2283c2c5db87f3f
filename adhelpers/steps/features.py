"""The steps of the notebook on pretrained features that no other has: the published way, and a contest of detectors."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from adhelpers.detectors import FeatureSVM, fit_or_load
from adhelpers.metrics import bootstrap, compare_aurocs, holm, image_auroc
from adhelpers.reports import contest_figure

from .assess import estimate_text

SIGNIFICANCE = 0.05


def published_way(
    category,
    layers,
    *,
    weights="hed",
    backbone="vgg16",
    precision="float32",
    seed=0,
    show_progress=True,
):
    """A one-class SVM with scikit-learn's defaults on pooled features, one layer at a time: how well it ranks, and what it follows.

    Parameters
    ----------
    category : Category
        As it is on disk; correct nothing.
    layers : sequence of str
        Of the backbone.
    weights, backbone, precision : str
        As in `adhelpers.detectors.Backbone`.
    seed : int
        For the bootstrap.
    show_progress : bool

    Returns
    -------
    pandas.DataFrame
        A row for each layer: image AUROC, and the rank correlation of the score with brightness
        among good images, where no defect can explain one.
    """
    test, rows = category.test, {}
    good = np.concatenate([category.validation.images, test.images[test.labels == 0]])
    brightness = good.mean(axis=(1, 2, 3))
    for layer in layers:
        # scikit-learn's own defaults, none of what the detector does better.
        detector = FeatureSVM(
            backbone=backbone,
            weights=weights,
            layers=[layer],
            scaling="none",
            pca=None,
            whiten=False,
            nu=0.5,
            gamma="scale",
            output="decision",
            precision=precision,
            seed=seed,
        )
        detector.fit(category.train.images, category.validation.images, show_progress=show_progress)
        auroc = bootstrap(
            image_auroc, detector.score(test.images), test.labels, stratify=test.types, seed=seed
        )
        rows[layer] = {
            "image AUROC": estimate_text(auroc),
            "auroc": auroc.value,
            "follows brightness (rank correlation among good images)": float(
                spearmanr(detector.score(good), brightness).statistic
            ),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def published_sentences(table):
    """What `published_way` shows, in sentences that are true for the data it ran on.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    list of str
    """
    best, worst = table["auroc"].idxmax(), table["auroc"].idxmin()
    follows = table.filter(like="follows").iloc[:, 0]
    strongest = follows.abs().idxmax()
    found = [
        f"With default settings on pooled features of images as they are, the one-class SVM ranks best on {best} (AUROC "
        f"{table.loc[best, 'auroc']:.2f}) and worst on {worst} ({table.loc[worst, 'auroc']:.2f})."
    ]
    if table.loc[worst, "auroc"] < 0.5:
        found[0] += " Below 0.5 it calls good images more anomalous than defective ones."
    found.append(
        f"Among good images its score follows their brightness most on {strongest}: rank correlation {follows[strongest]:+.2f}."
    )
    return found


@dataclass(frozen=True)
class Contest:
    """Several detectors on the same test images, each with several seeds.

    Attributes
    ----------
    scores : dict of str to ndarray of float32, shape (seeds, n)
    labels, types : ndarray, shape (n,)
    seed : int
        For the bootstrap.
    """

    scores: dict
    labels: np.ndarray
    types: np.ndarray
    seed: int

    @cached_property
    def aurocs(self):
        """The AUROC of each detector and seed: dict of str to list of float."""
        return {
            title: [image_auroc(one, self.labels) for one in scores]
            for title, scores in self.scores.items()
        }

    @cached_property
    def ranked(self):
        """The detectors by their mean AUROC, the winner first: list of str."""
        return sorted(self.scores, key=lambda title: -np.mean(self.aurocs[title]))

    @cached_property
    def estimates(self):
        """The mean AUROC over the seeds with the interval that other test images would give: dict of str to Estimate."""
        return {
            title: bootstrap(
                lambda *arrays: np.mean([image_auroc(one, arrays[-1]) for one in arrays[:-1]]),
                *scores,
                self.labels,
                stratify=self.types,
                seed=self.seed,
            )
            for title, scores in self.scores.items()
        }

    @cached_property
    def against_winner(self):
        """For each other detector its difference to the winner and the p-value, corrected for their number: dict of str to (Estimate, float)."""
        tests = {title: self.compare(title, self.ranked[0]) for title in self.ranked[1:]}
        corrected = holm([one.p_value for one in tests.values()])
        return {
            title: (test.difference, float(p_value))
            for (title, test), p_value in zip(tests.items(), corrected, strict=True)
        }

    def compare(self, first, second):
        """The paired test of two detectors, see `adhelpers.metrics.compare_aurocs`."""
        return compare_aurocs(self.scores[first], self.scores[second], self.labels)

    def table(self):
        """A row for each detector, the best first: AUROC, its spread over the seeds, and the paired test against the winner.

        Returns
        -------
        pandas.DataFrame
        """
        rows = {}
        for title in self.ranked:
            row = rows[title] = {
                "image AUROC, mean over seeds": estimate_text(self.estimates[title]),
                "by seed": " ".join(f"{value:.3f}" for value in self.aurocs[title]),
                "against the winner": "",
                "p, paired and corrected": "",
            }
            if title in self.against_winner:
                difference, p_value = self.against_winner[title]
                row |= {
                    "against the winner": f"{difference.value:+.3f}",
                    "p, paired and corrected": f"{p_value:.3g}",
                }
        return pd.DataFrame.from_dict(rows, orient="index")

    def sentences(self, claims=()):
        """Who won, and what becomes of some claims that one detector is better than another.

        Parameters
        ----------
        claims : sequence of (str, str)
            Pairs of detectors, the first said to be the better one.

        Returns
        -------
        list of str
        """
        winner = self.ranked[0]
        beaten = [
            title for title, (_, p_value) in self.against_winner.items() if p_value <= SIGNIFICANCE
        ]
        said = (
            "none of the others is shown to be worse"
            if not beaten
            else f"shown to be worse (p at most 0.05, corrected): {', '.join(beaten)}"
        )
        found = [f"Highest AUROC: {winner}, {estimate_text(self.estimates[winner])}; {said}."]
        for first, second in claims:
            difference, p_value = self.compare(first, second)
            shown = p_value <= SIGNIFICANCE
            verdict = (
                "neither show nor refute it"
                if not shown
                else "confirm it"
                if difference.value > 0
                else "refute it"
            )
            first_mean, second_mean = (np.mean(self.aurocs[title]) for title in (first, second))
            found.append(
                f"Claim: {first} better than {second}. These images {verdict}: AUROC {first_mean:.3f} against {second_mean:.3f}, "
                f"difference {difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}], p = {p_value:.2g}."
            )
        return found

    def figure(self, title="Who ranks defective above good?"):
        """Every AUROC with its interval and its seeds, the best on top.

        Parameters
        ----------
        title : str

        Returns
        -------
        matplotlib.figure.Figure
        """
        return contest_figure(
            *(
                {name: values[name] for name in self.ranked}
                for values in (self.estimates, self.aurocs)
            ),
            title,
        )


def run_contest(entries, models, seeds, *, seed=0, cache=nullcontext, show_progress=True):
    """Fit or find every detector for every seed and score the same test images.

    Parameters
    ----------
    entries : dict of str to (callable, Category)
        For each title ``detector(seed) -> Detector``, not fitted, and the category it looks at: the
        same files, perhaps at another size.
    models : str or Path
        As in `adhelpers.detectors.fit_or_load`.
    seeds : sequence of int
    seed : int
        For the bootstrap.
    cache : callable
        Makes the context in which everything runs, such as a feature cache.
    show_progress : bool

    Returns
    -------
    Contest

    Raises
    ------
    ValueError
        If there are no seeds, or the categories do not hold the same test images.
    """
    tests = [category.test for _, category in entries.values()]
    if not len(seeds):
        raise ValueError("seeds must hold at least one number.")
    if any(list(one.names) != list(tests[0].names) for one in tests):
        raise ValueError(
            "entries: all categories must hold the same test images, in the same order."
        )
    with cache():
        scores = {
            title: np.stack(
                [
                    fit_or_load(
                        make(int(one)), category, models, show_progress=show_progress
                    ).score(category.test.images)
                    for one in seeds
                ]
            )
            for title, (make, category) in entries.items()
        }
    return Contest(scores, tests[0].labels, tests[0].types, seed)


def selection_table(detector):
    """What the choice of nu and gamma tried on good images alone, the most stable first.

    Parameters
    ----------
    detector : FeatureSVM

    Returns
    -------
    pandas.DataFrame
        ``rejected`` is the share of held-out good images that is rejected, ``stability`` the rank
        correlation of the scores of two models of disjoint images; empty where nu and gamma were
        given.
    """
    columns = ["nu", "gamma", "rejected", "stability", "consistent"]
    table = pd.DataFrame(detector.selection, columns=columns)
    return table.sort_values(["consistent", "stability"], ascending=False, ignore_index=True)


def backbone_table(detector):
    """Which network looked, with which weights.

    Parameters
    ----------
    detector : FeatureDetector
        Fitted.

    Returns
    -------
    pandas.DataFrame
    """
    described = {
        name.replace("_", " "): ", ".join(value) if isinstance(value, (list, tuple)) else str(value)
        for name, value in detector.backbone.describe().items()
        if value is not None
    }
    return pd.DataFrame({"": described})
