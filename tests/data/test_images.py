"""Loading categories that the tests draw themselves."""

import json
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from adhelpers.data import (
    CategoryError,
    Corrections,
    check_category,
    load_category,
    render_category,
    suggested_size,
)


def test_contract_of_a_loaded_category(root):
    category = load_category(root, "bar", image_size=(20, 15))
    for images in (category.train, category.validation, category.test):
        n = len(images)
        assert images.images.shape == (n, 20, 15, 1) and images.images.dtype == np.float32
        assert 0 <= images.images.min() and images.images.max() <= 1
        assert (
            images.labels.shape == images.types.shape == images.names.shape == (n,)
            and images.labels.dtype == np.int64
        )
        assert images.masks.shape == (n, 20, 15) and images.masks.dtype == bool
        assert images.transforms.shape == (n, 3, 3) and (images.original_shapes == (40, 30)).all()
    assert (len(category.train), len(category.validation), len(category.test)) == (8, 2, 5)
    assert category.test.names.tolist()[:3] == [
        "test/cut/000.png",
        "test/cut/001.png",
        "test/good/000.png",
    ]
    assert category.test.labels.tolist() == [1, 1, 0, 0, 1]
    assert category.test.masks.any(axis=(1, 2)).tolist() == [True, True, False, False, True]
    # Rows 10 to 13 of 40 become rows 5 and 6 of 20.
    assert category.test.masks[0].any(axis=1).nonzero()[0].tolist() == [5, 6]
    assert category.has_masks and category.settings["image_size"] == [20, 15]
    json.dumps(category.settings)


def test_validation_is_held_out_of_train_by_seed(root):
    first, again, other = (
        load_category(root, "bar", image_size=16, seed=seed) for seed in (3, 3, 4)
    )
    assert (
        first.validation.names.tolist()
        == again.validation.names.tolist()
        != other.validation.names.tolist()
    )
    assert sorted([*first.train.names, *first.validation.names]) == [
        f"train/good/{index:03}.png" for index in range(10)
    ]
    assert len(load_category(root, "bar", image_size=16, validation_fraction=0.001).validation) == 1
    assert len(load_category(root, "bar", image_size=16, validation_fraction=0.999).train) == 1


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


def test_fingerprint_follows_content_names_and_settings_but_not_the_place(
    root, tmp_path_factory, write
):
    before = load_category(root, "bar", image_size=16).fingerprint
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(root / "bar", elsewhere / "bar")
    assert load_category(elsewhere, "bar", image_size=16, show_progress=False).fingerprint == before
    assert load_category(root, "bar", image_size=16, seed=1).fingerprint != before
    (elsewhere / "bar/test/cut/001.png").rename(elsewhere / "bar/test/cut/002.png")
    (elsewhere / "bar/ground_truth/cut/001_mask.png").rename(
        elsewhere / "bar/ground_truth/cut/002_mask.png"
    )
    assert load_category(elsewhere, "bar", image_size=16).fingerprint != before
    mask = np.zeros((40, 30), np.uint8)
    mask[0, 0] = 255
    write(root / "bar/ground_truth/cut/000_mask.png", mask)
    assert load_category(root, "bar", image_size=16).fingerprint != before


def test_category_without_masks_loads(root):
    shutil.rmtree(root / "bar" / "ground_truth")
    category = load_category(root, "bar", image_size=16)
    assert (
        not category.has_masks
        and category.test.masks is None
        and category.test.subset([0]).masks is None
    )
    assert check_category(root, "bar").problems == []


def test_pose_and_crop_turn_images_and_masks_together(root, write):
    # The mask marks the whole bar, so it must still do so after the warp.
    pixels = np.array(Image.open(root / "bar/test/cut/000.png"))
    write(root / "bar/ground_truth/cut/000_mask.png", ((pixels < 100) * 255).astype(np.uint8))
    category = load_category(
        root,
        "bar",
        image_size=(64, 32),
        corrections=Corrections(pose="axis", crop="object", illumination="background", margin=0.1),
    )
    image, mask = category.test.images[0, ..., 0], category.test.masks[0]
    dark = image < 0.45
    assert (dark & mask).sum() / (dark | mask).sum() > 0.8
    assert dark[:32].sum() > dark[32:].sum()  # the wider end is up
    scale = [np.linalg.norm(category.test.transforms[0][:2, axis]) for axis in (0, 1)]
    assert scale[0] == pytest.approx(scale[1])  # nothing is distorted
    # The way back puts the explanation on the bar of the file.
    back = category.test.to_original(mask.astype(np.float32), 0) > 0.5
    assert (
        back.shape == (40, 30)
        and (back & (pixels < 100)).sum() / (back | (pixels < 100)).sum() > 0.75
    )
    # The boxes are common to the category: one scale for all.
    scales = np.linalg.det(
        np.concatenate([category.train.transforms, category.test.transforms])[:, :2, :2]
    )
    assert np.ptp(scales) < 1e-9


