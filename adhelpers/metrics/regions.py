"""Regions of anomaly maps: against true defects (pixel AUROC, AUPRO), and by themselves (the largest component at every threshold)."""

import numpy as np
from numba import njit
from scipy import ndimage

from adhelpers._shared.checks import checked_map, checked_mask

from .intervals import checked_resampling, percentile_interval, resample_counts

# A region is connected across edges and corners, as in MVTec's own evaluation.
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def _checked(maps, masks):
    maps = checked_map(maps, "maps")
    if maps.ndim != 3:
        raise ValueError(f"maps must have shape (n, h, w); got {maps.shape}")
    masks = checked_mask(masks, maps.shape, "masks")
    if not masks.any():
        raise ValueError(
            "masks are all empty: there is no defect to find, so pixel AUROC and AUPRO are not defined"
        )
    if masks.all():
        raise ValueError(
            "masks cover every pixel: without a good pixel, pixel AUROC and AUPRO are not defined"
        )
    return maps, masks


def _checked_limit(limit):
    if not 0 < limit <= 1:
        raise ValueError(
            f"limit is the largest false positive rate and must lie in (0, 1], such as 0.3; got {limit}"
        )


def _region_shares(masks):
    """For each defect pixel, in C order, the share that it has of its region; and the number of regions in each mask."""
    shares, numbers = [], np.zeros(len(masks), dtype=int)
    for index in np.flatnonzero(masks.any(axis=(1, 2))):
        regions, numbers[index] = ndimage.label(masks[index], structure=_EIGHT_NEIGHBOURS)
        region_of_pixel = regions[masks[index]]
        shares.append(1 / np.bincount(region_of_pixel)[region_of_pixel])
    return np.concatenate(shares), numbers


def _area_of_each_pixel(sorted_good, defect, limit):
    """What each defect pixel adds to the area under its curve up to a false positive rate of limit.

    A defect pixel counts as found from the rate at which its value is reached: half-way through its
    ties with good pixels, as straight lines between the points of the curve have it. The area under
    any weighted mean of pixels is that mean of these.
    """
    before = (len(sorted_good) - np.searchsorted(sorted_good, defect, side="right")) / len(
        sorted_good
    )
    after = (len(sorted_good) - np.searchsorted(sorted_good, defect, side="left")) / len(
        sorted_good
    )
    reached = np.clip(limit - before, 0, after - before)
    rising = np.divide(
        reached**2, 2 * (after - before), out=np.zeros(len(defect)), where=after > before
    )
    return rising + np.clip(limit - after, 0, None)


def _area(false_positive_rate, overlap, limit):
    """Area under a curve of straight pieces up to limit, along the last axis; the rate rises and starts at 0."""
    left, right = false_positive_rate[..., :-1], false_positive_rate[..., 1:]
    bottom, top = overlap[..., :-1], overlap[..., 1:]
    width = np.clip(np.minimum(right, limit) - left, 0, None)
    # The piece that crosses the limit is cut there; an upright piece has no width and no area.
    inside = np.divide(width, right - left, out=np.zeros_like(width), where=right > left)
    return (width * (bottom + inside * (top - bottom) / 2)).sum(axis=-1)


def pixel_auroc(maps, masks):
    """Area under the ROC curve over all pixels: the chance that a defect pixel lies above a good one, ties counting half.

    Exact over all values. Large defects weigh more than small ones: see :func:`aupro`.

    Parameters
    ----------
    maps : (n, h, w) array of float
        Anomaly maps; higher is more anomalous.
    masks : (n, h, w) array of bool
        True defects; empty for good images.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If ``masks`` is None, all empty or all full, shapes differ, or a map holds NaN (the images
        are named).

    Examples
    --------
    >>> pixel_auroc(np.array([[[0.0, 0.2], [0.2, 0.9]]]), np.array([[[False, False], [True, True]]]))
    0.875
    """
    maps, masks = _checked(maps, masks)
    return float(_area_of_each_pixel(np.sort(maps[~masks]), maps[masks], 1.0).mean())


