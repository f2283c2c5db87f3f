"""VisA as it is published: images in ``Data``, types and splits in CSV files."""

import csv
from pathlib import Path, PurePosixPath

from ..reading import GOOD, Entry
from ..remarks import Remark
from .base import OPEN, SPLITS, Layout, Listing, listing, unused_remarks
from .names import images_in, is_data, is_document, name_within, one_form

_NORMAL, _ANOMALY, _MASKS = "Data/Images/Normal", "Data/Images/Anomaly", "Data/Masks/Anomaly"
SPLIT_FOLDER = "split_csv"
_TYPES, _SPLIT = "image_anno.csv", f"{SPLIT_FOLDER}/1cls.csv"
_ANOMALOUS = "anomaly"
# Several kinds of defect in one image are one type of their own.
_TOGETHER = " and "


class Visa(Layout):
    """``Data/Images/Normal`` and ``Anomaly``, ``Data/Masks/Anomaly``, ``image_anno.csv``.

    Which images are tested on stands in ``split_csv/1cls.csv`` beside the categories; where it is
    missing, or does not name the category, every fifth normal image is. Masks number the kinds of
    defects; each but 0 is defect.
    """

    name = "visa"
    title = "VisA"
    refines = ("csv", "coco")

    def fits(self, place: Path) -> bool:
        """Whether there is a folder of normal or of anomalous images."""
        return any((place / folder).is_dir() for folder in (_NORMAL, _ANOMALY))

    def find(self, place: Path) -> Listing:
        """All images, with the split of one class."""
        for folder in (_NORMAL, _ANOMALY):
            if not (place / folder).is_dir():
                raise FileNotFoundError(
                    f"no folder {one_form(str(place / folder))}: {self.title} has {_NORMAL}, "
                    f"{_ANOMALY}, {_MASKS} and {_TYPES} in each category"
                )
        problems, remarks = list[str](), list[Remark]()
        splits, types = _splits(place, problems, remarks), _types(place, problems)
        within = tuple(one.resolve() for one in (place, place.parent))
        masks = {}
        if (place / _MASKS).is_dir():
            masks = {one_form(one.stem): one for one in images_in(place / _MASKS, problems)}
        entries, left = list[Entry](), list[str]()
        for folder in (_NORMAL, _ANOMALY):
            for path in images_in(place / folder, problems):
                name, stem = name_within(path, place), one_form(path.stem)
                split = splits.pop(name, None) if splits is not None else OPEN
                mask = masks.pop(stem, None) if folder == _ANOMALY else None
                kind = types.get(name, _ANOMALOUS) if folder == _ANOMALY else GOOD
                if split is None:
                    left.append(name)
                    continue
                marked = () if mask is None else (mask,)
                entries.append(Entry(split, kind, name, path, marked, within))
        problems += [f"{_SPLIT}: names {name}, which is not there" for name in splits or ()]
        problems += [
            f"{name_within(one, place)}: is a mask without an image in {_ANOMALY}"
            for one in masks.values()
        ]
        return listing(
            self.title,
            entries,
            problems,
            [*remarks, *unused_remarks(left, [], f"{_SPLIT} does not name them"), *_beside(place)],
            good=f"put normal images into {_NORMAL}",
            defective=f"put anomalous images into {_ANOMALY}",
        )


def _rows(file: Path, columns: tuple[str, ...], problems: list[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with these columns; anything else is a problem."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{file.name}: cannot be read as CSV ({error})")
        return []
    if rows and not set(columns) <= set(rows[0]):
        problems.append(f"{file.name}: has no columns {', '.join(columns)}")
        return []
    return rows


def _splits(
    place: Path, problems: list[str], remarks: list[Remark]
) -> dict[str, str] | None:  # fmt: skip
    """The split of each image by its name; None where the file of splits does not say it."""
    file = place.parent / _SPLIT
    found = {}
    if file.is_file():
        for row in _rows(file, ("object", "split", "image"), problems):
            if one_form(row["object"]) != one_form(place.name):
                continue
            if row["split"] not in SPLITS:
                problems.append(f"{_SPLIT}: the split {row['split']!r} is neither train nor test")
                continue
            found[_name(row["image"])] = row["split"]
    if found:
        return found
    why = "does not name this category" if file.is_file() else "is missing"
    remarks.append(
        Remark(
            "split_missing",
            (_SPLIT,),
            f"{_SPLIT} {why}: every fifth normal image is tested on, so that figures are not "
            "comparable with published ones",
        )
    )
    return None


def _name(path: str) -> str:
    """An image's name within its category; the published files have the category's in front."""
    parts = PurePosixPath(path).parts
    return one_form(PurePosixPath(*parts[parts[:1] != ("Data",) :]).as_posix())


def _types(place: Path, problems: list[str]) -> dict[str, str]:
    """The types of anomalous images by their names."""
    file = place / _TYPES
    if not file.is_file():
        return {}
    types = {}
    for row in _rows(file, ("image", "label"), problems):
        kinds = sorted({one.strip() for one in (row["label"] or "").split(",") if one.strip()})
        if kinds and kinds != ["normal"]:
            types[_name(row["image"])] = one_form(_TOGETHER.join(kinds))
    return types


def _beside(place: Path) -> list[Remark]:
    """What lies in a category and is not used."""
    found = [one for one in sorted(place.iterdir()) if is_data(one) and not is_document(one)]
    files = [one_form(one.name) for one in found if not one.is_dir() and one.name != _TYPES]
    folders = [one_form(one.name) for one in found if one.is_dir() and one.name != "Data"]
    return list(unused_remarks(files, folders, f"images and masks lie in Data, types in {_TYPES}"))
