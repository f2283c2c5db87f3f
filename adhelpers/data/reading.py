"""Decodes image files and reads an image together with its mask."""

import hashlib
import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from adhelpers._shared.arrays import Images, Masks

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
GOOD = "good"

_BITS_PER_SAMPLE = 258
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
        As from `read_image`.
    mask : ndarray of bool, shape (h, w), or None
    digest : str
        SHA-256 of both files.
    """

    image: Images
    grey_levels: int
    mask: Masks | None
    digest: str


def _to_array(picture: Image.Image) -> tuple[NDArray[Any], int]:
    """Pixels of a Pillow image, shape (h, w) or (h, w, 3), and its largest grey level."""
    if picture.mode.startswith("I"):
        pixels = np.asarray(picture)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("has 32-bit pixels; save it with 8 or 16 bits")
        return pixels, 65535
    if picture.mode == "F":
        pixels = np.asarray(picture)
        if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
            raise ValueError("has real-valued pixels outside [0, 1]; save it with 8 or 16 bits")
        return pixels, 1
    if picture.has_transparency_data:
        # What lies under a transparent pixel is arbitrary, so it is shown on black.
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture).convert(
            "RGB"
        )
    elif picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
    return np.asarray(picture), 255


def read_image(data: bytes) -> tuple[Images, int]:
    """Decode an image file.

    Parameters
    ----------
    data : bytes
        The file's content: PNG, JPEG, TIFF or BMP; grey, RGB, RGBA or palette; 8 or 16 bit.
        Transparent parts are shown on black; EXIF orientation is applied. A 16-bit colour PNG is
        read with 8 bits, which is all that Pillow gives.

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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "TIFF", "BMP")) as picture:
                bits = max(getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,)))
                if bits == 16 and picture.mode in ("RGB", "RGBA"):
                    # Pillow halves the depth of 16-bit colour TIFF; tifffile does not.
                    pixels, grey_levels = tifffile.imread(io.BytesIO(data), key=0), 65535
                    if pixels.shape[0] in (3, 4) and pixels.shape[-1] not in (3, 4):
                        pixels = np.moveaxis(pixels, 0, -1)
                    if pixels.shape[-1] == 4:
                        pixels = pixels[..., :3] * (pixels[..., 3:] / np.float32(65535))
                else:
                    pixels, grey_levels = _to_array(ImageOps.exif_transpose(picture))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError(
            "is too large to be an image of a data set; make it smaller than 89 megapixels"
        ) from error
    except UnidentifiedImageError as error:
        raise ValueError(
            "cannot be read as PNG, JPEG, TIFF or BMP (another format, or damaged)"
        ) from error
    except (OSError, SyntaxError, EOFError, KeyError, tifffile.TiffFileError) as error:
        raise ValueError(f"cannot be read as PNG, JPEG, TIFF or BMP ({error})") from error
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return (pixels / np.float32(grey_levels)).astype(np.float32), grey_levels


def to_color(image: Images, color: str) -> Images:
    """``"grayscale"`` (luma of ITU-R BT.601) or ``"rgb"`` (a grey channel is repeated).

    ``image`` is one image, shape (h, w, c).
    """
    if color == "rgb":
        return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
    return image if image.shape[-1] == 1 else (image @ _LUMA)[..., None]


def _decoded(path: Path, name: str) -> tuple[bytes, Images, int]:
    """A file's bytes, its image and its grey levels, or a FileProblem that names it."""
    try:
        data = path.read_bytes()
        return data, *read_image(data)
    except (OSError, ValueError) as error:
        raise FileProblem(f"{name}: {error}") from error


def read_entry(entry: Entry) -> Content:
    """Read an entry's image and mask and check that they fit.

    Raises
    ------
    FileProblem
        Naming the file and what is wrong with it.
    """
    data, image, grey_levels = _decoded(entry.path, entry.name)
    digest = hashlib.sha256(data).hexdigest()
    if entry.mask_path is None:
        return Content(image, grey_levels, None, digest)
    mask_name = "/".join(entry.mask_path.parts[-3:])
    mask_data, mask_image, _ = _decoded(entry.mask_path, mask_name)
    mask = mask_image.max(axis=-1) > 0
    if mask.shape != image.shape[:2]:
        sizes = ["{}x{}".format(*shape) for shape in (mask.shape, image.shape[:2])]
        raise FileProblem(
            f"{mask_name}: the mask has {sizes[0]} pixels (height x width), "
            f"its image {entry.name} has {sizes[1]}"
        )
    if entry.type == GOOD and mask.any():
        raise FileProblem(f"{mask_name}: marks a defect in an image of the type 'good'")
    return Content(image, grey_levels, mask, digest + hashlib.sha256(mask_data).hexdigest())


def good_first(types: Iterable[str]) -> list[str]:
    """The distinct types in a fixed order, ``"good"`` before all others."""
    return sorted(set(types), key=lambda kind: (kind != GOOD, kind))
