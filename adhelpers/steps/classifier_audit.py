"""The steps of the notebook on explanations: a classifier's decisions, their maps, and the two audits of them."""

import hashlib
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd

from adhelpers.audit import (
    REASONS,
    Agreement,
    ReviewCurve,
    audit_agreement,
    decision_reasons,
    review_curve,
    unfaithfulness,
)
from adhelpers.data import ClassImages
from adhelpers.detectors import fit_or_load
from adhelpers.explainers import class_maps
from adhelpers.metrics import (
    Threshold,
    bootstrap,
    confusion,
    f1_score,
    image_auroc,
    normal_quantile,
)
from adhelpers.reports import explanation_grid

from .assess import estimate_text
from .classifier_data import SPLITS

DISTANCE = "distance of the explanation (Deep SAD)"
UNCERTAIN, UNFAITHFUL = "softmax uncertainty", "unfaithfulness (deletion)"
_NONE = -1


@dataclass(frozen=True)
class Decisions:
    """What a classifier decided about images, where it looked, and why.

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
    probabilities: np.ndarray
    maps: np.ndarray
    reasons: np.ndarray

    @property
    def predicted(self):
        """Index of the class: int64 (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def wrong(self):
        """Whether the class is wrong: bool (n,)."""
        return self.predicted != self.images.labels

    @property
    def anomalous(self):
        """Whether the class is wrong, or right for another reason: bool (n,)."""
        return self.reasons != REASONS[2]


def decide(classifier, images, *, method="gradcam", layer=None):
    """Classify images, map what the classifier looked at, and find out by repairs why it decided so.

    Parameters
    ----------
    classifier : Classifier
    images : ClassImages
    method, layer
        As in `adhelpers.explainers.class_maps`.

    Returns
    -------
    Decisions
    """
    probabilities = classifier.probabilities(images.images)
    predicted, after = probabilities.argmax(axis=1), {}
    for masks, counterparts, name in (
        (images.defects, images.without_defects, "without_defects"),
        (images.tags, images.without_tags, "without_tags"),
    ):
        if masks is not None and counterparts is not None:
            after[name] = np.where(masks.any(axis=(1, 2)), classifier.predict(counterparts), _NONE)
    maps = class_maps(
        classifier.network, images.images, method=method, layer=layer, normalize=False
    )
    return Decisions(
        images, probabilities, maps, decision_reasons(images.labels, predicted, **after)
    )


def accuracy_table(decisions):
    """Accuracy by class, and how often the class is right for another reason.

    Parameters
    ----------
    decisions : dict of str to Decisions
        By the name of the split.

    Returns
    -------
    pandas.DataFrame
    """
    rows = {}
    for split, one in decisions.items():
        row = {"accuracy": (~one.wrong).mean()}
        row |= {
            f"accuracy, {name}": (~one.wrong[one.images.labels == label]).mean()
            for label, name in enumerate(one.images.class_names)
        }
        if one.images.tags is not None:
            tagged = one.images.tags.any(axis=(1, 2))
            row |= {
                "accuracy with a tag": (~one.wrong[tagged]).mean() if tagged.any() else np.nan,
                "accuracy without": (~one.wrong[~tagged]).mean(),
            }
        rows[split] = row | {name: int((one.reasons == name).sum()) for name in REASONS}
    return pd.DataFrame.from_dict(rows, orient="index")


def decision_sentences(decisions, seed=0):
    """Whether the classifier has learned its task, and what its right decisions rest on, in sentences that are true for these images.

    Parameters
    ----------
    decisions : Decisions
        Of test images.
    seed : int
        For the bootstrap.

    Returns
    -------
    list of str
    """
    labels, count = decisions.images.labels, len(decisions.images.class_names)
    present = np.unique(labels)
    mean = bootstrap(
        lambda right, kinds: np.mean([right[kinds == kind].mean() for kind in present]),
        ~decisions.wrong,
        labels,
        stratify=labels,
        seed=seed,
    )
    learned = (
        ""
        if mean.low > 1 / count
        else (
            ": it has not been shown to have learned the task, and nothing of what follows says much about explanations "
            "of a classifier that has"
        )
    )
    found = [
        f"The accuracy, averaged over the {len(present)} classes, is {estimate_text(mean)}; chance gives {1 / count:.3f}{learned}."
    ]
    right = int((~decisions.wrong).sum())
    if decisions.images.without_defects is not None or decisions.images.without_tags is not None:
        found.append(
            f"Of {right} decisions for the right class {int((decisions.reasons == REASONS[1]).sum())} rest on something else than the fault."
        )
    return found


def map_inputs(maps, strength=None, side=16):
    """Heatmaps as what a detector of explanations takes: averaged down to a small square, from 0 to 1.

    Parameters
    ----------
    maps : ndarray, (n, h, w)
        Values below 0 count as 0.
    strength : float, optional
        The largest value of a map that counts as full: maps that are weaker throughout stay weaker.
        Without it each map is divided by its own largest value.
    side : int
        Places along each side; the maps must not be smaller.

    Returns
    -------
    ndarray of float32, (n, side, side, 1)

    Raises
    ------
    ValueError
        If the maps are smaller.

    Examples
    --------
    >>> maps = np.zeros((1, 64, 48)); maps[0, :4, :3] = 2
    >>> inputs = map_inputs(maps)
    >>> inputs.shape, float(inputs[0, 0, 0, 0]), float(inputs.sum()), float(map_inputs(maps, strength=4).max())
    ((1, 16, 16, 1), 1.0, 1.0, 0.5)
    """
    maps = np.maximum(np.asarray(maps, dtype=np.float32), 0)
    if maps.ndim != 3 or (len(maps) and min(maps.shape[1:]) < side):
        raise ValueError(
            f"maps must have the shape (n, height, width) with sides of at least {side}, not {maps.shape}."
        )
    rows, columns = (np.arange(size) * side // size for size in maps.shape[1:])
    cells = np.add.reduceat(maps, np.searchsorted(rows, np.arange(side)), axis=1)
    cells = np.add.reduceat(cells, np.searchsorted(columns, np.arange(side)), axis=2) / (
        np.bincount(rows)[:, None] * np.bincount(columns)
    )
    largest = cells.max(axis=(1, 2), keepdims=True)
    shapes = np.divide(cells, largest, out=np.zeros_like(cells), where=largest > 0)
    if strength is not None:
        shapes *= np.clip(maps.max(axis=(1, 2)) / strength, 0, 1)[:, None, None]
    return shapes[..., None].astype(np.float32)


@dataclass(frozen=True)
class ExplanationDetector:
    """Deep SAD on small heatmaps.

    Attributes
    ----------
    deep_sad : DeepSAD
        Fitted on `map_inputs`.
    strength : float or None
        As in `map_inputs`.
    labels : ndarray of int, (n,)
        Of the explanations that it was fitted on.
    """

    deep_sad: object
    strength: float | None
    labels: np.ndarray

    def score(self, maps):
        """Squared distance of each explanation (n, h, w) from the centre: float32 (n,), higher is more anomalous."""
        return self.deep_sad.score(map_inputs(maps, self.strength))


def fit_explanation_detector(
    maps, labels, deep_sad, models, name, *, keep_strength=True, show_progress=True
):
    """Fit Deep SAD on explanations, or find the one that was fitted on the same maps and labels.

    Parameters
    ----------
    maps : ndarray, (n, h, w)
        Of decisions that the classifier was not trained on.
    labels : ndarray of int, (n,)
        0 unlabelled, 1 known to be right, -1 known to be anomalous;
        `adhelpers.audit.explanations_to_learn_from`.
    deep_sad : DeepSAD
        Not fitted yet.
    models : str or Path
        Folder for stored models.
    name : str
        Of the data.
    keep_strength : bool
        Whether a weak map stays weak, measured by what nine of ten maps stay below; False divides
        each by its largest value.
    show_progress : bool

    Returns
    -------
    ExplanationDetector
    """
    maps, labels = np.asarray(maps), np.asarray(labels)
    strength = (float(np.quantile(maps.max(axis=(1, 2)), 0.9)) or None) if keep_strength else None
    inputs = map_inputs(maps, strength)
    digest = hashlib.sha256(inputs.tobytes() + str(labels.tolist()).encode()).hexdigest()
    data = SimpleNamespace(
        name=name,
        fingerprint=digest,
        train=SimpleNamespace(images=inputs),
        validation=SimpleNamespace(images=inputs[:0]),
    )
    return ExplanationDetector(
        fit_or_load(deep_sad, data, models, labels=labels, show_progress=show_progress),
        strength,
        labels,
    )


@dataclass(frozen=True)
class ExplanationAudit:
    """The audit without masks, held against the one with them.

    Attributes
    ----------
    scores : dict of str to ndarray, (n,)
        The distance of each explanation first, then the baselines.
    threshold : Threshold
        Of the distance; from reviewed explanations, not from test ones.
    flags : ndarray of bool, (n,)
    auroc : dict of str to Estimate
        Against wrong, or right for another reason.
    f1 : dict of str to float
        With the same share flagged by each score.
    curve : ReviewCurve
        All images count alike.
    by_class : tuple of str
        Classes for which there is a curve of its own.
    class_curve : ReviewCurve or None
        Mean over those classes.
    agreement : Agreement
    has_reasons : bool
        Whether repairs could tell the reasons of right decisions.
    labelled, share : int, float
        Explanations whose labels were used, and their share of all that were learned from.
    """

    scores: dict
    threshold: Threshold
    flags: np.ndarray
    auroc: dict
    f1: dict
    curve: ReviewCurve
    by_class: tuple
    class_curve: ReviewCurve | None
    agreement: Agreement
    has_reasons: bool
    labelled: int
    share: float

    def table(self, gain=0.08):
        """A row for each way of flagging.

        Parameters
        ----------
        gain : float
            The rise in accuracy whose price is asked for.

        Returns
        -------
        pandas.DataFrame
        """
        needed, at = self.curve.share_needed(gain), self.curve.at(float(self.flags.mean()))
        rows = {}
        for name in (*self.scores, "random", "ideal"):
            rows[name] = {
                "AUROC against wrong or other reason": estimate_text(self.auroc.get(name)),
                "F1": self.f1.get(name, np.nan),
                f"accuracy after reviewing {100 * self.flags.mean():.0f} %": at[name],
                f"share to review for +{100 * gain:g} points": needed[name],
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    def sentences(self, gain=0.08):
        """What the audit found, in sentences that are true for the data it ran on.

        Parameters
        ----------
        gain : float

        Returns
        -------
        list of str
        """
        needed = self.curve.share_needed(gain)
        rival = max(
            (name for name in self.scores if name != DISTANCE),
            key=lambda name: self.auroc[name].value,
        )
        found = [
            f"The distance of an explanation tells wrong or wrongly founded decisions from right ones with an AUROC of "
            f"{estimate_text(self.auroc[DISTANCE])}, with labels for {self.labelled} explanations ({100 * self.share:.1f} %); the better "
            f"baseline, {rival}, with {estimate_text(self.auroc[rival])}."
        ]
        paid = needed[DISTANCE]
        room = 1 - self.curve.before
        if np.isfinite(paid):
            found.append(
                f"An accuracy {100 * gain:g} points above {self.curve.before:.3f} takes the review of {100 * paid:.1f} % of the images in the "
                f"order of that distance, {100 * needed['random']:.1f} % in random order, {100 * needed['ideal']:.1f} % at best."
            )
        else:
            found.append(
                f"The accuracy before is {self.curve.before:.3f}, so that no review can raise it by more than {100 * room:.1f} points."
            )
        counts = self.agreement.table
        caught = {
            name: f"{int(row['flagged'])} of {int(row.sum())}" for name, row in counts.iterrows()
        }
        if self.by_class:
            found.append(
                "Counted over "
                + " and ".join(self.by_class)
                + " alone: "
                + ", ".join(
                    f"{name} reaches +{100 * gain:g} points at {100 * share:.1f} %"
                    if np.isfinite(share)
                    else f"{name} never reaches +{100 * gain:g} points"
                    for name, share in (
                        (DISTANCE, self.class_curve.share_needed(gain)[DISTANCE]),
                        ("random", self.class_curve.share_needed(gain)["random"]),
                    )
                )
                + f" (before: {self.class_curve.before:.3f})."
            )
        found.append(
            "Flagged are "
            + ", ".join(f"{caught[name]} with the {name}" for name in counts.index)
            + "."
        )
        if self.has_reasons:
            found.append(
                f"The audits with and without masks agree on {100 * self.agreement.share:.0f} % of the images, Cohen's kappa "
                f"{self.agreement.kappa:.2f}; the one without has seen no mask."
            )
        else:
            found.append(
                "Nothing can be repaired in these images, so that no one knows the reasons of right decisions: all of them count as right for the "
                f"right reason. Flags and wrong classes agree on {100 * self.agreement.share:.0f} % of the images, Cohen's kappa "
                f"{self.agreement.kappa:.2f}."
            )
        return found


def audit_decisions(
    review,
    test,
    detector,
    classifier,
    *,
    flagged_share=0.15,
    classes=(),
    seed=0,
    show_progress=True,
):
    """Flag the explanations that are unlike those of right decisions, and hold the flags against the audit with masks.

    Parameters
    ----------
    review, test : Decisions
    detector : ExplanationDetector
        Fitted on maps of ``review``.
    classifier : Classifier
    flagged_share : float
        Share of the reviewed explanations that the threshold would flag.
    classes : sequence of str
        For a second review curve: the mean accuracy over these classes, such as the faulty ones.
    seed : int
        For the bootstrap.
    show_progress : bool

    Returns
    -------
    ExplanationAudit

    Raises
    ------
    ValueError
        If no test decision is wrong or wrongly founded, or every one: nothing can be told apart
        then.
    """
    scores = {
        DISTANCE: detector.score(test.maps),
        UNCERTAIN: 1 - test.probabilities.max(axis=1),
        UNFAITHFUL: unfaithfulness(
            classifier.probabilities,
            test.images.images,
            test.predicted,
            test.maps,
            show_progress=show_progress,
        ),
    }
    value = normal_quantile(detector.score(review.maps), 1 - flagged_share).value
    threshold = Threshold(
        value, f"{1 - flagged_share:g} quantile of {len(review.maps)} reviewed explanations", False
    )
    flags, bad = threshold.flag(scores[DISTANCE]), test.anomalous.astype(int)
    if bad.all() or not bad.any():
        raise ValueError(
            f"every one of the {len(bad)} test decisions is {'wrong or wrongly founded' if bad.all() else 'right for the right reason'}: "
            "there is nothing to tell apart"
        )
    auroc = {
        name: bootstrap(image_auroc, values, bad, stratify=bad, seed=seed)
        for name, values in scores.items()
    }
    count = int(flags.sum())
    f1 = {}
    for name, values in scores.items():
        top = np.zeros(len(bad), bool)
        top[np.argsort(-values, kind="stable")[:count]] = True
        f1[name] = f1_score(top, bad)
    names = test.images.class_names
    unknown = [one for one in classes if one not in names]
    if unknown:
        raise ValueError(f"classes must be among {', '.join(names)}, not {unknown[0]!r}")
    curve = partial(review_curve, scores, test.images.labels, test.predicted)
    labelled = int((detector.labels != 0).sum())
    return ExplanationAudit(
        scores,
        threshold,
        flags,
        auroc,
        f1,
        curve(),
        tuple(classes),
        curve([names.index(one) for one in classes]) if classes else None,
        audit_agreement(flags, test.reasons),
        test.images.without_defects is not None or test.images.without_tags is not None,
        labelled,
        labelled / len(detector.labels),
    )


def examples(decisions, scores, per_kind=8, title="What the classifier looked at"):
    """Decisions of each kind with their maps, those with the highest scores first; ``a → b`` is an image of class a taken for b.

    Parameters
    ----------
    decisions : Decisions
    scores : ndarray, (n,)
    per_kind : int
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    images, chosen = decisions.images, []
    for name in REASONS:
        members = np.flatnonzero(decisions.reasons == name)
        chosen += members[np.argsort(-scores[members], kind="stable")][:per_kind].tolist()
    names, titles = images.class_names, []
    for index in chosen:
        said, true = names[decisions.predicted[index]], names[images.labels[index]]
        titles.append(
            f"{true} → {said}"
            if said != true
            else f"{true}, other reason"
            if decisions.anomalous[index]
            else true
        )
    largest = decisions.maps[chosen].max(axis=(1, 2), keepdims=True)
    heat = np.divide(
        decisions.maps[chosen],
        largest,
        out=np.zeros_like(decisions.maps[chosen]),
        where=largest > 0,
    )
    return explanation_grid(
        images.images[chosen],
        heat,
        titles,
        None if images.defects is None else images.defects[chosen],
        None if images.tags is None else images.tags[chosen],
        columns=per_kind,
        title=title,
    )


def sample_table(decisions, audit):
    """A row for each test image: classes, reason, scores, flag.

    Parameters
    ----------
    decisions : Decisions
    audit : ExplanationAudit

    Returns
    -------
    pandas.DataFrame
    """
    images = decisions.images
    return pd.DataFrame(
        {
            "name": images.names,
            "type": images.types,
            "predicted": np.array(images.class_names)[decisions.predicted],
            "reason": decisions.reasons,
            "score": audit.scores[DISTANCE],
            "flagged": audit.flags,
            "certainty": decisions.probabilities.max(axis=1),
            "unfaithfulness": audit.scores[UNFAITHFUL],
        }
    )


def summary_parts(task, decisions, audit):
    """The parts of ``summary.json`` that follow from the audit, as keywords for `adhelpers.runner.suite.Run.summary`.

    Parameters
    ----------
    task : Task
    decisions : Decisions
        Of the test images.
    audit : ExplanationAudit

    Returns
    -------
    dict
    """
    counts = {
        split: {
            name: int((part.labels == label).sum()) for label, name in enumerate(part.class_names)
        }
        for split, part in ((split, getattr(task, split)) for split in SPLITS)
    }
    fingerprint = hashlib.sha256(
        "".join(getattr(task, split).fingerprint for split in SPLITS).encode()
    ).hexdigest()
    return {
        "detector": DISTANCE,
        "data": {"counts": counts, "fingerprint": fingerprint},
        "image_auroc": audit.auroc[DISTANCE],
        "threshold": audit.threshold,
        "confusion": confusion(audit.flags, decisions.anomalous.astype(int)),
        "verdicts": {name: int((decisions.reasons == name).sum()) for name in REASONS},
    }
