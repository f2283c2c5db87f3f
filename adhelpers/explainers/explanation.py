"""What every explainer returns, its version, and what all need: checked images, a batched score."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.arrays import Images, ScoreFunction

_Function = TypeVar("_Function", bound=Callable[..., Any])
_VERSION = "_version_and_parts"

# Room for rounding in resized images; a range of 0 to 255 is far outside.
_RANGE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Explanation:
    """Where the score of one image comes from.

    Parameters
    ----------
    heatmap : ndarray of float32, shape (h, w)
        Signed: positive where the image, compared with its counterpart, raises the score.
    details : dict
        Numbers, strings and arrays that the explainer wants to be known, such as LIME's ``"r2"``
        and ``"segments"`` or SHAP's ``"base_value"``.
    """

    heatmap: NDArray[np.float32]
    details: dict[str, Any] = field(default_factory=dict)


def versioned(number: int, *parts: Callable[..., Any]) -> Callable[[_Function], _Function]:
    """Give an explainer the version under which its explanations are stored and found again.

    Write it above the function, as a plain number. **Raise the number whenever equal arguments give
    another explanation than before**: another algorithm, another default inside of it, a corrected
    error, a new version of a library that computes something else. A faster or tidier way to the
    same numbers leaves it, and so does a new Python. Parameters of the function and their values
    are told apart anyway.

    Parameters
    ----------
    number : int
        At least 1.
    *parts : callable
        Functions with versions of their own whose results the explainer uses; when one of theirs is
        raised, the explainer's explanations are computed again too.

    Returns
    -------
    callable
        A decorator; it returns the function itself.

    Raises
    ------
    ValueError
        If ``number`` is no whole number of at least 1, or a part has no version.

    Examples
    --------
    >>> @versioned(1)
    ... def brightness(score, image, counterpart, *, seed=0):
    ...     return Explanation(image.mean(axis=2))
    >>> list(versions_of(brightness).values())
    [1]
    """
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"a version must be a whole number of at least 1, not {number!r}")
    for part in parts:
        versions_of(part)

    def mark(function: _Function) -> _Function:
        vars(function)[_VERSION] = (number, parts)
        return function

    return mark


def versions_of(function: Callable[..., Any]) -> dict[str, int]:
    """The versions of a `versioned` function and of its parts, by their full names.

    Raises
    ------
    ValueError
        If it has none; the message says how to give one.
    """
    name = getattr(function, "__qualname__", repr(function))
    if _VERSION not in getattr(function, "__dict__", {}):
        raise ValueError(
            f"{name} has no version, without which its explanations cannot be stored and found "
            "again: write @versioned(1) (from adhelpers.explainers) above it, and raise the number "
            "whenever its explanations change"
        )
    number, parts = vars(function)[_VERSION]
    found = {f"{function.__module__}.{name}": number}
    for part in parts:
        found |= versions_of(part)
    return found


def check_pair(
    image: ArrayLike, counterpart: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Check one image and its counterpart and return both as contiguous float32 arrays.

    Parameters
    ----------
    image : array-like, shape (h, w, c)
        In [0, 1], c = 1 or 3.
    counterpart : array-like, shape (h, w, c)
        What a normal version of the image looks like to the detector. Finite; it may leave [0, 1],
        as the reconstruction of a linear model does.

    Returns
    -------
    image, counterpart : ndarray of float32, shape (h, w, c)

    Raises
    ------
    ValueError
        If a shape is wrong, a value is not finite, or the image leaves [0, 1].

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
            "image must have the shape (height, width, channels) with 1 or 3 channels, not "
            f"{image.shape}"
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
        If ``batch_size`` is not a positive integer; in a call, if the score does not return
        one finite number an image.

    Examples
    --------
    >>> score = BatchedScore(lambda images: images.sum(axis=(1, 2, 3)), batch_size=2)
    >>> score(np.ones((3, 2, 2, 1), np.float32)).tolist(), score.evaluations
    ([4.0, 4.0, 4.0], 3)
    """

    def __init__(self, score: ScoreFunction, batch_size: int) -> None:
        if not callable(score):
            raise ValueError("score must be a function: score(images) -> one number for each image")
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(f"batch_size must be an integer of at least 1, not {batch_size!r}")
        self._score = score
        self.batch_size = int(batch_size)
        self.evaluations = 0

    def __call__(self, images: Images) -> NDArray[np.float64]:
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
                f"score must return one number for each image: for {size} images the shape "
                f"({size},), not {values.shape}"
            )
        values = values[:count]
        if not np.isfinite(values).all():
            raise ValueError("score returned NaN or an infinite value")
        self.evaluations += count
        return values
