"""Reads an ONNX file as data: what it holds is checked before anything computes with it."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message

# What a protocol buffer can hold; what is larger is split into files beside the model anyway.
MOST_BYTES = 2_000_000_000
# Kinds of operators that are part of ONNX Runtime itself.
_BUILT_IN = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc")
# How files begin that people rename to .onnx, and what they are.
_OTHERS = {
    b"\x80": "a Python pickle, which is not opened because unpickling runs code",
    b"PK\x03\x04": "a zip archive, such as a PyTorch checkpoint or a Keras model",
    b"\x89HDF": "an HDF5 file, such as Keras weights",
    b"version https://git-lfs": "a pointer of Git LFS without the file itself (git lfs pull)",
}


@dataclass(frozen=True)
class ModelFile:
    """An ONNX file that has passed the checks.

    Attributes
    ----------
    path : Path
    model : onnx.ModelProto
        Without the content of external files.
    data : bytes or None
        The file's content, which is what was checked; None where weights lie in other files, which
        ONNX Runtime finds only by the path.
    fingerprint : str
        SHA-256 of the file and of those that it names.
    """

    path: Path
    model: onnx.ModelProto
    data: bytes | None
    fingerprint: str


def read_onnx(path: str | Path) -> ModelFile:
    """Read an ONNX file and refuse what is no model, too large, or leads out of its folder.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    ModelFile

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no ONNX file, damaged, larger than 2 GB with all its files, needs operators that
        are not part of ONNX Runtime, or names weights outside of its own folder.
    """
    path = Path(path)
    data = _content(path)
    for start, what in _OTHERS.items():
        if data.startswith(start):
            raise ValueError(f"{path} is not an ONNX file but {what}: export the model to ONNX")
    try:
        model = onnx.ModelProto.FromString(data)
    except (DecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not an ONNX file, or it is damaged or cut off") from error
    if not model.ir_version or not model.graph.node:
        raise ValueError(f"{path} is not an ONNX file: it holds no graph")
    _refuse_custom_operators(path, model)
    beside = _external_files(path, model)
    total = len(data) + sum(file.stat().st_size for file in beside)
    if total > MOST_BYTES:
        raise ValueError(
            f"{path} and its weights have {total / 1e6:,.0f} MB; models of up to "
            f"{MOST_BYTES / 1e6:,.0f} MB are read"
        )
    return ModelFile(path, model, None if beside else data, _fingerprint(data, beside))


def _content(path: Path) -> bytes:
    try:
        about = path.stat()
    except OSError as error:
        raise FileNotFoundError(f"no file {path}: give the path of an ONNX file") from error
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(f"{path} is not a regular file: give the path of an ONNX file")
    if about.st_size > MOST_BYTES:
        raise ValueError(
            f"{path} has {about.st_size / 1e6:,.0f} MB; models of up to {MOST_BYTES / 1e6:,.0f} MB "
            "are read"
        )
    if about.st_size == 0:
        raise ValueError(f"{path} is empty: export the model again")
    return path.read_bytes()


def messages(message: Message) -> Iterator[Any]:
    """A protocol buffer's message and all that lie in it: graphs within graphs, functions too."""
    waiting = [message]
    while waiting:
        one = waiting.pop()
        yield one
        for field, value in one.ListFields():
            if field.message_type is None:
                continue
            waiting += [value] if isinstance(value, Message) else list(value)


def _refuse_custom_operators(path: Path, model: onnx.ModelProto) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    custom = {
        f"{one.domain}.{one.op_type}"
        for one in messages(model)
        if isinstance(one, onnx.NodeProto)
        and one.domain not in _BUILT_IN
        and (one.domain, one.op_type) not in own
    }
    if custom:
        raise ValueError(
            f"{path} needs operators that are not part of ONNX ({', '.join(sorted(custom))}): "
            "libraries of custom operators are not loaded; export it with standard operators"
        )


def _external_files(path: Path, model: onnx.ModelProto) -> list[Path]:
    """The files beside the model that hold its weights."""
    folder, found = path.resolve().parent, set()
    for one in messages(model):
        external = isinstance(one, onnx.TensorProto) and (
            one.data_location == onnx.TensorProto.EXTERNAL
        )
        if not external:
            continue
        location = next((entry.value for entry in one.external_data if entry.key == "location"), "")
        place = Path(os.path.realpath(folder / location))
        # Also a link that lies in the folder and leads out of it.
        if not location or Path(location).is_absolute() or not place.is_relative_to(folder):
            raise ValueError(
                f"{path} names weights outside of its own folder ({location or 'no place'}): put "
                "them beside it and export it again"
            )
        if not place.is_file():
            raise ValueError(f"{path} needs the file {location} beside it, which is missing")
        found.add(place)
    return sorted(found)


def _fingerprint(data: bytes, beside: list[Path]) -> str:
    digest = hashlib.sha256(data)
    for file in beside:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
