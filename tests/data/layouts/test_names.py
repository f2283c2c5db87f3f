"""Names of files and folders."""

from pathlib import Path

import pytest

from adhelpers.data.layouts.names import (
    folders_in,
    is_document,
    is_image,
    is_like_good,
    like_good_in,
    one_form,
)


@pytest.mark.parametrize("name", ["ok", "OK", "Good", "normal", "defect-free", "No defects", "gut"])
def test_what_people_call_good(name):
    assert is_like_good(name)


@pytest.mark.parametrize("name", ["ko", "not good", "normal crack", "1", ""])
def test_what_is_not_good(name):
    assert not is_like_good(name)


def test_what_is_an_image_by_its_name():
    assert [is_image(Path(name)) for name in ("a.PNG", "a.tiff", "a.gif", "._a.png", "a")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_documents_and_folders(tmp_path):
    for name in ("b", "a", "OK", "good", ".git", "__MACOSX"):
        (tmp_path / name).mkdir()
    assert [one.name for one in folders_in(tmp_path)] == ["OK", "a", "b", "good"]
    assert folders_in(tmp_path / "none") == [] and like_good_in(tmp_path) == ["OK"]
    assert is_document(Path("LICENSE.txt")) and is_document(Path("adhelpers.yaml"))
    assert not is_document(Path("labels.csv"))


def test_one_form_is_composed_and_escaped():
    assert one_form("fla\u0308che\n") == "fl\u00e4che\\n"
