"""Images that a list names: where they are, and how they are called."""

from pathlib import Path

from adhelpers.data.layouts.lists import Row, entries_of, lists_in, placed, split_of
from adhelpers.data.shapes import Shapes


def make(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def row(path, masks=()):
    return Row("row 2", path, "train", "good", masks)


def test_words_for_splits():
    assert [split_of(word) for word in ("Train", " VALID ", "testing", "", "holdout")] == [
        "train", "validation", "test", "", None,
    ]  # fmt: skip


def test_paths_are_relative_to_the_list(tmp_path):
    assert placed("a/../b.png ", tmp_path) == tmp_path / "b.png"
    assert placed("/x/y.png", tmp_path) == Path("/x/y.png")
    make(tmp_path / "a\\b.png")
    assert placed("a\\b.png", tmp_path) == tmp_path / "a\\b.png"
    assert placed("c\\d.png", tmp_path) == tmp_path / "c" / "d.png"


def test_lists_are_found_by_their_ending(tmp_path):
    make(tmp_path / "b.CSV", tmp_path / "a.csv", tmp_path / ".c.csv", tmp_path / "d.json")
    (tmp_path / "e.csv").mkdir()
    assert [one.name for one in lists_in(tmp_path, ".csv")] == ["a.csv", "b.CSV"]
    assert lists_in(tmp_path / "d.json", ".json") == [tmp_path / "d.json"]
    assert lists_in(tmp_path / "d.json", ".csv") == lists_in(tmp_path / "none", ".csv") == []


def test_names_are_those_within_the_folder_that_holds_all(tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "images"
    make(home / "a/0.png", home / "1.png", elsewhere / "x/2.png", elsewhere / "y/3.png")
    problems = []
    own = entries_of([row(home / "a/0.png"), row(home / "1.png")], home, problems)
    assert [one.name for one in own] == ["a/0.png", "1.png"]
    assert own[0].within == (home, tmp_path)
    far = entries_of([row(elsewhere / "x/2.png"), row(elsewhere / "y/3.png")], home, problems)
    assert [one.name for one in far] == ["x/2.png", "y/3.png"] and far[0].within == ()
    # A folder that is given relative to the current one is the same.
    monkeypatch.chdir(tmp_path)
    again = entries_of([row(placed("a/0.png", Path("home")))], Path("home"), problems)
    assert [one.name for one in again] == ["a/0.png"] and problems == []


def test_shapes_are_no_files_and_missing_masks_are(tmp_path):
    one, other = tmp_path / "0.png", tmp_path / "1.png"
    make(one, other)
    problems = []
    rows = [row(one, (Shapes(()),)), row(other, (tmp_path / "m.png",))]
    assert [entry.path for entry in entries_of(rows, tmp_path, problems)] == [one]
    assert "1 listed file is not there (row 2:" in problems[0]
