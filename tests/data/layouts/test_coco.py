"""COCO files: what annotations mark, and how their images are found."""

import json
import shutil

import pytest

from adhelpers.data import CategoryError, check_category, load_category
from adhelpers.data.layouts import described_category


def coco(images, annotations, categories=("ok", "scratch", "dent"), size=(24, 32)):
    return {
        "images": [
            {"id": key, "file_name": name, "height": size[0], "width": size[1]}
            for key, name in enumerate(images, start=1)
        ],
        "annotations": [
            {"id": key, "image_id": image, "category_id": kind, **mark}
            for key, (image, kind, mark) in enumerate(annotations, start=1)
        ],
        "categories": [{"id": key, "name": name} for key, name in enumerate(categories)],
    }


POLYGON = {"segmentation": [[2, 2, 6, 2, 6, 6, 2, 6]], "bbox": [2, 2, 4, 4]}
BOX = {"bbox": [10, 3, 2, 3]}


@pytest.fixture
def parts(tmp_path, fill):
    """Six images without annotations of defects, and two with some."""
    place = tmp_path / "parts"
    fill(place / "images", *(f"{index}.png" for index in range(8)))
    content = coco(
        [f"{index}.png" for index in range(8)],
        [
            (1, 0, BOX),
            (7, 1, POLYGON),
            (8, 1, POLYGON),
            (8, 2, BOX),
            (8, 0, {"bbox": [0, 0, 9, 9]}),
        ],
    )
    (place / "labels.json").write_text(json.dumps(content))
    return place


def test_annotations_of_defects_are_the_mask(parts):
    check = check_category(parts.parent, "parts")
    assert (check.layout, check.problems) == ("COCO labels.json", [])
    category = load_category(parts.parent, "parts", image_size=(24, 32))
    assert category.test.names.tolist() == ["images/7.png", "images/2.png", "images/6.png"]
    assert category.test.types.tolist() == ["dent and scratch", "good", "scratch"]
    assert category.test.masks.sum(axis=(1, 2)).tolist() == [16 + 6, 0, 16]
    assert len(category.train) + len(category.validation) == 5
    (remark,) = category.remarks
    assert remark.kind == "mask_boxes" and str(remark).startswith("1 of 3 defects are marked by")


def test_a_changed_annotation_changes_the_fingerprint(parts):
    before = load_category(parts.parent, "parts", image_size=16).fingerprint
    content = json.loads((parts / "labels.json").read_text())
    content["annotations"][1]["segmentation"][0][0] = 1
    (parts / "labels.json").write_text(json.dumps(content))
    assert load_category(parts.parent, "parts", image_size=16).fingerprint != before


@pytest.mark.parametrize(
    "part, change, text",
    [
        ("annotations", {"category_id": 9}, "has the category 9, which the file does not name"),
        ("annotations", {"image_id": 99}, "is of image 99, which the file does not name"),
        ("annotations", {"bbox": None, "segmentation": []}, "a mark needs a segmentation"),
        ("images", {"width": 640}, "24x640 pixels .height x width., its file has 24x32"),
        ("images", {"file_name": "lost.png"}, "1 listed file is not there"),
        ("images", {"file_name": "0.png"}, "names 0.png again"),
        ("images", {"file_name": None}, "image 7 has no file_name"),
    ],
)
def test_what_does_not_fit_is_named(parts, part, change, text):
    content = json.loads((parts / "labels.json").read_text())
    content[part][6 if part == "images" else 1] |= change
    (parts / "labels.json").write_text(json.dumps(content))
    with pytest.raises(CategoryError, match=text):
        load_category(parts.parent, "parts", image_size=16)


def test_a_category_of_good_objects_may_have_any_name(parts):
    content = coco(
        [f"{index}.png" for index in range(8)], [(1, 0, BOX), (7, 1, BOX)], ("sauber", "x")
    )
    (parts / "labels.json").write_text(json.dumps(content))
    folder = described_category(parts, "coco", good="sauber", cache=parts / "cache")
    category = load_category(folder.parent, folder.name, image_size=16)
    assert category.test.types.tolist() == ["good", "x"]


def test_folders_of_splits_are_one_category(tmp_path, fill):
    """As Roboflow exports them; a defective training image is left out."""
    place, start = tmp_path / "export", 0
    marked = {"train": [(4, 1, BOX)], "valid": [], "test": [(2, 2, POLYGON)]}
    for (split, marks), count in zip(marked.items(), (4, 1, 3), strict=True):
        files = [f"{index}.jpg" for index in range(count)]
        fill(place / split, *files, start=start)
        (place / split / "_annotations.coco.json").write_text(json.dumps(coco(files, marks)))
        start += 10
    check = check_category(tmp_path, "export")
    assert (check.layout, check.problems) == ("COCO _annotations.coco.json", [])
    category = load_category(tmp_path, "export", image_size=(24, 32))
    assert [len(one) for one in (category.train, category.validation, category.test)] == [3, 1, 3]
    assert category.test.names.tolist() == ["test/1.jpg", "test/0.jpg", "test/2.jpg"]
    assert {one.kind for one in category.remarks} >= {"training_defects"}


def test_two_files_and_files_of_another_form(parts):
    shutil.copy(parts / "labels.json", parts / "more.json")
    with pytest.raises(CategoryError, match="labels.json and more.json both list images"):
        load_category(parts.parent, "parts")
    (parts / "more.json").write_text('{"images": []}')
    (parts / "broken.json").write_text("{")
    (parts / "list.json").write_text('{"images": [1], "annotations": [], "categories": []}')
    assert check_category(parts.parent, "parts").problems == []
    with pytest.raises(
        CategoryError, match="holds no COCO file: a JSON file with the lists images"
    ):
        load_category(parts, "more.json")
