"""Connected components of maps: the largest at every threshold, and the level of every area."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.checks import checked_map

# Unsigned indices spare Numba's test for negative ones, which would cost half of the time.
_INDEX = np.uint64
# For what is called once a pixel and allocates nothing: to count the references to its arrays at
# every call would cost a third of the time.
_part = njit(cache=True, forceinline=True, _nrt=False)  # type: ignore[call-overload]  # no hint


@njit(cache=True)
def _framed_places(height, width):
    """Where each pixel lies in an image that is padded by a frame of one pixel."""
    place = np.empty(height * width, np.int32)
    for row in range(height):
        for column in range(width):
            place[row * width + column] = (row + 1) * (width + 2) + column + 1
    return place


@njit(cache=True)
def _on_border(height, width):
    """Which pixels of the padded image lie on the border of the image itself."""
    stride = width + 2
    touches = np.zeros((height + 2) * stride, np.bool_)
    touches[stride : 2 * stride] = touches[height * stride : (height + 1) * stride] = True
    for row in range(height):
        touches[(row + 1) * stride + 1] = touches[(row + 1) * stride + width] = True
    return touches


@_part
def _added_neighbours(link, here, stride, corners, joined):
    """Write the neighbours that have been added already into ``joined``; returns their number.

    Each neighbour is written, and kept where it has been added: no branch that the processor would
    guess wrong.
    """
    north, south = link[_INDEX(here - stride)] != 0, link[_INDEX(here + stride)] != 0
    west, east = link[_INDEX(here - 1)] != 0, link[_INDEX(here + 1)] != 0
    count = 0
    joined[_INDEX(count)] = here - stride
    count += north
    joined[_INDEX(count)] = here + 1
    count += east
    joined[_INDEX(count)] = here + stride
    count += south
    joined[_INDEX(count)] = here - 1
    count += west
    if corners and count < 3:
        # A corner next to a neighbour that has been added is connected through it already.
        joined[_INDEX(count)] = here - stride + 1
        count += (not north) & (not east) & (link[_INDEX(here - stride + 1)] != 0)
        joined[_INDEX(count)] = here + stride + 1
        count += (not south) & (not east) & (link[_INDEX(here + stride + 1)] != 0)
        joined[_INDEX(count)] = here + stride - 1
        count += (not south) & (not west) & (link[_INDEX(here + stride - 1)] != 0)
        joined[_INDEX(count)] = here - stride - 1
        count += (not north) & (not west) & (link[_INDEX(here - stride - 1)] != 0)
    return count


@_part
def _root_of(link, pixel):
    """The root of a pixel's component and its link; the way there is made shorter."""
    up = link[_INDEX(pixel)]
    while up > 0:
        upper = link[_INDEX(up)]
        if upper > 0:
            link[_INDEX(pixel)] = upper
            pixel = upper
            up = link[_INDEX(upper)]
        else:
            pixel = up
            up = upper
    return pixel, up


@_part
def _join(link, here, joined, count, touches, inner, clear_border):
    """Make one component of a new pixel and its neighbours; returns its root and minus its size."""
    root, size = here, np.int32(-1)
    for number in range(count):
        other, up = _root_of(link, joined[_INDEX(number)])
        if other == root:
            continue
        if clear_border:
            if not touches[other]:
                inner[-up] -= 1
            touches[root] = touches[other] = touches[root] or touches[other]
        if up < size:
            link[_INDEX(root)] = other
            root = other
        else:
            link[_INDEX(other)] = root
        size += up
        link[_INDEX(root)] = size
    link[_INDEX(root)] = size
    return root, size


@njit(cache=True)
def _largest_components(rising, flat, height, width, corners, clear_border):
    """Add pixels from the highest to the lowest: after which ones the largest component changes.

    Union-find, union by size. ``link`` is padded by a frame of one pixel: 0 for pixels that are not
    added yet, the parent for others, minus its size for a root.
    """
    stride = width + 2
    link, place = np.zeros((height + 2) * stride, np.int32), _framed_places(height, width)
    touches = _on_border(height, width) if clear_border else np.zeros(1, np.bool_)
    # How many components of each size do not touch the border: the largest of them can vanish.
    inner = np.zeros(height * width + 1 if clear_border else 1, np.int32)
    joined = np.empty(8, np.int32)
    largest, told, changes = np.int32(0), np.int32(0), 0
    pixels, areas = np.empty(rising.size, np.int32), np.empty(rising.size, np.int32)
    for position in range(rising.size - 1, -1, -1):
        pixel = rising[_INDEX(position)]
        here = np.int64(place[_INDEX(pixel)])
        count = _added_neighbours(link, here, stride, corners, joined)
        root, size = _join(link, here, joined, count, touches, inner, clear_border)
        if clear_border:
            if not touches[root]:
                inner[-size] += 1
                largest = max(largest, -size)
            while largest > 0 and inner[largest] == 0:
                largest -= 1
        elif -size > largest:
            largest = -size
        # Equal values enter together, so only the last of them is a threshold.
        if largest != told and (position == 0 or flat[rising[position - 1]] != flat[pixel]):
            pixels[changes], areas[changes], told = pixel, largest, largest
            changes += 1
    return pixels[:changes], areas[:changes]


