"""Finds for each image what belongs to it by name: a map's file, or a row of a table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from adhelpers.data import one_form

# Folders of images that are not tested; what belongs to these is kept apart.
APART = ("train", "validation", "val")
_DEPTHS = (3, 2, 1)
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy", ".npz")


@dataclass
class Matched:
    """What belongs to each image.

    Attributes
    ----------
    found : dict of str to str
        From the image's name to what belongs to it.
    missing : list of str
        Images without.
    surplus : list of str
        What belongs to no image.
    ambiguous : list of str
        Sentences: images of one name, or two things for one image.
    """

    found: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)


def parts_of(name: str) -> tuple[str, ...]:
    r"""The folders of a path and its name without the suffix.

    Examples
    --------
    >>> parts_of("test/crack/000.png"), parts_of("C:\\data\\crack\\scan.001")
    (('test', 'crack', '000'), ('C:', 'data', 'crack', 'scan.001'))
    """
    path = PurePosixPath(one_form(name.strip().replace("\\", "/")))
    # What follows the last dot of "scan.001" is no suffix.
    stem = path.stem if path.suffix.lower() in _SUFFIXES else path.name
    return (*(part for part in path.parts[:-1] if part not in ("/", ".")), stem)


def split_apart(names: Sequence[str], images: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names that may belong to the images, and those of training and validation images."""
    own = {parts_of(image)[0] for image in images}
    apart = [word for word in APART if word not in own]
    reference = [name for name in names if set(parts_of(name)[:-1]) & set(apart)]
    others = set(reference)
    return [name for name in names if name not in others], reference


def match(images: Sequence[str], names: Sequence[str]) -> Matched:
    """Match images with names by as many folders as both have.

    Parameters
    ----------
    images : sequence of str
        Such as ``"test/crack/000.png"``.
    names : sequence of str
        Paths of files or names in a table: ``"<anything>/test/crack/000.tiff"``,
        ``"crack/000.tiff"`` or ``"000.tiff"``, all of one form.

    Returns
    -------
    Matched

    Examples
    --------
    >>> match(["test/a/0.png", "test/b/0.png"], ["a/0.npy", "c/0.npy"]).missing
    ['test/b/0.png']
    """
    by_depth = {depth: _by_key(images, depth) for depth in _DEPTHS}
    there = {depth: _by_key(names, depth) for depth in _DEPTHS}
    # The deepest form that meets most images: "a/0" must not be taken for any "0".
    depth = max(_DEPTHS, key=lambda one: (len(by_depth[one].keys() & there[one].keys()), one))
    return _compare(by_depth[depth], there[depth], names)


def _by_key(names: Sequence[str], depth: int) -> dict[tuple[str, ...], list[str]]:
    keys: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in names:
        parts = parts_of(name)
        if len(parts) >= depth:
            keys[parts[-depth:]].append(name)
    return dict(keys)


def _compare(
    images: Mapping[tuple[str, ...], list[str]],
    there: Mapping[tuple[str, ...], list[str]],
    names: Sequence[str],
) -> Matched:
    matched, used = Matched(), set()
    for key, same in images.items():
        given = there.get(key, [])
        used.update(given)
        if not given:
            matched.missing += same
        elif len(same) > 1:
            matched.ambiguous.append(
                f"{', '.join(given)} could belong to {' or '.join(same)}: names need the folder"
            )
        elif len(given) > 1:
            matched.ambiguous.append(f"{' and '.join(given)} are both for {same[0]}")
        else:
            matched.found[same[0]] = given[0]
    matched.surplus = [name for name in names if name not in used]
    return matched
