"""The coreset against the plain greedy loop, and in blocks against all points at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from adhelpers.detectors.features.coreset import StreamedCoreset, greedy_coreset


def cloud(count, dimensions, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


def radius(points, chosen):
    """How far a point can be from the nearest chosen one."""
    return cdist(points, chosen).min(axis=1).max()


def plain_greedy(points, count, first):
    chosen = [first]
    nearest = ((points - points[first]) ** 2).sum(axis=1)
    while len(chosen) < count:
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 1000))
def test_the_exact_coreset_is_that_of_the_plain_loop(count, dimensions, seed):
    points = cloud(count, dimensions, seed)
    wanted = 1 + count // 2
    ours = greedy_coreset(points, wanted, seed=seed)
    assert ours.tolist() == plain_greedy(points.astype(float), wanted, int(ours[0]))


def test_rounds_with_fewer_candidates_than_points_choose_the_same():
    points = cloud(4000, 8)
    ours = greedy_coreset(points, 300)
    assert ours.tolist() == plain_greedy(points.astype(float), 300, int(ours[0]))


def test_a_coreset_covers_better_than_chance():
    points = cloud(2000, 4)
    drawn = np.random.default_rng(0).permutation(2000)[:50]
    radius, by_chance = (
        cdist(points, points[chosen]).min(axis=1).max()
        for chosen in (greedy_coreset(points, 50), drawn)
    )
    assert radius < 0.9 * by_chance


def test_equal_points_are_all_chosen_once():
    assert sorted(greedy_coreset(np.zeros((5, 2), np.float32), 5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [0, 4])
def test_a_count_that_cannot_be_is_named(count):
    with pytest.raises(ValueError, match=f"coreset: {count} points were asked for of 3"):
        greedy_coreset(cloud(3, 2), count)


def streamed(blocks, count):
    coreset = StreamedCoreset(count)
    for block in blocks:
        # What is carried has another type, as features in half precision have.
        coreset.add(block, block.astype(np.float64))
    return coreset.chosen()


def test_one_block_is_the_plain_coreset_in_rising_order():
    points = cloud(300, 5)
    expected = points[np.sort(greedy_coreset(points, 40))].astype(np.float64)
    np.testing.assert_array_equal(streamed([points], 40), expected)


@pytest.mark.parametrize("blocks", [2, 7, 30, 200])
@pytest.mark.parametrize("kind", ["alike", "apart", "one value"])
def test_blocks_cover_nearly_as_well_as_all_points_at_once(blocks, kind):
    points = cloud(4000, 6)
    if kind == "apart":
        # Each block holds what no other one has, as when light changes while images are taken.
        points += np.linspace(0, 30, 4000, dtype=np.float32)[:, None]
    elif kind == "one value":
        points[:3000] = 0
    found = streamed(np.array_split(points, blocks), 60)
    plain = radius(points, points[greedy_coreset(points, 60)])
    assert found.shape == (60, 6) and radius(points, found) <= 1.5 * plain
    # All are points that were there, in the order in which they came.
    rows = [np.flatnonzero((points == one.astype(np.float32)).all(axis=1))[0] for one in found]
    assert kind == "one value" or rows == sorted(rows)


@pytest.mark.parametrize("place", [0, 999, 1999])
def test_a_rare_patch_is_kept_whichever_block_it_is_in(place):
    points = cloud(2000, 4)
    points[place] = 40
    assert 40 in streamed(np.array_split(points, 23), 5)


def test_fewer_points_than_wanted_are_all_kept():
    points = cloud(30, 3)
    np.testing.assert_array_equal(streamed(np.array_split(points, 20), 31), points)


def test_no_more_than_a_block_and_eight_coresets_a_level_are_kept():
    coreset = StreamedCoreset(10)
    for block in np.array_split(cloud(20_000, 2), 200):
        coreset.add(block, block)
        kept = [sum(len(part.points) for part in level) for level in coreset._levels]
        assert max(kept) <= 80 and len(kept) <= 4


def test_a_coreset_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="there are no points"):
        StreamedCoreset(3).chosen()
    with pytest.raises(ValueError, match="0 points were asked for"):
        StreamedCoreset(0)
