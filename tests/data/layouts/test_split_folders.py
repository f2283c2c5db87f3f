"""The MVTec layout: what is found, and what is named as wrong."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from adhelpers.data import CategoryError, check_category, load_category


def names(pattern, count, start=0):
    return [pattern.format(index) for index in range(start, start + count)]


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
    assert all(Path(file).is_file() for file in category.test.files)


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
    assert all(Path(file).is_file() for file in category.test.files)
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


def test_mvtec_is_named_and_keeps_the_fingerprint_of_stored_models(root):
    category = load_category(root, "bar", image_size=16)
    digest = hashlib.sha256(json.dumps(category.settings, sort_keys=True).encode())
    folder = root / "bar"
    for name in (
        *names("train/good/{:03}.png", 10),
        *names("test/cut/{:03}.png", 2),
        *names("test/good/{:03}.png", 2),
        "test/hole/000.png",
    ):
        mask = folder / name.replace("test", "ground_truth").replace(".png", "_mask.png")
        files = [folder / name, *([mask] if mask.exists() else [])]
        content = "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
        digest.update(f"{name} {content}\n".encode())
    assert category.fingerprint == digest.hexdigest()
    assert str(check_category(root, "bar")).splitlines()[1] == "layout: MVTec AD"


@pytest.fixture
def loco(tmp_path, fill, write, marked):
    """MVTec LOCO AD: one defect of two marks, and one in each type."""
    place = tmp_path / "pushpins"
    fill(place, *names("train/good/{:03}.png", 4), *names("validation/good/{:03}.png", 2))
    fill(place, *names("test/good/{:03}.png", 2), start=20)
    fill(place, *names("test/logical_anomalies/{:03}.png", 2), start=30)
    fill(place, "test/structural_anomalies/000.png", start=40)
    truth = place / "ground_truth"
    write(truth / "logical_anomalies/000/000.png", marked((2, 4), (2, 6), 255))
    write(truth / "logical_anomalies/000/001.png", marked((10, 12), (8, 10), 254))
    write(truth / "logical_anomalies/001/000.png", marked((0, 1), (0, 1), 253))
    write(truth / "structural_anomalies/000/000.png", marked((5, 6), (5, 9), 240))
    (place / "defects_config.json").write_text(
        '[{"defect_name": "1_additional", "pixel_value": 255, "saturation_threshold": 6300}]'
    )
    (place / "license.txt").write_text("CC BY-NC-SA 4.0")
    return tmp_path


def test_loco_unites_the_masks_of_an_image_and_keeps_its_validation_part(loco):
    category = load_category(loco, "pushpins", image_size=(24, 32), validation_fraction=0.9)
    assert (len(category.train), len(category.validation), len(category.test)) == (4, 2, 5)
    assert category.validation.names.tolist() == names("validation/good/{:03}.png", 2)
    kinds = ["good"] * 2 + ["logical_anomalies"] * 2 + ["structural_anomalies"]
    assert category.test.types.tolist() == kinds
    areas = dict(zip(category.test.names, category.test.masks.sum(axis=(1, 2)), strict=True))
    assert areas["test/logical_anomalies/000.png"] == 2 * 4 + 2 * 2
    assert areas["test/logical_anomalies/001.png"] == 1
    assert areas["test/structural_anomalies/000.png"] == 4
    check = check_category(loco, "pushpins")
    assert (check.layout, check.problems, check.remarks) == ("MVTec LOCO AD", [], ())
    assert check.inventory[["split", "images", "masks"]].values.tolist() == [
        ["train", 4, 0],
        ["validation", 2, 0],
        ["test", 2, 0],
        ["test", 2, 2],
        ["test", 1, 1],
    ]


def test_loco_without_a_mask_or_a_folder_is_refused(loco):
    shutil.rmtree(loco / "pushpins/ground_truth/logical_anomalies/001")
    with pytest.raises(CategoryError, match=r"logical_anomalies/001.png: has no mask ground_truth"):
        load_category(loco, "pushpins")
    shutil.rmtree(loco / "pushpins/validation")
    with pytest.raises(FileNotFoundError, match="validation/good: MVTec LOCO AD has train/good, "):
        load_category(loco, "pushpins")


def test_every_mask_of_an_image_counts_in_the_fingerprint(loco, write, marked):
    first = load_category(loco, "pushpins", image_size=16).fingerprint
    mask = loco / "pushpins/ground_truth/logical_anomalies/000/001.png"
    write(mask, marked((10, 13), (8, 10), 254))
    assert load_category(loco, "pushpins", image_size=16).fingerprint != first


def test_a_test_image_that_is_in_the_validation_part_is_a_problem(loco):
    place = loco / "pushpins"
    shutil.copy(place / "validation/good/001.png", place / "test/good/001.png")
    assert check_category(loco, "pushpins").problems == [
        "test/good/001.png: is the same image as validation/good/001.png, which the threshold is "
        "found with"
    ]


def test_mvtec_ad_2_reads_the_public_part(tmp_path, fill, write, marked):
    place = tmp_path / "vial"
    fill(place, *names("train/good/{:03}_regular.png", 3), "validation/good/000_regular.png")
    fill(place, "test_public/good/000_regular.png", "test_public/bad/000_overexposed.png", start=9)
    fill(place, *names("test_private/{:03}_regular.png", 3), start=20)
    fill(place, "test_private_mixed/000_mixed.PNG", start=30)
    truth = place / "test_public/ground_truth/bad"
    write(truth / "000_overexposed_mask.png", marked((1, 3), (1, 4)))
    category = load_category(tmp_path, "vial", image_size=(24, 32))
    assert (len(category.train), len(category.validation)) == (3, 1)
    assert category.test.types.tolist() == ["bad", "good"]
    assert category.test.masks.sum(axis=(1, 2)).tolist() == [6, 0]
    check = check_category(tmp_path, "vial")
    assert (check.layout, check.problems) == ("MVTec AD 2", [])
    (remark,) = check.remarks
    assert remark.kind == "unlabelled" and "4 images in test_private, test_private_mixed" in str(
        remark
    )
    (truth / "000_overexposed_mask.png").rename(truth / "001_overexposed_mask.png")
    problems = check_category(tmp_path, "vial").problems
    assert problems == [
        "test_public/bad/000_overexposed.png: has no mask "
        "test_public/ground_truth/bad/000_overexposed_mask.png",
        "ground_truth/bad/001_overexposed_mask.png: is a mask without an image "
        "test_public/bad/001_overexposed.*",
    ]


def test_btad_calls_good_ok_and_has_files_of_several_kinds(tmp_path, fill, write, marked):
    place = tmp_path / "01"
    fill(place, *names("train/ok/{:04}.bmp", 3), "test/ok/0000.BMP", "test/ko/0000.bmp")
    write(place / "ground_truth/ko/0000.png", marked((0, 2), (0, 2)))
    category = load_category(tmp_path, "01", image_size=(24, 32))
    assert category.test.types.tolist() == ["ko", "good"]
    assert category.test.labels.tolist() == [1, 0]
    assert category.test.names.tolist() == ["test/ko/0000.bmp", "test/ok/0000.BMP"]
    assert category.test.masks.sum(axis=(1, 2)).tolist() == [4, 0]
    check = check_category(tmp_path, "01")
    assert (check.layout, check.problems, check.remarks) == ("BTAD", [], ())
    shutil.rmtree(place / "test/ok")
    assert "put good images into test/ok" in check_category(tmp_path, "01").problems[0]
