"""Finds, reads and checks the files of a category in the MVTec layout."""

import difflib
import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
GOOD = "good"

_FILES_OF_THE_DESKTOP = ("thumbs.db", "desktop.ini")
_BITS_PER_SAMPLE = 258
# Weights of ITU-R BT.601, the same as Pillow's.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LAYOUT = (
    "expected <root>/<category>/train/good, test/good, test/<defect type> and, where there are masks, "
    "ground_truth/<defect type>"
)


class CategoryError(ValueError):
    """Files of a category cannot be used; ``problems`` is the list of what is wrong, one sentence a file.

    Parameters
    ----------
    category : str
    problems : list of str

    Examples
    --------
    >>> print(CategoryError("screw", ["test/good/000.png: cannot be read"]))
    category 'screw' has 1 problem:
      test/good/000.png: cannot be read
    """

    def __init__(self, category, problems):
        self.problems = list(problems)
        count = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        super().__init__("\n  ".join([f"category {category!r} has {count}:", *self.problems]))


class FileProblem(ValueError):
    """One file cannot be used; the message names it."""


@dataclass(frozen=True)
class Entry:
    """One image file, and its mask where there is one."""

    split: str
    type: str
    name: str
    path: Path
    mask_path: Path | None


@dataclass(frozen=True)
class Content:
    """What a file and its mask hold: image float32 (h, w, c), largest grey level, mask bool (h, w) or None, SHA-256 of both."""

    image: np.ndarray
    grey_levels: int
    mask: np.ndarray | None
    digest: str


def _to_array(picture):
    """A Pillow image as an integer or float array (h, w) or (h, w, 3), and its largest grey level."""
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


def read_image(data):
    """Decode an image file.

    Parameters
    ----------
    data : bytes
        The file's content: PNG, JPEG, TIFF or BMP; grey, RGB, RGBA or palette; 8 or 16 bit.
        Transparent parts are shown on black; EXIF orientation is applied. A 16-bit colour PNG is
        read with 8 bits, which is all that Pillow gives.

    Returns
    -------
    image : ndarray of shape (h, w, c), float32, in [0, 1], c = 1 or 3
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


def to_color(image, color):
    """Grey or RGB from an image (h, w, 1 or 3): grey is the luma of ITU-R BT.601, RGB repeats a grey channel."""
    if color == "rgb":
        return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
    return image if image.shape[-1] == 1 else (image @ _LUMA)[..., None]


def read_entry(entry):
    """Read an entry's image and mask and check that they fit.

    Raises
    ------
    FileProblem
        Naming the file and what is wrong with it.
    """

    def decode(path, name):
        try:
            data = path.read_bytes()
            return data, *read_image(data)
        except (OSError, ValueError) as error:
            raise FileProblem(f"{name}: {error}") from error

    data, image, grey_levels = decode(entry.path, entry.name)
    if entry.mask_path is None:
        return Content(image, grey_levels, None, hashlib.sha256(data).hexdigest())
    mask_name = _mask_name(entry.mask_path)
    mask_data, mask_image, _ = decode(entry.mask_path, mask_name)
    mask = mask_image.max(axis=-1) > 0
    if mask.shape != image.shape[:2]:
        sizes = ["{}x{}".format(*shape) for shape in (mask.shape, image.shape[:2])]
        raise FileProblem(
            f"{mask_name}: the mask has {sizes[0]} pixels (height x width), its image {entry.name} has {sizes[1]}"
        )
    if entry.type == GOOD and mask.any():
        raise FileProblem(f"{mask_name}: marks a defect in an image of the type 'good'")
    return Content(
        image,
        grey_levels,
        mask,
        hashlib.sha256(data).hexdigest() + hashlib.sha256(mask_data).hexdigest(),
    )


def good_first(types):
    """The distinct types in a fixed order, ``"good"`` before all others."""
    return sorted(set(types), key=lambda kind: (kind != GOOD, kind))


def _mask_name(path):
    return "/".join(path.parts[-3:])


def find_category(root, category):
    """The category's folder.

    Raises
    ------
    FileNotFoundError
        Where it or its ``train/good`` or ``test`` is missing; a misspelt name gets the nearest
        ones.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"no folder {root}: root is the folder that holds the categories ({_LAYOUT})"
        )
    folder = root / category
    # Compared by listing: a file system that ignores case would let "Screw" pass and give it
    # another fingerprint.
    folders = sorted(
        path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    if category not in folders:
        lower = {name.lower(): name for name in folders}
        near = [
            lower[name]
            for name in difflib.get_close_matches(category.lower(), lower, n=3, cutoff=0.5)
        ]
        if near:
            hint = "did you mean " + " or ".join(map(repr, near)) + "?"
        elif folders:
            hint = "there are: " + ", ".join(folders)
        else:
            hint = f"the root is empty; {_LAYOUT}"
        raise FileNotFoundError(f"no category {category!r} in {root}: {hint}")
    for part in ("train/good", "test"):
        if not (folder / part).is_dir():
            raise FileNotFoundError(f"no folder {folder / part}: {_LAYOUT}")
    return folder


def _list_images(folder, problems):
    """Image files of one folder by name; anything else in it is a problem."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        name = "/".join(path.parts[-3:])
        if path.name.startswith(".") or path.name.lower() in _FILES_OF_THE_DESKTOP:
            continue
        if path.is_dir():
            problems.append(f"{name}: is a folder; images lie directly in {folder.name}/")
        elif path.suffix.lower() not in SUFFIXES:
            problems.append(f"{name}: is not one of {', '.join(SUFFIXES)}")
        else:
            found.append(path)
    return found


def list_entries(folder):
    """All images of a category in a fixed order, with their masks.

    Parameters
    ----------
    folder : Path
        From :func:`find_category`.

    Returns
    -------
    entries : list of Entry
        Train first, then test by type and name.
    problems : list of str
        Wrong files, masks without image, defective images without mask.
    """
    problems, entries = [], []
    truth = folder / "ground_truth"
    has_truth = truth.is_dir() and any(path.is_file() for path in truth.rglob("*"))
    for path in _list_images(folder / "train" / "good", problems):
        entries.append(Entry("train", GOOD, f"train/good/{path.name}", path, None))
    types = sorted(
        path.name
        for path in (folder / "test").iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )
    for kind in types:
        masks = {}
        if (truth / kind).is_dir():
            for path in _list_images(truth / kind, problems):
                stem = path.stem.removesuffix("_mask")
                if stem in masks:
                    problems.append(
                        f"{_mask_name(path)}: is a second mask beside {masks[stem].name}"
                    )
                masks[stem] = path
        for path in _list_images(folder / "test" / kind, problems):
            mask_path = masks.pop(path.stem, None)
            name = f"test/{kind}/{path.name}"
            if has_truth and kind != GOOD and mask_path is None:
                problems.append(f"{name}: has no mask ground_truth/{kind}/{path.stem}_mask.png")
            entries.append(Entry("test", kind, name, path, mask_path))
        for stem, path in sorted(masks.items()):
            problems.append(f"{_mask_name(path)}: is a mask without an image test/{kind}/{stem}.*")
    if has_truth:
        for path in sorted(truth.iterdir()):
            if (
                path.is_dir()
                and not path.name.startswith(".")
                and path.name not in types
                and any(path.iterdir())
            ):
                problems.append(
                    f"ground_truth/{path.name}: holds masks, but there is no folder test/{path.name}"
                )
    return entries, problems
