"""The manifest of a stored model: its parameters, its files with their checksums, and its own."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adhelpers._shared.files import sha256, write_json

if TYPE_CHECKING:
    from .base import Model

MANIFEST = "manifest.json"
# Raised when a change to the code makes stored models of the same parameters wrong or unreadable.
FORMAT = 4
_LARGEST = 2**26
_TYPES = {"detector": str, "parameters": dict, "image_shape": list, "files": dict}


class StoredModelError(ValueError):
    """A stored model that cannot be loaded; the message has its folder and what to do."""


@contextmanager
def loading(folder: Path, changeable: Sequence[str] = ()) -> Iterator[None]:
    """Turn whatever the content of a stored model brings about into a `StoredModelError`.

    What is no fault of the content passes through: a disk that cannot be read, and a missing file
    or connection, which an error of its own names.

    Parameters
    ----------
    folder : Path
    changeable : sequence of str
        Arguments that the caller chose and that may be the reason.
    """
    try:
        yield
    except StoredModelError:
        raise
    except Exception as error:
        # Libraries raise a bare OSError without a number where a file has another content.
        if isinstance(error, OSError) and (error.errno is not None or type(error) is not OSError):
            raise
        lines = str(error).splitlines() or [""]
        reason = lines[0] if type(error) is ValueError else f"{type(error).__name__}: {lines[0]}"
        other = f"Give another {' or '.join(changeable)}, or remove" if changeable else "Remove"
        raise StoredModelError(
            f"{folder} cannot be loaded ({reason.rstrip('.')}). {other} the folder and train again"
        ) from error


@dataclass(frozen=True)
class StoredFiles:
    """The files of a stored model: ``files / name`` is the path of one that its manifest names.

    Attributes
    ----------
    folder : Path
    names : frozenset of str
    """

    folder: Path
    names: frozenset[str]

    def __truediv__(self, name: str) -> Path:
        if name not in self.names:
            raise ValueError(f"its {MANIFEST} does not name {name}")
        return self.folder / name


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a manifest with the checksum over all of it in place of an earlier one."""
    plain = {name: value for name, value in content.items() if name != "sha256"}
    # As it will be read: JSON knows no tuples, and no names but text.
    plain = json.loads(json.dumps(plain))
    text = json.dumps(plain, sort_keys=True)
    return plain | {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def write_manifest(folder: Path, model: "Model", **extra: Any) -> None:
    """Write the manifest of a model whose files are all in the folder.

    It has the name of the model's class, its parameters and image shape, each file's SHA-256, the
    plain values of ``extra``, and the SHA-256 of all that.
    """
    files = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    content = {
        "format": FORMAT,
        "detector": type(model).__name__,
        "parameters": model.parameters,
        "image_shape": list(model.image_shape or ()),
        "files": files,
        **extra,
    }
    write_json(folder / MANIFEST, signed(content))


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a stored model, after its SHA-256 and those of all files were compared.

    Raises
    ------
    FileNotFoundError, ValueError
        As `Model.load` says.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no {MANIFEST}: it is not a folder written by Detector.save"
        )
    with loading(folder):
        manifest = _checked(path)
        for name, checksum in manifest["files"].items():
            _check_file(folder, name, checksum)
    return manifest


def _check_file(folder: Path, name: str, checksum: Any) -> None:
    """Refuse a file that is missing, changed, or not in the folder."""
    place = folder / name
    try:
        inside, there = place.resolve().is_relative_to(folder.resolve()), place.is_file()
    # Names that no file can have, and links in a circle.
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"its {MANIFEST} names {name[:80]!r}, which is no file") from error
    if not inside:
        raise ValueError(f"its {MANIFEST} names {name!r}, which is not inside the folder")
    if not there:
        raise FileNotFoundError(
            f"{place} is missing, though {MANIFEST} names it. Remove {folder} and train again"
        )
    if sha256(place) != checksum:
        raise StoredModelError(
            f"The SHA-256 of {place} is not the one in {MANIFEST}: "
            f"the file was changed or damaged. Remove {folder} and train again"
        )


def _checked(path: Path) -> dict[str, Any]:
    """A manifest of this format, with all that every manifest has."""
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{MANIFEST} has more than {_LARGEST >> 20} MiB")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{MANIFEST} is not valid JSON: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("detector"), str):
        raise ValueError(f"{MANIFEST} is not a manifest written by Detector.save")
    found = manifest.get("format")
    if found != FORMAT:
        number = found if isinstance(found, int) else "without a number"
        raise StoredModelError(
            f"{path.parent} holds a {manifest['detector']} that another version of adhelpers "
            f"stored (manifest format {number}, this version reads {FORMAT}): "
            "remove the folder and train again"
        )
    if signed(manifest) != manifest:
        raise ValueError(f"the SHA-256 in {MANIFEST} is not that of its content: it was changed")
    wrong = [name for name, kind in _TYPES.items() if not isinstance(manifest.get(name), kind)]
    if wrong or any(type(one) is not int or one < 1 for one in manifest["image_shape"]):
        raise ValueError(
            f"{MANIFEST} is not a manifest written by Detector.save: "
            f"wrong is {wrong[0] if wrong else 'image_shape'}"
        )
    return manifest
