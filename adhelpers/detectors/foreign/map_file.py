"""Reads one anomaly map from a file, whatever program has written it."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.arrays import Maps
from adhelpers.data import decode_values, read_file

MAP_SUFFIXES = (".tiff", ".tif", ".npy", ".npz", ".png")
# As for images: more pixels are no map of an image.
_MOST_BYTES = 8 * 89_478_485
_LONGEST_TEXT = 200
_NAMES = ("anomaly_map", "map", "amap", "heatmap", "arr_0")


def read_map(path: Path) -> Maps:
    """The anomaly map in a file: TIFF, NumPy's formats, or PNG with 8 or 16 bits.

    Parameters
    ----------
    path : Path

    Returns
    -------
    ndarray of float32, shape (h, w)
        Values as they stand in the file, those of a PNG or of whole numbers in a TIFF as shares of
        the largest value that fits.

    Raises
    ------
    ValueError
        If it is no map, damaged, or holds NaN; without the path.
    OSError
        If it cannot be read.
    """
    data = read_file(path)
    if path.suffix.lower() in (".npy", ".npz"):
        values = _numbers(data) if path.suffix.lower() == ".npy" else _from_archive(data)
    else:
        values = _shares(_grey(decode_values(data)))
    if values.dtype.kind not in "fiub":
        raise ValueError(f"holds values of the type {values.dtype}, not real numbers")
    shape = tuple(side for side in values.shape if side != 1)
    if len(shape) != 2:
        raise ValueError(f"has the shape {values.shape}; a map has a height and a width")
    with np.errstate(over="ignore"):
        numbers = values.reshape(shape).astype(np.float32)
    wrong = np.count_nonzero(~np.isfinite(numbers))
    if wrong:
        raise ValueError(f"holds {wrong} values that are NaN, infinite or too large")
    return numbers


def _grey(values: NDArray[Any]) -> NDArray[Any]:
    """The one band of a file; a grey picture may be stored with three and with alpha."""
    bands = values.shape[-1]
    if bands == 1:
        return values[..., 0]
    if bands in (2, 4):
        values = values[..., :-1]
    if (values == values[..., :1]).all():
        return values[..., 0]
    raise ValueError("is a picture in colours, not a map: save the map's own values")


def _shares(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return values / np.float32(np.iinfo(values.dtype).max)
    return values


def _numbers(data: bytes) -> NDArray[Any]:
    with _damaged(".npy"):
        file = io.BytesIO(data)
        version = np.lib.format.read_magic(file)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = header(file)
        left = len(data) - file.tell()
        # Before there is room for it: a header may promise more than the file has.
        if dtype.hasobject or int(np.prod(shape, dtype=object)) * dtype.itemsize != left:
            raise ValueError("does not hold the numbers that its header says")
        return np.load(io.BytesIO(data), allow_pickle=False)


def _from_archive(data: bytes) -> NDArray[Any]:
    with _damaged(".npz"):
        archive = zipfile.ZipFile(io.BytesIO(data))
    inside = [one for one in archive.infolist() if one.filename.endswith(".npy")]
    chosen = _chosen([one.filename.removesuffix(".npy") for one in inside])
    if sum(one.file_size for one in inside) > _MOST_BYTES:
        raise ValueError("holds more numbers than a map can have")
    with _damaged(".npz"):
        content = archive.read(f"{chosen}.npy")
    return _numbers(content)


@contextmanager
def _damaged(suffix: str) -> Iterator[None]:
    """Damaged bytes meet with exceptions of any kind: zlib.error, TokenError, KeyError, ..."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())[:_LONGEST_TEXT] or type(error).__name__
        raise ValueError(f"cannot be read as {suffix} ({text})") from error


def _chosen(names: list[str]) -> str:
    known = [name for name in names if name in _NAMES]
    if len(names) == 1 or len(known) == 1:
        return names[0] if len(names) == 1 else known[0]
    raise ValueError(
        f"holds the arrays {', '.join(names) or '(none)'}: one is needed, or one called anomaly_map"
    )
