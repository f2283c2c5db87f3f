"""What a rerun replaces in its folder, and what stays."""

import json
import os
import sys

import pytest

from adhelpers.runner import own_files
from adhelpers.runner.own_files import keep_foreign_files, list_files


def fill(folder, *names, content="run"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


RUN = ("01_x.ipynb", "report.html", "summary.json", "summary_cae.json", "figures/roc.png")


@pytest.fixture
def old(tmp_path):
    """A run's folder with its list, and a person's notes in it."""
    fill(tmp_path / "old", *RUN, "figures/gone.png", "model/weights.h5")
    list_files(tmp_path / "old")
    fill(tmp_path / "old", "01_x.failed.ipynb", content="the run's too")
    fill(tmp_path / "old", "notes.md", "figures/mine.png", "deep/er/a.txt", content="mine")
    return tmp_path / "old"


@pytest.fixture
def new(tmp_path):
    fill(tmp_path / "new", *RUN, content="new")
    list_files(tmp_path / "new")
    return tmp_path / "new"


def test_the_list_is_complete_and_names_no_other_file(old):
    listed = json.loads((old / "files.json").read_text())["files"]
    assert listed == sorted([*RUN, "figures/gone.png", "model/weights.h5"])


@pytest.mark.parametrize("linked", [True, False])
def test_only_what_the_run_wrote_is_replaced(old, new, monkeypatch, linked):
    if not linked:

        def refuse(*_, **__):
            raise PermissionError

        monkeypatch.setattr(own_files.os, "link", refuse)
    before = contents(old)
    assert keep_foreign_files(old, new, "01_x") == []
    mine = {"notes.md": "mine", "figures/mine.png": "mine", "deep/er/a.txt": "mine"}
    lists = {"files.json": (new / "files.json").read_text()}
    assert contents(new) == dict.fromkeys(RUN, "new") | mine | lists
    assert contents(old) == before


def test_a_file_whose_name_the_run_needs_goes_to_kept_every_time(old, new, tmp_path):
    fill(new, "notes.md", "deep", content="new")
    (old / "deep" / "er" / "a.txt").unlink()
    fill(old, "kept/notes.md", content="kept earlier")
    fill(old, "deep/a.txt", content="mine")
    moved = keep_foreign_files(old, new, "01_x")
    assert sorted(moved) == ["deep/a.txt", "deep/er", "kept/notes.md", "notes.md"]
    got = contents(new)
    assert got["notes.md"] == got["deep"] == "new" and got["kept/deep/a.txt"] == "mine"
    assert {got["kept/notes.md"], got["kept/kept/notes.md"]} == {"mine", "kept earlier"}


@pytest.mark.parametrize("content", [None, "{", "[]", '{"files": 3}', '{"other": []}'])
def test_without_a_list_only_the_usual_files_and_the_same_names_are_the_run_s(old, new, content):
    (old / "files.json").unlink()
    if content is not None:
        (old / "files.json").write_text(content)
    fill(old, "summary_anogan.json", "gallery.html", "samples.csv")
    assert keep_foreign_files(old, new, "01_x") == []
    stays = {"notes.md", "figures/mine.png", "deep/er/a.txt", "figures/gone.png"}
    assert set(contents(new)) == {*RUN, "files.json", "model/weights.h5"} | stays
    assert contents(new)["figures/roc.png"] == "new"


def test_links_stay_links_and_empty_folders_stay(old, new, tmp_path):
    fill(tmp_path / "elsewhere", "a.txt")
    (old / "link").symlink_to(tmp_path / "elsewhere")
    (old / "figures" / "broken").symlink_to("nowhere")
    (old / "later").mkdir()
    keep_foreign_files(old, new, "01_x")
    assert (new / "link").readlink() == tmp_path / "elsewhere"
    assert (new / "figures" / "broken").readlink().name == "nowhere"
    assert (new / "later").is_dir() and not (new / "model").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_names_that_are_not_utf_8_are_listed_and_kept(old, new):
    (new / os.fsdecode(b"run\xff.png")).write_text("new")
    list_files(new)
    (old / os.fsdecode(b"mine\xff.txt")).write_text("mine")
    keep_foreign_files(old, new, "01_x")
    assert (new / os.fsdecode(b"mine\xff.txt")).read_text() == "mine"
    assert os.fsdecode(b"run\xff.png") in json.loads((new / "files.json").read_text())["files"]


def test_a_first_run_has_nothing_to_keep(tmp_path, new):
    assert keep_foreign_files(tmp_path / "none", new, "01_x") == []
