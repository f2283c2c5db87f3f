"""What a notebook is to audit, checked before a kernel starts: a file, a folder, an object."""

import ast
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .notebooks import NotebookFile
from .parameters import UsageError, nearest

# The ways in which one notebook takes a detector, and what goes with which of them.
WAYS = ("maps", "onnx", "detector", "model")
_OF_A_MODEL = (
    "output",
    "map_output",
    "mean",
    "std",
    "scale",
    "bgr",
    "axes",
    "channels",
    "input_size",
)
_GOES_WITH = {
    "scores": ("maps",),
    "import_from": ("detector",),
    **dict.fromkeys(_OF_A_MODEL, ("onnx", "detector")),
}
_MAP_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff")
_MANIFEST = "manifest.json"


def check_given_detector(notebook: NotebookFile, values: Mapping[str, Any]) -> None:
    """Refuse a detector that cannot be audited, as far as it can be seen without loading it.

    Parameters
    ----------
    notebook : NotebookFile
        One that has no parameters for a detector from elsewhere is let pass.
    values : dict
        Its parameters, paths absolute.

    Raises
    ------
    UsageError
        In one sentence: two detectors are given, or what goes with another kind of them; a file or
        folder is not of the kind that is needed; there is no such module or object.
    """
    if not set(WAYS) <= notebook.parameters.keys():
        return
    given = [way for way in WAYS if values[way]]
    if len(given) > 1:
        raise UsageError(
            f"{notebook.name}: {' and '.join(given)} are given; give one of {', '.join(WAYS)}"
        )
    for name, ways in _GOES_WITH.items():
        if values[name] and not set(given) & set(ways):
            raise UsageError(f"{notebook.name}: {name} goes with {' or '.join(ways)}")
    for way in given:
        _CHECKS[way](f"{notebook.name}: {way}", values)


def _check_maps(what: str, values: Mapping[str, Any]) -> None:
    folder = Path(values["maps"])
    if not folder.is_dir():
        raise UsageError(f"{what}: {folder} is a file; give the folder of the anomaly maps")
    if not any(path.suffix.lower() in _MAP_SUFFIXES for path in folder.rglob("*")):
        raise UsageError(f"{what}: {folder} holds no anomaly maps ({', '.join(_MAP_SUFFIXES)})")
    scores = values["scores"]
    if scores and not Path(scores).is_file():
        raise UsageError(f"{what}: scores: {scores} is a folder; give a CSV file")


def _check_onnx(what: str, values: Mapping[str, Any]) -> None:
    path = Path(values["onnx"])
    if not path.is_file():
        raise UsageError(f"{what}: {path} is a folder; give an ONNX file")
    with path.open("rb") as file:
        start = file.read(2)
    # An ONNX file begins with the number of its format, field 1 of the message.
    if len(start) < 2 or start[0] != 0x08:
        raise UsageError(f"{what}: {path} is no ONNX file")


def _check_model(what: str, values: Mapping[str, Any]) -> None:
    folder = Path(values["model"])
    manifest = folder / _MANIFEST
    if not manifest.is_file():
        raise UsageError(
            f"{what}: {folder} holds no {_MANIFEST}; give the folder of a stored detector, such as "
            "models/part/memory_bank/HASH"
        )
    try:
        shape = json.loads(manifest.read_text(encoding="utf-8"))["image_shape"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{what}: {manifest} is no manifest of a stored detector") from error
    if not isinstance(shape, list) or len(shape) != 3:
        raise UsageError(f"{what}: the detector in {folder} takes no images")


def _check_object(what: str, values: Mapping[str, Any]) -> None:
    """Find the module without running it, and the object's name in its source."""
    module, colon, name = values["detector"].partition(":")
    if not (colon and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))):
        raise UsageError(f"{what}: {values['detector']!r} must have the form package.module:object")
    folder = values["import_from"]
    places = [*([folder] if folder else []), *sys.path]
    source = _source(module, places)
    if source is None:
        inside = f"{folder} or " if folder else ""
        raise UsageError(
            f"{what}: there is no module {module} in {inside}Python's own places; the current "
            "folder is looked in first"
        )
    first = name.split(".")[0]
    known = None if source == "" else _top_level_names(source)
    if known is not None and first not in known:
        raise UsageError(f"{what}: {module} has no {first}{nearest(first, known)}")


def _source(module: str, places: list[str]) -> str | None:
    """The source of a module, "" where it has none that can be read, None without such a module."""
    spec = None
    for part in module.split("."):
        # A package is looked into without running it, which importlib.util.find_spec would do.
        spec = importlib.machinery.PathFinder.find_spec(part, places)
        if spec is None:
            return "" if module in sys.builtin_module_names else None
        places = list(spec.submodule_search_locations or [])
    try:
        path = Path(spec.origin or "") if spec is not None else Path()
        return path.read_text(encoding="utf-8") if path.suffix == ".py" else ""
    except (OSError, ValueError):
        return ""


def _top_level_names(source: str) -> set[str] | None:
    """What a module's source defines or imports; None where that cannot be known."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return None
    names: set[str] = set()
    for node in _flat(body):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        else:
            names |= {
                one.id
                for one in ast.walk(node)
                if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
            }
    # A module may make names as it likes, or take all of another one's.
    return None if "*" in names or "__getattr__" in names else names


def _flat(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    """Statements with those inside of conditions and the like, but not of functions or classes."""
    for node in body:
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for field in ("body", "orelse", "finalbody"):
                yield from _flat(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                yield from _flat(handler.body)


_CHECKS = {
    "maps": _check_maps,
    "onnx": _check_onnx,
    "detector": _check_object,
    "model": _check_model,
}
