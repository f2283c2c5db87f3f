"""Scores of composed images for a linear reconstruction: from its regions' reconstructions."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from adhelpers._shared.arrays import Floats, Scores

from .residuals import ResidualScore

# Masks that are reconstructed and scored together.
_BLOCK = 64
# Largest share of the compositions that is left after pairing, for which pairing saves time.
_WORTH_PAIRING = 0.75


def compiled_composed_score(
    scoring: ResidualScore, shape: tuple[int, ...]
) -> Callable[..., tf.Tensor]:
    """The last step, the same as for whole images, compiled once for all images of a detector.

    Parameters
    ----------
    scoring : ResidualScore
    shape : tuple of int
        (h, w, c).

    Returns
    -------
    callable
        Of what is shown (n, h, w), image and counterpart (h, w, c), and the reconstructions of the
        composed images before they are cut to [0, 1] (n, h * w * c); returns the scores (n,).
    """
    size = math.prod(shape)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, *shape[:2]), tf.bool),
            tf.TensorSpec(shape),
            tf.TensorSpec(shape),
            tf.TensorSpec((None, size)),
        ]
    )
    def composed_score(
        shown: tf.Tensor, image: tf.Tensor, counterpart: tf.Tensor, reconstructed: tf.Tensor
    ) -> tf.Tensor:
        images = tf.where(shown[..., None], image, counterpart)
        reconstructions = tf.clip_by_value(tf.reshape(reconstructed, (-1, *shape)), 0.0, 1.0)
        return scoring.score_of(images, reconstructions)

    return composed_score


class LinearRegionScores:
    """Scores of one image under compositions, for a projection onto components.

    A composed image is its counterpart plus the shown regions' differences from it, and so its
    reconstruction is that of the counterpart plus the regions' own: one sum for each composition in
    place of two passes through all components.

    Parameters
    ----------
    composed_score : callable
        See `compiled_composed_score`.
    image, counterpart : ndarray of float32, shape (h, w, c)
    mean : ndarray of float32, shape (h * w * c,)
    components : ndarray of float32, shape (m, h * w * c)
        Orthonormal rows.

    Examples
    --------
    >>> image, dark = np.ones((2, 2, 1), "f4"), np.zeros((2, 2, 1), "f4")
    >>> last = compiled_composed_score(ResidualScore("max"), (2, 2, 1))
    >>> composed = LinearRegionScores(last, image, dark, 0 * image.ravel(), image.reshape(1, 4) / 2)
    >>> composed.add(np.eye(2, dtype=bool)[None])
    >>> composed(np.eye(2, dtype=bool)[None], np.ones((1, 1), "f4")).tolist()
    [0.5]
    """

    def __init__(
        self,
        composed_score: Callable[..., tf.Tensor],
        image: NDArray[np.float32],
        counterpart: NDArray[np.float32],
        mean: Floats,
        components: Floats,
    ) -> None:
        self._composed_score = composed_score
        self._image, self._counterpart = tf.constant(image), tf.constant(counterpart)
        self._difference = image - counterpart
        self._components = components
        self._places = components.reshape(len(components), *image.shape)
        centred = counterpart.ravel() - mean
        self._base = mean + (components @ centred) @ components
        self._regions = np.zeros((0, components.shape[1]), np.float32)

    def add(self, regions: NDArray[np.bool_]) -> None:
        """Take more regions: ndarray of bool, shape (k, h, w)."""
        if len(regions) == 0:
            return
        codes = np.stack([self._code(region) for region in regions])
        self._regions = np.concatenate([self._regions, codes @ self._components])

    def _code(self, region: NDArray[np.bool_]) -> Floats:
        """The components' coordinates of what a region adds; only the box around it is read."""
        rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
        if len(rows) == 0:
            return np.zeros(len(self._components), np.float32)
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        added = self._difference[box] * region[box][..., None]
        return np.tensordot(self._places[:, *box], added, axes=3)

    def reconstructed(self, present: Floats) -> Floats:
        """Reconstructions of composed images before they are cut to [0, 1]: (n, h * w * c).

        A composition and its complement add up to all regions, so one sum is enough for both:
        LIME's compositions come in such pairs.
        """
        if len(self._regions) == 0:
            return np.repeat(self._base[None], len(present), axis=0)
        turned = present[:, 0] == 0
        rows, which = np.unique(
            np.where(turned[:, None], 1 - present, present), axis=0, return_inverse=True
        )
        if len(rows) > _WORTH_PAIRING * len(present):
            found = present @ self._regions
            found += self._base
            return found
        sums = rows @ self._regions
        everything = self._regions.sum(axis=0) + self._base
        found = np.empty((len(present), sums.shape[1]), np.float32)
        for row, index, turn in zip(found, which.ravel(), turned, strict=True):
            if turn:
                np.subtract(everything, sums[index], out=row)
            else:
                np.add(self._base, sums[index], out=row)
        return found

    def __call__(self, shown: NDArray[np.bool_], present: Floats) -> Scores:
        """The score of the image where ``shown`` (n, h, w), made of the regions ``present``."""
        parts = [
            self._composed_score(
                tf.constant(shown[start : start + _BLOCK]),
                self._image,
                self._counterpart,
                tf.constant(self.reconstructed(present[start : start + _BLOCK])),
            ).numpy()
            for start in range(0, len(shown), _BLOCK)
        ]
        return np.concatenate(parts)
