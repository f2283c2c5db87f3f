"""What dead processes left is removed or put back; what living ones own stays."""

import os
import subprocess
import sys

import pytest

from adhelpers._shared import leftovers
from adhelpers._shared.leftovers import (
    OLD,
    PARTIAL,
    SCRATCH,
    owned_prefix,
    sweep_folder,
    sweep_tree,
)


@pytest.fixture(scope="module")
def dead():
    """The number of a process that has gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def named(dead):
    """A temporary name of the dead process, or of this one."""

    def name(kind, owner=dead, end="abcd_123"):
        return owned_prefix(kind).replace(f"-{os.getpid()}-", f"-{owner}-") + end

    return name


def test_only_what_a_dead_process_of_this_machine_left_is_removed(tmp_path, named, monkeypatch):
    gone = [named(PARTIAL), named(PARTIAL, end="abcd_123.weights.h5")]
    stay = [
        named(PARTIAL, owner=os.getpid()),
        named(OLD, owner=os.getpid()),
        named(SCRATCH),
        ".partial-notes.txt",
        ".partial-abcd_123",
        named(PARTIAL) + "x",
        "notes.txt",
    ]
    for name in gone + stay:
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(leftovers, "_HOST", "another")
    sweep_folder(tmp_path)
    assert len(list(tmp_path.iterdir())) == len(gone + stay)
    monkeypatch.undo()
    sweep_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)
    sweep_folder(tmp_path, (SCRATCH,))
    assert not (tmp_path / named(SCRATCH)).exists()


def test_what_was_moved_away_comes_back_unless_its_place_is_taken(tmp_path, named):
    for name, content in (("lost", "old"), ("taken", "old")):
        folder = tmp_path / "deep" / named(OLD, end=f"{name:_<8}") / name
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text(content)
    (tmp_path / "deep" / "taken").mkdir()
    (tmp_path / "deep" / "taken" / "a.txt").write_text("new")
    (tmp_path / "deep" / named(PARTIAL) / "half").mkdir(parents=True)
    sweep_tree(tmp_path)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["lost", "taken"]
    assert (tmp_path / "deep" / "lost" / "a.txt").read_text() == "old"
    assert (tmp_path / "deep" / "taken" / "a.txt").read_text() == "new"


def test_what_cannot_be_put_back_is_not_deleted(tmp_path, named, monkeypatch):
    kept = tmp_path / named(OLD) / "f" / "a.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("old")

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    sweep_folder(tmp_path)
    assert kept.read_text() == "old"


def test_links_are_removed_and_not_followed(tmp_path, named):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("x")
    (tmp_path / named(PARTIAL)).symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / named(PARTIAL)).symlink_to(tmp_path / "mine" / "a.txt")
    sweep_tree(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["a.txt"]


def test_a_folder_that_is_not_there_is_swept_too(tmp_path):
    sweep_folder(tmp_path / "none")
    sweep_tree(tmp_path / "none")
