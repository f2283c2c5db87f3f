"""The MVTec layout: what is found, and what is named as wrong."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from adhelpers.data import CategoryError, check_category, file_of, load_category


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
    for count in (1, 2):
        text = (
            f"train/good holds {count} image{'s' * (count - 1)}; at least three are needed, two to"
        )
        with pytest.raises(CategoryError, match=text) as few:
            load_category(root, "bar")
        assert check_category(root, "bar").problems == few.value.problems
        write(root / f"bar/train/good/{count:03}.png", picture(count))
    for fraction in (0.1, 0.5, 0.99):
        category = load_category(root, "bar", image_size=16, validation_fraction=fraction)
        assert (len(category.train), len(category.validation)) == (2, 1)
    shutil.rmtree(root / "bar/ground_truth")
    shutil.rmtree(root / "bar/test")
    with pytest.raises(FileNotFoundError, match="no folder .*test"):
        load_category(root, "bar")
    (root / "bar/test").mkdir()
    with pytest.raises(CategoryError, match="test holds no images"):
        load_category(root, "bar")


def remarks_of(root):
    found = load_category(root, "bar", image_size=(16, 12)).remarks
    assert found == check_category(root, "bar").remarks
    return {one.kind: one.files for one in found}


def test_what_desktops_and_archives_leave_is_no_data(root):
    for name in ("@eaDir", "__MACOSX", ".ipynb_checkpoints", "$RECYCLE.BIN"):
        for place in ("", "train", "train/good", "test", "test/cut", "ground_truth"):
            folder = root / "bar" / place / name
            folder.mkdir()
            shutil.copy(root / "bar/test/cut/000.png", folder / "000.png")
    shutil.copy(root / "bar/test/cut/000.png", root / "bar/test/cut/._000.png")
    assert remarks_of(root) == {}
    assert check_category(root, "bar").inventory["images"].tolist() == [10, 2, 2, 1]


def test_everything_that_is_not_used_is_named(root):
    for name in (
        "stray.png",
        "readme.txt",
        "test/lost.png",
        "train/lost.txt",
        "validation/crack/0.png",
    ):
        path = root / "bar" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "bar/test/cut/000.png", path)
    (root / "bar/train/bad").mkdir()
    shutil.copy(root / "bar/test/cut/000.png", root / "bar/ground_truth")
    assert remarks_of(root) == {
        "file_unused": ("stray.png", "train/lost.txt", "test/lost.png", "ground_truth/000.png"),
        "folder_unused": ("validation", "train/bad"),
    }


def test_a_folder_of_masks_without_masks_means_no_masks(root):
    shutil.rmtree(root / "bar/ground_truth")
    for name in ("cut/.DS_Store", "hole/@eaDir/000_mask.png"):
        path = root / "bar/ground_truth" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    assert remarks_of(root) == {"masks_none": ("ground_truth",)}
    assert not load_category(root, "bar", image_size=16).has_masks


@pytest.mark.parametrize("name", ["ok", "OK", "Good", "normal", "defect-free", "gut"])
def test_synonyms_of_good_are_pointed_out(root, name):
    test, train = root / "bar/test", root / "bar/train"
    (test / "good").rename(test / name)
    shutil.rmtree(root / "bar/ground_truth")
    with pytest.raises(CategoryError, match=f"rename test/{name} to test/good"):
        load_category(root, "bar", image_size=16)
    (test / name).rename(test / "good")
    shutil.copytree(test / "good", test / name)
    (test / name / "000.png").unlink()
    assert remarks_of(root)["good_synonym"] == (f"test/{name}",)
    shutil.rmtree(test / name)
    (train / name).mkdir()
    assert remarks_of(root) == {"good_synonym": (f"train/{name}",)}
    (remark,) = check_category(root, "bar").remarks
    assert f"train/{name} beside train/good: not used" in str(remark)
    assert "move them into train/good" in str(remark)
    (train / name).rmdir()
    (train / "good").rename(train / name)
    with pytest.raises(FileNotFoundError, match=f"rename train/{name} to train/good"):
        load_category(root, "bar")


def test_a_type_that_only_begins_like_a_synonym_is_a_type(root):
    for place in ("test", "ground_truth"):
        (root / "bar" / place / "cut").rename(root / "bar" / place / "normal_crack.v2")
    assert remarks_of(root) == {}


def test_names_are_compared_in_one_unicode_form(root):
    composed, parts = "fl\u00e4che", "fla\u0308che"
    (root / "bar/test/cut").rename(root / "bar/test" / composed)
    (root / "bar/ground_truth/cut").rename(root / "bar/ground_truth" / parts)
    (root / "bar/test" / composed / "000.png").rename(root / f"bar/test/{composed}/{parts}.png")
    masks = root / "bar/ground_truth" / parts
    (masks / "000_mask.png").rename(masks / f"{composed}_mask.png")
    (root / "bar").rename(root / parts)
    category = load_category(root, composed, image_size=16)
    assert f"test/{composed}/{composed}.png" in category.test.names
    assert category.test.masks.any(axis=(1, 2)).sum() == 3
    assert category.fingerprint == load_category(root, parts, image_size=16).fingerprint
    # Files are found again, in whatever form the disk has them.
    for name in category.test.names:
        assert file_of(root, f"{composed}/{name}").is_file()


def test_names_that_are_not_utf8_or_act_on_a_terminal_are_escaped(root):
    latin, acting = os.fsdecode(b"caf\xe9"), "\x1b[2Jcut\n"
    for place in ("test", "ground_truth"):
        (root / "bar" / place / "cut").rename(root / "bar" / place / acting)
    (root / "bar/test/good/000.png").rename(root / f"bar/test/good/{latin}.png")
    (root / f"bar/test/{latin}.txt").touch()
    category = load_category(root, "bar", image_size=(16, 12))
    assert category.test.names.tolist()[:2] == [
        f"test/\\x1b[2Jcut\\n/{index:03}.png" for index in range(2)
    ]
    assert (
        "test/good/caf\\xe9.png" in category.test.names and "\\x1b[2Jcut\\n" in category.test.types
    )
    assert category.remarks == check_category(root, "bar").remarks
    assert category.remarks[0].files == ("test/caf\\xe9.txt",)
    for name in category.test.names:
        assert file_of(root, f"bar/{name}").is_file()
    # Damaged or alone, they are named by both.
    (root / f"bar/test/good/{latin}.png").write_bytes(b"")
    (root / "bar/test" / acting / "a\r.png").write_bytes(b"")
    (root / "bar/ground_truth" / acting / "b\b.png").write_bytes(b"")
    with pytest.raises(CategoryError) as caught:
        load_category(root, "bar", image_size=16)
    problems = check_category(root, "bar").problems
    assert problems == caught.value.problems and len(problems) == 4
    assert "test/\\x1b[2Jcut\\n/a\\r.png: has no mask" in problems[0]
    assert "ground_truth/\\x1b[2Jcut\\n/b\\x08.png: is a mask without an image" in problems[1]
    shown = str(check_category(root, "bar"))
    assert shown.encode() and not any(one in shown for one in "\x1b\r\b")
    (root / "bar").rename(root / acting)
    assert "\x1b" not in str(check_category(root, acting))
    with pytest.raises(FileNotFoundError) as missing:
        load_category(root / latin, acting)
    assert "caf\\xe9" in str(missing.value) and str(missing.value).encode()
    with pytest.raises(FileNotFoundError) as missing:
        load_category(root, latin)
    assert str(missing.value).encode() and "\x1b" not in str(missing.value)


def test_a_file_that_is_not_there_has_the_path_it_would_have(tmp_path):
    assert file_of(tmp_path, "bar/0.png") == Path(tmp_path, "bar", "0.png")
