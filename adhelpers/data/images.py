"""Loads a category of images, in whatever layout it lies."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from adhelpers._shared.arrays import Images, Integers, Masks
from adhelpers._shared.checks import check_choice
from adhelpers._shared.large_arrays import allocated
from adhelpers._shared.progress import progress
from adhelpers._shared.threads import in_threads

from .deciding import decided, sample_of
from .decoding import check_reading
from .duplicates import (
    duplicate_remarks,
    group_copies,
    held_out_groups,
    near_duplicate_remarks,
)
from .file_remarks import SIZE_STEP, file_remarks, size_that_keeps, stretch_remark
from .frames import Frames, Loaded, usual_shape
from .image_set import Category, ImageSet
from .layouts import LEAST_GOOD, TEST, TRAIN, VALIDATION, list_category, one_form
from .normalize import (
    Corrections,
    asked_size,
    height_and_width,
)
from .reading import (
    GOOD,
    CategoryError,
    Entry,
    FileProblem,
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
    """Load a category of images.

    ``root/category`` holds ``train/good``, ``test/good``, ``test/<defect type>`` and, where there
    are masks, ``ground_truth/<defect type>/<stem of the image>_mask.png`` (or ``<stem>.png``), or
    has one of the other layouts of ``docs/datasets.md``, which is found by its shape or given with
    `described_category`. PNG, JPEG, TIFF and BMP are read (`adhelpers.data.decoding`); masks by
    what they hold (`adhelpers.data.masks`). Every file is checked.

    Parameters
    ----------
    root : str or Path
        Folder that holds the categories.
    category : str
        Name of the category's folder, or of a CSV or COCO file in ``root`` that lists images.
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
        Share of the good training images that is held out; at least one image is, and at least two
        are left. A layout that holds out images itself is taken as it is.
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
    listing = list_category(root, category)
    entries, problems = listing.entries, listing.problems
    good = [entry for entry in entries if entry.split != TEST]
    if len(good) < LEAST_GOOD or len(good) == len(entries):
        raise CategoryError(category, problems)

    sample = sample_of(good)
    chosen = [name for name in ("illumination", "pose") if settings[name] == "auto"]
    settings = decided(settings, sample)
    with closing(Frames(category, settings, chosen)) as frames:
        if settings["crop"] == "object":
            _locate_all(good, frames, problems, show_progress)
        frames.settle_size(sample)
        images, masks, loaded = _load_all(entries, frames, problems, show_progress)
    if problems:
        raise CategoryError(category, dict.fromkeys(problems))

    train = np.arange(len(good))
    looks = [one.look for one in loaded]
    groups = group_copies([look.digest for look in looks])
    published = [index for index, entry in enumerate(good) if entry.split == VALIDATION]
    held_out = published or _held_out(groups[train], validation_fraction, seed).tolist()
    validation = np.array(held_out, np.int64)
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
            *listing.remarks,
            *duplicate_remarks(
                names, groups, parts.tolist(), np.array([entry.type != GOOD for entry in entries])
            ),
            *near_duplicate_remarks(names, looks, parts.tolist()),
            *_remarks(settings, entries, loaded),
        ),
        files={
            split: _files_digest(part, loaded[start : start + len(part)])
            for split, part, start in (
                ("train", good, 0),
                ("test", entries[len(good) :], len(good)),
            )
        },
    )


def _load_all(
    entries: Sequence[Entry], frames: Frames, problems: list[str], show_progress: bool
) -> tuple[Images, Masks | None, list[Loaded]]:
    """Images and masks of all entries, each written to its place, and how each was loaded."""
    shape = (len(entries), *frames.size)
    images = allocated((*shape, frames.channels), np.float32)
    has_masks = any(entry.masks for entry in entries)
    masks = allocated(shape, bool) if has_masks else None

    def load(index: int) -> Loaded | str:
        # A bad file must not hide the next one, so all are read before the error is raised.
        try:
            images[index], mask, facts = frames.load(entries[index])
        except FileProblem as problem:
            return str(problem)
        if masks is not None and mask is not None:
            masks[index] = mask
        return facts

    results = in_threads(load, range(len(entries)))
    loaded = []
    for result in progress(
        results, f"Loading {frames.category}", total=len(entries), enabled=show_progress
    ):
        if isinstance(result, str):
            problems.append(result)
        else:
            loaded.append(result)
    return images, masks, loaded


def _locate_all(
    good: Sequence[Entry], frames: Frames, problems: list[str], show_progress: bool
) -> None:
    """Measure all good images."""

    def locate(entry: Entry) -> str | None:
        try:
            frames.locate(entry)
        except FileProblem as problem:
            return str(problem)
        return None

    found = in_threads(locate, good)
    shown = progress(found, f"Locating {frames.category}", total=len(good), enabled=show_progress)
    problems += [problem for problem in shown if problem is not None]


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


def _remarks(
    settings: dict[str, Any], entries: Sequence[Entry], loaded: Sequence[Loaded]
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
    listing = list_category(root, category)
    problems = listing.problems
    shape = usual_shape(sample_of(listing.of(TRAIN)), problems, page=page)
    if shape is None:
        raise CategoryError(category, problems or ["there are no images to train on"])
    return size_that_keeps(shape, longest, SIZE_STEP)


def _fingerprint(
    settings: dict[str, Any],
    entries: Sequence[Entry],
    loaded: Sequence[Loaded],
    groups: Integers,
) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for entry, one in zip(entries, loaded, strict=True):
        digest.update(f"{_identity(entry, one)}\n".encode())
    if len(np.unique(groups)) < len(groups):
        # Models that were trained before copies were kept together saw another split.
        digest.update(b"copies kept together\n")
    return digest.hexdigest()


def _identity(entry: Entry, loaded: Loaded) -> str:
    """What an image is known by: name, content, and split and type where its name has them not."""
    named = entry.name.startswith(f"{entry.split}/{entry.type}/")
    facts = "" if named else f" {entry.split} {entry.type}"
    return f"{entry.name} {loaded.digest}{facts}"


def _files_digest(entries: Sequence[Entry], loaded: Sequence[Loaded]) -> str:
    """Names and content of files, whatever order they are listed in."""
    lines = sorted(_identity(entry, one) for entry, one in zip(entries, loaded, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _image_set(
    entries: Sequence[Entry], loaded: Sequence[Loaded], images: Images, masks: Masks | None
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
        files=np.array([str(entry.path) for entry in entries]),
    )


def _held_out(groups: Integers, fraction: float, seed: int) -> Integers:
    """Seeded choice of validation images: at least one, at least two are left, copies together."""
    count = min(max(1, round(fraction * len(groups))), len(groups) - 2)
    order = np.random.default_rng(seed).permutation(np.arange(len(groups)))
    return np.sort(held_out_groups(order, groups, count))
