"""Baseline explainers: what an explanation must beat to be worth its time."""

import zlib

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter

from adhelpers._shared.arrays import ScoreFunction

from .explanation import Explanation, check_pair, versioned


# Raise the version when equal arguments give another explanation.
@versioned(1)
def residual_map(
    score: ScoreFunction | None,
    image: ArrayLike,
    counterpart: ArrayLike,
    *,
    seed: int = 0,
    smoothing: float = 1.0,
) -> Explanation:
    """The absolute difference of image and counterpart, smoothed: no call of the score at all.

    Parameters
    ----------
    score : callable
        Not used; all explainers share one signature.
    image, counterpart : ndarray, shape (h, w, c)
        The image in [0, 1] and what a normal version of it looks like.
    seed : int
        Not used.
    smoothing : float
        Standard deviation of the Gaussian in pixels; 0 leaves the residual as it is.

    Returns
    -------
    Explanation
        Heatmap: mean over the channels of the absolute difference, in units of the image.

    Raises
    ------
    ValueError
        For an image or counterpart out of range, or a negative ``smoothing``.

    Examples
    --------
    >>> residual_map(None, np.full((2, 2, 1), 0.75), np.full((2, 2, 1), 0.5)).heatmap.tolist()
    [[0.25, 0.25], [0.25, 0.25]]
    """
    _check_width("smoothing", smoothing, smallest=0)
    image, counterpart = check_pair(image, counterpart)
    residual = np.abs(image - counterpart).mean(axis=2)
    return Explanation(gaussian_filter(residual, smoothing), {"smoothing": float(smoothing)})


# Raise the version when equal arguments give another explanation.
@versioned(1)
def uniform(
    score: ScoreFunction | None,
    image: ArrayLike,
    counterpart: ArrayLike,
    *,
    seed: int = 0,
) -> Explanation:
    """A heatmap of ones: no place is more relevant than another.

    Parameters
    ----------
    score, seed
        Not used; all explainers share one signature.
    image, counterpart : ndarray, shape (h, w, c)
        Only their shape is used.

    Returns
    -------
    Explanation

    Raises
    ------
    ValueError
        For an image or counterpart out of range.

    Examples
    --------
    >>> uniform(None, np.zeros((2, 3, 1)), np.zeros((2, 3, 1))).heatmap.tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    image, _ = check_pair(image, counterpart)
    return Explanation(np.ones(image.shape[:2], dtype=np.float32))


# Raise the version when equal arguments give another explanation.
@versioned(1)
def centre_prior(
    score: ScoreFunction | None,
    image: ArrayLike,
    counterpart: ArrayLike,
    *,
    seed: int = 0,
    width: float = 0.25,
) -> Explanation:
    """A Gaussian bump at the centre: objects, and so their defects, are photographed in the middle.

    Parameters
    ----------
    score, seed
        Not used; all explainers share one signature.
    image, counterpart : ndarray, shape (h, w, c)
        Only their shape is used.
    width : float
        Standard deviation as a share of the height (vertically) and of the width (horizontally) of
        the image.

    Returns
    -------
    Explanation
        Heatmap in (0, 1], equal to 1 at the centre.

    Raises
    ------
    ValueError
        For an image or counterpart out of range, or a ``width`` that is not positive.

    Examples
    --------
    >>> heatmap = centre_prior(None, np.zeros((5, 7, 1)), np.zeros((5, 7, 1))).heatmap
    >>> np.unravel_index(heatmap.argmax(), heatmap.shape) == (2, 3)
    True
    """
    _check_width("width", width, smallest=np.finfo(float).tiny)
    image, _ = check_pair(image, counterpart)
    rows, columns = (
        (np.arange(size) - (size - 1) / 2) / (width * size) for size in image.shape[:2]
    )
    bump = np.exp(-0.5 * (rows[:, None] ** 2 + columns[None, :] ** 2))
    return Explanation(bump.astype(np.float32), {"width": float(width)})


# Raise the version when equal arguments give another explanation.
@versioned(1)
def noise(
    score: ScoreFunction | None,
    image: ArrayLike,
    counterpart: ArrayLike,
    *,
    seed: int = 0,
    smoothing: float = 2.0,
) -> Explanation:
    """Smoothed Gaussian noise, the same for the same image and seed, another for another image.

    Parameters
    ----------
    score : callable
        Not used; all explainers share one signature.
    image, counterpart : ndarray, shape (h, w, c)
        The image's content takes part in the seed, so that a batch does not get one and the same
        map throughout.
    seed : int
        Seed of the noise, not negative.
    smoothing : float
        Standard deviation of the Gaussian in pixels; about the grain that other heatmaps have.

    Returns
    -------
    Explanation
        Heatmap of mean about 0 and standard deviation 1.

    Raises
    ------
    ValueError
        For an image or counterpart out of range, or a negative ``smoothing`` or ``seed``.

    Examples
    --------
    >>> image = np.zeros((32, 32, 1))
    >>> first, again = (noise(None, image, image, seed=1).heatmap for _ in range(2))
    >>> bool((first == again).all())
    True
    """
    _check_width("smoothing", smoothing, smallest=0)
    if seed < 0:
        raise ValueError(f"seed must not be negative, not {seed!r}")
    image, _ = check_pair(image, counterpart)
    draws = np.random.default_rng([seed, zlib.crc32(image.tobytes())])
    values = gaussian_filter(draws.standard_normal(image.shape[:2]), smoothing)
    spread = values.std()
    return Explanation(
        (values / (spread if spread > 0 else 1)).astype(np.float32), {"smoothing": float(smoothing)}
    )


def _check_width(name: str, value: float, smallest: float) -> None:
    if not (np.isfinite(value) and value >= smallest):
        raise ValueError(
            f"{name} must be a {'positive number' if smallest > 0 else 'number of at least 0'}, "
            f"not {value!r}"
        )