def aupro(maps, masks, limit=0.3):
    """Area under the per-region overlap up to a false positive rate, as a share of the largest possible area.

    The overlap at a threshold is the share of each defect region (8-connected) at or above it,
    averaged over all regions of all images, each weighing the same; the false positive rate is the
    share of all good pixels at or above it. Exact over all values, equal values entering together,
    straight lines between the points and at the limit.

    Parameters
    ----------
    maps : (n, h, w) array of float
        Anomaly maps; higher is more anomalous.
    masks : (n, h, w) array of bool
        True defects; empty for good images.
    limit : float
        Largest false positive rate, in (0, 1].

    Returns
    -------
    float
        In [0, 1]; a map that knows nothing has ``limit / 2``.

    Raises
    ------
    ValueError
        If ``masks`` is None, all empty or all full, shapes differ, a map holds NaN (the images are
        named), or ``limit`` is not in (0, 1].

    References
    ----------
    Bergmann, Batzner, Fauser, Sattlegger, Steger, "The MVTec Anomaly Detection Dataset", IJCV 2021.

    Examples
    --------
    >>> masks = np.zeros((1, 4, 8), dtype=bool)
    >>> masks[0, 0, :2] = masks[0, 3, 7] = True
    >>> aupro(masks.astype(float), masks), round(aupro(np.zeros(masks.shape), masks), 6)
    (1.0, 0.15)
    """
    maps, masks = _checked(maps, masks)
    _checked_limit(limit)
    shares, numbers = _region_shares(masks)
    area = shares @ _area_of_each_pixel(np.sort(maps[~masks]), maps[masks], limit) / numbers.sum()
    return float(min(area / limit, 1.0))


