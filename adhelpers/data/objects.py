"""Finds the object on a plain background: background colour, mask, position and rotation."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from adhelpers._shared.arrays import Floats, Images, Masks

from .duplicates import bytes_of

_RING_SHARE = 0.04
# A pose needs no more pixels than this, and small images make it fast.
_POSE_SIDE = 512


@dataclass(frozen=True)
class ObjectPose:
    """Where an object lies in its file and how it is turned.

    Attributes
    ----------
    centre : tuple of float
        Position (x, y) in pixels of the file, at half of the object's length and on its axis.
    down : tuple of float
        Unit vector (x, y) in the file that points down once the object stands upright.
    length, width : float
        Extent in pixels of the file along the axis, and twice the farthest distance from the axis.
    """

    centre: tuple[float, float]
    down: tuple[float, float]
    length: float
    width: float


def background_colour(image: Images) -> Floats:
    """Median colour of a ring along the image's border, 4 % of its shorter side wide.

    A median ignores an object that covers less than half of the ring.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c)

    Returns
    -------
    ndarray of float, shape (c,)

    Examples
    --------
    >>> image = np.full((50, 50, 1), 0.6)
    >>> image[10:40, 20:30] = 0.1
    >>> background_colour(image)
    array([0.6])
    """
    thickness = max(1, round(_RING_SHARE * min(image.shape[:2])))
    # Four strips, so that the inner part is not looked at.
    inner = slice(thickness, -thickness)
    strips = (
        image[:thickness],
        image[-thickness:],
        image[inner, :thickness],
        image[inner, -thickness:],
    )
    ring = np.concatenate([strip.reshape(-1, image.shape[-1]) for strip in strips])
    return _medians(ring)


def _medians(colours: Floats) -> Floats:
    """The median of each column, as of `numpy.median`.

    What most files hold, whole 255ths, is counted, which is many times faster than to sort it.
    """
    samples = bytes_of(colours)
    if samples is None:
        return np.median(colours, axis=0, overwrite_input=True)
    middle = (len(samples) - 1) // 2, len(samples) // 2
    counts = [np.cumsum(np.bincount(column, minlength=256)) for column in samples.T]
    levels = np.array([np.searchsorted(one, middle, side="right") for one in counts])
    return np.mean(levels.astype(colours.dtype) / np.float32(255), axis=1, dtype=colours.dtype)


def closed_gaps(mask: Masks, radius: int) -> Masks:
    """A mask closed with a disk, as `scipy.ndimage.binary_closing` does it, only faster.

    Examples
    --------
    >>> mask = np.zeros((5, 9), bool)
    >>> mask[:, [2, 4]] = True
    >>> closed_gaps(mask, 1)[2].astype(int).tolist()
    [0, 0, 1, 1, 1, 0, 0, 0, 0]
    """
    # Closing needs room outside the frame, or it would eat an object that touches the border.
    padded = np.pad(mask, 2 * radius)
    grown = _grown(padded, radius)
    return ~_grown(~grown, radius)[2 * radius : -2 * radius, 2 * radius : -2 * radius]


def _grown(mask: Masks, radius: int) -> Masks:
    """A mask dilated by a disk: the union of the mask at all of the disk's places."""
    height, width = mask.shape
    padded = np.pad(mask, radius)
    across = np.arange(-radius, radius + 1)
    half = np.sqrt(radius**2 - across**2).astype(int)
    result = np.zeros_like(mask)
    # Rows of the disk from the shortest on: each is the next shorter one with two more places.
    wide, reach = padded[:, radius : radius + width].copy(), 0
    for row in np.argsort(half, kind="stable"):
        while reach < half[row]:
            reach += 1
            for shift in (radius - reach, radius + reach):
                wide |= padded[:, shift : shift + width]
        result |= wide[row : row + height]
    return result


def filled_holes(mask: Masks) -> Masks:
    """A mask without holes, as `scipy.ndimage.binary_fill_holes` makes it, only faster.

    Examples
    --------
    >>> mask = np.ones((3, 4), bool)
    >>> mask[1, 1] = mask[0, 3] = False
    >>> filled_holes(mask).astype(int).tolist()
    [[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    """
    regions, count = ndimage.label(~mask)
    outside = np.zeros(count + 1, bool)
    for side in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        outside[side] = True
    outside[0] = False
    return ~outside[regions]


