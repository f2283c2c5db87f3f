"""The MVTec layout: what is found, and what is named as wrong."""

import shutil

import numpy as np
import pytest

from adhelpers.data import CategoryError, check_category, load_category


def test_mask_may_be_named_like_its_image(root):
    (root / "bar/ground_truth/hole/000_mask.png").rename(root / "bar/ground_truth/hole/000.png")
    assert load_category(root, "bar", image_size=16).test.masks[4].any()


def test_mask_of_a_good_image_must_be_empty_and_a_second_mask_is_named(root, write):
    write(root / "bar/ground_truth/good/000_mask.png", np.zeros((40, 30), np.uint8))
    load_category(root, "bar", image_size=16)
    write(root / "bar/ground_truth/good/001_mask.png", np.ones((40, 30), np.uint8))
    write(root / "bar/ground_truth/cut/001.png", np.ones((40, 30), np.uint8))
    with pytest.raises(
        CategoryError, match="marks a defect in an image of the type 'good'"
    ) as caught:
        load_category(root, "bar", image_size=16)
    assert "ground_truth/cut/001_mask.png: is a second mask beside 001.png" in str(caught.value)


def test_files_of_the_desktop_are_ignored(root):
    for name in (".DS_Store", "Thumbs.db"):
        (root / "bar/test/cut" / name).write_bytes(b"x")
    assert len(load_category(root, "bar", image_size=16).test) == 5


@pytest.mark.parametrize(
    "name, text",
    [
        ("baar", "did you mean 'bar'"),
        ("Bar", "did you mean 'bar'"),
        ("zzz", "there are: bar"),
    ],
)
def test_misspelt_category_gets_the_nearest_names(root, name, text):
    for call in (load_category, check_category):
        with pytest.raises(FileNotFoundError, match=text):
            call(root, name)


def test_missing_and_empty_folders(root, tmp_path, write, picture):
    with pytest.raises(FileNotFoundError, match="root is the folder that holds the categories"):
        load_category(tmp_path / "nowhere", "bar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="the root is empty"):
        load_category(tmp_path / "empty", "bar")
    for image in (root / "bar/train/good").iterdir():
        if image.name != "000.png":
            image.unlink()
    with pytest.raises(CategoryError, match="train/good holds 1 images; at least two"):
        load_category(root, "bar")
    write(root / "bar/train/good/001.png", picture(1))
    shutil.rmtree(root / "bar/ground_truth")
    shutil.rmtree(root / "bar/test")
    with pytest.raises(FileNotFoundError, match="no folder .*test"):
        load_category(root, "bar")
    (root / "bar/test").mkdir()
    with pytest.raises(CategoryError, match="test holds no images"):
        load_category(root, "bar")
