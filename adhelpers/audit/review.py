"""What a person gains who classifies the images with the highest scores again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Floats, Labels
from adhelpers._shared.checks import checked_scores

from ._checks import checked_classes

# Curves that belong to no score: any order, and every wrong image first.
_RANDOM, _IDEAL = "random", "ideal"


@dataclass(frozen=True)
class ReviewCurve:
    """Accuracy after a person has classified a share of the images again, highest scores first.

    Attributes
    ----------
    shares : ndarray of float64, shape (n + 1,)
        From 0, no image, to 1, all.
    accuracy : dict of str to ndarray of float64, shape (n + 1,)
        For each score; images of equal scores are taken in every order, on average. ``"random"``:
        the expectation of flagging any. ``"ideal"``: every wrong one first.
    before : float
        Accuracy without a review.
    """

    shares: Floats
    accuracy: dict[str, Floats]
    before: float

    def at(self, share: float) -> dict[str, float]:
        """Accuracy of each score after ``share`` of the images are reviewed."""
        return {
            name: float(np.interp(share, self.shares, values))
            for name, values in self.accuracy.items()
        }

    def share_needed(self, gain: float = 0.08) -> dict[str, float]:
        """The smallest share to review for the accuracy to rise by ``gain``; NaN if none does."""
        needed = {}
        for name, values in self.accuracy.items():
            # Rounding must not ask for one image more than needed.
            reached = np.flatnonzero(values >= self.before + gain - 1e-12)
            needed[name] = float(self.shares[reached[0]]) if len(reached) else float("nan")
        return needed

    def table(self, gain: float = 0.08, shares: Sequence[float] = (0.05, 0.1, 0.2)) -> pd.DataFrame:
        """A row for each score: accuracy after some shares, and the share needed for ``gain``."""
        columns = {
            f"accuracy after reviewing {100 * share:g} %": self.at(share) for share in shares
        }
        columns[f"share to review for +{100 * gain:g} points"] = self.share_needed(gain)
        return pd.DataFrame(columns)

    def findings(self, gain: float = 0.08) -> list[str]:
        """What share must be reviewed, in the order of the first score, to raise the accuracy."""
        first, needed = next(iter(self.accuracy)), self.share_needed(gain)
        if not np.isfinite(needed[first]):
            return [
                f"The accuracy without a review is {self.before:.3f}, so no review can raise it by "
                f"more than {100 * (1 - self.before):.1f} points."
            ]
        return [
            f"To raise the accuracy from {self.before:.3f} by {100 * gain:g} points, "
            f"{100 * needed[first]:.1f} % of the images must be reviewed in the order of the "
            f"{first}, {100 * needed[_RANDOM]:.1f} % in random order, and "
            f"{100 * needed[_IDEAL]:.1f} % in the best possible order."
        ]


def review_curve(
    scores: Mapping[str, ArrayLike],
    labels: ArrayLike,
    predicted: ArrayLike,
    classes: Sequence[int] | None = None,
) -> ReviewCurve:
    """What a person gains who classifies the images with the highest scores again.

    Parameters
    ----------
    scores : dict of str to array-like of float, shape (n,)
        For each way of flagging its score; higher is flagged first.
    labels, predicted : array-like of int, shape (n,)
        True and predicted class.
    classes
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
    >>> curve = review_curve({"score": [0.9, 0.1, 0.2, 0.3]}, [0, 0, 1, 1], [1, 0, 1, 0])
    >>> curve.accuracy["score"].tolist(), curve.share_needed(0.25)
    ([0.5, 0.75, 1.0, 1.0, 1.0], {'score': 0.25, 'random': 0.5, 'ideal': 0.25})
    """
    labels = checked_classes("labels", labels)
    predicted = checked_classes("predicted", predicted, len(labels))
    taken = {_RANDOM, _IDEAL} & set(scores)
    if taken:
        raise ValueError(
            f"scores: {taken.pop()!r} is a curve of its own; give the score another name"
        )
    weights = _weights(labels, classes)
    wrong = predicted != labels
    gains = weights * wrong
    before = float(weights[~wrong].sum())
    counts = np.arange(len(labels) + 1)
    accuracy = {}
    for name, given in scores.items():
        values = checked_scores(given, f"scores[{name!r}]")
        if len(values) != len(labels):
            raise ValueError(
                f"scores[{name!r}] must hold one number for each of the {len(labels)} images; "
                f"got {len(values)}"
            )
        order = np.argsort(-values, kind="stable")
        # Of equal scores any may come first: the expectation is a straight line over all of them.
        ends = np.append(np.flatnonzero(np.diff(values[order])) + 1, len(labels))
        gained = np.append(0, np.cumsum(gains[order]))
        accuracy[name] = before + np.interp(counts, np.append(0, ends), gained[np.append(0, ends)])
    accuracy[_RANDOM] = before + (1 - before) * counts / len(labels)
    accuracy[_IDEAL] = before + np.append(0, np.cumsum(np.sort(gains)[::-1]))
    return ReviewCurve(counts / len(labels), accuracy, before)


def _weights(labels: Labels, classes: Sequence[int] | None) -> Floats:
    """How much each image counts in the accuracy."""
    if classes is None:
        return np.full(len(labels), 1 / len(labels))
    if not len(classes):
        raise ValueError("classes must name at least one class")
    weights = np.zeros(len(labels))
    for one in classes:
        members = labels == one
        if not members.any():
            raise ValueError(f"classes: there is no image of class {one}")
        weights += members / (members.sum() * len(classes))
    return weights
