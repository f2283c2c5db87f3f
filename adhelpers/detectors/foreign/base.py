"""What every detector that comes from outside can do, whatever it is made of."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from adhelpers._shared.arrays import Images, Maps, Scores
from adhelpers._shared.checks import checked_images

_NAMED = 10
_SENTENCES = 4


@dataclass(frozen=True)
class Answer:
    """What a model says about images, as it says it: maps in the model's own size.

    Attributes
    ----------
    scores : ndarray, shape (n,), or None
    maps : ndarray, shape (n, h, w), or None
    reconstructions : ndarray of float32, shape (n, h, w, c), in [0, 1], or None
    """

    scores: NDArray[Any] | None = None
    maps: NDArray[Any] | None = None
    reconstructions: Images | None = None


class ForeignDetector(ABC):
    """A detector that was not trained here: it scores images and may show where they differ.

    It is neither fitted nor stored. An adapter says in `_answer` what its model gives; everything
    else is the same for all of them: images are checked, maps are brought to the images' size,
    scores are the maximum of the map where the model gives none, NaN is refused.

    Parameters
    ----------
    title : str
        What it is called in tables and reports.
    has_map : bool
        Whether it gives anomaly maps.
    fingerprint : str
        Hexadecimal SHA-256 of what it is, where that can be known; else empty.

    Attributes
    ----------
    counterpart_name : str
        What the `counterpart` is, written above its picture; empty without one.
    folder : None
        It is not stored.

    Examples
    --------
    >>> class Brightness(ForeignDetector):
    ...     def _answer(self, images, *, score=True, maps=True):
    ...         return Answer(maps=images.mean(axis=-1))
    >>> bright = Brightness("brightness", has_map=True)
    >>> images = np.zeros((2, 8, 8, 1), np.float32)
    >>> images[1, 2, 3] = 0.5
    >>> bright.score(images).tolist(), bright.anomaly_map(images).shape
    ([0.0, 0.5], (2, 8, 8))
    """

    counterpart_name: str = ""
    folder: Path | None = None

    def __init__(self, title: str, *, has_map: bool, fingerprint: str = "") -> None:
        self.title, self.has_map, self.fingerprint = title, has_map, fingerprint
        self._counterpart: Callable[[Images], ArrayLike] | None = None
        self._resized: set[str] = set()

    @abstractmethod
    def _answer(self, images: Images, *, score: bool = True, maps: bool = True) -> Answer:
        """What is asked for, or more: for images that are checked, float32 (n, h, w, c) in [0, 1].

        The score follows from the maps where there is none.
        """

    def score(self, images: Images) -> Scores:
        """One number an image, higher is more anomalous.

        Parameters
        ----------
        images : ndarray of float32, shape (n, h, w, c), in [0, 1], c = 1 or 3

        Returns
        -------
        ndarray of float32, shape (n,)

        Raises
        ------
        ValueError
            If the images are not as above, the model cannot take them, or a score is NaN or
            infinite.
        """
        return self._scores(self._answer(checked_images(images), maps=False), len(images))

    def anomaly_map(self, images: Images) -> Maps:
        """Where the score comes from, higher is more anomalous.

        Parameters
        ----------
        images : ndarray of float32, shape (n, h, w, c), in [0, 1], c = 1 or 3

        Returns
        -------
        ndarray of float32, shape (n, h, w)
            In the images' size: a map of another size is resized with bilinear interpolation.

        Raises
        ------
        ValueError
            As `score`, or if the detector has no map.
        """
        self._require_map()
        return self._maps(self._answer(checked_images(images), score=False), images)

    def score_and_map(self, images: Images) -> tuple[Scores, Maps]:
        """`score` and `anomaly_map` with one pass of the model.

        Raises
        ------
        ValueError
            As `anomaly_map`.
        """
        self._require_map()
        answer = self._answer(checked_images(images))
        return self._scores(answer, len(images)), self._maps(answer, images)

    def counterpart(self, images: Images) -> Images:
        """What a normal version of each image looks like.

        Parameters
        ----------
        images : ndarray of float32, shape (n, h, w, c), in [0, 1]

        Returns
        -------
        ndarray of float32, shape (n, h, w, c), in [0, 1]

        Raises
        ------
        ValueError
            If it has none, or what its function returns has another shape.
        """
        if self._counterpart is None:
            raise ValueError(
                f"{self.title} has no normal version of an image: give it one with "
                "with_counterpart(name, function)"
            )
        given = np.asarray(self._counterpart(checked_images(images)), np.float32)
        if given.shape != np.shape(images) or not np.isfinite(given).all():
            raise ValueError(
                f"{self.title}: its counterpart must be finite and have the images' shape "
                f"{np.shape(images)}; got {given.shape}"
            )
        return np.clip(given, 0, 1)

    def with_counterpart(self, name: str, function: Callable[[Images], ArrayLike]) -> Self:
        """The same detector with normal versions of images that something else makes.

        Parameters
        ----------
        name : str
            What they are, such as ``"nearest good image"``.
        function : callable
            Takes images (n, h, w, c) and returns images of the same shape.

        Returns
        -------
        ForeignDetector
            A copy; this one stays as it is.
        """
        other = copy.copy(self)
        other.counterpart_name, other._counterpart = name, function
        return other

    def facts(self) -> list[str]:
        """What was found about the model and what is done to the images: sentences for a report."""
        resized = sorted(self._resized)
        more = len(resized) - _SENTENCES
        return resized[:_SENTENCES] + [f"{more} other sizes were resized as well"] * (more > 0)

    def _seen_size(self, images: Images) -> tuple[int, int]:
        """Height and width of the images as the model sees them."""
        return images.shape[1], images.shape[2]

    def _require_map(self) -> None:
        if not self.has_map:
            raise ValueError(f"{self.title} gives a score and no anomaly map")

    def _scores(self, answer: Answer, count: int) -> Scores:
        scores = answer.scores
        if scores is None:
            assert answer.maps is not None
            # Before the maps are resized: the score is the model's, whatever size the images have.
            scores = answer.maps.max(axis=(1, 2))
        if scores.shape != (count,):
            raise ValueError(
                f"{self.title}: gave scores of the shape {scores.shape} for {count} "
                f"image{'' if count == 1 else 's'}; one number for each is needed"
            )
        self._refuse_nan(scores, "score")
        return scores.astype(np.float32)

    def _maps(self, answer: Answer, images: Images) -> Maps:
        maps = answer.maps
        assert maps is not None
        if len(maps) != len(images):
            raise ValueError(f"{self.title}: gave {len(maps)} maps for {len(images)} images")
        seen = self._seen_size(images)
        if seen[0] != seen[1] and maps.shape[1:] == seen[::-1]:
            raise ValueError(
                f"{self.title}: its maps have {seen[1]} x {seen[0]} pixels (height x width), its "
                f"images {seen[0]} x {seen[1]}: rows and columns are exchanged"
            )
        height, width = images.shape[1:3]
        self._refuse_nan(maps, "anomaly map")
        self._note_maps(maps.shape[1:], images)
        return resized_maps(maps, (height, width))

    def _note_maps(self, size: tuple[int, ...], images: Images) -> None:
        """Keep for `facts` that maps of a size are resized to the images'."""
        (rows, columns), (height, width) = size, images.shape[1:3]
        if (rows, columns) != (height, width):
            self._resized.add(
                f"Maps of {rows} x {columns} are resized to {height} x {width} (bilinear)"
            )

    def _refuse_nan(self, values: NDArray[Any], what: str) -> None:
        """Refuse values that are no numbers, with the positions of the images."""
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not finite.all():
            wrong = [str(index) for index in np.flatnonzero(~finite)]
            more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
            raise ValueError(
                f"{self.title}: gave NaN or infinite values in the {what} of image "
                f"{', '.join(wrong[:_NAMED])}{more} (counted from 0)"
            )


def resized_maps(maps: NDArray[Any], size: tuple[int, int]) -> Maps:
    """Maps in another size, by bilinear interpolation.

    Parameters
    ----------
    maps : ndarray, shape (n, h, w)
    size : tuple of int
        Height and width.

    Returns
    -------
    ndarray of float32, shape (n, *size)

    Examples
    --------
    >>> resized_maps(np.array([[[0.0, 1.0]]]), (1, 4)).round(2).tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """
    maps = np.asarray(maps, np.float32)
    if maps.shape[1:] == tuple(size):
        return maps
    # Pillow widens its filter where a map gets smaller, so that no small region is skipped.
    return np.stack(
        [
            np.asarray(Image.fromarray(one).resize(size[::-1], Image.Resampling.BILINEAR))
            for one in maps
        ]
    )
