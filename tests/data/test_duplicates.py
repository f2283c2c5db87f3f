"""Copies are found by content, named, and kept on one side of the split."""

import io
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from adhelpers.data import check_category, load_category, load_labelled, semi_supervised
from adhelpers.data.duplicates import (
    duplicate_remarks,
    group_copies,
    held_out_groups,
    look_of,
    near_copies,
)


def kinds(found):
    return {one.kind: one for one in found.remarks if one.kind != "stretched"}


def test_the_split_without_copies_is_the_first_of_the_order():
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(13)
        assert held_out_groups(order, np.arange(13), 4).tolist() == order[:4].tolist()


def test_groups_stay_together_at_any_sizes():
    for seed in range(50):
        random = np.random.default_rng(seed)
        groups = group_copies([str(one) for one in random.integers(0, 6, 20)])
        if len(set(groups)) < 2:
            continue
        chosen = held_out_groups(random.permutation(20), groups, 5)
        rest = np.setdiff1d(np.arange(20), chosen)
        assert len(chosen) and len(rest) and not set(groups[chosen]) & set(groups[rest])
    # One pair and one triple: more than was asked for, but the smaller one.
    groups = np.array([0, 0, 0, 3, 3])
    assert sorted(held_out_groups(np.arange(5), groups, 1)) == [3, 4]
    # All are copies of one: nothing can be kept together.
    assert len(held_out_groups(np.arange(4), np.zeros(4, int), 1)) == 1


def test_pictures_saved_twice_are_on_one_side(root):
    good = root / "bar/train/good"
    before = load_category(root, "bar", image_size=16)
    assert not kinds(before) and before.validation.names.tolist() == sorted(
        f"train/good/{index:03}.png" for index in np.random.default_rng(0).permutation(10)[:2]
    )
    for path in sorted(good.iterdir()):
        # Another format with the same pixels is the same image.
        Image.open(path).save(path.with_name(f"{path.stem}_copy.bmp"))
    for seed in range(5):
        category = load_category(root, "bar", image_size=16, seed=seed)
        sides = [
            {name[:14] for name in part.names} for part in (category.train, category.validation)
        ]
        assert not sides[0] & sides[1] and len(category.validation) == 4
    remark = kinds(category)["duplicate_train"]
    assert len(remark.files) == 10 and remark.files[0] == "train/good/000_copy.bmp"
    assert remark.sentence.startswith("10 samples are there more than once in training")
    assert kinds(check_category(root, "bar")) == {"duplicate_train": remark}


def test_leaks_and_contradictory_labels_are_named_at_loading_and_in_the_check(root):
    test = root / "bar/test"
    shutil.copy(root / "bar/train/good/003.png", test / "good/001.png")
    shutil.copy(test / "cut/000.png", test / "good/000.png")
    category = load_category(root, "bar", image_size=16)
    found = kinds(category)
    assert set(found) == {"duplicate_train_test", "contradictory_labels"}
    assert found["duplicate_train_test"].files == ("test/good/001.png",)
    assert "test/good/001.png = train/good/003.png" in found["duplicate_train_test"].sentence
    assert found["contradictory_labels"].files == ("test/cut/000.png",)
    # The check has the leak as a problem.
    del found["duplicate_train_test"]
    assert kinds(check_category(root, "bar")) == found


def test_copies_of_one_image_only_are_split_and_named(root):
    for path in (root / "bar/train/good").iterdir():
        shutil.copy(root / "bar/test/good/000.png", path)
    found = kinds(load_category(root, "bar", image_size=16))
    assert set(found) == {"duplicate_train_validation", "duplicate_train_test"}
    assert len(found["duplicate_train_validation"].files) == 2


def test_the_fingerprint_changes_only_with_copies(root):
    before = load_category(root, "bar", image_size=16)
    assert before.fingerprint == load_category(root, "bar", image_size=16).fingerprint
    assert "copies" not in str(before.settings)


def test_rows_of_a_table_likewise(tmp_path):
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(40, 3)))
    rows["label"] = ["a"] * 20 + ["b"] * 20
    alone = tmp_path / "alone.csv"
    rows.to_csv(alone, index=False)
    assert semi_supervised(load_labelled("csv", alone), "a").remarks == ()
    twice = tmp_path / "twice.csv"
    pd.concat([rows, rows]).to_csv(twice, index=False)
    labelled = load_labelled("csv", twice)
    assert (labelled.is_test[:40] == labelled.is_test[40:]).all()
    category = semi_supervised(labelled, "a", validation_fraction=0.3, ratio_known_outlier=0.1)
    sides = [
        {row.tobytes() for row in part.images} for part in (category.train, category.validation)
    ]
    assert not sides[0] & sides[1] and len(category.validation)
    assert [one.kind for one in category.remarks] == ["duplicate_train"]
    # A row that is of both classes.
    rows.loc[25, [0, 1, 2]] = rows.loc[3, [0, 1, 2]].to_numpy()
    rows.to_csv(alone, index=False)
    found = semi_supervised(load_labelled("csv", alone), "a", ratio_pollution=0.3)
    assert {one.kind for one in found.remarks} <= {"contradictory_labels", "duplicate_train"}