def check_connectivity(connectivity: int) -> None:
    """Refuse a connectivity that is neither 4 nor 8."""
    if connectivity not in (4, 8):
        raise ValueError(
            f"connectivity must be 4 (edges) or 8 (edges and corners); got {connectivity!r}"
        )


def component_curve(
    heatmap: ArrayLike, connectivity: int = 8, clear_border: bool = False
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The largest connected component of {heatmap >= t} for every threshold t, as one exact curve.

    Pixels are added from the highest to the lowest and joined with their neighbours (union-find),
    so that one pass answers for all thresholds.

    Parameters
    ----------
    heatmap : ndarray of float, shape (h, w) or int
    connectivity : {4, 8}
        Whether pixels are connected across edges only, or across corners too.
    clear_border : bool
        Components that touch the image's border do not count.

    Returns
    -------
    levels : ndarray of the heatmap's type, shape (k,)
        Falling values at which the largest component changes.
    areas : ndarray of int, shape (k,)
        Its size in pixels for thresholds from ``levels[i]`` down to just above ``levels[i + 1]``;
        above ``levels[0]`` it is 0.

    Raises
    ------
    ValueError
        If the heatmap is not two-dimensional or not finite, or ``connectivity`` is neither 4 nor 8.

    References
    ----------
    Tarjan, "Efficiency of a good but not linear set union algorithm", Journal of the ACM 1975.

    Examples
    --------
    >>> levels, areas = component_curve(np.array([[9, 1, 7], [8, 1, 1], [1, 1, 6]]))
    >>> levels.tolist(), areas.tolist()
    ([9, 8, 1], [1, 2, 9])
    """
    check_connectivity(connectivity)
    heatmap = np.asarray(heatmap)
    if heatmap.ndim != 2:
        raise ValueError(f"heatmap must have shape (h, w); got {heatmap.shape}")
    if heatmap.dtype.kind not in "iu":
        heatmap = checked_map(heatmap)
    flat = heatmap.ravel()
    # A stable sort of integers of 8 or 16 bits is a radix sort.
    rising = np.argsort(
        flat, kind="stable" if flat.dtype.kind in "iu" and flat.itemsize < 4 else None
    )
    height, width = heatmap.shape
    pixels, areas = _largest_components(
        rising, flat, height, width, connectivity == 8, bool(clear_border)
    )
    return flat[pixels], areas.astype(np.int64)


def area_levels(
    maps: ArrayLike, areas: ArrayLike, connectivity: int = 8, clear_border: bool = False
) -> NDArray[np.float64]:
    """For each map and area the highest level at which a connected component is as large.

    It turns a decision by area and threshold into a score: {map >= t} holds a component of at least
    ``area`` pixels exactly where the level is at least t. With ``clear_border`` a component counts
    from the level at which it is large enough, also if it reaches the border at a lower one.

    Parameters
    ----------
    maps : ndarray of float, shape (n, h, w) or int
    areas : sequence of int
        In pixels, at least 1.
    connectivity, clear_border
        As in `component_curve`.

    Returns
    -------
    ndarray of float64, shape (n, len(areas))
        ``-inf`` where no component ever is.

    Raises
    ------
    ValueError
        If ``maps`` is not three-dimensional or not finite, an area is below 1, or ``connectivity``
        is neither 4 nor 8.

    Examples
    --------
    >>> area_levels(np.array([[[9, 1, 7], [8, 1, 1], [1, 1, 6]]]), [1, 2, 3, 10]).tolist()
    [[9.0, 8.0, 1.0, -inf]]
    """
    maps, areas = np.asarray(maps), np.asarray(areas)
    if maps.ndim != 3:
        raise ValueError(f"maps must have shape (n, h, w); got {maps.shape}")
    if areas.ndim != 1 or areas.size == 0 or areas.min() < 1:
        raise ValueError(
            f"areas must be a list of numbers of pixels, each at least 1; got {areas.tolist()}"
        )
    result = np.full((len(maps), len(areas)), -np.inf)
    for row, heatmap in zip(result, maps, strict=True):
        levels, sizes = component_curve(heatmap, connectivity, clear_border)
        reached = np.maximum.accumulate(sizes)
        position = np.searchsorted(reached, areas)
        row[position < len(levels)] = levels[position[position < len(levels)]]
    return result
