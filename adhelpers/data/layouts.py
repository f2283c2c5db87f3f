"""The MVTec layout: where a category's images and masks lie and how they are named.

``<root>/<category>/train/good``, ``test/good``, ``test/<defect type>`` and, where there are masks,
``ground_truth/<defect type>``. What reads, checks, fetches or renders a category asks here.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

from .reading import GOOD, SUFFIXES, Entry

TRAIN, TEST, TRUTH = "train", "test", "ground_truth"

_FILES_OF_THE_DESKTOP = ("thumbs.db", "desktop.ini")
_LAYOUT = (
    "expected <root>/<category>/train/good, test/good, test/<defect type> and, where there are "
    "masks, ground_truth/<defect type>"
)


def image_name(split: str, kind: str, stem: str) -> str:
    """Path of an image within its category.

    Examples
    --------
    >>> image_name("test", "crack", "000")
    'test/crack/000.png'
    """
    return f"{split}/{kind}/{stem}.png"


def mask_name(kind: str, stem: str) -> str:
    """Path of the mask of a test image within its category.

    Examples
    --------
    >>> mask_name("crack", "000")
    'ground_truth/crack/000_mask.png'
    """
    return f"{TRUTH}/{kind}/{stem}_mask.png"


def missing_folder(folder: Path) -> Path | None:
    """The first of the folders that every category has and this one lacks."""
    needed = (folder / TRAIN / GOOD, folder / TEST)
    return next((path for path in needed if not path.is_dir()), None)


def find_category(root: str | Path, category: str) -> Path:
    """The category's folder.

    Raises
    ------
    FileNotFoundError
        Where it or its ``train/good`` or ``test`` is missing; a misspelt name gets the nearest
        ones.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"no folder {root}: root is the folder that holds the categories ({_LAYOUT})"
        )
    # Compared by listing: a file system that ignores case would let "Screw" pass and give it
    # another fingerprint.
    folders = [path.name for path in _folders(root)]
    if category not in folders:
        raise FileNotFoundError(f"no category {category!r} in {root}: {_hint(category, folders)}")
    missing = missing_folder(root / category)
    if missing is not None:
        raise FileNotFoundError(f"no folder {missing}: {_LAYOUT}")
    return root / category


def _hint(category: str, folders: list[str]) -> str:
    """What a person who asked for ``category`` may have meant."""
    lower = {name.lower(): name for name in folders}
    near = difflib.get_close_matches(category.lower(), lower, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(repr(lower[name]) for name in near) + "?"
    if folders:
        return "there are: " + ", ".join(folders)
    return f"the root is empty; {_LAYOUT}"


def list_entries(folder: Path) -> tuple[list[Entry], list[str]]:
    """All images of a category in a fixed order, with their masks.

    Parameters
    ----------
    folder : Path
        From `find_category`.

    Returns
    -------
    entries : list of Entry
        Train first, then test by type and name.
    problems : list of str
        Wrong files, masks without image, defective images without mask.
    """
    problems: list[str] = []
    truth = folder / TRUTH
    has_truth = truth.is_dir() and any(path.is_file() for path in truth.rglob("*"))
    entries = [
        Entry(TRAIN, GOOD, f"{TRAIN}/{GOOD}/{path.name}", path)
        for path in _list_images(folder / TRAIN / GOOD, problems)
    ]
    types = [path.name for path in _folders(folder / TEST)]
    for kind in types:
        masks = _masks(truth / kind, problems)
        for path in _list_images(folder / TEST / kind, problems):
            entry = Entry(
                TEST, kind, f"{TEST}/{kind}/{path.name}", path, masks.pop(path.stem, None)
            )
            if has_truth and kind != GOOD and entry.mask_path is None:
                problems.append(f"{entry.name}: has no mask {mask_name(kind, path.stem)}")
            entries.append(entry)
        for stem, path in sorted(masks.items()):
            problems.append(f"{_short(path)}: is a mask without an image {TEST}/{kind}/{stem}.*")
    if has_truth:
        problems += _masks_of_no_type(truth, types)
    return entries, problems


def _folders(folder: Path) -> list[Path]:
    """Folders within ``folder`` by name, without hidden ones."""
    found = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(found, key=lambda path: path.name)


def _list_images(folder: Path, problems: list[str]) -> list[Path]:
    """Image files of one folder by name; anything else in it is a problem."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith(".") or path.name.lower() in _FILES_OF_THE_DESKTOP:
            continue
        if path.is_dir():
            problems.append(f"{_short(path)}: is a folder; images lie directly in {folder.name}/")
        elif path.suffix.lower() not in SUFFIXES:
            problems.append(f"{_short(path)}: is not one of {', '.join(SUFFIXES)}")
        else:
            found.append(path)
    return found


def _masks(folder: Path, problems: list[str]) -> dict[str, Path]:
    """Masks of one type by the stem of the image that each belongs to."""
    masks: dict[str, Path] = {}
    for path in _list_images(folder, problems) if folder.is_dir() else ():
        # The published data say "000_mask.png"; other tools write "000.png".
        stem = path.stem.removesuffix("_mask")
        if stem in masks:
            problems.append(f"{_short(path)}: is a second mask beside {masks[stem].name}")
        masks[stem] = path
    return masks


def _masks_of_no_type(truth: Path, types: Iterable[str]) -> list[str]:
    """What is wrong with folders of masks that belong to no type of test image."""
    return [
        f"{TRUTH}/{path.name}: holds masks, but there is no folder {TEST}/{path.name}"
        for path in _folders(truth)
        if path.name not in types and any(path.iterdir())
    ]


def _short(path: Path) -> str:
    """A file's path within its category."""
    return "/".join(path.parts[-3:])
