"""Kolektor SDD2: what the masks say, and the files that its archive has too many of."""

import shutil

import numpy as np
import pytest

from adhelpers.data import CategoryError, check_category, load_category
from adhelpers.data.layouts import list_category

BLACK = np.zeros((24, 32), np.uint8)


@pytest.fixture
def sdd2(tmp_path, fill, write, marked):
    """Training: four good, one defective. Test: two good, two defective, one of a single pixel."""
    place = tmp_path / "KolektorSDD2"
    for start, part, masks in (
        (0, "train", [BLACK, BLACK, marked((2, 5), (3, 5)), BLACK, BLACK]),
        (20, "test", [BLACK, marked((4, 6), (4, 9)), BLACK, marked((7, 8), (9, 10))]),
    ):
        for number, mask in enumerate(masks, start=start):
            fill(place, f"{part}/{number:05}.png", start=number)
            write(place / part / f"{number:05}_GT.png", mask)
    return tmp_path


def test_defective_training_images_are_left_out_and_named(sdd2):
    category = load_category(sdd2, "KolektorSDD2", image_size=(24, 32))
    learned = [*category.train.names, *category.validation.names]
    assert sorted(learned) == [f"train/{number:05}.png" for number in (0, 1, 3, 4)]
    assert category.test.types.tolist() == ["defect", "defect", "good", "good"]
    assert category.test.masks.sum(axis=(1, 2)).tolist() == [10, 1, 0, 0]
    (remark,) = category.remarks
    assert (remark.kind, remark.files) == ("training_defects", ("train/00002.png",))
    check = check_category(sdd2, "KolektorSDD2")
    assert (check.layout, check.problems) == ("Kolektor SDD2", [])
    assert check.inventory[["images", "masks"]].values.tolist() == [[4, 0], [2, 0], [2, 2]]


def test_the_copies_in_the_published_archive_are_no_images(sdd2):
    part = sdd2 / "KolektorSDD2/train"
    before = load_category(sdd2, "KolektorSDD2", image_size=16).fingerprint
    for name in ("00000", "00000_GT"):
        shutil.copy(part / f"{name}.png", part / f"{name} (copy).png")
    category = load_category(sdd2, "KolektorSDD2", image_size=16)
    assert category.fingerprint == before
    unused = {remark.kind: remark.files for remark in category.remarks}["file_unused"]
    assert unused == ("train/00000 (copy).png", "train/00000_GT (copy).png")


def test_an_image_without_a_mask_is_neither_good_nor_defective(sdd2):
    part = sdd2 / "KolektorSDD2/test"
    (part / "00020_GT.png").rename(part / "00099_GT.png")
    (part / "00021_GT.png").write_bytes(b"no image")
    with pytest.raises(CategoryError) as caught:
        load_category(sdd2, "KolektorSDD2")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "KolektorSDD2/test/00020.png",
        "KolektorSDD2/test/00099_GT.png",
        "KolektorSDD2/test/00021_GT.png",
    ]
    assert "has no mask 00020_GT.png, which says whether it is good" in str(caught.value)


def test_a_mask_that_changes_is_read_again(sdd2, write, marked):
    listed = list_category(sdd2, "KolektorSDD2")
    assert sum(entry.type == "good" for entry in listed.of("test")) == 2
    write(sdd2 / "KolektorSDD2/test/00020_GT.png", marked((0, 1), (0, 1)))
    listed = list_category(sdd2, "KolektorSDD2")
    assert sum(entry.type == "good" for entry in listed.of("test")) == 1


def test_a_part_that_is_missing_and_what_lies_beside_are_named(sdd2):
    (sdd2 / "KolektorSDD2/notes.txt").touch()
    (sdd2 / "KolektorSDD2/more").mkdir()
    kinds = [remark.kind for remark in list_category(sdd2, "KolektorSDD2").remarks]
    assert kinds == ["file_unused", "folder_unused", "training_defects"]
    shutil.rmtree(sdd2 / "KolektorSDD2/test")
    with pytest.raises(FileNotFoundError, match="test: Kolektor SDD2 has train and test"):
        load_category(sdd2, "KolektorSDD2")
