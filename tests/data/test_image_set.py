"""Image sets and categories: subsets, inventories, shared memory."""

import numpy as np
import pytest

from adhelpers.data import (
    load_category,
)


def test_inventory_counts_by_split_and_type(root):
    table = load_category(root, "bar", image_size=16).inventory()
    assert list(table.columns) == ["split", "type", "images", "masks", "size", "channels"]
    assert table[["split", "type", "images", "masks"]].values.tolist() == [
        ["train", "good", 8, 0],
        ["validation", "good", 2, 0],
        ["test", "good", 2, 0],
        ["test", "cut", 2, 2],
        ["test", "hole", 1, 1],
    ]


def test_subset_takes_indices_and_bools(root):
    images = load_category(root, "bar", image_size=16).test
    assert images.subset(images.labels == 1).names.tolist() == [images.names[i] for i in (0, 1, 4)]
    assert images.subset([3, 0]).masks.shape == (2, 16, 16) and len(images.subset(slice(2))) == 2


@pytest.mark.parametrize(
    "indices, shared",
    [
        ([1, 2, 3], True),
        (np.array([False, True, True, False, False]), True),
        ([4], True),
        (slice(3), True),
        ([1, 3], False),
        ([2, 1], False),
        ([-1, 0], False),
        ([1, 1], False),
        ([], False),
    ],
)
def test_neighbours_share_the_memory_of_their_set(root, indices, shared):
    images = load_category(root, "bar", image_size=16).test
    part = images.subset(indices)
    taken = indices if isinstance(indices, slice) or len(indices) else np.array([], int)
    assert part.names.tolist() == images.names[taken].tolist()
    np.testing.assert_array_equal(part.images, images.images[taken])
    assert np.shares_memory(part.images, images.images) == shared
    for wrong in ([4, 5], np.ones(4, bool)):
        with pytest.raises(IndexError):
            images.subset(wrong)
