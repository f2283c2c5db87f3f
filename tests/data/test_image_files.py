import pytest

from adhelpers.data import find_images, watch_images


@pytest.fixture
def photos(tmp_path):
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "in/c.tif", "out/overlays/d.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"x")
    return tmp_path / "photos"


def names(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


def test_folders_are_searched_without_what_the_run_writes_itself(photos):
    found = names(find_images([photos], without=photos / "out"), photos)
    assert found == ["a.JPG", "b.png", "in/c.tif"]
    assert "out/overlays/d.jpg" in names(find_images([photos]), photos)


def test_patterns_and_files_that_look_like_one(photos, monkeypatch):
    monkeypatch.chdir(photos)
    assert [str(path) for path in find_images(["*.png", "**/*.tif"])] == ["b.png", "in/c.tif"]
    (photos / "[1].png").touch()
    assert names(find_images([photos / "[1].png"]), photos) == ["[1].png"]
    # What is named is taken, whatever its ending.
    assert names(find_images([photos / "notes.txt"]), photos) == ["notes.txt"]
    assert names(find_images([photos / "*.png"]), photos) == ["[1].png", "b.png"]


def test_nothing_found_is_one_clear_line(photos, tmp_path):
    (tmp_path / "empty").mkdir()
    for given, message in (
        (photos / "no.png", "there is no file or folder .*no.png$"),
        (photos / "*.bmp", r"no image fits the pattern .*\*\.bmp \(png, jpg"),
        (tmp_path / "empty", "empty holds no images"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            list(find_images([given]))


def test_a_file_that_is_still_written_waits_until_it_is_whole(tmp_path):
    looks = watch_images(tmp_path, tmp_path / "out", interval=0)
    assert next(looks) is None
    growing, whole = tmp_path / "growing.png", tmp_path / "whole.png"
    growing.write_bytes(b"1")
    whole.write_bytes(b"1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "overlay.jpg").write_bytes(b"1")
    assert next(looks) is None
    growing.write_bytes(b"12")
    assert next(looks) == whole
    assert next(looks) is None and next(looks) == growing
    assert next(looks) is None and next(looks) is None
    # Another content under the same name is another image.
    whole.write_bytes(b"123")
    assert next(looks) is None and next(looks) == whole
    growing.unlink()
    (tmp_path / "empty.png").touch()
    assert next(looks) is None and next(looks) is None and next(looks) is None


def test_only_a_folder_is_followed(photos):
    with pytest.raises(NotADirectoryError, match="follows one folder, and .*b.png is none"):
        next(watch_images(photos / "b.png"))
