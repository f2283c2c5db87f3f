"""Explanations as data: which of them are unlike those of right decisions, and what a person gains who looks at these images.

The audit without masks: Floreale, Baraldi, Zio, "Automated processing of explainable artificial
intelligence outputs in deep learning models for fault diagnostics of large infrastructures", 2025
(arXiv 2503.15415). A detector learns from explanations, most of them of right decisions; one far
from its centre is flagged, and a person classifies that image again. The flag is earned in two
ways: the class is wrong, or it is right for another reason than the matter itself.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from sklearn.metrics import cohen_kappa_score

from adhelpers._shared.checks import checked_flags, checked_scores

from .deletion import deletion_insertion

WRONG, OTHER_REASON, RIGHT = REASONS = (
    "wrong class",
    "right class, other reason",
    "right class, right reason",
)
_NONE = -1


def decision_reasons(labels, predicted, without_defects=None, without_tags=None):
    """Why a classifier decided as it did, found by repairs: this is the audit that needs masks.

    A decision for the right class has another reason than the matter itself where it stays although
    the defect is repaired, or where it changes although only a tag, which has nothing to do with
    the matter, is taken away.

    Parameters
    ----------
    labels, predicted : array-like of int (n,)
        True and predicted class of each image.
    without_defects, without_tags : array-like of int (n,), optional
        What is predicted once the defect (or the tag) is replaced by what is normal there; -1 for
        an image that has none.

    Returns
    -------
    ndarray of str, (n,)
        ``"wrong class"``, ``"right class, other reason"`` or ``"right class, right reason"``; the
        last also where nothing that could be repaired is known.

    Raises
    ------
    ValueError
        If lengths differ or a class is no whole number from 0 (-1 after a repair).

    Examples
    --------
    >>> decision_reasons([1, 1, 1, 0], [0, 1, 1, 0], without_defects=[0, 0, 1, -1]).tolist()
    ['wrong class', 'right class, right reason', 'right class, other reason', 'right class, right reason']
    """
    labels = _checked_classes("labels", labels, None, 0)
    predicted = _checked_classes("predicted", predicted, len(labels), 0)
    other = np.zeros(len(labels), bool)
    if without_defects is not None:
        after = _checked_classes("without_defects", without_defects, len(labels), _NONE)
        other |= (after != _NONE) & (after == predicted)
    if without_tags is not None:
        after = _checked_classes("without_tags", without_tags, len(labels), _NONE)
        other |= (after != _NONE) & (after != predicted)
    return np.select([predicted != labels, other], [WRONG, OTHER_REASON], RIGHT)


def review_labels(anomalous, share=0.05, seed=0):
    """Labels for a semi-supervised detector of explanations: a person has looked at a few of them, drawn at random.

    Parameters
    ----------
    anomalous : array-like of bool (n,)
        What the person would say of each: True where the decision is wrong, or right for another
        reason.
    share : float
        Of all explanations that are looked at, above 0 and at most 1; at least two are. Of these as
        large a share is anomalous as of all, and at least one of each kind.
    seed : int

    Returns
    -------
    ndarray of int64, (n,)
        1 known normal, -1 known anomalous, 0 not looked at.

    Raises
    ------
    ValueError
        If ``share`` is out of range or no explanation is anomalous (or every one): there is nothing
        to learn from.

    Examples
    --------
    >>> labels = review_labels(np.arange(100) < 30, share=0.1)
    >>> int((labels == -1).sum()), int((labels == 1).sum()), bool((labels[:30] <= 0).all())
    (3, 7, True)
    """
    anomalous = checked_flags(anomalous, name="anomalous")
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], such as 0.05, not {share!r}")
    count, bad = max(2, int(share * len(anomalous))), int(anomalous.sum())
    if bad == 0:
        raise ValueError(
            f"there are no misclassified images to learn from: all {len(anomalous)} decisions are right for the right reason; "
            "review other images, or more of them"
        )
    if bad == len(anomalous):
        raise ValueError(
            f"there are no decisions to learn from that are right for the right reason, among {bad}: train the classifier longer"
        )
    known_bad = int(np.clip(round(count * bad / len(anomalous)), 1, min(bad, count - 1)))
    random = np.random.default_rng(seed)
    labels = np.zeros(len(anomalous), dtype=np.int64)
    labels[random.permutation(np.flatnonzero(anomalous))[:known_bad]] = -1
    labels[random.permutation(np.flatnonzero(~anomalous))[: count - known_bad]] = 1
    return labels


def explanations_to_learn_from(wrong, share=0.05, *, confirmed=None, seed=0):
    """Which explanations a semi-supervised detector learns from where the classes are known, and with which labels.

    Those of right decisions are taken unlabelled: most of them have the right reason, but no one
    has looked. A few of wrong decisions are known anomalies. Neither needs a mask or a look at any
    explanation.

    Parameters
    ----------
    wrong : array-like of bool (n,)
        True where the class is wrong.
    share : float
        Labelled ones are at most this share of all that are learned from; in (0, 0.5].
    confirmed : array-like of bool (n,), optional
        Right decisions whose explanation a person has looked at and found right: they may take a
        third of the labels, as known normal.
    seed : int
        Which of them are drawn.

    Returns
    -------
    indices : ndarray of int64, (m,)
        Rising.
    labels : ndarray of int64, (m,)
        0 unlabelled, -1 known anomalous, 1 known normal.

    Raises
    ------
    ValueError
        If no decision is wrong, all are, ``share`` is out of range or too small for a single label,
        or one is confirmed and wrong.

    Examples
    --------
    >>> indices, labels = explanations_to_learn_from(np.arange(100) < 20, share=0.05)
    >>> len(indices), int((labels == -1).sum()), bool((indices[labels == -1] < 20).all())
    (84, 4, True)
    """
    wrong = checked_flags(wrong, name="wrong")
    right = np.flatnonzero(~wrong)
    if not 0 < share <= 0.5:
        raise ValueError(f"share must lie in (0, 0.5], such as 0.05, not {share!r}")
    if not wrong.any():
        raise ValueError(
            f"there are no misclassified images to learn from: all {len(wrong)} decisions are right; review other images, or more"
        )
    if not len(right):
        raise ValueError(
            f"there are no right decisions to learn from among {len(wrong)}: train the classifier longer"
        )
    count = int(share * len(right))
    if count < 1:
        raise ValueError(
            f"share: {share:g} of {len(right)} right decisions is less than one label; {1 / len(right):.3g} would be one"
        )
    random = np.random.default_rng(seed)
    known = np.zeros(len(wrong), dtype=np.int64)
    if confirmed is not None:
        confirmed = checked_flags(confirmed, len(wrong), "confirmed")
        if (confirmed & wrong).any():
            raise ValueError(
                "confirmed: a decision for the wrong class cannot have the right reason"
            )
        known[random.permutation(np.flatnonzero(confirmed))[: count // 3]] = 1
    known[random.permutation(np.flatnonzero(wrong))[: count - int(known.sum())]] = -1
    indices = np.flatnonzero(~wrong | (known == -1))
    return indices, known[indices]


def unfaithfulness(
    probabilities, images, predicted, heatmaps, *, blur=0.1, steps=16, show_progress=True
):
    """A baseline that needs no learning: does the certainty fall when what the explanation points at is blurred away?

    Deletion, as in `deletion_insertion`, of the predicted class's probability.

    Parameters
    ----------
    probabilities : callable
        ``probabilities(images) -> (n, classes)``.
    images : ndarray of float32, (n, h, w, c)
        In [0, 1].
    predicted : array-like of int (n,)
    heatmaps : ndarray, (n, h, w)
    blur : float
        Standard deviation of the Gaussian that stands for absence, as a share of the image's
        shorter side.
    steps : int
        As in `deletion_insertion`.
    show_progress : bool

    Returns
    -------
    ndarray of float64, (n,)
        Area under the deletion curve; high where the explanation is not faithful. Where the blurred
        image is as certain as the image itself nothing can fall: 1, or the largest area of the
        others.

    Raises
    ------
    ValueError
        If lengths or shapes differ or ``blur`` is not positive.

    Examples
    --------
    >>> images = np.zeros((1, 8, 8, 1), np.float32); images[0, :2, :2] = 1
    >>> def probabilities(pictures):
    ...     bright = np.clip(pictures.max(axis=(1, 2, 3)), 0, 1)
    ...     return np.stack([1 - bright, bright], axis=1)
    >>> good, bad = (unfaithfulness(probabilities, images, [1], heatmap, show_progress=False)[0]
    ...              for heatmap in (images[..., 0], 1 - images[..., 0]))
    >>> bool(good < bad)
    True
    """
    images = np.asarray(images, dtype=np.float32)
    predicted = _checked_classes("predicted", predicted, len(images), 0)
    if not blur > 0:
        raise ValueError(f"blur must be positive, such as 0.1, not {blur!r}")
    width = blur * min(images.shape[1:3])
    blurred = gaussian_filter(images, (0, width, width, 0), mode="nearest")
    areas = np.full(len(images), np.nan)
    for label in np.unique(predicted):
        chosen = np.flatnonzero(predicted == label)
        curves = deletion_insertion(
            lambda pictures: probabilities(pictures)[:, label],
            images[chosen],
            blurred[chosen],
            {"map": np.asarray(heatmaps)[chosen]},
            min(steps, images[0, ..., 0].size),
            show_progress=show_progress,
        )
        areas[chosen] = curves.areas["deletion"]
    worst = max(1.0, np.nanmax(areas, initial=1.0))
    return np.where(np.isnan(areas), worst, areas)


@dataclass(frozen=True)
class ReviewCurve:
    """Accuracy after a person has classified the flagged share of the images again, the highest scores first.

    Attributes
    ----------
    shares : ndarray of float64, (n + 1,)
        From 0, no image, to 1, all.
    accuracy : dict of str to ndarray, (n + 1,)
        For each score; images of equal scores are taken in every order, on average. ``"random"``:
        the expectation of flagging any. ``"ideal"``: every wrong one first.
    before : float
        Accuracy without a review.
    """

    shares: np.ndarray
    accuracy: dict
    before: float

    def at(self, share):
        """Accuracy of each score after ``share`` of the images are reviewed: dict of str to float."""
        return {
            name: float(np.interp(share, self.shares, values))
            for name, values in self.accuracy.items()
        }

    def share_needed(self, gain=0.08):
        """The smallest share that must be reviewed for the accuracy to rise by ``gain``: dict of str to float; NaN where it never does."""
        needed = {}
        for name, values in self.accuracy.items():
            # Rounding must not ask for one image more than needed.
            reached = np.flatnonzero(values >= self.before + gain - 1e-12)
            needed[name] = float(self.shares[reached[0]]) if len(reached) else float("nan")
        return needed


def review_curve(scores, labels, predicted, classes=None):
    """What a person gains who classifies the images with the highest scores again.

    Parameters
    ----------
    scores : dict of str to array-like of float (n,)
        For each way of flagging its score; higher is flagged first.
    labels, predicted : array-like of int (n,)
        True and predicted class.
    classes : sequence of int, optional
        The accuracy is the mean over these classes of the share of their images that are right; by
        default it is the share of all images. The reviewed share counts all images in any case: no
        one knows the class before.

    Returns
    -------
    ReviewCurve

    Raises
    ------
    ValueError
        If lengths differ, a score is not finite, a score is called random or ideal, or a class has
        no image.

    Examples
    --------
    >>> curve = review_curve({"score": [0.9, 0.1, 0.2, 0.3]}, labels=[0, 0, 1, 1], predicted=[1, 0, 1, 0])
    >>> curve.accuracy["score"].tolist(), curve.share_needed(0.25)
    ([0.5, 0.75, 1.0, 1.0, 1.0], {'score': 0.25, 'random': 0.5, 'ideal': 0.25})
    """
    labels = _checked_classes("labels", labels, None, 0)
    predicted = _checked_classes("predicted", predicted, len(labels), 0)
    taken = {"random", "ideal"} & set(scores)
    if taken:
        raise ValueError(
            f"scores: {taken.pop()!r} is a curve of its own; give the score another name"
        )
    if classes is None:
        weights = np.full(len(labels), 1 / len(labels))
    else:
        missing = [one for one in classes if not (labels == one).any()]
        if missing or not len(classes):
            raise ValueError(
                f"classes: there is no image of class {missing[0]}"
                if missing
                else "classes must name at least one class"
            )
        weights = sum((labels == one) / ((labels == one).sum() * len(classes)) for one in classes)
    wrong = predicted != labels
    gains = weights * wrong
    before = float(weights[~wrong].sum())
    counts = np.arange(len(labels) + 1)
    accuracy = {}
    for name, values in scores.items():
        values = checked_scores(values, f"scores[{name!r}]")
        if len(values) != len(labels):
            raise ValueError(
                f"scores[{name!r}] must hold one number for each of the {len(labels)} images; got {len(values)}"
            )
        order = np.argsort(-values, kind="stable")
        # Of equal scores any may come first: the expectation is a straight line over all of them.
        ends = np.append(np.flatnonzero(np.diff(values[order])) + 1, len(labels))
        gained = np.append(0, np.cumsum(gains[order]))
        accuracy[name] = before + np.interp(counts, np.append(0, ends), gained[np.append(0, ends)])
    accuracy["random"] = before + (1 - before) * counts / len(labels)
    accuracy["ideal"] = before + np.append(0, np.cumsum(np.sort(gains)[::-1]))
    return ReviewCurve(counts / len(labels), accuracy, before)


@dataclass(frozen=True)
class Agreement:
    """Whether the audit without masks flags what the audit with masks calls wrong.

    Attributes
    ----------
    table : pandas.DataFrame
        Counts: a row for each reason of `decision_reasons` that occurs, columns ``flagged`` and
        ``not flagged``.
    share : float
        Of images on which both agree: flagged and not right for the right reason, or neither.
    kappa : float
        Cohen's kappa: that share beyond what chance gives; 1 is complete, 0 chance. NaN where
        neither audit makes a difference.
    """

    table: pd.DataFrame
    share: float
    kappa: float


def audit_agreement(flags, reasons):
    """Hold the flags of the audit without masks against the reasons that the audit with masks found.

    Parameters
    ----------
    flags : array-like of bool (n,)
    reasons : array-like of str (n,)
        As `decision_reasons` gives them.

    Returns
    -------
    Agreement

    Raises
    ------
    ValueError
        If lengths differ or a reason is unknown.

    Examples
    --------
    >>> found = audit_agreement([True, False, False, False], ["wrong class", "wrong class", *["right class, right reason"] * 2])
    >>> found.share, found.kappa
    (0.75, 0.5)
    """
    flags, reasons = checked_flags(flags), np.asarray(reasons, dtype=str)
    if reasons.shape != flags.shape:
        raise ValueError(
            f"reasons must have one entry for each of the {len(flags)} images; got shape {reasons.shape}"
        )
    unknown = np.setdiff1d(reasons, REASONS)
    if len(unknown):
        raise ValueError(
            f"reasons must be among {', '.join(map(repr, REASONS))}, not {str(unknown[0])!r}"
        )
    rows = {
        name: [int((flags & (reasons == name)).sum()), int((~flags & (reasons == name)).sum())]
        for name in REASONS
        if (reasons == name).any()
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["flagged", "not flagged"])
    bad = reasons != RIGHT
    constant = (flags == flags[0]).all() and (bad == bad[0]).all() and flags[0] == bad[0]
    return Agreement(
        table,
        float((flags == bad).mean()),
        float("nan") if constant else float(cohen_kappa_score(flags, bad)),
    )


def _checked_classes(name, values, length, least):
    values = np.asarray(values)
    if values.ndim != 1 or not len(values) or (length is not None and len(values) != length):
        raise ValueError(
            f"{name} must hold one class for each {'image' if length is None else f'of the {length} images'}; got shape {values.shape}"
        )
    if not np.issubdtype(values.dtype, np.integer) or values.min() < least:
        raise ValueError(f"{name} must hold whole numbers from {least}, the places of the classes")
    return values
