"""The steps of the notebook on AnoGAN that no other detector has: samples, search, four scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Images, Scores
from adhelpers._shared.stages import stage
from adhelpers.data import Category
from adhelpers.detectors import AnoGAN, EncoderPlan, GanScore, GanSettings, Search
from adhelpers.metrics import (
    DetectionReport,
    accuracy,
    detection_report,
    gmean_threshold,
    midpoint_threshold,
    normal_quantile,
)
from adhelpers.reports import sample_film, search_walk
from adhelpers.training import Augmentation, TrainingPlan

from .assess import ImageAssessment
from .training_figures import loss_figure

# As they are called in tables; "maximum of the map" is how the suite's other detectors score.
TITLES = {
    "anogan": "A(x)",
    "residual": "residual alone",
    "feature": "features alone",
    "discriminator": "discriminator alone",
    "smooth_max": "maximum of the map",
}


_GAN = (
    *("width", "latent_dim", "discriminator_rate", "normalization", "gradient_penalty", "average"),
    "reconstruction",
)
_AUGMENTATION = ("rotation", "shift", "brightness", "flip")


def make_anogan(parameters: Mapping[str, Any]) -> AnoGAN:
    """An AnoGAN as the notebook's parameters say, not fitted.

    Parameters
    ----------
    parameters : dict
        Those of the GAN (see `GanSettings`) and of the augmentation under their own names;
        ``epochs`` and ``learning_rate``, ``encoder_epochs``; ``search_start``, ``search_steps``,
        ``search_rate``, ``search_schedule`` and ``restarts``; ``score``, ``smoothing`` and
        ``anomaly_map``; ``precision`` and ``seed``.

    Returns
    -------
    AnoGAN
    """
    return AnoGAN(
        gan=GanSettings(**{name: parameters[name] for name in _GAN}),
        plan=TrainingPlan(parameters["epochs"], learning_rate=parameters["learning_rate"]),
        encoder=EncoderPlan(parameters["encoder_epochs"]),
        augmentation=Augmentation(*(parameters[name] for name in _AUGMENTATION)),
        search=Search(
            parameters["search_start"],
            parameters["search_steps"],
            parameters["restarts"],
            parameters["search_rate"],
            parameters["search_schedule"],
        ),
        scoring=GanScore(parameters["score"], parameters["smoothing"], parameters["anomaly_map"]),
        precision=parameters["precision"],
        seed=parameters["seed"],
    )


@dataclass(frozen=True)
class GeneratedSamples:
    """What the generator made of the same noise over its training.

    Attributes
    ----------
    detector : AnoGAN
        Fitted.
    good : ndarray of float32, shape (n, h, w, c)
        Good images to compare with.
    """

    detector: AnoGAN
    good: Images

    def findings(self) -> list[str]:
        """Whether the generator's samples vary as the good images do."""
        if self.detector.collapse is not None:
            return [self.detector.collapse]
        measured = self.detector.diversity
        apart = measured["samples"] / measured["data"]
        nearest = measured["samples_nearest"] / measured["data_nearest"]
        return [
            "The generator has not collapsed: the mean difference between its samples is "
            f"{100 * apart:.0f} % of that between good images, and the difference from the most "
            f"similar one {100 * nearest:.0f} %."
        ]

    def figure(self) -> Figure:
        """A row of samples for each epoch that was kept, good images below."""
        if self.detector.film is None:
            raise ValueError("detector: there are no samples before it is fitted")
        return sample_film(self.detector.film, self.detector.film_epochs, self.good)


def anogan_figures(detector: AnoGAN) -> dict[str, Figure]:
    """The losses of generator and discriminator, and those of the encoder, by name."""
    # "loss" is the sum of those of generator and discriminator.
    history = detector.history.drop(columns="loss")
    figures = {"training": loss_figure(history, "Generator and discriminator")}
    if len(detector.encoder_history):
        title = "Encoder, on the finished generator"
        figures["training-encoder"] = loss_figure(detector.encoder_history, title, "val_loss")
    return figures


