"""Trivial statistics of images: light, noise, sharpness, the object's place, the file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError
from scipy import ndimage, signal
from skimage.filters import threshold_otsu

from adhelpers._shared.arrays import Flags, Floats, Images, Masks

FILE_STATISTICS = ("file_size", "file_height", "file_width")
_RING_SHARE = 0.04
# float32 holds grey levels with errors that grow with the level and would rank equal statistics by
# brightness. As whole multiples of 1 / 65535, which 8-bit and 16-bit levels are, their sums and
# differences are exact.
_LEVELS = 65535
# A defect's soft edge and shadow reach past its mask: by so much of the shorter side.
_MARGIN_SHARE = 0.03
_MOST_LEFT_OUT = 0.75
# A region drawn for a good image covers as much object as in its own, but for so much.
_SHARE_TOLERANCE = 0.05
# An 8-bit value that was resized may miss the end of the range by rounding.
_END_OF_RANGE = 0.5 / 255 * _LEVELS


def image_statistics(
    images: Images,
    paths: Sequence[str | Path] | None = None,
    left_out: Masks | None = None,
) -> pd.DataFrame:
    """Trivial statistics of each image, none of which knows what a defect is.

    Parameters
    ----------
    images : ndarray of float, shape (n, h, w, c)
        In [0, 1], c = 1 or 3, h and w at least 3.
    paths
        The images' files. Only their headers are read.
    left_out : ndarray of bool, shape (n, h, w), optional
        Pixels that no statistic of the pixels sees, such as `regions_to_leave_out`.

    Returns
    -------
    pandas.DataFrame
        A row for each image, in order. Grey is the mean over channels. Columns:

        - ``mean_brightness``, ``standard_deviation`` of the grey values.
        - ``median_background``: median of a ring along the border, 4 % of the shorter side wide,
          averaged over channels.
        - ``noise``: median absolute Laplacian of the grey values; ``sharpness``: variance of the
          Laplacian. Both where the pixel and its four neighbours count.
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
        ``left_out`` has another shape or leaves nothing of an image, or a file is no image.
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
    kept = _kept_pixels(left_out, shape[:3])
    rows = []
    for index, image in enumerate(images):
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(
                f"images must be finite and lie in [0, 1]; image {index} does not "
                "(divide 8-bit images by 255)"
            )
        row = _pixel_statistics(image.astype(np.float64), kept[index])
        rows.append(row if paths is None else row | _file_statistics(paths[index]))
    return pd.DataFrame(rows)


def _kept_pixels(left_out: Masks | None, shape: tuple[int, ...]) -> Flags:
    """The pixels that count, checked."""
    if left_out is None:
        return np.ones(shape, bool)
    left_out = np.asarray(left_out)
    if left_out.shape != shape or left_out.dtype != bool:
        raise ValueError(
            f"left_out must be bool of shape {shape}; got {left_out.dtype} of {left_out.shape}"
        )
    kept = ~left_out
    if not _where_laplacian(kept).any(axis=(1, 2)).all():
        raise ValueError("left_out leaves no neighbourhood of some image to measure")
    return kept


def _where_laplacian(kept: Flags) -> Flags:
    """Inner pixels that count together with their four neighbours."""
    middle = kept[..., 1:-1, 1:-1]
    return (
        middle
        & kept[..., :-2, 1:-1]
        & kept[..., 2:, 1:-1]
        & kept[..., 1:-1, :-2]
        & kept[..., 1:-1, 2:]
    )


def _pixel_statistics(image: Floats, kept: Flags) -> dict[str, float]:
    """The statistics of one image's pixels, of those that are kept."""
    height, width, channels = image.shape
    image = np.round(image * _LEVELS)
    grey, white = image.sum(axis=2), _LEVELS * channels
    laplacian = ndimage.laplace(grey)[1:-1, 1:-1][_where_laplacian(kept)]
    background, objects = _distant(image, kept)
    row, column = np.nonzero(objects)
    pixels = image[kept]
    at_an_end = (pixels <= _END_OF_RANGE) | (pixels >= _LEVELS - _END_OF_RANGE)
    statistics = {
        "mean_brightness": grey[kept].mean() / white,
        "standard_deviation": grey[kept].std() / white,
        "median_background": background.sum() / white,
        "noise": np.median(np.abs(laplacian)) / white,
        "sharpness": laplacian.var() / white**2,
        "clipped_share": at_an_end.any(axis=1).mean(),
        "object_area": len(row) / len(pixels),
        "object_row": (row.mean() + 0.5) / height if len(row) else 0.5,
        "object_column": (column.mean() + 0.5) / width if len(row) else 0.5,
    }
    if channels == 3:
        brightest = pixels.max(axis=1)
        saturation = np.divide(
            np.ptp(pixels, axis=1), brightest, out=np.zeros_like(brightest), where=brightest > 0
        )
        statistics["colour_saturation"] = saturation.mean()
        means = pixels.mean(axis=0) / _LEVELS
        statistics |= zip(("mean_red", "mean_green", "mean_blue"), means, strict=True)
    return statistics


