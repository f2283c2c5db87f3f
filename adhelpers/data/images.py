"""Loads a category of images in the MVTec layout."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.arrays import Images, Integers, Masks
from adhelpers._shared.checks import check_choice
from adhelpers._shared.progress import progress

from .deciding import decided, reading_of, sample_of
from .decoding import check_reading
from .duplicates import (
    Look,
    duplicate_remarks,
    group_copies,
    held_out_groups,
    look_of,
    near_duplicate_remarks,
)
from .file_remarks import SIZE_STEP, Note, file_remarks, size_that_keeps, stretch_remark
from .image_set import Category, ImageSet
from .layouts import LEAST_GOOD, TRAIN, find_category, list_entries, one_form
from .masks import resize_mask, share_outside, warp_mask
from .normalize import (
    Corrections,
    ObjectPose,
    asked_size,
    common_box,
    completed_size,
    divide_background,
    find_object,
    fit_aspect,
    frame_matrix,
    height_and_width,
    resize_image,
    warp_image,
    whole_frame,
)
from .reading import (
    GOOD,
    CategoryError,
    Content,
    Entry,
    FileProblem,
    read_entry,
    to_color,
)
from .remarks import Remark


def _checked_settings(
    image_size: int | Sequence[int] | None,
    color: str,
    corrections: Corrections,
    seed: int,
    validation_fraction: float,
    bit_depth: int | None,
    page: int | None,
) -> dict[str, Any]:
    """The parameters of load_category in the form that is hashed and kept."""
    check_choice("color", color, ("grayscale", "rgb", "auto"))
    if not 0 < validation_fraction < 1:
        raise ValueError(
            f"validation_fraction must lie between 0 and 1, not {validation_fraction!r}"
        )
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0, not {seed!r}")
    check_reading(bit_depth, page)
    # What is not set is not hashed, so that a category keeps its fingerprint.
    optional = {
        "bit_depth": bit_depth,
        "page": page,
        "fit": None if corrections.fit == "stretch" else corrections.fit,
    }
    return {
        "image_size": list(asked_size(image_size)),
        "color": color,
        "illumination": corrections.illumination,
        "pose": corrections.pose,
        "crop": corrections.crop,
        "margin": float(corrections.margin),
        "seed": int(seed),
        "validation_fraction": float(validation_fraction),
        **{name: value for name, value in optional.items() if value is not None},
    }


def load_category(
    root: str | Path,
    category: str,
    image_size: int | Sequence[int] | None = None,
    color: str = "grayscale",
    corrections: Corrections | None = None,
    seed: int = 0,
    validation_fraction: float = 0.2,
    show_progress: bool = False,
    bit_depth: int | None = None,
    page: int | None = None,
) -> Category:
    """Load a category of images in the MVTec layout.

    ``root/category`` holds ``train/good``, ``test/good``, ``test/<defect type>`` and, where there
    are masks, ``ground_truth/<defect type>/<stem of the image>_mask.png`` (or ``<stem>.png``).
    PNG, JPEG, TIFF and BMP are read (`adhelpers.data.decoding`); masks by what they hold
    (`adhelpers.data.masks`). Every file is checked.

    Parameters
    ----------
    root : str or Path
        Folder that holds the categories.
    category : str
        Name of the category's folder.
    image_size : int or tuple of int, optional
        Height and width of the loaded images in pixels; one number for square images. A side that
        is 0 follows from the other one, in steps of 16 pixels, so that what is loaded keeps its
        proportions: most of the good files, with ``pose="axis"`` the square around them, with
        ``crop="object"`` the box of the object. By default the longer side has 128 pixels and the
        other one follows.
    color : {"grayscale", "rgb", "auto"}
        ``"auto"`` is ``"rgb"`` where a sample of the good images carries colour.
    corrections : Corrections, optional
        Of light and pose, and whether images are cropped to the object; by default none.
    seed : int
        Chooses the validation images.
    validation_fraction : float
        Share of ``train/good`` that is held out; at least one image is, and at least two are left.
    show_progress : bool
    bit_depth : int, optional
        How many bits of files with more than 8 are in use, such as 12 for a camera's 12 bits in 16.
    page : int, optional
        Which page of files that hold several is read; the first is 0.

    Returns
    -------
    Category

    Raises
    ------
    FileNotFoundError
        Where a folder is missing. A misspelt category gets the nearest names.
    CategoryError
        A ValueError that names all files that cannot be used.
    ValueError
        Where a parameter is wrong.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> train = ("train/good/0", "train/good/1", "train/good/2")
    >>> for name in (*train, "test/good/0", "test/dent/0"):
    ...     path = root / "spoon" / f"{name}.png"
    ...     path.parent.mkdir(parents=True, exist_ok=True)
    ...     Image.new("L", (40, 30), 128).save(path)
    >>> spoon = load_category(root, "spoon", image_size=(24, 32))
    >>> spoon.test.images.shape, spoon.test.types.tolist(), spoon.has_masks
    ((2, 24, 32, 1), ['dent', 'good'], False)
    """
    settings = _checked_settings(
        image_size,
        color,
        corrections or Corrections(),
        seed,
        validation_fraction,
        bit_depth,
        page,
    )
    entries, problems, unused = list_entries(find_category(root, category))
    good = [entry for entry in entries if entry.split == TRAIN]
    if len(good) < LEAST_GOOD or len(good) == len(entries):
        raise CategoryError(category, problems)

    sample = sample_of(good)
    chosen = [name for name in ("illumination", "pose") if settings[name] == "auto"]
    settings = decided(settings, sample)
    frames = _Frames(category, settings, chosen)
    if settings["crop"] == "object":
        for entry in progress(good, f"Locating {category}", enabled=show_progress):
            with _collecting(problems):
                frames.locate(entry)
    frames.settle_size(sample)
    images, masks, loaded = _load_all(entries, frames, problems, show_progress)
    if problems:
        raise CategoryError(category, dict.fromkeys(problems))

    train = np.arange(len(good))
    looks = [one.look for one in loaded]
    groups = group_copies([look.digest for look in looks])
    validation = _held_out(groups[train], validation_fraction, seed)
    parts = np.repeat(["train", "test"], [len(good), len(entries) - len(good)]).astype(object)
    parts[validation] = "validation"
    names = [entry.name for entry in entries]
    # Train, validation and test one after the other, so that each of them is a slice.
    order = np.concatenate([np.setdiff1d(train, validation), validation])
    _reorder(images, order)
    order = np.append(order, np.arange(len(good), len(entries)))
    everything = _image_set([entries[i] for i in order], [loaded[i] for i in order], images, masks)
    first_held_out = len(good) - len(validation)
    return Category(
        name=one_form(category),
        root=Path(root),
        train=everything.subset(slice(first_held_out)),
        validation=everything.subset(slice(first_held_out, len(good))),
        test=everything.subset(slice(len(good), None)),
        settings=settings,
        fingerprint=_fingerprint(settings, entries, loaded, groups[train]),
        remarks=(
            *unused,
            *duplicate_remarks(
                names, groups, parts.tolist(), np.array([entry.type != GOOD for entry in entries])
            ),
            *near_duplicate_remarks(names, looks, parts.tolist()),
            *_remarks(settings, entries, loaded),
        ),
    )


def _load_all(
    entries: Sequence[Entry], frames: "_Frames", problems: list[str], show_progress: bool
) -> tuple[Images, Masks | None, list["_Loaded"]]:
    """Images and masks of all entries, each written to its place, and how each was loaded."""
    shape = (len(entries), *frames.size)
    images = np.empty((*shape, frames.channels), np.float32)
    has_masks = any(entry.mask_path is not None for entry in entries)
    masks = np.zeros(shape, bool) if has_masks else None
    loaded = []
    shown = progress(entries, f"Loading {frames.category}", enabled=show_progress)
    for index, entry in enumerate(shown):
        # A bad file must not hide the next one, so all are read before the error is raised.
        with _collecting(problems):
            images[index], mask, facts = frames.load(entry)
            loaded.append(facts)
            if masks is not None and mask is not None:
                masks[index] = mask
    return images, masks, loaded


def _reorder(rows: Images, order: Integers) -> None:
    """Bring the first rows into an order, in place: ``rows[i]`` becomes ``rows[order[i]]``."""
    waiting = np.ones(len(order), bool)
    for start in range(len(order)):
        if not waiting[start] or order[start] == start:
            continue
        first, place = rows[start].copy(), start
        while order[place] != start:
            rows[place] = rows[order[place]]
            waiting[place] = False
            place = order[place]
        rows[place], waiting[place] = first, False


@contextmanager
def _collecting(problems: list[str]) -> Iterator[None]:
    """Add the problem of a file to the list instead of ending the work."""
    try:
        yield
    except FileProblem as problem:
        problems.append(str(problem))


@dataclass(frozen=True)
class _Loaded:
    """How one image was loaded: its way back to the file, and what is to be said of it."""

    matrix: NDArray[np.float64]
    box: tuple[float, ...]
    original_shape: tuple[int, ...]
    digest: str
    notes: tuple[Note, ...]
    look: Look
    uncorrected: bool


class _Frames:
    """Corrects light and colours of each file and cuts the same frame out of all of them.

    Where ``"auto"`` has ``chosen`` one of them, a test image that cannot be corrected is loaded as
    it is. No training image may differ from the others, and what is asked for by name is done.
    """

    def __init__(self, category: str, settings: dict[str, Any], chosen: Sequence[str]) -> None:
        self.category, self._settings, self._chosen = category, settings, chosen
        self._poses: dict[str, ObjectPose] = {}
        self._cropped = settings["crop"] == "object"
        self._moved = self._cropped or settings["pose"] == "axis"
        self._padded = settings.get("fit") == "pad"
        self.channels = 1 if settings["color"] == "grayscale" else 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the loaded images."""
        return height_and_width(self._settings["image_size"])

    def locate(self, entry: Entry) -> None:
        """Measure a good image: the box of a crop is common to all of them."""
        image, _, _ = self._prepared(entry)
        self._poses[entry.name] = self._pose(image, entry)

    def settle_size(self, sample: Sequence[Entry]) -> None:
        """Choose the sides that are open (0), so that what is loaded keeps its proportions."""
        asked = self._settings["image_size"]
        if 0 not in asked:
            return
        if self._poses:
            frame = common_box(list(self._poses.values()), self._settings["margin"])
        else:
            shape = _usual_shape(sample, [], **reading_of(self._settings))
            frame = (1, 1) if self._moved or shape is None else shape
        self._settings["image_size"] = list(completed_size(asked, frame))

    def load(self, entry: Entry) -> tuple[Images, Masks | None, _Loaded]:
        """Read an entry and cut its frame out of image and mask."""
        image, content, notes = self._prepared(entry)
        shape, mask, size = image.shape[:2], content.mask, self.size
        pose = self._poses.get(entry.name)
        if self._moved and pose is None:
            try:
                pose = self._pose(image, entry)
            except FileProblem:
                if not self._may_stay(entry):
                    raise
                notes = (*notes, Note("pose_not_corrected", entry.name))
        box = self._window(shape, found=pose is not None)
        matrix = frame_matrix(pose or whole_frame(shape), box, size)
        warped = self._moved or self._padded
        lost: tuple[Note, ...] = ()
        if mask is not None:
            lost = _cut_off(entry, share_outside(mask, matrix, size))
            mask = warp_mask(mask, matrix, size) if warped else resize_mask(mask, size)
        return (
            warp_image(image, matrix, size) if warped else resize_image(image, size),
            mask,
            _Loaded(
                matrix,
                box,
                shape,
                content.digest,
                (*content.notes, *notes, *lost),
                look_of(content.image),
                uncorrected=bool(notes),
            ),
        )

    def _window(self, shape: tuple[int, ...], found: bool) -> tuple[float, ...]:
        """Height and width in the file of what is loaded; without a crop all of it."""
        if self._cropped:
            # Nothing is cut off where it is not known what to keep.
            return self._box if found and self._box else fit_aspect((shape[0], shape[1]), self.size)
        frame = (max(shape),) * 2 if self._moved else (shape[0], shape[1])
        return fit_aspect(frame, self.size) if self._padded else frame

    @cached_property
    def _box(self) -> tuple[float, float] | None:
        """Height and width of the frame in pixels of the files; None takes a whole square."""
        if not self._poses:
            return None
        box = common_box(list(self._poses.values()), self._settings["margin"])
        return fit_aspect(box, self.size)

    def _may_stay(self, entry: Entry) -> bool:
        """Whether an image is loaded as it is where a correction cannot be made."""
        return bool(self._chosen) and entry.split != TRAIN

    def _prepared(self, entry: Entry) -> tuple[Images, Content, tuple[Note, ...]]:
        """An entry's image in the right colours and light, what else was read, and notes."""
        content = read_entry(entry, **reading_of(self._settings))
        image = to_color(content.image, self._settings["color"])
        if self._settings["illumination"] == "background":
            try:
                image = divide_background(image, content.grey_levels)
            except ValueError as error:
                problem = f"{entry.name}: {error}"
                if self._may_stay(entry):
                    return image, content, (Note("light_not_corrected", entry.name),)
                if "illumination" in self._chosen:
                    raise FileProblem(problem) from error
                # A wrong setting rather than a bad file: it holds for all, so one is enough.
                raise CategoryError(self.category, [problem]) from error
        return image, content, ()

    def _pose(self, image: Images, entry: Entry) -> ObjectPose:
        try:
            return find_object(image, turn=self._settings["pose"] == "axis")
        except ValueError as error:
            raise FileProblem(f"{entry.name}: {error}") from error


