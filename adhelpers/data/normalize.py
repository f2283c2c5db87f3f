"""Corrects light and pose: background level, and the frame that is cut out of each file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.transform import warp

from adhelpers._shared.arrays import Floats, Images, Maps
from adhelpers._shared.checks import check_choice

from .file_remarks import SIZE_STEP, size_that_keeps
from .objects import ObjectPose, background_colour

# Background level of every image after `divide_background`: a highlight may be a third brighter
# before it clips.
BACKGROUND_REFERENCE = 0.75

# Below this level division would multiply sensor noise instead of correcting the light.
_DARKEST_BACKGROUND = 0.2
# Longer side of images whose size is not given.
_LONGEST = 128
# Standard deviation below which an image is not smoothed before it gets smaller.
_SHARP = 0.05
# Rows that are smoothed with one product of matrices.
_BLOCK = 32
# Places of a resized image that come from one product, and columns that its weights are found for.
_TAKEN, _IMPULSES = 8, 512


@dataclass(frozen=True)
class Corrections:
    """What is corrected in the images of a category before a model sees them.

    Where light or pose is ``"auto"``, a test image that cannot be corrected (a dark or an empty
    one) is loaded without: named, marked in `ImageSet.uncorrected`, and whole instead of cropped.
    Otherwise it is an error, as such an image in ``train/good`` always is.

    Parameters
    ----------
    illumination : {"none", "background", "auto"}
        ``"background"`` divides each image by its background level (`divide_background`).
        ``"auto"`` does so where a sample of the good images has a background that is bright enough.
    pose : {"none", "axis", "auto"}
        ``"axis"`` turns the elongated object on a plain background upright, its wider end up, and
        centres it (`find_object`). The mask is warped with the same matrix. Without a crop the
        frame is a square as wide as the file's longer side. ``"auto"`` does so where a sample of
        the good images shows objects with an axis.
    crop : {"none", "object", "auto"}
        ``"object"`` cuts out a box around the object's centre. Its size is common to the category,
        measured on the images in ``train/good`` and enlarged to the aspect ratio of the loaded
        images, so that nothing is distorted. Without a crop the whole frame is resized. ``"auto"``
        crops where objects are turned upright.
    margin : float
        Share of the object's size that is added on each side by ``crop="object"``, in [0, 1].
    fit : {"stretch", "pad"}
        What happens where the frame has another ratio of sides than the loaded images: it is
        stretched, or background is added on two sides.

    Raises
    ------
    ValueError
        Where a value is none of these.

    Examples
    --------
    >>> Corrections(pose="upright")
    Traceback (most recent call last):
        ...
    ValueError: pose must be one of none, axis, auto, not 'upright'
    """

    illumination: str = "none"
    pose: str = "none"
    crop: str = "none"
    margin: float = 0.05
    fit: str = "stretch"

    def __post_init__(self) -> None:
        check_choice("illumination", self.illumination, ("none", "background", "auto"))
        check_choice("pose", self.pose, ("none", "axis", "auto"))
        check_choice("crop", self.crop, ("none", "object", "auto"))
        check_choice("fit", self.fit, ("stretch", "pad"))
        if not 0 <= self.margin <= 1:
            raise ValueError(f"margin must lie between 0 and 1, not {self.margin!r}")


def height_and_width(image_size: int | Sequence[int]) -> tuple[int, int]:
    """The size of an image, from a whole number for square ones or from (height, width).

    Raises
    ------
    ValueError
        Where it is neither, or a side is shorter than 8 pixels.

    Examples
    --------
    >>> height_and_width(64), height_and_width((128, 48))
    ((64, 64), (128, 48))
    """
    sides = tuple(image_size) if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    whole = all(
        isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in sides
    )
    if len(sides) != 2 or not whole or min(sides) < 8:
        raise ValueError(
            "image_size must be a whole number of at least 8 pixels or (height, width), "
            f"not {image_size!r}"
        )
    return int(sides[0]), int(sides[1])


def asked_size(image_size: int | Sequence[int] | None) -> tuple[int, int]:
    """Height and width as they are asked for; 0 is a side that follows from the proportions.

    Raises
    ------
    ValueError
        As in `height_and_width`.

    Examples
    --------
    >>> asked_size(64), asked_size((96, 0)), asked_size(None)
    ((64, 64), (96, 0), (0, 0))
    """
    if image_size is None:
        return 0, 0
    if not isinstance(image_size, (tuple, list)) or 0 not in image_size or len(image_size) != 2:
        return height_and_width(image_size)
    given = [side for side in image_size if side != 0]
    side, _ = height_and_width(given[0] if given else _LONGEST)
    height, width = (0 if one == 0 else side for one in image_size)
    return height, width


def completed_size(asked: Sequence[int], frame: tuple[float, float]) -> tuple[int, int]:
    """A size whose open sides (0) keep the proportions of a frame, in steps of 16 pixels.

    Where both are open, the longer one has 128 pixels.

    Examples
    --------
    >>> completed_size((96, 0), (480, 640)), completed_size((0, 0), (480, 640))
    ((96, 128), (96, 128))
    """
    height, width = asked
    longest = float(height or width or _LONGEST)
    if height or width:
        longest *= max(frame) / (frame[0] if height else frame[1])
    sides = size_that_keeps(frame, longest, SIZE_STEP)
    return height or sides[0], width or sides[1]


def divide_background(image: Images, grey_levels: int = 255) -> Images:
    """Divide an image by its background level, so that images taken in different light compare.

    The level is the mean over channels of `background_colour`: one number, so that colours
    keep their hue. The result is scaled to a background of 0.75, clipped to [0, 1] and rounded to
    the grey levels of the file again. Without the rounding the distance between neighbouring grey
    levels, and with it any noise statistic, would still reveal the original brightness.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c), in [0, 1]
    grey_levels : int
        Largest grey level of the file: 255 for 8 bits, 65535 for 16. 1 stands for real values,
        which have no levels and are not rounded.

    Returns
    -------
    ndarray of float32, shape (h, w, c), in [0, 1]

    Raises
    ------
    ValueError
        Where the background is darker than 0.2.

    Examples
    --------
    >>> dim, bright = np.full((20, 20, 1), 0.4), np.full((20, 20, 1), 0.8)
    >>> dim[10, 10], bright[10, 10] = 0.1, 0.2
    >>> bool((divide_background(dim) == divide_background(bright)).all())
    True
    """
    level = float(background_colour(image).mean())
    if level < _DARKEST_BACKGROUND:
        raise ValueError(
            f"the background is too dark to divide by (level {level:.2f}, at least "
            f'{_DARKEST_BACKGROUND} needed): load this category with illumination="none"'
        )
    # In place: files may be large.
    scaled = image * (BACKGROUND_REFERENCE / level)
    np.clip(scaled, 0, 1, out=scaled)
    if grey_levels != 1:
        scaled *= grey_levels
        np.round(scaled, out=scaled)
        scaled /= grey_levels
    return scaled.astype(np.float32, copy=False)


def common_box(poses: Sequence[ObjectPose], margin: float) -> tuple[float, float]:
    """One box that holds the objects of all images, in pixels of the files.

    The 99th percentile of the lengths and of the widths, so that one failed image does not enlarge
    it, plus the margin.

    Parameters
    ----------
    poses : sequence of ObjectPose
    margin : float
        Share of the object's size that is added on each side.

    Returns
    -------
    height, width : float

    Examples
    --------
    >>> common_box([ObjectPose((0, 0), (0, 1), 100, 40)] * 3, margin=0.05)
    (110.0, 44.0)
    """
    sizes = np.quantile([(pose.length, pose.width) for pose in poses], 0.99, axis=0)
    height, width = np.round(sizes * (1 + 2 * margin), 6).tolist()
    return height, width


def fit_aspect(box: tuple[float, float], image_size: tuple[int, int]) -> tuple[float, float]:
    """Enlarge a box (height, width) on one side to the aspect ratio of ``image_size``.

    Examples
    --------
    >>> fit_aspect((100, 20), (50, 25))
    (100.0, 50.0)
    """
    scale = max(box[0] / image_size[0], box[1] / image_size[1])
    return float(scale * image_size[0]), float(scale * image_size[1])


def whole_frame(original_shape: tuple[int, ...]) -> ObjectPose:
    """The pose that leaves an image of ``original_shape`` (height, width) as it is."""
    height, width = original_shape
    return ObjectPose(((width - 1) / 2, (height - 1) / 2), (0.0, 1.0), float(height), float(width))


def frame_matrix(
    pose: ObjectPose, box: tuple[float, ...], image_size: tuple[int, int]
) -> NDArray[np.float64]:
    """The matrix that takes pixel coordinates of the final image to those of the file.

    Parameters
    ----------
    pose : ObjectPose
    box : tuple of float
        Height and width of the window around the pose's centre, in pixels of the file.
    image_size : tuple of int
        Height and width of the final image.

    Returns
    -------
    ndarray of float64, shape (3, 3)
        Acts on (x, y, 1); pixel centres are whole numbers.

    Examples
    --------
    >>> frame_matrix(whole_frame((20, 40)), (20, 40), (10, 20)) @ (0, 0, 1)
    array([0.5, 0.5, 1. ])
    """
    down = np.array(pose.down)
    right = np.array([down[1], -down[0]])
    linear = np.stack([right * box[1] / image_size[1], down * box[0] / image_size[0]], axis=1)
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = np.array(pose.centre) - linear @ ((np.array(image_size[::-1]) - 1) / 2)
    return matrix


def resize_image(image: Images, image_size: tuple[int, int]) -> Images:
    """Resize a whole image with bicubic interpolation, antialiased when it gets smaller.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c), in [0, 1]
    image_size : tuple of int
        Height and width.

    Returns
    -------
    ndarray of float32, shape (height, width, c), in [0, 1]
    """
    if image.shape[:2] == image_size:
        return image
    (height, width), (before, across), channels = image_size, image.shape[:2], image.shape[2]
    down = np.empty((height, across * channels), np.float32)
    for rows, seen, weights in _resampling(before, height):
        np.matmul(weights, image[seen].reshape(-1, across * channels), out=down[rows])
    lines = np.moveaxis(down.reshape(height, across, channels), -1, 1).reshape(-1, across)
    result = np.empty((height * channels, width), np.float32)
    for columns, seen, weights in _resampling(across, width):
        result[:, columns] = lines[:, seen] @ weights.T
    resized = np.moveaxis(result.reshape(height, channels, width), 1, -1)
    return np.clip(resized, 0, 1, order="C")


@lru_cache(maxsize=64)
def _resampling(before: int, after: int) -> list[tuple[slice, slice, Floats]]:
    """Pillow's bicubic filter along one axis as products of matrices, several times faster.

    For each block of the ``after`` places the ones of the ``before`` that it sees, and the weights.
    Pillow widens its filter with the reduction, so that no separate blur is needed.
    """
    matrix = np.empty((after, before), np.float32)
    for start in range(0, before, _IMPULSES):
        count = min(_IMPULSES, before - start)
        impulses = Image.fromarray(np.eye(before, count, -start, dtype=np.float32))
        resized = impulses.resize((count, after), Image.Resampling.BICUBIC)
        matrix[:, start : start + count] = np.asarray(resized)
    blocks = []
    for start in range(0, after, _TAKEN):
        places = slice(start, min(start + _TAKEN, after))
        weights = matrix[places]
        where = np.flatnonzero(weights.any(axis=0))
        seen = slice(int(where[0]), int(where[-1]) + 1)
        blocks.append((places, seen, np.ascontiguousarray(weights[:, seen])))
    return blocks


def warp_image(image: Images, matrix: Floats, image_size: tuple[int, int]) -> Images:
    """Cut the frame that ``matrix`` describes out of an image, with one linear interpolation.

    The image is smoothed first where it gets smaller. What lies outside the file takes the
    background colour.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c), in [0, 1]
    matrix : ndarray of float64, shape (3, 3)
        From `frame_matrix`.
    image_size : tuple of int
        Height and width.

    Returns
    -------
    ndarray of float32, shape (height, width, c), in [0, 1]
    """
    fills = background_colour(image)
    reduction = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    sigma = max(0.0, (reduction - 1) / 2)
    kernel = gaussian_weights(sigma) if sigma > _SHARP else np.ones(1, np.float32)
    # Only what the frame looks at is smoothed, with room for the smoothing and the interpolation.
    rows, columns = _looked_at(matrix, image_size, image.shape, len(kernel) // 2 + 2)
    there = np.eye(3)
    there[:2, 2] = -columns.start, -rows.start
    result = np.empty((*image_size, image.shape[-1]), np.float32)
    for channel, fill in enumerate(fills):
        plane = image[rows, columns, channel]
        if len(kernel) > 1:
            plane = _smoothed(plane, kernel)
        result[..., channel] = warp(
            np.ascontiguousarray(plane),
            there @ matrix,
            output_shape=image_size,
            order=1,
            mode="constant",
            cval=float(fill),
        )
    return np.clip(result, 0, 1)


def gaussian_weights(sigma: float) -> Floats:
    """The weights of `scipy.ndimage.gaussian_filter` with ``truncate=3``: (2 * radius + 1,)."""
    radius = int(3 * sigma + 0.5)
    impulse = np.zeros(2 * radius + 1)
    impulse[radius] = 1
    return ndimage.gaussian_filter1d(impulse, sigma, truncate=3, mode="constant").astype(np.float32)


def _looked_at(
    matrix: Floats, image_size: tuple[int, int], shape: tuple[int, ...], room: int
) -> tuple[slice, slice]:
    """Rows and columns of a file that a frame looks at, with some more around; never empty."""
    height, width = image_size
    corners = matrix @ [[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1], [1] * 4]
    columns, rows = (
        slice(
            int(np.clip(np.floor(one.min()) - room, 0, side - 1)),
            int(np.clip(np.ceil(one.max()) + room + 1, 1, side)),
        )
        for one, side in zip(corners[:2], shape[1::-1], strict=True)
    )
    return rows, columns


def _smoothed(plane: Images, kernel: Floats) -> Images:
    """A plane convolved along both axes, its border repeated.

    As products of matrices, block by block: many times faster than a loop over the kernel.
    """
    height, width = plane.shape
    room = len(kernel) - 1
    padded = np.pad(plane, room // 2, mode="edge")
    weights = np.zeros((_BLOCK, _BLOCK + room), np.float32)
    for row in range(_BLOCK):
        weights[row, row : row + len(kernel)] = kernel
    down = np.empty((height, width + room), np.float32)
    for start in range(0, height, _BLOCK):
        part = padded[start : min(start + _BLOCK, height) + room]
        np.matmul(weights[: len(part) - room, : len(part)], part, out=down[start : start + _BLOCK])
    across = np.empty((height, width), np.float32)
    for start in range(0, width, _BLOCK):
        part = down[:, start : min(start + _BLOCK, width) + room]
        count = part.shape[1]
        across[:, start : start + _BLOCK] = part @ weights[: count - room, :count].T
    return across


def unwarp_map(heatmap: Maps, matrix: Floats, original_shape: tuple[int, ...]) -> Maps:
    """Bring a heatmap back to the frame of the original file, linearly interpolated.

    Parameters
    ----------
    heatmap : ndarray of float32, shape (h, w)
    matrix : ndarray of float64, shape (3, 3)
        The matrix that the image was made with.
    original_shape : tuple of int
        Height and width of the file.

    Returns
    -------
    ndarray of float32, shape original_shape
        Zero where the file lies outside the heatmap's frame.
    """
    height, width = heatmap.shape
    rows, columns = np.ogrid[: original_shape[0], : original_shape[1]]
    inverse = np.linalg.inv(matrix)
    x, y = (inverse[i, 0] * columns + inverse[i, 1] * rows + inverse[i, 2] for i in (0, 1))
    result = ndimage.map_coordinates(
        np.asarray(heatmap, np.float32), [y, x], order=1, mode="nearest"
    )
    # Half a pixel beyond the outermost centres still belongs to the frame.
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return np.where(inside, result, 0).astype(np.float32)
