"""What every layout gives: the image files of a category with split, type and masks."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ..reading import GOOD, Entry
from ..remarks import Remark
from .names import listed

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
# The split of good images that nobody has divided into those to train and those to test on.
OPEN = ""
# The type of a defect that has no name.
DEFECT = "defect"
# Good images for training without which nothing can be learned: what two of them have in common is
# the least of a model, and the threshold needs one that no model was fitted to.
LEAST_GOOD = 3
# Of good images that nobody has divided, one of these is tested on: the third, the eighth, ...
_TESTED_EVERY, _FIRST_TESTED = 5, 2


@dataclass(frozen=True)
class Listing:
    """What a category holds, before any image is read.

    Attributes
    ----------
    layout : str
        Title of the layout, such as ``"MVTec AD"``.
    entries : list of Entry
        Those to train on first, then validation, then test.
    problems : list of str
        Why the category cannot be used: wrong or missing files, too few images, a test set of one
        class.
    remarks : list of Remark
        What is there and not used, or doubtful.
    """

    layout: str
    entries: list[Entry]
    problems: list[str]
    remarks: list[Remark]

    def of(self, split: str) -> list[Entry]:
        """The entries of a split."""
        return [entry for entry in self.entries if entry.split == split]


class Layout(ABC):
    """How images and masks of a category lie and are named.

    Attributes
    ----------
    name : str
        As it is asked for.
    title : str
        As it is shown.
    refines : tuple of str
        Names of layouts that fit every such folder too, and are then not meant.
    """

    name: ClassVar[str]
    title: str
    refines: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fits(self, place: Path) -> bool:
        """Whether a folder, or a file, has the shape of this layout; no image is read."""

    @abstractmethod
    def find(self, place: Path) -> Listing:
        """All images of a category in a fixed order, with their masks."""


def unused_remarks(files: Sequence[str], folders: Sequence[str], layout: str) -> Iterator[Remark]:
    """Files and folders that are not used, and where data lie in this layout."""
    for noun, names in (("file", files), ("folder", folders)):
        if names:
            many = f"1 {noun} is" if len(names) == 1 else f"{len(names)} {noun}s are"
            sentence = f"{many} not used ({listed(names)}): {layout}"
            yield Remark(f"{noun}_unused", tuple(names), sentence)


def too_few(entries: Sequence[Entry], train: str = "", test: str = "") -> list[str]:
    """What is wrong where there are too few images to train on, or none to test on.

    Parameters
    ----------
    entries : sequence of Entry
    train, test : str
        Folders of good training images and of the test, where the layout has such.
    """
    problems = []
    good = sum(entry.split != TEST for entry in entries)
    fitted = sum(entry.split == TRAIN for entry in entries)
    if good < LEAST_GOOD or fitted < LEAST_GOOD - 1:
        count = f"{good} image{'' if good == 1 else 's'}"
        holds = f"{train} holds {count}" if train else f"good images to train on: {good}"
        problems.append(
            f"{holds}; at least three are needed, two to train on and one that is held out for "
            "the threshold"
        )
    if good == len(entries):
        problems.append(f"{test} holds no images" if test else "there are no images to test on")
    return problems


def one_class(entries: Iterable[Entry], good: str, defective: str, where: str = TEST) -> list[str]:
    """What is wrong with a test set that holds images, but of one class only.

    Parameters
    ----------
    entries : iterable of Entry
    good, defective : str
        What to do where good, or defective, images are missing.
    where : str
        What the test set is called.
    """
    tested = {entry.type == GOOD for entry in entries if entry.split == TEST}
    both = "nothing can be measured without both classes"
    if tested == {False}:
        return [f"{where} holds no good images: {both}; {good}"]
    if tested == {True}:
        return [f"{where} holds no anomalous images: {both}; {defective}"]
    return []


def listing(
    layout: str, entries: Iterable[Entry], problems: Sequence[str], remarks: Sequence[Remark], *,
    good: str, defective: str,
) -> Listing:  # fmt: skip
    """The listing of images whose layout says of each what it shows, but not all that is needed.

    Good images of the split ``OPEN`` are divided, defective ones of it are tested on. Defective
    images to train on or to hold out are left out. An image that is defective and has no mask where
    others have one is named.

    Parameters
    ----------
    layout : str
        Its title.
    entries : iterable of Entry
    problems : sequence of str
    remarks : sequence of Remark
    good, defective : str
        Where the layout has good, and defective, test images.

    Returns
    -------
    Listing
    """
    divided = _divided(sorted(entries, key=lambda entry: (entry.type, entry.name)))
    learned = [one for one in divided if one.split != TEST and one.type != GOOD]
    kept = [one for one in divided if one.split == TEST or one.type == GOOD]
    kept.sort(key=lambda entry: SPLITS.index(entry.split))
    wrong = [*problems]
    if not problems or kept:
        wrong += too_few(kept) + one_class(kept, good, defective)
    return Listing(
        layout, kept, wrong, [*remarks, *_defective_training(learned), *_without_mask(kept)]
    )


def _divided(entries: Sequence[Entry]) -> list[Entry]:
    """Entries of which each has a split."""
    found, open_good = [], 0
    for entry in entries:
        split = entry.split
        if split == OPEN:
            split = TEST
            if entry.type == GOOD:
                split = TEST if open_good % _TESTED_EVERY == _FIRST_TESTED else TRAIN
                open_good += 1
        found.append(replace(entry, split=split))
    return found


def _defective_training(learned: Sequence[Entry]) -> list[Remark]:
    """What is said of defective images among those to learn from."""
    if not learned:
        return []
    names = tuple(entry.name for entry in learned)
    many = "1 defective image" if len(names) == 1 else f"{len(names)} defective images"
    sentence = (
        f"{many} of the training part {'is' if len(names) == 1 else 'are'} not used "
        f"({listed(names)}): detectors learn from good images only, and the test part stays as it "
        "was published"
    )
    return [Remark("training_defects", names, sentence)]


def _without_mask(entries: Sequence[Entry]) -> list[Remark]:
    """What is said of defective images without a mask where others have one."""
    if not any(entry.masks for entry in entries):
        return []
    names = tuple(one.name for one in entries if one.type != GOOD and not one.masks)
    if not names:
        return []
    many = "1 defective image has" if len(names) == 1 else f"{len(names)} defective images have"
    sentence = (
        f"{many} no mask ({listed(names)}): left out of all measures that need one; draw the "
        "defects, or leave these images out"
    )
    return [Remark("mask_missing", names, sentence)]