def _cut_off(entry: Entry, share: float) -> tuple[Note, ...]:
    """What is to be said where a share of an image's defect lies outside the frame."""
    if share == 0:
        return ()
    return (Note("mask_cut_away" if share == 1 else "mask_cut_in_part", entry.name, share),)


def _remarks(
    settings: dict[str, Any], entries: Sequence[Entry], loaded: Sequence[_Loaded]
) -> tuple[Remark, ...]:
    """What was ignored, lost, doubtful or changed while the files were read."""
    stretched = stretch_remark(
        [entry.name for entry in entries],
        [one.box for one in loaded],
        height_and_width(settings["image_size"]),
    )
    return (*file_remarks(note for one in loaded for note in one.notes), *stretched)


def suggested_size(
    root: str | Path, category: str, longest: int = 128, page: int | None = None
) -> tuple[int, int]:
    """A size for `load_category` that keeps the ratio of sides that most of the files have.

    Parameters
    ----------
    root : str or Path
        Folder that holds the categories.
    category : str
    longest : int
        Of the two sides, in pixels. Both are rounded to multiples of 16, which networks need.
    page : int, optional
        As in `load_category`.

    Returns
    -------
    height, width : int

    Raises
    ------
    FileNotFoundError
        Where a folder is missing.
    CategoryError
        Where none of the images that were tried can be read.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> good = Path(tempfile.mkdtemp(), "spoon", "train", "good")
    >>> good.mkdir(parents=True), (good.parents[1] / "test").mkdir()
    (None, None)
    >>> Image.new("L", (640, 480), 128).save(good / "0.png")
    >>> suggested_size(good.parents[2], "spoon")
    (96, 128)
    """
    entries, problems, _ = list_entries(find_category(root, category))
    good = [entry for entry in entries if entry.split == TRAIN]
    shape = _usual_shape(sample_of(good), problems, page=page)
    if shape is None:
        raise CategoryError(category, problems or [f"{TRAIN}/{GOOD} holds no images"])
    return size_that_keeps(shape, longest, SIZE_STEP)


