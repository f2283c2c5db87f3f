"""Decodes image files: bytes to an array, by the same rules for every format, depth and colour.

Pillow reads PNG, JPEG and BMP, tifffile and imagecodecs read TIFF and PNG with 16 bits. They only
hand over the samples as the file stores them; what these mean (orientation, white or black is zero,
alpha, extra bands, CMYK, depth) is decided in one place, `_Samples.decoded`.
"""

import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from adhelpers._shared.arrays import Images

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Where the header of a PNG holds its bits per sample.
_PNG_BITS = 24
_ORIENTATION = 274
# As Pillow: above it a file is more likely meant to fill the memory than to be looked at.
_MOST_PIXELS = 89_478_485
_MOST_BANDS = 64
_MOST_BYTES = 16 * _MOST_PIXELS
# No image grows more than this from its file, unless it is small or made to fill the memory.
_MOST_GROWTH, _SMALL_BYTES = 2000, 64_000_000

_JPEG_IN_TIFF = 7
# None, CCITT (three kinds), LZW, deflate (two numbers), PackBits, LZMA, Zstandard.
_COMPRESSIONS = (1, 2, 3, 4, 5, 8, 32946, 32773, 34925, 50000)
_COLOURS = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk"}
_BANDS = {"grey": 1, "palette": 1, "rgb": 3, "cmyk": 4}
_ASSOCIATED, _UNASSOCIATED = 1, 2

# What brings an image with each value of the orientation tag upright.
_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: np.swapaxes(image, 0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(np.swapaxes(image, 0, 1), 2),
    8: np.rot90,
}

# tifffile reports what is odd in a file to its log; here it becomes a problem of the file, or
# nothing.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Decoded:
    """What an image file holds.

    Attributes
    ----------
    colour : ndarray of float32, shape (h, w, c), in [0, 1], c = 1 or 3
        As stored, also under transparent pixels.
    alpha : ndarray of float32, shape (h, w), in [0, 1], or None
    premultiplied : bool
        Whether the colours are multiplied by alpha already (associated alpha).
    grey_levels : int
        Largest value of a sample: 255 for 8 bits, 65535 for 16, 1 for real values.
    bits : int
        Of each sample in the file.
    mode : {"grey", "rgb", "palette", "cmyk"}
        How the file stores its colours.
    peak : int or None
        Largest value of an integer sample with more than 8 bits; None for other files.
    lossy : bool
        Whether the file is a JPEG.
    extra_bands : int
        Bands that are neither colour nor alpha and were ignored.
    samples : ndarray of uint8, shape (h, w, c), or None
        What ``image`` has 255 times, where the file holds just this.
    """

    colour: Images
    alpha: Images | None
    premultiplied: bool
    grey_levels: int
    bits: int
    mode: str
    peak: int | None
    lossy: bool
    extra_bands: int
    samples: NDArray[np.uint8] | None = None

    @property
    def image(self) -> Images:
        """The image on black, shape (h, w, c): what lies under a transparent pixel is arbitrary."""
        if self.alpha is None or self.premultiplied:
            return self.colour
        return self.colour * self.alpha[..., None]


