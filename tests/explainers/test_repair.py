"""The smallest repair on scores that are right by construction, and on what would fool a search."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, label

from adhelpers.explainers import explain_images, explain_with_repair
from adhelpers.explainers.repair import smallest_repair

SHAPE = (48, 40)


def peak(images):
    """The largest deviation from a good image, which is 0.5 throughout."""
    return np.abs(images - 0.5).max(axis=(1, 2, 3))


def total(images):
    return np.abs(images - 0.5).sum(axis=(1, 2, 3))


def planted(*boxes, shape=SHAPE, noise=0.0, channels=1, seed=0):
    """An image with boxes (rows, columns, deviation), its counterpart and the planted region."""
    random = np.random.default_rng(seed)
    image = 0.5 + random.uniform(-noise, noise, (*shape, channels))
    mask = np.zeros(shape, dtype=bool)
    for rows, columns, deviation in boxes:
        image[rows, columns] = 0.5 + deviation
        mask[rows, columns] = True
    return image.astype(np.float32), np.full((*shape, channels), 0.5, np.float32), mask


def repaired(image, counterpart, region):
    return np.where(region[..., None], counterpart, image)[None]


def map_of(image):
    return np.abs(image - 0.5).mean(axis=2)


ONE = (slice(10, 16), slice(20, 28), 0.4)
OTHER = (slice(30, 37), slice(5, 11), -0.3)


@pytest.mark.parametrize("with_map", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_finds_a_planted_patch(with_map, channels):
    image, counterpart, mask = planted(ONE, noise=0.05, channels=channels)
    anomaly_map = map_of(image) if with_map else None
    repair = smallest_repair(
        peak, image, counterpart, passes=0.1, normal=0.05, anomaly_map=anomaly_map
    )
    assert (repair.region >= mask).all()
    # Among noise the outline is exact only where there is a map.
    assert repair.region.sum() <= (1 if with_map else 4) * mask.sum()
    assert repair.reached and repair.looks_normal and repair.minimal
    assert repair.shares == (1.0,)
    assert repair.evaluations <= 40


@pytest.mark.parametrize("with_map", [True, False])
def test_finds_both_of_two_patches_and_the_share_of_each(with_map):
    image, counterpart, mask = planted(ONE, OTHER)
    repair = smallest_repair(
        total,
        image,
        counterpart,
        passes=1.0,
        anomaly_map=map_of(image) if with_map else None,
    )
    np.testing.assert_array_equal(repair.region, mask)
    # 48 pixels of 0.4 and 42 of 0.3.
    np.testing.assert_allclose(repair.shares, np.array([19.2, 12.6]) / 31.8, atol=1e-5)
    assert repair.minimal


def test_a_part_that_is_not_needed_is_left_out():
    """The map marks the second patch more, but the score does not see it."""
    image, counterpart, mask = planted(ONE, OTHER)
    anomaly_map = map_of(image)
    anomaly_map[OTHER[:2]] *= 3

    def upper(images):
        return peak(images[:, :25])

    repair = smallest_repair(upper, image, counterpart, passes=0.1, anomaly_map=anomaly_map)
    expected = mask.copy()
    expected[25:] = False
    np.testing.assert_array_equal(repair.region, expected)


def test_of_two_parts_that_are_enough_each_one_is_kept():
    """A score that needs both to flag: either repair makes the image pass."""
    image, counterpart, mask = planted(ONE, OTHER)

    def both(images):
        return np.minimum(peak(images[:, :25]), peak(images[:, 25:]))

    repair = smallest_repair(both, image, counterpart, passes=0.1, anomaly_map=map_of(image))
    assert label(repair.region)[1] == 1
    assert (mask & repair.region).any() and not (repair.region & ~mask).any()
    assert both(repaired(image, counterpart, repair.region))[0] <= 0.1


boxes = st.lists(
    st.tuples(
        st.integers(0, SHAPE[0] - 1),
        st.integers(0, SHAPE[1] - 1),
        st.integers(1, 9),
        st.integers(1, 9),
        st.floats(-0.5, 0.5),
    ).map(
        lambda box: (slice(box[0], box[0] + box[2]), slice(box[1], box[1] + box[3]), float(box[4]))
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(boxes, st.sampled_from([peak, total]), st.floats(0.02, 8), st.booleans(), st.booleans())
def test_the_repaired_image_passes_and_no_part_can_be_left_out(
    boxes, score, passes, with_map, misled
):
    image, counterpart, _ = planted(*boxes, noise=0.01)

    def exact(images):
        # NumPy would round the threshold to the float32 of the score.
        return score(images).astype(np.float64)

    anomaly_map = map_of(image)
    if misled:
        anomaly_map = anomaly_map[::-1]
    repair = smallest_repair(
        exact,
        image,
        counterpart,
        passes=passes,
        normal=passes / 2,
        anomaly_map=anomaly_map if with_map else None,
    )
    after = exact(repaired(image, counterpart, repair.region))[0]
    # The whole counterpart passes here, so there is always a repair.
    assert repair.reached and after <= passes
    assert repair.score_after == pytest.approx(after)
    assert repair.evaluations <= 40
    assert repair.region.any() == (exact(image[None])[0] > passes)
    np.testing.assert_array_equal(repair.parts > 0, repair.region)
    parts, count = label(repair.region, np.ones((3, 3)))
    assert count == len(repair.shares)
    if repair.minimal:
        for part in range(1, count + 1):
            without = repaired(image, counterpart, repair.region & (parts != part))
            assert exact(without)[0] > passes
        assert (np.array(repair.shares) > 0).all()


def test_a_score_that_ignores_the_patch_gets_no_region_there():
    image, counterpart, mask = planted(ONE, OTHER)
    visible = np.ones(SHAPE, dtype=bool)
    visible[ONE[:2]] = False

    def blind(images):
        return peak(images * visible[..., None] + 0.5 * ~visible[..., None])

    for anomaly_map in (map_of(image), None):
        repair = smallest_repair(blind, image, counterpart, passes=0.1, anomaly_map=anomaly_map)
        assert repair.reached
        np.testing.assert_array_equal(repair.region, mask & visible)


def test_an_image_that_passes_is_not_repaired():
    image, counterpart, _ = planted(ONE)
    repair = smallest_repair(peak, image, counterpart, passes=0.45, anomaly_map=map_of(image))
    assert not repair.region.any() and repair.shares == ()
    assert repair.reached and repair.evaluations == 1
    # A score equal to the threshold passes, as `Threshold.flag` decides.
    equal = float(peak(image[None])[0])
    assert not smallest_repair(peak, image, counterpart, passes=equal).region.any()


def test_one_pixel_is_found_although_the_median_hides_it():
    image, counterpart, mask = planted((slice(20, 21), slice(7, 8), 0.4), noise=0.1)
    repair = smallest_repair(peak, image, counterpart, passes=0.2, anomaly_map=map_of(image))
    np.testing.assert_array_equal(repair.region, mask)


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_constant_map_leaves_the_order_to_the_difference(value):
    image, counterpart, mask = planted(ONE, noise=0.05)
    repair = smallest_repair(
        peak, image, counterpart, passes=0.1, anomaly_map=np.full(SHAPE, value)
    )
    np.testing.assert_array_equal(repair.region, mask)


def test_pixels_of_equal_value_enter_together():
    image, counterpart, mask = planted(
        (slice(4, 9), slice(3, 9), 0.3), (slice(30, 35), slice(30, 36), 0.3)
    )
    repair = smallest_repair(peak, image, counterpart, passes=0.1, anomaly_map=mask.astype(float))
    np.testing.assert_array_equal(repair.region, mask)


def test_a_whole_counterpart_that_does_not_pass_is_said_to():
    """The counterpart has a flaw of its own in a corner; the patch is repaired all the same."""
    image, counterpart, mask = planted(ONE)
    image[40:, 30:] = counterpart[40:, 30:] = 0.7

    repair = smallest_repair(peak, image, counterpart, passes=0.1, anomaly_map=map_of(image))
    assert not repair.reached and not repair.looks_normal
    assert repair.score_before == pytest.approx(0.4) and repair.score_after == pytest.approx(0.2)
    np.testing.assert_array_equal(repair.region, mask)


def test_a_part_of_the_counterpart_may_pass_where_the_whole_does_not():
    image, counterpart, mask = planted(ONE)
    counterpart[40:, 30:] = 0.9
    repair = smallest_repair(peak, image, counterpart, passes=0.1, anomaly_map=map_of(image))
    assert repair.reached
    np.testing.assert_array_equal(repair.region, mask)


def test_nothing_is_repaired_where_every_repair_makes_it_worse():
    image, _, _ = planted(ONE)
    repair = smallest_repair(peak, image, 1 - 0 * image, passes=0.1, anomaly_map=map_of(image))
    assert not repair.region.any() and not repair.reached
    assert repair.score_after == repair.score_before
    same = smallest_repair(peak, image, image, passes=0.1, anomaly_map=map_of(image))
    assert not same.region.any() and not same.reached


def test_a_score_that_is_not_monotone_in_the_pasted_area():
    """Pasted edges raise the score, as they do for features of a network."""
    image, counterpart, mask = planted(ONE, noise=0.02)
    counterpart = counterpart + 0.03

    def with_edges(images):
        steps = np.abs(np.diff(images, axis=2)).sum(axis=(1, 2, 3))
        return peak(images) + 0.001 * steps

    passes = float(with_edges(repaired(image, counterpart, mask))[0]) + 1e-4
    repair = smallest_repair(
        with_edges, image, counterpart, passes=passes, anomaly_map=map_of(image)
    )
    assert repair.reached
    assert with_edges(repaired(image, counterpart, repair.region))[0] <= passes
    assert (repair.region & mask).any() and repair.region.sum() <= 3 * mask.sum()


def test_too_many_parts_to_try_each_are_said_not_to_be_minimal():
    spots = [
        (slice(row, row + 1), slice(column, column + 1), 0.3)
        for row in range(2, 48, 6)
        for column in range(2, 40, 6)
    ]
    image, counterpart, mask = planted(*spots)
    repair = smallest_repair(peak, image, counterpart, passes=0.1, anomaly_map=map_of(image))
    np.testing.assert_array_equal(repair.region, mask)
    assert repair.reached and not repair.minimal
    assert repair.evaluations <= 40
    explanation = explain_with_repair(
        peak, image, counterpart, passes=0.1, anomaly_map=lambda images: images.mean(axis=3)
    )
    assert (explanation.heatmap[mask] > 0).all()


def test_holes_are_filled_unless_they_are_larger_than_the_region():
    """A ring one pixel wide around most of the image is not the image."""
    image, counterpart, mask = planted((slice(2, 46), slice(2, 38), 0.3))
    image[3:45, 3:37] = 0.5
    mask[3:45, 3:37] = False
    repair = smallest_repair(peak, image, counterpart, passes=0.1, anomaly_map=map_of(image))
    # Closing gaps may round the four corners from within.
    assert (repair.region >= mask).all() and repair.region.sum() <= mask.sum() + 4
    small, counterpart, filled = planted((slice(10, 17), slice(10, 17), 0.3))
    small[11:16, 12:15] = 0.5
    repair = smallest_repair(peak, small, counterpart, passes=0.1, anomaly_map=map_of(small))
    np.testing.assert_array_equal(repair.region, filled)


def heat(images):
    return np.abs(images - 0.5).mean(axis=3)


def blurred(images):
    return gaussian_filter(heat(images), (0, 2, 2))


def test_a_strong_defect_is_repaired_no_further_than_it_reaches_although_the_map_is_smoothed():
    """What is above the threshold reaches three standard deviations further than the defect."""
    image, counterpart, mask = planted(ONE)

    def score(images):
        return blurred(images).max(axis=(1, 2))

    wide = blurred(image[None])[0] > 0.01
    assert wide.sum() > 3 * mask.sum()
    repair = smallest_repair(
        score, image, counterpart, passes=0.01, normal=0.005, anomaly_map=blurred
    )
    assert repair.reached and repair.looks_normal
    assert (repair.region >= mask).all() and repair.region.sum() <= 1.2 * mask.sum()


def test_where_the_map_is_high_everywhere_a_region_reaches_less_far():
    """As distances of features are: half as anomalous as the worst is no defect there."""
    inner = (slice(15, 25), slice(15, 25), 0.25)
    image, counterpart, mask = planted((slice(8, 32), slice(8, 32), 0.12), inner)
    regions = [
        smallest_repair(
            total, image, counterpart, passes=60.0, anomaly_map=map_of(image) + base
        ).region
        for base in (0.0, 0.75)
    ]
    np.testing.assert_array_equal(regions[0], mask)
    core = np.zeros_like(mask)
    core[inner[:2]] = True
    assert (regions[1] >= core).all() and regions[1].sum() <= 1.5 * core.sum()


def test_what_appears_only_after_the_first_repair_is_looked_for():
    """The detector's map shows the worst part alone; without looking again the other is missed."""
    image, counterpart, mask = planted(ONE, OTHER)

    def worst(images):
        maps = heat(images)
        return np.where(maps >= maps.max(axis=(1, 2), keepdims=True), maps, 0)

    repair = smallest_repair(peak, image, counterpart, passes=0.1, anomaly_map=worst)
    np.testing.assert_array_equal(repair.region, mask)
    assert repair.minimal and repair.evaluations <= 10


