"""A folder that stands for another one, with its layout."""

import pytest

from adhelpers.data import categories_in, check_category, load_category, suggested_size
from adhelpers.data.layouts import described_category, is_category
from adhelpers.data.layouts.described import NOTE, read_description


@pytest.fixture
def parts(tmp_path, fill):
    fill(tmp_path / "parts", *(f"ok/{index}.png" for index in range(5)), "nok/9.png")
    return tmp_path / "parts"


def test_a_described_category_is_one_for_everything(parts, tmp_path):
    options = {"good": "ok/*", "defect": ("nok/*",), "masks": None}
    folder = described_category(parts, "folders", cache=tmp_path / "cache", **options)
    assert folder.name == "parts" and is_category(folder)
    assert categories_in(folder.parent) == ["parts"]
    assert suggested_size(folder.parent, "parts", 32) == (32, 32)
    category = load_category(folder.parent, "parts", image_size=16)
    assert category.test.files.tolist() == [str(parts / "ok/2.png"), str(parts / "nok/9.png")]
    # The same description is the same folder, another one another.
    again = described_category(parts, "folders", cache=tmp_path / "cache", **options)
    other = described_category(
        parts, "folders", cache=tmp_path / "cache", **options | {"test_good": "ok/0.png"}
    )
    assert again == folder != other


def test_a_description_may_lie_beside_the_images(parts):
    (parts / NOTE).write_text("layout: folders\ngood: ok/*\ndefect:\n- nok/*\n")
    assert check_category(parts.parent, "parts").layout == "plain folders"
    assert check_category(parts.parent, "parts").remarks == ()
    (parts / NOTE).write_text("layout: folders\nfolder: nowhere\n")
    with pytest.raises(FileNotFoundError, match="there is no .*parts/nowhere"):
        read_description(parts)


@pytest.mark.parametrize(
    "text, problem",
    [
        ("good: ok/*", "must name the layout"),
        ("- layout", "must name the layout"),
        ("layout: [", "cannot be read"),
        ("layout: folder", "did you mean 'folders'"),
        ("layout: folders\ngod: ok/*", "has no option 'god'"),
    ],
)
def test_a_wrong_description_is_named(parts, text, problem):
    (parts / NOTE).write_text(text)
    with pytest.raises(ValueError, match=f"adhelpers.yaml.*{problem}"):
        load_category(parts.parent, "parts")


def test_what_is_not_there_or_has_no_such_layout_is_refused_at_once(parts, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder or file"):
        described_category(tmp_path / "none", "visa", cache=tmp_path)
    with pytest.raises(ValueError, match="layout must be one of mvtec, loco"):
        described_category(parts, "cifar", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
