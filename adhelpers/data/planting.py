"""An anomaly that needs no defect: a patch of one good image blended into another."""

from collections.abc import Sequence

import numpy as np

from adhelpers._shared.arrays import Images


def plant_patch(
    image: Images, donors: Sequence[Images] | Images, random: np.random.Generator
) -> tuple[slice, slice]:
    """Blend one rectangle of another good image into an image, in place.

    Li et al., "CutPaste", CVPR 2021, pastes patches in the same spirit; here the strength is drawn
    as well, so that some are faint.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c)
    donors : sequence of ndarray of float32, each of shape (h', w', c)
        Good images, of which one is drawn.
    random : numpy.random.Generator

    Returns
    -------
    rows, columns : slice
        Where the patch is in the image.

    Examples
    --------
    >>> image, donor = np.zeros((40, 40, 1)), np.ones((40, 40, 1))
    >>> rows, columns = plant_patch(image, [donor], np.random.default_rng(0))
    >>> bool(image[rows, columns].all()), int((image > 0).sum()) == image[rows, columns].size
    (True, True)
    """
    height, width = image.shape[:2]
    # From a fortieth to a twelfth of the longer side: the size of the defects people look for.
    rows, columns = random.integers(
        max(2, max(height, width) // 40), max(4, max(height, width) // 12), 2, endpoint=True
    )
    donor = donors[int(random.integers(len(donors)))]
    rows, columns = min(rows, height, donor.shape[0]), min(columns, width, donor.shape[1])
    from_row = random.integers(donor.shape[0] - rows, endpoint=True)
    to_row = random.integers(height - rows, endpoint=True)
    from_column = random.integers(donor.shape[1] - columns, endpoint=True)
    to_column = random.integers(width - columns, endpoint=True)
    strength = random.uniform(0.25, 1)
    place = image[to_row : to_row + rows, to_column : to_column + columns]
    place += strength * (
        donor[from_row : from_row + rows, from_column : from_column + columns] - place
    )
    return slice(to_row, to_row + rows), slice(to_column, to_column + columns)
