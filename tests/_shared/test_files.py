import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from adhelpers._shared import files
from adhelpers._shared.files import (
    check_space,
    error_sentence,
    replacing,
    replacing_folder,
    sha256,
    write_json,
    write_text,
)


@pytest.fixture(params=["exchange", "two steps"])
def way(request, monkeypatch):
    """Both ways in which a folder takes another one's place."""
    if request.param == "two steps":
        monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    return request.param


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(OSError, match="full"), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise OSError("full")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def full_disk(*arguments):
    # As h5py words it: the file is missing or buried, the reason too.
    raise OSError(*arguments)


@pytest.mark.parametrize("place", [replacing, replacing_folder])
def test_a_full_disk_is_told_with_the_file(tmp_path, place):
    with pytest.raises(OSError) as caught, place(tmp_path / "a"):
        full_disk(28, "Can't synchronously write data")
    assert str(caught.value) == f"[Errno 28] No space left on device: '{tmp_path / 'a'}'"
    with pytest.raises(OSError) as caught, place(tmp_path / "a"):
        full_disk("900 requested and 0 written")
    assert str(caught.value) == f"{tmp_path / 'a'}: 900 requested and 0 written"
    with pytest.raises(FileNotFoundError, match="another.png"), place(tmp_path / "a"):
        (tmp_path / "another.png").read_bytes()
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_name_keeps_the_suffix(tmp_path):
    with replacing(tmp_path / "b" / "x.weights.h5") as temporary:
        assert temporary.name.endswith(".weights.h5")
        temporary.write_bytes(b"1")
    assert (tmp_path / "b" / "x.weights.h5").read_bytes() == b"1"


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path, way):
    with replacing_folder(tmp_path / "f") as temporary:
        (temporary / "one").write_text("1")
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "f") as temporary:
        (temporary / "two").write_text("2")
        raise RuntimeError
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["one"]
    with replacing_folder(tmp_path / "f") as temporary:
        (temporary / "three").write_text("3")
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["three"]
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.skipif(sys.platform != "linux", reason="a system call of Linux")
def test_names_are_exchanged_in_one_step(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "was").write_text(name)
    assert files._exchanged(tmp_path / "a", tmp_path / "b")
    assert [(tmp_path / name / "was").read_text() for name in "ab"] == ["b", "a"]
    with pytest.raises(FileNotFoundError, match="none"):
        files._exchanged(tmp_path / "a", tmp_path / "none")


@pytest.mark.parametrize("library", ["old C library", "old kernel", "other file system", "filter"])
def test_where_names_cannot_be_exchanged_two_steps_do(tmp_path, monkeypatch, library):
    numbers = {"old kernel": errno.ENOSYS, "other file system": errno.EINVAL, "filter": errno.EPERM}
    without = SimpleNamespace()
    if library in numbers:
        without.renameat2 = lambda *_: -1
        monkeypatch.setattr(files.ctypes, "get_errno", lambda: numbers[library])
    monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: without)
    for content in ("old", "new"):
        with replacing_folder(tmp_path / "f") as temporary:
            (temporary / content).write_text("x")
    assert [path.name for path in tmp_path.rglob("*")] == ["f", "new"]


# The old folder has been moved away and the new one is not there yet.
KILLED_BETWEEN = """
import os, signal, sys
from pathlib import Path
from adhelpers._shared import files
files._exchanged = lambda one, other: False
rename, done = Path.rename, []
def kill(self, target):
    if done:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(rename(self, target))
Path.rename = kill
with files.replacing_folder(Path(sys.argv[1])) as temporary:
    (temporary / "new").write_text("new")
"""


