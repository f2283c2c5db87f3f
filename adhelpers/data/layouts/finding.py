"""Finds a category by its name, its layout by its shape or name, and then its files."""

import difflib
from pathlib import Path

from ..reading import GOOD, CategoryError
from .base import TRAIN, Layout, Listing
from .coco import Coco
from .csv_list import CsvList
from .described import NOTE, read_description
from .names import folders_in, holds_images, is_like_good, one_form
from .registry import CLASSES
from .split_folders import LAYOUT

# Lists stand for all that lies beside them, so they are asked last.
_LISTS = (CsvList, Coco)
# More folders than this are not shown as patterns.
_SHOWN = 3


def layouts_of(place: Path) -> list[Layout]:
    """The layouts that a folder, or the file of a list, may have; more than one is unclear.

    Parameters
    ----------
    place : Path

    Returns
    -------
    list of Layout
        Without those of which another one is a special case: folders are meant where a list lies
        beside them.
    """
    fitting = [
        layout
        for layout in (one() for one in CLASSES if one not in _LISTS)
        if place.is_dir() and layout.fits(place)
    ]
    if not fitting and not any(_is_in_folders(one) for one in folders_in(place)):
        fitting = [layout for layout in (one() for one in _LISTS) if layout.fits(place)]
    refined = {name for layout in fitting for name in layout.refines}
    return [layout for layout in fitting if layout.name not in refined]


def _is_in_folders(folder: Path) -> bool:
    """Whether a folder is a category without a list: one beside such folders is not of images."""
    return any(one().fits(folder) for one in CLASSES if one not in _LISTS)


def is_category(folder: str | Path) -> bool:
    """Whether a folder, or the file of a list, is meant as a category."""
    return (Path(folder) / NOTE).is_file() or bool(layouts_of(Path(folder)))


def list_category(root: str | Path, category: str) -> Listing:
    """The files of a category.

    Its layout is the one that its ``adhelpers.yaml`` names, else the one whose shape it has.

    Parameters
    ----------
    root : str or Path
        Folder that holds the categories.
    category : str
        Name of the category's folder, or of the file of a list.

    Returns
    -------
    Listing

    Raises
    ------
    FileNotFoundError
        Where it, or a folder that its layout has, is missing; a misspelt name gets the nearest
        ones.
    CategoryError
        Where it has the shape of two layouts.
    ValueError
        Where its ``adhelpers.yaml`` is wrong.
    """
    place = _find(Path(root), category)
    if (place / NOTE).is_file():
        described = read_description(place)
        return described.layout.find(described.folder)
    fitting = layouts_of(place)
    if len(fitting) > 1:
        names = " and ".join(f"{one.title} ({one.name})" for one in fitting)
        raise CategoryError(
            one_form(category),
            [
                f"{one_form(place.name)}: has the shape of {names}; say which one is meant with "
                "--layout, or in its adhelpers.yaml"
            ],
        )
    if not fitting and place.is_dir():
        raise FileNotFoundError(
            f"no folder {one_form(str(place / TRAIN / GOOD))}: {LAYOUT}; {_other_ways(place)}"
        )
    return (fitting[0] if fitting else _expected(place)).find(place)


def _other_ways(place: Path) -> str:
    """How a folder whose shape is not known can be read all the same."""
    kinds = {one_form(one.name): one for one in folders_in(place) if holds_images(one)}
    good = [name for name in kinds if is_like_good(name)]
    defects = [name for name in kinds if name not in good]
    if len(good) == 1 and defects:
        patterns = " ".join(f"--defect '{name}/*'" for name in defects[:_SHOWN])
        return f"or give patterns, such as --good '{good[0]}/*' {patterns}"
    return "docs/datasets.md has the other layouts, and how any folders are read"


def _expected(place: Path) -> Layout:
    """The layout by whose rules it is said what a file lacks."""
    return CsvList() if place.suffix.lower() == ".csv" else Coco()


def _find(root: Path, category: str) -> Path:
    """Where a category lies, or a FileNotFoundError with the names that are near."""
    if not root.is_dir():
        raise FileNotFoundError(
            f"no folder {one_form(str(root))}: root is the folder that holds the categories "
            f"({LAYOUT})"
        )
    # Compared by listing: a file system that ignores case would let "Screw" pass and give it
    # another fingerprint.
    found = {one_form(path.name): path for path in folders_in(root)}
    name = one_form(category)
    if name not in found:
        files = {one_form(path.name): path for path in root.iterdir() if path.is_file()}
        if name in files and Path(name).suffix.lower() in (".csv", ".json"):
            return files[name]
        raise FileNotFoundError(
            f"no category {name!r} in {one_form(str(root))}: {_hint(name, list(found))}"
        )
    return found[name]


def _hint(category: str, folders: list[str]) -> str:
    """What a person who asked for ``category`` may have meant."""
    lower = {name.lower(): name for name in folders}
    near = difflib.get_close_matches(category.lower(), lower, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(repr(lower[name]) for name in near) + "?"
    if folders:
        return "there are: " + ", ".join(folders)
    return f"the root is empty; {LAYOUT}"
