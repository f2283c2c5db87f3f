"""Scores of an image whose regions are replaced by its counterpart's, for LIME and SHAP."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.arrays import Floats, ScoreFunction

from .explanation import BatchedScore

# Two ways to one score differ by float32's rounding only.
_TOLERANCE = 1e-4


class RegionScores(Protocol):
    """What a detector can offer that knows its scores of composed images from their regions' parts.

    Without it an explainer composes each composed image and asks for its score.
    """

    def add(self, regions: NDArray[np.bool_]) -> None:
        """Take more regions: ndarray of bool, shape (k, h, w)."""

    def __call__(self, shown: NDArray[np.bool_], present: Floats) -> ArrayLike:
        """The score of the image where ``shown``, of its counterpart elsewhere.

        Parameters
        ----------
        shown : ndarray of bool, shape (n, h, w)
        present : ndarray of float32, shape (n, number of regions added so far)
            How the regions make up ``shown``: their sum, each times its number here (1, 0 or -1),
            is 1 where it is True and 0 elsewhere.

        Returns
        -------
        array-like, shape (n,)
        """


# region_scores(image, counterpart), such as a detector's method of that name.
RegionScoresOf = Callable[[NDArray[np.float32], NDArray[np.float32]], RegionScores]


class ComposedImage:
    """One image and its counterpart, of which compositions say what is shown; it counts and checks.

    Parameters
    ----------
    score : callable
        ``score(images) -> (n,)``.
    image, counterpart : ndarray of float32, shape (h, w, c)
    batch_size : int
        Largest number of images in one call of ``score``.
    region_scores : callable, optional
        ``region_scores(image, counterpart)`` gives a `RegionScores`, which is asked in place of
        ``score``.

    Attributes
    ----------
    evaluations : int
        Number of composed images scored so far.

    Examples
    --------
    >>> image = np.ones((2, 2, 1), np.float32)
    >>> composed = ComposedImage(lambda images: images.sum(axis=(1, 2, 3)), image, 0 * image, 16)
    >>> composed.add(np.array([[[True, True], [False, False]]]))
    >>> composed(np.array([[[True, True], [False, False]]]), np.ones((1, 1), np.float32)).tolist()
    [2.0]
    """

    def __init__(
        self,
        score: ScoreFunction,
        image: NDArray[np.float32],
        counterpart: NDArray[np.float32],
        batch_size: int,
        region_scores: RegionScoresOf | None = None,
    ) -> None:
        self._image, self._counterpart = image, counterpart
        self._plain = BatchedScore(score, batch_size)
        self._parts = None if region_scores is None else region_scores(image, counterpart)
        self._evaluations, self._compared = 0, False

    @property
    def evaluations(self) -> int:
        """Number of composed images scored so far."""
        return self._evaluations

    def add(self, regions: NDArray[np.bool_]) -> None:
        """Regions that compositions will consist of, see `RegionScores`."""
        if self._parts is not None:
            self._parts.add(regions)

    def __call__(self, shown: NDArray[np.bool_], present: ArrayLike) -> NDArray[np.float64]:
        """Scores under compositions, see `RegionScores`: ndarray of float64, shape (n,)."""
        self._evaluations += len(shown)
        if self._parts is None:
            return self._composed(shown)
        values = np.asarray(
            self._parts(shown, np.asarray(present, dtype=np.float32)), dtype=np.float64
        )
        if values.shape != (len(shown),) or not np.isfinite(values).all():
            raise ValueError(
                f"region_scores must give one finite number for each of {len(shown)} compositions"
            )
        if not self._compared:
            self._compare(float(values[0]), shown[:1])
        return values

    def _compare(self, value: float, shown: NDArray[np.bool_]) -> None:
        """The very first composition is scored in both ways: both must be the same score."""
        expected = float(self._composed(shown)[0])
        if abs(value - expected) > _TOLERANCE * max(1.0, abs(expected)):
            raise ValueError(
                f"region_scores gives {value:.6g} where score gives {expected:.6g} for the same "
                "composed image: both must belong to one detector"
            )
        self._compared = True

    def _composed(self, shown: NDArray[np.bool_]) -> NDArray[np.float64]:
        parts, size = [], self._plain.batch_size
        for start in range(0, len(shown), size):
            # As large as the images: choosing by a value for each pixel would take longer.
            some = np.repeat(shown[start : start + size], self._image.shape[2], axis=2)
            some = some.reshape(-1, *self._image.shape)
            parts.append(self._plain(np.where(some, self._image, self._counterpart)))
        return np.concatenate(parts)

    def whole(self, image: NDArray[Any]) -> float:
        """The score of a whole image, from ``score`` itself and not counted."""
        return float(self._plain(image[None])[0])
