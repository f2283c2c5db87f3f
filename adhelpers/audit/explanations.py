"""Explanations as data: which of them are unlike those of right decisions.

The audit without masks: Floreale, Baraldi, Zio, "Automated processing of explainable artificial
intelligence outputs in deep learning models for fault diagnostics of large infrastructures", 2025
(arXiv 2503.15415). A detector learns from explanations, most of them of right decisions; one far
from its centre is flagged, and a person classifies that image again. The flag is deserved in two
cases: the class is wrong, or it is right for another reason than the matter itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter
from sklearn.metrics import cohen_kappa_score

from adhelpers._shared.arrays import Flags, Floats, Images, Integers, Labels, Maps, Names
from adhelpers._shared.checks import checked_flags

from ._checks import checked_classes
from .deletion import deletion_insertion

WRONG, OTHER_REASON, RIGHT = REASONS = (
    "wrong class",
    "right class, other reason",
    "right class, right reason",
)
_NONE = -1


def decision_reasons(
    labels: ArrayLike,
    predicted: ArrayLike,
    without_defects: ArrayLike | None = None,
    without_tags: ArrayLike | None = None,
) -> Names:
    """Why a classifier decided as it did, found by repairs: this is the audit that needs masks.

    A decision for the right class has another reason than the matter itself where it stays although
    the defect is repaired, or where it changes although only a tag, which has nothing to do with
    the matter, is taken away.

    Parameters
    ----------
    labels, predicted : array-like of int, shape (n,)
        True and predicted class of each image.
    without_defects, without_tags : array-like of int, shape (n,), optional
        What is predicted once the defect (or the tag) is replaced by what is normal there; -1 for
        an image that has none.

    Returns
    -------
    ndarray of str, shape (n,)
        ``"wrong class"``, ``"right class, other reason"`` or ``"right class, right reason"``; the
        last also where nothing that could be repaired is known.

    Raises
    ------
    ValueError
        If lengths differ or a class is no whole number from 0 (-1 after a repair).

    Examples
    --------
    >>> for reason in decision_reasons([1, 1, 1], [0, 1, 1], without_defects=[0, 0, 1]):
    ...     print(reason)
    wrong class
    right class, right reason
    right class, other reason
    """
    labels = checked_classes("labels", labels)
    predicted = checked_classes("predicted", predicted, len(labels))
    other = np.zeros(len(labels), bool)
    if without_defects is not None:
        after = checked_classes("without_defects", without_defects, len(labels), _NONE)
        other |= (after != _NONE) & (after == predicted)
    if without_tags is not None:
        after = checked_classes("without_tags", without_tags, len(labels), _NONE)
        other |= (after != _NONE) & (after != predicted)
    return np.select([predicted != labels, other], [WRONG, OTHER_REASON], RIGHT)


def _share_of(share: float, count: int) -> int:
    """The largest whole number that is at most a share of ``count``; 0.29 of 100 is 29."""
    return int(share * count + 1e-9)


def review_labels(anomalous: ArrayLike, share: float = 0.05, seed: int = 0) -> Labels:
    """Labels for a semi-supervised detector of explanations: a person has reviewed a random few.

    Parameters
    ----------
    anomalous : array-like of bool, shape (n,)
        What the person would say of each: True where the decision is wrong, or right for another
        reason.
    share
        Of all explanations that are reviewed, above 0 and at most 1; at least two are. Of these as
        large a share is anomalous as of all, and at least one of each kind.
    seed

    Returns
    -------
    ndarray of int64, shape (n,)
        1 known normal, -1 known anomalous, 0 not reviewed.

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
    count, bad = max(2, _share_of(share, len(anomalous))), int(anomalous.sum())
    if bad == 0:
        raise ValueError(
            f"there are no misclassified images to learn from: all {len(anomalous)} decisions are "
            "right for the right reason; review other images, or more of them"
        )
    if bad == len(anomalous):
        raise ValueError(
            "there are no decisions to learn from that are right for the right reason, among "
            f"{bad}: train the classifier longer"
        )
    known_bad = int(np.clip(round(count * bad / len(anomalous)), 1, min(bad, count - 1)))
    random = np.random.default_rng(seed)
    labels = np.zeros(len(anomalous), dtype=np.int_)
    labels[random.permutation(np.flatnonzero(anomalous))[:known_bad]] = -1
    labels[random.permutation(np.flatnonzero(~anomalous))[: count - known_bad]] = 1
    return labels