def test_a_kill_between_both_steps_is_made_good_by_the_next_writer(tmp_path):
    with replacing_folder(tmp_path / "f") as temporary:
        (temporary / "old").write_text("old")
    command = [sys.executable, "-c", KILLED_BETWEEN, str(tmp_path / "f")]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert not (tmp_path / "f").exists()
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "f"):
        raise RuntimeError("the next one fails, so what it found has to stay")
    assert (tmp_path / "f" / "old").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_the_old_folder_is_put_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    with replacing_folder(tmp_path / "f") as temporary:
        (temporary / "old").write_text("old")
    rename = Path.rename

    def fail(self, target):
        if self.name.startswith(".partial"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self), None, str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError) as caught, replacing_folder(tmp_path / "f") as temporary:
        (temporary / "new").write_text("new")
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(tmp_path / "f"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["f", "old"]


def test_many_writers_at_once_end_with_one_whole_folder(tmp_path, way):
    problems = []

    def write(number):
        try:
            for turn in range(20):
                with replacing_folder(tmp_path / "f") as temporary:
                    for name in "abc":
                        (temporary / name).write_text(f"{number} {turn}")
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert {path.name for path in (tmp_path / "f").iterdir()} == set("abc")
    assert len({path.read_text() for path in (tmp_path / "f").iterdir()}) == 1
    files.sweep_folder(tmp_path)
    left = {path.name for path in tmp_path.iterdir()} - {"f"}
    # In two steps one cannot always know that what it moved away is not wanted back.
    assert all(name.startswith(".old-") for name in left) and (way == "two steps" or not left)


def test_a_link_to_a_folder_stays_a_link_and_a_file_stays(tmp_path):
    (tmp_path / "disk" / "f").mkdir(parents=True)
    (tmp_path / "f").symlink_to(tmp_path / "disk" / "f")
    with replacing_folder(tmp_path / "f") as temporary:
        (temporary / "new").write_text("new")
    assert (tmp_path / "f").is_symlink() and (tmp_path / "disk" / "f" / "new").is_file()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="file"), replacing_folder(tmp_path / "file"):
        raise AssertionError("nothing begins")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("place", [replacing, replacing_folder])
def test_errors_name_what_was_to_be_written_and_not_its_temporary_name(
    tmp_path, monkeypatch, place
):
    with pytest.raises(OSError) as caught, place(tmp_path / "a") as temporary:
        raise OSError(errno.ENOSPC, "full", str(temporary / "deep" / "x.png"))
    assert caught.value.filename == str(tmp_path / "a" / "deep" / "x.png")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError) as caught, place(tmp_path / "file" / "b"):
        raise AssertionError("nothing begins")
    assert caught.value.filename == str(tmp_path / "file" / "b")
    # What HDF5 says of a full disk has no number.
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(OSError) as caught, place(tmp_path / "a"):
        full_disk("900 requested and 0 written")
    assert error_sentence(caught.value) == f"{tmp_path / 'a'}: the disk is full"


def test_room_on_the_disk_is_asked_of_the_nearest_folder(tmp_path, monkeypatch):
    asked = []

    def usage(folder):
        asked.append(folder)
        return SimpleNamespace(free=3_000_000)

    monkeypatch.setattr(files.shutil, "disk_usage", usage)
    check_space(tmp_path / "a" / "b.h5", 2_900_000)
    with pytest.raises(OSError) as caught:
        check_space(tmp_path / "a" / "b.h5", 3_000_000)
    assert asked == [tmp_path] * 2 and caught.value.errno == errno.ENOSPC
    assert error_sentence(caught.value) == (
        f"{tmp_path / 'a' / 'b.h5'}: the disk is full (3.0 MB are needed and 3.0 MB are free)"
    )


def test_other_errors_are_told_as_they_are():
    read_only = OSError(errno.EROFS, os.strerror(errno.EROFS), "a/b")
    assert error_sentence(read_only) == "a/b: the file system is read-only"
    assert error_sentence(OSError("no lamp")) == "no lamp"
    assert error_sentence(FileNotFoundError(2, "No such file", "x")).endswith("'x'")


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert not list(tmp_path.iterdir())


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