@dataclass(frozen=True)
class _Samples:
    """Samples as a file stores them, (h, w, bands), and what its header says about them."""

    values: NDArray[Any]
    mode: str
    bits: int
    extra: Sequence[int] = ()
    white_is_zero: bool = False
    orientation: int = 1
    lossy: bool = False

    @property
    def upright(self) -> NDArray[Any]:
        """The samples, (h, w, bands), as a person would see them."""
        values = self.values[..., None] if self.values.ndim == 2 else self.values
        return _UPRIGHT.get(self.orientation, np.asarray)(values)

    def decoded(self, bit_depth: int | None) -> Decoded:
        """Colours and alpha in [0, 1], upright."""
        values = self.upright
        levels = _grey_levels(values, self.bits, bit_depth)
        deep = self.bits > 8 and levels > 1
        scaled = np.ascontiguousarray((values / np.float32(levels)).astype(np.float32, copy=False))
        bands = 3 if self.mode == "palette" else _BANDS[self.mode]
        colour, alpha, premultiplied = scaled[..., :bands], None, False
        for position, meaning in enumerate(self.extra):
            if meaning in (_ASSOCIATED, _UNASSOCIATED):
                alpha, premultiplied = scaled[..., bands + position], meaning == _ASSOCIATED
                break
        if self.white_is_zero:
            colour = 1 - colour
        if self.mode == "cmyk":
            colour = (1 - colour[..., :3]) * (1 - colour[..., 3:])
        plain = self.mode in ("grey", "rgb", "palette") and not self.white_is_zero
        bytes_are_levels = values.dtype == np.uint8 and levels == 255
        return Decoded(
            colour=colour,
            alpha=alpha,
            premultiplied=premultiplied,
            grey_levels=levels,
            bits=self.bits,
            mode=self.mode,
            peak=int(values[..., :bands].max()) if deep else None,
            lossy=self.lossy,
            extra_bands=values.shape[-1] - bands - (alpha is not None),
            samples=values[..., :bands] if plain and bytes_are_levels and alpha is None else None,
        )


def _grey_levels(values: NDArray[Any], bits: int, bit_depth: int | None) -> int:
    """The value that stands for 1."""
    if not values.size:
        raise ValueError("the image has no pixels")
    if values.dtype == np.uint8 and bits <= 8:
        return int(2**bits - 1)
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ValueError("has real-valued pixels outside [0, 1]; save it with 8 or 16 bits")
        return 1
    if values.dtype.kind not in "ui":
        raise ValueError(f"has pixels of the type {values.dtype}; save it with 8 or 16 bits")
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0:
        raise ValueError("has negative pixels; save it with 8 or 16 bits without sign")
    if bit_depth is not None and bits > 8:
        if highest >= 2**bit_depth:
            raise ValueError(
                f"has values up to {highest}, more than bit_depth={bit_depth} holds "
                f"({2**bit_depth - 1})"
            )
        return int(2**bit_depth - 1)
    if highest > 65535:
        raise ValueError("has 32-bit pixels; save it with 8 or 16 bits")
    return int(2 ** min(bits, 16) - 1)


def check_reading(bit_depth: int | None, page: int | None) -> None:
    """Refuse what `decode` cannot take for the bits in use and the page.

    Raises
    ------
    ValueError
    """
    if bit_depth is not None and bit_depth not in range(1, 17):
        raise ValueError(f"bit_depth must be a whole number from 1 to 16, not {bit_depth!r}")
    if page is not None and (not isinstance(page, (int, np.integer)) or page < 0):
        raise ValueError(f"page must be a whole number from 0, not {page!r}")


def decode(data: bytes, bit_depth: int | None = None, page: int | None = None) -> Decoded:
    """Decode an image file.

    Parameters
    ----------
    data : bytes
        The file's content: PNG, JPEG, TIFF or BMP; grey, RGB, palette or CMYK, with or without
        alpha; up to 16 bits, or real values in [0, 1]. TIFF uncompressed or with LZW, deflate
        (each with or without predictor), PackBits, CCITT, LZMA, Zstandard or JPEG.
    bit_depth : int, optional
        How many bits of files with more than 8 are in use, such as 12 for a camera's 12 bits in 16.
    page : int, optional
        Which page of a file that holds several is read; the first is 0.

    Returns
    -------
    Decoded

    Raises
    ------
    ValueError
        Where the file cannot be decoded, whatever is wrong with it.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> Image.new("RGBA", (4, 3), (255, 0, 0, 51)).save(file, "PNG")
    >>> red = decode(file.getvalue())
    >>> red.image.shape, red.image[0, 0].round(2).tolist(), red.grey_levels
    ((3, 4, 3), [0.20000000298023224, 0.0, 0.0], 255)
    """
    with _one_kind_of_error():
        return _samples(data, page).decoded(bit_depth)


