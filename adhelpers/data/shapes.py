"""Defects that a list describes instead of an image of a mask: boxes, polygons, run lengths."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from adhelpers._shared.arrays import Masks


@dataclass(frozen=True)
class Shapes:
    """The marks of one image, as COCO's annotations have them.

    Attributes
    ----------
    marks : tuple of dict
        Annotations: each has a ``segmentation`` (polygons, or run lengths with their size) or, if
        it is missing or empty, a ``bbox`` (left, top, width, height), all in pixels.
    size : tuple of int, optional
        Height and width of the image, where the list says so.

    Examples
    --------
    >>> Shapes(({"bbox": [1, 0, 2, 1]},)).mask((2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 0, 0]]
    """

    marks: tuple[dict[str, Any], ...]
    size: tuple[int, int] | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over what the marks draw, whatever else is said of them."""
        drawn = [_drawn_part(mark) for mark in self.marks]
        return hashlib.sha256(json.dumps(drawn, sort_keys=True).encode()).hexdigest()

    @property
    def boxes(self) -> int:
        """Number of marks that are boxes."""
        return sum(not mark.get("segmentation") for mark in self.marks)

    def mask(self, shape: tuple[int, int]) -> Masks:
        """The pixels that any mark covers.

        A mark that is smaller than a pixel marks the one that its middle lies in.

        Parameters
        ----------
        shape : tuple of int
            Height and width of the image.

        Returns
        -------
        ndarray of bool, shape (h, w)

        Raises
        ------
        ValueError
            Where the list gives the image another size, a mark has another form, or it lies outside
            of the image.
        """
        if self.size is not None and self.size != shape:
            raise ValueError(
                "the list gives the image {}x{} pixels (height x width), ".format(*self.size)
                + "its file has {}x{}".format(*shape)
            )
        mask = np.zeros(shape, bool)
        for mark in self.marks:
            mask |= _draw(mark, shape)
        return mask


def _drawn_part(mark: dict[str, Any]) -> Any:
    return mark.get("segmentation") or mark.get("bbox")


def _draw(mark: dict[str, Any], shape: tuple[int, int]) -> Masks:
    """The pixels of one mark."""
    drawn = _drawn_part(mark)
    try:
        if not mark.get("segmentation"):
            return _box(drawn, shape)
        if isinstance(drawn, dict):
            return _run_lengths(drawn, shape)
        return _polygons(drawn, shape)
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError(
            "a mark needs a segmentation (polygons of at least three points, or run lengths with "
            f"their size) or a bbox of four numbers ({error})"
        ) from error


def _box(box: Sequence[float], shape: tuple[int, int]) -> Masks:
    """The pixels that a box covers, also in part."""
    left, top, width, height = map(float, box)
    if not (np.isfinite([left, top, width, height]).all() and width > 0 and height > 0):
        raise ValueError(f"the bbox {list(box)} has no area")
    mask = np.zeros(shape, bool)
    rows, columns = (
        slice(max(0, int(np.floor(start))), max(0, int(np.ceil(start + length))))
        for start, length in ((top, height), (left, width))
    )
    mask[rows, columns] = True
    if not mask.any():
        raise ValueError(f"the bbox {list(box)} lies outside of the image")
    return mask


def _run_lengths(runs: dict[str, Any], shape: tuple[int, int]) -> Masks:
    """COCO's run lengths, counted or compressed."""
    from pycocotools import mask as coco_masks

    if list(runs["size"]) != list(shape):
        raise ValueError(
            "run lengths are for {}x{} pixels (height x width), ".format(*runs["size"])
            + "the image has {}x{}".format(*shape)
        )
    counts = runs["counts"]
    if isinstance(counts, list) and (sum(counts) != shape[0] * shape[1] or min(counts) < 0):
        raise ValueError(f"run lengths add up to {sum(counts)}, not to {shape[0] * shape[1]}")
    coded = coco_masks.frPyObjects(runs, *shape) if isinstance(counts, list) else runs
    return coco_masks.decode(coded).astype(bool)


def _polygons(polygons: Sequence[Sequence[float]], shape: tuple[int, int]) -> Masks:
    """Polygons of which each is x, y, x, y, ..."""
    from pycocotools import mask as coco_masks

    mask = np.zeros(shape, bool)
    for polygon in polygons:
        points = np.asarray(polygon, float).reshape(-1)
        if len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
            raise ValueError(f"a polygon needs at least three points, not {list(polygon)}")
        # Its outline is drawn step by step: one that is far too large would never end.
        if (points < -max(shape)).any() or (points > 2 * max(shape)).any():
            raise ValueError("a polygon lies outside of the image")
        [coded] = coco_masks.frPyObjects([points.tolist()], *shape)
        drawn = coco_masks.decode(coded).astype(bool)
        if not drawn.any():
            column, row = (int(np.floor(points[axis::2].mean())) for axis in (0, 1))
            if not (0 <= row < shape[0] and 0 <= column < shape[1]):
                raise ValueError("a polygon lies outside of the image")
            drawn[row, column] = True
        mask |= drawn
    return mask
