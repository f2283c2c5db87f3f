"""Images that are there more than once: found by their content, kept on one side of a split.

Copies hold the same pixels. Near copies hold nearly the same (saved again as JPEG, brightened,
resized); they are found by small versions of the images and only named, never moved.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from adhelpers._shared.arrays import Flags, Floats, Images, Integers

from .remarks import Remark

# The kind of remark on copies in training and test; its files are the test images.
LEAK = "duplicate_train_test"
# More pairs than this are not listed in a sentence; `Remark.files` has all.
_LISTED = 3

# Side of the small versions that near copies are found by: changes of single pixels are gone.
_SIDE = 32
# How far the neighbourhood reaches whose mean is taken away, in pixels of the small version.
_SMOOTHING = 1.5
# Near copies are nearer to each other than this share of what is usual between different images.
# Measured on screws and hazelnuts of MVTec AD: JPEG of quality 75, half the size, another level or
# noise of two grey levels reach 0.02, JPEG of quality 30 0.1, and different images come down to
# 0.12 (screws that happen to lie alike).
_NEAR = 0.06
# What is usual is the distance to this neighbour, counted from 0, of the images that have the
# nearest ones (this percentile): so up to five near copies of each image do not hide each other.
_NEIGHBOUR, _PERCENTILE = 5, 10
# A small version that differs less than this from the mean of all has nothing of its own.
_NOTHING = 1e-4
# Rows of distances that are in memory at once.
_ROWS = 512


def content_digest(pixels: NDArray[np.generic]) -> str:
    """SHA-256 of decoded pixels (or a row) and their shape: the same in any file format.

    Examples
    --------
    >>> content_digest(np.zeros((2, 3))) == content_digest(np.zeros((3, 2)))
    False
    """
    content = np.ascontiguousarray(pixels)
    if content.dtype.kind == "f":
        # Adding zero turns -0.0 into 0.0, which is equal but has other bytes.
        content = content + 0
    digest = hashlib.sha256(f"{content.shape}".encode())
    digest.update(content.ravel().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Look:
    """What an image is compared with others by.

    Attributes
    ----------
    digest : str
        As from `content_digest`.
    small : ndarray of float32, shape (32, 32)
        Means of its grey levels over as many fields.
    """

    digest: str
    small: Floats


def look_of(image: Images, samples: NDArray[np.uint8] | None = None) -> Look:
    """The digest and the small version of an image.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c), in [0, 1]
    samples : ndarray of uint8, shape (h, w, c), optional
        What the image has 255 times, where this is known.
    """
    if samples is None:
        samples = bytes_of(image)
    # A quarter of the bytes, which hold as much.
    digest = content_digest(image if samples is None else samples)
    grey = image[..., 0] if image.shape[-1] == 1 else image.mean(axis=-1, dtype=np.float32)
    height, width = grey.shape
    if height % _SIDE == 0:
        # The same means; half of an image's time would go into the product.
        small = grey.reshape(_SIDE, -1, width).mean(axis=1, dtype=np.float32)
    else:
        small = _field_means(height) @ grey
    return Look(digest, small @ _field_means(width).T)


def bytes_of(image: Images) -> NDArray[np.uint8] | None:
    """An image as whole numbers up to 255, or None where it is more than that.

    Examples
    --------
    >>> bytes_of(np.array([0.2, 1], np.float32))
    array([ 51, 255], dtype=uint8)
    >>> bytes_of(np.array([0.123, 1], np.float32)) is None
    True
    """
    samples = np.round(image * np.float32(255)).astype(np.uint8)
    return samples if np.array_equal(samples / np.float32(255), image) else None


@lru_cache(maxsize=64)
def _field_means(side: int) -> Floats:
    """The means of 32 fields of a row of pixels as a matrix: float32 (32, side)."""
    impulses = Image.fromarray(np.eye(side, dtype=np.float32))
    return np.asarray(impulses.resize((side, _SIDE), Image.Resampling.BOX))


def group_copies(digests: Sequence[str]) -> Integers:
    """For each sample the index of the first one with the same content: int64 (n,).

    Examples
    --------
    >>> group_copies(["a", "b", "a"]).tolist()
    [0, 1, 0]
    """
    first: dict[str, int] = {}
    return np.array([first.setdefault(one, i) for i, one in enumerate(digests)], np.int64)


def held_out_groups(order: Integers, groups: Integers, count: int) -> Integers:
    """The first ``count`` indices of an order, so that copies are taken together or not at all.

    Without copies these are ``order[:count]``. With copies there may be fewer, but at least one
    group. Where all samples are copies of one, nothing can be kept together: ``order[:count]``.

    Parameters
    ----------
    order : ndarray of int64
        A permutation of indices into ``groups``.
    groups : ndarray of int64
        As from `group_copies`.
    count : int

    Returns
    -------
    ndarray of int64
        In the order of ``order``.

    Examples
    --------
    >>> held_out_groups(np.array([2, 0, 3, 1]), np.array([0, 1, 0, 3]), 2).tolist()
    [2, 0]
    """
    own = groups[order]
    kinds, position, sizes = np.unique(own, return_index=True, return_counts=True)
    if len(kinds) == 1 or count == 0:
        return order[:count]
    taken, total = [], 0
    by_position = np.argsort(position)
    for index in by_position:
        if total + sizes[index] <= count:
            taken.append(kinds[index])
            total += int(sizes[index])
        if total == count:
            break
    if not taken:
        taken = [kinds[by_position[np.argmin(sizes[by_position])]]]
    return order[np.isin(own, taken)]


def near_copies(looks: Sequence[Look], parts: Sequence[str]) -> list[tuple[int, int]]:
    """Images that show nearly the same as an earlier one that is not tested on.

    Small versions are compared by their detail (without the mean of each neighbourhood, in units of
    their contrast), less the mean of all images: what all have in common, such as the pose of an
    object on a plain background, makes no two of them alike. Copies are left out.

    Parameters
    ----------
    looks : sequence of Look
    parts : sequence of {"train", "validation", "test"}
        What each image is used for.

    Returns
    -------
    list of tuple of int
        The later and the earlier image.
    """
    groups = group_copies([look.digest for look in looks])
    chosen = np.unique(groups)
    if len(chosen) < 3:
        return []
    details = _own_details(np.stack([looks[index].small for index in chosen]))
    neighbour = min(_NEIGHBOUR, len(chosen) - 2)
    trained = np.array([parts[index] != "test" for index in chosen])
    usual, nearest = np.empty(len(chosen)), np.zeros(len(chosen), np.int64)
    distances = np.full(len(chosen), np.inf)
    for start in range(0, len(chosen), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(chosen)))
        apart = 1 - details[rows] @ details.T
        apart[np.arange(len(rows)), rows] = np.inf
        usual[rows] = np.partition(apart, neighbour, axis=1)[:, neighbour]
        apart[~trained | (np.arange(len(chosen)) >= rows[:, None])] = np.inf
        nearest[rows] = apart.argmin(axis=1)
        distances[rows] = apart.min(axis=1)
    limit = _NEAR * np.percentile(usual, _PERCENTILE)
    found = np.flatnonzero(distances < limit)
    return [(int(chosen[index]), int(chosen[nearest[index]])) for index in found]


def _own_details(small: Floats) -> Floats:
    """What each small version has and the mean of all has not: rows of length 1, or 0."""
    rows = small - gaussian_filter(small, (0, _SMOOTHING, _SMOOTHING))
    rows = _unit(rows.reshape(len(small), -1))
    return _unit(rows - rows.mean(axis=0))


def _unit(rows: Floats) -> Floats:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > _NOTHING, rows / np.maximum(length, _NOTHING), 0)


def near_duplicate_remarks(
    names: Sequence[str], looks: Sequence[Look], parts: Sequence[str]
) -> tuple[Remark, ...]:
    """What is to be said of images that are nearly the same, as `near_copies` finds them.

    Parameters
    ----------
    names : sequence of str
    looks, parts
        As in `near_copies`.

    Returns
    -------
    tuple of Remark
        Of the kinds ``near_duplicate_train_test`` and ``near_duplicate_train``.
    """
    found: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    for index, other in near_copies(looks, parts):
        found[parts[index] == "test"].append((str(names[index]), str(names[other])))
    texts = (
        (
            "near_duplicate_train_test",
            found[True],
            "tested on and nearly the same as one used in training or for the threshold",
            "where it is the same image, saved again or changed, results on it say nothing about "
            "new ones: remove it from one of the two",
        ),
        (
            "near_duplicate_train",
            found[False],
            "nearly the same as another one in training",
            "the validation part may hold one of the two and training the other: keep one of each",
        ),
    )
    how = (
        f"(compared by the detail of {_SIDE}x{_SIDE} grey means in which images differ from their "
        "mean)"
    )
    return tuple(
        Remark(
            kind, tuple(name for name, _ in files), _sentence(files, f"{what} {how}", "≈", advice)
        )
        for kind, files, what, advice in texts
        if files
    )


def duplicate_remarks(
    names: Sequence[str], groups: Integers, parts: Sequence[str], is_anomalous: Flags
) -> tuple[Remark, ...]:
    """What is to be said of samples that are there more than once.

    Parameters
    ----------
    names : sequence of str
    groups : ndarray of int64, shape (n,)
        As from `group_copies`.
    parts : sequence of {"train", "validation", "test"}
        What each sample is used for.
    is_anomalous : ndarray of bool, shape (n,)

    Returns
    -------
    tuple of Remark
        Of the kinds ``duplicate_train_test``, ``duplicate_train_validation``, ``duplicate_train``
        and ``contradictory_labels``.
    """
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(int(group), []).append(index)
    copies = [found for found in members.values() if len(found) > 1]

    def pairs(part: str, others: Sequence[str]) -> list[tuple[str, str]]:
        """Samples of a part, each with its first copy in another part."""
        return [
            (str(names[index]), str(names[same[0]]))
            for found in copies
            if (same := [index for index in found if parts[index] in others])
            for index in found
            if parts[index] == part
        ]

    repeated = [
        (str(names[index]), str(names[train[0]]))
        for found in copies
        if (train := [index for index in found if parts[index] != "test"])
        for index in train[1:]
    ]
    split = pairs("validation", ["train"])
    contradictory = [
        (str(names[bad[0]]), str(names[good[0]]))
        for found in copies
        if (bad := [index for index in found if is_anomalous[index]])
        and (good := [index for index in found if not is_anomalous[index]])
    ]
    together = (
        "copies stay together when the validation part is chosen, but count more than others in "
        "training: keep one of each"
    )
    found = (
        (
            LEAK,
            pairs("test", ["train", "validation"]),
            "tested on and also used in training or for the threshold",
            "results on them say nothing about new ones: remove them from one of the two",
        ),
        (
            "duplicate_train_validation",
            split,
            "held out for validation and also trained on",
            "all are copies of one, so that nothing can be held out: use different ones",
        ),
        (
            "duplicate_train",
            [] if split else repeated,
            "there more than once in training",
            together,
        ),
        (
            "contradictory_labels",
            contradictory,
            "called anomalous in one place and good in another",
            "one of the two labels is wrong: correct it, or remove both",
        ),
    )
    return tuple(
        Remark(
            kind,
            tuple(name for name, _ in files),
            _sentence(files, f"{what}, with the same content", "=", advice),
        )
        for kind, files, what, advice in found
        if files
    )


def _sentence(files: Sequence[tuple[str, str]], what: str, sign: str, advice: str) -> str:
    """How many, which, and what would be right."""
    shown = ", ".join(f"{name} {sign} {other}" for name, other in files[:_LISTED])
    rest = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
    many = "1 sample is" if len(files) == 1 else f"{len(files)} samples are"
    return f"{many} {what}: {shown}{rest}; {advice}"
