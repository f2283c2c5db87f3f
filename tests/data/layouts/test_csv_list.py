"""CSV lists: columns, labels, splits and paths as people write them."""

import shutil

import pytest

from adhelpers.data import CategoryError, check_category, load_category
from adhelpers.data.layouts import described_category


@pytest.fixture
def parts(tmp_path, fill, write, marked):
    """Six images of good parts and three of bad ones, two of which have masks."""
    place = tmp_path / "parts"
    fill(place, *(f"img/{index}.png" for index in range(6)))
    fill(place, *(f"img/b{index}.PNG" for index in range(3)), start=30)
    write(place / "gt/b0.png", marked((2, 4), (2, 5)))
    write(place / "gt/b0_more.png", marked((8, 9), (8, 9)))
    write(place / "gt/b1.png", marked((0, 1), (0, 2)))
    return place


def listed(place, *rows, header="path,label,split,mask", name="parts.csv"):
    (place / name).write_text("\n".join((header, *rows)) + "\n")
    return check_category(place.parent, place.name)


GOOD = [
    f"img/{index}.png,good,{split},"
    for index, split in enumerate(["train"] * 3 + ["val"] + ["test"] * 2)
]
BAD = [
    "img/b0.PNG,scratch,test,gt/b0.png;gt/b0_more.png",
    "img/b1.PNG,dent,Testing,gt/b1.png",
    "img/b2.PNG,dent,test,",
]


def test_splits_types_and_masks_are_those_of_the_list(parts):
    check = listed(parts, *GOOD, *BAD)
    assert (check.layout, check.problems) == ("CSV list parts.csv", [])
    category = load_category(parts.parent, "parts", image_size=(24, 32))
    assert [len(part) for part in (category.train, category.validation, category.test)] == [3, 1, 5]
    assert category.test.names.tolist() == [
        "img/b1.PNG", "img/b2.PNG", "img/4.png", "img/5.png", "img/b0.PNG",
    ]  # fmt: skip
    assert category.test.types.tolist() == ["dent", "dent", "good", "good", "scratch"]
    assert category.test.masks.sum(axis=(1, 2)).tolist() == [2, 0, 0, 0, 6 + 1]
    (remark,) = category.remarks
    assert (remark.kind, remark.files) == ("mask_missing", ("img/b2.PNG",))


def test_a_changed_label_or_split_changes_the_fingerprint(parts):
    found, tested = set(), set()
    for good in (GOOD, [GOOD[0].replace("train", "test"), *GOOD[1:]]):
        for bad in (BAD, [*BAD[:2], BAD[2].replace("dent", "hole")]):
            listed(parts, *good, *bad)
            category = load_category(parts.parent, "parts", image_size=16)
            found.add(category.fingerprint)
            tested.add(category.files["test"])
    # Runs on other labels of the same files are not to be compared.
    assert len(found) == len(tested) == 4


def test_without_a_split_every_fifth_good_image_is_tested(parts):
    listed(
        parts,
        *(f"img/{index}.png;0" for index in range(6)),
        *(f"img/b{index}.PNG;1" for index in range(3)),
        header="\ufeffFile_Name; Label",
    )
    category = load_category(parts.parent, "parts", image_size=16)
    good = category.test.names[category.test.labels == 0]
    assert good.tolist() == ["img/2.png"] and not category.has_masks
    assert category.test.types.tolist() == ["defect"] * 3 + ["good"]


