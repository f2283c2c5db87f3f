"""Reads an image together with its mask, and checks that they fit."""

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.arrays import Images, Masks
from adhelpers._shared.text import escaped

from .decoding import Decoded, decode
from .file_remarks import Note
from .masks import read_mask
from .shapes import Shapes

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
GOOD = "good"

# An image of 89 megapixels, which is the most that is decoded, takes 537 MB with three colours of
# 16 bits and no compression. What is larger is no image, or one that is refused anyway.
MOST_BYTES = 600_000_000
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}

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
    split : {"train", "validation", "test"}
    type : str
        ``"good"`` or the type of defect.
    name : str
        Path within the category.
    path : Path
    masks : tuple of Path or Shapes
        Where its defects are marked: files, or shapes of a list. A pixel that any of them marks is
        defect.
    within : tuple of Path
        Folders, without links in their paths, of which one must hold what the paths lead to. Empty
        allows any place.
    """

    split: str
    type: str
    name: str
    path: Path
    masks: tuple[Path | Shapes, ...] = ()
    within: tuple[Path, ...] = ()


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
        SHA-256 of the image's file and of each mask, one after the other.
    bits : int
        Of each sample of the image in its file.
    mode : {"grey", "rgb", "palette", "cmyk"}
        How the image's file stores its colours.
    notes : tuple of Note
        What is doubtful about the files.
    samples : ndarray of uint8, shape (h, w, c), or None
        What ``image`` has 255 times, where the file holds just this.
    """

    image: Images
    grey_levels: int
    mask: Masks | None
    digest: str
    bits: int = 8
    mode: str = "grey"
    notes: tuple[Note, ...] = ()
    samples: NDArray[np.uint8] | None = None


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


def leads_out(path: Path, within: Sequence[Path]) -> bool:
    """Whether a path leads, through links, to a place in none of some folders.

    Parameters
    ----------
    path : Path
    within : sequence of Path
        Without links in their own paths; none of them means that any place is right.
    """
    # Unlike Path.resolve this does not end at a circle of links.
    place = Path(os.path.realpath(path))
    return bool(within) and not any(place.is_relative_to(folder) for folder in within)


def read_file(path: Path, within: Sequence[Path] = ()) -> bytes:
    """The content of a regular file of no more than 600 MB.

    Nothing else is opened: a named pipe would wait for a writer, a device may never end.

    Parameters
    ----------
    path : Path
    within : sequence of Path
        As in `leads_out`.

    Raises
    ------
    ValueError
        Where it is no regular file, too large, or reached by a link out of ``within``.
    OSError
        Where it cannot be read.
    """
    if leads_out(path, within):
        raise ValueError("is a link out of the data set; put a copy of the file in its place")
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        kind = _KINDS.get(stat.S_IFMT(about.st_mode), "something else")
        raise ValueError(f"is {kind}; only regular files are read")
    if about.st_size > MOST_BYTES:
        raise ValueError(
            f"has {about.st_size / 1e6:,.0f} MB, which no image needs; files of up to "
            f"{MOST_BYTES / 1e6:.0f} MB are read"
        )
    return path.read_bytes()


def read_decoded(
    path: Path,
    name: str,
    within: Sequence[Path] = (),
    bit_depth: int | None = None,
    page: int | None = None,
) -> tuple[bytes, Decoded]:
    """A file's bytes and what they hold, or a FileProblem that names it."""
    try:
        data = read_file(path, within)
        return data, decode(data, bit_depth, page)
    except (OSError, ValueError) as error:
        raise FileProblem(f"{name}: {_without_path(error)}") from error


def _without_path(error: Exception) -> str:
    """What went wrong, without the path that the system adds."""
    return str(isinstance(error, OSError) and error.strerror or error)


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
    data, decoded = read_decoded(entry.path, entry.name, entry.within, bit_depth, page)
    notes = notes_of(decoded, entry.name, bit_depth)
    mask, digest = None, hashlib.sha256(data).hexdigest()
    if entry.masks:
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
        samples=decoded.samples,
    )


def notes_of(decoded: Decoded, name: str, bit_depth: int | None = None) -> list[Note]:
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
    """The mask of an image of a shape, the digests of its sources, and what is doubtful."""
    mask, digest, notes = np.zeros(shape, bool), "", list[Note]()
    for source in entry.masks:
        name = entry.name if isinstance(source, Shapes) else _mask_name(source)
        if isinstance(source, Shapes):
            one, found = _drawn(source, entry.name, shape), source.digest
        else:
            data, decoded = read_decoded(source, name, entry.within, page=page)
            (one, doubts), found = read_mask(decoded), hashlib.sha256(data).hexdigest()
            notes += [Note(doubt, name) for doubt in doubts]
        if one.shape != shape:
            sizes = ["{}x{}".format(*size) for size in (one.shape, shape)]
            raise FileProblem(
                f"{name}: the mask has {sizes[0]} pixels (height x width), "
                f"its image {entry.name} has {sizes[1]}"
            )
        if entry.type == GOOD and one.any():
            raise FileProblem(f"{name}: marks a defect in an image of the type 'good'")
        mask, digest = mask | one, digest + found
    if entry.type != GOOD and not mask.any():
        notes.append(Note("mask_empty", name))
    if mask.mean() > 0.5:
        notes.append(Note("mask_covers_most", name, float(mask.mean())))
    return mask, digest, notes


def _mask_name(path: Path) -> str:
    """A mask's file as remarks and errors name it."""
    return escaped("/".join(path.parts[-3:]))


def _drawn(shapes: Shapes, name: str, shape: tuple[int, ...]) -> Masks:
    """The mask of shapes, or a FileProblem that names their image."""
    try:
        return shapes.mask((shape[0], shape[1]))
    except ValueError as error:
        raise FileProblem(f"{name}: {error}") from error


def good_first(types: Iterable[str]) -> list[str]:
    """The distinct types in a fixed order, ``"good"`` before all others."""
    return sorted(set(types), key=lambda kind: (kind != GOOD, kind))
