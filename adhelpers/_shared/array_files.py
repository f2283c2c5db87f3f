"""Arrays in a file with a checksum: read back as they were written, or not at all."""

import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .files import replacing

# Raised when the form of the file changes: earlier ones are then not read.
_MAGIC = b"adhelpers arrays 1\n"
_CHECKSUM = hashlib.sha256().digest_size
_LONGEST_HEADER = 2**16
_LARGEST = 2**30
# Truth values, numbers and text; never objects, which would have to be unpickled.
KINDS = "biufcSU"


def write_arrays(
    path: str | Path, arrays: Mapping[str, NDArray[Any]], *, compress: bool = False
) -> None:
    """Write arrays by name, at once or not at all.

    Parameters
    ----------
    path : str or Path
    arrays : dict of str to ndarray
        Of truth values, numbers or text.
    compress : bool

    Raises
    ------
    TypeError
        For an array of anything else.
    OSError
        If the file cannot be written; it is named.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "some.arrays"
    >>> write_arrays(file, {"squares": np.arange(4) ** 2})
    >>> read_arrays(file)
    {'squares': array([0, 1, 4, 9])}
    """
    described = []
    for name, array in arrays.items():
        if array.dtype.kind not in KINDS:
            raise TypeError(f"{name} must hold numbers or text to be stored, not {array.dtype}")
        described.append([name, array.dtype.str, list(array.shape)])
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
    stored = zlib.compress(content, level=1) if compress else content
    fields = {"arrays": described, "bytes": len(stored), "compressed": compress}
    header = json.dumps(fields).encode() + b"\n"
    with replacing(path) as temporary, temporary.open("wb") as file:
        for part in (_MAGIC, _checksum(header, stored), header, stored):
            file.write(part)


def read_arrays(path: str | Path) -> dict[str, NDArray[Any]] | None:
    """The arrays that `write_arrays` wrote.

    No more is read, and no more memory taken, than the size of the file on disk allows for.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to ndarray, or None
        None where there is no file, where it is damaged or of another form, and where it or what it
        holds is larger than 1 GiB.

    Raises
    ------
    OSError
        If the file is there and cannot be read.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size > _LARGEST:
        return None
    with path.open("rb") as file:
        try:
            return _read(file, path.stat().st_size)
        # Whatever it is that holds something else, it is not what was written.
        except (ValueError, TypeError, KeyError, RecursionError, zlib.error):
            return None


def _read(file: BinaryIO, size: int) -> dict[str, NDArray[Any]]:
    """The arrays of an open file of this size; an error where something is wrong with it."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("another form")
    checksum, header = file.read(_CHECKSUM), file.readline(_LONGEST_HEADER)
    fields = json.loads(header)
    forms = [(name, np.dtype(kind), tuple(shape)) for name, kind, shape in fields["arrays"]]
    sizes = [_size(kind, shape) for _, kind, shape in forms]
    if file.tell() + fields["bytes"] != size or sum(sizes) > _LARGEST:
        raise ValueError("another size")
    content = file.read(fields["bytes"])
    if _checksum(header, content) != checksum:
        raise ValueError("changed")
    if fields["compressed"]:
        content = zlib.decompressobj().decompress(content, sum(sizes) + 1)
    if len(content) != sum(sizes):
        raise ValueError("another size")
    arrays, start = {}, 0
    for (name, kind, shape), length in zip(forms, sizes, strict=True):
        arrays[name] = np.ndarray(shape, kind, content, start).copy()
        start += length
    return arrays


def _size(kind: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Bytes of an array."""
    if kind.kind not in KINDS or kind.itemsize == 0:
        raise ValueError("neither numbers nor text")
    if any(type(length) is not int or not 0 <= length <= _LARGEST for length in shape):
        raise ValueError("no shape")
    return kind.itemsize * math.prod(shape)


def _checksum(header: bytes, content: bytes) -> bytes:
    digest = hashlib.sha256(header)
    digest.update(content)
    return digest.digest()