def representatives(assessment: ImageAssessment) -> list[int]:
    """The good test image with the median score and the defective one with the highest."""
    labels, scores = assessment.category.test.labels, assessment.scores
    good, defective = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    median = good[np.argsort(scores[good], kind="stable")[len(good) // 2]]
    return [int(median), int(defective[np.argmax(scores[defective])])]


def search_figure(assessment: ImageAssessment, indices: Sequence[int] | None = None) -> Figure:
    """How the search changes its picture, for some test images.

    Parameters
    ----------
    assessment : ImageAssessment
        Of an AnoGAN that searches.
    indices : sequence of int, optional
        Which test images; by default those of `representatives`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        For another detector.
    """
    detector, test = assessment.detector, assessment.category.test
    if not isinstance(detector, AnoGAN):
        raise TypeError(f"the {assessment.title} has no search; this picture is for AnoGAN")
    steps = detector.search.steps
    moments = [0, steps // 30, steps // 6, steps // 2, steps]
    chosen = representatives(assessment) if indices is None else list(indices)
    found = [detector.walk(test.images[index], moments) for index in chosen]
    return search_walk(
        test.images[chosen],
        np.array([pictures for pictures, _ in found]),
        moments,
        np.array([losses for _, losses in found]),
        test.types[chosen],
        "The search: A(x) falls from step to step",
    )


@dataclass(frozen=True)
class ScoreComparison:
    """Every score of one search on the same images.

    Attributes
    ----------
    scores, validation_scores : dict of str to ndarray of float32, shape (n,)
        By the names that the detector's parameter ``score`` takes.
    reports : dict of str to dict of str to DetectionReport
        By score and by rule of the threshold: ``normal_quantile``, ``gmean``, ``midpoint``.
    everything : float
        The accuracy of flagging every test image.
    """

    scores: dict[str, Scores]
    validation_scores: dict[str, Scores]
    reports: dict[str, dict[str, DetectionReport]]
    everything: float

    def table(self) -> pd.DataFrame:
        """AUROC and the accuracy for each rule of the threshold: a row for each score."""
        columns = {
            "accuracy, quantile of good validation scores": "normal_quantile",
            "accuracy, midpoint (used test labels)": "midpoint",
            "accuracy, G-mean (used test labels)": "gmean",
        }
        rows = {
            TITLES[name]: {"image AUROC": str(reports["normal_quantile"].auroc)}
            | {title: str(reports[rule].accuracy) for title, rule in columns.items()}
            for name, reports in self.reports.items()
        }
        rows["flag everything"] = {"image AUROC": "–"} | dict.fromkeys(
            columns, f"{self.everything:.3f}"
        )
        return pd.DataFrame.from_dict(rows, orient="index")

    def findings(self) -> list[str]:
        """Which score ranks best, what the discriminator knows, and what the threshold does."""
        aurocs = {name: reports["normal_quantile"].auroc for name, reports in self.reports.items()}
        ranked = sorted(aurocs, key=lambda name: -aurocs[name].value)
        best, worst = (f"{TITLES[name]} ({aurocs[name]})" for name in (ranked[0], ranked[-1]))
        alone, said = aurocs["discriminator"], "is not shown to be better than chance"
        if alone.low > 0.5:
            said = "separates defective from good images better than chance"
        elif alone.high < 0.5:
            said = "takes good images for fakes more often than defective ones"
        accuracies = {rule: one.accuracy.value for rule, one in self.reports["anogan"].items()}
        tuned = max(accuracies["gmean"], accuracies["midpoint"])
        relation = "more" if tuned > self.everything else "no more"
        return [
            f"Of the scores of the same search, {best} ranks best and {worst} worst.",
            f"The discriminator alone, which needs no search, {said}: AUROC {alone}.",
            "With a threshold chosen on the test labels, as published, A(x) has an accuracy of "
            f"{tuned:.3f}, with one from good validation images "
            f"{accuracies['normal_quantile']:.3f}. Flagging every image would give "
            f"{self.everything:.3f}: the tuned accuracy is {relation} than that.",
        ]


def compare_scores(
    detector: AnoGAN,
    category: Category,
    *,
    quantile: float = 0.95,
    seed: int = 0,
    show_progress: bool = True,
) -> ScoreComparison:
    """Judge every score of a fitted AnoGAN with every rule of the threshold, all from one search.

    Parameters
    ----------
    detector : AnoGAN
    category : Category
    quantile : float
        As in `adhelpers.metrics.normal_quantile`.
    seed : int
        For the bootstrap.
    show_progress : bool

    Returns
    -------
    ScoreComparison
    """
    test, reports = category.test, {}
    with stage("AnoGAN: all scores"):
        validation_scores = detector.all_scores(category.validation.images, show_progress)
        scores = detector.all_scores(test.images, show_progress)
        for name, values in scores.items():
            thresholds = {
                "normal_quantile": normal_quantile(validation_scores[name], quantile),
                "gmean": gmean_threshold(values, test.labels),
                "midpoint": midpoint_threshold(values, test.labels),
            }
            reports[name] = {
                rule: detection_report(values, test.labels, test.types, threshold, seed=seed)
                for rule, threshold in thresholds.items()
            }
    everything = accuracy(np.ones(len(test), bool), test.labels)
    return ScoreComparison(scores, validation_scores, reports, everything)


def without_search(detector: AnoGAN) -> AnoGAN:
    """The same trained AnoGAN with the encoder's one pass instead of a search.

    Explainers need hundreds of scores of each image, and a search for each would take minutes.

    Parameters
    ----------
    detector : AnoGAN
        Stored; with an encoder.

    Returns
    -------
    AnoGAN
    """
    if detector.folder is None:
        raise ValueError("detector must be stored, as fit_or_load does it")
    return AnoGAN.load(
        detector.folder, search=Search(start="encoder", steps=0), scoring=detector.scoring
    )


@dataclass(frozen=True)
class SearchGain:
    """The search, and the encoder's one pass.

    Attributes
    ----------
    searched, one_pass : ImageAssessment
    """

    searched: ImageAssessment
    one_pass: ImageAssessment

    def table(self) -> pd.DataFrame:
        """Mean error of the counterparts of good test images, and AUROC: a row for each way."""
        rows = {
            one.title: {
                "mean difference from good test images": _good_error(one),
                "image AUROC": str(one.detection.auroc),
            }
            for one in (self.searched, self.one_pass)
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def findings(self) -> list[str]:
        """What the search gains over the encoder's one pass."""
        return [
            "On good test images the counterpart found by the search differs from the image by "
            f"{_good_error(self.searched):.3f} on average (grey values from 0 to 1), that of the "
            f"encoder's one pass by {_good_error(self.one_pass):.3f}. The image AUROC is "
            f"{self.searched.detection.auroc} with the search and {self.one_pass.detection.auroc} "
            "without."
        ]


def _good_error(assessment: ImageAssessment) -> float:
    """Mean absolute difference of good test images and their counterparts."""
    test = assessment.category.test
    good = test.labels == 0
    return float(np.abs(test.images[good] - assessment.counterparts[good]).mean())
