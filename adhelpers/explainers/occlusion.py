"""Occlusion: how much the score falls when the counterpart covers a place."""

import numpy as np
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import ScoreFunction

from .explanation import BatchedScore, Explanation, check_pair, versioned


# Raise the version when equal arguments give another explanation.
@versioned(1)
def explain_with_occlusion(
    score: ScoreFunction,
    image: ArrayLike,
    counterpart: ArrayLike,
    *,
    window: int | tuple[int, int] | None = None,
    stride: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
) -> Explanation:
    """Explain the score of one image by sliding a window of its counterpart over it.

    Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014; there the
    window is grey.

    Parameters
    ----------
    score : callable
        ``score(images) -> (n,)`` for float32 images (n, h, w, c).
    image : ndarray, shape (h, w, c)
        In [0, 1], c = 1 or 3.
    counterpart : ndarray, shape (h, w, c)
        What a normal version of the image looks like to the detector.
    window : int or tuple of int, optional
        Side, or height and width, of the window in pixels; default: an eighth of the image's
        shorter side, at least 2.
    stride : int, optional
        Pixels from one place of the window to the next, at most its side; default: half the side.
        The last place of a row or column is at the border, so every pixel is covered.
    batch_size : int
        Largest number of images in one call of the score.
    seed : int
        Not used; all explainers share one signature.

    Returns
    -------
    Explanation
        Heatmap: by how much the score falls, averaged over the windows that cover a pixel, in units
        of the score. Details: ``score`` (of the image), ``windows`` (their number), ``window`` (its
        height and width) and ``stride``.

    Raises
    ------
    ValueError
        For an argument out of range, or a score that does not return one finite number for each
        image.

    Examples
    --------
    >>> image = np.zeros((8, 8, 1)); image[2:4, 4:6] = 1
    >>> def score(images):
    ...     return images.sum(axis=(1, 2, 3))
    >>> explanation = explain_with_occlusion(score, image, 0 * image, window=2, stride=2)
    >>> float(explanation.heatmap[2, 4]), explanation.details["windows"]
    (4.0, 16)
    """
    image, counterpart = check_pair(image, counterpart)
    height, width = image.shape[:2]
    rows, columns = _window(window, height, width)
    if stride is None:
        stride = max(1, min(rows, columns) // 2)
    if not isinstance(stride, (int, np.integer)) or not 1 <= stride <= min(rows, columns):
        raise ValueError(
            "stride must be a whole number from 1 to the window's shorter side, "
            f"{min(rows, columns)}, not {stride!r}"
        )
    batched = BatchedScore(score, batch_size)
    places = [
        (top, left)
        for top in _starts(height, rows, stride)
        for left in _starts(width, columns, stride)
    ]
    value, fallen = float(batched(image[None])[0]), np.zeros((height, width))
    covered = np.zeros((height, width))
    for start in range(0, len(places), batched.batch_size):
        batch = places[start : start + batched.batch_size]
        occluded = np.repeat(image[None], len(batch), axis=0)
        for picture, (top, left) in zip(occluded, batch, strict=True):
            picture[top : top + rows, left : left + columns] = counterpart[
                top : top + rows, left : left + columns
            ]
        for (top, left), after in zip(batch, batched(occluded), strict=True):
            fallen[top : top + rows, left : left + columns] += value - after
            covered[top : top + rows, left : left + columns] += 1
    details = {
        "score": value,
        "windows": len(places),
        "window": [rows, columns],
        "stride": int(stride),
    }
    return Explanation((fallen / covered).astype(np.float32), details)


def _window(window: int | tuple[int, int] | None, height: int, width: int) -> tuple[int, int]:
    if window is None:
        window = max(2, min(height, width) // 8)
    sides = tuple(window) if isinstance(window, (tuple, list)) else (window, window)
    whole = len(sides) == 2 and all(
        isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in sides
    )
    if not whole or not (1 <= sides[0] <= height and 1 <= sides[1] <= width):
        raise ValueError(
            "window must be a whole number of pixels, or (height, width), within the image's "
            f"{height} x {width}, not {window!r}"
        )
    return int(sides[0]), int(sides[1])


def _starts(size: int, window: int, stride: int) -> list[int]:
    starts = list(range(0, size - window + 1, stride))
    return starts if starts[-1] == size - window else [*starts, size - window]