def test_whole_frame_comes_back_exactly(root):
    images = load_category(root, "bar", image_size=(40, 30)).test
    assert np.array_equal(images.to_original(images.images[1, ..., 0], 1), images.images[1, ..., 0])
    expected = np.array(Image.open(root / "bar/test/cut/001.png")) / np.float32(255)
    assert np.array_equal(images.images[1, ..., 0], expected)
    small = load_category(root, "bar", image_size=(20, 15)).test
    assert (small.to_original(np.ones((20, 15), np.float32), 0) == 1).all()
    with pytest.raises(ValueError, match="heatmap has shape"):
        small.to_original(np.ones((15, 20)), 0)


def test_subset_takes_indices_and_bools(root):
    images = load_category(root, "bar", image_size=16).test
    assert images.subset(images.labels == 1).names.tolist() == [images.names[i] for i in (0, 1, 4)]
    assert images.subset([3, 0]).masks.shape == (2, 16, 16) and len(images.subset(slice(2))) == 2


def test_all_bad_files_are_named_in_one_error(root, write):
    folder = root / "bar"
    content = (folder / "train/good/003.png").read_bytes()
    (folder / "train/good/003.png").write_bytes(content[: len(content) // 2])
    (folder / "test/good/001.png").write_text("no image")
    write(folder / "ground_truth/cut/000_mask.png", np.zeros((20, 30), np.uint8))
    (folder / "ground_truth/hole/000_mask.png").unlink()
    write(folder / "ground_truth/cut/777_mask.png", np.ones((40, 30), np.uint8))
    write(folder / "ground_truth/dent/000_mask.png", np.ones((40, 30), np.uint8))
    (folder / "test/cut/notes.txt").write_text("not an image")
    with pytest.raises(CategoryError) as caught:
        load_category(root, "bar", image_size=16)
    text = str(caught.value)
    assert (
        isinstance(caught.value, ValueError)
        and len(caught.value.problems) == 7
        and "has 7 problems" in text
    )
    for part in (
        "train/good/003.png: cannot be read",
        "test/good/001.png: cannot be read",
        "ground_truth/cut/000_mask.png: the mask has 20x30 pixels (height x width), "
        "its image test/cut/000.png has 40x30",
        "test/hole/000.png: has no mask",
        "ground_truth/cut/777_mask.png: is a mask without an image",
        "ground_truth/dent: holds masks, but there is no folder test/dent",
        "test/cut/notes.txt: is not one of",
    ):
        assert part in text
    assert sorted(check_category(root, "bar").problems) == sorted(caught.value.problems)


@pytest.mark.parametrize(
    "options, text",
    [
        ({"image_size": 0}, "image_size"),
        ({"image_size": (16, 16, 3)}, "image_size"),
        ({"image_size": 12.5}, "image_size"),
        ({"image_size": "big"}, "image_size"),
        ({"color": "gray"}, "color must be one of grayscale, rgb, not 'gray'"),
        ({"seed": -1}, "seed"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"bit_depth": 17}, "bit_depth must be a whole number from 1 to 16, not 17"),
        ({"page": -1}, "page must be a whole number from 0, not -1"),
    ],
)
def test_wrong_parameters_are_named(root, options, text):
    with pytest.raises(ValueError, match=text):
        load_category(root, "bar", **options)


def test_dark_background_says_what_to_do(root, write, picture):
    for path in (root / "bar").rglob("test/*/*.png"):
        write(path, picture(bright=20))
    with pytest.raises(CategoryError, match='too dark to divide by.*illumination="none"') as caught:
        load_category(
            root, "bar", image_size=16, corrections=Corrections(illumination="background")
        )
    assert len(caught.value.problems) == 1


def test_images_without_an_object_are_all_named(root, write):
    for name in ("train/good/002.png", "test/good/000.png"):
        write(root / "bar" / name, np.full((40, 30), 200, np.uint8))
    for options in ({"pose": "axis"}, {"pose": "axis", "crop": "object"}, {"crop": "object"}):
        with pytest.raises(CategoryError) as caught:
            load_category(root, "bar", image_size=16, corrections=Corrections(**options))
        assert [problem.split(":")[0] for problem in caught.value.problems] == [
            "train/good/002.png",
            "test/good/000.png",
        ]


def test_real_screw_loads_within_20_seconds(real_data):
    started = time.process_time()  # of the processor, so that a busy machine does not fail the test
    category = load_category(
        real_data / "mvtec_ad",
        "screw",
        image_size=256,
        corrections=Corrections(illumination="background", pose="axis"),
    )
    assert time.process_time() - started < 20
    assert category.train.images.shape == (256, 256, 256, 1)


def test_real_hazelnut_is_refused_by_background_and_by_axis(real_data):
    with pytest.raises(CategoryError, match='illumination="none"'):
        load_category(
            real_data / "mvtec_ad", "hazelnut", corrections=Corrections(illumination="background")
        )
    cropped = load_category(
        real_data / "mvtec_ad",
        "hazelnut",
        image_size=64,
        color="rgb",
        corrections=Corrections(crop="object"),
    )
    assert cropped.test.images.shape == (43, 64, 64, 3)


@pytest.mark.parametrize(
    "kind, expected", [("screw", ("background", "axis")), ("hazelnut", ("none", "none"))]
)
def test_auto_takes_the_corrections_that_the_images_allow(tmp_path, kind, expected):
    render_category(tmp_path, kind, image_size=96, train_count=9, test_good_count=2, defect_count=1)
    decided = load_category(
        tmp_path,
        kind,
        image_size=(64, 32),
        corrections=Corrections(illumination="auto", pose="auto", crop="object"),
    )
    assert (decided.settings["illumination"], decided.settings["pose"]) == expected
    named = load_category(
        tmp_path,
        kind,
        image_size=(64, 32),
        corrections=Corrections(illumination=expected[0], pose=expected[1], crop="object"),
    )
    assert decided.fingerprint == named.fingerprint
    np.testing.assert_array_equal(decided.test.images, named.test.images)


def test_auto_leaves_an_unreadable_file_to_the_error_that_names_all(tmp_path):
    render_category(
        tmp_path, "screw", image_size=64, train_count=4, test_good_count=2, defect_count=1
    )
    (tmp_path / "screw" / "train" / "good" / "000.png").write_bytes(b"broken")
    with pytest.raises(CategoryError, match="000.png"):
        load_category(
            tmp_path,
            "screw",
            image_size=64,
            corrections=Corrections(illumination="auto", pose="auto"),
        )


def test_auto_on_the_real_images(real_data):
    for kind, expected in (("screw", ("background", "axis")), ("hazelnut", ("none", "none"))):
        decided = load_category(
            real_data / "mvtec_ad",
            kind,
            image_size=32,
            corrections=Corrections(illumination="auto", pose="auto"),
        ).settings
        assert (decided["illumination"], decided["pose"]) == expected


def test_defects_stay_at_any_size_and_a_crop_says_what_it_cuts_off(root, write, picture):
    for index, (row, column) in enumerate([(39, 29), (22, 13)]):
        mask = np.zeros((40, 30), np.uint8)
        mask[row, column] = 255
        write(root / f"bar/ground_truth/cut/{index:03}_mask.png", mask)
    mask[:] = 0
    mask[10:20, :] = 255
    write(root / "bar/ground_truth/hole/000_mask.png", mask)
    whole = load_category(root, "bar", image_size=(8, 8), corrections=Corrections(fit="pad"))
    assert whole.test.mask_known.all() and whole.test.masks.any(axis=(1, 2)).sum() == 3
    assert not [one for one in whole.remarks if one.kind.startswith("mask")]
    crop = load_category(
        root, "bar", image_size=(32, 16), corrections=Corrections(crop="object", margin=0)
    )
    remarks = {remark.kind: remark for remark in crop.remarks}
    assert remarks["mask_cut_away"].files == ("test/cut/000.png",)
    assert "left out of all measures that need a mask" in remarks["mask_cut_away"].sentence
    assert remarks["mask_cut_in_part"].files == ("test/hole/000.png",)
    assert "test/hole/000.png (" in remarks["mask_cut_in_part"].sentence
    assert crop.test.names[~crop.test.mask_known].tolist() == ["test/cut/000.png"]


def test_a_stretch_is_said_with_the_size_that_keeps_the_ratio(root):
    square = load_category(root, "bar", image_size=32)
    (remark,) = square.remarks
    assert remark.kind == "stretched" and len(remark.files) == 15
    assert "1.33 times wider" in remark.sentence and "image_size=(32, 24)" in remark.sentence
    size = suggested_size(root, "bar", longest=64)
    assert size == (64, 48) and load_category(root, "bar", image_size=size).remarks == ()
    padded = load_category(root, "bar", image_size=32, corrections=Corrections(fit="pad"))
    assert padded.remarks == () and padded.settings["fit"] == "pad"
    image = padded.test.images[0, ..., 0]
    # 24 of 32 columns hold the file, the others its background.
    assert np.abs(image[:, :4] - np.median(image)).max() < 0.02 and image[:, 4:28].min() < 0.4
    assert np.diag(padded.test.transforms[0]).tolist() == [1.25, 1.25, 1]
    assert padded.fingerprint != square.fingerprint and "fit" not in square.settings


def test_twelve_bits_in_sixteen_are_named_and_read_as_such(root, write, picture):
    for path in sorted((root / "bar").glob("t*/*/*.png")):
        write(path, np.array(Image.open(path)).astype(np.uint16) * 16)
    (remark,) = (one for one in load_category(root, "bar", (16, 12)).remarks)
    assert remark.kind == "small_range" and len(remark.files) == 15
    assert remark.sentence.endswith("load them with bit_depth=12")
    assert check_category(root, "bar").remarks == (remark,)
    assert "1 remark:" in str(check_category(root, "bar"))
    deep = load_category(root, "bar", (16, 12), bit_depth=12)
    assert deep.remarks == () and 0.7 < np.median(deep.test.images) < 0.85
    with pytest.raises(CategoryError, match="more than bit_depth=8 holds"):
        load_category(root, "bar", (16, 12), bit_depth=8)


def test_pages_are_chosen_for_all_files(root):
    for path in sorted((root / "bar").glob("t*/*/*.png")):
        first = Image.open(path)
        second = Image.fromarray(255 - np.array(first))
        first.save(path.with_suffix(".tif"), save_all=True, append_images=[second])
        path.unlink()
    with pytest.raises(CategoryError, match="000.tif: holds 2 pages; choose one with page=0"):
        load_category(root, "bar", 16)
    pages = [load_category(root, "bar", (40, 30), page=page).test for page in (0, 1)]
    assert np.allclose(pages[0].images + pages[1].images, 1)
    assert np.array_equal(pages[0].masks, pages[1].masks) and pages[0].masks.any()


def test_narrow_and_wide_defects_of_large_files_are_all_loaded(tmp_path, write):
    background = np.full((512, 512), 180, np.uint8)
    for name in ("train/good/0", "train/good/1", "test/good/0"):
        write(tmp_path / "plate" / f"{name}.png", background)
    for index, width in enumerate((3, 3, 60, 60)):
        mask = np.zeros((512, 512), np.uint8)
        left = 37 + 101 * index
        mask[left : left + width, left : left + width] = 255
        write(tmp_path / f"plate/test/dent/{index}.png", background - mask // 4)
        write(tmp_path / f"plate/ground_truth/dent/{index}_mask.png", mask)
    test = load_category(tmp_path, "plate", image_size=64).test
    sides = test.masks.any(axis=1).sum(axis=1)[test.labels == 1]
    assert (sides[:2] >= 1).all() and (sides[:2] <= 2).all()
    assert (sides[2:] >= 8).all() and (sides[2:] <= 9).all()
    assert test.mask_known.all()
