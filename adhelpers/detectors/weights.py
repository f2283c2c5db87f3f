"""The learned numbers of a stored model: networks' weights, arrays, scikit-learn's estimators."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from adhelpers._shared.files import check_space

_Estimator = TypeVar("_Estimator", bound=BaseEstimator)


class _Memory(io.BytesIO):
    """A file in memory, with the end of the name that Keras insists on."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def save_weights(network: keras.Model, path: Path) -> None:
    """Write a network's weights, in HDF5.

    Through memory, because HDF5 ends the whole process with a segmentation fault where the disk is
    full; a plain file ends in an error.

    Parameters
    ----------
    network : keras.Model
    path : Path
        Ends in ``.weights.h5``.

    Raises
    ------
    OSError
        If the file cannot be written; where the disk has no room for it, before any of it is.
    """
    content = _Memory()
    network.save_weights(content)
    check_space(path, len(content.getbuffer()))
    path.write_bytes(content.getbuffer())


def load_weights(network: keras.Model, path: Path, name: str = "network") -> None:
    """Take a network's weights from a file.

    Parameters
    ----------
    network : keras.Model
    path : Path
        Ends in ``.weights.h5``.
    name : str
        What the network is called in an error.

    Raises
    ------
    ValueError
        If the file belongs to another architecture, or holds NaN or infinite values.
    """
    try:
        network.load_weights(path)
    # All that Keras and h5py raise where the file has other groups and shapes.
    except (ValueError, KeyError, OSError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path.name} does not fit the {name} that the manifest describes: "
            "it belongs to another architecture"
        ) from error
    _check_finite(path, [variable.value.numpy() for variable in network.variables])


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file by name; nothing is unpickled.

    Raises
    ------
    ValueError
        If one holds NaN or infinite values; a damaged file ends in errors of several kinds, which
        `Model.load` turns into one.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    _check_finite(path, list(arrays.values()))
    return arrays


def save_estimator(estimator: BaseEstimator, path: Path) -> None:
    """Write a fitted estimator for `load_estimator`."""
    # It imports all of scikit-learn, its tests among it: nearly a second, for those who store.
    import skops.io

    skops.io.dump(estimator, path)


def load_estimator(path: Path, kind: type[_Estimator], trusted: Sequence[str] = ()) -> _Estimator:
    """A fitted estimator that skops wrote, of a kind that is known before.

    skops refuses by itself every type that is neither on its own list of safe ones nor trusted.

    Raises
    ------
    ValueError
        If it is another object; a damaged file as with `load_arrays`.
    """
    import skops.io

    found = skops.io.load(path, trusted=list(trusted))
    if type(found) is not kind:
        raise ValueError(f"{path.name} holds a {type(found).__name__}, not a {kind.__name__}")
    return found


def _check_finite(path: Path, arrays: Sequence[NDArray[Any]]) -> None:
    for array in arrays:
        if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise ValueError(f"{path.name} holds NaN, infinite values or no numbers")
