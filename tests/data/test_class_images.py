"""Class folders: what is read, in which order, with which masks, and what is refused."""

import os

import numpy as np
import pytest
from PIL import Image

from adhelpers.data import CategoryError, load_class_images, make_class_images, split_remarks


def save(path, level=128, size=(6, 4), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level).save(path)


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "train" / "cut" / "0.png", 51)
    save(tmp_path / "train" / "good" / "0.png", 102)
    save(tmp_path / "train" / "good" / "1.png", 153)
    return tmp_path


def test_images_in_the_order_of_their_folders(folder):
    found = load_class_images(folder, "train")
    assert (
        found.class_names == ("cut", "good")
        and found.labels.tolist() == [0, 1, 1]
        and found.types.tolist() == ["cut", "good", "good"]
    )
    assert found.names.tolist() == ["train/cut/0.png", "train/good/0.png", "train/good/1.png"]
    np.testing.assert_allclose(found.images[:, 0, 0, 0], [0.2, 0.4, 0.6], atol=1e-6)
    assert found.images.shape == (3, 4, 6, 3) and found.defects is None and found.tags is None
    assert load_class_images(
        folder, "train", color="grayscale", image_size=(8, 10)
    ).images.shape == (3, 8, 10, 1)


def test_a_list_of_classes_gives_their_order(folder):
    (folder / "classes.txt").write_text("good\ncut\n")
    assert load_class_images(folder, "train").labels.tolist() == [0, 0, 1]
    (folder / "classes.txt").write_text("good\n")
    with pytest.raises(CategoryError, match="classes.txt does not name cut"):
        load_class_images(folder, "train")


def test_a_class_that_a_split_lacks_keeps_its_place_in_the_list(folder):
    (folder / "classes.txt").write_text("good\nbent\ncut\n")
    found = load_class_images(folder, "train")
    assert found.class_names == ("good", "bent", "cut") and found.labels.tolist() == [0, 0, 2]


def test_masks_belong_to_their_files_and_missing_ones_are_empty(folder):
    mask = Image.new("L", (6, 4), 0)
    mask.putpixel((2, 1), 255)
    (folder / "ground_truth" / "train" / "cut").mkdir(parents=True)
    mask.save(folder / "ground_truth" / "train" / "cut" / "0_defect.png")
    found = load_class_images(folder, "train")
    assert (
        found.defects.sum() == 1
        and found.defects[0, 1, 2]
        and found.tags.shape == (3, 4, 6)
        and not found.tags.any()
    )
    assert load_class_images(folder, "train", image_size=(8, 12)).defects[0].sum() == 4
    Image.new("L", (5, 5), 0).save(folder / "ground_truth" / "train" / "cut" / "0_tag.png")
    with pytest.raises(CategoryError, match="its mask 0_tag.png has the size"):
        load_class_images(folder, "train")


def test_every_bad_file_is_named(folder):
    (folder / "train" / "cut" / "a.png").write_bytes(b"no image")
    (folder / "train" / "good" / "b.png").write_bytes(b"")
    save(folder / "train" / "good" / "wide.png", size=(9, 4))
    with pytest.raises(CategoryError) as caught:
        load_class_images(folder, "train")
    assert (
        len(caught.value.problems) == 3
        and "train/cut/a.png" in str(caught.value)
        and "give image_size" in str(caught.value)
    )
    with pytest.raises(FileNotFoundError, match="test is missing"):
        load_class_images(folder, "test")


def test_the_fingerprint_follows_the_content(folder):
    first = load_class_images(folder, "train").fingerprint
    assert load_class_images(folder, "train").fingerprint == first
    save(folder / "train" / "good" / "1.png", 154)
    assert load_class_images(folder, "train").fingerprint != first