def decode_values(data: bytes) -> NDArray[Any]:
    """The numbers of an image file as they stand in it: real values may have any range.

    Parameters
    ----------
    data : bytes
        As in `decode`.

    Returns
    -------
    ndarray, shape (h, w, bands)
        Upright; alpha and extra bands are bands like the others.

    Raises
    ------
    ValueError
        Where the file cannot be decoded.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> tifffile.imwrite(file, np.full((4, 3), -2.5, np.float32))
    >>> decode_values(file.getvalue())[0].ravel().tolist()
    [-2.5, -2.5, -2.5]
    """
    with _one_kind_of_error():
        return _samples(data, None).upright


def _samples(data: bytes, page: int | None) -> "_Samples":
    return _tiff(data, page) if data[:4] in _TIFF_STARTS else _by_pillow(data, page)


@contextmanager
def _one_kind_of_error() -> Iterator[None]:
    """Whatever a decoder meets in a file becomes a ValueError that says what would be right."""
    try:
        with _QUIET:
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError, MemoryError) as error:
        raise ValueError(
            "is too large to be an image of a data set; make it smaller than 89 megapixels"
        ) from error
    except UnidentifiedImageError as error:
        raise ValueError(
            "cannot be read as PNG, JPEG, TIFF or BMP (another format, or damaged)"
        ) from error
    except _Refused as error:
        raise ValueError(str(error)) from error
    except Exception as error:
        # Decoders meet damaged bytes with exceptions of any kind: IndexError, struct.error, ...
        text = str(error)
        if type(error) is ValueError and text.startswith("has "):
            raise
        raise ValueError(
            f"cannot be read as PNG, JPEG, TIFF or BMP ({text or type(error).__name__})"
        ) from error


class _Quiet:
    """Warnings of decoders are errors or nothing.

    Python's filters of warnings belong to the whole process: the first thread that decodes sets
    them, the last one brings back what was there.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


_QUIET = _Quiet()


class _Refused(ValueError):
    """A file that is whole but cannot be used as it is; the message says what would be right."""


def _chosen_page(count: int, page: int | None) -> int:
    """Which of ``count`` pages is read."""
    if count == 1:
        return 0
    if page is None:
        raise _Refused(f"holds {count} pages; choose one with page=0 to page={count - 1}")
    if not 0 <= page < count:
        raise _Refused(f"has no page {page}; it holds pages 0 to {count - 1}")
    return page


def _by_pillow(data: bytes, page: int | None = None) -> _Samples:
    """Samples of a PNG, JPEG or BMP, and of a TIFF that holds a JPEG."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
        lossy, modes = picture.format in ("JPEG", "MPO"), picture.mode
        # A camera's JPEG may carry a preview as a second picture.
        count = 1 if lossy or picture.format == "TIFF" else getattr(picture, "n_frames", 1)
        if count > 1:
            picture.seek(_chosen_page(count, page))
        elif data.startswith(_PNG_START) and data[_PNG_BITS] == 16:
            return _png16(data, picture)
        orientation = picture.getexif().get(_ORIENTATION, 1)
        colours = _plain(picture)
        mode = {"P": "palette", "PA": "palette", "CMYK": "cmyk"}.get(modes)
        bands = colours.getbands()
        return _Samples(
            np.asarray(colours),
            mode or ("rgb" if len(bands) > 2 else "grey"),
            8,
            extra=(_UNASSOCIATED,) if bands[-1] == "A" else (),
            orientation=orientation,
            lossy=lossy,
        )


def _plain(picture: Image.Image) -> Image.Image:
    """A Pillow image as L, LA, RGB, RGBA or CMYK."""
    grey = picture.mode in ("1", "L", "LA")
    whole = picture.mode in ("L", "RGB") and not picture.has_transparency_data
    if whole or picture.mode in ("LA", "RGBA", "CMYK"):
        return picture
    if picture.has_transparency_data:
        return picture.convert("LA" if grey else "RGBA")
    return picture.convert("L" if grey else "RGB")


