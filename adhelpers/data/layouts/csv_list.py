"""A CSV file that lists images: path, label and, where there are such, split and mask."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..reading import GOOD, CategoryError
from .base import DEFECT, Layout, Listing, listing
from .lists import Row, entries_of, lists_in, placed, split_of
from .names import is_like_good, listed, one_form

# Names of columns, in lower case.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "image", "image_path", "file", "filename", "file_name", "filepath"),
    "label": ("label", "class", "type", "target", "defect"),
    "split": ("split", "set", "subset", "part"),
    "mask": ("mask", "mask_path", "mask_file", "masks", "ground_truth"),
}
# Several masks of an image, in one cell.
_BETWEEN_MASKS = ";"
_DELIMITERS = ",;\t"
_NUMBERS = {"0": GOOD, "1": DEFECT, "false": GOOD, "true": DEFECT}
_NO_LABEL = ("", "nan", "none", "null", "na", "n/a", "?", "unknown", "unlabelled", "unlabeled")
_LABELS = (
    "a label is 0 or good (also ok, normal, ...) for a good image, 1 or the type of its defect for "
    "another one"
)


@dataclass(frozen=True)
class CsvList(Layout):
    """A CSV file with a header: columns ``path``, ``label`` and, if wanted, ``split`` and ``mask``.

    Paths are absolute or relative to the file. Where there is no split, every fifth good image and
    all defective ones are tested on.

    Attributes
    ----------
    good : str
        The label of good images, where it is none that `is_like_good` knows.
    """

    good: str = ""

    name: ClassVar[str] = "csv"
    title = "CSV list"

    def fits(self, place: Path) -> bool:
        """Whether a CSV file with these columns is there."""
        return bool(_lists(place))

    def find(self, place: Path) -> Listing:
        """All images that the list names."""
        files = _lists(place) or lists_in(place, ".csv")
        if len(files) != 1:
            raise CategoryError(one_form(place.name), [_which(files, place)])
        [file] = files
        try:
            columns, rows = _read(file)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise CategoryError(
                one_form(place.name), [f"{one_form(file.name)}: cannot be read as CSV ({error})"]
            ) from error
        absent = [name for name in ("path", "label") if name not in columns]
        problems = [
            f"{one_form(file.name)}: has no column {name} (or {', '.join(_COLUMNS[name][1:])})"
            for name in absent
        ]
        found = [] if absent else [self._row(file, *row, columns, problems) for row in rows]
        kept = [row for row in found if row is not None]
        if kept and not any(row.type == GOOD for row in kept):
            labels = listed(sorted({row.type for row in kept}))
            problems.append(f"{one_form(file.name)}: no label is good ({labels}); {_LABELS}")
            kept = []
        return listing(
            f"{self.title} {one_form(file.name)}",
            entries_of(kept, file.parent, problems),
            problems,
            [],
            good="list good images of the split test",
            defective="list defective images of the split test",
        )

    def _row(
        self,
        file: Path,
        number: int,
        row: dict[str, str],
        columns: Mapping[str, str],
        problems: list[str],
    ) -> Row | None:
        """One image, or None where the row says too little."""
        cells = {name: (row.get(column) or "").strip() for name, column in columns.items()}
        where, split = f"{one_form(file.name)} row {number}", split_of(cells.get("split", ""))
        wrong = []
        if not cells["path"]:
            wrong.append("has no path")
        if cells["label"].lower() in _NO_LABEL and cells["label"] != (self.good or None):
            wrong.append(f"has the label {cells['label']!r}, which says nothing; {_LABELS}")
        if split is None or ("split" in columns and not cells["split"]):
            wrong.append(f"has the split {cells['split']!r}; it is train, validation or test")
        problems += [f"{where}: {one}" for one in wrong]
        if wrong or split is None:
            return None
        masks = cells.get("mask", "").split(_BETWEEN_MASKS)
        return Row(
            where,
            placed(cells["path"], file.parent),
            split,
            self._type(cells["label"]),
            tuple(placed(one, file.parent) for one in masks if one.strip()),
        )

    def _type(self, label: str) -> str:
        """The type of an image with this label."""
        if self.good:
            return GOOD if label == self.good else one_form(_NUMBERS.get(label.lower(), label))
        if is_like_good(label):
            return GOOD
        return _NUMBERS.get(label.lower(), one_form(label))


def _lists(place: Path) -> list[Path]:
    """The CSV files of a place that have the columns of a list."""
    found = []
    for file in lists_in(place, ".csv"):
        try:
            columns, _ = _read(file, rows=False)
        except (OSError, UnicodeDecodeError, csv.Error):
            continue
        if {"path", "label"} <= columns.keys():
            found.append(file)
    return found


def _which(files: list[Path], place: Path) -> str:
    """What is wrong where there is not one list."""
    if files:
        names = " and ".join(one_form(one.name) for one in files)
        return f"{names} both list images; give one of these files instead of the folder"
    return f"{one_form(str(place))} holds no CSV file with columns path and label"


def _read(
    file: Path, rows: bool = True
) -> tuple[dict[str, str], list[tuple[int, dict[str, str]]]]:  # fmt: skip
    """The columns that are known, by what they mean, and the numbered rows."""
    with file.open(encoding="utf-8-sig", newline="") as opened:
        header = opened.readline()
        delimiter = max(_DELIMITERS, key=header.count)
        opened.seek(0)
        reader = csv.DictReader(opened, delimiter=delimiter)
        given = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
        columns = {}
        for meaning, names in _COLUMNS.items():
            known = [given[name] for name in names if name in given]
            if known:
                columns[meaning] = known[0]
        # The header is row 1, as a spreadsheet counts.
        return columns, list(enumerate(reader, start=2)) if rows else []
