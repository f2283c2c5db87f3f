import hashlib

import pytest

from adhelpers._shared.files import replacing, replacing_folder, sha256, write_json, write_text


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


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
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


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert not list(tmp_path.iterdir())


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
