"""What a folder that a person gives for images holds."""

from pathlib import Path

from .layouts import SPLIT_FOLDER, folders_in, is_category, list_category, one_form
from .reading import CategoryError


def subfolders(folder: str | Path) -> list[str]:
    """Names of the folders within a folder that may be categories.

    Not those that hold no data (``.git``), and not VisA's folder of splits.
    """
    names = [one_form(path.name) for path in folders_in(Path(folder))]
    return [name for name in names if name != SPLIT_FOLDER]


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
    return [one_form(path.name) for path in folders_in(Path(root)) if is_category(path)]


def check_listing(root: str | Path, category: str) -> None:
    """Refuse what `load_category` would refuse for its folders and names; no image is read.

    Raises
    ------
    FileNotFoundError
        Where a folder is missing. A misspelt category gets the nearest names.
    CategoryError
        Where files are wrong or missing.
    """
    problems = list_category(root, category).problems
    if problems:
        raise CategoryError(category, problems)


def training_files(root: str | Path, category: str) -> list[Path]:
    """The files of the good images that a category is trained on."""
    return [entry.path for entry in list_category(root, category).of("train")]
