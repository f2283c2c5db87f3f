"""What a folder that a person gives for images is: a category, or one that holds categories."""

from pathlib import Path

from .layouts import TEST, TRAIN, _folders, find_category, list_entries, one_form
from .reading import CategoryError


def is_category(folder: str | Path) -> bool:
    """Whether a folder is meant as a category: it has ``train/`` or ``test/``."""
    return any((Path(folder) / split).is_dir() for split in (TRAIN, TEST))


def subfolders(folder: str | Path) -> list[str]:
    """Names of the folders within a folder, without those that hold no data (``.git``)."""
    return [one_form(path.name) for path in _folders(Path(folder))]


def categories_in(root: str | Path) -> list[str]:
    """Names of the categories that a folder holds.

    Examples
    --------
    >>> from adhelpers.data import render_category
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "notes").mkdir()
    >>> _ = render_category(root, "metal", train_count=2, test_good_count=1, defect_count=1)
    >>> subfolders(root), categories_in(root)
    (['metal', 'notes'], ['metal'])
    """
    return [one_form(path.name) for path in _folders(Path(root)) if is_category(path)]


def check_listing(root: str | Path, category: str) -> None:
    """Refuse what `load_category` would refuse for its folders and names; no image is read.

    Raises
    ------
    FileNotFoundError
        Where a folder is missing. A misspelt category gets the nearest names.
    CategoryError
        Where files are wrong or missing.
    """
    _, problems, _ = list_entries(find_category(root, category))
    if problems:
        raise CategoryError(category, problems)
