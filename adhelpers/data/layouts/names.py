"""Names of files and folders: what can be data, and how names are compared and shown."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from adhelpers._shared.text import escaped

from ..reading import GOOD, SUFFIXES

# What desktops, network drives and archives leave beside data.
_NOT_DATA = (
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "@eadir",
    "#recycle",
    "__macosx",
    "$recycle.bin",
    "system volume information",
    "lost+found",
)
# What people call good images, without spaces, hyphens and case.
_LIKE_GOOD = frozenset(
    "good ok okay normal defectfree nodefect nodefects nondefective gut fine pass intact".split()
)
# Documents in a category's folder, as publishers put them there, and our own description.
_DOCUMENTS = ("readme", "license", "licence", "copying", "citation", "adhelpers")
_LISTED = 5


def is_data(path: Path) -> bool:
    """Whether a file or folder can be data: not hidden, and not left by a desktop or an archive.

    Examples
    --------
    >>> [is_data(Path(name)) for name in ("000.png", "._000.png", "Thumbs.db", "@eaDir")]
    [True, False, False, False]
    """
    return not path.name.startswith(".") and path.name.lower() not in _NOT_DATA


def is_document(path: Path) -> bool:
    """Whether a file is what publishers put beside data, such as a licence."""
    return path.stem.lower() in _DOCUMENTS


def is_image(path: Path) -> bool:
    """Whether a path is named like an image that can be data."""
    return is_data(path) and path.suffix.lower() in SUFFIXES


def is_like_good(name: str) -> bool:
    """Whether people use a name for good images.

    Examples
    --------
    >>> [is_like_good(name) for name in ("good", "Defect-free", "OK", "ko")]
    [True, True, True, False]
    """
    return "".join(one for one in name.casefold() if one not in " -_.") in _LIKE_GOOD


def one_form(name: str) -> str:
    """A name as it is compared, shown and stored: in Unicode's NFC, and as `escaped` gives it."""
    return escaped(unicodedata.normalize("NFC", name))


def folders_in(folder: Path) -> list[Path]:
    """Folders of data within ``folder`` by name; none where it does not exist."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.is_dir() and is_data(path))
    return sorted(found, key=lambda path: path.name)


def images_in(folder: Path, problems: list[str]) -> list[Path]:
    """Image files of one folder by name; anything else in it is a problem."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if not is_data(path):
            continue
        if path.is_dir():
            problems.append(
                f"{short(path)}: is a folder; images lie directly in {one_form(folder.name)}/"
            )
        elif path.suffix.lower() not in SUFFIXES:
            problems.append(f"{short(path)}: is not one of {', '.join(SUFFIXES)}")
        else:
            found.append(path)
    return found


def holds_images(folder: Path) -> bool:
    """Whether image files lie directly in a folder."""
    return folder.is_dir() and any(is_image(path) for path in folder.iterdir())


def like_good_in(folder: Path) -> list[str]:
    """Names of folders that people use for good images, other than ``good``."""
    found = (path.name for path in folders_in(folder))
    return [one_form(name) for name in found if name != GOOD and is_like_good(name)]


def name_within(path: Path, folder: Path) -> str:
    """A file's name within its category, in one form.

    Examples
    --------
    >>> name_within(Path("a/b/c.png"), Path("a"))
    'b/c.png'
    """
    return one_form(path.relative_to(folder).as_posix())


def short(path: Path) -> str:
    """A file's path within its category, as errors name it."""
    return one_form("/".join(path.parts[-3:]))


def listed(names: Iterable[str], most: int = _LISTED) -> str:
    """The first names, and how many more there are.

    Examples
    --------
    >>> listed("abcdefg")
    'a, b, c, d, e and 2 more'
    """
    names = list(names)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
