"""What every explainer returns, and the two things all of them need: checked images and a batched score."""

from dataclasses import dataclass, field

import numpy as np

# Room for rounding in resized images; a range of 0 to 255 is far outside.
_RANGE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Explanation:
    """Where the score of one image comes from.

    Parameters
    ----------
    heatmap : ndarray of float32, (h, w)
        Signed: positive where the image, compared with its counterpart, raises the score.
    details : dict
        Numbers, strings and arrays that the explainer wants to be known, such as LIME's ``"r2"``
        and ``"segments"`` or SHAP's ``"base_value"``.
    """

    heatmap: np.ndarray
    details: dict = field(default_factory=dict)


def check_pair(image, counterpart):
    """Check one image and its counterpart and return both as contiguous float32 arrays.

    Parameters
    ----------
    image : array-like, (h, w, c)
        In [0, 1], c = 1 or 3.
    counterpart : array-like, (h, w, c)
        What a normal version of the image looks like to the detector. Finite; it may leave [0, 1],
        as the reconstruction of a linear model does.

    Returns
    -------
    image, counterpart : ndarray of float32, (h, w, c)

    Raises
    ------
    ValueError
        Where a shape is wrong, a value is not finite, or the image leaves [0, 1].

    Examples
    --------
    >>> image, counterpart = check_pair(np.ones((4, 6, 1)), np.zeros((4, 6, 1)))
    >>> image.dtype, counterpart.shape
    (dtype('float32'), (4, 6, 1))
    """
    image = np.ascontiguousarray(image, dtype=np.float32)
    counterpart = np.ascontiguousarray(counterpart, dtype=np.float32)
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise ValueError(
            f"image must have the shape (height, width, channels) with 1 or 3 channels, not {image.shape}"
        )
    if counterpart.shape != image.shape:
        raise ValueError(
            f"counterpart must have the shape of the image, {image.shape}, not {counterpart.shape}"
        )
    for name, array in (("image", image), ("counterpart", counterpart)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinite values")
    low, high = float(image.min()), float(image.max())
    if low < -_RANGE_TOLERANCE or high > 1 + _RANGE_TOLERANCE:
        raise ValueError(f"image must lie in [0, 1], but ranges from {low:g} to {high:g}")
    return image, counterpart


class BatchedScore:
    """A detector's score, called in batches of few different sizes and checked.

    A compiled function (``tf.function``) is traced anew for each batch size it has not seen.
    Batches are therefore filled up, by repeating their last image, to the next power of two or to
    ``batch_size``, and the surplus scores are dropped.

    Parameters
    ----------
    score : callable
        ``score(images) -> (n,)`` for float32 images (n, h, w, c) in [0, 1].
    batch_size : int
        Largest number of images in one call.

    Attributes
    ----------
    evaluations : int
        Number of images scored so far, without the ones that only fill up a batch.

    Raises
    ------
    ValueError
        Where ``batch_size`` is not a positive integer; in a call, where the score does not return
        one finite number an image.

    Examples
    --------
    >>> score = BatchedScore(lambda images: images.sum(axis=(1, 2, 3)), batch_size=2)
    >>> score(np.ones((3, 2, 2, 1), np.float32)).tolist(), score.evaluations
    ([4.0, 4.0, 4.0], 3)
    """

    def __init__(self, score, batch_size):
        if not callable(score):
            raise ValueError("score must be a function: score(images) -> one number for each image")
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(f"batch_size must be an integer of at least 1, not {batch_size!r}")
        self._score = score
        self.batch_size = int(batch_size)
        self.evaluations = 0

    def __call__(self, images):
        """Scores of images (n, h, w, c) as float64 (n,)."""
        parts = [
            self._one_batch(images[start : start + self.batch_size])
            for start in range(0, len(images), self.batch_size)
        ]
        return np.concatenate(parts)

    def _one_batch(self, images):
        count = len(images)
        size = min(1 << (count - 1).bit_length(), self.batch_size)
        if size > count:
            images = np.concatenate([images, np.repeat(images[-1:], size - count, axis=0)])
        values = np.asarray(
            self._score(np.ascontiguousarray(images, dtype=np.float32)), dtype=np.float64
        )
        if values.shape != (size,):
            raise ValueError(
                f"score must return one number for each image: for {size} images the shape ({size},), "
                f"not {values.shape}"
            )
        values = values[:count]
        if not np.isfinite(values).all():
            raise ValueError("score returned NaN or an infinite value")
        self.evaluations += count
        return values
