"""Steps of the notebook on pretrained features: the published way, and a contest of detectors."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.svm import OneClassSVM

from adhelpers._shared.arrays import Labels, Names, Scores
from adhelpers._shared.large_arrays import concatenated
from adhelpers._shared.stages import stage
from adhelpers.data import Category
from adhelpers.detectors import (
    AnoGAN,
    BackboneSettings,
    Detector,
    FeatureSettings,
    FeatureSubspace,
    FeatureSVM,
    GanScore,
    GanSettings,
    MemoryBank,
    ResidualScore,
    Search,
    Subspace,
    SVMSelection,
    fit_or_load,
)
from adhelpers.metrics import (
    AurocComparison,
    Estimate,
    auroc_estimate,
    compare_aurocs,
    holm,
    image_auroc,
)
from adhelpers.reports import contest_figure
from adhelpers.training import Augmentation

Maker = Callable[[int], Detector]

SIGNIFICANCE = 0.05
# Of generator and discriminator, for the few steps of a quick training.
_GAN_RATE = 8e-4
_FOLLOWS = "follows brightness (rank correlation among good images)"


@dataclass(frozen=True)
class PublishedWay:
    """A one-class SVM with default settings on pooled features, one layer at a time.

    Attributes
    ----------
    aurocs : dict of str to Estimate
        Of each layer.
    brightness : dict of str to float
        For each layer the rank correlation of the score with brightness among good images, where
        no defect can explain one.
    """

    aurocs: dict[str, Estimate]
    brightness: dict[str, float]

    def table(self) -> pd.DataFrame:
        """A row for each layer: image AUROC, and how much the score follows brightness."""
        rows = {
            layer: {"image AUROC": str(auroc), _FOLLOWS: self.brightness[layer]}
            for layer, auroc in self.aurocs.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def findings(self) -> list[str]:
        """The best and the worst layer, and the one that follows brightness most."""
        values = {layer: auroc.value for layer, auroc in self.aurocs.items()}
        best, worst = (
            max(values, key=lambda one: values[one]),
            min(values, key=lambda one: values[one]),
        )
        strongest = max(self.brightness, key=lambda layer: abs(self.brightness[layer]))
        found = (
            "With default settings on pooled features of uncorrected images, the one-class SVM "
            f"ranks best on {best} (AUROC {values[best]:.2f}) and worst on {worst} "
            f"({values[worst]:.2f})."
        )
        if values[worst] < 0.5:
            found += " Below 0.5 it calls good images more anomalous than defective ones."
        return [
            found,
            f"Among good images its score follows their brightness most on {strongest}: rank "
            f"correlation {self.brightness[strongest]:+.2f}.",
        ]


def published_way(
    category: Category,
    layers: Sequence[str],
    backbone: BackboneSettings | None = None,
    *,
    seed: int = 0,
    show_progress: bool = True,
) -> PublishedWay:
    """Rank images by a one-class SVM with scikit-learn's defaults on pooled features.

    Parameters
    ----------
    category : Category
        As it is on disk; correct nothing.
    layers : sequence of str
        Of the backbone, one at a time.
    backbone : BackboneSettings, optional
        Its own layers are not used.
    seed : int
        For the bootstrap.
    show_progress : bool

    Returns
    -------
    PublishedWay
    """
    test, aurocs, follows = category.test, {}, {}
    good = concatenated([category.validation.images, test.images[test.labels == 0]])
    brightness = good.mean(axis=(1, 2, 3))
    for layer in layers:
        # scikit-learn's own defaults, none of what the detector does better.
        detector = FeatureSVM(
            OneClassSVM(),
            FeatureSettings("image", scaling="none"),
            replace(backbone or BackboneSettings(), layers=(layer,)),
            output="decision",
            seed=seed,
        )
        with stage("published way"):
            detector.fit(
                category.train.images, category.validation.images, show_progress=show_progress
            )
            scores, of_good = detector.score(test.images), detector.score(good)
        aurocs[layer] = auroc_estimate(scores, test.labels, test.types, seed=seed)
        follows[layer] = float(spearmanr(of_good, brightness).statistic)
    return PublishedWay(aurocs, follows)


def feature_makers(parameters: Mapping[str, Any], backbone: BackboneSettings) -> dict[str, Maker]:
    """Detectors on pretrained features as a notebook's parameters say.

    Parameters
    ----------
    parameters : dict
        ``nu`` and ``gamma`` (0 chooses on good images), ``pca`` (0 uses none) and ``pooling`` of
        the one-class SVM on images, ``stride`` of the patches, ``coreset`` and ``neighbours`` of
        the memory bank, and ``smoothing``. The subspace of features chooses on good images.
    backbone : BackboneSettings

    Returns
    -------
    dict of str to callable
        For each title ``detector(seed) -> Detector``, not fitted.
    """
    kept, smoothing = parameters["pca"], parameters["smoothing"]
    selection = SVMSelection(parameters["nu"] or None, parameters["gamma"] or None)
    svm = make_pipeline(PCA(kept, whiten=True), OneClassSVM()) if kept else OneClassSVM()
    images = FeatureSettings("image", parameters["pooling"])
    patches = FeatureSettings("patch", stride=parameters["stride"])
    common: dict[str, Any] = {"backbone": backbone, "smoothing": smoothing}
    bank = {name: parameters[name] for name in ("coreset", "neighbours")}
    return {
        "SVM of images": lambda seed: FeatureSVM(
            svm, images, selection=selection, seed=seed, **common
        ),
        "SVM of patches": lambda seed: FeatureSVM(
            None, patches, selection=selection, seed=seed, **common
        ),
        "subspace of features": lambda seed: FeatureSubspace(patches, seed=seed, **common),
        "memory bank": lambda seed: MemoryBank(patches, seed=seed, **bank, **common),
    }


def simple_detectors(parameters: Mapping[str, Any]) -> dict[str, Detector]:
    """The two detectors that need no training of a network, the simpler one first.

    Parameters
    ----------
    parameters : dict
        ``weights``, ``precision``, ``stride``, ``coreset`` and ``neighbours`` of the memory bank;
        ``smoothing`` and ``seed`` of both.

    Returns
    -------
    dict of str to Detector
        By title, not fitted.
    """
    smoothing, seed = parameters["smoothing"], parameters["seed"]
    return {
        "linear subspace": Subspace(scoring=ResidualScore(smoothing=smoothing), seed=seed),
        "memory bank": MemoryBank(
            FeatureSettings("patch", stride=parameters["stride"]),
            BackboneSettings(weights=parameters["weights"], precision=parameters["precision"]),
            coreset=parameters["coreset"],
            neighbours=parameters["neighbours"],
            smoothing=smoothing,
            seed=seed,
        ),
    }


def gan_maker(parameters: Mapping[str, Any], score: str) -> Maker:
    """A GAN without encoder as a notebook's parameters say.

    Parameters
    ----------
    parameters : dict
        ``gan_width``, ``gan_epochs``, ``gan_rotation``, ``gan_steps`` and ``precision``.
    score : str
        As in `adhelpers.detectors.GanScore`.

    Returns
    -------
    callable
        ``detector(seed) -> AnoGAN``, not fitted.
    """

    def make(seed: int) -> Detector:
        return AnoGAN(
            gan=GanSettings(parameters["gan_width"]),
            plan=replace(
                AnoGAN.default_plan(), epochs=parameters["gan_epochs"], learning_rate=_GAN_RATE
            ),
            augmentation=Augmentation(parameters["gan_rotation"]),
            search=Search(steps=parameters["gan_steps"]),
            scoring=GanScore(score),
            precision=parameters["precision"],
            seed=seed,
        )

    return make


@dataclass(frozen=True)
class Contest:
    """Several detectors on the same test images, each with several seeds.

    Attributes
    ----------
    scores : dict of str to ndarray of float32, shape (seeds, n)
    labels, types : ndarray, shape (n,)
    claims : sequence of (str, str)
        Pairs of detectors, the first said to be the better one.
    seed : int
        For the bootstrap.
    """

    scores: Mapping[str, Scores]
    labels: Labels
    types: Names
    claims: Sequence[tuple[str, str]] = ()
    seed: int = 0

    @cached_property
    def aurocs(self) -> dict[str, list[float]]:
        """The AUROC of each detector and seed."""
        return {
            title: [image_auroc(one, self.labels) for one in scores]
            for title, scores in self.scores.items()
        }

    @cached_property
    def ranked(self) -> list[str]:
        """The detectors by their mean AUROC, the winner first."""
        return sorted(self.scores, key=lambda title: -np.mean(self.aurocs[title]))

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """The mean AUROC over the seeds with the interval that other test images would give."""
        return {
            title: auroc_estimate(scores, self.labels, self.types, seed=self.seed)
            for title, scores in self.scores.items()
        }

    @cached_property
    def against_winner(self) -> dict[str, tuple[Estimate, float]]:
        """Of each other detector the difference to the winner and the corrected p-value."""
        tests = {title: self.compare(title, self.ranked[0]) for title in self.ranked[1:]}
        corrected = holm([one.p_value for one in tests.values()])
        return {
            title: (test.difference, float(p_value))
            for (title, test), p_value in zip(tests.items(), corrected, strict=True)
        }

    def compare(self, first: str, second: str) -> AurocComparison:
        """The paired test of two detectors, see `adhelpers.metrics.compare_aurocs`."""
        return compare_aurocs(self.scores[first], self.scores[second], self.labels)

    def table(self) -> pd.DataFrame:
        """A row for each detector, the best first: AUROC by seed, test against the winner."""
        rows = {}
        for title in self.ranked:
            row = rows[title] = {
                "image AUROC, mean over seeds": str(self.estimates[title]),
                "by seed": " ".join(f"{value:.3f}" for value in self.aurocs[title]),
                "against the winner": "",
                "p, paired and corrected": "",
            }
            if title in self.against_winner:
                difference, p_value = self.against_winner[title]
                row["against the winner"] = f"{difference.value:+.3f}"
                row["p, paired and corrected"] = f"{p_value:.3g}"
        return pd.DataFrame.from_dict(rows, orient="index")

    def findings(self) -> list[str]:
        """Who won, and what these images say of the claims."""
        winner = self.ranked[0]
        beaten = [
            title for title, (_, p_value) in self.against_winner.items() if p_value <= SIGNIFICANCE
        ]
        said = (
            f"shown to be worse (p at most 0.05, corrected): {', '.join(beaten)}"
            if beaten
            else "none of the others is shown to be worse"
        )
        first = f"Highest AUROC: {winner}, {self.estimates[winner]}; {said}."
        return [first, *(self._judged(*claim) for claim in self.claims)]

    def _judged(self, first: str, second: str) -> str:
        """What these images say of the claim that the first detector is better than the second."""
        difference, p_value = self.compare(first, second)
        verdict = "confirm it" if difference.value > 0 else "refute it"
        if p_value > SIGNIFICANCE:
            verdict = "neither show nor refute it"
        means = [np.mean(self.aurocs[title]) for title in (first, second)]
        return (
            f"Claim: {first} better than {second}. These images {verdict}: AUROC {means[0]:.3f} "
            f"against {means[1]:.3f}, difference {difference:+.3f}, p = {p_value:.2g}."
        )

    def figure(self, title: str = "Which ranks defective above good best?") -> Figure:
        """Every AUROC with its interval and its seeds, the best on top."""
        estimates = {name: self.estimates[name] for name in self.ranked}
        aurocs = {name: self.aurocs[name] for name in self.ranked}
        return contest_figure(estimates, aurocs, title)


def run_contest(
    entries: Mapping[str, tuple[Maker, Category]],
    models: str | Path,
    seeds: Sequence[int],
    *,
    claims: Sequence[tuple[str, str]] = (),
    seed: int = 0,
    cache: Callable[[], AbstractContextManager] = nullcontext,
    show_progress: bool = True,
) -> Contest:
    """Fit or find every detector for every seed and score the same test images.

    Parameters
    ----------
    entries : dict of str to (callable, Category)
        For each title ``detector(seed) -> Detector``, not fitted, and the category it looks at: the
        same files, perhaps at another size.
    models : str or Path
        As in `adhelpers.detectors.fit_or_load`.
    seeds : sequence of int
    claims : sequence of (str, str)
        Pairs of titles, the first said to be the better one.
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
        raise ValueError("seeds must hold at least one number")
    if any(list(one.names) != list(tests[0].names) for one in tests):
        raise ValueError(
            "entries: all categories must hold the same test images, in the same order"
        )

    def scores(make: Maker, category: Category) -> Scores:
        fitted = (
            fit_or_load(make(int(one)), category, models, show_progress=show_progress)
            for one in seeds
        )
        return np.stack([detector.score(category.test.images) for detector in fitted])

    with cache(), stage("contest"):
        found = {title: scores(make, category) for title, (make, category) in entries.items()}
    return Contest(found, tests[0].labels, tests[0].types, claims, seed)


def selection_table(detector: FeatureSVM) -> pd.DataFrame:
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
    table = pd.DataFrame(detector.trials, columns=columns)
    return table.sort_values(["consistent", "stability"], ascending=False, ignore_index=True)


def backbone_table(detector: FeatureSVM) -> pd.DataFrame:
    """The pretrained network that a fitted detector uses, with its weights."""
    described = {
        name.replace("_", " "): ", ".join(value)
        if isinstance(value, (list, tuple))
        # So much of a hash tells weights apart.
        else str(value)[: 16 if name.endswith("sha256") else None]
        for name, value in detector.network.describe().items()
        if value is not None
    }
    return pd.DataFrame({"": described})
