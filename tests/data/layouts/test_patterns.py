"""Plain folders: what patterns find, and which mask belongs to which image."""

import pytest

from adhelpers.data import CategoryError, check_category, load_category
from adhelpers.data.layouts import described_category


@pytest.fixture
def described(tmp_path):
    """Function that describes a folder of plain folders."""

    def describe(**options):
        folder = described_category(
            tmp_path / "parts", "folders", cache=tmp_path / "cache", **options
        )
        return folder.parent, folder.name

    return describe


@pytest.fixture
def parts(tmp_path, fill, write, marked):
    """Good ones in i.O., bad ones in two folders of n.i.O., with masks that are named alike."""
    place = tmp_path / "parts"
    fill(place, *(f"i.O/{index}.png" for index in range(5)), "i.O/5.PNG")
    fill(place, "niO/kratzer/0.png", "niO/kratzer/1.JPG", "niO/delle/0.png", start=30)
    write(place / "maske/kratzer/0_truth.png", marked((2, 4), (2, 5)))
    write(place / "maske/kratzer/1_truth.png", marked((0, 1), (0, 2)))
    write(place / "maske/delle/0_truth.png", marked((7, 9), (7, 9)))
    return place


PATTERNS = {"good": "i.O/*", "defect": "niO/*/*.*", "masks": "maske/**/*_truth.png"}


def test_types_are_folders_and_masks_belong_by_name_and_folder(parts, described):
    place = described(**PATTERNS)
    check = check_category(*place)
    assert (check.layout, check.problems, check.remarks) == ("plain folders", [], ())
    category = load_category(*place, image_size=(24, 32))
    assert category.test.names.tolist() == [
        "niO/delle/0.png", "i.O/2.png", "niO/kratzer/0.png", "niO/kratzer/1.JPG",
    ]  # fmt: skip
    assert category.test.types.tolist() == ["delle", "good", "kratzer", "kratzer"]
    assert category.test.masks.sum(axis=(1, 2)).tolist() == [4, 0, 6, 2]
    assert len(category.train) + len(category.validation) == 5
    assert all(str(parts) in str(file) for file in category.test.files)


def test_endings_in_capitals_are_found_too(parts, described):
    place = described(**PATTERNS | {"good": "i.O/*.png", "defect": "niO/*/*.jpg", "masks": None})
    assert check_category(*place).inventory["images"].tolist() == [5, 1, 1]


def test_good_test_images_may_be_named(parts, described):
    place = described(**PATTERNS | {"test_good": ("i.O/0.*", "i.O/4.*")})
    category = load_category(*place, image_size=16)
    assert category.test.names[category.test.labels == 0].tolist() == ["i.O/0.png", "i.O/4.png"]
    assert len(category.train) + len(category.validation) == 4


def test_files_side_by_side(tmp_path, fill, write, marked, described):
    """One folder for all; what the masks' pattern finds is no image."""
    place = tmp_path / "parts"
    fill(place, *(f"OK_{index}.png" for index in range(4)), "NG_0.png", "NG_1.png")
    write(place / "NG_0_mask.png", marked((0, 3), (0, 3)))
    category = load_category(
        *described(good="OK_*.png", defect="NG_*.png", masks="*_mask.png"), image_size=(24, 32)
    )
    assert category.test.types.tolist() == ["defect", "defect", "good"]
    assert category.test.masks.sum(axis=(1, 2)).tolist() == [9, 0, 0]
    assert [one.kind for one in category.remarks] == ["mask_missing"]


def test_a_mask_that_belongs_nowhere_or_to_several_is_named(parts, write, marked, described):
    write(parts / "maske/0_truth.png", marked((0, 1), (0, 1)))
    write(parts / "maske/delle/7_truth.png", marked((0, 1), (0, 1)))
    write(parts / "maske/delle/0_truth.bmp", marked((0, 1), (0, 1)))
    place = described(**PATTERNS | {"masks": "maske/**/*_truth.*"})
    assert check_category(*place).problems == [
        "maske/0_truth.png: may belong to i.O/0.png, niO/delle/0.png, niO/kratzer/0.png; masks "
        "need folders named like their images'",
        "maske/delle/0_truth.png: is a second mask beside maske/delle/0_truth.bmp",
        "maske/delle/7_truth.png: is a mask without an image 7.*",
    ]


def test_patterns_that_overlap_or_find_nothing_are_named(parts, described):
    (problem,) = check_category(*described(good="i.O/*", defect=("niO/*/*", "i.O/0.png"))).problems
    assert problem == "the patterns good and defect both find i.O/0.png; make one of them narrower"
    problems = check_category(*described(good="ok/*.png", defect="niO/*/*")).problems
    assert problems[0] == "the pattern good 'ok/*.png' finds no image"
    assert any("at least three are needed" in problem for problem in problems)


def test_patterns_stay_within_their_folder(parts, described):
    for pattern in ("../*.png", str(parts / "*.png")):
        with pytest.raises(ValueError, match="must stay within the folder of the images"):
            load_category(*described(good=pattern, defect="niO/*/*"))
    with pytest.raises(ValueError, match="defect: the layout of plain folders needs a pattern"):
        load_category(*described(good="i.O/*"))


def test_hidden_folders_are_no_data(parts, fill, described):
    fill(parts, "niO/.cache/0.png", "niO/@eaDir/0.png", start=70)
    assert check_category(*described(**PATTERNS)).inventory["images"].sum() == 9


def test_a_mask_that_marks_a_good_image_is_refused(parts, write, marked, described):
    write(parts / "maske/i.O/1_truth.png", marked((0, 1), (0, 1)))
    with pytest.raises(CategoryError, match="marks a defect in an image of the type 'good'"):
        load_category(*described(**PATTERNS), image_size=16)
