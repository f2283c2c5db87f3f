"""The steps of the notebook on AnoGAN that no other detector has: its samples, its search, its four scores."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from adhelpers.metrics import (
    accuracy,
    detection_report,
    gmean_threshold,
    image_auroc,
    midpoint_threshold,
    normal_quantile,
)
from adhelpers.reports import reconstruction_grid, sample_film, search_walk

from .assess import estimate_text

# As they are called in tables; "maximum of the map" is how the suite's other detectors score.
TITLES = {
    "anogan": "A(x)",
    "residual": "residual alone",
    "feature": "features alone",
    "discriminator": "discriminator alone",
    "smooth_max": "maximum of the map",
}


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

    scores: dict
    validation_scores: dict
    reports: dict
    everything: float

    def table(self):
        """A row for each score: AUROC with its interval, and the accuracy for each rule of the threshold.

        Returns
        -------
        pandas.DataFrame
        """
        rows = {
            TITLES[name]: {
                "image AUROC": estimate_text(reports["normal_quantile"].auroc),
                "accuracy, quantile of good validation scores": estimate_text(
                    reports["normal_quantile"].accuracy
                ),
                "accuracy, midpoint (used test labels)": estimate_text(
                    reports["midpoint"].accuracy
                ),
                "accuracy, G-mean (used test labels)": estimate_text(reports["gmean"].accuracy),
            }
            for name, reports in self.reports.items()
        }
        share = f"{self.everything:.3f}"
        rows["flag everything"] = dict(
            zip(next(iter(rows.values())), ("–", share, share, share), strict=True)
        )
        return pd.DataFrame.from_dict(rows, orient="index")

    def sentences(self):
        """What the comparison means, in sentences that are true for the data it ran on.

        Returns
        -------
        list of str
        """
        ranked = sorted(
            self.reports, key=lambda name: -self.reports[name]["normal_quantile"].auroc.value
        )
        described = [
            f"{TITLES[name]} ({estimate_text(self.reports[name]['normal_quantile'].auroc)})"
            for name in ranked
        ]
        found = [
            f"Of the scores of the same search, {described[0]} ranks best and {described[-1]} worst."
        ]
        alone = self.reports["discriminator"]["normal_quantile"].auroc
        said = (
            "tells defective from good images better than chance"
            if alone.low > 0.5
            else "takes good images for fakes more often than defective ones"
            if alone.high < 0.5
            else "is not shown to be better than chance"
        )
        found.append(
            f"The discriminator alone, which needs no search, {said}: AUROC {estimate_text(alone)}."
        )
        tuned = max(self.reports["anogan"][rule].accuracy.value for rule in ("gmean", "midpoint"))
        relation = "more" if tuned > self.everything else "no more"
        found.append(
            f"With a threshold chosen on the test labels, as published, A(x) has an accuracy of {tuned:.3f}, with one from good "
            f"validation images {self.reports['anogan']['normal_quantile'].accuracy.value:.3f}. Flagging every image would have "
            f"{self.everything:.3f}: the tuned one is {relation} than that."
        )
        return found


def compare_scores(category, detector, *, quantile=0.95, seed=0, show_progress=True):
    """Judge every score of a fitted AnoGAN with every rule of the threshold, all from one search.

    Parameters
    ----------
    category : Category
    detector : AnoGAN
    quantile : float
        As in `adhelpers.metrics.normal_quantile`.
    seed : int
        For the bootstrap.
    show_progress : bool

    Returns
    -------
    ScoreComparison
    """
    test = category.test
    validation_scores = detector.all_scores(category.validation.images, show_progress)
    scores = detector.all_scores(test.images, show_progress)
    reports = {}
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
    return ScoreComparison(
        scores, validation_scores, reports, accuracy(np.ones(len(test), bool), test.labels)
    )


def film(category, detector, title="Samples of the same noise over the training"):
    """What the generator made of the same noise over its training, and good images to compare with.

    Parameters
    ----------
    category : Category
    detector : AnoGAN
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    return sample_film(detector.film, detector.film_epochs, category.train.images, title)


def walks(category, detector, indices, moments):
    """How the search walks from its start to the best picture, for some test images.

    Parameters
    ----------
    category : Category
    detector : AnoGAN
    indices : sequence of int
        Which test images.
    moments : sequence of int
        Numbers of steps, rising.

    Returns
    -------
    matplotlib.figure.Figure
    """
    test = category.test
    found = [detector.walk(test.images[index], moments) for index in indices]
    return search_walk(
        test.images[indices],
        np.array([pictures for pictures, _ in found]),
        moments,
        np.array([losses for _, losses in found]),
        test.types[indices],
        "How the search walks; A(x) falls on the way",
    )


def good_and_defective(category, assessment):
    """Indices of the good test image with the median score and of the defective one with the highest.

    Parameters
    ----------
    category : Category
    assessment : Assessment

    Returns
    -------
    list of int
    """
    labels, scores = category.test.labels, assessment.scores
    good = np.flatnonzero(labels == 0)
    defective = np.flatnonzero(labels == 1)
    return [
        int(good[np.argsort(scores[good], kind="stable")[len(good) // 2]]),
        int(defective[np.argmax(scores[defective])]),
    ]


def nearest_normal(category, assessment, indices):
    """Test images beside the nearest image that the generator can make, and the smoothed difference, with the score.

    Parameters
    ----------
    category : Category
    assessment : Assessment
    indices : sequence of int

    Returns
    -------
    matplotlib.figure.Figure
    """
    test = category.test
    return reconstruction_grid(
        test.images[indices],
        assessment.counterparts[indices],
        assessment.anomaly_maps[indices],
        test.types[indices],
        assessment.scores[indices],
        None if test.masks is None else test.masks[indices],
        title=f"{assessment.title}: image, nearest normal image, difference",
        names=("image", "nearest normal image", "difference"),
    )


def sampling_sentences(detector):
    """Whether the generator's samples vary as the good images do, in a sentence that is true for this detector.

    Parameters
    ----------
    detector : AnoGAN

    Returns
    -------
    list of str
    """
    if detector.collapse is not None:
        return [detector.collapse]
    measured = detector.diversity
    return [
        f"The generator has not collapsed: its samples differ from each other by {100 * measured['samples'] / measured['data']:.0f} % of "
        f"what good images do, and from the most similar one by {100 * measured['samples_nearest'] / measured['data_nearest']:.0f} %."
    ]


def start_sentences(category, searched, one_pass):
    """What the search from a random start gains over the encoder's one pass, in sentences that are true for the data.

    Parameters
    ----------
    category : Category
    searched, one_pass : Assessment

    Returns
    -------
    list of str
    """
    labels = category.test.labels
    first, second = (
        float(np.abs(category.test.images[labels == 0] - one.counterparts[labels == 0]).mean())
        for one in (searched, one_pass)
    )
    aurocs = [image_auroc(one.scores, labels) for one in (searched, one_pass)]
    return [
        f"On good test images the searched counterpart is off by {first:.3f} grey values of 1 on average, that of the encoder's one pass "
        f"by {second:.3f}. The image AUROC is {aurocs[0]:.3f} with the search and {aurocs[1]:.3f} without."
    ]
