"""What the check of a category says."""

import shutil

import numpy as np
import pytest

from adhelpers.data import CategoryError, check_category, load_category


def test_check_prints_an_inventory(root, write):
    write(root / "bar/train/good/010.png", np.zeros((50, 30, 3), np.uint8))
    check = check_category(root, "bar")
    assert check.problems == []
    assert check.inventory.columns.tolist() == [
        "split",
        "type",
        "images",
        "masks",
        "size",
        "channels",
        "bits",
    ]
    assert check.inventory.values.tolist()[0] == ["train", "good", 11, 0, "40x30 50x30", "1 3", "8"]
    assert check.inventory["images"].tolist() == [11, 2, 2, 1]
    text = str(check)
    assert text.startswith("category bar") and "cut" in text and "\nno problems\n2 remarks" in text
    assert [(one.kind, one.files) for one in check.remarks] == [
        ("odd_size", ("train/good/010.png",)),
        ("odd_mode", ("train/good/010.png",)),
    ]
    assert "1 of 16 images has another size" in text and "train/good/010.png (50x30)" in text
    (root / "bar/train/good/010.png").unlink()
    assert str(check_category(root, "bar")).endswith("no problems")


def test_check_finds_a_test_image_that_was_trained_on(root, write, picture):
    write(root / "bar/test/good/001.png", picture(3))
    check = check_category(root, "bar")
    assert check.problems == [
        "test/good/001.png: is the same image as train/good/003.png, which is trained on"
    ]
    assert check.remarks == ()
    assert "1 problem:" in str(check) and str(check).count("test/good/001.png") == 1


def test_only_one_class_in_test_is_refused_by_load_and_check_alike(root):
    (root / "bar/test/good").rename(root / "good")
    with pytest.raises(
        CategoryError, match="no good images.*put good images into test/good"
    ) as one:
        load_category(root, "bar", image_size=16)
    assert check_category(root, "bar").problems == one.value.problems
    for kind in ("cut", "hole"):
        shutil.rmtree(root / "bar/test" / kind)
        shutil.rmtree(root / "bar/ground_truth" / kind)
    (root / "good").rename(root / "bar/test/good")
    with pytest.raises(CategoryError, match="no anomalous images") as other:
        load_category(root, "bar", image_size=16)
    assert check_category(root, "bar").problems == other.value.problems


def test_real_categories_are_sound(real_data):
    for name, images in (("screw", 402), ("hazelnut", 70)):
        check = check_category(real_data / "mvtec_ad", name)
        assert check.problems == [] and check.inventory["images"].sum() == images
        # One screw in one place, in other light; all others differ.
        still = [("near_duplicate_train", ("train/good/173.png",))] if name == "screw" else []
        assert [(one.kind, one.files) for one in check.remarks] == still
