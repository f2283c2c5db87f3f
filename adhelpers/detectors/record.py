"""What a detector needs on new images: how they are read, its threshold, what good ones are like.

It lies beside a stored model as ``record.json``, or in the metadata of an exported ONNX file. It is
no part of the manifest, because it changes without a training: a threshold is set anew.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adhelpers._shared.files import write_text

from .manifest import MANIFEST, signed

RECORD = "record.json"
_FORMAT = 1
_LARGEST = 2**24


def record_text(parts: Mapping[str, Any]) -> str:
    """A record as text, with its format and a checksum.

    Parameters
    ----------
    parts : dict
        Plain values: ``reading`` (`adhelpers.data.ImageReader.as_dict`) and, where they are known,
        ``category``, ``scoring`` (the detector's scoring parameters), ``threshold``, ``scores``
        (of good validation images) and ``statistics`` (values by name, of good images).

    Examples
    --------
    >>> parsed_record(record_text({"category": "screw"}), "screw.onnx")["category"]
    'screw'
    """
    content = {**parts, "format": _FORMAT}
    return json.dumps(signed(content), ensure_ascii=False, allow_nan=False)


def parsed_record(text: str, source: str | Path) -> dict[str, Any]:
    """The parts of a record from its text.

    Parameters
    ----------
    text : str
    source : str or Path
        Where it comes from, for errors.

    Raises
    ------
    ValueError
        If it is no record, was changed, or is of another format.
    """
    again = "run the notebook or fit_or_load again, which trains nothing anew"
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} holds no record of a detector: {again}") from error
    if not isinstance(parts, dict) or parts.get("format") != _FORMAT:
        raise ValueError(
            f"{source} holds a record that another version of adhelpers wrote: {again}"
        )
    if signed(parts) != parts:
        raise ValueError(f"{source} holds a record that was changed by hand: {again}")
    return {name: value for name, value in parts.items() if name not in ("format", "sha256")}


def read_record(folder: str | Path) -> dict[str, Any] | None:
    """The record of a stored model; None where it has none.

    Raises
    ------
    ValueError
        As `parsed_record`.
    OSError
        If the file is there and cannot be read.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        return None
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} has more than {_LARGEST >> 20} MiB, which no record needs")
    return parsed_record(path.read_text(encoding="utf-8", errors="replace"), path)


def update_record(folder: str | Path, **parts: Any) -> None:
    """Write parts into the record of a stored model; the others stay.

    A record that cannot be read is written anew. Nothing is written where no model is stored.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        return
    try:
        before = read_record(folder) or {}
    except ValueError:
        before = {}
    # As it will be read, so that equal records are found equal.
    after = json.loads(json.dumps(before | parts))
    if after != before:
        write_text(folder / RECORD, record_text(after) + "\n")
