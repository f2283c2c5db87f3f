"""Checks of input whose errors name the parameter and say what would be right."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import Flags, Images, Masks, Names

_NAMED_INDICES = 10


def check_choice(name: str, value: Any, allowed: Collection[str]) -> None:
    """Raise a ValueError that names the parameter and its choices if ``value`` is none of them."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _listed(indices: NDArray[np.intp]) -> str:
    shown = ", ".join(str(int(index)) for index in indices[:_NAMED_INDICES])
    return (
        shown
        if len(indices) <= _NAMED_INDICES
        else f"{shown} and {len(indices) - _NAMED_INDICES} more"
    )


def checked_scores(scores: ArrayLike, name: str = "scores") -> NDArray[np.float64]:
    """One finite number for each image: ndarray of float64, shape (n,).

    Raises
    ------
    ValueError
        If ``scores`` is empty, not one-dimensional, or holds NaN or infinite values; the message
        names their indices.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(
            f"{name} must hold one number for each image, shape (n,) with n >= 1; got shape "
            f"{scores.shape}"
        )
    finite = np.isfinite(scores)
    if not finite.all():
        raise ValueError(
            f"{name} must be finite numbers; NaN or infinite at index "
            f"{_listed(np.flatnonzero(~finite))}"
        )
    return scores


def checked_labels(
    labels: ArrayLike, length: int, name: str = "labels", both_classes: bool = False
) -> Flags:
    """Labels 0 (good) or 1 (anomalous): ndarray of bool, shape (n,), True for anomalous.

    Raises
    ------
    ValueError
        If the length differs from ``length``, a value is neither 0 nor 1, or ``both_classes`` is
        asked for and one is missing.
    """
    labels = np.asarray(labels)
    if labels.shape != (length,):
        raise ValueError(
            f"{name} must have one value for each of the {length} images; got shape {labels.shape}"
        )
    anomalous = labels == 1
    strange = np.flatnonzero(~(anomalous | (labels == 0)))
    if strange.size:
        raise ValueError(
            f"{name} must be 0 (good) or 1 (anomalous); got {labels[strange[0]]!r} at index "
            f"{_listed(strange)}"
        )
    if both_classes and (anomalous.all() or not anomalous.any()):
        missing = "good image (label 0)" if anomalous.all() else "anomalous image (label 1)"
        raise ValueError(
            f"{name} has no {missing} among {length}: telling two classes apart needs both in the "
            "test set"
        )
    return anomalous


def checked_flags(flags: ArrayLike, length: int | None = None, name: str = "flags") -> Flags:
    """Decisions: ndarray of bool, shape (n,), True for flagged.

    Raises
    ------
    ValueError
        If ``flags`` is empty, not one-dimensional, of another length than ``length``, or not made
        of False/True or 0/1.
    """
    flags = np.asarray(flags)
    if flags.ndim != 1 or flags.size == 0 or (length is not None and len(flags) != length):
        wanted = "(n,) with n >= 1" if length is None else f"({length},)"
        raise ValueError(
            f"{name} must hold one decision for each image, shape {wanted}; got shape {flags.shape}"
        )
    if flags.dtype != bool and not np.isin(flags, (0, 1)).all():
        raise ValueError(
            f"{name} must be decisions (False or True), not scores: use Threshold.flag(scores)"
        )
    return flags.astype(bool)


def checked_types(types: ArrayLike, length: int, name: str = "types") -> Names:
    """Names of the defect types: ndarray of str, shape (n,).

    Raises
    ------
    ValueError
        If there is not exactly one type for each image.
    """
    types = np.asarray(types)
    if types.shape != (length,):
        raise ValueError(
            f"{name} must have one name for each of the {length} images; got shape {types.shape}"
        )
    return types.astype(str)


def checked_map(heatmap: ArrayLike, name: str = "heatmap") -> NDArray[Any]:
    """A finite map as float32 or float64, of any shape.

    Raises
    ------
    ValueError
        If it is empty or holds NaN or infinite values; the message counts them and, for a stack of
        maps, names the images.
    """
    heatmap = np.asarray(heatmap)
    if heatmap.dtype not in (np.float32, np.float64):
        heatmap = heatmap.astype(np.float64)
    if heatmap.size == 0:
        raise ValueError(f"{name} is empty: shape {heatmap.shape}")
    finite = np.isfinite(heatmap)
    if not finite.all():
        where = ""
        if heatmap.ndim == 3:
            where = f", in image {_listed(np.flatnonzero(~finite.all(axis=(1, 2))))}"
        raise ValueError(
            f"{name} must be finite: {np.count_nonzero(~finite)} NaN or infinite values{where}"
        )
    return heatmap


def checked_mask(mask: ArrayLike | None, shape: tuple[int, ...], name: str = "mask") -> Masks:
    """A mask (or a stack of them) as bool, of the given shape.

    Raises
    ------
    ValueError
        If it is None (a category without ``ground_truth/``), of another shape, or not made of
        False/True or 0/1.
    """
    if mask is None:
        raise ValueError(
            f"{name} is None: the data set has no ground_truth folder, and this metric needs the "
            "true defect"
        )
    mask = np.asarray(mask)
    if mask.shape != tuple(shape):
        raise ValueError(f"{name} must have the shape of the map, {tuple(shape)}; got {mask.shape}")
    if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
        raise ValueError(
            f"{name} must be False/True or 0/1; got values up to {mask.max()} (compare with 0 "
            "first)"
        )
    return mask.astype(bool)


def refuse_equal_scores(scores: NDArray[np.float64]) -> None:
    """Raise a ValueError if no two scores (n,) differ: no threshold can split them."""
    if scores.min() == scores.max():
        raise ValueError(
            f"the detector gives every image the same score ({scores[0]:g}): there is nothing to "
            "threshold; check that it was trained and that the images differ"
        )


def checked_images(
    images: ArrayLike, shape: tuple[int, ...] | None = None, name: str = "images"
) -> Images:
    """Images in [0, 1]: ndarray of float32, shape (n, h, w, c) with c 1 or 3.

    ``shape`` is the (h, w, c) that a model was fitted on, where there is one.

    Raises
    ------
    ValueError
        If there are no images, the number of axes or channels is wrong, the shape is another, or
        values are not finite numbers in [0, 1].

    Examples
    --------
    >>> checked_images(np.zeros((2, 8, 8, 1))).dtype
    dtype('float32')
    """
    images = np.asarray(images, dtype=np.float32)
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{name} must have the shape (n, h, w, c) with 1 or 3 channels, not {images.shape}"
        )
    if len(images) == 0:
        raise ValueError(f"{name} holds no image; at least one is needed")
    if shape is not None and images.shape[1:] != tuple(shape):
        color = "grayscale" if shape[2] == 1 else "rgb"
        raise ValueError(
            f"{name} have the shape {images.shape[1:]}, but this detector was fitted on "
            f"{tuple(shape)}: load them with the image size {shape[0]} x {shape[1]} and color "
            f"{color}, or train another detector"
        )
    # One pass each; a comparison with NaN is False, so it is caught as well.
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"{name} must hold finite values in [0, 1]; found {images.min()} to {images.max()}"
        )
    return images
