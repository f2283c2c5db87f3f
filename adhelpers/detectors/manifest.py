"""The files of a stored model: its manifest of parameters and checksums, and networks' weights."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from adhelpers._shared.files import sha256, write_json

if TYPE_CHECKING:
    from .base import Model

MANIFEST = "manifest.json"
# Raised when a change to the code makes stored models of the same parameters wrong or unreadable.
FORMAT = 3


def write_manifest(folder: Path, model: "Model", **extra: Any) -> None:
    """Write the manifest of a model whose files are all in the folder.

    It has the name of the model's class, its parameters and image shape, each file's SHA-256, and
    the plain values of ``extra``.
    """
    files = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    write_json(
        folder / MANIFEST,
        {
            "format": FORMAT,
            "detector": type(model).__name__,
            "parameters": model.parameters,
            "image_shape": list(model.image_shape or ()),
            "files": files,
            **extra,
        },
    )


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a stored model, after every file's SHA-256 has been compared with it.

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
    manifest = _checked(path)
    for name, checksum in manifest["files"].items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing, though {MANIFEST} names it")
        if sha256(folder / name) != checksum:
            raise ValueError(
                f"The SHA-256 of {folder / name} is not the one in {MANIFEST}: "
                f"the file was changed or damaged. Remove {folder} and train again"
            )
    return manifest


def _checked(path: Path) -> dict[str, Any]:
    """A manifest of this format, with all that every manifest has."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        detector, _, _, _ = (
            manifest[key] for key in ("detector", "parameters", "image_shape", "files")
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a manifest written by Detector.save ({error!r})"
        ) from error
    found = manifest.get("format")
    if found != FORMAT:
        raise ValueError(
            f"{path.parent} holds a {detector} that another version of adhelpers stored "
            f"(manifest format {found or 'without a number'}, this version reads {FORMAT}): "
            "remove the folder and train again"
        )
    return manifest


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
        If the file belongs to another architecture.
    """
    try:
        network.load_weights(path)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(
            f"{path} does not fit the {name} that the manifest describes: "
            "it belongs to another architecture"
        ) from error
