"""COCO files: images with annotations, of which each is a box, polygons or run lengths."""

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from ..reading import GOOD, CategoryError
from ..remarks import Remark
from ..shapes import Shapes
from .base import OPEN, TEST, Layout, Listing, listing
from .lists import Row, entries_of, lists_in, placed, split_of
from .names import folders_in, is_like_good, listed, one_form

_TOGETHER = " and "
_PARTS = ("images", "annotations", "categories")
# Where the images of a file lie beside it, most often.
_IMAGE_FOLDERS = ("", "images")
# No list of a data set is larger; an image file of this ending is never opened.
_MOST_BYTES = 500_000_000


@dataclass(frozen=True)
class Coco(Layout):
    """A COCO file, or one in each of the folders ``train``, ``valid`` and ``test``.

    An image is defective where an annotation of it has a category that is not called good. Its mask
    is what polygons and run lengths cover, and where there are none, boxes. Images lie in the
    file's folder or in ``images`` beside it. Without folders of splits, every fifth good image and
    all defective ones are tested on.

    Attributes
    ----------
    good : str
        The category of good objects, where it is none that `is_like_good` knows.
    """

    good: str = ""

    name: ClassVar[str] = "coco"
    title = "COCO"

    def fits(self, place: Path) -> bool:
        """Whether one JSON file is there that has COCO's three parts."""
        return bool(_files(place))

    def find(self, place: Path) -> Listing:
        """All images that the files name."""
        files = _files(place)
        if len({split for split, _ in files}) < len(files) or not files:
            raise CategoryError(one_form(place.name), [_which(files, place)])
        problems, rows = list[str](), list[Row]()
        for split, file in files:
            rows += self._rows(split, file, problems)
        home = place.parent if place.is_file() else place
        shapes = [one for row in rows for one in row.masks if isinstance(one, Shapes)]
        return listing(
            f"{self.title} {listed(dict.fromkeys(one_form(file.name) for _, file in files))}",
            entries_of(rows, home, problems),
            problems,
            _boxes(sum(one.boxes for one in shapes), sum(len(one.marks) for one in shapes)),
            good="images without annotations are good",
            defective="images with annotations are defective",
        )

    def _rows(self, split: str, file: Path, problems: list[str]) -> list[Row]:
        """The images of one file."""
        content = _content(file)
        where = one_form(file.name)
        categories = {one.get("id"): str(one.get("name", "")) for one in content["categories"]}
        marks = defaultdict[Any, list[dict[str, Any]]](list)
        images = {one.get("id"): one for one in content["images"]}
        for mark in content["annotations"]:
            if mark.get("category_id") not in categories:
                problems.append(
                    f"{where}: annotation {mark.get('id')} has the category "
                    f"{mark.get('category_id')!r}, which the file does not name"
                )
            elif mark.get("image_id") not in images:
                problems.append(
                    f"{where}: annotation {mark.get('id')} is of image {mark.get('image_id')!r}, "
                    "which the file does not name"
                )
            elif not self._is_good(categories[mark["category_id"]]):
                marks[mark["image_id"]].append(mark)
        rows = []
        for key, image in images.items():
            if not image.get("file_name"):
                problems.append(f"{where}: image {key!r} has no file_name")
                continue
            found = marks[key]
            kinds = sorted({one_form(categories[mark["category_id"]]) for mark in found})
            size = (image.get("height"), image.get("width"))
            known = (int(size[0]), int(size[1])) if size[0] and size[1] else None
            rows.append(
                Row(
                    f"{where} image {key}",
                    _image(file, str(image["file_name"])),
                    split,
                    _TOGETHER.join(kinds) if kinds else GOOD,
                    (Shapes(tuple(found), known),) if found else (),
                )
            )
        return rows

    def _is_good(self, category: str) -> bool:
        return category == self.good if self.good else is_like_good(category)


class CocoParts(Coco):
    """COCO files in folders of splits, as Roboflow exports them."""

    name: ClassVar[str] = "coco_splits"
    refines: ClassVar[tuple[str, ...]] = ("mvtec",)

    def fits(self, place: Path) -> bool:
        """Whether a folder of the test holds one."""
        return any(split == TEST for split, _ in _files(place))


def _files(place: Path) -> list[tuple[str, Path]]:
    """The COCO files of a place with their splits."""
    found = [(OPEN, file) for file in lists_in(place, ".json") if _is_coco(file)]
    if found:
        return found
    return [
        (split, file)
        for folder in (folders_in(place) if place.is_dir() else ())
        if (split := split_of(folder.name))
        for file in lists_in(folder, ".json")
        if _is_coco(file)
    ]


def _only(files: list[tuple[str, Path]]) -> list[Path]:
    return [file for _, file in files]


def _is_coco(file: Path) -> bool:
    """Whether a file has COCO's three parts."""
    try:
        content = _content(file)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and all(
        isinstance(content.get(part), list) and all(isinstance(one, dict) for one in content[part])
        for part in _PARTS
    )


def _content(file: Path) -> Any:
    """What a JSON file holds; known again as long as its size and time stay the same."""
    about = file.stat()
    if about.st_size > _MOST_BYTES:
        raise ValueError(f"{file} is too large for a list")
    return _parsed(file, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=8)
def _parsed(file: Path, size: int, changed: int) -> Any:
    return json.loads(file.read_text(encoding="utf-8-sig"))


def _which(files: list[tuple[str, Path]], place: Path) -> str:
    """What is wrong where there is not one list of each split."""
    if files:
        names = " and ".join(one_form(one.name) for one in _only(files))
        return f"{names} both list images; give one of these files instead of the folder"
    return (
        f"{one_form(str(place))} holds no COCO file: a JSON file with the lists {', '.join(_PARTS)}"
    )


def _image(file: Path, name: str) -> Path:
    """Where an image lies: beside the file, or in a folder of images there or one level up."""
    folders = [file.parent / one for one in _IMAGE_FOLDERS]
    folders += [file.parent.parent / one for one in _IMAGE_FOLDERS]
    found = [placed(name, folder) for folder in folders]
    return next((one for one in found if one.is_file()), found[0])


def _boxes(boxes: int, marks: int) -> list[Remark]:
    """What is said of defects that are marked by boxes."""
    if not boxes:
        return []
    sentence = (
        f"{boxes} of {marks} defects are marked by boxes: what lies in a box beside its defect "
        "counts as defect, so measures of pixels are lower than with drawn masks"
    )
    return [Remark("mask_boxes", (), sentence)]
