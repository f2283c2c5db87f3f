"""Masks: which pixels of a mask file are defect, and how a mask is brought to another frame.

No defect is lost on the way: a mask with a pixel in the file has one after `resize_mask`, whatever
the size, and after `warp_mask` where that pixel lies in the frame.
"""

import numpy as np

from adhelpers._shared.arrays import Flags, Floats, Integers, Masks

from .decoding import Decoded

# A file with no more distinct values holds labels, unless they lie as a lossy format leaves them.
_MOST_LABELS = 16
# Below this share of the full range a JPEG holds labels (1, 2, 3) and not black and white.
_FAINT = 0.125
# Number of distinct values near white that a lossy format leaves, and labels do not.
_BRIGHT_LEVELS = 2


def read_mask(decoded: Decoded) -> tuple[Masks, tuple[str, ...]]:
    """Which pixels of a mask file are defect, by what the file holds.

    Few distinct values are labels: each but 0 is defect, 1 of 255 also. Values in two clusters, as
    a lossy format or smooth edges leave them around black and white, are divided in the middle
    between the clusters. What is neither is named: each value but 0 is defect, in a JPEG each above
    a quarter of the largest. Where all colours are equal and only alpha differs, alpha is the mask.

    Parameters
    ----------
    decoded : Decoded

    Returns
    -------
    mask : ndarray of bool, shape (h, w)
    notes : tuple of str
        What is doubtful: ``"mask_in_alpha"``, ``"mask_lossy"``, ``"mask_unclear"``.
    """
    notes: tuple[str, ...] = ()
    values = decoded.image.max(axis=-1)
    flat = (np.ptp(decoded.colour, axis=(0, 1)) == 0).all()
    if flat and decoded.alpha is not None and np.ptp(decoded.alpha) > 0:
        values, notes = decoded.alpha, ("mask_in_alpha",)
    limit, doubt = _limit(values, decoded.lossy)
    return values > limit, (*notes, *doubt)


def _limit(values: Floats, lossy: bool) -> tuple[float, tuple[str, ...]]:
    """What a pixel of a defect exceeds, and what is doubtful about it."""
    levels, counts = np.unique(values, return_counts=True)
    largest = levels[-1]
    dark, bright = levels <= largest / 4, levels >= 0.75 * largest
    if _are_labels(levels, lossy):
        return 0.0, ()
    clustered = dark.any() and counts[~dark & ~bright].sum() <= counts[bright].sum()
    if clustered and (lossy or bright.sum() >= _BRIGHT_LEVELS):
        centres = [np.average(levels[side], weights=counts[side]) for side in (dark, bright)]
        return float(np.mean(centres)), ("mask_lossy",)
    return (float(largest / 4) if lossy else 0.0), ("mask_unclear",)


def _are_labels(levels: Floats, lossy: bool) -> bool:
    """Whether the distinct values of a mask are labels, of which each but 0 is a defect."""
    if len(levels) > _MOST_LABELS:
        return False
    largest = levels[-1]
    if lossy:
        return bool(len(levels) == 1 or levels[1:].max() < _FAINT or np.all(levels[:-1] == 0))
    # A JPEG that was saved again as PNG: ringing beside edges leaves several values just above
    # black and just below white, and none between.
    low, high = (levels > 0) & (levels <= largest / 4), (levels >= 0.75 * largest)
    ringing = low.sum() >= 2 and high.sum() >= _BRIGHT_LEVELS and largest > 0.5
    return not (ringing and (levels[0] == 0) and low.sum() + high.sum() + 1 == len(levels))


def resize_mask(mask: Masks, image_size: tuple[int, int]) -> Masks:
    """Resize a mask so that each of its pixels is kept.

    Where it gets smaller, a pixel is defect where any pixel whose centre falls into it is; where it
    gets larger, where the nearest one is.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
    image_size : tuple of int
        Height and width.

    Returns
    -------
    ndarray of bool, shape image_size

    Examples
    --------
    >>> mask = np.zeros((6, 4), bool)
    >>> mask[0, 0] = mask[5, 3] = True
    >>> resize_mask(mask, (3, 2)).astype(int).tolist()
    [[1, 0], [0, 0], [0, 1]]
    """
    for axis, count in enumerate(image_size):
        before = mask.shape[axis]
        if count >= before:
            nearest = (2 * np.arange(count) + 1) * before // (2 * count)
            mask = mask.take(nearest, axis=axis)
        else:
            falls_into = (2 * np.arange(before) + 1) * count // (2 * before)
            first = np.searchsorted(falls_into, np.arange(count))
            mask = np.logical_or.reduceat(mask, first, axis=axis)
    return mask


def _moved(matrix: Floats, rows: Integers, columns: Integers) -> tuple[Integers, Integers]:
    """Rows and columns of the pixels that a matrix takes the centres of pixels to."""
    x, y = (matrix[i, 0] * columns + matrix[i, 1] * rows + matrix[i, 2] for i in (0, 1))
    # Rounded first: a centre on the edge of a pixel must not move by a last bit.
    row, column = (np.floor(np.round(value + 0.5, 9)).astype(int) for value in (y, x))
    return row, column


def _inside(rows: Integers, columns: Integers, shape: tuple[int, ...]) -> Flags:
    return (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])


def warp_mask(mask: Masks, matrix: Floats, image_size: tuple[int, int]) -> Masks:
    """Cut the frame that ``matrix`` describes out of a mask so that no pixel inside it is lost.

    Each pixel of the frame takes the pixel of the mask that its centre lies in. A defect pixel that
    none takes, because the frame is coarser than the mask, marks the one that its own centre lies
    in.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
    matrix : ndarray of float64, shape (3, 3)
        Takes (x, y, 1) in pixels of the frame to pixels of the mask.
    image_size : tuple of int
        Height and width.

    Returns
    -------
    ndarray of bool, shape image_size
    """
    rows, columns = _moved(matrix, *np.indices(image_size))
    known = _inside(rows, columns, mask.shape)
    result = np.zeros(image_size, bool)
    result[known] = mask[rows[known], columns[known]]
    left = mask.copy()
    left[rows[known], columns[known]] = False
    rows, columns = _moved(np.linalg.inv(matrix), *np.nonzero(left))
    within = _inside(rows, columns, image_size)
    result[rows[within], columns[within]] = True
    return result


def share_outside(mask: Masks, matrix: Floats, image_size: tuple[int, int]) -> float:
    """Share of a mask's pixels whose centres lie outside the frame; 0 for an empty mask.

    Parameters as in `warp_mask`.

    Examples
    --------
    >>> mask = np.zeros((4, 8), bool)
    >>> mask[1, 2:6] = True
    >>> share_outside(mask, np.eye(3), (4, 4))
    0.5
    """
    rows, columns = _moved(np.linalg.inv(matrix), *np.nonzero(mask))
    return float(1 - _inside(rows, columns, image_size).mean()) if len(rows) else 0.0
