"""Reads the scores of images from a CSV file, whatever its columns and separators are called."""

import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from adhelpers.data import read_file

_SEPARATORS = (",", ";", "\t", "|")
_IMAGE_COLUMNS = (
    "image", "path", "image_path", "file", "filename", "file_name", "file_path", "name",
    "image_name", "img", "sample", "id",
)  # fmt: skip
_SCORE_COLUMNS = (
    "score", "pred_score", "anomaly_score", "image_score", "pred_scores", "scores", "prediction",
)  # fmt: skip
_LISTED = 20


def read_scores(path: str | Path) -> pd.DataFrame:
    """The images and scores in a CSV file.

    Parameters
    ----------
    path : str or Path
        With a line of column names. Commas, semicolons, tabs or bars stand between the columns;
        with semicolons, numbers may have a decimal comma.

    Returns
    -------
    pandas.DataFrame
        Columns ``image`` (str, as it stands there), ``score`` (float64) and ``line`` (its line in
        the file).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing, an image has two rows, or a score is no finite number; all lines are
        named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: give a CSV file with the columns image and score")
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: save it as a CSV file") from error
    first = text.splitlines()[0] if text.strip() else ""
    separator = max(_SEPARATORS, key=first.count)
    try:
        with warnings.catch_warnings():
            # A row with more cells than there are columns would be cut off.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            rows = pd.read_csv(
                io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False
            )
    except (pd.errors.ParserWarning, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a CSV file ({error})") from error
    image, score = (
        _column(path, rows, names, what)
        for names, what in ((_IMAGE_COLUMNS, "image"), (_SCORE_COLUMNS, "score"))
    )
    texts = rows[score].str.strip()
    if separator != ",":
        texts = texts.str.replace(",", ".", regex=False)
    table = pd.DataFrame(
        {
            "image": rows[image].str.strip(),
            "score": pd.to_numeric(texts, errors="coerce"),
            "line": np.arange(2, len(rows) + 2),
        }
    )
    if table.empty:
        raise ValueError(f"{path} holds no rows")
    _refuse_wrong_rows(path, table)
    return table


def _column(path: Path, rows: pd.DataFrame, names: tuple[str, ...], what: str) -> str:
    """The column that is meant, by its name."""
    columns = {str(name).strip().lower(): str(name) for name in rows.columns}
    found = [columns[name] for name in names if name in columns]
    if not found:
        raise ValueError(
            f"{path} has no column for the {what}, such as {names[0]} or {names[1]}; it has "
            f"{', '.join(map(str, rows.columns))}"
        )
    return found[0]


def _refuse_wrong_rows(path: Path, table: pd.DataFrame) -> None:
    wrong = table[~np.isfinite(table["score"])]
    if len(wrong):
        raise ValueError(f"{path} has scores that are no finite numbers: {_lines(wrong)}")
    twice = table[table["image"].duplicated(keep=False)].sort_values("image", kind="stable")
    if len(twice):
        raise ValueError(f"{path} has more than one row for an image: {_lines(twice)}")


def _lines(rows: pd.DataFrame) -> str:
    shown = [f"{row.image} (line {row.line})" for row in rows.head(_LISTED).itertuples()]
    more = f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
    return f"{', '.join(shown)}{more}"