def _usual_shape(
    sample: Sequence[Entry], problems: list[str], **reading: Any
) -> tuple[int, int] | None:
    """Height and width that most files of a sample have; None where none of them can be read."""
    shapes = []
    for entry in sample:
        with _collecting(problems):
            shapes.append(read_entry(entry, **reading).image.shape[:2])
    return max(set(shapes), key=shapes.count) if shapes else None


def _fingerprint(
    settings: dict[str, Any],
    entries: Sequence[Entry],
    loaded: Sequence[_Loaded],
    groups: Integers,
) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for entry, one in zip(entries, loaded, strict=True):
        digest.update(f"{entry.name} {one.digest}\n".encode())
    if len(np.unique(groups)) < len(groups):
        # Models that were trained before copies were kept together saw another split.
        digest.update(b"copies kept together\n")
    return digest.hexdigest()


def _image_set(
    entries: Sequence[Entry], loaded: Sequence[_Loaded], images: Images, masks: Masks | None
) -> ImageSet:
    return ImageSet(
        images=images,
        labels=np.array([int(entry.type != GOOD) for entry in entries], np.int64),
        types=np.array([entry.type for entry in entries]),
        names=np.array([entry.name for entry in entries]),
        masks=masks,
        transforms=np.stack([one.matrix for one in loaded]),
        original_shapes=np.array([one.original_shape for one in loaded], np.int64),
        uncorrected=np.array([one.uncorrected for one in loaded]),
    )


def _held_out(groups: Integers, fraction: float, seed: int) -> Integers:
    """Seeded choice of validation images: at least one, at least two are left, copies together."""
    count = min(max(1, round(fraction * len(groups))), len(groups) - 2)
    order = np.random.default_rng(seed).permutation(np.arange(len(groups)))
    return np.sort(held_out_groups(order, groups, count))
