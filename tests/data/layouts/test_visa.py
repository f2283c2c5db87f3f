"""VisA: splits and types from CSV files, masks that number the kinds of defects."""

import shutil

import pytest

from adhelpers.data import CategoryError, check_category, load_category


def rows_of(*rows):
    return "\n".join(rows) + "\n"


@pytest.fixture
def visa(tmp_path, fill, write, marked):
    """Six normal images, of which four are trained on; three anomalous ones."""
    place = tmp_path / "candle"
    normal = [f"Data/Images/Normal/{index:04}.JPG" for index in range(6)]
    anomalous = [f"Data/Images/Anomaly/{index:03}.JPG" for index in range(3)]
    fill(place, *normal)
    fill(place, *anomalous, start=30)
    for index, mask in enumerate((marked((2, 4), (2, 5), 1), marked((5, 6), (7, 8), 3))):
        mask[10, 10] = 2
        write(place / f"Data/Masks/Anomaly/{index:03}.png", mask)
    write(place / "Data/Masks/Anomaly/002.png", marked((0, 2), (0, 2), 1))
    (tmp_path / "split_csv").mkdir()
    masks = [f"candle/Data/Masks/Anomaly/{index:03}.png" for index in range(3)]
    (tmp_path / "split_csv/1cls.csv").write_text(
        rows_of(
            "object,split,label,image,mask",
            *(f"candle,train,normal,candle/{name}," for name in normal[:4]),
            *(f"candle,test,normal,candle/{name}," for name in normal[4:]),
            *(
                f"candle,test,anomaly,candle/{name},{mask}"
                for name, mask in zip(anomalous, masks, strict=True)
            ),
            "capsules,train,normal,capsules/Data/Images/Normal/000.JPG,",
        )
    )
    labels = ("melded", '"wax missing,foreign particles"', "normal")
    (place / "image_anno.csv").write_text(
        rows_of(
            "image,label,mask",
            *(f"candle/{name},normal," for name in normal),
            *(
                f"candle/{name},{label},{mask}"
                for name, label, mask in zip(anomalous, labels, masks, strict=True)
            ),
        )
    )
    return tmp_path


def test_split_types_and_masks_are_the_published_ones(visa):
    category = load_category(visa, "candle", image_size=(24, 32))
    learned = [*category.train.names, *category.validation.names]
    assert sorted(learned) == [f"Data/Images/Normal/{index:04}.JPG" for index in range(4)]
    facts = dict(zip(category.test.names, category.test.types, strict=True))
    assert facts == {
        "Data/Images/Normal/0004.JPG": "good",
        "Data/Images/Normal/0005.JPG": "good",
        "Data/Images/Anomaly/000.JPG": "melded",
        "Data/Images/Anomaly/001.JPG": "foreign particles and wax missing",
        # Where its folder and the list differ, the folder wins.
        "Data/Images/Anomaly/002.JPG": "anomaly",
    }
    areas = dict(zip(category.test.names, category.test.masks.sum(axis=(1, 2)), strict=True))
    # Masks number the kinds; each but 0 is defect.
    assert areas["Data/Images/Anomaly/000.JPG"] == 2 * 3 + 1
    assert areas["Data/Images/Anomaly/001.JPG"] == 1 + 1
    check = check_category(visa, "candle")
    assert (check.layout, check.problems, check.remarks) == ("VisA", [], ())


def test_lists_without_the_category_in_front_are_read_too(visa):
    for file in (visa / "split_csv/1cls.csv", visa / "candle/image_anno.csv"):
        file.write_text(file.read_text().replace("candle/Data", "Data"))
    check = check_category(visa, "candle")
    assert check.problems == [] and "melded" in check.inventory["type"].tolist()


def test_without_the_split_every_fifth_normal_image_is_tested(visa):
    shutil.rmtree(visa / "split_csv")
    category = load_category(visa, "candle", image_size=16)
    good = category.test.names[category.test.labels == 0]
    assert good.tolist() == ["Data/Images/Normal/0002.JPG"]
    (remark,) = (one for one in category.remarks if one.kind == "split_missing")
    assert "not comparable with published ones" in str(remark)


def test_a_category_that_was_renamed_has_no_split(visa):
    (visa / "candle").rename(visa / "wax")
    kinds = {remark.kind: str(remark) for remark in check_category(visa, "wax").remarks}
    assert "does not name this category" in kinds["split_missing"]


def test_the_split_decides_what_a_changed_fingerprint_is(visa):
    before = load_category(visa, "candle", image_size=16).fingerprint
    file = visa / "split_csv/1cls.csv"
    text = file.read_text()
    swapped = text.replace(
        "candle,train,normal,candle/Data/Images/Normal/0000", "candle,test,x,x/a"
    )
    file.write_text(
        text.replace(
            "candle,train,normal,candle/Data/Images/Normal/0000",
            "candle,test,normal,candle/Data/Images/Normal/0000",
        )
    )
    assert load_category(visa, "candle", image_size=16).fingerprint != before
    file.write_text(swapped)
    with pytest.raises(CategoryError, match=r"split_csv/1cls.csv: names a.JPG, which is not there"):
        load_category(visa, "candle")


def test_files_that_no_list_or_image_names(visa, fill, write, marked):
    fill(visa / "candle", "Data/Images/Normal/0099.JPG", start=99)
    (visa / "candle/notes.md").touch()
    remarks = {one.kind: one.files for one in check_category(visa, "candle").remarks}
    # Two sentences of one kind: what the split leaves out, and what lies beside.
    assert remarks["file_unused"] == ("notes.md",)
    category = load_category(visa, "candle", image_size=16)
    files = [one.files for one in category.remarks if one.kind == "file_unused"]
    assert files == [("Data/Images/Normal/0099.JPG",), ("notes.md",)]
    write(visa / "candle/Data/Masks/Anomaly/077.png", marked((0, 1), (0, 1)))
    problems = check_category(visa, "candle").problems
    assert problems == [
        "Data/Masks/Anomaly/077.png: is a mask without an image in Data/Images/Anomaly"
    ]


def test_a_missing_mask_is_named_and_left_out_of_measures_of_pixels(visa):
    (visa / "candle/Data/Masks/Anomaly/000.png").unlink()
    category = load_category(visa, "candle", image_size=16)
    (remark,) = (one for one in category.remarks if one.kind == "mask_missing")
    assert remark.files == ("Data/Images/Anomaly/000.JPG",)
    unknown = category.test.names[~category.test.mask_known]
    assert unknown.tolist() == ["Data/Images/Anomaly/000.JPG"]


def test_a_wrong_list_or_folder_is_named(visa):
    (visa / "split_csv/1cls.csv").write_text("object;split\ncandle;train\n")
    problems = check_category(visa, "candle").problems
    assert problems[0] == "1cls.csv: has no columns object, split, image"
    shutil.rmtree(visa / "candle/Data/Images/Anomaly")
    with pytest.raises(FileNotFoundError, match="Anomaly: VisA has Data/Images/Normal"):
        load_category(visa, "candle")
