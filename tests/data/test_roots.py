"""What a folder is: a category, one that holds categories, or neither."""

import pytest

from adhelpers.data import CategoryError, categories_in, check_listing, is_category, subfolders


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


WHOLE = (*(f"train/good/{i}.png" for i in range(3)), "test/good/0.png", "test/crack/0.png")


def test_a_category_is_known_by_its_parts(tmp_path):
    make(tmp_path / "whole", *WHOLE)
    make(tmp_path / "renamed", "train/ok/0.png")
    make(tmp_path / "tested", "test/good/0.png")
    make(tmp_path / "notes", "a.txt")
    make(tmp_path / ".git", *WHOLE)
    make(tmp_path / "split_csv", "1cls.csv")
    make(tmp_path / "__MACOSX", *WHOLE)
    make(tmp_path, "test")
    (tmp_path / "empty").mkdir()
    assert categories_in(tmp_path) == ["renamed", "tested", "whole"]
    assert subfolders(tmp_path) == ["empty", "notes", "renamed", "tested", "whole"]
    # A file of the name test is no part of a category.
    assert is_category(tmp_path / "whole") and not is_category(tmp_path)
    assert categories_in(tmp_path / "none") == [] and not is_category(tmp_path / "none")


def test_names_are_compared_in_one_form(tmp_path):
    make(tmp_path / "Mo\u0308bel", *WHOLE)
    assert categories_in(tmp_path) == ["M\u00f6bel"]
    check_listing(tmp_path, "M\u00f6bel")


def test_what_cannot_be_loaded_is_refused_without_reading_an_image(tmp_path):
    make(tmp_path / "whole", *WHOLE)
    check_listing(tmp_path, "whole")
    for name, left_out, problem in [
        ("two", WHOLE[1], "train/good holds 2 images; at least three are needed"),
        ("no_good", WHOLE[3], "test holds no good images"),
        ("no_bad", WHOLE[4], "test holds no anomalous images"),
    ]:
        make(tmp_path / name, *(file for file in WHOLE if file != left_out))
        with pytest.raises(CategoryError, match=problem):
            check_listing(tmp_path, name)
    make(tmp_path / "untested", *WHOLE[:3])
    with pytest.raises(FileNotFoundError, match="no folder .*untested/test"):
        check_listing(tmp_path, "untested")
    with pytest.raises(FileNotFoundError, match="did you mean 'whole'"):
        check_listing(tmp_path, "hwole")
