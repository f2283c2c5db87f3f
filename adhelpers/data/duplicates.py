"""Images that are there more than once: found by their content, kept on one side of a split."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.arrays import Flags, Integers

from .remarks import Remark

# More pairs than this are not listed in a sentence; `Remark.files` has all.
_LISTED = 3


def content_digest(pixels: NDArray[np.generic]) -> str:
    """SHA-256 of decoded pixels (or a row) and their shape: the same in any file format.

    Examples
    --------
    >>> content_digest(np.zeros((2, 3))) == content_digest(np.zeros((3, 2)))
    False
    """
    # Adding zero turns -0.0 into 0.0, which is equal but has other bytes.
    content = np.ascontiguousarray(pixels) + 0
    return hashlib.sha256(f"{content.shape}".encode() + content.tobytes()).hexdigest()


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
            "duplicate_train_test",
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
        Remark(kind, tuple(name for name, _ in files), _sentence(files, what, advice))
        for kind, files, what, advice in found
        if files
    )


def _sentence(files: Sequence[tuple[str, str]], what: str, advice: str) -> str:
    """How many, which, and what would be right."""
    shown = ", ".join(f"{name} = {other}" for name, other in files[:_LISTED])
    rest = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
    many = "1 sample is" if len(files) == 1 else f"{len(files)} samples are"
    return f"{many} {what}, with the same content ({shown}{rest}); {advice}"
