"""Trivial statistics of images: slow versions, painted pictures, files."""

import numpy as np
import pytest
from PIL import Image

from adhelpers.audit import has_measurable_outside, image_statistics, regions_to_leave_out


def _slow_statistics(image):
    """The statistics of one image, pixel by pixel."""
    height, width, channels = image.shape
    grey = [[sum(image[r, c]) / channels for c in range(width)] for r in range(height)]
    laplacian = [
        grey[r - 1][c] + grey[r + 1][c] + grey[r][c - 1] + grey[r][c + 1] - 4 * grey[r][c]
        for r in range(1, height - 1)
        for c in range(1, width - 1)
    ]
    border = max(1, round(0.04 * min(height, width)))
    ring = [
        image[r, c]
        for r in range(height)
        for c in range(width)
        if min(r, c, height - 1 - r, width - 1 - c) < border
    ]
    flat = [value for line in grey for value in line]
    mean = sum(flat) / len(flat)
    slow = {
        "mean_brightness": mean,
        "standard_deviation": (sum((value - mean) ** 2 for value in flat) / len(flat)) ** 0.5,
        "median_background": sum(np.median([pixel[k] for pixel in ring]) for k in range(channels))
        / channels,
        "noise": np.median([abs(value) for value in laplacian]),
        "sharpness": sum((value - sum(laplacian) / len(laplacian)) ** 2 for value in laplacian)
        / len(laplacian),
    }
    if channels == 3:
        pixels = [tuple(image[r, c]) for r in range(height) for c in range(width)]
        slow["colour_saturation"] = sum((max(p) - min(p)) / max(p) for p in pixels) / len(pixels)
        slow.update(
            {
                f"mean_{name}": sum(p[k] for p in pixels) / len(pixels)
                for k, name in enumerate(("red", "green", "blue"))
            }
        )
    return slow


@pytest.mark.parametrize("shape", [(30, 26, 1), (26, 30, 3)])
def test_statistics_equal_slow_ones(shape):
    images = np.random.default_rng(0).integers(1, 255, (3, *shape)).astype(np.float32) / np.float32(
        255
    )
    table = image_statistics(images)
    assert len(table) == 3 and ("colour_saturation" in table) == (shape[2] == 3)
    for index, image in enumerate(images):
        for name, value in _slow_statistics(image.astype(float)).items():
            assert table.loc[index, name] == pytest.approx(value, abs=1e-6), name


def test_object_and_clipping_of_a_painted_picture():
    images = np.full((2, 40, 80, 3), 0.5, np.float32)
    images[0, 10:20, 40:60] = 0.1
    images[0, 30, 30:40, 2] = 1.0
    images[0, 31, 30:40] = 0.0
    table = image_statistics(images)
    # 200 pixels of rectangle, 10 black ones and 10 with a bright blue; all stand out from the
    # background.
    rows = np.concatenate([np.repeat(np.arange(10, 20), 20), [30] * 10, [31] * 10]) + 0.5
    columns = (
        np.concatenate([np.tile(np.arange(40, 60), 10), np.arange(30, 40), np.arange(30, 40)]) + 0.5
    )
    assert table.loc[0, "object_area"] == pytest.approx(220 / 3200)
    assert table.loc[0, "object_row"] == pytest.approx(rows.mean() / 40)
    assert table.loc[0, "object_column"] == pytest.approx(columns.mean() / 80)
    assert table.loc[0, "clipped_share"] == pytest.approx(20 / 3200)
    assert table.loc[1, ["object_area", "object_row", "object_column"]].tolist() == [0, 0.5, 0.5]
    assert (
        table.loc[
            1, ["noise", "sharpness", "standard_deviation", "colour_saturation", "clipped_share"]
        ].tolist()
        == [0] * 5
    )


def test_black_pixels_have_no_saturation():
    assert image_statistics(np.zeros((1, 5, 5, 3)))["colour_saturation"].tolist() == [0]