def explanations_to_learn_from(
    wrong: ArrayLike, share: float = 0.05, *, confirmed: ArrayLike | None = None, seed: int = 0
) -> tuple[Integers, Labels]:
    """Which explanations a semi-supervised detector learns from, and with which labels.

    Those of right decisions are taken unlabelled: most of them have the right reason, but no one
    has looked. A few of wrong decisions are known anomalies. Neither needs a mask or a look at any
    explanation, only the classes.

    Parameters
    ----------
    wrong : array-like of bool, shape (n,)
        True where the class is wrong.
    share
        Labelled ones are at most this share of all that are learned from; in (0, 0.5].
    confirmed : array-like of bool, shape (n,), optional
        Right decisions whose explanation a person has looked at and found right: they may take a
        third of the labels, as known normal.
    seed
        Which of them are drawn.

    Returns
    -------
    indices : ndarray of int64, shape (m,)
        Rising.
    labels : ndarray of int64, shape (m,)
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
    right = int((~wrong).sum())
    if not 0 < share <= 0.5:
        raise ValueError(f"share must lie in (0, 0.5], such as 0.05, not {share!r}")
    if not wrong.any():
        raise ValueError(
            f"there are no misclassified images to learn from: all {len(wrong)} decisions are "
            "right; review other images, or more"
        )
    if not right:
        raise ValueError(
            f"there are no right decisions to learn from among {len(wrong)}: "
            "train the classifier longer"
        )
    count = _share_of(share, right)
    if count < 1:
        raise ValueError(
            f"share: {share:g} of {right} right decisions is less than one label; "
            f"{1 / right:.3g} would be one"
        )
    random = np.random.default_rng(seed)
    known = np.zeros(len(wrong), dtype=np.int_)
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
    probabilities: Callable[[Images], Floats],
    images: Images,
    predicted: ArrayLike,
    heatmaps: Maps,
    *,
    blur: float = 0.1,
    steps: int = 16,
    show_progress: bool = True,
) -> Floats:
    """How little the certainty falls when what an explanation points at is blurred away.

    A baseline that needs no learning: deletion, as in `deletion_insertion`, of the predicted
    class's probability.

    Parameters
    ----------
    probabilities
        ``probabilities(images) -> (n, classes)``.
    images : ndarray of float32, shape (n, h, w, c)
        In [0, 1].
    predicted : array-like of int, shape (n,)
    heatmaps : ndarray of float, shape (n, h, w)
    blur
        Standard deviation of the Gaussian that stands for absence, as a share of the image's
        shorter side.
    steps
        As in `deletion_insertion`.
    show_progress

    Returns
    -------
    ndarray of float64, shape (n,)
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
    predicted = checked_classes("predicted", predicted, len(images))
    if not blur > 0:
        raise ValueError(f"blur must be positive, such as 0.1, not {blur!r}")
    width = blur * min(images.shape[1:3])
    blurred = gaussian_filter(images, (0, width, width, 0), mode="nearest")
    areas = np.full(len(images), np.nan)
    for label in np.unique(predicted):
        chosen = np.flatnonzero(predicted == label)

        def probability(pictures: Images, label: int = label) -> Floats:
            return probabilities(pictures)[:, label]

        curves = deletion_insertion(
            probability,
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
class Agreement:
    """Whether the audit without masks flags what the audit with masks calls wrong.

    Attributes
    ----------
    counts : pandas.DataFrame
        A row for each reason of `decision_reasons` that occurs, columns ``flagged`` and
        ``not flagged``.
    share : float
        Of images on which both agree: flagged and not right for the right reason, or neither.
    kappa : float
        Cohen's kappa: that share beyond what chance gives; 1 is complete, 0 chance. NaN where
        neither audit makes a difference.
    """

    counts: pd.DataFrame
    share: float
    kappa: float

    def table(self) -> pd.DataFrame:
        """The counts."""
        return self.counts

    def findings(self) -> list[str]:
        """How many decisions of each kind are flagged, and how far flags and reasons agree."""
        flagged, passed = self.counts["flagged"], self.counts["not flagged"]
        counts = [
            f"{flagged[name]} of {flagged[name] + passed[name]} with the {name}"
            for name in REASONS
            if name in self.counts.index
        ]
        return [
            f"Flagged are {', '.join(counts)}.",
            f"Flags and reasons agree on {100 * self.share:.0f} % of the images, Cohen's kappa "
            f"{self.kappa:.2f}.",
        ]


def audit_agreement(flags: ArrayLike, reasons: ArrayLike) -> Agreement:
    """Compare the flags of the audit without masks with the reasons of the audit with masks.

    Parameters
    ----------
    flags : array-like of bool, shape (n,)
    reasons : array-like of str, shape (n,)
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
    >>> reasons = ["wrong class", "wrong class", *["right class, right reason"] * 2]
    >>> found = audit_agreement([True, False, False, False], reasons)
    >>> found.share, found.kappa
    (0.75, 0.5)
    """
    flags, reasons = checked_flags(flags), np.asarray(reasons, dtype=str)
    if reasons.shape != flags.shape:
        raise ValueError(
            f"reasons must have one entry for each of the {len(flags)} images; "
            f"got shape {reasons.shape}"
        )
    unknown = np.setdiff1d(reasons, REASONS)
    if len(unknown):
        raise ValueError(
            f"reasons must be among {', '.join(map(repr, REASONS))}, not {str(unknown[0])!r}"
        )
    rows = {}
    for name in REASONS:
        members = flags[reasons == name]
        if len(members):
            rows[name] = [int(members.sum()), int((~members).sum())]
    counts = pd.DataFrame.from_dict(rows, orient="index", columns=["flagged", "not flagged"])
    bad = reasons != RIGHT
    share = float((flags == bad).mean())
    return Agreement(counts, share, _kappa(flags, bad))


def _kappa(flags: Flags, bad: Flags) -> float:
    """Cohen's kappa; NaN where both are the same for all images."""
    if (flags == flags[0]).all() and (bad == bad[0]).all() and flags[0] == bad[0]:
        return float("nan")
    return float(cohen_kappa_score(flags, bad))
