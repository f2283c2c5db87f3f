"""A run's numbers: ``samples.csv``, and ``summary.json``, whose keys other tools rely on."""

import dataclasses
import importlib.metadata
import math
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adhelpers._shared.files import replacing, write_json

SUMMARY_KEYS = (
    "notebook",
    "category",
    "name",
    "detector",
    "parameters",
    "seed",
    "data",
    "models",
    "image_auroc",
    "pixel_auroc",
    "aupro",
    "aupimo",
    "threshold",
    "confusion",
    "jaccard",
    "chance",
    "shortcut",
    "verdicts",
    "trust_adjusted_recall",
    "answer",
    "seconds",
    "peak_memory",
    "versions",
)
_PARTS = {
    **dict.fromkeys(("image_auroc", "pixel_auroc", "aupro", "aupimo"), ("value", "low", "high")),
    "threshold": ("value", "rule", "uses_test_labels"),
    "confusion": ("tp", "fp", "tn", "fn"),
}
# What a spreadsheet takes for the beginning of a formula; some take the wide forms too.
_COMPUTED = re.compile(r"[=+\-@\x00-\x1f\x7f-\x9f＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_REPORTED_PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "scikit-image",
    "scikit-learn",
    "lime",
    "shap",
)


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that a result depends on, read without importing them.

    Returns
    -------
    dict
        By name; None where a package is not installed.

    Examples
    --------
    >>> sorted(versions())[:3]
    ['adhelpers', 'keras', 'lime']
    """
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("adhelpers", *_REPORTED_PACKAGES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def write_samples(path: str | Path, frame: pd.DataFrame) -> Path:
    r"""Write a table, such as one with a row for each test image, as CSV, at once or not at all.

    A spreadsheet computes a text that begins with ``=``, ``+``, ``-``, ``@`` or a control
    character, and the name of a file may be such a text. It gets an apostrophe in front, which
    makes it text. Numbers stay numbers.

    Parameters
    ----------
    path
        Usually ``samples.csv`` in the folder of the run.
    frame
        The rows; the index is not written. NaN becomes an empty field.

    Returns
    -------
    Path
        ``path``.

    Examples
    --------
    >>> import tempfile
    >>> frame = pd.DataFrame({"name": ["a.png"], "score": [0.5]})
    >>> write_samples(Path(tempfile.mkdtemp()) / "samples.csv", frame).read_text()
    'name,score\na.png,0.5\n'
    """
    columns = [
        column if pd.api.types.is_numeric_dtype(column) else column.astype(object).map(_no_formula)
        for _, column in frame.items()
    ]
    safe = pd.DataFrame(dict(enumerate(columns)), index=frame.index)
    safe.columns = pd.Index([_no_formula(name) for name in frame.columns])
    with replacing(path) as temporary:
        safe.to_csv(temporary, index=False, lineterminator="\n")
    return Path(path)


def _no_formula(cell: Any) -> Any:
    """A text that a spreadsheet would compute, as one that it shows; anything else as it is."""
    if isinstance(cell, str) and _COMPUTED.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def _plain(value: Any, where: str) -> Any:
    """``value`` in terms of JSON, named ``where`` in errors; NaN and infinity become None."""
    value = _unwrapped(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(part, f"{where}.{key}") for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, f"{where}[{index}]") for index, part in enumerate(value)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, Path):
        return str(value)
    raise ValueError(
        f"summary: {where} is a {type(value).__name__}; give numbers, texts, lists or dicts of them"
    )


def _unwrapped(value: Any) -> Any:
    """What an estimate, a data class, a Series or a NumPy value holds; anything else as it is."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value


def write_summary(path: str | Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Check and write ``summary.json``.

    Parameters
    ----------
    path
        Usually ``summary.json`` in the folder of the run.
    summary
        Exactly the keys ``SUMMARY_KEYS``. What does not apply is None. Estimates (anything with
        ``as_dict``), data classes such as ``Threshold``, pandas Series and NumPy values are turned
        into plain ones; NaN and infinity become null.

    Returns
    -------
    dict
        What was written.

    Raises
    ------
    ValueError
        If a key is missing or unknown, or a part lacks what the key promises (``image_auroc`` its
        ``value``, ``low``, ``high``).
    """
    missing = [key for key in SUMMARY_KEYS if key not in summary]
    unknown = sorted(set(summary) - set(SUMMARY_KEYS))
    if missing or unknown:
        raise ValueError(
            f"summary: missing keys {missing}, unknown keys {unknown}; "
            f"the keys are {', '.join(SUMMARY_KEYS)} (None where one does not apply)"
        )
    plain = {key: _plain(summary[key], key) for key in SUMMARY_KEYS}
    for key, parts in _PARTS.items():
        part = plain[key]
        if part is not None and (not isinstance(part, dict) or set(part) != set(parts)):
            raise ValueError(
                f"summary: {key} must be None or hold exactly {', '.join(parts)}, got {part!r}"
            )
    write_json(path, plain)
    return plain