def object_mask(image: Images) -> Masks:
    """The largest object on a plain background.

    Otsu's threshold on the distance from the background colour finds what is not background. A
    second one, on the pixels above half of the first, separates the object from the shadow that it
    casts; it is ignored where it would take away more than 60 % of the pixels, because a shadow is
    not larger than its object. Small gaps are closed, holes filled, and the largest connected
    region is kept.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c), in [0, 1]

    Returns
    -------
    ndarray of bool, shape (h, w)

    Raises
    ------
    ValueError
        Where no object stands out from a plain background.

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Systems, Man,
    and Cybernetics, 1979.
    """
    squares = (image - background_colour(image)) ** 2
    distance = np.sqrt(squares[..., 0] if image.shape[-1] == 1 else squares.mean(axis=-1))
    if np.ptp(distance) < 0.02:
        raise ValueError("no object stands out from the background (the image is almost uniform)")
    threshold = threshold_otsu(distance)
    stricter = threshold_otsu(distance[distance > threshold / 2])
    if (distance > stricter).sum() >= 0.4 * (distance > threshold).sum():
        threshold = stricter
    foreground = distance > threshold
    closed = closed_gaps(foreground, max(1, round(0.008 * max(foreground.shape))))
    regions, count = ndimage.label(filled_holes(closed))
    sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    mask = regions == 1 + sizes.argmax()
    touched = sum(side.any() for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    scattered = foreground[mask].sum() < 0.5 * foreground.sum()
    faint = mask.all() or distance[mask].mean() < 3 * distance[~mask].mean()
    if touched == 4 or scattered or faint or mask.mean() < 0.001:
        raise ValueError("no object stands out from a plain background")
    return mask


def object_or_all(image: Images) -> Masks:
    """Where an object lies on a plain background; everywhere where none is found.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c), in [0, 1]

    Returns
    -------
    ndarray of bool, shape (h, w)

    Examples
    --------
    >>> image = np.full((40, 40, 1), 0.8)
    >>> image[10:30, 12:28] = 0.2
    >>> int(object_or_all(image).sum()), int(object_or_all(0 * image).sum())
    (320, 1600)
    """
    try:
        return object_mask(image)
    except ValueError:
        return np.ones(image.shape[:2], bool)


def find_object(image: Images, turn: bool = True) -> ObjectPose:
    """Locate the object of an image; with ``turn`` also its axis and its wider end.

    The axis is the principal axis of `object_mask`; the wider of its two ends (more area in
    the outer quarter) is up.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c), in [0, 1]
    turn : bool
        False leaves the object as it lies and only finds the middle of its box.

    Returns
    -------
    ObjectPose

    Raises
    ------
    ValueError
        Where no object stands out, or it is too round to have an axis.

    Examples
    --------
    >>> image = np.full((60, 60, 1), 0.8)
    >>> image[28:33, 10:50] = 0.2        # a bar that lies ...
    >>> image[24:37, 44:50] = 0.2        # ... with its head to the right
    >>> pose = find_object(image)
    >>> np.round(pose.down, 1) + 0.0, round(pose.length)
    (array([-1.,  0.]), 40)
    """
    step = -(-max(image.shape[:2]) // _POSE_SIDE)
    if step > 1:
        # Whole blocks only: others would mix with what lies outside.
        height, width = (side - side % step for side in image.shape[:2])
        whole = image[:height, :width]
        total = np.zeros_like(whole[::step, ::step])
        for row, column in np.ndindex(step, step):
            total += whole[row::step, column::step]
        image = total / np.float32(step**2)
    rows, columns = np.nonzero(object_mask(image))
    points = np.stack([columns, rows], axis=1).astype(float)
    if turn:
        origin, down = _axis(points)
    else:
        origin, down = (points.min(axis=0) + points.max(axis=0)) / 2, np.array([0.0, 1.0])
    along, across = (points - origin) @ down, (points - origin) @ np.array([down[1], -down[0]])
    x, y = ((origin + down * (along.min() + along.max()) / 2 + 0.5) * step - 0.5).tolist()
    return ObjectPose(
        centre=(x, y),
        down=(float(down[0]), float(down[1])),
        length=float(np.ptp(along) + 1) * step,
        width=float(2 * np.abs(across).max() + 1) * step,
    )


def _axis(points: Floats) -> tuple[Floats, Floats]:
    """Centre of gravity of an object's points (n, 2), and the axis towards its narrow end."""
    origin = points.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov((points - origin).T))
    # Compared as lengths: the square root of a ratio of variances.
    if variances[1] < 1.5**2 * variances[0]:
        raise ValueError(
            'the object is too round to have an axis: load this category with pose="none"'
        )
    down = axes[:, 1]
    along = (points - origin) @ down
    quarter = np.ptp(along) / 4
    if (along < along.min() + quarter).sum() < (along > along.max() - quarter).sum():
        down = -down
    return origin, down
