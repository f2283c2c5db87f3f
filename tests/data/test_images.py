"""Loading categories that the tests draw themselves."""

import json
import shutil
import time
import tracemalloc

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
from adhelpers.data.images import _reorder


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
    assert len(load_category(root, "bar", image_size=16, validation_fraction=0.999).train) == 2


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


def test_the_files_of_each_part_are_told_from_others_whatever_the_settings(root, write):
    before = load_category(root, "bar", image_size=16).files
    assert sorted(before) == ["test", "train"]
    other = load_category(root, "bar", image_size=(24, 32), color="rgb", seed=3)
    assert other.files == before
    write(root / "bar/train/good/000.png", np.full((40, 30), 7, np.uint8))
    after = load_category(root, "bar", image_size=16).files
    assert after["test"] == before["test"] and after["train"] != before["train"]
    mask = np.zeros((40, 30), np.uint8)
    mask[0, 0] = 255
    write(root / "bar/ground_truth/cut/000_mask.png", mask)
    assert load_category(root, "bar", image_size=16).files["test"] != before["test"]


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
        ({"color": "gray"}, "color must be one of grayscale, rgb, auto, not 'gray'"),
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
    for name in (*(f"train/good/{index}" for index in range(3)), "test/good/0"):
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


@pytest.fixture
def screws(tmp_path):
    """A folder with a few rendered screws, 96 pixels wide and high."""
    render_category(
        tmp_path, "screw", image_size=96, train_count=9, test_good_count=2, defect_count=1
    )
    return tmp_path


# What cannot be corrected: without light, without an object, with one larger than the frame, and
# with one that has no axis.
_PLAIN = np.full((96, 96), 200, np.uint8)
_STRIPED = np.full((96, 96), 60, np.uint8)
_STRIPED[::7] = 200
_ROUND = np.where(np.hypot(*(np.mgrid[:96, :96] - 48)) < 25, 60, _PLAIN).astype(np.uint8)
_DIM = np.where(_ROUND == 60, 12, 0).astype(np.uint8)


@pytest.mark.parametrize("crop", ["object", "none"])
def test_auto_loads_test_images_that_it_cannot_correct_and_marks_them(screws, write, crop):
    corrections = Corrections(illumination="auto", pose="auto", crop=crop)
    before = load_category(screws, "screw", (64, 32), corrections=corrections)
    assert not before.test.uncorrected.any() and not before.train.uncorrected.any()
    planted = {"black": _PLAIN * 0, "plain": _PLAIN, "full": _STRIPED, "round": _ROUND}
    for name, pixels in planted.items():
        write(screws / f"screw/test/good/{name}.png", pixels)
    write(screws / "screw/test/missing/0.png", _PLAIN - 1)
    mask = np.zeros((96, 96), np.uint8)
    mask[:3, :3] = 255  # in the corner, where the common box of the crop would not reach
    write(screws / "screw/ground_truth/missing/0_mask.png", mask)
    after = load_category(screws, "screw", (64, 32), corrections=corrections)
    test = after.test
    assert test.names[test.uncorrected].tolist() == [
        *(f"test/good/{name}.png" for name in sorted(planted)),
        "test/missing/0.png",
    ]
    assert after.settings == before.settings and after.settings["pose"] == "axis"
    others = test.subset(~test.uncorrected)
    assert others.names.tolist() == before.test.names.tolist()
    np.testing.assert_array_equal(others.images, before.test.images)
    np.testing.assert_array_equal(after.train.images, before.train.images)
    remarks = {remark.kind: remark for remark in after.remarks}
    assert remarks["light_not_corrected"].files == ("test/good/black.png",)
    assert set(remarks["pose_not_corrected"].files) == set(test.names[test.uncorrected])
    assert "5 test images were neither turned nor cropped" in remarks["pose_not_corrected"].sentence
    # All of the file is there, upright and (with a crop) in its own proportions; nothing is lost.
    for index in np.flatnonzero(test.uncorrected):
        step = [3, 3, 1] if crop == "object" else [3, 1.5, 1]
        assert np.diag(test.transforms[index]).tolist() == step
        assert test.to_original(np.ones((64, 32), np.float32), index).min() == 1
    assert test.masks[test.types == "missing"].any() and "mask_cut_away" not in remarks
    levels = dict(zip(test.names, test.images.mean(axis=(1, 2, 3)), strict=True))
    assert levels["test/good/black.png"] == 0  # not divided by 0
    assert levels["test/good/plain.png"] == pytest.approx(0.75, abs=0.003)


def test_light_is_kept_where_only_the_light_cannot_be_corrected(screws, write):
    write(screws / "screw/test/good/dim.png", _DIM)
    corrections = Corrections(illumination="auto", crop="object")
    category = load_category(screws, "screw", (64, 32), corrections=corrections)
    (remark,) = category.remarks
    assert remark.files == ("test/good/dim.png",) and "light of 1 test image" in remark.sentence
    (index,) = np.flatnonzero(category.test.uncorrected)
    assert category.test.images[index].max() == pytest.approx(12 / 255)
    # The crop was asked for by name, and was made: on the object, at the scale of all others.
    assert np.ptp(np.linalg.det(category.test.transforms[:, :2, :2])) < 1e-9


