"""The steps of the notebook on pretrained features that no other has: the published way, and a contest of detectors."""
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from .detectors import FeatureSVM, fit_or_load
from .metrics import bootstrap, compare_aurocs, holm, image_auroc
from .reports import contest_figure
from .study import estimate_text

SIGNIFICANCE = 0.05


def published_way(category, layers, *, weights="hed", backbone="vgg16", seed=0, show_progress=True):
    """A one-class SVM with scikit-learn's defaults on pooled features, one layer at a time: how well it ranks, and what it follows.

    Parameters
    ----------
    category : Category
        As it is on disk; correct nothing.
    layers : sequence of str
        Of the backbone.
    weights, backbone : str
        As in `adhelpers.detectors.Backbone`.
    seed : int
        For the bootstrap.
    show_progress : bool

    Returns
    -------
    pandas.DataFrame
        A row for each layer: image AUROC, and the rank correlation of the score with brightness among good images, where no
        defect can explain one.
    """
    test, rows = category.test, {}
    good = np.concatenate([category.validation.images, test.images[test.labels == 0]])
    brightness = good.mean(axis=(1, 2, 3))
    for layer in layers:
        detector = FeatureSVM(backbone=backbone, weights=weights, layers=[layer], scaling="none", nu=0.5, gamma="scale", seed=seed)
        detector.fit(category.train.images, category.validation.images, show_progress=show_progress)
        auroc = bootstrap(image_auroc, detector.score(test.images), test.labels, stratify=test.types, seed=seed)
        rows[layer] = {"image AUROC": estimate_text(auroc), "auroc": auroc.value,
                       "follows brightness (rank correlation among good images)": float(spearmanr(detector.score(good), brightness).statistic)}
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
    found = [f"With default settings on pooled features of images as they are, the one-class SVM ranks best on {best} (AUROC "
             f"{table.loc[best, 'auroc']:.2f}) and worst on {worst} ({table.loc[worst, 'auroc']:.2f})."]
    if table.loc[worst, "auroc"] < 0.5:
        found[0] += " Below 0.5 it calls good images more anomalous than defective ones."
    found.append(f"Among good images its score follows their brightness most on {strongest}: rank correlation {follows[strongest]:+.2f}.")
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

    def aurocs(self):
        """The AUROC of each detector and seed: dict of str to list of float."""
        return {title: [image_auroc(one, self.labels) for one in scores] for title, scores in self.scores.items()}

    def estimates(self):
        """The mean AUROC over the seeds with the interval that other test images would give: dict of str to Estimate."""
        return {title: bootstrap(lambda *arrays: np.mean([image_auroc(one, arrays[-1]) for one in arrays[:-1]]), *scores, self.labels,
                                 stratify=self.types, seed=self.seed) for title, scores in self.scores.items()}

    def winner(self):
        """The detector with the highest mean AUROC."""
        return max(self.scores, key=lambda title: np.mean(self.aurocs()[title]))

    def table(self):
        """A row for each detector, the best first: AUROC, its spread over the seeds, and the paired test against the winner.

        Returns
        -------
        pandas.DataFrame
        """
        aurocs, estimates, winner = self.aurocs(), self.estimates(), self.winner()
        ranked = sorted(self.scores, key=lambda title: (title != winner, -np.mean(aurocs[title])))
        tests = {title: compare_aurocs(self.scores[title], self.scores[winner], self.labels) for title in ranked[1:]}
        corrected = dict(zip(tests, holm([one.p_value for one in tests.values()]), strict=True))
        return pd.DataFrame.from_dict({title: {
            "image AUROC, mean over seeds": estimate_text(estimates[title]),
            "by seed": " ".join(f"{value:.3f}" for value in aurocs[title]),
            "against the winner": "" if title == winner else f"{tests[title].difference.value:+.3f}",
            "p, paired and corrected": "" if title == winner else f"{corrected[title]:.3g}"} for title in ranked}, orient="index")

    def sentence(self, first, second):
        """Which of two detectors ranks better on these images, in a sentence that is true for the data.

        Parameters
        ----------
        first, second : str

        Returns
        -------
        str
        """
        test = compare_aurocs(self.scores[first], self.scores[second], self.labels)
        means = {title: np.mean(self.aurocs()[title]) for title in (first, second)}
        said = (f"does not differ from that of {second} by more than these images leave to chance" if test.p_value > SIGNIFICANCE else
                f"is {'better' if test.difference.value > 0 else 'worse'} than that of {second}")
        return (f"The AUROC of {first} ({means[first]:.3f}) {said} ({means[second]:.3f}; difference {test.difference.value:+.3f} "
                f"[{test.difference.low:+.3f}, {test.difference.high:+.3f}], p = {test.p_value:.2g}).")

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
        table, winner = self.table(), self.winner()
        beaten = [title for title in table.index[1:] if float(table.loc[title, "p, paired and corrected"]) <= SIGNIFICANCE]
        said = "none of the others is shown to be worse" if not beaten else f"shown to be worse (p at most 0.05, corrected): {', '.join(beaten)}"
        found = [f"{winner} has the highest AUROC, {table.iloc[0, 0]}; {said}."]
        for first, second in claims:
            test = compare_aurocs(self.scores[first], self.scores[second], self.labels)
            verdict = ("holds on these images" if test.p_value <= SIGNIFICANCE and test.difference.value > 0 else
                       "is refuted on these images" if test.p_value <= SIGNIFICANCE else "is neither shown nor refuted by these images")
            found.append(f"The claim that {first} is better than {second} {verdict}. {self.sentence(first, second)}")
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
        aurocs, estimates = self.aurocs(), self.estimates()
        ranked = list(self.table().index)
        return contest_figure({name: estimates[name] for name in ranked}, {name: aurocs[name] for name in ranked}, title)


def run_contest(entries, models, seeds, *, seed=0, cache=nullcontext, show_progress=True):
    """Fit or find every detector for every seed and score the same test images.

    Parameters
    ----------
    entries : dict of str to (callable, Category)
        For each title ``detector(seed) -> Detector``, not fitted, and the category it looks at: the same files, perhaps at another size.
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
        raise ValueError("entries: all categories must hold the same test images, in the same order.")
    with cache():
        scores = {title: np.stack([fit_or_load(make(int(one)), category, models, show_progress=show_progress).score(category.test.images)
                                   for one in seeds]) for title, (make, category) in entries.items()}
    return Contest(scores, tests[0].labels, tests[0].types, seed)


def selection_table(detector):
    """What the choice of nu and gamma tried on good images alone, the most stable first.

    Parameters
    ----------
    detector : FeatureSVM

    Returns
    -------
    pandas.DataFrame
        ``rejected`` is the share of held-out good images that is rejected, ``stability`` the rank correlation of the scores of two models of
        disjoint images; empty where nu and gamma were given.
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
    described = {name.replace("_", " "): ", ".join(value) if isinstance(value, (list, tuple)) else str(value)
                 for name, value in detector.backbone.describe().items() if value is not None}
    return pd.DataFrame({"": described})
