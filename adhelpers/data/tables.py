"""Reads a table of vectors: which of its columns are features, and what cannot be used."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adhelpers._shared.arrays import Names

from .remarks import Remark

# What pandas calls a column without a name: also one that an earlier saving wrote out.
_UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*")
_MOST = float(np.finfo(np.float32).max)
# In fewer rows numbers rise from row to row by chance.
_ENOUGH_ROWS = 10
# More cells or columns than this are not listed in an error.
_LISTED = 3


@dataclass(frozen=True)
class Table:
    """The rows of a table as vectors with their classes.

    Attributes
    ----------
    values : ndarray of float64, shape (n, d)
        As they stand in the file: in 32 bits most time stamps of a day are equal.
    columns : tuple of str
        Names of the d features.
    classes : ndarray of str, shape (n,)
    remarks : tuple of Remark
        On columns that are not used, or that may give away the order of the rows.
    """

    values: NDArray[np.float64]
    columns: tuple[str, ...]
    classes: Names
    remarks: tuple[Remark, ...]


def read_table(path: str | Path, label_column: str) -> Table:
    """Read a CSV file of numbers with a column of classes.

    A column without a name (the index that pandas writes) or one that counts the rows is not a
    feature and is left out. Any text is a class, also ``NA`` or ``None``.

    Parameters
    ----------
    path : str or Path
    label_column : str

    Returns
    -------
    Table

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is no such table; columns and rows are named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"data_root: there is no file {path}; for the data set csv it is the file itself"
        )
    frame = _read(path, label_column)
    classes = frame.pop(label_column).fillna("").str.strip()
    unnamed = [name for name in map(str, frame) if _UNNAMED.fullmatch(name)]
    frame = frame.drop(columns=unnamed)
    if frame.empty:
        why = f": {', '.join(unnamed)} has no name" if unnamed else ""
        raise ValueError(f"{path} holds no rows of features beside {label_column!r}{why}")
    numbers = {str(name): _numbers(column) for name, column in frame.items()}
    _check(path, label_column, frame, numbers, classes)
    counting = [name for name, column in numbers.items() if _counts(column)]
    # A feature that is the only one is one, whatever it looks like.
    left_out = counting if len(counting) < len(numbers) else []
    kept = {name: column for name, column in numbers.items() if name not in left_out}
    kinds = classes.nunique()
    ordered = [name for name, column in kept.items() if _tells_the_order(column, kinds)]
    return Table(
        np.column_stack(list(kept.values())),
        tuple(kept),
        classes.to_numpy(str),
        _remarks(unnamed, left_out, ordered),
    )


def _read(path: Path, label_column: str) -> pd.DataFrame:
    """The columns by name; only empty cells are missing values."""
    options: dict[str, Any] = {"keep_default_na": False, "low_memory": False}
    try:
        # Two rows: where the second is longer than the first, pandas would take its beginning for
        # an index without a word.
        first = pd.read_csv(path, header=None, nrows=2, dtype=str, **options).iloc[0]
        header = [
            str(name).strip() or f"Unnamed: {position}" for position, name in enumerate(first)
        ]
        if label_column not in header:
            raise ValueError(
                f"label_column: {path} has no column {label_column!r}; its columns are "
                f"{', '.join(header)}"
            )
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise ValueError(f"{path} has more than one column {twice[0]!r}: name each differently")
        features = [name for name in header if name != label_column]
        return pd.read_csv(
            path,
            header=0,
            names=header,
            dtype={label_column: str},
            na_values={name: [""] for name in features},
            **options,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error


def _numbers(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """A column as numbers; NaN is what is none."""
    if not pd.api.types.is_numeric_dtype(column):
        text = column.astype(str).str.strip().replace({"True": "1", "False": "0"})
        column = pd.to_numeric(text, errors="coerce")
    return np.asarray(column, np.float64)


def _check(
    path: Path,
    label_column: str,
    frame: pd.DataFrame,
    numbers: Mapping[str, NDArray[np.float64]],
    classes: "pd.Series[str]",
) -> None:
    """Refuse cells that are no numbers or do not fit 32 bits, and rows without a class."""
    nameless = np.flatnonzero(classes == "") + 1
    if len(nameless):
        rows = ", ".join(map(str, nameless[:_LISTED])) + ", …" * (len(nameless) > _LISTED)
        raise ValueError(
            f"label_column: {path} has no class in column {label_column!r} of row {rows} below the "
            f"header; give each row one, or remove it"
        )
    wrong = []
    for name, column in numbers.items():
        bad = np.flatnonzero(~(np.abs(column) <= _MOST))
        if len(bad):
            cell = frame[name].iloc[bad[0]]
            held = "nothing" if pd.isna(cell) else str(cell)
            wrong.append(f"{name!r} holds {held} in row {bad[0] + 1}")
    if wrong:
        more = f" (and {len(wrong) - _LISTED} more columns)" if len(wrong) > _LISTED else ""
        raise ValueError(
            f"{path}: every column but {label_column!r} must hold finite numbers of at most "
            f"{_MOST:.1e}, the limit of 32 bits; column {', '.join(wrong[:_LISTED])}{more}, "
            "counted below the header"
        )


def _counts(column: NDArray[np.float64]) -> bool:
    """Whether it is 0, 1, 2, … or 1, 2, 3, … down the rows."""
    enough = len(column) >= _ENOUGH_ROWS
    return enough and column[0] in (0, 1) and bool((np.diff(column) == 1).all())


def _tells_the_order(column: NDArray[np.float64], kinds: int) -> bool:
    """Whether it never falls or never rises down the rows, or numbers them in another order.

    Few different values in order are no sign: a feature may well differ between sorted classes.
    """
    if len(column) < _ENOUGH_ROWS or len(different := np.unique(column)) <= max(2, kinds):
        return False
    steps = np.diff(column)
    return bool((steps >= 0).all() or (steps <= 0).all()) or (
        len(different) == len(column) and _counts(different)
    )


def _remarks(unnamed: list[str], counting: list[str], ordered: list[str]) -> tuple[Remark, ...]:
    """What is to be said of columns."""
    found = (
        (
            "table_unnamed",
            unnamed,
            ("has no name and is not used", "have no name and are not used"),
            "usually it is the index that pandas writes: name it to use it, or write the table "
            "without an index",
        ),
        (
            "table_row_numbers",
            counting,
            ("counts the rows and is not used", "count the rows and are not used"),
            "where rows are sorted by class, their numbers give the class away",
        ),
        (
            "table_order",
            ordered,
            ("tells the order of the rows", "tell the order of the rows"),
            "like time stamps or row numbers this gives the class away where rows are, or were, "
            "sorted by class: remove it unless new samples have it too",
        ),
    )
    return tuple(
        Remark(
            kind,
            tuple(names),
            f"{len(names)} column{'s' * (len(names) > 1)} of the table {what[len(names) > 1]} "
            f"({', '.join(names)}); {advice}",
        )
        for kind, names, what, advice in found
        if names
    )