@pytest.mark.parametrize("count", [1, 5])
def test_a_sentence_names_the_first(count):
    names = [f"train/{index}" for index in range(count)] + [
        f"test/{index}" for index in range(count)
    ]
    groups = np.tile(np.arange(count), 2)
    parts = ["train"] * count + ["test"] * count
    (remark,) = duplicate_remarks(names, groups, parts, np.zeros(2 * count, bool))
    assert len(remark.files) == count and ("and 2 more" in remark.sentence) == (count == 5)


def posed(seed, texture=6.0):
    """A bright plate in the same pose on a dark ground, with a texture of its own."""
    random = np.random.default_rng(seed)
    image = np.full((256, 192), 60.0)
    image[40:216, 32:160] = 170
    image += 10 * texture * gaussian_filter(random.normal(size=image.shape), 3)
    return np.clip(image + random.normal(0, 1, image.shape), 0, 255).astype(np.uint8)


def saved_again(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file))


CHANGES = {
    "jpeg": saved_again,
    "brighter": lambda pixels: pixels + np.uint8(1),
    "darker": lambda pixels: (0.8 * pixels).astype(np.uint8),
    "half": lambda pixels: np.asarray(Image.fromarray(pixels).resize((96, 128))),
    "larger": lambda pixels: np.asarray(Image.fromarray(pixels).resize((288, 384))),
    "colour": lambda pixels: np.repeat(pixels[..., None], 3, axis=-1),
    "noise": lambda pixels: (
        pixels + np.random.default_rng(0).integers(-2, 3, pixels.shape)
    ).astype(np.uint8),
}


def looks_of(pictures):
    return [
        look_of(picture.reshape(*picture.shape[:2], -1).astype(np.float32) / 255)
        for picture in pictures
    ]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_planted_near_copies_are_found(change):
    pictures = [posed(seed) for seed in range(30)]
    looks = looks_of([*pictures, *(change(pictures[index]) for index in (3, 17, 29))])
    parts = ["train"] * 30 + ["test"] * 3
    assert near_copies(looks, parts) == [(30, 3), (31, 17), (32, 29)]
    # Both in test: nothing to be said.
    assert near_copies(looks, ["train"] * 3 + ["test"] * 30) == []


def test_all_of_test_may_be_near_copies():
    pictures = [posed(seed) for seed in range(20)]
    looks = looks_of([*pictures, *map(saved_again, pictures)])
    found = near_copies(looks, ["train"] * 20 + ["test"] * 20)
    assert found == [(20 + index, index) for index in range(20)]


def test_objects_in_one_pose_are_no_near_copies():
    """Plates that differ in their texture, and photographs that differ by noise alone."""
    for texture in (6, 0):
        pictures = [posed(seed, texture) for seed in range(40)]
        together = np.corrcoef([picture.ravel() for picture in pictures])
        assert texture or np.min(together) > 0.999
        assert near_copies(looks_of(pictures), ["train"] * 20 + ["test"] * 20) == []


def test_copies_flat_and_few_images_are_no_near_copies():
    one, other = posed(0), posed(1)
    assert near_copies(looks_of([one, other]), ["train", "test"]) == []
    flat = [np.full((40, 30), level, np.uint8) for level in (3, 4, 5, 200)]
    assert near_copies(looks_of(flat), ["train"] * 2 + ["test"] * 2) == []
    parts = ["train"] * 3 + ["test"] * 3
    assert near_copies(looks_of([one, other, posed(2)] * 2), parts) == []


def test_near_copies_are_named_and_not_moved(root, write):
    for index in range(10):
        write(root / f"bar/train/good/{index:03}.png", posed(index))
    write(root / "bar/test/good/000.png", saved_again(posed(4)))
    write(root / "bar/train/good/010.png", saved_again(posed(7)))
    category = load_category(root, "bar", image_size=(40, 30))
    found = kinds(category)
    found = {name: one for name, one in found.items() if name.startswith("near")}
    assert {name: one.files for name, one in found.items()} == {
        "near_duplicate_train_test": ("test/good/000.png",),
        "near_duplicate_train": ("train/good/010.png",),
    }
    leak = found["near_duplicate_train_test"].sentence
    assert "test/good/000.png ≈ train/good/004.png" in leak and "32x32 grey means" in leak
    checked = check_category(root, "bar")
    assert checked.problems == []
    assert {name: one for name, one in kinds(checked).items() if name.startswith("near")} == found
    assert "test/good/000.png" in category.test.names


def test_the_look_is_that_of_the_pixels_in_any_depth():
    samples = np.random.default_rng(0).integers(0, 256, (50, 71, 1), dtype=np.uint8)
    image = samples / np.float32(255)
    deep = (samples.astype(np.uint16) * 257) / np.float32(65535)
    looks = [look_of(image), look_of(image, samples), look_of(deep.astype(np.float32))]
    assert len({look.digest for look in looks}) == 1
    other = samples.copy()
    other[3, 4] ^= 1
    assert look_of(other / np.float32(255)).digest != looks[0].digest
    plain = Image.fromarray(image[..., 0]).resize((32, 32), Image.Resampling.BOX)
    for look in looks:
        np.testing.assert_allclose(look.small, plain, atol=1e-6)
