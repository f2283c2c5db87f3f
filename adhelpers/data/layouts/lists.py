"""Images that a list names, wherever they lie: what CSV and COCO files have in common."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..reading import Entry
from ..shapes import Shapes
from .base import OPEN, TEST, TRAIN, VALIDATION
from .names import is_data, listed, one_form

# How people call the parts of a data set.
_SPLITS: Mapping[str, str] = {
    "": OPEN,
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
_LISTED = 3


@dataclass(frozen=True)
class Row:
    """One image of a list.

    Attributes
    ----------
    where : str
        Where the list names it, such as ``"row 3"``.
    path : Path
    split, type : str
        As in `Entry`; the split may be open.
    masks : tuple of Path or Shapes
    """

    where: str
    path: Path
    split: str
    type: str
    masks: tuple[Path | Shapes, ...] = ()


def split_of(text: str) -> str | None:
    """The split that a word means; None where it means none.

    Examples
    --------
    >>> split_of("Training"), split_of(""), split_of("holdout")
    ('train', '', None)
    """
    return _SPLITS.get(text.strip().lower())


def lists_in(place: Path, suffix: str) -> list[Path]:
    """The files that may be a list: the place itself, or those directly in it."""
    if place.is_file():
        return [place] if place.suffix.lower() == suffix else []
    found = place.iterdir() if place.is_dir() else ()
    return sorted(
        one for one in found if one.suffix.lower() == suffix and one.is_file() and is_data(one)
    )


def entries_of(rows: Sequence[Row], home: Path, problems: list[str]) -> list[Entry]:
    """The entries of a list, named relative to ``home`` or to the folder that holds all images.

    Files that are not there, and images that are named twice, are problems. A list may name files
    anywhere: what it names in its own folder must lie there.

    Parameters
    ----------
    rows : sequence of Row
        With absolute paths.
    home : Path
        The list's folder.
    problems : list of str
        Gets what is wrong.

    Returns
    -------
    list of Entry
    """
    missing, kept, seen = list[str](), list[Row](), dict[Path, str]()
    for row in rows:
        files = [row.path, *(one for one in row.masks if isinstance(one, Path))]
        lost = [f"{row.where}: {one_form(str(one))}" for one in files if not one.is_file()]
        missing += lost
        if row.path in seen:
            problems.append(
                f"{row.where}: names {one_form(row.path.name)} again, as {seen[row.path]} does"
            )
        elif not lost:
            seen[row.path] = row.where
            kept.append(row)
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        problems.append(
            f"{len(missing)} listed file{'' if len(missing) == 1 else 's'} {verb} not there "
            f"({listed(missing, _LISTED)}); paths are relative to {one_form(str(home))}"
        )
    if not kept:
        return []
    home, folder = home.resolve(), Path(os.path.normpath(home.absolute()))
    if all(row.path.is_relative_to(folder) for row in kept):
        base = folder
    else:
        base = Path(os.path.commonpath([row.path.parent for row in kept]))
    entries = []
    for row in kept:
        files = [row.path, *(one for one in row.masks if isinstance(one, Path))]
        # What the list names elsewhere is meant to be read from there.
        own = all(one.is_relative_to(folder) for one in files)
        name = one_form(row.path.relative_to(base).as_posix())
        within = (home, home.parent) if own else ()
        entries.append(Entry(row.split, row.type, name, row.path, row.masks, within))
    return entries


def placed(path: str, home: Path) -> Path:
    """The absolute path of what a list names, without ``..``; backslashes separate folders too.

    Examples
    --------
    >>> placed("images/../a.png", Path("/data")).as_posix()
    '/data/a.png'
    """
    text = path.strip()
    found = home / text
    if "\\" in text and not found.exists():
        found = home / text.replace("\\", "/")
    return Path(os.path.normpath(found.absolute()))
