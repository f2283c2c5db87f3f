"""Anomalies planted in good images, to choose by where no defect is known."""

import numpy as np

from adhelpers._shared.arrays import Images


def plant_patches(images: Images, seed: int, draws: int = 2) -> Images:
    """Good images, each with one rectangle blended in from elsewhere in another good image: anomalies that need no defect.

    Li et al., "CutPaste", CVPR 2021, pastes patches in the same spirit; here the strength is drawn
    as well, so that some are faint.

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
    planted = np.tile(images, (draws, 1, 1, 1))
    height, width = images.shape[1:3]
    for image in planted:
        # From a fortieth to a twelfth of the longer side: the size of the defects people look for.
        rows, columns = random.integers(
            max(2, max(height, width) // 40), max(4, max(height, width) // 12), 2, endpoint=True
        )
        rows, columns = min(rows, height), min(columns, width)
        donor = images[random.integers(len(images))]
        from_row, to_row = random.integers(height - rows, size=2, endpoint=True)
        from_column, to_column = random.integers(width - columns, size=2, endpoint=True)
        strength = random.uniform(0.25, 1)
        place = image[to_row : to_row + rows, to_column : to_column + columns]
        place += strength * (
            donor[from_row : from_row + rows, from_column : from_column + columns] - place
        )
    return planted