def test_a_subset_keeps_everything_together():
    images = np.linspace(0, 1, 3)[:, None, None, None] * np.ones((1, 2, 2, 1))
    made = make_class_images(images, [1, 0, 1], ("a", "b"), defects=images[..., 0] > 0.4)
    part = made.subset(made.labels == 1)
    assert (
        part.labels.tolist() == [1, 1]
        and part.defects[:, 0, 0].tolist() == [False, True]
        and part.tags is None
    )
    assert part.names.tolist() == ["b/00000", "b/00002"] and part.fingerprint != made.fingerprint


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.zeros((2, 3, 3)), [0, 0], "ab"), "images must have the shape"),
        ((np.full((1, 3, 3, 1), 2.0), [0], "ab"), "finite values in"),
        ((np.zeros((2, 3, 3, 1)), [0, 2], "ab"), "labels must be whole numbers from 0 to 1"),
        ((np.zeros((2, 3, 3, 1)), [0], "ab"), "labels"),
        ((np.zeros((1, 3, 3, 1)), [0.0], "ab"), "labels"),
        (
            (np.zeros((1, 3, 3, 1)), [0], "ab", None, np.zeros((1, 3, 4))),
            "defects must have the shape",
        ),
    ],
)
def test_bad_arrays(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_class_images(*arguments)


def test_counterparts_of_images_that_have_none_are_the_images(folder):
    save(folder / "counterparts" / "train" / "cut" / "0_defect.png", 204)
    found = load_class_images(folder, "train")
    np.testing.assert_allclose(found.without_defects[:, 0, 0, 0], [0.8, 0.4, 0.6], atol=1e-6)
    np.testing.assert_array_equal(found.without_tags, found.images)
    assert load_class_images(folder, "train", image_size=8).without_defects.shape == (3, 8, 8, 3)
    save(folder / "counterparts" / "train" / "cut" / "0_defect.png", 204, size=(5, 5))
    with pytest.raises(CategoryError, match="its counterpart 0_defect.png has the size"):
        load_class_images(folder, "train")


def test_what_is_left_out_is_named(folder):
    assert load_class_images(folder, "train").remarks == ()
    for name in (
        "train/stray.png",
        "train/cut/deeper/0.png",
        "ground_truth/train/cut/0_defect.png",
        "ground_truth/train/cut/0_mask.png",
        "ground_truth/train/cut/7_defect.png",
        "ground_truth/train/bent/0_tag.png",
        "counterparts/train/cut/0_defect.png",
        "counterparts/train/good/1.png",
        "validation/cut/0.png",
        "old.png",
    ):
        save(folder / name, level=0)
    (folder / "train/cut/notes.txt").touch()
    (folder / "train/cut/Thumbs.db").touch()
    (folder / "readme.txt").touch()
    found = load_class_images(folder, "train")
    assert len(found) == 3
    assert {one.kind: one.files for one in found.remarks} == {
        "file_unused": (
            "train/cut/notes.txt",
            "train/stray.png",
            "ground_truth/train/bent/0_tag.png",
            "ground_truth/train/cut/0_mask.png",
            "ground_truth/train/cut/7_defect.png",
            "counterparts/train/good/1.png",
        ),
        "folder_unused": ("train/cut/deeper",),
    }
    together = split_remarks(folder, {"train": found})
    assert together[:2] == found.remarks and found.subset([0]).remarks == found.remarks
    assert [(one.kind, one.files) for one in together[2:]] == [
        ("file_unused", ("old.png",)),
        ("folder_unused", ("validation",)),
    ]


def test_a_stretch_is_named_and_an_open_side_keeps_the_proportions(folder):
    for path in sorted(folder.rglob("*.png")):
        save(path, 90, size=(40, 30))
    square = load_class_images(folder, "train", image_size=32)
    (remark,) = square.remarks
    assert remark.kind == "stretched" and len(remark.files) == 3
    assert "-p image_height 24 -p image_width 32" in remark.sentence
    for size in ((48, 0), (0, 64), (48, 64)):
        found = load_class_images(folder, "train", image_size=size)
        assert found.images.shape[1:3] == (48, 64) and found.remarks == ()
    assert load_class_images(folder, "train", image_size=(0, 0)).images.shape[1:3] == (96, 128)


def test_bits_and_page_are_chosen_for_images_and_counterparts(folder):
    for path in sorted(folder.rglob("*.png")):
        pages = [Image.fromarray(np.full((4, 6), level, np.uint16)) for level in (1023, 0)]
        pages[0].save(path.with_suffix(".tif"), save_all=True, append_images=pages[1:])
        path.unlink()
    for name in ("counterparts", "ground_truth"):
        path = folder / name / "train/cut/0_defect.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((4, 6), 1023 if name == "counterparts" else 255, np.uint16)).save(
            path
        )
    with pytest.raises(CategoryError, match="holds 2 pages"):
        load_class_images(folder, "train")
    found = load_class_images(folder, "train", bit_depth=10, page=0)
    assert (found.images == 1).all() and (found.without_defects == 1).all()
    assert found.defects[0].all() and not [
        one for one in found.remarks if one.kind == "small_range"
    ]
    assert (load_class_images(folder, "train", page=1).images == 0).all()
    with pytest.raises(ValueError, match="bit_depth must be a whole number"):
        load_class_images(folder, "train", bit_depth=17)


def test_odd_ones_and_doubtful_masks_are_named(folder):
    save(folder / "train/good/2.png", (9, 9, 9), size=(9, 4), mode="RGB")
    soft = np.linspace(0, 255, 24).astype(np.uint8).reshape(4, 6)
    (folder / "ground_truth/train/cut").mkdir(parents=True)
    Image.fromarray(soft).save(folder / "ground_truth/train/cut/0_defect.png")
    remarks = load_class_images(folder, "train", image_size=8).remarks
    assert {one.kind: one.files for one in remarks} == {
        "mask_unclear": ("ground_truth/train/cut/0_defect.png",),
        "odd_size": ("train/good/2.png",),
        "odd_mode": ("train/good/2.png",),
    }


def test_images_in_two_splits_are_named(folder):
    save(folder / "test/good/5.png", 102)
    save(folder / "test/good/6.png", 7)
    parts = {split: load_class_images(folder, split) for split in ("train", "test")}
    (remark,) = split_remarks(folder, parts)
    assert (remark.kind, remark.files) == ("duplicate_train_test", ("test/good/5.png",))


def test_only_regular_files_of_the_data_set_are_read(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "0.png"
    save(outside)
    os.mkfifo(folder / "train/good/pipe\x1b.png")
    (folder / "train/good/out.png").symlink_to(outside)
    (folder / "ground_truth/train/cut").mkdir(parents=True)
    os.mkfifo(folder / "ground_truth/train/cut/0_tag.png")
    with pytest.raises(CategoryError) as caught:
        load_class_images(folder, "train")
    assert [problem.partition("; ")[0] for problem in caught.value.problems] == [
        "ground_truth/train/cut/0_tag.png: is a named pipe",
        "train/good/out.png: is a link out of the data set",
        "train/good/pipe\\x1b.png: is a named pipe",
    ]
