"""The MVTec layout: where a category's images and masks lie and how they are named.

``<root>/<category>/train/good``, ``test/good``, ``test/<defect type>`` and, where there are masks,
``ground_truth/<defect type>``. What reads, checks, fetches or renders a category asks here.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from adhelpers._shared.text import escaped

from .reading import GOOD, SUFFIXES, Entry
from .remarks import Remark

TRAIN, TEST, TRUTH = "train", "test", "ground_truth"
# Good images for training without which nothing can be learned: what two of them have in common is
# the least of a model, and the threshold needs one that no model was fitted to.
LEAST_GOOD = 3

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
# Documents in a category's folder, as publishers put them there.
_DOCUMENTS = ("readme", "license", "licence", "copying", "citation")
_LISTED = 5
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


def one_form(name: str) -> str:
    """A name as it is compared, shown and stored: in Unicode's NFC, and as `escaped` gives it."""
    return escaped(unicodedata.normalize("NFC", name))


def file_of(root: Path, name: str) -> Path:
    """The path of a file by its name within a folder, as categories name their files.

    Parameters
    ----------
    root : Path
    name : str
        Such as ``"screw/test/good/000.png"``.

    Returns
    -------
    Path
        As it is on the disk, in whatever Unicode form.
    """
    path = root
    for part in name.split("/"):
        there = path / part
        if not there.exists():
            beside = path.iterdir() if path.is_dir() else ()
            there = next((one for one in beside if one_form(one.name) == part), there)
        path = there
    return path


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
            f"no folder {one_form(str(root))}: root is the folder that holds the categories "
            f"({_LAYOUT})"
        )
    # Compared by listing: a file system that ignores case would let "Screw" pass and give it
    # another fingerprint.
    found = {one_form(path.name): path for path in _folders(root)}
    folders = list(found)
    if one_form(category) not in found:
        raise FileNotFoundError(
            f"no category {one_form(category)!r} in {one_form(str(root))}: "
            f"{_hint(one_form(category), folders)}"
        )
    folder = found[one_form(category)]
    missing = missing_folder(folder)
    if missing is not None:
        like = _like_good(missing.parent) if missing.name == GOOD else []
        hint = f"rename {TRAIN}/{like[0]} to {TRAIN}/{GOOD}" if like else _LAYOUT
        raise FileNotFoundError(f"no folder {one_form(str(missing))}: {hint}")
    return folder


def _like_good(folder: Path) -> list[str]:
    """Names of folders that people use for good images, other than ``good``."""
    return [
        one_form(path.name)
        for path in (_folders(folder) if folder.is_dir() else ())
        if path.name != GOOD
        and "".join(one for one in path.name.casefold() if one not in " -_.") in _LIKE_GOOD
    ]