@pytest.mark.parametrize("named", [{"illumination": "background"}, {"pose": "axis"}])
def test_corrections_that_are_named_are_no_offer(screws, write, named):
    write(screws / "screw/test/good/black.png", _PLAIN * 0)
    with pytest.raises(CategoryError, match="has 1 problem:\n  test/good/black.png"):
        load_category(screws, "screw", (64, 32), corrections=Corrections(**named))


def test_training_images_that_auto_cannot_correct_are_all_named(screws, write):
    names = sorted(path.name for path in (screws / "screw/train/good").iterdir())
    # Those that "auto" decides on are left as they are.
    for index in range(20, 24):
        write(screws / f"screw/train/good/{index:03}.png", np.full((96, 96), index, np.uint8))
    for index in range(24, 40):
        shutil.copy(
            screws / "screw/train/good" / names[0], screws / f"screw/train/good/{index}.png"
        )
    spared = sorted(path.name for path in (screws / "screw/train/good").iterdir())
    spared = spared[:: len(spared) // 8]
    dark = [f"train/good/{n:03}.png" for n in range(20, 24) if f"{n:03}.png" not in spared]
    for name in set(spared) & {f"{n:03}.png" for n in range(20, 24)}:
        shutil.copy(screws / "screw/train/good" / names[0], screws / "screw/train/good" / name)
    corrections = Corrections(illumination="auto", pose="auto")
    with pytest.raises(CategoryError) as caught:
        load_category(screws, "screw", (64, 32), corrections=corrections)
    assert len(dark) >= 2
    assert [problem.split(":")[0] for problem in caught.value.problems] == dark


@pytest.mark.parametrize(
    "size, corrections, expected",
    [
        # Files of 40x30: steps of 16 pixels, 96 being three quarters of 128.
        (None, Corrections(), (128, 96)),
        ((0, 0), Corrections(), (128, 96)),
        ((64, 0), Corrections(), (64, 48)),
        ((0, 24), Corrections(fit="pad"), (32, 24)),
        ((64, 48), Corrections(), (64, 48)),
        (64, Corrections(), (64, 64)),
        # Turned upright, the frame is a square.
        ((64, 0), Corrections(pose="axis"), (64, 64)),
    ],
)
def test_a_side_that_is_not_given_follows_from_the_proportions(root, size, corrections, expected):
    category = load_category(root, "bar", size, corrections=corrections)
    assert category.test.images.shape[1:3] == expected
    assert category.settings["image_size"] == list(expected)
    named = load_category(root, "bar", expected, corrections=corrections)
    assert category.fingerprint == named.fingerprint
    assert category.remarks == named.remarks
    if size != 64:
        assert category.remarks == ()


def test_the_proportions_of_a_crop_are_those_of_its_box(screws):
    crop = Corrections(pose="axis", crop="object")
    open_width = load_category(screws, "screw", (128, 0), corrections=crop).test
    named = load_category(screws, "screw", (128, 128), corrections=crop).test
    # What the square adds at the sides is what the narrow size leaves out: the scale is the same.
    assert open_width.images.shape[2] in (48, 64)
    np.testing.assert_allclose(
        *(np.linalg.det(one.transforms[:, :2, :2]) for one in (open_width, named)), rtol=0.1
    )


@pytest.mark.parametrize("size", [(0, 4), (0,), (0, 16, 16), (16, -1), 0, (0, 12.5)])
def test_sizes_that_follow_from_nothing_are_refused(root, size):
    with pytest.raises(ValueError, match="image_size must be a whole number of at least 8"):
        load_category(root, "bar", size)


def test_splits_are_parts_of_one_array_and_take_no_memory_beside_it(root, write):
    for index in range(60):
        pixels = np.full((16, 16), 3 * index, np.uint8)
        write(root / f"plate/train/good/{index:02}.png", pixels)
        write(root / f"plate/test/{'good' if index % 2 else 'dent'}/{index:02}.png", pixels + 1)
    load_category(root, "plate", 16)  # what is imported on the way does not count
    tracemalloc.start()
    category = load_category(root, "plate", 192)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    parts = (category.train, category.validation, category.test)
    assert peak <= 1.3 * sum(part.images.nbytes for part in parts)
    (base,) = {id(part.images.base) for part in parts}
    assert base is not None
    assert not np.shares_memory(category.train.images, category.validation.images)
    # Each split is in the order of its names, and each image is that of its own file.
    for part in parts:
        by_type = [part.names[part.types == kind].tolist() for kind in sorted(set(part.types))]
        assert all(names == sorted(names) for names in by_type)
        levels = [3 * int(name[-6:-4]) + name.startswith("test/") for name in part.names.tolist()]
        assert np.allclose(part.images[:, 5, 5, 0] * 255, levels, atol=1e-3)


def test_rows_are_reordered_in_place():
    random = np.random.default_rng(0)
    for count in (1, 2, 7, 30):
        order = random.permutation(count)
        rows = random.random((count + 2, 3)).astype(np.float32)
        expected = np.concatenate([rows[:count][order], rows[count:]])
        _reorder(rows, order)
        np.testing.assert_array_equal(rows, expected)
