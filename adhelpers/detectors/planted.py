"""Anomalies planted in good images, to choose by and to measure with where no defect is known."""

from typing import NamedTuple

import numpy as np

from adhelpers._shared.arrays import Images, Masks
from adhelpers._shared.checks import checked_images
from adhelpers._shared.large_arrays import concatenated
from adhelpers.data import DEFECT_KINDS, plant_defect

from .base import Detector


class Planted(NamedTuple):
    """Good images with defects planted in them.

    Attributes
    ----------
    images : ndarray of float32, shape (n, h, w, c)
        In [0, 1].
    masks : ndarray of bool, shape (n, h, w)
        Exactly the pixels that differ from the good image; none is empty.
    kinds : tuple of str
        What was asked for in each image, of `adhelpers.data.DEFECT_KINDS`.
    """

    images: Images
    masks: Masks
    kinds: tuple[str, ...]


def plant_defects(images: Images, seed: int, draws: int = 5) -> Planted:
    """Good images with one defect each, which need no defective image (`plant_defect`).

    Parameters
    ----------
    images : ndarray of float32, shape (n, h, w, c)
        In [0, 1].
    seed : int
    draws : int
        Copies of each image, each with its own defect; with five or a multiple, each image gets
        every kind equally often.

    Returns
    -------
    Planted
        ``draws * n`` images: first a copy of each, then the second copies, and so on.

    Examples
    --------
    >>> planted = plant_defects(np.zeros((2, 32, 32, 1), np.float32), seed=0, draws=2)
    >>> planted.images.shape, planted.kinds
    ((4, 32, 32, 1), ('texture', 'paste', 'paste', 'scratch'))
    """
    random = np.random.default_rng(seed)
    copies = concatenated([images] * draws)
    turns = np.arange(draws)[:, None] + np.arange(len(images))
    kinds = tuple(DEFECT_KINDS[turn % len(DEFECT_KINDS)] for turn in turns.ravel())
    masks = [
        plant_defect(one, images, random, kind=kind)
        for one, kind in zip(copies, kinds, strict=True)
    ]
    return Planted(copies, np.reshape(masks, copies.shape[:3]), kinds)


def copied_share(detector: Detector, images: Images, planted: Images) -> float:
    """How much of what is planted in good images the detector's counterpart takes over.

    0 is nothing, 1 all of it. A detector that copies what it should not know cannot see it. The
    counterparts of planted and of plain images are compared at the planted pixels.

    Parameters
    ----------
    detector : Detector
        Fitted.
    images : ndarray of float32, shape (n, h, w, c)
        Good images.
    planted : ndarray of float32, shape (n, h, w, c)
        The same images with something planted in each (see `plant_defects`).

    Returns
    -------
    float
        The share of the planted change that is found again, as a regression of one change on the
        other over all planted pixels.

    Raises
    ------
    ValueError
        If nothing is planted.

    Examples
    --------
    >>> from adhelpers.detectors import Subspace, plant_defects
    >>> good = np.random.default_rng(0).uniform(size=(12, 32, 32, 1)).astype("float32")
    >>> detector = Subspace(n_components=3).fit(good[:8], good[8:])
    >>> planted = plant_defects(good[8:], seed=0, draws=1).images
    >>> bool(copied_share(detector, good[8:], planted) < 0.5)
    True
    """
    images = checked_images(images)
    change = checked_images(planted, images.shape[1:], name="planted") - images
    where = np.abs(change) > 0
    if not where.any():
        raise ValueError(
            "planted does not differ from images: there is nothing that could be copied"
        )
    answer = detector.counterpart(planted) - detector.counterpart(images)
    return float((answer[where] * change[where]).sum() / (change[where] ** 2).sum())
