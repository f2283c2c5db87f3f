"""What was written is read; any other file is none, and is not trusted with memory."""

import hashlib
import json
import os
import tracemalloc
import zlib

import numpy as np
import pytest

from adhelpers._shared.array_files import read_arrays, write_arrays

ARRAYS = {
    "heatmap": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.float16([1.5, np.inf]),
    "empty": np.zeros((0, 3), np.int64),
    "one": np.array(-2.5),
    "every second": np.arange(6, dtype=np.uint8)[::2],
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "words": np.array(["", "schräg"]),
    "flags": np.array([True, False]),
    "complex": np.array([1 + 2j]),
}


def forged(path, content, arrays, checksum=None, **fields):
    """A file with a checksum that holds, whatever its header says."""
    stated = {"arrays": arrays, "bytes": len(content), "compressed": False} | fields
    header = json.dumps(stated).encode() + b"\n"
    digest = hashlib.sha256(header + content).digest()
    path.write_bytes(b"adhelpers arrays 1\n" + (checksum or digest) + header + content)
    return path


@pytest.mark.parametrize("compress", [False, True])
def test_arrays_come_back_as_they_were(tmp_path, compress):
    write_arrays(tmp_path / "deep" / "a.arrays", ARRAYS, compress=compress)
    found = read_arrays(tmp_path / "deep" / "a.arrays")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].flags.writeable
    write_arrays(tmp_path / "deep" / "a.arrays", {})
    assert read_arrays(tmp_path / "deep" / "a.arrays") == {}


def test_compression_saves_space(tmp_path):
    for compress in (False, True):
        write_arrays(tmp_path / str(compress), {"zeros": np.zeros(10_000)}, compress=compress)
    sizes = [(tmp_path / str(compress)).stat().st_size for compress in (False, True)]
    assert sizes[0] > 80_000 > 2_000 > sizes[1]


@pytest.mark.parametrize("compress", [False, True])
def test_a_changed_lost_or_added_byte_anywhere_is_noticed(tmp_path, compress):
    path = tmp_path / "a.arrays"
    write_arrays(path, {"values": np.arange(4, dtype=np.int16)}, compress=compress)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for changed in (
            whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
            whole[:place],
            whole[:place] + whole[place + 1 :],
            whole[:place] + b" " + whole[place:],
        ):
            path.write_bytes(changed)
            assert changed == whole or read_arrays(path) is None
    path.write_bytes(whole)
    assert read_arrays(path)["values"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "arrays",
    [
        [["a", "|O", [1]]],
        [["a", "f4,f4", [1]]],
        [["a", "<M8[s]", [1]]],
        [["a", "<U0", [8]]],
        [["a", "no type", [2]]],
        [["a", "<f4", [-2]]],
        [["a", "<f4", [2.0]]],
        [["a", "<f4", [True, 2]]],
        [["a", "<f4", ["2"]]],
        [["a", "<f4", 2]],
        [["a", "<f4", [3]]],
        [["a", "<f4", [1]]],
        [["a", "<f4", [0, 10**30]], ["b", "<f4", [2]]],
        [["a", "<f4"]],
        [[["a"], "<f4", [2]]],
        {"a": 1},
        None,
    ],
    ids=str,
)
def test_a_header_that_says_something_else_is_no_file(tmp_path, arrays):
    path = forged(tmp_path / "a.arrays", np.float32([1, 2]).tobytes(), arrays)
    assert read_arrays(path) is None
    good = forged(tmp_path / "a.arrays", np.float32([1, 2]).tobytes(), [["a", "<f4", [2]]])
    assert read_arrays(good)["a"].tolist() == [1, 2]


@pytest.mark.parametrize("header", ["{}", "[]", "3", "no JSON", "[" * 60_000, "9" * 5_000, ""])
def test_a_header_of_another_form_is_no_file(tmp_path, header):
    line = header.encode() + b"\n"
    digest = hashlib.sha256(line).digest()
    (tmp_path / "a").write_bytes(b"adhelpers arrays 1\n" + digest + line)
    assert read_arrays(tmp_path / "a") is None


def test_no_more_memory_is_taken_than_the_file_has(tmp_path):
    """Headers that claim 64 GB, a bomb of zeros, and a file of 64 GB that holds nothing."""
    huge = [["a", "<f4", [2**34]]]
    bomb = zlib.compress(bytes(10**8), 9)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**36)
    files = [
        forged(tmp_path / "claims", b"", huge),
        forged(tmp_path / "claims both", b"", huge, bytes=2**36),
        forged(tmp_path / "claims packed", zlib.compress(b""), huge, compressed=True),
        forged(tmp_path / "bomb", bomb, [["a", "<f4", [2]]], compressed=True),
        tmp_path / "sparse",
    ]
    del bomb
    tracemalloc.start()
    try:
        assert [read_arrays(path) for path in files] == [None] * len(files)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_other_files_and_what_is_no_file(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    np.savez(tmp_path / "a.npz", heatmap=np.ones(3))
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nothing").write_bytes(b"")
    for path in [*tmp_path.iterdir(), tmp_path / "missing"]:
        assert read_arrays(path) is None


def test_objects_are_not_written(tmp_path):
    for array in (np.array([None]), np.array(["2020"], "M8[Y]"), np.zeros(1, "f4,f4")):
        with pytest.raises(TypeError, match="bad must hold numbers or text to be stored, not"):
            write_arrays(tmp_path / "a", {"bad": array})
    assert not (tmp_path / "a").exists()
