"""Repairs: numbers by hand, a slow version, and every place that a control may take."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adhelpers.audit import RepairSettings, repair_test, repaired
from adhelpers.audit._pasting import control_regions, ranks, top_weights
from adhelpers.metrics import Threshold


def total(images):
    return images.sum(axis=(1, 2, 3), dtype=np.float64)


def square(size, row, column, side=3):
    mask = np.zeros((size, size), dtype=bool)
    mask[row : row + side, column : column + side] = True
    return mask


def repair(*arguments, object_regions=None, batch_size=32, show_progress=False, **options):
    """The repair test with settings among its keywords."""
    settings = {
        name: options.pop(name)
        for name in ("margin", "feather", "control_draws", "seed")
        if name in options
    }
    return repair_test(
        *arguments,
        object_regions=object_regions,
        settings=RepairSettings(**settings),
        batch_size=batch_size,
        show_progress=show_progress,
        **options,
    )


class Recorder:
    """A score that keeps what it was asked; with batches of one nothing is asked twice."""

    def __init__(self, score=total):
        self.score, self.images, self.sizes = score, [], []

    def __call__(self, images):
        self.images.extend(images)
        self.sizes.append(len(images))
        return self.score(images)


def test_paste_by_hand():
    region = np.zeros((1, 9), dtype=bool)
    region[0, 0] = True
    pasted = repaired(
        np.ones((1, 9, 1)), np.zeros((1, 9, 1)), region, margin=2, feather=1.0
    ).ravel()
    edge = np.exp(-0.5 * np.array([1, 2, 3]) ** 2)
    np.testing.assert_allclose(pasted, [0, 0, 0, *(1 - edge), 1, 1, 1], atol=1e-6)
    hard = repaired(np.ones((1, 9, 1)), np.zeros((1, 9, 1)), region, margin=1, feather=0).ravel()
    assert hard.tolist() == [0, 0] + [1] * 7


def test_margin_is_a_disk():
    widened = (
        1
        - repaired(
            np.ones((9, 9, 1)), np.zeros((9, 9, 1)), square(9, 4, 4, side=1), margin=2, feather=0
        )[..., 0]
    )
    rows, columns = np.mgrid[-4:5, -4:5]
    assert (widened == (rows**2 + columns**2 <= 4)).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2.5]), st.sampled_from([0, 0.7, 1.5]))
def test_paste_is_that_of_a_slow_version(seed, margin, feather):
    random = np.random.default_rng(seed)
    image, counterpart = random.uniform(size=(2, 8, 10, 3)).astype(np.float32)
    region = random.uniform(size=(8, 10)) < 0.05
    before = image.copy(), counterpart.copy(), region.copy()
    pasted = repaired(image, counterpart, region, margin, feather)
    for row, column in np.ndindex(8, 10):
        distance = (
            min((np.hypot(row - y, column - x) for y, x in np.argwhere(region)), default=np.inf)
            - margin
        )
        if distance <= 0:
            assert (pasted[row, column] == counterpart[row, column]).all()
        elif distance > 3 * feather:
            assert (pasted[row, column] == image[row, column]).all()
        else:
            weight = np.exp(-0.5 * (distance / feather) ** 2)
            mixed = weight * counterpart[row, column] + (1 - weight) * image[row, column]
            np.testing.assert_allclose(pasted[row, column], mixed, atol=1e-6)
    for array, kept in zip((image, counterpart, region), before, strict=True):
        assert (array == kept).all()
    assert pasted.dtype == np.float32 and pasted.min() >= 0 and pasted.max() <= 1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"margin": -1}, "margin"),
        ({"feather": np.nan}, "feather"),
        ({"region": np.zeros((3, 3), bool)}, "region"),
        ({"region": None}, "region is None"),
        ({"counterpart": np.zeros((4, 5, 3))}, "counterpart"),
        ({"image": np.full((4, 5, 1), 200.0)}, r"image must lie in \[0, 1\]"),
    ],
)
def test_paste_refuses_bad_input(change, message):
    arguments = {
        "image": np.zeros((4, 5, 1)),
        "counterpart": np.zeros((4, 5, 1)),
        "region": np.zeros((4, 5), bool),
    }
    with pytest.raises(ValueError, match=message):
        repaired(**arguments | change)


# Background 0.125 (exact in float32), defects of value 1; the counterpart is black, so each repair
# removes what it covers.
BACKGROUND = 0.125


def four_images():
    """Two flagged defects, one too faint, and a good image that is flagged."""
    masks = np.stack(
        [
            square(20, 2, 3),
            square(20, 10, 10, side=4),
            square(20, 5, 5, side=1),
            np.zeros((20, 20), bool),
        ]
    )
    images = np.where(masks, 1.0, BACKGROUND)[..., None]
    images[3] = 0.5
    return images, np.zeros_like(images), masks


def test_repairs_by_hand():
    images, counterparts, masks = four_images()
    far = np.zeros((4, 20, 20))
    far[:, 16:, :] = 1
    half = np.zeros((4, 20, 20))
    half[0, 2:5, 4:7] = 1
    half[1, 10:14, 12:16] = 1
    failed = np.where(np.arange(4)[:, None, None] == 0, np.nan, masks)
    threshold = 400 * BACKGROUND + 4
    result = repair(
        total,
        images,
        counterparts,
        masks,
        {"exact": masks, "Far off": far, "half": half, "failed": failed},
        Threshold(threshold, "by hand", False),
        margin=0,
        feather=0,
        control_draws=5,
    )
    table = result.per_image
    assert table.index.tolist() == [0, 1] and table.index.name == "index"
    # 9 and 16 pixels, each 1 instead of 0.125: excess 7.875 - 4 = 3.875 and 14 - 4 = 10.
    assert table["area"].tolist() == [9, 16]
    assert table["score"].tolist() == [50 + 9 * 0.875, 50 + 16 * 0.875]
    assert table["repaired_score"].tolist() == [50 - 9 * 0.125, 50 - 16 * 0.125]
    assert table["cleared"].tolist() == [True, True] and table["cleared"].dtype == bool
    np.testing.assert_allclose(table["removed"], [9 / 3.875, 16 / 10])
    assert table["control_draws"].tolist() == [5, 5] and table["control_cleared"].tolist() == [0, 0]
    for column in ("control_mean", "control_max"):
        np.testing.assert_allclose(table[column], [9 * 0.125 / 3.875, 16 * 0.125 / 10])
    np.testing.assert_allclose(table["control_sd"], 0, atol=1e-12)
    np.testing.assert_allclose(table["explained_removed_exact"], table["removed"])
    np.testing.assert_allclose(table["explained_removed_far_off"], table["control_mean"])
    # Two of three, and two of four columns of the defect are covered.
    np.testing.assert_allclose(
        table["explained_removed_half"], [(6 + 3 * 0.125) / 3.875, (8 + 8 * 0.125) / 10]
    )
    assert table["explained_cleared_far_off"].tolist() == [False, False]
    assert table["explained_cleared_half"].tolist() == [True, False]
    assert np.isnan(table["explained_score_failed"][0]) and np.isnan(
        table["explained_removed_failed"][0]
    )
    assert table["explained_cleared_failed"].isna().tolist() == [True, False]
    assert table["explained_removed_failed"][1] == table["removed"][1]

    assert result.left_out.to_dict() == {2: "not flagged", 3: "no defect in its mask"}
    assert result.threshold == threshold
    assert result.settings == RepairSettings(margin=0, feather=0, control_draws=5, seed=0)
    np.testing.assert_array_equal(result.values("cleared"), [1, 1, np.nan, np.nan])
    np.testing.assert_array_equal(
        result.values("explained_cleared", "failed"), [np.nan, 1, np.nan, np.nan]
    )
    np.testing.assert_array_equal(
        result.values("explained_removed", "Far off")[:2], table["explained_removed_far_off"]
    )
    with pytest.raises(ValueError, match="no 'explained_removed_lime'; the table has area"):
        result.values("explained_removed", "LIME")


def test_cleared_is_at_or_below_the_threshold():
    images, counterparts, masks = four_images()
    for threshold, cleared in ((50 - 9 * 0.125, True), (np.nextafter(50 - 9 * 0.125, 0), False)):
        result = repair(
            total, images[:1], counterparts[:1], masks[:1], {}, threshold, margin=0, feather=0
        )
        assert result.per_image["cleared"].tolist() == [cleared]


@pytest.mark.parametrize("feather", [0, 1.0, 2.0])
def test_the_explained_region_is_not_larger_than_the_repair_of_the_defect(feather):
    # Where all is 1 and the counterpart 0, the score falls by just what is replaced.
    mask = square(32, 8, 9, side=6)
    noise = np.random.default_rng(0).normal(size=(1, 32, 32))
    result = repair(
        total,
        np.ones((1, 32, 32, 1)),
        np.zeros((1, 32, 32, 1)),
        mask[None],
        {"noise": noise, "exact": mask[None], "flat": np.zeros((1, 32, 32))},
        10,
        feather=feather,
    )
    replaced = {
        name: 1024 - float(result.values(*name)[0])
        for name in [
            ("repaired_score",),
            ("explained_score", "noise"),
            ("explained_score", "exact"),
            ("explained_score", "flat"),
        ]
    }
    defect = replaced.pop(("repaired_score",))
    for area in replaced.values():
        # Short of it by less than what one more isolated pixel with its edge would replace.
        assert defect - 2 * np.pi * feather**2 - 1 <= area <= defect + 1e-3
    if feather == 0:
        assert set(replaced.values()) == {defect} and defect == result.per_image["area"][0]


def test_a_heatmap_that_is_flat_beside_the_defect_is_widened_on_all_sides():
    mask = square(32, 12, 12, side=6)
    seen = Recorder()
    repair(
        seen,
        np.ones((1, 32, 32, 1)),
        np.zeros((1, 32, 32, 1)),
        mask[None],
        {"exact": mask[None]},
        1,
        margin=1,
        feather=0,
        control_draws=1,
        batch_size=1,
    )
    _, defect, _, explained = seen.images
    assert ((defect == 0) & (explained == 0)).sum() >= 0.85 * (defect == 0).sum()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1.0]), st.integers(0, 2))
@example(1476, 1.0, 2)
def test_controls_are_the_defects_shape_clear_of_its_repair(seed, feather, margin):
    random = np.random.default_rng(seed)
    mask = np.zeros((24, 30), dtype=bool)
    row, column = random.integers(20), random.integers(26)
    mask[row : row + 4, column : column + 4] = random.uniform(size=(4, 4)) < 0.6
    mask[row, column] = True
    seen = Recorder()
    result = repair(
        seen,
        np.ones((1, 24, 30, 1)),
        np.zeros((1, 24, 30, 1)),
        mask[None],
        {},
        1,
        margin=margin,
        feather=feather,
        control_draws=4,
        batch_size=1,
    )
    (_, defect, *controls) = (image[..., 0] for image in seen.images)
    assert len(controls) == result.per_image["control_draws"][0] == 4
    assert len({control.tobytes() for control in controls}) == 4
    core = np.argwhere(defect == 0)
    for control in controls:
        moved = np.argwhere(control == 0)
        assert (moved - moved[0] == core - core[0]).all()
        assert (
            not ((control < 1) & (defect == 0)).any() and not ((defect < 1) & (control == 0)).any()
        )
        # Not even corners touch.
        assert np.abs(moved[:, None] - core[None]).max(axis=2).min() > 1


def count_places(core, on_object=None):
    """All places for a hard-edged control, one by one."""
    height, width = core.shape
    pixels = np.argwhere(core)
    shares = []
    for shift in np.ndindex(2 * height, 2 * width):
        moved = pixels + np.array(shift) - [height, width]
        if moved.min() < 0 or (moved >= [height, width]).any():
            continue
        if np.hypot(*(moved[:, None] - pixels[None]).transpose(2, 0, 1)).min() > 1.5:
            shares.append(1 if on_object is None else on_object[tuple(moved.T)].sum())
    needed = 1 if on_object is None else 0.9 * min((core & on_object).sum(), max(shares, default=0))
    return sum(share >= needed for share in shares)


@pytest.mark.parametrize("seed", range(6))
def test_every_allowed_place_and_no_other_can_be_drawn(seed):
    random = np.random.default_rng(seed)
    core = np.zeros((9, 11), dtype=bool)
    core[2:5, 6:8] = random.uniform(size=(3, 2)) < 0.7
    core[3, 6] = True
    on_object = np.zeros_like(core)
    on_object[1:6, 1:10] = True
    one = np.ones((1, 9, 11, 1))
    for objects in (None, on_object):
        result = repair(
            total,
            one,
            0 * one,
            core[None],
            {},
            1,
            margin=0,
            feather=0,
            control_draws=1000,
            object_regions=None if objects is None else objects[None],
        )
        assert result.per_image["control_draws"][0] == count_places(core, objects) > 0


def test_controls_stay_on_the_object_as_fully_as_the_defect():
    on_object = np.zeros((40, 40), dtype=bool)
    on_object[14:26] = True
    seen = Recorder()
    repair(
        seen,
        np.ones((1, 40, 40, 1)),
        np.zeros((1, 40, 40, 1)),
        square(40, 18, 4)[None],
        {},
        1,
        control_draws=30,
        batch_size=1,
        object_regions=on_object[None],
    )
    for control in seen.images[2:]:
        assert on_object[control[..., 0] == 0].mean() >= 0.9


def test_without_a_place_there_is_no_control():
    mask = np.ones((1, 8, 8), dtype=bool)
    table = repair(total, np.ones((1, 8, 8, 1)), np.zeros((1, 8, 8, 1)), mask, {}, 1).per_image
    assert table["control_draws"].tolist() == [0] and table["removed"].tolist() == [64 / 63]
    assert (
        table[["control_cleared", "control_mean", "control_sd", "control_max"]]
        .isna()
        .all(axis=None)
    )


def test_calls_are_batched_and_batches_change_nothing():
    random = np.random.default_rng(0)
    images, counterparts = random.uniform(size=(2, 6, 20, 20, 3)).astype(np.float32)
    masks = np.stack([square(20, row, 5) for row in range(0, 12, 2)])
    heatmaps = {"noise": random.normal(size=(6, 20, 20))}
    weights = random.uniform(size=(20, 20, 3))

    def weighted(batch):
        return np.array([(weights * image).sum() for image in batch])

    tables = []
    for batch_size in (1, 8, 32):
        seen = Recorder(weighted)
        result = repair(
            seen, images, counterparts, masks, heatmaps, 1.0, control_draws=4, batch_size=batch_size
        )
        tables.append(result.per_image)
        assert max(seen.sizes) <= batch_size and len(seen.sizes) == -(-6 // batch_size) + -(
            -6 * 6 // batch_size
        )
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])
    # The places of an image do not depend on how many others are tested before it.
    faint = images.copy()
    faint[0] = 0
    alone = repair(weighted, faint, counterparts, masks, heatmaps, 1.0, control_draws=4).per_image
    pd.testing.assert_frame_equal(alone, tables[0].loc[1:])
    other = repair(
        weighted, images, counterparts, masks, heatmaps, 1.0, control_draws=4, seed=1
    ).per_image
    assert (other["control_mean"] != tables[0]["control_mean"]).all() and (
        other["removed"] == tables[0]["removed"]
    ).all()


def test_nothing_flagged_gives_an_empty_table_with_all_columns():
    images, counterparts, masks = four_images()
    result = repair(total, images, counterparts, masks, {"LIME": masks}, 1000)
    assert (
        result.per_image.empty
        and "explained_removed_lime" in result.per_image
        and len(result.left_out) == 4
    )
    assert np.isnan(result.values("removed")).all() and len(result.values("removed")) == 4


@pytest.mark.parametrize(
    "change, message",
    [
        ({"masks": None}, "masks is None"),
        ({"masks": np.zeros((4, 5, 5), bool)}, "masks must have the shape"),
        ({"counterparts": np.zeros((3, 20, 20, 1))}, "images and counterparts"),
        ({"threshold": np.nan}, "finite"),
        ({"heatmaps": np.zeros((4, 20, 20))}, "heatmaps must be a dict"),
        ({"heatmaps": {"LIME": np.zeros((4, 5, 5))}}, r"heatmaps\['LIME'\] must have the shape"),
        (
            {"heatmaps": {"LIME": np.where(square(20, 1, 1), np.nan, np.zeros((4, 1, 1)))}},
            "must be finite.*image 0",
        ),
        (
            {"heatmaps": {"LIME": np.zeros((4, 20, 20)), "lime": np.zeros((4, 20, 20))}},
            "differ only in case",
        ),
        ({"control_draws": 0}, "control_draws"),
        ({"margin": -1}, "margin"),
        ({"batch_size": 0}, "batch_size"),
        ({"object_regions": np.ones((4, 3, 3), bool)}, "object_regions"),
        ({"score": lambda images: images}, "one number for each image"),
    ],
)
def test_repair_refuses_bad_input(change, message):
    images, counterparts, masks = four_images()
    arguments = {
        "score": total,
        "images": images,
        "counterparts": counterparts,
        "masks": masks,
        "heatmaps": {},
        "threshold": 54,
    }
    with pytest.raises(ValueError, match=message):
        repair(**arguments | change)


def test_table_and_findings_count_flags_that_clear():
    images, counterparts, masks = four_images()
    half = np.zeros((4, 20, 20))
    half[0, 2:5, 4:7] = 1
    half[1, 10:14, 12:16] = 1
    result = repair(total, images, counterparts, masks, {"half": half}, 54, margin=0, feather=0)
    table = result.table()
    assert table["flag cleared"].to_dict() == {
        "true defect": "2 of 2",
        "what half points at": "1 of 2",
        "good surface": "0 % of the draws",
    }
    shares = table["median share of the excess removed"]
    assert shares["true defect"] == np.median([9 / 3.875, 16 / 10])
    assert result.findings() == [
        "Repairing the true defect lowers the score to the threshold or below in 2 of 2 flagged "
        "defective images; repairing good surface of the same shape instead does so in 0 % of the "
        "draws.",
    ]
    nothing = repair(total, images, counterparts, masks, {}, 1000)
    assert nothing.findings() == ["No defective image is flagged, so there is no flag to verify."]
    assert nothing.table().loc["good surface", "flag cleared"] == "–"
    everywhere = repair(total, images[:1], counterparts[:1], np.ones((1, 20, 20), bool), {}, 54)
    assert "good surface" not in everywhere.findings()[0]


def test_nothing_to_repair_leaves_the_image():
    image, counterpart = np.random.default_rng(0).uniform(size=(2, 6, 7, 1)).astype(np.float32)
    nothing = np.zeros((6, 7), bool)
    np.testing.assert_array_equal(repaired(image, counterpart, nothing), image)


def test_an_edge_is_two_pixels_wide_and_fades_over_one_unless_said_otherwise():
    image, counterpart = np.zeros((11, 11, 1)), np.ones((11, 11, 1))
    region = np.zeros((11, 11), bool)
    region[5, 5] = True
    weights = repaired(image, counterpart, region)[5, :, 0]
    fading = [np.exp(-1 / 2), np.exp(-4 / 2), np.exp(-9 / 2)]
    assert weights[5:].tolist() == pytest.approx([1, 1, 1, *fading])


def test_the_top_of_a_heatmap_has_a_pixel_and_no_more_than_it_may():
    heatmap = np.zeros((7, 7))
    heatmap[3, 3], heatmap[3, 4] = 2, 1
    assert np.argwhere(top_weights(heatmap, 1, 0)).tolist() == [[3, 3]]
    assert np.argwhere(top_weights(heatmap, 2, 0)).tolist() == [[3, 3], [3, 4]]


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_order_of_pixels_does_not_depend_on_the_scale_of_a_heatmap(scale):
    # Flat but for one pixel, so that their surroundings decide on all others.
    heatmap = np.zeros((9, 11))
    heatmap[4, 7] = 1
    np.testing.assert_array_equal(ranks(scale * heatmap), ranks(heatmap))
    assert ranks(heatmap)[4, 7] == 0 and ranks(heatmap)[8, 0] == heatmap.size - 1


def test_controls_lie_at_different_places():
    weights = np.zeros((9, 9))
    weights[0, 0] = 1
    regions = list(control_regions(weights, 0, None, 100, np.random.default_rng(0)))
    # All places but the three within 1.5 pixels and the defect's own.
    assert len(regions) == 77 and (np.sum(regions, axis=0) <= 1).all()