def _hint(category: str, folders: list[str]) -> str:
    """What a person who asked for ``category`` may have meant."""
    lower = {name.lower(): name for name in folders}
    near = difflib.get_close_matches(category.lower(), lower, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(repr(lower[name]) for name in near) + "?"
    if folders:
        return "there are: " + ", ".join(folders)
    return f"the root is empty; {_LAYOUT}"


def list_entries(folder: Path) -> tuple[list[Entry], list[str], list[Remark]]:
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
        Wrong files, masks without image, defective images without mask, too few images, a test set
        of one class.
    remarks : list of Remark
        What is there and not used.
    """
    problems: list[str] = []
    truth, within = folder / TRUTH, tuple(one.resolve() for one in (folder, folder.parent))
    mask_folders = {one_form(path.name): path for path in _folders(truth) if _holds_images(path)}
    entries = [
        Entry(TRAIN, GOOD, f"{TRAIN}/{GOOD}/{one_form(path.name)}", path, within=within)
        for path in _list_images(folder / TRAIN / GOOD, problems)
    ]
    for place in _folders(folder / TEST):
        kind = one_form(place.name)
        masks = _masks(mask_folders.pop(kind, None), problems)
        for path in _list_images(place, problems):
            name, stem = f"{TEST}/{kind}/{one_form(path.name)}", one_form(path.stem)
            mask = masks.pop(stem, None)
            entry = Entry(TEST, kind, name, path, mask, within)
            if kind != GOOD and mask is None and _has_masks(truth):
                problems.append(f"{entry.name}: has no mask {mask_name(kind, stem)}")
            entries.append(entry)
        for stem, path in sorted(masks.items()):
            problems.append(f"{_short(path)}: is a mask without an image {TEST}/{kind}/{stem}.*")
    problems += [
        f"{TRUTH}/{name}: holds masks, but there is no folder {TEST}/{name}"
        for name in mask_folders
    ]
    like = _like_good(folder / TEST)
    problems += _too_few(entries) + _one_class(entries, like)
    return entries, problems, [*_unused(folder), *_beside(folder)]


def _holds_images(folder: Path) -> bool:
    return any(is_data(path) and path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def _has_masks(truth: Path) -> bool:
    """Whether there is any mask; a folder with hidden files only has none."""
    return any(_holds_images(path) for path in _folders(truth))


def _too_few(entries: Sequence[Entry]) -> list[str]:
    """What is wrong where there are too few images to train on, or none to test on."""
    problems = []
    good = sum(entry.split == TRAIN for entry in entries)
    if good < LEAST_GOOD:
        problems.append(
            f"{TRAIN}/{GOOD} holds {good} image{'' if good == 1 else 's'}; at least three are "
            "needed, two to train on and one that is held out for the threshold"
        )
    if good == len(entries):
        problems.append(f"{TEST} holds no images")
    return problems


def _one_class(entries: Iterable[Entry], like: list[str]) -> list[str]:
    """What is wrong with a test set that holds images, but of one class only."""
    tested = {entry.type == GOOD for entry in entries if entry.split == TEST}
    if tested == {False}:
        hint = f"rename {TEST}/{like[0]} to" if like else "put good images into"
        return [
            f"{TEST} holds no good images: nothing can be measured without both classes; "
            f"{hint} {TEST}/{GOOD}"
        ]
    if tested == {True}:
        return [
            f"{TEST} holds no anomalous images: nothing can be measured without both classes; put "
            f"them into a folder named after the defect, such as {TEST}/crack"
        ]
    return []


def _beside(folder: Path) -> list[Remark]:
    """Folders that may hold good images, beside ``good``."""
    found = []
    for split, use in ((TRAIN, "not used"), (TEST, "read as a type of defect")):
        good = f"{split}/{GOOD}"
        if (folder / good).is_dir():
            files = tuple(f"{split}/{name}" for name in _like_good(folder / split))
            found += [Remark("good_synonym", files, _synonym(files, use, good))] * bool(files)
    return found


def _synonym(files: tuple[str, ...], use: str, good: str) -> str:
    return (
        f"{', '.join(files)} beside {good}: {use}; where these images are good, move them into "
        f"{good}"
    )


def _unused(folder: Path) -> list[Remark]:
    """What lies in a category and is not used."""
    places = {
        folder: (TRAIN, TEST, TRUTH),
        # What `_beside` names needs no second word.
        folder / TRAIN: (GOOD, *_like_good(folder / TRAIN)),
        folder / TEST: None,
        folder / TRUTH: None,
    }
    files, folders = [], []
    for place, used in places.items():
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            name = one_form(path.relative_to(folder).as_posix())
            if not is_data(path) or place == folder and is_document(path):
                continue
            if not path.is_dir():
                files.append(name)
            elif used is not None and one_form(path.name) not in used:
                folders.append(name)
    truth, remarks = folder / TRUTH, []
    if truth.is_dir() and not _has_masks(truth):
        sentence = f"{TRUTH} holds no masks: the category is used without masks"
        remarks.append(Remark("masks_none", (TRUTH,), sentence))
    layout = (
        f"good images to train on lie in {TRAIN}/{GOOD}, of which the validation part is taken, "
        f"all others in {TEST}/{GOOD} and {TEST}/<type>, masks in {TRUTH}/<type>"
    )
    return [*remarks, *unused_remarks(files, folders, layout)]


def unused_remarks(files: Sequence[str], folders: Sequence[str], layout: str) -> Iterator[Remark]:
    """Files and folders that are not used, and where data lie in this layout."""
    for noun, names in (("file", files), ("folder", folders)):
        if names:
            many = f"1 {noun} is" if len(names) == 1 else f"{len(names)} {noun}s are"
            sentence = f"{many} not used ({_first(names)}): {layout}"
            yield Remark(f"{noun}_unused", tuple(names), sentence)


def _first(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _folders(folder: Path) -> list[Path]:
    """Folders of data within ``folder`` by name; none where it does not exist."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.is_dir() and is_data(path))
    return sorted(found, key=lambda path: path.name)


def _list_images(folder: Path, problems: list[str]) -> list[Path]:
    """Image files of one folder by name; anything else in it is a problem."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if not is_data(path):
            continue
        if path.is_dir():
            problems.append(
                f"{_short(path)}: is a folder; images lie directly in {one_form(folder.name)}/"
            )
        elif path.suffix.lower() not in SUFFIXES:
            problems.append(f"{_short(path)}: is not one of {', '.join(SUFFIXES)}")
        else:
            found.append(path)
    return found


def _masks(folder: Path | None, problems: list[str]) -> dict[str, Path]:
    """Masks of one type by the stem of the image that each belongs to."""
    masks: dict[str, Path] = {}
    for path in _list_images(folder, problems) if folder else ():
        # The published data say "000_mask.png"; other tools write "000.png".
        stem = one_form(path.stem).removesuffix("_mask")
        if stem in masks:
            problems.append(f"{_short(path)}: is a second mask beside {one_form(masks[stem].name)}")
        masks[stem] = path
    return masks


def _short(path: Path) -> str:
    """A file's path within its category."""
    return one_form("/".join(path.parts[-3:]))