def test_maps_that_are_asked_for_count_as_evaluations():
    image, counterpart, _ = planted(ONE, OTHER, noise=0.2)
    seen = []

    def counting(function):
        def counted(images):
            seen.append(len(images))
            return function(images)

        return counted

    repair = smallest_repair(
        counting(total), image, counterpart, passes=30, anomaly_map=counting(heat)
    )
    assert repair.reached and sum(seen) == repair.evaluations <= 40


def test_no_more_than_the_budget_is_scored():
    image, counterpart, _ = planted(ONE, OTHER, noise=0.2)
    seen = []

    def counting(images):
        seen.append(len(images))
        return total(images)

    repair = smallest_repair(
        counting, image, counterpart, passes=90, max_evaluations=32, batch_size=1
    )
    assert sum(seen) == repair.evaluations <= 32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_no_pass(bad):
    image, counterpart, _ = planted(ONE)

    def score(images):
        values = peak(images)
        return np.where(values < 0.2, bad, values)

    with pytest.raises(ValueError, match="score returned NaN or an infinite value"):
        smallest_repair(score, image, counterpart, passes=0.1, anomaly_map=map_of(image))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"passes": np.nan}, "passes is a score and must be a finite number"),
        ({"normal": np.inf}, "normal is a score and must be a finite number"),
        ({"normal": 0.2}, "normal must be at most passes, 0.1, not 0.2"),
        ({"max_evaluations": 15}, "max_evaluations must be a whole number of at least 16"),
        ({"anomaly_map": None, "max_evaluations": 20}, "at least 32, not 20"),
        ({"anomaly_map": np.zeros((4, 4))}, r"anomaly_map must have the shape \(48, 40\)"),
        ({"anomaly_map": np.full(SHAPE, np.nan)}, "anomaly_map"),
    ],
)
def test_what_cannot_be_is_refused(changed, message):
    image, counterpart, _ = planted(ONE)
    arguments = {"passes": 0.1, "anomaly_map": map_of(image)} | changed
    with pytest.raises(ValueError, match=message):
        smallest_repair(peak, image, counterpart, **arguments)


def test_explanations_of_many_images_are_stored_and_found_again(tmp_path):
    flagged, counterpart, mask = planted(ONE, OTHER)
    good = counterpart.copy()
    images, counterparts = np.stack([flagged, good]), np.stack([counterpart, counterpart])
    explain = partial(explain_with_repair, passes=1.0, normal=0.5)
    options = {"show_progress": False, "store": tmp_path}
    first = explain_images(explain, total, images, counterparts, **options)
    np.testing.assert_allclose(
        first.heatmaps[0],
        np.where(mask, np.where(np.arange(48)[:, None] < 25, 19.2, 12.6), 0),
        rtol=1e-5,
    )
    assert not first.heatmaps[1].any() and not first.errors
    again = explain_images(explain, total, images, counterparts, **options)
    np.testing.assert_array_equal(again.heatmaps, first.heatmaps)
    assert again.details == first.details
    assert first.details[0]["reached"] and first.details[0]["parts"] == 2
    assert first.details[1] == {
        "score": 0.0,
        "repaired score": 0.0,
        "reached": True,
        "looks normal": True,
        "minimal": True,
        "evaluations": 1,
        "area": 0.0,
        "parts": 0,
        "shares": [],
    }
