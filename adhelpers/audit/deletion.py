"""How the score changes while pixels are replaced by the counterpart in a heatmap's order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Floats, Images, ScoreFunction
from adhelpers._shared.progress import progress
from adhelpers.explainers import BatchedScore, check_pair

from ._pasting import checked_stacks, ranks, scored


@dataclass(frozen=True)
class DeletionInsertion:
    """How the score changes while pixels are replaced, or brought back, in a heatmap's order.

    Attributes
    ----------
    shares : ndarray of float64, shape (steps + 1,)
        Share of the pixels that has been changed, from 0 to 1.
    deletion, insertion : dict of str to ndarray of float64, shape (n, steps + 1)
        Scores by explainer; NaN where the explanation failed. A deletion starts at the image's
        score and ends at the counterpart's; an insertion goes the other way.
    areas : pandas.DataFrame
        A row for each image and explainer: ``index``, ``explainer``, ``deletion``, ``insertion``.
        Areas under the curves, with the counterpart's score counted as 0 and the image's as 1;
        chance is about 0.5 for both where single pixels add up. A good heatmap has a small deletion
        and a large insertion area. NaN where the explanation failed and where the image does not
        score above its counterpart, since there is then nothing to explain.
    """

    shares: Floats
    deletion: dict[str, Floats]
    insertion: dict[str, Floats]
    areas: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """The mean areas of each explainer: index ``explainer``, ``deletion``, ``insertion``."""
        return self.areas.groupby("explainer", sort=False)[["deletion", "insertion"]].mean()

    def findings(self) -> list[str]:
        """Which explainer has the smallest deletion and which the largest insertion area."""
        means = self.table().dropna()
        if means.empty:
            return ["No image scores above its counterpart, so there is nothing to delete."]
        low, high = str(means["deletion"].idxmin()), str(means["insertion"].idxmax())
        return [
            f"Replacing what {low} points at lowers the score fastest (mean deletion area "
            f"{means['deletion'][low]:.2f}); bringing back what {high} points at raises it fastest "
            f"(mean insertion area {means['insertion'][high]:.2f})."
        ]


def deletion_insertion(
    score: ScoreFunction,
    images: Images,
    counterparts: Images,
    heatmaps: Mapping[str, ArrayLike],
    steps: int = 32,
    *,
    batch_size: int = 32,
    show_progress: bool = True,
) -> DeletionInsertion:
    """Deletion and insertion curves against the counterpart, with their areas, for each explainer.

    Deletion replaces the pixels with the highest relevance first; insertion starts from the
    counterpart and brings them back, the highest first. Petsiuk, Das, Saenko, "RISE: Randomized
    Input Sampling for Explanation of Black-box Models", BMVC 2018; there the pixels are deleted to
    grey and inserted into a blurred image.

    Parameters
    ----------
    score
        ``score(images) -> (n,)`` for float32 images (n, h, w, c).
    images, counterparts : ndarray of float32, shape (n, h, w, c)
        Images in [0, 1], and what a normal version of each looks like to the detector.
    heatmaps : dict of str to ndarray of float, shape (n, h, w)
        For each explainer; NaN throughout for an explanation that failed. Equal values as in
        :func:`repair_test`.
    steps
        Number of equal steps, from 1 to the number of pixels.
    batch_size
        Images in one call of ``score``.
    show_progress

    Returns
    -------
    DeletionInsertion

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, ``steps`` is out of range, or ``score`` does not
        return one finite number for each image.

    Examples
    --------
    >>> image = np.array([1.0, 0, 0, 0]).reshape(1, 2, 2, 1)
    >>> result = deletion_insertion(lambda images: images.sum(axis=(1, 2, 3)), image, 0 * image,
    ...                             {"exact": image[..., 0]}, steps=4, show_progress=False)
    >>> result.deletion["exact"].tolist(), result.table().values.tolist()
    ([[1.0, 0.0, 0.0, 0.0, 0.0]], [[0.125, 0.875]])
    """
    images, counterparts, stacks = checked_stacks(images, counterparts, heatmaps)
    if not stacks:
        raise ValueError(
            "heatmaps must hold at least one explainer, such as "
            "{'LIME': array of shape (n, height, width)}"
        )
    pixels = images.shape[1] * images.shape[2]
    if not isinstance(steps, (int, np.integer)) or not 1 <= steps <= pixels:
        raise ValueError(
            f"steps must be an integer from 1 to the number of pixels, {pixels}, not {steps!r}"
        )
    batched = BatchedScore(score, batch_size)
    counts = np.round(np.linspace(0, pixels, steps + 1)).astype(int)
    scores, base = batched(images), batched(counterparts)
    curves = {name: np.full((2, len(images), steps + 1), np.nan) for name in stacks}
    works = [
        (index, name)
        for index in range(len(images))
        for name, stack in stacks.items()
        if not np.isnan(stack[index]).any()
    ]
    for index, name in works:
        curves[name][:, index, [0, -1]] = [
            [scores[index], base[index]],
            [base[index], scores[index]],
        ]

    def stages() -> Iterator[tuple[tuple[str, int, int, int], Floats]]:
        """The pictures between the ends of each curve, deletions first, with their places."""
        for index, name in progress(works, "deletion and insertion", enabled=show_progress):
            image, counterpart = check_pair(images[index], counterparts[index])
            rank = ranks(stacks[name][index])
            for way, (start, end) in enumerate(((image, counterpart), (counterpart, image))):
                for step in range(1, steps):
                    changed = (rank < counts[step])[..., None]
                    yield (name, way, index, step), np.where(changed, end, start)

    for (name, *place), value in scored(batched, stages()):
        curves[name][tuple(place)] = value
    shares = counts / pixels
    return DeletionInsertion(
        shares,
        {name: both[0] for name, both in curves.items()},
        {name: both[1] for name, both in curves.items()},
        _areas(curves, shares, scores, base),
    )


def _areas(
    curves: Mapping[str, Floats], shares: Floats, scores: Floats, base: Floats
) -> pd.DataFrame:
    """The areas under both curves of each image and explainer."""
    rise = np.where(scores > base, scores - base, np.nan)
    parts = []
    for name, both in curves.items():
        deletion, insertion = (
            np.trapezoid(curve, shares, axis=1) / rise - base / rise for curve in both
        )
        part = {"index": range(len(scores)), "explainer": name}
        parts.append(pd.DataFrame(part | {"deletion": deletion, "insertion": insertion}))
    return pd.concat(parts, ignore_index=True)
