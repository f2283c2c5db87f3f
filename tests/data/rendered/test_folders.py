"""Folders of rendered images: notes, the cache, names of roots, what is refused."""

import json

import numpy as np
import platformdirs
import pytest
from PIL import Image

from adhelpers.data.rendered.folders import (
    check_whole_number,
    found_or_rendered,
    rendering,
    root_name,
    root_path,
    save_picture,
)


@pytest.mark.parametrize("value", [2, 3.0, True, "4", None])
def test_what_is_no_whole_number_of_enough_is_refused(value):
    with pytest.raises(ValueError, match="count must be a whole number of at least 3, not "):
        check_whole_number("count", value, 3)
    check_whole_number("count", np.int64(3), 3)


def test_a_note_holds_the_first_line_and_the_parameters(tmp_path):
    with rendering(tmp_path / "data", "First.", {"size": np.int64(3)}) as temporary:
        save_picture(temporary / "a" / "0.png", np.full((2, 3), 7, np.uint8))
        assert not (tmp_path / "data").exists()
    lines = (tmp_path / "data" / "readme.txt").read_text().split("\n", 3)
    assert lines[0] == "First." and json.loads(lines[3]) == {"size": 3}
    with Image.open(tmp_path / "data" / "a" / "0.png") as image:
        assert image.size == (3, 2)


@pytest.mark.parametrize("note", [None, "Second. Licence: MIT."])
def test_only_a_rendering_of_the_same_kind_is_replaced(tmp_path, note):
    (tmp_path / "mine.txt").write_text("keep")
    if note is not None:
        (tmp_path / "readme.txt").write_text(note)
    with pytest.raises(FileExistsError, match="was not rendered by adhelpers"):
        with rendering(tmp_path, "First.", {}):
            pass
    assert (tmp_path / "mine.txt").read_text() == "keep"
    (tmp_path / "readme.txt").write_text("First. Licence: MIT.")
    with rendering(tmp_path, "First.", {}):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["readme.txt"]


def test_a_rendering_is_found_by_what_tells_it_from_others(tmp_path):
    rendered = []

    def render(folder):
        rendered.append(folder)
        with rendering(folder / "things", "First.", {}):
            return folder / "things"

    roots = [found_or_rendered([1, size], "things", render, tmp_path) for size in (2, 3, 2)]
    assert len(rendered) == 2 and roots[0] == roots[2] != roots[1]
    assert [path.name for path in roots[0].iterdir()] == ["things"]


def test_a_root_is_named_for_any_machine_where_its_images_are_rendered(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    root = tmp_path / "adhelpers" / "rendered" / "0a1b"
    assert root_name(root) == "rendered/0a1b" and root_path("rendered/0a1b") == root
    assert root_name(root / "insulators") == "rendered/0a1b/insulators"
    elsewhere = root_path("rendered/0a1b", cache=tmp_path / "other")
    assert elsewhere == tmp_path / "other" / "rendered" / "0a1b"
    own = str(tmp_path / "images")
    assert root_name(own) == own and str(root_path(own)) == own