def _distant(image: Floats, kept: Flags) -> tuple[Floats, Flags]:
    """The background colour, and the pixels whose distance from it is above Otsu's threshold."""
    thickness = max(1, round(_RING_SHARE * min(kept.shape)))
    ring = kept.copy()
    ring[thickness:-thickness, thickness:-thickness] = False
    background = np.median(image[ring if ring.any() else kept], axis=0)
    distance = np.sqrt(((image - background) ** 2).mean(axis=2))
    return background, (distance > threshold_otsu(distance[kept])) & kept


def regions_to_leave_out(
    images: Images, masks: Masks, others: Images | None = None, seed: int = 0
) -> Masks:
    """What is left out of each image so that statistics see no defect, and good images no less.

    A defect is itself dark, bright or sharp, and would make each of these a shortcut. Where it is
    left out, the same must be left out of the good images, or its place and size would tell.

    Parameters
    ----------
    images : ndarray of float, shape (n, h, w, c)
    masks : ndarray of bool, shape (n, h, w)
        The true defects; empty for good images.
    others : ndarray of float, shape (m, h, w, c), optional
        Other good images whose regions are returned instead.
    seed : int
        Draws whose defect's shape is left out of which good image; each is drawn about as often.

    Returns
    -------
    ndarray of bool, shape (n, h, w) or (m, h, w)
        For an image with a defect the defect, wider by 3 % of the shorter side and at least two
        pixels. For others the shape of a drawn one, at its place or as near to it as it covers
        object and background in the same shares: where objects lie anywhere, the same place may
        hold none. Nothing where no image has a defect. A region that would leave less than a
        quarter of the image counts as none.

    Examples
    --------
    >>> images, masks = np.zeros((3, 9, 9, 1)), np.zeros((3, 9, 9), bool)
    >>> masks[1, 4, 4] = True
    >>> regions_to_leave_out(images, masks).sum(axis=(1, 2)).tolist()
    [13, 13, 13]
    """
    masks = np.asarray(masks, bool)
    wide = np.array([_widened(mask) for mask in masks])
    own = has_measurable_outside(masks)
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(own))
    targets = images if others is None else others
    regions = wide * own[:, None, None] if others is None else np.zeros(others.shape[:3], bool)
    if not len(drawn):
        return regions
    empty = np.flatnonzero(~regions.any(axis=(1, 2)))
    for index, source in zip(empty, np.resize(drawn, len(empty)), strict=True):
        share = _object_pixels(images[source])[wide[source]].mean()
        regions[index] = _placed(wide[source], share, _object_pixels(targets[index]))
    return regions


def _placed(region: Flags, share: float, objects: Flags) -> Flags:
    """A region moved as little as needed to cover ``share`` of object, still within the image."""
    rows, columns = np.nonzero(region)
    shape = region[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    covered = signal.correlate(objects.astype(float), shape.astype(float), "valid", "fft")
    miss = np.abs(covered / shape.sum() - share)
    top, left = np.nonzero(miss <= max(_SHARE_TOLERANCE, miss.min() + 1e-9))
    nearest = np.argmin((top - rows.min()) ** 2 + (left - columns.min()) ** 2)
    placed = np.zeros_like(region)
    row, column = top[nearest], left[nearest]
    placed[row : row + shape.shape[0], column : column + shape.shape[1]] = shape
    return placed


def _object_pixels(image: Images) -> Flags:
    """Pixels that differ from the background colour, as the statistics of the object see them."""
    kept = np.ones(image.shape[:2], bool)
    return _distant(np.round(np.asarray(image, np.float64) * _LEVELS), kept)[1]


def has_measurable_outside(masks: Masks) -> Flags:
    """Which images have a defect that leaves at least a quarter of the image: bool (n,)."""
    wide = np.array([_widened(mask) for mask in masks])
    return masks.any(axis=(1, 2)) & (wide.mean(axis=(1, 2)) <= _MOST_LEFT_OUT)


def _widened(mask: Flags) -> Flags:
    """A mask and what lies so near to it that the defect may reach there."""
    if not mask.any():
        return mask.copy()
    margin = max(2.0, _MARGIN_SHARE * min(mask.shape))
    return ndimage.distance_transform_edt(~mask) <= margin


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