def _threshold_grid(good, size):
    """Falling thresholds at quantiles of the sorted good pixels: half evenly over the false positive rate, half towards 0."""
    even = np.linspace(0, 1, size // 2)
    fine = np.geomspace(1 / len(good), 1, size - size // 2)
    positions = np.unique(np.round(np.concatenate([even, fine]) * (len(good) - 1)).astype(int))
    return np.unique(good[len(good) - 1 - positions])[::-1]


def pixel_report(maps, masks, limit=0.3, resamples=1000, confidence=0.95, seed=0, grid_size=2000):
    """Pixel AUROC and AUPRO with bootstrap intervals over images.

    The values are exact. The intervals draw whole images (pixels of an image are not independent),
    those with and those without a defect each from their own, and read each resample's curves at a
    fixed grid of thresholds, quantiles of all good pixels, with straight lines between; at the
    default size that moves them by less than 0.001.

    Parameters
    ----------
    maps : (n, h, w) array of float
        Anomaly maps; higher is more anomalous.
    masks : (n, h, w) array of bool
        True defects; empty for good images.
    limit : float
        Largest false positive rate of AUPRO, in (0, 1].
    resamples : int
    confidence : float
        Between 0 and 1.
    seed : int
    grid_size : int
        Number of thresholds at which the resampled curves are read, at least 10.

    Returns
    -------
    dict of str to Estimate
        ``"pixel_auroc"`` and ``"aupro"``.

    Raises
    ------
    ValueError
        As :func:`aupro`; and if ``resamples``, ``confidence`` or ``grid_size`` is out of range.

    Examples
    --------
    >>> masks = np.zeros((4, 8, 8), dtype=bool)
    >>> masks[:3, 2:4, 2:4] = True
    >>> maps = masks + np.random.default_rng(0).random(masks.shape)
    >>> sorted(pixel_report(maps, masks, resamples=50))
    ['aupro', 'pixel_auroc']
    """
    checked_resampling(resamples, confidence)
    _checked_limit(limit)
    if grid_size < 10:
        raise ValueError(f"grid_size must be at least 10, better 2000; got {grid_size}")
    maps, masks = _checked(maps, masks)
    thresholds = _threshold_grid(np.sort(maps[~masks]), grid_size)
    shares, regions = _region_shares(masks)
    share_ends = np.cumsum(masks.sum(axis=(1, 2)))

    # Per image, what lies at or above each threshold: good pixels, defect pixels, and the overlap
    # summed over its regions.
    good_above, defect_above, overlap_above = np.zeros((3, len(maps), len(thresholds)))
    for index, (heatmap, mask) in enumerate(zip(maps, masks, strict=True)):
        good = np.sort(heatmap[~mask])
        good_above[index] = len(good) - np.searchsorted(good, thresholds, side="left")
        if mask.any():
            defect = heatmap[mask]
            order = np.argsort(defect)
            own = shares[share_ends[index] - len(defect) : share_ends[index]]
            from_top = np.concatenate([[0.0], np.cumsum(own[order][::-1])])
            above = len(defect) - np.searchsorted(defect[order], thresholds, side="left")
            defect_above[index], overlap_above[index] = above, from_top[above]

    defect_pixels = masks.sum(axis=(1, 2))
    good_pixels = masks[0].size - defect_pixels
    start_and_end = ((0, 0), (1, 1))
    draws = []
    for counts in resample_counts(masks.any(axis=(1, 2)), resamples, seed):
        rate, recall, overlap = (
            np.pad(
                counts @ above / (counts @ whole)[:, None], start_and_end, constant_values=(0, 1)
            )
            for above, whole in (
                (good_above, good_pixels),
                (defect_above, defect_pixels),
                (overlap_above, regions),
            )
        )
        draws.append(
            np.column_stack([_area(rate, recall, 1.0), _area(rate, overlap, limit) / limit])
        )
    draws = np.concatenate(draws)
    return {
        "pixel_auroc": percentile_interval(pixel_auroc(maps, masks), draws[:, 0], confidence),
        "aupro": percentile_interval(aupro(maps, masks, limit), draws[:, 1], confidence),
    }


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
        # A corner beside a neighbour that is there hangs together with it already.
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
    """Make one component of a new pixel and its ``count`` neighbours: its root and minus its size."""
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
    """Add pixels from the highest to the lowest: after which the largest component has another size.

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


def component_curve(heatmap, connectivity=8, clear_border=False):
    """The largest connected component of {heatmap >= t} for every threshold t, as one exact curve.

    Pixels are added from the highest to the lowest and joined with their neighbours (union-find),
    so that one pass answers for all thresholds.

    Parameters
    ----------
    heatmap : (h, w) array of float or int
    connectivity : {4, 8}
        Whether pixels hang together across edges only, or across corners too.
    clear_border : bool
        Components that touch the image's border do not count.

    Returns
    -------
    levels : (k,) array of the heatmap's type
        Falling values at which the largest component changes.
    areas : (k,) array of int
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
    pixels, areas = _largest_components(
        rising, flat, *heatmap.shape, connectivity == 8, bool(clear_border)
    )
    return flat[pixels], areas.astype(np.int64)


def area_levels(maps, areas, connectivity=8, clear_border=False):
    """For each map and area the highest level at which a connected component is as large: ``-inf`` where none ever is.

    It turns a decision by area and threshold into a score: {map >= t} holds a component of at least
    ``area`` pixels exactly where the level is at least t. With ``clear_border`` a component counts
    from the level at which it is large enough, also if it reaches the border at a lower one.

    Parameters
    ----------
    maps : (n, h, w) array of float or int
    areas : sequence of int
        In pixels, at least 1.
    connectivity, clear_border
        As in :func:`component_curve`.

    Returns
    -------
    (n, len(areas)) array of float64

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


def segmentation_report(segmentations, masks):
    """Predicted regions against true defects.

    Parameters
    ----------
    segmentations : (n, h, w) array of bool
        Predicted defect pixels.
    masks : (n, h, w) array of bool
        True defects; empty for good images.

    Returns
    -------
    dict of str to float
        ``"iou"``: intersection over union of all pixels of all images together; ``"mean_iou"``: of
        each defective image, averaged; ``"per_region_overlap"``: share of each defect region
        (8-connected) that is found, averaged over regions; ``"false_positive_rate"``: share of good
        pixels that are segmented.

    Raises
    ------
    ValueError
        As :func:`aupro`.

    Examples
    --------
    >>> mask = np.zeros((1, 4, 4), dtype=bool)
    >>> mask[0, :2, :2] = True
    >>> report = segmentation_report(np.roll(mask, 1, axis=2), mask)
    >>> {name: round(value, 3) for name, value in report.items()}
    {'iou': 0.333, 'mean_iou': 0.333, 'per_region_overlap': 0.5, 'false_positive_rate': 0.167}
    """
    segmentations, masks = _checked(np.asarray(segmentations, dtype=np.float32), masks)
    segmentations = segmentations > 0
    shares, numbers = _region_shares(masks)
    both, either = (
        (segmentations & masks).sum(axis=(1, 2)),
        (segmentations | masks).sum(axis=(1, 2)),
    )
    defective = masks.any(axis=(1, 2))
    return {
        "iou": float(both.sum() / either.sum()),
        "mean_iou": float((both[defective] / either[defective]).mean()),
        "per_region_overlap": float(shares @ segmentations[masks] / numbers.sum()),
        "false_positive_rate": float(segmentations[~masks].mean()),
    }
