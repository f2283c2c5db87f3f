"""Good images alone as a category: some are held out, and defects are planted into these.

Without defective images nobody can say what a detector finds of them. What can be measured are
false alarms and planted defects, and for that a test set is written once into the cache.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adhelpers._shared.arrays import Images
from adhelpers._shared.text import escaped

from .layouts import (
    TEST,
    TRAIN,
    folders_in,
    image_name,
    is_category,
    is_image,
    mask_name,
    one_form,
)
from .planting import DEFECT_KINDS, plant_defect
from .reading import GOOD, CategoryError, FileProblem, read_decoded, read_file
from .rendered.folders import found_or_rendered, has_note, rendering, save_picture
from .roots import categories_in

# The type of the test images with a planted defect.
PLANTED = "planted"
# Raise it when the pictures change: cached ones of older versions are then left alone.
_VERSION = 3
_FIRST_LINE = "Copies of good images, some with a planted patch (adhelpers.data.good_only)."
# Two to train on, one for the threshold, one to test.
_LEAST = 4
_HELD_OUT_SHARE, _MOST_HELD_OUT = 0.25, 20


def is_planted(root: str | Path, category: str) -> bool:
    """Whether the defects of a category were planted by `good_only_root`."""
    return has_note(Path(root) / category, _FIRST_LINE)


def good_only_root(
    folder: str | Path,
    bit_depth: int | None = None,
    page: int | None = None,
    cache: str | Path | None = None,
) -> Path | None:
    """A category made of good images alone: the root that holds it, under the folder's name.

    A quarter of the images, at most 20, are held out of training as good test images, unless there
    are any in ``test/good``; a copy of each gets one planted defect (`plant_defect`) and its mask.
    The files of training are copied as they are, test images are written with 8 bits.

    Parameters
    ----------
    folder : str or Path
        A category without defective images, or a folder with good images in it and nothing else.
    bit_depth, page : int, optional
        As in `load_category`.
    cache : str or Path, optional
        Where it is kept and found again; by default the user's cache folder for adhelpers.

    Returns
    -------
    Path or None
        None where the folder is something else: it holds categories, or defective images.

    Raises
    ------
    CategoryError
        Where there are fewer than four good images, or one cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp()) / "tiles"
    >>> folder.mkdir()
    >>> for index in range(5):
    ...     Image.new("L", (40, 30), 100 + index).save(folder / f"{index}.png")
    >>> root = good_only_root(folder, cache=tempfile.mkdtemp())
    >>> [len(list((root / "tiles").glob(f"{part}/*.png"))) for part in ("train/good", "test/*")]
    [4, 2]
    """
    folder = Path(folder).resolve()
    flat = _images_in(folder)
    if is_category(folder):
        train, test = _images_in(folder / TRAIN / GOOD), _images_in(folder / TEST / GOOD)
        if not train or _has_defects(folder / TEST):
            return None
    elif not flat or categories_in(folder):
        return None
    else:
        train, test = flat, []
    name = one_form(folder.name)
    if len(train) + len(test) < _LEAST:
        raise CategoryError(
            name,
            [
                f"there are {len(train) + len(test)} good images; at least four are needed: two to "
                "train on, one for the threshold and one to test"
            ],
        )
    train, test = _divided(train, test)
    digests = [
        (file.name, hashlib.sha256(_bytes(file, folder)).hexdigest()) for file in (*train, *test)
    ]
    identity = [_FIRST_LINE, _VERSION, name, len(test), digests, bit_depth, page]

    def render(root: Path) -> Path:
        facts = {"good images": len(train) + len(test), "planted": len(test)}
        with rendering(root / name, _FIRST_LINE, facts) as place:
            for file in train:
                copy = place / TRAIN / GOOD / file.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(_bytes(file, folder))
            _write_test(place, test, bit_depth, page)
        return root / name

    return found_or_rendered(identity, name, render, cache)


def _images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder, by name; none where it does not exist."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(filter(is_image, found))


def _has_defects(test: Path) -> bool:
    """Whether a folder of test images has any that are not good."""
    return any(_images_in(kind) for kind in folders_in(test) if kind.name != GOOD)


def _divided(train: list[Path], test: list[Path]) -> tuple[list[Path], list[Path]]:
    """Images to train on, and those held out for the test where there are none for it yet."""
    if test:
        return train, test[:_MOST_HELD_OUT]
    count = min(max(1, round(_HELD_OUT_SHARE * len(train))), _MOST_HELD_OUT)
    # Evenly over the names, which often follow the time they were taken at.
    held_out = set(np.linspace(0, len(train) - 1, count + 2).round().astype(int)[1:-1].tolist())
    return (
        [one for index, one in enumerate(train) if index not in held_out],
        [one for index, one in enumerate(train) if index in held_out],
    )


def _bytes(file: Path, folder: Path) -> bytes:
    """A file's content, or a CategoryError that names it."""
    try:
        return read_file(file, (folder,))
    except (OSError, ValueError) as error:
        raise CategoryError(one_form(folder.name), [f"{escaped(file.name)}: {error}"]) from error


def _write_test(
    place: Path, files: Sequence[Path], bit_depth: int | None, page: int | None
) -> None:
    """Write each held-out image as it is, and with a planted defect and its mask."""
    try:
        images = [
            read_decoded(file, escaped(file.name), bit_depth=bit_depth, page=page)[1].image
            for file in files
        ]
    except FileProblem as problem:
        raise CategoryError(place.name, [str(problem)]) from problem
    channels = max(image.shape[-1] for image in images)
    images = [np.broadcast_to(one, (*one.shape[:2], channels)) for one in images]
    random, stems = np.random.default_rng(0), [file.stem for file in files]
    for index, (file, image) in enumerate(zip(files, images, strict=True)):
        # Two files may differ in their suffix alone.
        stem = one_form(file.name if stems.count(file.stem) > 1 else file.stem)
        planted = np.array(image)
        # A single image is its own donor: what is planted comes from elsewhere in it.
        donors = [one for other, one in enumerate(images) if other != index] or [image]
        kind = DEFECT_KINDS[index % len(DEFECT_KINDS)]
        mask = plant_defect(planted, donors, random, kind=kind)
        save_picture(place / image_name(TEST, GOOD, stem), _pixels(image))
        save_picture(place / image_name(TEST, PLANTED, stem), _pixels(planted))
        save_picture(place / mask_name(PLANTED, stem), _pixels(mask[..., None].astype(np.float32)))


def _pixels(image: Images) -> np.ndarray:
    """An image in 8 bits, a single channel without its axis."""
    pixels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels
