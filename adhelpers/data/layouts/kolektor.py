"""Kolektor SDD2: images and masks side by side in ``train`` and ``test``."""

import re
from functools import lru_cache
from pathlib import Path

from adhelpers._shared.threads import in_threads

from ..masks import read_mask
from ..reading import GOOD, Entry, FileProblem, read_decoded
from ..remarks import Remark
from .base import DEFECT, TEST, TRAIN, Layout, Listing, listing, unused_remarks
from .names import (
    folders_in,
    images_in,
    is_data,
    is_document,
    is_image,
    name_within,
    one_form,
    short,
)

_MASK = "_GT"
# The published archive holds "10301 (copy).png" and "10301_GT (copy).png", which would pass for
# an image.
_COPY = re.compile(r".* \(copy\)")
_WHERE = (
    "images and masks lie in train and test as <number>.png and <number>_GT.png; copies of both "
    "that a desktop has made are left out"
)


class Kolektor(Layout):
    """``train/10000.png`` and ``train/10000_GT.png``: an image whose mask marks nothing is good.

    Defective images of the training part are left out.
    """

    name = "ksdd2"
    title = "Kolektor SDD2"
    refines = ("mvtec", "csv", "coco")

    def fits(self, place: Path) -> bool:
        """Whether masks lie beside the images of ``train`` or ``test``."""
        return any(
            path.stem.endswith(_MASK) and is_image(path)
            for part in (TRAIN, TEST)
            if (place / part).is_dir()
            for path in (place / part).iterdir()
        )

    def find(self, place: Path) -> Listing:
        """All images; their masks are read, because only these say which are good."""
        problems, copies, pairs = list[str](), list[str](), list[tuple[str, Path, Path]]()
        for part in (TRAIN, TEST):
            if not (place / part).is_dir():
                raise FileNotFoundError(
                    f"no folder {one_form(str(place / part))}: {self.title} has train and test, "
                    "with the images and their masks in each"
                )
            files = images_in(place / part, problems)
            copies += [name_within(path, place) for path in files if _COPY.fullmatch(path.stem)]
            files = [path for path in files if not _COPY.fullmatch(path.stem)]
            masks = {one.stem.removesuffix(_MASK): one for one in files if one.stem.endswith(_MASK)}
            for path in files:
                if path.stem.endswith(_MASK):
                    continue
                mask = masks.pop(path.stem, None)
                if mask is None:
                    problems.append(
                        f"{short(path)}: has no mask {one_form(path.stem)}{_MASK}.png, which says "
                        "whether it is good"
                    )
                else:
                    pairs.append((part, path, mask))
            problems += [f"{short(one)}: is a mask without an image" for one in masks.values()]
        within = tuple(one.resolve() for one in (place, place.parent))
        entries = list[Entry]()
        marked = in_threads(lambda pair: _marks(pair[2], within), pairs)
        for (part, path, mask), found in zip(pairs, marked, strict=True):
            if isinstance(found, str):
                problems.append(found)
                continue
            kind, masks_of = (DEFECT, (mask,)) if found else (GOOD, ())
            name = name_within(path, place)
            entries.append(Entry(part, kind, name, path, masks_of, within))
        return listing(
            self.title,
            entries,
            problems,
            [*unused_remarks(copies, [], _WHERE), *_beside(place)],
            good="good images are those whose mask is black",
            defective="defective images are those whose mask is not black",
        )


def _beside(place: Path) -> list[Remark]:
    """What lies beside ``train`` and ``test``."""
    files = [
        name_within(path, place)
        for path in sorted(place.iterdir())
        if is_data(path) and not path.is_dir() and not is_document(path)
    ]
    folders = [one_form(one.name) for one in folders_in(place) if one.name not in (TRAIN, TEST)]
    return list(unused_remarks(files, folders, _WHERE))


def _marks(mask: Path, within: tuple[Path, ...]) -> bool | str:
    """Whether a mask marks anything, or why it cannot be read."""
    try:
        about = mask.stat()
        return _marks_anything(mask, within, about.st_size, about.st_mtime_ns)
    except OSError as error:
        return f"{short(mask)}: {error.strerror}"
    except FileProblem as problem:
        return str(problem)


@lru_cache(maxsize=20_000)
def _marks_anything(mask: Path, within: tuple[Path, ...], size: int, changed: int) -> bool:
    """Whether a mask marks anything: known again as long as its size and time stay the same."""
    _, decoded = read_decoded(mask, short(mask), within)
    return bool(read_mask(decoded)[0].any())
