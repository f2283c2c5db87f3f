"""Layouts with a folder for each split and, in it, one for each type: MVTec's, and BTAD."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..reading import GOOD, Entry
from ..remarks import Remark
from .base import (
    TEST,
    TRAIN,
    VALIDATION,
    Layout,
    Listing,
    one_class,
    too_few,
    unused_remarks,
)
from .names import (
    folders_in,
    holds_images,
    images_in,
    is_data,
    is_document,
    is_image,
    like_good_in,
    listed,
    name_within,
    one_form,
    short,
)

TRUTH = "ground_truth"
LAYOUT = (
    "expected <root>/<category>/train/good, test/good, test/<defect type> and, where there are "
    "masks, ground_truth/<defect type>"
)
_LOCO_TYPES = ("logical_anomalies", "structural_anomalies")
_LOCO_CONFIG = "defects_config.json"


def image_name(split: str, kind: str, stem: str) -> str:
    """Path of an image within its category, in the layout of MVTec AD.

    Examples
    --------
    >>> image_name("test", "crack", "000")
    'test/crack/000.png'
    """
    return f"{split}/{kind}/{stem}.png"


def mask_name(kind: str, stem: str) -> str:
    """Path of the mask of a test image within its category, in the layout of MVTec AD.

    Examples
    --------
    >>> mask_name("crack", "000")
    'ground_truth/crack/000_mask.png'
    """
    return f"{TRUTH}/{kind}/{stem}_mask.png"


def missing_folder(folder: Path) -> Path | None:
    """The first of the folders that every category of MVTec AD has and this one lacks."""
    needed = (folder / TRAIN / GOOD, folder / TEST)
    return next((path for path in needed if not path.is_dir()), None)


@dataclass(frozen=True)
class SplitFolders(Layout):
    """``<split>/<type>/<images>`` and ``<truth>/<type>/<masks>``.

    Attributes
    ----------
    title : str
    good : str
        The folder of good images in each split.
    validation : str
        The folder of good images that are held out; empty where the layout has none.
    test, truth : str
        Folders of the test images and of the masks.
    unlabelled : tuple of str
        Folders of images without labels, which are not used.
    """

    title: str = "MVTec AD"
    good: str = GOOD
    validation: str = ""
    test: str = TEST
    truth: str = TRUTH
    unlabelled: tuple[str, ...] = ()

    name: ClassVar[str] = "mvtec"
    refines: ClassVar[tuple[str, ...]] = ("csv", "coco")

    def fits(self, place: Path) -> bool:
        """Whether there is a folder ``train`` or ``test``: which others lack is said later."""
        return any((place / split).is_dir() for split in (TRAIN, TEST))

    def find(self, place: Path) -> Listing:
        """All images, or a FileNotFoundError that names the folder that is missing."""
        self._check_folders(place)
        problems: list[str] = []
        within = tuple(one.resolve() for one in (place, place.parent))
        entries = [
            Entry(split, GOOD, name_within(path, place), path, within=within)
            for split, folder in ((TRAIN, TRAIN), (VALIDATION, self.validation))
            if folder
            for path in images_in(place / folder / self.good, problems)
        ]
        truth = place / self.truth
        kinds = [path for path in folders_in(truth) if self._holds(path)]
        mask_folders, has_masks = {one_form(path.name): path for path in kinds}, bool(kinds)
        for folder in folders_in(place / self.test):
            if folder == truth:
                continue
            kind = one_form(folder.name)
            masks = self._masks(mask_folders.pop(kind, None), problems)
            for path in images_in(folder, problems):
                name, stem = name_within(path, place), one_form(path.stem)
                found = masks.pop(stem, ())
                kind_of = GOOD if folder.name == self.good else kind
                if kind_of != GOOD and not found and has_masks:
                    problems.append(f"{name}: has no mask {self._mask_name(kind, stem)}")
                entries.append(Entry(TEST, kind_of, name, path, found, within))
            for stem, paths in sorted(masks.items()):
                problems.append(
                    f"{short(paths[0])}: is a mask without an image {self.test}/{kind}/{stem}.*"
                )
        problems += [
            f"{self.truth}/{name}: holds masks, but there is no folder {self.test}/{name}"
            for name in mask_folders
        ]
        problems += self._too_few_of_a_kind(place, entries)
        remarks = [*self._unused(place), *self._beside(place), *self._without_labels(place)]
        return Listing(self.title, entries, problems, remarks)

    def _check_folders(self, place: Path) -> None:
        """Refuse a category without its training or test images."""
        folders = [f"{TRAIN}/{self.good}", self.test]
        folders += [f"{self.validation}/{self.good}"] * bool(self.validation)
        missing = next((place / one for one in folders if not (place / one).is_dir()), None)
        if missing is None:
            return
        like = like_good_in(missing.parent) if missing.name == GOOD else []
        part = missing.parent.name
        hint = f"rename {part}/{like[0]} to {part}/{GOOD}" if like else self._expected()
        raise FileNotFoundError(f"no folder {one_form(str(missing))}: {hint}")

    def _expected(self) -> str:
        """The folders of this layout, in one sentence."""
        if self.name == "mvtec":
            return LAYOUT
        held_out = f"{self.validation}/{self.good}, " if self.validation else ""
        return (
            f"{self.title} has {TRAIN}/{self.good}, {held_out}{self.test}/{self.good}, "
            f"{self.test}/<defect type> and {self.truth}/<defect type>"
        )

    def _masks(self, folder: Path | None, problems: list[str]) -> dict[str, tuple[Path, ...]]:
        """Masks of one type by the stem of the image that each belongs to."""
        masks: dict[str, tuple[Path, ...]] = {}
        for path in images_in(folder, problems) if folder else ():
            # The published data say "000_mask.png"; other tools write "000.png".
            stem = one_form(path.stem).removesuffix("_mask")
            if stem in masks:
                beside = one_form(masks[stem][0].name)
                problems.append(f"{short(path)}: is a second mask beside {beside}")
            masks[stem] = (path,)
        return masks

    def _holds(self, folder: Path) -> bool:
        """Whether masks lie in the folder of a type."""
        return holds_images(folder)

    def _mask_name(self, kind: str, stem: str) -> str:
        return f"{self.truth}/{kind}/{stem}_mask.png"

    def _too_few_of_a_kind(self, place: Path, entries: Sequence[Entry]) -> list[str]:
        """What is wrong with the number of images of each class."""
        good = f"{self.test}/{self.good}"
        like = like_good_in(place / self.test) if self.good == GOOD else []
        return [
            *too_few(entries, f"{TRAIN}/{self.good}", self.test),
            *one_class(
                entries,
                f"rename {self.test}/{like[0]} to {good}"
                if like
                else f"put good images into {good}",
                "put them into a folder named after the defect, such as "
                f"{self.test}/{'crack' if self.good == GOOD else 'ko'}",
                self.test,
            ),
        ]

    def _without_labels(self, place: Path) -> list[Remark]:
        """What is said of images without labels."""
        found = {one: sum(map(is_image, (place / one).glob("*"))) for one in self.unlabelled}
        names = tuple(name for name, count in found.items() if count)
        if not names:
            return []
        sentence = (
            f"{sum(found.values())} images in {listed(names)} have no labels and are not used: "
            "their publisher measures what is sent to its server"
        )
        return [Remark("unlabelled", names, sentence)]

    def _beside(self, place: Path) -> list[Remark]:
        """Folders that may hold good images, beside ``good``."""
        found = []
        for split, use in ((TRAIN, "not used"), (self.test, "read as a type of defect")):
            good = f"{split}/{self.good}"
            if self.good == GOOD and (place / good).is_dir():
                files = tuple(f"{split}/{name}" for name in like_good_in(place / split))
                found += [Remark("good_synonym", files, _synonym(files, use, good))] * bool(files)
        return found

    def _unused(self, place: Path) -> list[Remark]:
        """What lies in a category and is not used."""
        top = [TRAIN, self.validation, self.test, self.truth, *self.unlabelled]
        # What `_beside` names needs no second word.
        like = like_good_in(place / TRAIN) if self.good == GOOD else []
        places: dict[Path, tuple[str, ...] | None] = {place: tuple(top)}
        places[place / TRAIN] = (self.good, *like)
        if self.validation:
            places[place / self.validation] = (self.good,)
        places |= {place / self.test: None, place / self.truth: None}
        files, folders = [], []
        for where, used in places.items():
            for path in sorted(where.iterdir()) if where.is_dir() else ():
                if not is_data(path) or where == place and self._is_about(path):
                    continue
                if not path.is_dir():
                    files.append(name_within(path, place))
                elif used is not None and one_form(path.name) not in used:
                    folders.append(name_within(path, place))
        truth, remarks = place / self.truth, []
        if truth.is_dir() and not any(map(self._holds, folders_in(truth))):
            sentence = f"{self.truth} holds no masks: the category is used without masks"
            remarks.append(Remark("masks_none", (self.truth,), sentence))
        return [*remarks, *unused_remarks(files, folders, self._where())]

    def _is_about(self, path: Path) -> bool:
        """Whether a file beside the folders says something about them."""
        return is_document(path)

    def _where(self) -> str:
        """Where the images of this layout lie."""
        held_out = (
            f"those that are held out in {self.validation}/{self.good}"
            if self.validation
            else "of which the validation part is taken"
        )
        return (
            f"good images to train on lie in {TRAIN}/{self.good}, {held_out}, "
            f"all others in {self.test}/{self.good} and {self.test}/<type>, masks in "
            f"{self.truth}/<type>"
        )


class Loco(SplitFolders):
    """MVTec LOCO AD: good images held out in a folder, and a folder of masks for each image.

    A defect may be marked in several places of which any is enough, each in a file of its own; what
    the value of its pixels means stands in ``defects_config.json``. Their union is the mask.
    """

    name: ClassVar[str] = "loco"
    refines: ClassVar[tuple[str, ...]] = ("mvtec", "csv", "coco")

    def __init__(self) -> None:
        super().__init__(title="MVTec LOCO AD", validation="validation")

    def fits(self, place: Path) -> bool:
        """Whether there is its file of defects, or a folder of one of its two types."""
        signs = (place / _LOCO_CONFIG, *(place / TEST / kind for kind in _LOCO_TYPES))
        return (place / TRAIN).is_dir() and any(sign.exists() for sign in signs)

    def _masks(self, folder: Path | None, problems: list[str]) -> dict[str, tuple[Path, ...]]:
        found = folders_in(folder) if folder else []
        masks = {one_form(one.name): tuple(images_in(one, problems)) for one in found}
        return {stem: paths for stem, paths in masks.items() if paths}

    def _holds(self, folder: Path) -> bool:
        return any(map(holds_images, folders_in(folder)))

    def _mask_name(self, kind: str, stem: str) -> str:
        return f"{self.truth}/{kind}/{stem}/000.png"

    def _is_about(self, path: Path) -> bool:
        return is_document(path) or path.name == _LOCO_CONFIG


class MvtecTwo(SplitFolders):
    """MVTec AD 2: good images held out in a folder, and a part of the test with labels."""

    name: ClassVar[str] = "mvtec2"
    refines: ClassVar[tuple[str, ...]] = ("mvtec", "csv", "coco")

    def __init__(self) -> None:
        super().__init__(
            title="MVTec AD 2",
            validation="validation",
            test="test_public",
            truth="test_public/ground_truth",
            unlabelled=("test_private", "test_private_mixed"),
        )

    def fits(self, place: Path) -> bool:
        """Whether there is a public part of the test."""
        return (place / TRAIN).is_dir() and (place / "test_public").is_dir()


class Btad(SplitFolders):
    """BTAD: ``ok`` is good and ``ko`` defective."""

    name: ClassVar[str] = "btad"
    refines: ClassVar[tuple[str, ...]] = ("mvtec", "csv", "coco")

    def __init__(self) -> None:
        super().__init__(title="BTAD", good="ok")

    def fits(self, place: Path) -> bool:
        """Whether good images lie in ``ok``, and in neither part in ``good``."""
        named = any((place / TEST / kind).is_dir() for kind in ("ok", "ko"))
        own = any((place / split / GOOD).is_dir() for split in (TRAIN, TEST))
        return (place / TRAIN / "ok").is_dir() and named and not own


def _synonym(files: tuple[str, ...], use: str, good: str) -> str:
    return (
        f"{', '.join(files)} beside {good}: {use}; where these images are good, move them into "
        f"{good}"
    )
