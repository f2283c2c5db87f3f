"""Reads an image together with its mask, and checks that they fit."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adhelpers._shared.arrays import Images, Masks

from .decoding import Decoded, decode
from .file_remarks import Note
from .masks import read_mask

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
GOOD = "good"

# Weights of ITU-R BT.601, the same as Pillow's.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class CategoryError(ValueError):
    """Files of a category cannot be used; ``problems`` says what is wrong, one text for each file.

    Examples
    --------
    >>> print(CategoryError("screw", ["test/good/000.png: cannot be read"]))
    category 'screw' has 1 problem:
      test/good/000.png: cannot be read
    """

    def __init__(self, category: str, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        count = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        super().__init__("\n  ".join([f"category {category!r} has {count}:", *self.problems]))


class FileProblem(ValueError):
    """One file cannot be used; the message names it."""


@dataclass(frozen=True)
class Entry:
    """One image file of a split, and its mask where there is one: what a layout hands over.

    Attributes
    ----------
    split : {"train", "test"}
    type : str
        ``"good"`` or the type of defect.
    name : str
        Path within the category.
    path, mask_path : Path
    """

    split: str
    type: str
    name: str
    path: Path
    mask_path: Path | None = None


@dataclass(frozen=True)
class Content:
    """What a file and its mask hold.

    Attributes
    ----------
    image : ndarray of float32, shape (h, w, c), in [0, 1]
    grey_levels : int
        Largest value of a sample in the file: 255 for 8 bits, 65535 for 16, 1 for real values.
    mask : ndarray of bool, shape (h, w), or None
    digest : str
        SHA-256 of both files.
    bits : int
        Of each sample of the image in its file.
    mode : {"grey", "rgb", "palette", "cmyk"}
        How the image's file stores its colours.
    notes : tuple of Note
        What is doubtful about both files.
    """

    image: Images
    grey_levels: int
    mask: Masks | None
    digest: str
    bits: int = 8
    mode: str = "grey"
    notes: tuple[Note, ...] = ()


def read_image(
    data: bytes, bit_depth: int | None = None, page: int | None = None
) -> tuple[Images, int]:
    """The image of a file, transparent parts on black, and its largest grey level.

    Parameters as in `adhelpers.data.decoding.decode`.

    Returns
    -------
    image : ndarray of float32, shape (h, w, c), in [0, 1], c = 1 or 3
    grey_levels : int
        255 for 8 bits, 65535 for 16, 1 for real values.

    Raises
    ------
    ValueError
        Where the file cannot be decoded.
    """
    decoded = decode(data, bit_depth, page)
    return decoded.image, decoded.grey_levels


def to_color(image: Images, color: str) -> Images:
    """``"grayscale"`` (luma of ITU-R BT.601) or ``"rgb"`` (a grey channel is repeated).

    ``image`` is one image, shape (h, w, c).
    """
    if color == "rgb":
        return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
    return image if image.shape[-1] == 1 else (image @ _LUMA)[..., None]


def _decoded(
    path: Path, name: str, bit_depth: int | None, page: int | None
) -> tuple[bytes, Decoded]:
    """A file's bytes and what they hold, or a FileProblem that names it."""
    try:
        data = path.read_bytes()
        return data, decode(data, bit_depth, page)
    except (OSError, ValueError) as error:
        raise FileProblem(f"{name}: {error}") from error


def read_entry(entry: Entry, bit_depth: int | None = None, page: int | None = None) -> Content:
    """Read an entry's image and mask and check that they fit.

    Parameters
    ----------
    entry : Entry
    bit_depth, page : int, optional
        As in `adhelpers.data.decoding.decode`.

    Raises
    ------
    FileProblem
        Naming the file and what is wrong with it.
    """
    data, decoded = _decoded(entry.path, entry.name, bit_depth, page)
    notes = _notes(decoded, entry.name, bit_depth)
    mask, digest = None, hashlib.sha256(data).hexdigest()
    if entry.mask_path is not None:
        mask, mask_digest, doubts = _mask_of(entry, decoded.colour.shape[:2], page)
        digest, notes = digest + mask_digest, notes + doubts
    return Content(
        image=decoded.image,
        grey_levels=decoded.grey_levels,
        mask=mask,
        digest=digest,
        bits=decoded.bits,
        mode=decoded.mode,
        notes=tuple(notes),
    )


def _notes(decoded: Decoded, name: str, bit_depth: int | None) -> list[Note]:
    """What is to be said of an image, or compared with the others."""
    height, width = decoded.colour.shape[:2]
    notes = [
        Note("size", name, text=f"{height}x{width}"),
        Note("mode", name, text=decoded.mode),
        Note("bits", name, text=str(decoded.bits)),
    ]
    if decoded.extra_bands:
        notes.append(Note("extra_bands", name, decoded.extra_bands))
    if decoded.peak is not None and bit_depth is None:
        notes.append(Note("peak", name, decoded.peak))
    return notes


def _mask_of(
    entry: Entry, shape: tuple[int, ...], page: int | None
) -> tuple[Masks, str, list[Note]]:
    """The mask of an image of a shape, the digest of its file, and what is doubtful about it."""
    assert entry.mask_path is not None
    name = "/".join(entry.mask_path.parts[-3:])
    data, decoded = _decoded(entry.mask_path, name, None, page)
    mask, doubts = read_mask(decoded)
    if mask.shape != shape:
        sizes = ["{}x{}".format(*one) for one in (mask.shape, shape)]
        raise FileProblem(
            f"{name}: the mask has {sizes[0]} pixels (height x width), "
            f"its image {entry.name} has {sizes[1]}"
        )
    if entry.type == GOOD and mask.any():
        raise FileProblem(f"{name}: marks a defect in an image of the type 'good'")
    notes = [Note(doubt, name) for doubt in doubts]
    if entry.type != GOOD and not mask.any():
        notes.append(Note("mask_empty", name))
    if mask.mean() > 0.5:
        notes.append(Note("mask_covers_most", name, float(mask.mean())))
    return mask, hashlib.sha256(data).hexdigest(), notes


def good_first(types: Iterable[str]) -> list[str]:
    """The distinct types in a fixed order, ``"good"`` before all others."""
    return sorted(set(types), key=lambda kind: (kind != GOOD, kind))
