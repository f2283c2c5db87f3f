"""IDID, the insulators of EPRI: the shells of each photograph, cut out, in three states."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.arrays import Images
from adhelpers._shared.progress import progress
from adhelpers._shared.text import escaped
from adhelpers._shared.threads import in_threads

from .class_images import ClassImages, make_class_images
from .layouts import is_data, one_form
from .normalize import resize_image
from .reading import CategoryError, read_decoded, to_color
from .remarks import Remark
from .rendered.insulator import CLASSES

_GOOD, _BROKEN, _FLASHOVER = CLASSES
# What the list says of a shell: where, and what.
_STATES = {
    ("No issues", "No issues"): _GOOD,
    ("notbroken-notflashed", "notbroken-notflashed"): _GOOD,
    ("shell", "Broken"): _BROKEN,
    ("glaze", "Flashover damage"): _FLASHOVER,
}
# "100228d.JPG", "100228h.JPG" and "100228v.JPG" are "100228.JPG" in other orientations.
_ORIENTED = re.compile(r"(\d+)[dhv]")
_LABELS = "labels*.json"
# The square around a shell is larger than its longer side by this share.
_MARGIN = 0.1
_LISTED = 3
_LEFT_OUT = {
    "two_states": "are both broken and flashed over, where a classifier gives one state,",
    "no_state": "have no state",
    "no_box": "have no box of left, top, width and height",
}


@dataclass(frozen=True)
class _Photograph:
    """A photograph with the boxes (left, top, width, height) and the states of its shells."""

    name: str
    path: Path
    boxes: tuple[tuple[float, ...], ...]
    states: tuple[str, ...]


def load_idid(
    root: str | Path, *, image_size: int = 64, show_progress: bool = False
) -> ClassImages:  # fmt: skip
    """Cut the insulator shells of the labelled part of IDID out of its photographs.

    Each photograph is there in four orientations, of which the original is read: the others show
    the same shells. Whole strings are left out; so are, and are named, shells that are both broken
    and flashed over and those without a state or a box.

    Parameters
    ----------
    root : str or Path
        Folder that holds ``labels_v1.2.json`` and ``Images``, or one above it.
    image_size : int
        Side of the squares in pixels.
    show_progress : bool

    Returns
    -------
    ClassImages
        RGB; classes good, broken and flashover. ``names`` are ``"<photograph>/<shell>"``, such as
        ``"100228/007"``: shells of one photograph belong into one part of a division.

    Raises
    ------
    FileNotFoundError
        Where there is no list of labels, or more than one.
    CategoryError
        A ValueError that names what cannot be used.

    References
    ----------
    Lewis, Kulkarni, "Insulator Defect Detection", IEEE DataPort, doi 10.21227/vkdw-x769.
    """
    labels = _labels(Path(root))
    photographs, remarks = _photographs(labels)
    within = (labels.parent.resolve(),)

    def cut(one: _Photograph) -> Images | str:
        try:
            image = to_color(read_decoded(one.path, one.name, within)[1].image, "rgb")
            return np.stack([_cut(image, box, image_size) for box in one.boxes])
        except ValueError as error:
            return str(error) if one.name in str(error) else f"{one.name}: {error}"

    results = in_threads(cut, photographs)
    shown = progress(results, "Cutting shells", total=len(photographs), enabled=show_progress)
    shells, problems = list[Images](), list[str]()
    for result in shown:
        if isinstance(result, str):
            problems.append(result)
        else:
            shells.append(result)
    if problems:
        raise CategoryError("idid", problems)
    return make_class_images(
        np.concatenate(shells),
        [CLASSES.index(state) for one in photographs for state in one.states],
        CLASSES,
        [
            f"{Path(one.name).stem}/{number:03}"
            for one in photographs
            for number in range(len(one.boxes))
        ],
        remarks=remarks,
    )


def _labels(root: Path) -> Path:
    """The list of labels beside a folder of images."""
    found = [
        path
        for pattern in (_LABELS, f"*/{_LABELS}", f"*/*/{_LABELS}")
        for path in sorted(root.glob(pattern))
        if is_data(path) and (path.parent / "Images").is_dir()
    ]
    if len(found) != 1:
        names = f" ({', '.join(one_form(str(path)) for path in found)})" if found else ""
        raise FileNotFoundError(
            f"data_root: {one_form(str(root))} holds {len(found) or 'no'} lists of labels beside a "
            f"folder Images{names}; give the folder Train of IDID, with labels_v1.2.json and Images"
        )
    return found[0]


def _photographs(labels: Path) -> tuple[list[_Photograph], list[Remark]]:
    """The photographs with shells, by name, and what is left out."""
    try:
        said = json.loads(labels.read_text(encoding="utf-8"))
        listed = {str(one["filename"]): one["Labels"]["objects"] for one in said}
    except (ValueError, KeyError, TypeError) as error:
        text = f"{labels.name}: must list images with filename and Labels: objects ({error})"
        raise CategoryError("idid", [text]) from error
    photographs, problems, left = list[_Photograph](), list[str](), list[str]()
    unclear: dict[str, list[str]] = {"two_states": [], "no_state": [], "no_box": []}
    for name in sorted(listed):
        path = labels.parent / "Images" / name
        original = _original(Path(name), listed)
        if original != name:
            left.append(one_form(name))
        elif not path.is_file():
            problems.append(f"{one_form(name)}: is listed, but not in Images")
        else:
            found = _shells(one_form(name), listed[name], problems, unclear)
            boxes, states = zip(*found, strict=True) if found else ((), ())
            photographs += [_Photograph(one_form(name), path, boxes, states)] * bool(found)
    if not photographs and not problems:
        problems.append(f"{labels.name}: names no shells")
    if problems:
        raise CategoryError("idid", problems)
    return photographs, [*_remarks(left, unclear)]


def _original(name: Path, listed: dict[str, Any]) -> str:
    """The photograph that an image shows, as it was taken, where that is listed too."""
    match = _ORIENTED.fullmatch(name.stem)
    original = f"{match[1]}{name.suffix}" if match else name.name
    return original if original in listed else name.name


def _shells(
    name: str, objects: Any, problems: list[str], unclear: dict[str, list[str]]
) -> list[tuple[tuple[float, ...], str]]:
    """The boxes and states of the shells of one photograph."""
    found = list[tuple[tuple[float, ...], str]]()
    for number, one in enumerate(objects):
        conditions = one.get("conditions") or {}
        if one.get("string") == 1:
            continue
        where = f"{name}, object {number}"
        states = {_STATES.get((str(part), str(what))) for part, what in conditions.items()}
        box = tuple(one.get("bbox") or ())
        if None in states:
            problems.append(f"{where}: has the conditions {escaped(str(conditions))}, not a state")
        elif not states:
            unclear["no_state"].append(where)
        elif len(box) != 4 or not np.isfinite(box).all() or min(box[2:]) <= 0:
            unclear["no_box"].append(where)
        elif len(states - {_GOOD}) == 2:
            unclear["two_states"].append(where)
        else:
            [state] = states - {_GOOD} or {_GOOD}
            found.append((box, str(state)))
    return found


def _remarks(left: Sequence[str], unclear: dict[str, list[str]]) -> list[Remark]:
    """What is said of what is left out."""
    found = []
    if left:
        sentence = (
            f"{len(left)} images are other orientations of a photograph and are not used: their "
            "shells are the same ones"
        )
        found.append(Remark("oriented_copies", tuple(left), sentence))
    for kind, shells in unclear.items():
        if shells:
            first = ", ".join(shells[:_LISTED]) + ", …" * (len(shells) > _LISTED)
            sentence = f"{len(shells)} shells {_LEFT_OUT[kind]} and are not used ({first})"
            found.append(Remark(kind, tuple(shells), sentence))
    return found


def _cut(image: Images, box: Sequence[float], size: int) -> NDArray[np.float32]:
    """The square around a box, moved into the image where it leaves it."""
    left, top, width, height = box
    limit = image.shape[:2]
    if left + width <= 0 or top + height <= 0 or left >= limit[1] or top >= limit[0]:
        raise ValueError(f"the bbox {list(box)} lies outside of the image")
    side = min(max(1, round((1 + _MARGIN) * max(width, height))), *limit)
    first = [
        int(np.clip(round(middle - side / 2), 0, most - side))
        for middle, most in zip((top + height / 2, left + width / 2), limit, strict=True)
    ]
    square = image[first[0] : first[0] + side, first[1] : first[1] + side]
    return resize_image(square, (size, size))