def _png16(data: bytes, picture: Image.Image) -> _Samples:
    """Samples of a PNG with 16 bits, which Pillow would halve where it has colours."""
    # Decodes all of it: damaged chunks are an error to Pillow and a warning to libpng.
    orientation = picture.getexif().get(_ORIENTATION, 1)
    values = np.atleast_3d(imagecodecs.png_decode(data))
    bands = values.shape[-1]
    return _Samples(
        values,
        "rgb" if bands > 2 else "grey",
        16,
        extra=(_UNASSOCIATED,) if bands in (2, 4) else (),
        orientation=orientation,
    )


def _tiff(data: bytes, page: int | None) -> _Samples:
    """Samples of a TIFF."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        # Small copies and transparency masks of another page are no pages of their own.
        pages = [one for one in file.pages if not int(one.aspage().subfiletype) & 5]
        if not pages:
            raise _Refused("holds no image")
        chosen = pages[_chosen_page(len(pages), page)].aspage()
        if chosen.compression == _JPEG_IN_TIFF and len(pages) == 1:
            return _by_pillow(data)
        _check_tiff(chosen, len(data))
        values = chosen.asarray(maxworkers=1)
        if values.dtype == bool:
            values = values.astype(np.uint8)
        if chosen.axes == "SYX":
            values = np.moveaxis(values, 0, -1)
        elif chosen.axes not in ("YX", "YXS"):
            raise _Refused(f"has the axes {chosen.axes}; save each plane as a file of its own")
        mode, bits = _COLOURS[int(chosen.photometric)], int(chosen.bitspersample)
        values = np.atleast_3d(values)
        if mode == "palette":
            values, bits = _colours_of(values, chosen.colormap), 8
        elif bits == 1:
            values, bits = values * np.uint8(255), 8
        extra = tuple(int(meaning) for meaning in chosen.extrasamples)
        return _Samples(
            values,
            mode,
            bits,
            extra=extra,
            white_is_zero=int(chosen.photometric) == 0,
            orientation=int(chosen.tags.valueof(_ORIENTATION, 1)),
        )


def _check_tiff(page: tifffile.TiffPage, size: int) -> None:
    """Refuse a page that is of no known kind, too large, or whose data lie outside the file."""
    if int(page.compression) not in _COMPRESSIONS:
        name = getattr(page.compression, "name", page.compression)
        raise _Refused(f"has the compression {name}; save it with LZW, deflate or none")
    if int(page.photometric) not in _COLOURS:
        name = getattr(page.photometric, "name", page.photometric)
        raise _Refused(f"has colours of the kind {name}; save it as grey or RGB")
    tile = (page.tilewidth or 1) * (page.tilelength or 1)
    pixels = max(page.imagewidth * page.imagelength * max(page.imagedepth, 1), tile)
    needed = pixels * page.samplesperpixel * max(page.bitspersample, 8) // 8
    allowed = min(_MOST_BYTES, max(_SMALL_BYTES, _MOST_GROWTH * size))
    if pixels > _MOST_PIXELS or page.samplesperpixel > _MOST_BANDS or needed > allowed:
        raise MemoryError
    ends = [
        offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
    ]
    if not ends or max(ends) > size or min(page.databytecounts) <= 0:
        # tifffile would fill what is missing with black.
        raise ValueError("image data are missing or lie outside the file")


def _colours_of(indices: NDArray[Any], colormap: NDArray[Any] | None) -> NDArray[Any]:
    """Colours (h, w, 3) with 8 bits, and further bands, of indices into a TIFF's palette."""
    if colormap is None:
        raise ValueError("palette is missing")
    # 16 bits by the standard; some programs write 8.
    palette = colormap.T if colormap.max() < 256 else colormap.T // 256
    return np.concatenate([palette.astype(np.uint8)[indices[..., 0]], indices[..., 1:]], axis=-1)
