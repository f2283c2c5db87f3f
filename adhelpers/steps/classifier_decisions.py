"""Decisions of a classifier about a task: where it looked, and why it decided so."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from adhelpers._shared.arrays import Flags, Floats, Integers, Maps, Names
from adhelpers._shared.stages import stage
from adhelpers.audit import REASONS, decision_reasons
from adhelpers.data import ClassImages
from adhelpers.detectors import Classifier, fit_or_load
from adhelpers.explainers import class_maps
from adhelpers.metrics import Estimate, bootstrap, bounded_mean, share_estimate

from .classifier_data import Task, TrainingData

_, _OTHER_REASON, _RIGHT = REASONS
_NONE = -1


@dataclass(frozen=True)
class Decisions:
    """What a classifier decided about the images of one part, where it looked, and why.

    Attributes
    ----------
    images : ClassImages
    probabilities : ndarray of float32, shape (n, classes)
    maps : ndarray of float32, shape (n, h, w)
        Not negative, not normalised.
    reasons : ndarray of str, shape (n,)
        See `adhelpers.audit.decision_reasons`. They come from repairs and so from masks.
    """

    images: ClassImages
    probabilities: Floats
    maps: Maps
    reasons: Names

    @property
    def predicted(self) -> Integers:
        """Index of the class: ndarray of int64, shape (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def wrong(self) -> Flags:
        """Whether the class is wrong: ndarray of bool, shape (n,)."""
        return self.predicted != self.images.labels

    @property
    def anomalous(self) -> Flags:
        """Whether the class is wrong, or right for another reason: ndarray of bool, shape (n,)."""
        return self.reasons != _RIGHT

    @property
    def has_reasons(self) -> bool:
        """Whether something in the images can be repaired, so that reasons are known."""
        images = self.images
        return images.without_defects is not None or images.without_tags is not None

    @property
    def counts(self) -> dict[str, int]:
        """How many decisions have each reason."""
        return {name: int((self.reasons == name).sum()) for name in REASONS}

    def accuracy(self, chosen: Flags | None = None) -> Estimate:
        """Share of the chosen images, by default of all, whose class is right."""
        right = ~self.wrong if chosen is None else ~self.wrong[chosen]
        return share_estimate(int(right.sum()), len(right))

    def row(self) -> dict[str, str | int]:
        """Accuracy over all images, by class, with a tag and without, and the counts of reasons."""
        parts: dict[str, Flags | None] = {"accuracy": None}
        for label, name in enumerate(self.images.class_names):
            parts[f"accuracy, {name}"] = self.images.labels == label
        if self.images.tags is not None:
            tagged: Flags = np.asarray(self.images.tags.any(axis=(1, 2)))
            parts |= {"accuracy with a tag": tagged, "accuracy without": ~tagged}
        return {name: str(self.accuracy(part)) for name, part in parts.items()} | self.counts

    def mean_accuracy(self, seed: int = 0) -> Estimate:
        """The accuracy averaged over the classes that are there.

        Classes of equal size make it the share of all images, with that interval.
        """
        labels = self.images.labels
        present, sizes = np.unique(labels, return_counts=True)
        if len(set(sizes.tolist())) == 1:
            return self.accuracy()
        mean = bootstrap(
            lambda right, kinds: np.mean([right[kinds == kind].mean() for kind in present]),
            ~self.wrong,
            labels,
            stratify=labels,
            seed=seed,
        )
        if np.isnan(mean.low):
            # Each class has the same weight, so the smallest says how sure the mean is.
            mean = bounded_mean(mean.value, float(len(present) * sizes.min()))
        return mean

    def findings(self, seed: int = 0) -> list[str]:
        """Whether the classifier has learned its task, and what its right decisions rest on."""
        mean, chance = self.mean_accuracy(seed), 1 / len(self.images.class_names)
        found = [
            f"The accuracy, averaged over the {len(np.unique(self.images.labels))} classes, is "
            f"{mean}; chance gives {chance:.3f}."
        ]
        if mean.low <= chance:
            found[0] += (
                " The classifier has not been shown to have learned the task, so what follows says "
                "little about explanations of one that has."
            )
        if self.has_reasons:
            found.append(
                f"Of {int((~self.wrong).sum())} decisions for the right class "
                f"{self.counts[_OTHER_REASON]} rest on something else than the fault."
            )
        return found


def train_classifier(
    classifier: Classifier, task: Task, models: str | Path, *, show_progress: bool = True
) -> Classifier:
    """Train a classifier, or find the one that was trained on the same images before.

    Parameters
    ----------
    classifier : Classifier
        Not fitted yet.
    task : Task
    models : str or Path
        Folder for stored models.
    show_progress : bool

    Returns
    -------
    Classifier
    """
    data = TrainingData(task.name, task.train.fingerprint, task.train)
    return fit_or_load(classifier, data, models, show_progress=show_progress)


def decide(
    classifier: Classifier, images: ClassImages, *, method: str = "gradcam", layer: str = ""
) -> Decisions:
    """Classify images, map where the classifier looked, and find out by repairs why it decided so.

    Parameters
    ----------
    classifier : Classifier
    images : ClassImages
    method, layer : str
        As in `adhelpers.explainers.class_maps`; an empty layer is the last convolution.

    Returns
    -------
    Decisions
    """
    probabilities = classifier.probabilities(images.images)
    after = {}
    for masks, counterparts, name in (
        (images.defects, images.without_defects, "without_defects"),
        (images.tags, images.without_tags, "without_tags"),
    ):
        if masks is not None and counterparts is not None:
            after[name] = np.where(masks.any(axis=(1, 2)), classifier.predict(counterparts), _NONE)
    maps = class_maps(
        classifier.network, images.images, method=method, layer=layer or None, normalize=False
    )
    reasons = decision_reasons(images.labels, probabilities.argmax(axis=1), **after)
    return Decisions(images, probabilities, maps, reasons)


@dataclass(frozen=True)
class TaskDecisions:
    """The decisions of a classifier about all parts of a task.

    Attributes
    ----------
    task : Task
    train, review, test : Decisions
    """

    task: Task
    train: Decisions
    review: Decisions
    test: Decisions

    def table(self) -> pd.DataFrame:
        """Accuracy and reasons of the decisions: a column for each part."""
        rows = {"train": self.train.row(), "review": self.review.row(), "test": self.test.row()}
        return pd.DataFrame.from_dict(rows, orient="index").T

    def findings(self, seed: int = 0) -> list[str]:
        """What the decisions on the test images mean, see `Decisions.findings`."""
        return self.test.findings(seed)


def decide_task(
    classifier: Classifier, task: Task, *, method: str = "gradcam", layer: str = ""
) -> TaskDecisions:
    """Decisions about all parts of a task.

    Parameters
    ----------
    classifier : Classifier
        Fitted on ``task.train``.
    task : Task
    method, layer : str
        As in `decide`.

    Returns
    -------
    TaskDecisions
    """
    with stage("decisions and maps"):
        parts = [
            decide(classifier, part, method=method, layer=layer) for part in task.parts.values()
        ]
    return TaskDecisions(task, *parts)
