"""Which layout a folder has by its shape, and where that is unclear."""

import json

import numpy as np
import pytest

from adhelpers.data import CategoryError, categories_in, check_category, load_category
from adhelpers.data.layouts import described_category, is_category
from adhelpers.data.layouts.finding import layouts_of

MVTEC = (*(f"train/good/{index}.png" for index in range(3)), "test/good/a.png", "test/cut/b.png")
SHAPES = {
    "mvtec": MVTEC,
    "loco": ("train/good/0.png", "validation/good/1.png", "test/logical_anomalies/2.png"),
    "mvtec2": ("train/good/0.png", "validation/good/1.png", "test_public/bad/2.png"),
    "visa": ("Data/Images/Normal/0.JPG", "Data/Images/Anomaly/1.JPG"),
    "btad": ("train/ok/0.bmp", "test/ko/1.bmp"),
    "ksdd2": ("train/10000.png", "train/10000_GT.png", "test/1.png", "test/1_GT.png"),
}


def listing(place, name="list.csv"):
    place.mkdir(exist_ok=True)
    (place / name).write_text("image,label\n0.png,good\n")


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_fits_one_layout(tmp_path, fill, name):
    fill(tmp_path / "part", *SHAPES[name])
    assert [one.name for one in layouts_of(tmp_path / "part")] == [name]
    assert is_category(tmp_path / "part") and not is_category(tmp_path)
    assert categories_in(tmp_path) == ["part"]


@pytest.mark.parametrize("name", SHAPES)
def test_folders_are_meant_where_a_list_or_another_folder_lies_beside(tmp_path, fill, name):
    fill(tmp_path / "part", *SHAPES[name], "extra/7.png")
    listing(tmp_path / "part", "image_anno.csv")
    assert [one.name for one in layouts_of(tmp_path / "part")] == [name]


def test_two_shapes_in_one_folder_are_one_clear_error(tmp_path, fill):
    fill(tmp_path / "part", *MVTEC)
    fill(tmp_path / "part", *SHAPES["visa"], start=20)
    text = (
        r"part: has the shape of MVTec AD \(mvtec\) and VisA \(visa\); say which one is meant with "
        "--layout, or in its adhelpers.yaml"
    )
    with pytest.raises(CategoryError, match=text):
        check_category(tmp_path, "part")
    assert is_category(tmp_path / "part")
    folder = described_category(tmp_path / "part", "mvtec", cache=tmp_path / "cache")
    check = check_category(folder.parent, folder.name)
    assert (check.layout, check.problems) == ("MVTec AD", [])


def test_lists_of_both_kinds_are_unclear(tmp_path):
    place = tmp_path / "part"
    listing(place)
    (place / "list.json").write_text(
        json.dumps({"images": [], "annotations": [], "categories": []})
    )
    assert [one.name for one in layouts_of(place)] == ["csv", "coco"]
    (place / "list.json").write_text("{}")
    assert [one.name for one in layouts_of(place)] == ["csv"]


def test_a_list_beside_categories_is_not_of_images(tmp_path, fill):
    fill(tmp_path / "part", *MVTEC)
    listing(tmp_path, "results.csv")
    assert not is_category(tmp_path) and categories_in(tmp_path) == ["part"]


def test_kolektor_masks_make_no_category_of_mvtec(tmp_path, fill):
    """Folders of MVTec whose images are called like masks are still MVTec's."""
    fill(tmp_path / "part", *(name.replace(".png", "_GT.png") for name in MVTEC))
    assert [one.name for one in layouts_of(tmp_path / "part")] == ["mvtec"]


def test_what_has_no_shape_is_told_what_is_expected(tmp_path, fill):
    fill(tmp_path / "part", "a/0.png")
    assert layouts_of(tmp_path / "part") == [] and not is_category(tmp_path / "part")
    with pytest.raises(FileNotFoundError, match="train/good: expected <root>/<category>/train"):
        check_category(tmp_path, "part")
    fill(tmp_path / "shop", "OK/0.png", "Kratzer/1.png", "Delle/2.png", "notes/a/3.png", start=5)
    text = r"; or give patterns, such as --good 'OK/\*' --defect 'Delle/\*' --defect 'Kratzer/\*'"
    with pytest.raises(FileNotFoundError, match=text):
        check_category(tmp_path, "shop")
    for name in ("none.csv", "none"):
        with pytest.raises(FileNotFoundError, match=f"no category '{name}'.*there are: part, shop"):
            check_category(tmp_path, name)


def test_the_same_images_are_the_same_category_in_every_layout(root):
    """Files, images, types and masks of the fixture, read as MVTec's, by patterns and by lists."""
    place = root / "bar"
    rows = ["path,label,split,mask"]
    for file in sorted(place.glob("t*/*/*.png")):
        part, kind = file.parts[-3:-1]
        mask = place / f"ground_truth/{kind}/{file.stem}_mask.png"
        rows.append(f"{file},{kind},{part},{mask if mask.exists() else ''}")
    (root / "bar.csv").write_text("\n".join(rows))
    patterns = {"good": "train/good/*", "test_good": "test/good/*"}
    patterns |= {"defect": ("test/cut/*", "test/hole/*"), "masks": "ground_truth/**/*_mask.png"}
    described = described_category(place, "folders", cache=root / "cache", **patterns)
    first = load_category(root, "bar", image_size=16)
    for where, name in ((described.parent, "bar"), (root, "bar.csv")):
        other = load_category(where, name, image_size=16)
        for part in ("train", "validation", "test"):
            one, two = (getattr(category, part) for category in (first, other))
            order, same = np.argsort(one.files), np.argsort(two.files)
            for field in ("files", "images", "types", "labels", "masks", "original_shapes"):
                assert (getattr(one, field)[order] == getattr(two, field)[same]).all(), field