def test_paths_may_be_absolute_or_lie_elsewhere(parts, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(parts / "img", elsewhere / "img")
    rows = [*GOOD, *BAD]
    rows = [f"{elsewhere}/{row}" if index % 2 else f"../elsewhere/{row}" for index, row in
            enumerate(rows)]  # fmt: skip
    assert listed(parts, *rows).problems == []
    category = load_category(parts.parent, "parts", image_size=16)
    # Named within the folder that holds them all.
    assert category.test.names.tolist()[:2] == ["b1.PNG", "b2.PNG"]
    assert category.test.files[0] == str(elsewhere / "img/b1.PNG")


def test_windows_separators_are_understood(parts):
    rows = [row.replace("img/", "img\\") for row in (*GOOD, *BAD)]
    assert listed(parts, *rows).problems == []


def test_files_that_are_not_there_are_one_problem(parts):
    gone = [row.replace("img/", "/data/line3/") for row in GOOD]
    problems = listed(parts, *gone, *BAD).problems
    assert problems[0] == (
        "6 listed files are not there (parts.csv row 2: /data/line3/0.png, parts.csv row 3: "
        "/data/line3/1.png, parts.csv row 4: /data/line3/2.png and 3 more); paths are relative to "
        f"{parts}"
    )
    (parts / "gt/b1.png").unlink()
    problems = listed(parts, *GOOD, *BAD).problems
    assert problems == [
        f"1 listed file is not there (parts.csv row 9: {parts}/gt/b1.png); paths are relative to "
        f"{parts}"
    ]


@pytest.mark.parametrize(
    "row, text",
    [
        ("img/b2.PNG,,test,", "row 10: has the label '', which says nothing; a label is 0 or good"),
        ("img/b2.PNG,unknown,test,", "row 10: has the label 'unknown'"),
        ("img/b2.PNG,dent,holdout,", "row 10: has the split 'holdout'; it is train, validation or"),
        ("img/b2.PNG,dent,,", "row 10: has the split ''"),
        (",dent,test,", "row 10: has no path"),
        ("img/0.png,dent,test,", "row 10: names 0.png again, as parts.csv row 2 does"),
    ],
)
def test_a_row_that_says_too_little_or_contradicts_is_named(parts, row, text):
    (problem,) = listed(parts, *GOOD, *BAD[:2], row).problems
    assert problem.startswith(f"parts.csv {text}")


def test_labels_that_nobody_knows_as_good_are_no_defects(parts):
    rows = [row.replace("good", "bon") for row in GOOD]
    problems = listed(parts, *rows, *BAD).problems
    assert problems[0].startswith("parts.csv: no label is good (bon, dent, scratch); a label is 0")
    folder = described_category(parts, "csv", good="bon", cache=parts / "cache")
    category = load_category(folder.parent, folder.name, image_size=16)
    assert len(category.train) == 3 and "bon" not in category.test.types


def test_defective_images_to_train_on_are_left_out(parts):
    check = listed(parts, *GOOD, *BAD[:2], "img/b2.PNG,dent,train,")
    kinds = {remark.kind: remark.files for remark in check.remarks}
    assert kinds == {"training_defects": ("img/b2.PNG",)}
    assert check.inventory["images"].sum() == 8


def test_the_file_itself_is_a_category_and_two_in_a_folder_are_not(parts):
    listed(parts, *GOOD, *BAD)
    category = load_category(parts, "parts.csv", image_size=16)
    assert len(category.test) == 5
    shutil.copy(parts / "parts.csv", parts / "other.csv")
    (parts / "notes.csv").write_text("name,price\na,3\n")
    with pytest.raises(CategoryError, match="other.csv and parts.csv both list images; give one"):
        load_category(parts.parent, "parts")
    assert load_category(parts, "parts.csv", image_size=16).fingerprint == category.fingerprint


def test_a_file_without_the_columns_is_named(parts):
    (parts / "list.csv").write_text("name,price\na,3\n")
    with pytest.raises(CategoryError, match="list.csv: has no column path .or image"):
        load_category(parts, "list.csv")
    (parts / "list.csv").write_bytes(b"\xff\xfe\x00path,label")
    with pytest.raises(CategoryError, match="list.csv: cannot be read as CSV"):
        load_category(parts, "list.csv")


def test_a_link_out_of_the_folder_is_not_followed(parts, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}_outside.png"
    shutil.move(parts / "img/b2.PNG", outside)
    (parts / "img/b2.PNG").symlink_to(outside)
    (problem,) = listed(parts, *GOOD, *BAD).problems
    outside.unlink()
    assert "img/b2.PNG: is a link out of the data set" in problem
