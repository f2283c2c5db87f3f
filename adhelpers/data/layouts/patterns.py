"""Plain folders with any names: patterns say which images are good and which are defective."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from ..reading import GOOD, Entry
from .base import DEFECT, OPEN, TEST, TRAIN, Layout, Listing, listing
from .names import is_data, is_image, listed, name_within, one_form

# What mask files have behind the name of their image, in lower case.
_MASK_ENDS = ("_mask", "-mask", "_gt", "_seg", "_label", "_defect")


@dataclass(frozen=True)
class Patterns(Layout):
    """Files by patterns such as ``"ok/*.png"`` or ``"**/*_bad.jpg"``, within the folder.

    The type of a defective image is the name of its folder, or ``"defect"`` where good images lie
    in the same one. A mask belongs to the image whose name it has, before an ending such as
    ``_mask`` or what its pattern adds. What a pattern of masks finds is no image.

    Attributes
    ----------
    good : str or tuple of str
        Good images; every fifth is tested on unless ``test_good`` says which.
    defect : str or tuple of str
    masks : str or tuple of str
    test_good : str or tuple of str
        Good images to test on; the others are all trained on.
    """

    good: str | tuple[str, ...] = ()
    defect: str | tuple[str, ...] = ()
    masks: str | tuple[str, ...] = ()
    test_good: str | tuple[str, ...] = ()

    name: ClassVar[str] = "folders"
    title = "plain folders"

    def fits(self, place: Path) -> bool:
        """Never by itself: patterns are given."""
        return False

    def find(self, place: Path) -> Listing:
        """All images that the patterns find."""
        for option in ("good", "defect"):
            if not getattr(self, option):
                raise ValueError(
                    f"{option}: the layout of plain folders needs a pattern, such as "
                    f"'{'ok' if option == 'good' else 'scratched'}/*.png'"
                )
        problems: list[str] = []
        masks = _found(place, "masks", self.masks, problems)
        files, good = dict[Path, str](), list[Path]()
        for option in ("test_good", "good", "defect"):
            found = [
                path
                for path in _found(place, option, getattr(self, option), problems)
                if path not in masks
            ]
            if option == "defect":
                both = [name_within(path, place) for path in found if path in files]
                if both:
                    problems.append(
                        f"the patterns good and defect both find {listed(both)}; make one of them "
                        "narrower"
                    )
            else:
                good += found
            files |= {path: option for path in found if path not in files}
        by_image = _paired(place, list(files), masks, self.masks, problems)
        within = (place.resolve(),)
        shared = {path.parent for path in good}
        open_split = TRAIN if self.test_good else OPEN
        splits = {"good": open_split, "test_good": TEST, "defect": TEST}
        entries = [
            Entry(
                splits[option],
                _type(path, place, shared) if option == "defect" else GOOD,
                name_within(path, place),
                path,
                tuple(by_image.get(path, ())),
                within,
            )
            for path, option in files.items()
        ]
        return listing(
            self.title,
            entries,
            problems,
            [],
            good="let the pattern good find more images",
            defective="let the pattern defect find some",
        )


def _several(patterns: str | Sequence[str]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _found(
    place: Path, option: str, patterns: str | Sequence[str], problems: list[str]
) -> list[Path]:
    """The image files that patterns find, in the order of names."""
    found = set[Path]()
    for pattern in filter(None, _several(patterns)):
        if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            raise ValueError(
                f"{option}: the pattern {pattern!r} must stay within the folder of the images"
            )
        fitting = {
            path
            for path in place.glob(_any_case(pattern))
            if path.is_file() and is_image(path) and all(map(is_data, _parents(path, place)))
        }
        if not fitting:
            problems.append(f"the pattern {option} {pattern!r} finds no image")
        found |= fitting
    return sorted(found)


def _parents(path: Path, place: Path) -> list[Path]:
    """The folders between the category and a file."""
    return [one for one in path.parents if one != place and one.is_relative_to(place)]


def _any_case(pattern: str) -> str:
    """A pattern whose ending is found in capitals too.

    Examples
    --------
    >>> _any_case("ok/*.png")
    'ok/*.[pP][nN][gG]'
    """
    head, dot, ending = pattern.rpartition(".")
    if not dot or not ending.isalpha():
        return pattern
    return head + dot + "".join(f"[{one.lower()}{one.upper()}]" for one in ending)


def _type(path: Path, place: Path, shared: set[Path]) -> str:
    """The type of a defective image."""
    own = path.parent
    name = one_form(own.name)
    return DEFECT if own == place or own in shared or name == GOOD else name


def _stem(path: Path, patterns: Sequence[str]) -> str:
    """What a mask's name has of its image's name."""
    stem = one_form(path.stem)
    for pattern in patterns:
        # The last part of "gt/*_truth.png" is any name with this end.
        before, star, after = PurePosixPath(pattern).stem.rpartition("*")
        if star and not set("*?[") & set(before) and stem.startswith(before):
            rest = stem.removeprefix(before)
            if after and rest.endswith(after):
                return rest.removesuffix(after)
            stem = rest if before else stem
    end = next((one for one in _MASK_ENDS if stem.lower().endswith(one)), "")
    return stem[: len(stem) - len(end)]


def _paired(
    place: Path,
    images: Sequence[Path],
    masks: Sequence[Path],
    patterns: str | Sequence[str],
    problems: list[str],
) -> dict[Path, list[Path]]:
    """The mask of each image that has one."""
    by_stem = defaultdict[str, list[Path]](list)
    for path in images:
        by_stem[one_form(path.stem)].append(path)
    paired = defaultdict[Path, list[Path]](list)
    for mask in masks:
        stem, name = _stem(mask, _several(patterns)), name_within(mask, place)
        found = by_stem.get(stem) or by_stem.get(one_form(mask.stem)) or []
        if len(found) > 1:
            # "0.png" of several types: the mask's folder is called like the image's.
            found = [one for one in found if one.parent.name == mask.parent.name] or found
        if len(found) != 1:
            names = listed(name_within(one, place) for one in found)
            problems.append(
                f"{name}: may belong to {names}; masks need folders named like their images'"
                if found
                else f"{name}: is a mask without an image {stem}.*"
            )
        elif paired[found[0]]:
            first = name_within(paired[found[0]][0], place)
            problems.append(f"{name}: is a second mask beside {first}")
        else:
            paired[found[0]].append(mask)
    return paired
