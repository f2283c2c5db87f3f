"""What repairs, deletion and insertion share: regions, how they are pasted, scores of a stream."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.signal import fftconvolve

from adhelpers._shared.arrays import Flags, Floats, Images, Integers
from adhelpers._shared.checks import checked_map
from adhelpers.explainers import BatchedScore

# A Gaussian edge is cut off here, in standard deviations: 1 % of its height.
_FEATHER_REACH = 3.0
# A control must lie on the object nearly as fully as the defect does; asking for all of it would
# leave few places.
_OBJECT_SHARE = 0.9
# Standard deviation in pixels: a heatmap that is flat around the defect is widened on all sides, as
# the defect's margin is.
_SURROUNDINGS = 4.0

Label = TypeVar("Label")


def check_edge(margin: float, feather: float) -> None:
    """Refuse widths that are no number of at least 0."""
    for name, value in (("margin", margin), ("feather", feather)):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(
                f"{name} is a width in pixels and must be a number of at least 0, not {value!r}"
            )


def explainer_column(column: str, explainer: str) -> str:
    """The name of an explainer's column in a table: lower case with underscores."""
    return f"{column}_{explainer.lower().replace(' ', '_')}"


def checked_stacks(
    images: ArrayLike, counterparts: ArrayLike, heatmaps: Mapping[str, ArrayLike]
) -> tuple[Images, Images, dict[str, Floats]]:
    """Images, counterparts and heatmaps as arrays that fit each other.

    A heatmap is finite, or NaN throughout where the explanation failed.
    """
    images = np.asarray(images, dtype=np.float32)
    counterparts = np.asarray(counterparts, dtype=np.float32)
    if images.ndim != 4 or len(images) == 0 or images.shape != counterparts.shape:
        raise ValueError(
            "images and counterparts must both have the shape (n, height, width, channels) with "
            f"n >= 1, not {images.shape} and {counterparts.shape}"
        )
    if not isinstance(heatmaps, dict):
        raise ValueError(
            "heatmaps must be a dict, such as {'LIME': array of shape (n, height, width)}, "
            f"not {type(heatmaps).__name__}"
        )
    stacks = {
        name: _checked_stack(values, images.shape[:3], f"heatmaps[{name!r}]")
        for name, values in heatmaps.items()
    }
    if len({explainer_column("", name) for name in stacks}) < len(stacks):
        raise ValueError(
            f"heatmaps: two explainers' names differ only in case or spaces: {', '.join(stacks)}"
        )
    return images, counterparts, stacks


def _checked_stack(values: ArrayLike, shape: tuple[int, ...], name: str) -> Floats:
    """The heatmaps of one explainer."""
    # At least float32; float64 stays, since rounding would make different values equal.
    stack = np.asarray(values, dtype=np.result_type(np.asarray(values), np.float32))
    if stack.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, one map an image; got {stack.shape}")
    failed = np.isnan(stack).all(axis=(1, 2))
    if not failed.all():
        checked_map(np.where(failed[:, None, None], 0, stack), name)
    return stack


def paste_weights(region: Flags, margin: float, feather: float) -> NDArray[np.float32]:
    """How much of the counterpart a pixel takes: 1 in the widened region, fading out beyond it."""
    if not region.any():
        return np.zeros(region.shape, dtype=np.float32)
    beyond = np.maximum(distance_transform_edt(~region) - margin, 0)
    if feather == 0:
        return (beyond == 0).astype(np.float32)
    edge = np.exp(-0.5 * (beyond / feather) ** 2)
    return np.where(beyond <= _FEATHER_REACH * feather, edge, 0).astype(np.float32)


def pasted(
    image: NDArray[np.float32], counterpart: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The image with its counterpart pasted over it."""
    # In this form the weights 0 and 1 give the image and the counterpart to the last bit.
    return (1 - weights[..., None]) * image + weights[..., None] * counterpart


def ranks(heatmap: Floats) -> Integers:
    """The rank of each pixel, 0 for the highest value; of equal ones higher surroundings first."""
    spread = np.ptp(heatmap)
    surroundings = gaussian_filter(
        (heatmap - heatmap.min()).astype(np.float64) / (spread if spread > 0 else 1), _SURROUNDINGS
    )
    # Rounded, so that equal surroundings stay equal: rows and columns then decide, the same on any
    # machine.
    order = np.lexsort((-np.round(surroundings, 6).ravel(), -heatmap.ravel()))
    found = np.empty(heatmap.size, dtype=np.int64)
    found[order] = np.arange(heatmap.size)
    return found.reshape(heatmap.shape)


def top_weights(heatmap: Floats, total: float, feather: float) -> NDArray[np.float32]:
    """Weights of the largest top of a heatmap, a pixel or more, whose sum is within ``total``."""
    rank = ranks(heatmap)
    low, high = 1, max(1, int(total))
    while low < high:
        middle = (low + high + 1) // 2
        if paste_weights(rank < middle, 0, feather).sum() <= total:
            low = middle
        else:
            high = middle - 1
    return paste_weights(rank < low, 0, feather)


def control_regions(
    weights: Floats,
    feather: float,
    on_object: Flags | None,
    draws: int,
    random: np.random.Generator,
) -> Iterator[Flags]:
    """The shape of a repair's core at different places that the repair leaves alone, if any."""
    core = weights == 1
    rows, columns = np.flatnonzero(core.any(axis=1)), np.flatnonzero(core.any(axis=0))
    shape = core[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    free = _free_places(core, shape, weights, feather, on_object)
    places = np.flatnonzero(free)
    if not len(places):
        return
    for place in random.choice(places, size=min(draws, len(places)), replace=False):
        row, column = np.unravel_index(place, free.shape)
        region = np.zeros_like(core)
        region[row : row + shape.shape[0], column : column + shape.shape[1]] = shape
        yield region


def _free_places(
    core: Flags, shape: Flags, weights: Floats, feather: float, on_object: Flags | None
) -> Flags:
    """Where the upper left corner of ``shape`` may lie for it to be a control."""

    def overlap(area: Flags) -> Floats:
        mirrored = shape[::-1, ::-1].astype(float)
        return np.round(fftconvolve(area.astype(float), mirrored, mode="valid"))

    # 1.5 pixels keep even corners apart where there is no feathered edge to keep clear of. Beside
    # the core's own reach the repair's counts: its edge fades from the widened outline, not from
    # whole pixels.
    reach = max(1.5, _FEATHER_REACH * feather)
    free = overlap((weights > 0) | (distance_transform_edt(~core) <= reach)) == 0
    if on_object is not None and free.any():
        covered = overlap(on_object)
        free &= covered >= _OBJECT_SHARE * min((core & on_object).sum(), covered[free].max())
    return free


def scored(
    score: BatchedScore, pictures: Iterable[tuple[Label, Floats]]
) -> Iterator[tuple[Label, float]]:
    """The scores of a stream of labelled pictures, in full batches, holding one at a time."""
    stream = iter(pictures)
    while batch := list(islice(stream, score.batch_size)):
        values = score(np.stack([picture for _, picture in batch]))
        yield from zip((label for label, _ in batch), values, strict=True)