@pytest.mark.parametrize("channels", [1, 3])
def test_equal_grey_steps_tie_whatever_the_level(channels):
    # The same steps of one grey level on darker and brighter grounds differ in float32 by rounding
    # only.
    steps = np.random.default_rng(0).integers(0, 2, (20, 20, channels))
    images = np.stack(
        [(steps + level).astype(np.float32) / np.float32(255) for level in range(40, 240, 7)]
    )
    table = image_statistics(images)
    assert (table[["noise", "sharpness"]].nunique() == 1).all() and table["noise"].iloc[0] > 0
    assert table["mean_brightness"].is_monotonic_increasing


def test_file_statistics_come_from_the_files(tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "<b> $.png"]
    for path, size in zip(paths, ((30, 20), (7, 9)), strict=True):
        Image.new("L", size).save(path)
    table = image_statistics(np.zeros((2, 5, 5, 1)), paths)
    assert table["file_size"].tolist() == [path.stat().st_size for path in paths]
    assert table[["file_height", "file_width"]].values.tolist() == [[20, 30], [9, 7]]


def test_bad_images_and_files_are_refused(tmp_path):
    good = np.zeros((2, 5, 5, 1))
    for images, message in (
        (good[..., 0], "shape"),
        (good[:0], "n at least 1"),
        (good[:, :2], "at least 3"),
        (np.zeros((1, 5, 5, 4)), "c 1 or 3"),
        (good + 200, "divide 8-bit images"),
        (np.stack([good[0], good[0] * np.nan]), "image 1"),
    ):
        with pytest.raises(ValueError, match=message):
            image_statistics(images)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match="one file for each of the 2"):
        image_statistics(good, [tmp_path / "text.png"])
    with pytest.raises(ValueError, match="text.png is not an image"):
        image_statistics(good, [tmp_path / "text.png"] * 2)
    with pytest.raises(FileNotFoundError, match="missing.png"):
        image_statistics(good, [tmp_path / "missing.png"] * 2)


def _in_a_frame(image, mask, frame):
    """An image whose left-out pixels hold something else."""
    changed = image.copy()
    changed[mask] = frame
    return changed


def test_what_is_left_out_changes_no_statistic():
    random = np.random.default_rng(5)
    images = random.random((4, 24, 20, 3)).astype(np.float32)
    left_out = np.zeros(images.shape[:3], bool)
    left_out[:, 4:9, 0:7] = True
    left_out[1] = ~left_out[1]
    table = image_statistics(images, left_out=left_out)
    for frame in (0.0, 1.0, 0.3):
        changed = np.array(
            [_in_a_frame(*pair, frame) for pair in zip(images, left_out, strict=True)]
        )
        assert image_statistics(changed, left_out=left_out).equals(table)
    assert image_statistics(images, left_out=np.zeros_like(left_out)).equals(
        image_statistics(images)
    )
    # Half of an image left out: the statistics of the other half alone, but for its edges.
    half = np.zeros((1, 24, 20), bool)
    half[:, 12:] = True
    kept, alone = image_statistics(images[:1], left_out=half), image_statistics(images[:1, :12])
    for name in ("mean_brightness", "standard_deviation", "noise", "sharpness", "clipped_share"):
        assert kept.loc[0, name] == pytest.approx(alone.loc[0, name]), name


def test_left_out_pixels_are_checked():
    images = np.full((2, 8, 8, 1), 0.5)
    for left_out, message in (
        (np.zeros((2, 8, 7), bool), "bool of shape"),
        (np.zeros((2, 8, 8)), "bool of shape"),
        (np.ones((2, 8, 8), bool), "no neighbourhood"),
    ):
        with pytest.raises(ValueError, match=message):
            image_statistics(images, left_out=left_out)


