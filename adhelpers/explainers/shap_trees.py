"""shap's functions on trees of regions without compiling them, with equal results.

shap compiles them with numba in every process anew, which takes seconds of CPU before the first
explanation. What they compute depends on the shape of the images only, or is done for all nodes of
one depth at once here.
"""

import heapq
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from shap.explainers import _partition
from shap.utils import _masked_model

# A row for each inner node: its two children, a distance (0), and the number of its leaves. Nodes
# are numbered leaves first, then rows; the last row is the root.
Tree = NDArray[np.float64]
_Nodes = NDArray[np.int64]


@lru_cache(maxsize=4)
def partition_tree(shape: tuple[int, int, int]) -> Tree:
    """Pixels of an image in nested boxes: the largest box is halved, along its longer side.

    Ties between sides go to rows; channels are separated last. Equal to the tree of
    ``shap.maskers.Image``.
    """
    count = int(np.prod(shape))
    tree = np.zeros((count - 1, 4))
    # The size with a minus sign, the box, its parent's row, and whether it is the left child.
    boxes: list[tuple] = [(0, *(side for length in shape for side in (0, length)), -1, False)]
    for row in range(count - 2, -count - 1, -1):
        _, *box, parent, is_left = heapq.heappop(boxes)
        if parent >= 0:
            tree[parent, 0 if is_left else 1] = row + count
        if row < 0:
            # Only single pixels are left, in the order in which they are numbered.
            continue
        axis = _longer_side(box)
        middle = box[2 * axis] + (box[2 * axis + 1] - box[2 * axis]) // 2
        left, right = list(box), list(box)
        left[2 * axis + 1] = right[2 * axis] = middle
        heapq.heappush(boxes, (-_volume(left), *left, row, True))
        heapq.heappush(boxes, (-_volume(right), *right, row, False))
    for row in range(count - 1):
        children = tree[row, :2].astype(int)
        tree[row, 3] = sum(1 if one < count else tree[one - count, 3] for one in children)
    return tree


def _longer_side(box: list[int]) -> int:
    rows, columns = box[1] - box[0], box[3] - box[2]
    if rows >= columns and rows > 1:
        return 0
    return 1 if columns > 1 else 2


def _volume(box: list[int]) -> int:
    return (box[1] - box[0]) * (box[3] - box[2]) * (box[5] - box[4])


def _depths(tree: Tree) -> Iterator[tuple[_Nodes, _Nodes, _Nodes, _Nodes]]:
    """For each depth from the root: its inner nodes, their leaves' number, and their children."""
    count = len(tree) + 1
    children, leaves = tree[:, :2].astype(np.int64), tree[:, 3].astype(np.int64)
    nodes = np.array([2 * count - 2])
    while len(nodes := nodes[nodes >= count]):
        left, right = children[nodes - count].T
        yield nodes, leaves[nodes - count], left, right
        nodes = np.concatenate([left, right])


def _sizes(tree: Tree) -> _Nodes:
    """The number of leaves of every node."""
    return np.concatenate([np.ones(len(tree) + 1), tree[:, 3]]).astype(np.int64)


def make_masks(tree: Tree) -> csr_matrix:
    """Which leaves belong to each node: a row for each node, as ``shap.utils.make_masks``."""
    sizes = _sizes(tree)
    count = len(tree) + 1
    # Read from left to right the leaves of any node are neighbours.
    start = np.zeros(len(sizes), dtype=np.int64)
    for nodes, _, left, right in _depths(tree):
        start[left] = start[nodes]
        start[right] = start[nodes] + sizes[left]
    order = np.empty(count, dtype=np.int64)
    order[start[:count]] = np.arange(count)
    pointers = np.concatenate([[0], np.cumsum(sizes)])
    within = np.arange(pointers[-1]) - np.repeat(pointers[:-1], sizes)
    indices = order[np.repeat(start, sizes) + within]
    ones = np.ones(len(indices), dtype=bool)
    return csr_matrix((ones, indices, pointers), shape=(len(sizes), count))


def lower_credit(
    node: int, value: float, count: int, values: NDArray[np.float64], tree: Tree
) -> None:
    """Hand down what a node got to its leaves, to each an equal part, in place, as shap does."""
    sizes = _sizes(tree)
    values[node] += value
    for nodes, leaves, left, right in _depths(tree):
        for child in (left, right):
            share = (values[nodes].T * sizes[child] / leaves).T
            values[child] += share


_last: tuple[Tree, csr_matrix] | None = None


def _masks_once(tree: Tree) -> csr_matrix:
    """The masks of the tree, kept while the same tree is used."""
    global _last
    if _last is None or _last[0] is not tree:
        _last = (tree, make_masks(tree))
    return _last[1]


@contextmanager
def uncompiled() -> Iterator[None]:
    """Let shap use what is here in place of what it would compile.

    A name that another version of shap does not have is passed over.
    """
    plain = getattr(_masked_model, "_build_fixed_single_output", None)
    replaced = [
        (_partition, "make_masks", _masks_once),
        (_partition, "lower_credit", lower_credit),
        (_masked_model, "_build_fixed_single_output", getattr(plain, "py_func", None)),
    ]
    with ExitStack() as stack:
        for module, name, function in replaced:
            if function is not None and hasattr(module, name):
                stack.enter_context(patch.object(module, name, function))
        yield
