"""Two audits of a classifier's decisions: by its explanations without masks, and by repairs."""

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Flags, Floats, Images, Labels, Maps, Scores
from adhelpers._shared.stages import stage
from adhelpers._shared.text import or_dash
from adhelpers.audit import (
    REASONS,
    Agreement,
    ReviewCurve,
    audit_agreement,
    explanations_to_learn_from,
    review_curve,
    unfaithfulness,
)
from adhelpers.data import root_name
from adhelpers.detectors import Classifier, DeepSAD, fit_or_load
from adhelpers.metrics import (
    Estimate,
    Threshold,
    auroc_estimate,
    confusion,
    f1_score,
    normal_quantile,
)
from adhelpers.reports import explanation_grid, review_figure, score_separation
from adhelpers.training import Augmentation, WeightDecayPlan

from .classifier_data import Task, TrainingData
from .classifier_decisions import Decisions, TaskDecisions

DISTANCE = "distance of the explanation (Deep SAD)"
UNCERTAIN, UNFAITHFUL = "softmax uncertainty", "unfaithfulness (deletion)"
_, _OTHER_REASON, _RIGHT = REASONS


def map_inputs(maps: Maps, strength: float | None = None, side: int = 16) -> Images:
    """Heatmaps as a detector of explanations takes them: averaged to a small square, in [0, 1].

    Parameters
    ----------
    maps : ndarray, shape (n, h, w)
        Values below 0 count as 0.
    strength : float, optional
        The largest value of a map that counts as full: maps that are weaker throughout stay weaker.
        Without it each map is divided by its own largest value.
    side : int
        Places along each side; the maps must not be smaller.

    Returns
    -------
    ndarray of float32, shape (n, side, side, 1)

    Raises
    ------
    ValueError
        If the maps are smaller.

    Examples
    --------
    >>> maps = np.zeros((1, 64, 48)); maps[0, :4, :3] = 2
    >>> inputs = map_inputs(maps)
    >>> inputs.shape, float(inputs[0, 0, 0, 0]), float(inputs.sum())
    ((1, 16, 16, 1), 1.0, 1.0)
    >>> float(map_inputs(maps, strength=4).max())
    0.5
    """
    maps = np.maximum(np.asarray(maps, dtype=np.float32), 0)
    if maps.ndim != 3 or (len(maps) and min(maps.shape[1:]) < side):
        raise ValueError(
            f"maps must have the shape (n, height, width) with sides of at least {side}, "
            f"not {maps.shape}"
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
    labels : ndarray of int, shape (n,)
        Of the explanations that it was fitted on.
    """

    deep_sad: DeepSAD
    strength: float | None
    labels: Labels

    @property
    def labelled(self) -> int:
        """Number of explanations whose labels were used."""
        return int((self.labels != 0).sum())

    @property
    def share(self) -> float:
        """Share of the explanations whose labels were used."""
        return self.labelled / len(self.labels)

    def findings(self) -> list[str]:
        """How many explanations it has learned from, and how many of them are labelled."""
        return [
            f"{len(self.labels)} explanations, {self.labelled} of them labelled "
            f"({100 * self.share:.1f} %)"
        ]

    def score(self, maps: Maps) -> Scores:
        """Squared distance of each explanation (n, h, w) from the centre: float32, shape (n,)."""
        return self.deep_sad.score(map_inputs(maps, self.strength))


def map_detector(
    epochs: int,
    pretrain_epochs: int,
    *,
    eta: float = 1.0,
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> DeepSAD:
    """Deep SAD for small maps, not fitted yet: batches of 32, the last quarter at a tenth the rate.

    Parameters
    ----------
    epochs, pretrain_epochs : int
        Passes over the maps, and the same for the autoencoder that it starts from.
    eta : float
        Weight of a labelled map.
    augmentation : Augmentation, optional
    seed : int

    Returns
    -------
    DeepSAD
    """

    def plan(default: WeightDecayPlan, passes: int) -> WeightDecayPlan:
        late = (max(1, 3 * passes // 4),)
        return replace(default, epochs=passes, milestones=late, batch_size=32)

    return DeepSAD(
        eta=eta,
        plan=plan(DeepSAD.default_plan(), epochs),
        pretraining=plan(DeepSAD.default_pretraining(), pretrain_epochs),
        augmentation=augmentation,
        seed=seed,
    )


def fit_explanation_detector(
    maps: Maps,
    labels: Labels,
    deep_sad: DeepSAD,
    models: str | Path,
    name: str,
    *,
    keep_strength: bool = True,
    show_progress: bool = True,
) -> ExplanationDetector:
    """Fit Deep SAD on explanations, or find the one that was fitted on the same maps and labels.

    Parameters
    ----------
    maps : ndarray, shape (n, h, w)
        Of decisions that the classifier was not trained on.
    labels : ndarray of int, shape (n,)
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
    data = TrainingData(name, digest, train=inputs, validation=inputs[:0])
    fitted = fit_or_load(deep_sad, data, models, labels=labels, show_progress=show_progress)
    return ExplanationDetector(fitted, strength, labels)


def learn_explanations(
    decisions: TaskDecisions,
    deep_sad: DeepSAD,
    models: str | Path,
    *,
    share: float = 0.05,
    seed: int = 0,
    show_progress: bool = True,
) -> ExplanationDetector:
    """Fit Deep SAD on the explanations of reviewed decisions, a few wrong ones among them labelled.

    Parameters
    ----------
    decisions : TaskDecisions
    deep_sad : DeepSAD
        Not fitted yet.
    models : str or Path
        Folder for stored models.
    share : float
        As in `adhelpers.audit.explanations_to_learn_from`.
    seed : int
        Which wrong decisions are labelled.
    show_progress : bool

    Returns
    -------
    ExplanationDetector
    """
    review = decisions.review
    indices, labels = explanations_to_learn_from(review.wrong, share, seed=seed)
    return fit_explanation_detector(
        review.maps[indices],
        labels,
        deep_sad,
        models,
        decisions.task.name,
        show_progress=show_progress,
    )


@dataclass(frozen=True)
class ExplanationAudit:
    """The audit without masks, compared with the one with masks.

    Attributes
    ----------
    decisions : Decisions
        Of the test images.
    detector : ExplanationDetector
    scores : dict of str to ndarray, shape (n,)
        The distance of each explanation first, then the baselines.
    threshold : Threshold
        Of the distance; from reviewed explanations, not from test ones.
    auroc : dict of str to Estimate
        Of each score against wrong, or right for another reason.
    f1 : dict of str to float
        With the same share flagged by each score.
    curve : ReviewCurve
        All images count alike.
    classes : tuple of str
        Classes for which there is a curve of its own.
    class_curve : ReviewCurve or None
        Mean over those classes.
    agreement : Agreement
    gain : float
        The rise in accuracy whose price in reviews is asked for.
    """

    decisions: Decisions
    detector: ExplanationDetector
    scores: dict[str, Floats]
    threshold: Threshold
    auroc: dict[str, Estimate]
    f1: dict[str, float]
    curve: ReviewCurve
    classes: tuple[str, ...]
    class_curve: ReviewCurve | None
    agreement: Agreement
    gain: float

    @property
    def distance(self) -> Floats:
        """Distance of each test explanation from the centre: ndarray, shape (n,)."""
        return self.scores[DISTANCE]

    @property
    def distance_auroc(self) -> Estimate:
        """AUROC of that distance against wrong, or right for another reason."""
        return self.auroc[DISTANCE]

    @property
    def flags(self) -> Flags:
        """Which test explanations are flagged: ndarray of bool, shape (n,)."""
        return self.threshold.flag(self.distance)

    def table(self) -> pd.DataFrame:
        """AUROC, F1 and what a review gains: a row for each way of flagging."""
        needed = self.curve.share_needed(self.gain)
        reviewed = float(self.flags.mean())
        at = self.curve.at(reviewed)
        rows = {
            name: {
                "AUROC against wrong or other reason": or_dash(self.auroc.get(name)),
                "F1": self.f1.get(name, np.nan),
                f"accuracy after reviewing {100 * reviewed:.0f} %": at[name],
                f"share to review for +{100 * self.gain:g} points": needed[name],
            }
            for name in (*self.scores, "random", "ideal")
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def findings(self) -> list[str]:
        """What the audit found, computed from its figures."""
        by_class = [] if self.class_curve is None else [self._class_finding(self.class_curve)]
        flagged, agreement = self.agreement.findings()
        agreement += (
            " The audit without masks has seen no mask."
            if self.decisions.has_reasons
            else " Nothing in these images can be repaired, so no one knows the reasons of right "
            "decisions, and all of them count as right for the right reason."
        )
        return [
            self._ranking_finding(),
            *self.curve.findings(self.gain),
            *by_class,
            flagged,
            agreement,
        ]

    def _ranking_finding(self) -> str:
        baselines = (name for name in self.scores if name != DISTANCE)
        best = max(baselines, key=lambda name: self.auroc[name].value)
        return (
            "The distance of an explanation separates decisions that are wrong or right for "
            f"another reason from the others with an AUROC of {self.auroc[DISTANCE]}"
            f", using labels for {self.detector.labelled} explanations "
            f"({100 * self.detector.share:.1f} %). The best baseline, {best}, reaches "
            f"{self.auroc[best]}."
        )

    def _class_finding(self, curve: ReviewCurve) -> str:
        needed = curve.share_needed(self.gain)
        reached = [
            f"{name} reaches +{100 * self.gain:g} points at {100 * needed[name]:.1f} %"
            if np.isfinite(needed[name])
            else f"{name} never reaches +{100 * self.gain:g} points"
            for name in (DISTANCE, "random")
        ]
        return (
            f"Counted over {' and '.join(self.classes)} alone: {', '.join(reached)} "
            f"(before: {curve.before:.3f})."
        )

    def figure(self) -> Figure:
        """The accuracy over the share of images that a person reviews."""
        return review_figure(self.curve, self.gain)

    def distance_figure(self) -> Figure:
        """The distance of each test explanation, by reason."""
        return score_separation(
            self.distance,
            self.decisions.anomalous.astype(int),
            self.decisions.reasons,
            self.threshold,
            title="Distance of each explanation, by reason",
        )

    def example_figure(self, per_kind: int = 8) -> Figure:
        """Decisions of each kind with their maps, those with the largest distance first.

        ``a → b`` is an image of class a taken for b.

        Parameters
        ----------
        per_kind : int
            Maximum number for each kind.
        """
        decisions, chosen = self.decisions, []
        for name in REASONS:
            members = np.flatnonzero(decisions.reasons == name)
            order = np.argsort(-self.distance[members], kind="stable")
            chosen += members[order][:per_kind].tolist()
        return self._grid(chosen, per_kind, "What the classifier looked at")

    def decision_figure(self, index: int) -> Figure:
        """A decision about a test image with its map, large."""
        return self._grid([int(index)], 1, "", scale=1.8)

    def _grid(self, chosen: list[int], columns: int, title: str, *, scale: float = 0.75) -> Figure:
        decisions = self.decisions
        images, maps = decisions.images, decisions.maps[chosen]
        largest = maps.max(axis=(1, 2), keepdims=True)
        return explanation_grid(
            images.images[chosen],
            np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0),
            [_decision_title(decisions, index) for index in chosen],
            None if images.defects is None else images.defects[chosen],
            None if images.tags is None else images.tags[chosen],
            columns=columns,
            title=title,
            note="colour from 0 to each map's own largest value",
            scale=scale,
        )

    def samples(self) -> pd.DataFrame:
        """Classes, reason, scores and flag: a row for each test image."""
        images = self.decisions.images
        return pd.DataFrame(
            {
                "name": images.names,
                "type": images.types,
                "predicted": np.array(images.class_names)[self.decisions.predicted],
                "reason": self.decisions.reasons,
                "score": self.distance,
                "flagged": self.flags,
                "certainty": self.decisions.probabilities.max(axis=1),
                "unfaithfulness": self.scores[UNFAITHFUL],
            }
        )

    def summary_parts(self, task: Task) -> dict[str, object]:
        """What the audit gives to ``summary.json``, as keywords for ``Run.summary``."""
        return {
            "detector": DISTANCE,
            "data": {
                "counts": task.counts,
                "fingerprint": task.fingerprint,
                "root": None if task.root is None else root_name(task.root),
                "remarks": [remark.as_dict() for remark in task.remarks],
            },
            "image_auroc": self.auroc[DISTANCE],
            "threshold": self.threshold,
            "confusion": confusion(self.flags, self.decisions.anomalous.astype(int)),
            "verdicts": self.decisions.counts,
        }


def audit_decisions(
    decisions: TaskDecisions,
    detector: ExplanationDetector,
    classifier: Classifier,
    *,
    flagged_share: float = 0.15,
    gain: float = 0.08,
    classes: tuple[str, ...] | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> ExplanationAudit:
    """Flag unusual explanations, and compare the flags with the audit that uses masks.

    Parameters
    ----------
    decisions : TaskDecisions
    detector : ExplanationDetector
        Fitted on maps of ``decisions.review``.
    classifier : Classifier
    flagged_share : float
        Share of the reviewed explanations that the threshold would flag.
    gain : float
        The rise in accuracy whose price in reviews is asked for.
    classes : tuple of str, optional
        For a second review curve: the mean accuracy over these classes. By default all but the
        first where there are masks of defects, else none.
    seed : int
        For the bootstrap.
    show_progress : bool

    Returns
    -------
    ExplanationAudit

    Raises
    ------
    ValueError
        If no test decision is wrong or right for another reason, or every one: nothing can be
        told apart then. For an unknown class.
    """
    test = decisions.test
    names, bad = test.images.class_names, test.anomalous.astype(int)
    if classes is None:
        classes = names[1:] if test.images.defects is not None else ()
    _check_audit(bad, classes, names)
    with stage("audit"):
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
        threshold = _share_threshold(detector.score(decisions.review.maps), flagged_share)
        flags = threshold.flag(scores[DISTANCE])
        curve = partial(review_curve, scores, test.images.labels, test.predicted)
        return ExplanationAudit(
            decisions=test,
            detector=detector,
            scores=scores,
            threshold=threshold,
            auroc={name: auroc_estimate(values, bad, seed=seed) for name, values in scores.items()},
            f1={name: _f1_of_highest(values, bad, flags.sum()) for name, values in scores.items()},
            curve=curve(),
            classes=tuple(classes),
            class_curve=curve([names.index(one) for one in classes]) if classes else None,
            agreement=audit_agreement(flags, test.reasons),
            gain=gain,
        )


def _check_audit(bad: Labels, classes: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Refuse decisions that are all alike, and classes that are not there."""
    if bad.all() or not bad.any():
        kind = "wrong or right for another reason" if bad.all() else "right for the right reason"
        raise ValueError(
            f"every one of the {len(bad)} test decisions is {kind}: there is nothing to tell apart"
        )
    unknown = [one for one in classes if one not in names]
    if unknown:
        raise ValueError(f"classes must be among {', '.join(names)}, not {unknown[0]!r}")


def _share_threshold(reviewed: Scores, flagged_share: float) -> Threshold:
    """The threshold above which this share of the reviewed explanations lies."""
    rule = f"{1 - flagged_share:g} quantile of {len(reviewed)} reviewed explanations"
    return Threshold(normal_quantile(reviewed, 1 - flagged_share).value, rule, False)


def _f1_of_highest(scores: Floats, bad: Labels, count: int) -> float:
    """F1 where the ``count`` images with the highest scores are flagged."""
    top = np.zeros(len(bad), bool)
    top[np.argsort(-scores, kind="stable")[: int(count)]] = True
    return f1_score(top, bad)


def _decision_title(decisions: Decisions, index: int) -> str:
    """What one decision was, as the title of its picture."""
    names = decisions.images.class_names
    said, true = names[decisions.predicted[index]], names[decisions.images.labels[index]]
    if said != true:
        return f"{true} → {said}"
    return f"{true}, other reason" if decisions.anomalous[index] else true
