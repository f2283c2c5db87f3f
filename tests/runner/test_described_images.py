"""Layouts that are given on the command line."""

import re

import pytest

from adhelpers.data import check_category
from adhelpers.runner import UsageError
from adhelpers.runner.described_images import described_images


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "adhelpers.data.layouts.described.platformdirs.user_cache_dir",
        lambda name: tmp_path / "cache",
    )


def test_a_folder_without_a_layout_stays_as_it_is(tmp_path):
    assert described_images(tmp_path, None, {"good": None}) == tmp_path
    assert described_images(tmp_path / "none.png", None, {}) == tmp_path / "none.png"
    assert described_images(None, None, {}) is None


def test_patterns_mean_plain_folders_and_a_file_its_list(tmp_path):
    from PIL import Image

    place = tmp_path / "parts"
    for seed, name in enumerate(("ok/0", "ok/1", "ok/2", "ok/3", "bad/4", "worse/5")):
        file = place / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 16), 100 + seed).save(file)
    found = described_images(place, None, {"good": ["ok/*"], "defect": ["bad/*", "worse/*"]})
    check = check_category(found.parent, found.name)
    assert (check.layout, check.inventory["images"].tolist()) == ("plain folders", [3, 1, 1, 1])
    file = place / "list.csv"
    rows = [*(f"ok/{index}.png,fein" for index in range(4)), "bad/4.png,cut"]
    file.write_text("\n".join(["path,label", *rows]))
    found = described_images(file, None, {"good": ["fein"]})
    check = check_category(found.parent, found.name)
    assert (found.name, check.layout) == ("list", "CSV list list.csv")
    assert check.inventory["type"].tolist() == ["good", "good", "cut"]


@pytest.mark.parametrize(
    "place, layout, given, text",
    [
        (None, "visa", {}, "--layout: give the images with --data"),
        (None, None, {"test_good": ["x"]}, "--test-good: give the images with --data"),
        (".", None, {"good": ["ok/*"]}, "--defect: plain folders need a pattern, such as --defect"),
        (".", "folders", {}, "--good: plain folders need a pattern, such as --good 'ok/*.png'"),
        (".", "vsia", {}, "did you mean 'visa'?"),
        (".", "visa", {"good": ["x"]}, "the layout 'visa' has no option 'good'"),
        ("none", "visa", {}, "there is no folder or file"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, place, layout, given, text):
    with pytest.raises(UsageError, match=re.escape(text)):
        described_images(None if place is None else tmp_path / place, layout, given)
