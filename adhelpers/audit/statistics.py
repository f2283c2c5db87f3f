"""Trivial statistics of images: light, noise, sharpness, the object's place, the file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError
from scipy import ndimage
from skimage.filters import threshold_otsu

from adhelpers._shared.arrays import Floats, Images

FILE_STATISTICS = ("file_size", "file_height", "file_width")
_RING_SHARE = 0.04
# float32 holds grey levels with errors that grow with the level and would rank equal statistics by
# brightness. As whole multiples of 1 / 65535, which 8-bit and 16-bit levels are, their sums and
# differences are exact.
_LEVELS = 65535
# An 8-bit value that was resized may miss the end of the range by rounding.
_END_OF_RANGE = 0.5 / 255 * _LEVELS


def image_statistics(images: Images, paths: Sequence[str | Path] | None = None) -> pd.DataFrame:
    """Trivial statistics of each image, none of which knows what a defect is.

    Parameters
    ----------
    images : ndarray of float, shape (n, h, w, c)
        In [0, 1], c = 1 or 3, h and w at least 3.
    paths
        The images' files. Only their headers are read.

    Returns
    -------
    pandas.DataFrame
        A row for each image, in order. Grey is the mean over channels. Columns:

        - ``mean_brightness``, ``standard_deviation`` of the grey values.
        - ``median_background``: median of a ring along the border, 4 % of the shorter side wide,
          averaged over channels.
        - ``noise``: median absolute Laplacian of the grey values; ``sharpness``: variance of the
          Laplacian.
        - ``clipped_share``: share of pixels with a channel at an end of the range.
        - ``object_area`` (share of the image), ``object_row`` and ``object_column`` (centroid as a
          share of height and width from the top left; 0.5 without an object): pixels whose distance
          from the background colour is above Otsu's threshold.
        - RGB only: ``colour_saturation`` (mean saturation in HSV), ``mean_red``, ``mean_green``,
          ``mean_blue``.
        - With ``paths``: ``file_size`` (bytes), ``file_height``, ``file_width`` (pixels).

    Raises
    ------
    ValueError
        If images have another shape, are not finite or not in [0, 1], the number of paths differs,
        or a file is no image.
    FileNotFoundError
        If a file is missing.

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Systems, Man,
    and Cybernetics, 1979.

    Examples
    --------
    >>> images = np.zeros((2, 8, 8, 1))
    >>> images[1] = 0.2
    >>> image_statistics(images)["mean_brightness"].tolist()
    [0.0, 0.2]
    """
    images = np.asarray(images)
    shape = images.shape
    if len(shape) != 4 or not len(images) or shape[3] not in (1, 3) or min(shape[1:3]) < 3:
        raise ValueError(
            "images must have shape (n, h, w, c) with n at least 1, h and w at least 3, c 1 or 3; "
            f"got {shape}"
        )
    if paths is not None and len(paths) != len(images):
        raise ValueError(
            f"paths must have one file for each of the {len(images)} images; got {len(paths)}"
        )
    rows = []
    for index, image in enumerate(images):
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(
                f"images must be finite and lie in [0, 1]; image {index} does not "
                "(divide 8-bit images by 255)"
            )
        row = _pixel_statistics(image.astype(np.float64))
        rows.append(row if paths is None else row | _file_statistics(paths[index]))
    return pd.DataFrame(rows)


def _pixel_statistics(image: Floats) -> dict[str, float]:
    """The statistics of one image's pixels."""
    height, width, channels = image.shape
    image = np.round(image * _LEVELS)
    grey, white = image.sum(axis=2), _LEVELS * channels
    laplacian = ndimage.laplace(grey)[1:-1, 1:-1]
    thickness = max(1, round(_RING_SHARE * min(height, width)))
    ring = np.ones((height, width), bool)
    ring[thickness:-thickness, thickness:-thickness] = False
    background = np.median(image[ring], axis=0)
    distance = np.sqrt(((image - background) ** 2).mean(axis=2))
    row, column = np.nonzero(distance > threshold_otsu(distance))
    at_an_end = (image <= _END_OF_RANGE) | (image >= _LEVELS - _END_OF_RANGE)
    statistics = {
        "mean_brightness": grey.mean() / white,
        "standard_deviation": grey.std() / white,
        "median_background": background.sum() / white,
        "noise": np.median(np.abs(laplacian)) / white,
        "sharpness": laplacian.var() / white**2,
        "clipped_share": at_an_end.any(axis=2).mean(),
        "object_area": len(row) / grey.size,
        "object_row": (row.mean() + 0.5) / height if len(row) else 0.5,
        "object_column": (column.mean() + 0.5) / width if len(row) else 0.5,
    }
    if channels == 3:
        brightest = image.max(axis=2)
        saturation = np.divide(
            np.ptp(image, axis=2), brightest, out=np.zeros_like(brightest), where=brightest > 0
        )
        statistics["colour_saturation"] = saturation.mean()
        means = image.mean(axis=(0, 1)) / _LEVELS
        statistics |= zip(("mean_red", "mean_green", "mean_blue"), means, strict=True)
    return statistics


def _file_statistics(path: str | Path) -> dict[str, float]:
    """The statistics of one image's file."""
    try:
        size = Path(path).stat().st_size
        with Image.open(path) as file:
            width, height = file.size
    except FileNotFoundError as error:
        raise FileNotFoundError(f"paths: there is no file {path}") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"paths: {path} is not an image that can be read") from error
    return dict(zip(FILE_STATISTICS, (size, height, width), strict=True))
