"""Arrays of images and maps that leave the memory once they are many: mapped from a file on disk.

Whoever uses one sees an ordinary array. The system reads and writes the pages of its file as they
are needed, and takes the memory back when others need it.
"""

import contextlib
import math
import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .files import check_space

# How many mebibytes of such arrays a process keeps in memory; 0 maps all of them.
LIMIT_VARIABLE = "ADHELPERS_ARRAYS_MIB"
_LIMIT = 1024
_MEBIBYTE = 2**20


class _Budget:
    """Bytes of arrays that are in memory now."""

    def __init__(self) -> None:
        # Arrays may end while another one is begun: the lock is taken twice by one thread.
        self._lock, self.used = threading.RLock(), 0

    def take(self, size: int) -> bool:
        """Whether ``size`` more bytes fit; if so they are taken."""
        with self._lock:
            fits = self.used + size <= _limit()
            self.used += size if fits else 0
        return fits

    def give_back(self, size: int) -> None:
        with self._lock:
            self.used -= size


_BUDGET = _Budget()


def _limit() -> float:
    """The bound in bytes."""
    text = os.environ.get(LIMIT_VARIABLE, str(_LIMIT))
    try:
        mebibytes = float(text)
    except ValueError:
        mebibytes = -1
    if not mebibytes >= 0:
        raise ValueError(f"{LIMIT_VARIABLE} must be a number of mebibytes from 0, not {text!r}")
    return mebibytes * _MEBIBYTE


def allocated(shape: Sequence[int], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """An array of zeros, in memory or, where there are too many already, mapped from a file.

    The arrays that this function has made and that are still in use take at most 1 GiB of memory
    (`LIMIT_VARIABLE` says another number of mebibytes). What does not fit lies in a file without a
    name in the user's cache, which ends with the array and with the process.

    Parameters
    ----------
    shape : sequence of int
    dtype : dtype

    Returns
    -------
    ndarray

    Raises
    ------
    OSError
        ENOSPC, where the disk has no room for the file.
    ValueError
        Where the variable holds no number.

    Examples
    --------
    >>> allocated((2, 3))
    array([[0., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if size and not _BUDGET.take(size):
        return np.frombuffer(_mapped(size), kind).reshape(shape)
    array = np.zeros(shape, kind)
    weakref.finalize(array, _BUDGET.give_back, size).atexit = False
    return array


def _mapped(size: int) -> mmap.mmap:
    """So many bytes of a file without a name, zero at first."""
    with _nameless(size) as file:
        if hasattr(os, "posix_fallocate"):
            # A page that finds no room later would end the process with a signal.
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return mmap.mmap(file.fileno(), size)


def _nameless(size: int) -> Any:
    # Not in the system's folder for temporary files, which is often held in memory.
    import platformdirs

    folder = Path(platformdirs.user_cache_dir("adhelpers"))
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            check_space(folder, size)
            return tempfile.TemporaryFile(dir=folder)
    check_space(tempfile.gettempdir(), size)
    return tempfile.TemporaryFile()


def is_mapped(array: NDArray[Any]) -> bool:
    """Whether an array's numbers lie in a file that is mapped into memory.

    Examples
    --------
    >>> is_mapped(np.zeros(3))
    False
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(getattr(base, "obj", base), mmap.mmap)


def concatenated(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """`numpy.concatenate` along the first axis, into a new array as `allocated` makes it.

    Examples
    --------
    >>> concatenated([np.float32([1]), np.float32([2, 3])])
    array([1., 2., 3.], dtype=float32)
    """
    count, first = sum(map(len, arrays)), arrays[0]
    whole, start = allocated((count, *first.shape[1:]), first.dtype), 0
    for array in arrays:
        whole[start : start + len(array)] = array
        start += len(array)
    return whole


def gathered(parts: Iterable[NDArray[Any]], count: int) -> NDArray[Any]:
    """Parts one after the other, of ``count`` rows in all, as `allocated` makes an array.

    No two parts need to be in memory at once. A part that is all of it is returned as it is.

    Raises
    ------
    ValueError
        Where the parts hold another number of rows.

    Examples
    --------
    >>> gathered((np.full(2, number) for number in range(2)), 4)
    array([0, 0, 1, 1])
    """
    whole, start = None, 0
    for part in parts:
        if whole is None:
            if len(part) == count:
                return part
            whole = allocated((count, *part.shape[1:]), part.dtype)
        whole[start : start + len(part)] = part
        start += len(part)
    if whole is None or start != count:
        raise ValueError(f"{start} rows are there instead of {count}")
    return whole
