"""Anomalies planted in good images, to choose by and to measure with where no defect is known."""

import numpy as np

from adhelpers._shared.arrays import Images
from adhelpers._shared.checks import checked_images
from adhelpers._shared.large_arrays import concatenated
from adhelpers.data import plant_patch

from .base import Detector


def plant_patches(images: Images, seed: int, draws: int = 2) -> Images:
    """Good images, each with one rectangle blended in from elsewhere in another good image.

    These are anomalies that need no defect. Li et al., "CutPaste", CVPR 2021, pastes patches in the
    same spirit; here the strength is drawn as well, so that some are faint.

    Parameters
    ----------
    images : ndarray of float32, shape (n, h, w, c)
    seed : int
    draws : int
        Copies of each image, each with its own rectangle.

    Returns
    -------
    ndarray of float32, shape (draws * n, h, w, c)

    Examples
    --------
    >>> plant_patches(np.zeros((2, 32, 32, 1), np.float32), seed=0).shape
    (4, 32, 32, 1)
    """
    random = np.random.default_rng(seed)
    planted = concatenated([images] * draws)
    for image in planted:
        plant_patch(image, images, random)
    return planted


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
        The same images with something planted in each (see `plant_patches`).

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
    >>> from adhelpers.detectors import Subspace, plant_patches
    >>> good = np.random.default_rng(0).uniform(size=(12, 32, 32, 1)).astype("float32")
    >>> detector = Subspace(n_components=3).fit(good[:8], good[8:])
    >>> bool(copied_share(detector, good[8:], plant_patches(good[8:], seed=0, draws=1)) < 0.5)
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