def test_regions_cover_defects_and_are_drawn_alike_for_good_images():
    images, masks = np.full((7, 40, 40, 1), 0.5), np.zeros((7, 40, 40), bool)
    masks[4, 10:14, 30], masks[5, 39, 39], masks[6] = True, True, True
    regions = regions_to_leave_out(images, masks, seed=3)
    assert (regions[4:6] & masks[4:6]).sum() == masks[4:6].sum()
    # Two pixels around one in the corner, by distance: itself, two each way, the diagonal.
    assert regions[5].sum() == 6
    # A mask of the whole image leaves nothing: such an image is treated as one without.
    assert has_measurable_outside(masks).tolist() == [False] * 4 + [True, True, False]
    drawn = [regions[index].sum() for index in (0, 1, 2, 3, 6)]
    assert set(drawn) == {regions[4].sum(), 6} and 2 <= drawn.count(6) <= 3
    drawn_with = [regions_to_leave_out(images, masks, **seed) for seed in ({}, {"seed": 0})]
    assert (drawn_with[0] == drawn_with[1]).all()
    others = regions_to_leave_out(images, masks, images[:4], seed=3)
    assert others.shape == (4, 40, 40) and others.any(axis=(1, 2)).all()
    assert not regions_to_leave_out(images, np.zeros_like(masks)).any()


def test_a_region_on_the_object_lies_on_the_object_in_good_images():
    images, masks = np.full((2, 30, 30, 1), 0.9), np.zeros((2, 30, 30), bool)
    images[0, 2:12, 2:12] = 0.1
    images[1, 16:28, 16:28] = 0.1
    masks[1, 21:23, 21:23] = True
    region = regions_to_leave_out(images, masks)[0]
    rows, columns = np.nonzero(region)
    assert rows.min() >= 2 and rows.max() <= 12 and columns.min() >= 2 and columns.max() <= 12
    assert (images[0][region] < 0.5).mean() >= 0.9


def test_the_background_is_the_median_of_a_ring_of_4_percent():
    image = np.full((1, 80, 100, 1), 200 / 255)
    # 4 % of 80 pixels are 3 rows: the outer two alone would be brighter, four rows darker.
    image[:, 3:-3, 3:-3] = 50 / 255
    image[:, :2], image[:, -2:] = 220 / 255, 220 / 255
    image[:, 2:-2, :2], image[:, 2:-2, -2:] = 90 / 255, 90 / 255
    outer = np.ones((80, 100), bool)
    outer[3:-3, 3:-3] = False
    expected = np.median(image[0, outer])
    assert image_statistics(image)["median_background"].tolist() == [pytest.approx(expected)]
    assert expected == 200 / 255


def test_black_pixels_lower_the_saturation_of_an_image():
    images = np.zeros((3, 30, 30, 3))
    images[:, :10] = [0.8, 0.4, 0.4]
    # A third of the pixels has a saturation of a half, the rest none.
    assert image_statistics(images)["colour_saturation"].tolist() == pytest.approx([1 / 6] * 3)


def test_a_region_moves_as_little_as_it_must():
    images, masks = np.full((3, 40, 40, 1), 0.5), np.zeros((3, 40, 40), bool)
    masks[2, 8:12, 20:26] = True
    # The same image: every place covers as much object (none), so the region stays.
    regions = regions_to_leave_out(images, masks)
    assert (regions[0] == regions[2]).all() and (regions[1] == regions[2]).all()
    # The defect lies on an object and the good images have none: no place is like it.
    images[2, 2:22, 10:36] = 0.1
    regions = regions_to_leave_out(images, masks)
    assert (regions[0] == regions[2]).all()
    # Like places lie twelve rows lower, and eight rows lower and eight columns to the right, which
    # is the shorter way. A pixel beside them too much of the region would lie off the object.
    images, masks = np.full((2, 40, 40, 1), 0.5), np.zeros((2, 40, 40), bool)
    masks[1, 13:16, 13:16] = True
    wide = regions_to_leave_out(images, masks)[1]
    images[1][wide] = 0.1
    for way in ((12, 0), (8, 8)):
        images[0][np.roll(wide, way, axis=(0, 1))] = 0.1
    regions = regions_to_leave_out(images, masks)
    assert (regions[0] == np.roll(wide, (8, 8), axis=(0, 1))).all()
