"""Arrays within the bound and beyond it: equal numbers, another place."""

import errno
import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adhelpers._shared.large_arrays import (
    LIMIT_VARIABLE,
    allocated,
    concatenated,
    gathered,
    is_mapped,
)


@pytest.fixture
def limit(monkeypatch, tmp_path):
    """A function that sets the bound to what is in memory already and so many mebibytes more."""
    gc.collect()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def set_to(mebibytes):
        from adhelpers._shared.large_arrays import _BUDGET

        monkeypatch.setenv(LIMIT_VARIABLE, str(_BUDGET.used / 2**20 + mebibytes))

    return set_to


def test_what_does_not_fit_is_mapped_and_behaves_like_any_array(limit):
    limit(0.01)
    small, large = allocated((4, 5), bool), allocated((3, 40, 30))
    assert not is_mapped(small) and is_mapped(large) and is_mapped(large[1:, :2])
    assert type(large) is np.ndarray and large.dtype == np.float32 and not large.any()
    large[1] = 0.25
    part = large[1:]
    del large
    gc.collect()
    assert part[0].mean() == 0.25 and part.flags.writeable and part.flags.c_contiguous


def test_memory_is_given_back_when_the_last_view_goes(limit):
    limit(1)
    first = allocated((200_000,))
    view = first[10:]
    del first
    gc.collect()
    assert is_mapped(allocated((200_000,)))
    del view
    gc.collect()
    assert not is_mapped(allocated((200_000,)))


def test_arrays_without_elements_are_never_mapped(limit):
    limit(0)
    assert allocated((0, 7)).shape == (0, 7) and not is_mapped(allocated((3, 0)))


def test_no_file_is_left(limit, tmp_path):
    limit(0)
    array = allocated((1000,))
    assert is_mapped(array) and not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_mapped_arrays_are_no_private_memory(tmp_path):
    child = (
        "from adhelpers._shared.large_arrays import allocated\n"
        "def private():\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('RssAnon'))\n"
        "before = private()\n"
        "array = allocated((64, 2**18)); array[:] = 1\n"
        "print(private() - before, int(array.sum(dtype='i8')))\n"
    )

    def grown(mebibytes):
        run = subprocess.run(
            [sys.executable, "-c", child],
            env=os.environ | {LIMIT_VARIABLE: mebibytes, "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        kibibytes, total = map(int, run.stdout.split())
        assert total == 2**24
        return kibibytes / 1024

    assert grown("0") < 8 and grown("65") > 60


@pytest.mark.parametrize("mebibytes", [0, 1])
def test_parts_are_put_together_as_numpy_does(limit, mebibytes):
    limit(mebibytes)
    parts = list(np.split(np.random.default_rng(0).random((9, 4, 3), np.float32), [2, 3]))
    whole = concatenated(parts)
    assert is_mapped(whole) == (mebibytes == 0)
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    only = parts[0]
    assert gathered(iter([only]), 2) is only
    assert is_mapped(gathered(iter(parts), 9)) == (mebibytes == 0)
    np.testing.assert_array_equal(gathered(iter(parts), 9), whole)
    # What is put together may be changed without a change of what it comes from.
    assert not np.shares_memory(concatenated([only]), only)


@pytest.mark.parametrize("count", [0, 3, 5])
def test_another_number_of_rows_is_an_error(count):
    with pytest.raises(ValueError, match=f"4 rows are there instead of {count}|broadcast"):
        gathered(iter([np.zeros((2, 1)), np.zeros((2, 1))]), count)
    with pytest.raises(ValueError, match="0 rows"):
        gathered(iter([]), 1)


def test_a_full_disk_is_said_before_anything_is_written(limit, monkeypatch):
    limit(0)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type(usage)(usage.total, usage.total, 0))
    with pytest.raises(OSError, match="MB are free") as found:
        allocated((1000,))
    assert found.value.errno == errno.ENOSPC


def test_a_folder_that_may_not_be_written_is_replaced(limit, monkeypatch, tmp_path):
    limit(0)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert is_mapped(allocated((1000,)))


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_bound_that_is_no_number_is_named(monkeypatch, text):
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    with pytest.raises(ValueError, match=f"{LIMIT_VARIABLE} must be .* not '{text}'"):
        allocated((2,))
