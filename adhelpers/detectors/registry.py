"""The kinds of detectors by name, for manifests that name them."""

from pathlib import Path
from typing import Any, TypeVar

from .base import Detector
from .manifest import StoredModelError, read_manifest

_DETECTORS: dict[str, type[Detector]] = {}
_Kind = TypeVar("_Kind", bound=type[Detector])


def register(kind: _Kind) -> _Kind:
    """Make a detector's class known by its name, as a decorator of the class.

    Raises
    ------
    TypeError
        If it is no subclass of `Detector`: nothing else can be called by a manifest.
    ValueError
        If another class has the same name.
    """
    if not (isinstance(kind, type) and issubclass(kind, Detector)):
        raise TypeError(f"only a class of detectors can be registered, not {kind!r}")
    before = _DETECTORS.get(kind.__name__, kind)
    # A module that is executed again, as when it is reloaded, registers the same class once more.
    if (before.__module__, before.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(
            f"there is a detector {kind.__name__!r} already: give this one another name"
        )
    _DETECTORS[kind.__name__] = kind
    return kind


def detector_class(name: str) -> type[Detector]:
    """A kind of detector by the name that a manifest gives under ``detector``.

    Raises
    ------
    ValueError
        If there is none of this name; those that there are are named.

    Examples
    --------
    >>> detector_class("Subspace").name
    'subspace'
    """
    if name not in _DETECTORS:
        raise ValueError(
            f"there is no detector {name!r}; known are {', '.join(sorted(_DETECTORS))}"
        )
    return _DETECTORS[name]


def load_detector(folder: str | Path, **scoring: Any) -> Detector:
    """A stored detector of whatever kind.

    Parameters
    ----------
    folder : str or Path
    **scoring
        As in `Detector.load`.

    Raises
    ------
    FileNotFoundError, ValueError
        As in `Detector.load`, and if the kind is not known.
    """
    try:
        kind = detector_class(read_manifest(folder)["detector"])
    except StoredModelError:
        raise
    except ValueError as error:
        raise StoredModelError(
            f"{folder} cannot be loaded: {error}. Import the module that registers it, or remove "
            "the folder and train again"
        ) from error
    return kind.load(folder, **scoring)
