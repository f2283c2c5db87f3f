"""Images of several classes for a classifier, in folders named after the classes."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Flags, Images, Integers, Labels, Masks, Names
from adhelpers._shared.progress import progress

from .decoding import Decoded, check_reading
from .duplicates import content_digest, duplicate_remarks, group_copies
from .file_remarks import Note, file_remarks, stretch_remark
from .layouts import is_data, is_document, is_image, one_form, unused_remarks
from .masks import read_mask, resize_mask
from .normalize import asked_size, completed_size, resize_image
from .reading import CategoryError, notes_of, read_decoded, to_color
from .remarks import Remark

_MASKS, _COUNTERPARTS, _CLASSES = "ground_truth", "counterparts", "classes.txt"
# What the end of a file's name in ``ground_truth`` and ``counterparts`` says it is about.
_SUFFIXES = {"defect": ("defects", "without_defects"), "tag": ("tags", "without_tags")}


@dataclass(frozen=True)
class ClassImages:
    """Images of one split with their classes.

    Attributes
    ----------
    images : ndarray of float32, shape (n, h, w, c), in [0, 1], c = 1 or 3
    labels : ndarray of int64, shape (n,)
        Index into ``class_names``.
    class_names : tuple of str
    names : ndarray of str, shape (n,)
        Path of each file within the data set.
    defects : ndarray of bool, shape (n, h, w), or None
        What makes an image one of its class; None where no one has marked it.
    tags : ndarray of bool, shape (n, h, w), or None
        Something else in the image, such as a printed tag, that must not decide its class; None
        where there is no such thing.
    without_defects, without_tags : ndarray of float32, shape (n, h, w, c), or None
        Counterparts: what each image would look like without its defect, or without its tag; an
        image that has none is its own. None where they are not known.
    fingerprint : str
        SHA-256 over images, labels and class names.
    remarks : tuple of Remark
        What was ignored or doubtful when the files were read.

    Examples
    --------
    >>> images = make_class_images(np.zeros((2, 4, 4, 1)), [0, 1], ("good", "cut"))
    >>> len(images), images.subset(images.labels == 1).names.tolist()
    (2, ['cut/00001'])
    """

    images: Images
    labels: Labels
    class_names: tuple[str, ...]
    names: Names
    defects: Masks | None
    tags: Masks | None
    without_defects: Images | None
    without_tags: Images | None
    fingerprint: str
    remarks: tuple[Remark, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Integers | Flags | Sequence[int] | slice) -> "ClassImages":
        """The images at ``indices`` as ClassImages of their own."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        del parts["fingerprint"]
        chosen: dict[str, Any] = {
            name: value if value is None or name in ("class_names", "remarks") else value[indices]
            for name, value in parts.items()
        }
        return make_class_images(**chosen)

    @property
    def types(self) -> Names:
        """The class name of each image: ndarray of str, shape (n,)."""
        return np.array(self.class_names)[self.labels]


def make_class_images(
    images: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    names: ArrayLike | None = None,
    defects: ArrayLike | None = None,
    tags: ArrayLike | None = None,
    without_defects: ArrayLike | None = None,
    without_tags: ArrayLike | None = None,
    remarks: Sequence[Remark] = (),
) -> ClassImages:
    """`ClassImages` of arrays that are already there.

    Parameters
    ----------
    images : array-like of float, shape (n, h, w, c), in [0, 1]
    labels : array-like of int, shape (n,)
    class_names : sequence of str
    names : array-like of str, shape (n,), optional
    defects, tags : array-like of bool, shape (n, h, w), optional
    without_defects, without_tags : array-like of float, shape (n, h, w, c), optional
    remarks : sequence of Remark

    Returns
    -------
    ClassImages

    Raises
    ------
    ValueError
        If shapes do not fit, values leave [0, 1] or a label is no index into ``class_names``.

    Examples
    --------
    >>> make_class_images(np.zeros((1, 4, 4, 1)), [2], ("good", "cut"))
    Traceback (most recent call last):
        ...
    ValueError: labels must be whole numbers from 0 to 1, one for each of the 1 images
    """
    images, labels = np.ascontiguousarray(images, dtype=np.float32), np.asarray(labels)
    class_names = tuple(map(str, class_names))
    _check_images(images)
    _check_labels(labels, len(images), len(class_names))
    if names is None:
        names = [f"{class_names[label]}/{index:05d}" for index, label in enumerate(labels)]
    labels = labels.astype(np.int64)
    content = "\n".join(class_names).encode() + images.tobytes() + labels.tobytes()
    return ClassImages(
        images,
        labels,
        class_names,
        np.asarray(names, dtype=str),
        defects=_part("defects", defects, bool, images.shape[:3]),
        tags=_part("tags", tags, bool, images.shape[:3]),
        without_defects=_part("without_defects", without_defects, np.float32, images.shape),
        without_tags=_part("without_tags", without_tags, np.float32, images.shape),
        fingerprint=hashlib.sha256(content).hexdigest(),
        remarks=tuple(remarks),
    )


def _check_images(images: Images) -> None:
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "images must have the shape (n, height, width, channels) with 1 or 3 channels, not "
            f"{images.shape}"
        )
    if images.size and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError("images must hold finite values in [0, 1]")


def _check_labels(labels: Integers, images: int, classes: int) -> None:
    whole = labels.shape == (images,) and np.issubdtype(labels.dtype, np.integer)
    if not whole or (images and not (labels.min() >= 0 and labels.max() < classes)):
        raise ValueError(
            f"labels must be whole numbers from 0 to {classes - 1}, one for each of the {images} "
            "images"
        )


def _part(name: str, part: ArrayLike | None, kind: type, shape: tuple[int, ...]) -> Any:
    """Masks or counterparts of all images as an array of the right shape; None stays None."""
    if part is None:
        return None
    part = np.asarray(part, dtype=kind)
    if part.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, not {part.shape}")
    return part


def load_class_images(
    root: str | Path,
    split: str,
    *,
    image_size: int | Sequence[int] | None = None,
    color: str = "rgb",
    show_progress: bool = False,
    bit_depth: int | None = None,
    page: int | None = None,
) -> ClassImages:
    """Load one split of a data set in folders named after its classes.

    ``root/<split>/<class>/`` holds the images. Where there is ``root/ground_truth/<split>/``, its
    ``<class>/<stem>_defect.png`` and ``<stem>_tag.png`` are masks (non-zero is marked); an image
    without such a file has nothing of it. Where there is ``root/counterparts/<split>/``, files of
    the same names show the image without its defect, or without its tag.

    Parameters
    ----------
    root : str or Path
    split : str
        Such as ``"train"``.
    image_size : int or tuple of int, optional
        Height and width to which images are resized; one number for square images. A side that
        is 0 follows from the other one, so that the first file keeps its proportions. By default
        images stay as they are and must be of one size.
    color : {"rgb", "grayscale"}
    show_progress : bool
    bit_depth, page : int, optional
        As in `load_category`.

    Returns
    -------
    ClassImages
        Classes in the order of ``root/classes.txt`` where there is one, else of their names.

    Raises
    ------
    FileNotFoundError
        Where a folder is missing.
    CategoryError
        A ValueError that names all files that cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from adhelpers.data import insulators_root
    >>> folder = insulators_root(tempfile.mkdtemp(), train_count=2, review_count=1, test_count=1)
    >>> train = load_class_images(folder, "train")
    >>> train.images.shape, train.class_names
    ((6, 64, 64, 3), ('good', 'broken', 'flashover'))
    """
    root = Path(root)
    folder = root / split
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{one_form(str(folder))} is missing: expected "
            f"{one_form(root.name)}/<split>/<class>/<images>"
        )
    class_names = _class_names(root, folder)
    files = [
        (label, path)
        for label, name in enumerate(class_names)
        if (folder / name).is_dir()
        for path in sorted((folder / name).iterdir())
        if is_image(path) and not path.is_dir()
    ]
    check_reading(bit_depth, page)
    reader = _Reader(
        root,
        split,
        color,
        None if image_size is None else asked_size(image_size),
        {"bit_depth": bit_depth, "page": page},
    )
    loaded, problems = [], []
    for _, path in progress(files, f"Loading {split}", enabled=show_progress):
        try:
            loaded.append(reader.read(path))
        except ValueError as error:
            problems.append(str(error))
    shapes = sorted({parts["images"].shape for parts in loaded})
    if len(shapes) > 1:
        problems.append(
            f"images differ in size ({shapes[0][:2]} and {shapes[1][:2]}): give image_size"
        )
    if not files:
        problems.append(f"{split} holds no images in its folders {', '.join(class_names)}")
    if problems:
        raise CategoryError(root.name, problems)
    stacks: dict[str, Any] = {
        name: np.stack([parts[name] for parts in loaded]) for name in loaded[0]
    }
    return make_class_images(
        labels=[label for label, _ in files],
        class_names=class_names,
        names=[_name(root, path) for _, path in files],
        remarks=(
            *_unused(root, split, [path for _, path in files]),
            *file_remarks(reader.notes),
            *reader.stretched(),
        ),
        **stacks,
    )


def _name(root: Path, path: Path) -> str:
    return one_form(path.relative_to(root).as_posix())


def _beside(path: Path, suffix: str) -> Path:
    """Where in its split's folder the mask or the counterpart of an image lies."""
    return Path(path.parent.name, f"{path.stem}_{suffix}.png")


def _unused(root: Path, split: str, images: Sequence[Path]) -> Iterator[Remark]:
    """What lies in the folders of a split and is not used."""
    used = {path.relative_to(root) for path in images}
    for beside in (_MASKS, _COUNTERPARTS):
        used |= {
            Path(beside, split, _beside(path, suffix)) for path in images for suffix in _SUFFIXES
        }
    files, folders = [], []
    for place in (Path(split), Path(_MASKS, split), Path(_COUNTERPARTS, split)):
        for path in _within(root / place):
            depth = len(path.relative_to(root / place).parts)
            if path.is_dir() and depth > 1:
                folders.append(_name(root, path))
            elif not path.is_dir() and path.relative_to(root) not in used:
                files.append(_name(root, path))
    return unused_remarks(
        files,
        folders,
        f"images lie in {split}/<class>, masks and counterparts of an image in "
        f"{_MASKS}/{split}/<class> and {_COUNTERPARTS}/{split}/<class> as <its name>_defect.png "
        "and <its name>_tag.png",
    )


def _within(folder: Path) -> Iterator[Path]:
    """Data in a folder and in the folders in it."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if is_data(path):
            yield path
            if path.is_dir():
                yield from (one for one in sorted(path.iterdir()) if is_data(one))


def split_remarks(root: str | Path, parts: Mapping[str, ClassImages]) -> tuple[Remark, ...]:
    """What is to be said of all splits of a data set together, and of each of them.

    Parameters
    ----------
    root : str or Path
        As in `load_class_images`.
    parts : dict of str to ClassImages
        All splits that are used, by name.

    Returns
    -------
    tuple of Remark
        Remarks of the splits, files and folders in ``root`` that are not used, and images that are
        in more than one split.
    """
    used = (*parts, _MASKS, _COUNTERPARTS, _CLASSES)
    beside = [
        path
        for path in sorted(Path(root).iterdir())
        if is_data(path) and not is_document(path) and path.name not in used
    ]
    names = [str(name) for part in parts.values() for name in part.names]
    digests = [content_digest(image) for part in parts.values() for image in part.images]
    splits = [split for split, part in parts.items() for _ in range(len(part))]
    return (
        *(remark for part in parts.values() for remark in part.remarks),
        *unused_remarks(
            [_name(Path(root), path) for path in beside if not path.is_dir()],
            [_name(Path(root), path) for path in beside if path.is_dir()],
            f"images lie in {', '.join(f'{split}/<class>' for split in parts)}",
        ),
        *duplicate_remarks(names, group_copies(digests), splits, np.zeros(len(names), bool)),
    )


def _class_names(root: Path, folder: Path) -> list[str]:
    """Names of the classes; their order gives the labels."""
    found = sorted(path.name for path in folder.iterdir() if path.is_dir() and is_data(path))
    note = root / _CLASSES
    if not note.is_file():
        return found
    listed = note.read_text(encoding="utf-8").split()
    unknown = sorted(set(found) - set(listed))
    if unknown:
        problem = f"classes.txt does not name {', '.join(unknown)}, a folder in {folder.name}"
        raise CategoryError(root.name, [problem])
    # A class that this split lacks keeps its place: labels mean the same in every split.
    return listed


class _Reader:
    """Reads the images of one split with the masks and counterparts that belong to them."""

    def __init__(
        self,
        root: Path,
        split: str,
        color: str,
        size: tuple[int, int] | None,
        reading: dict[str, int | None],
    ) -> None:
        self._root, self._within = root, (root.resolve(),)
        self._masks = root / _MASKS / split
        self._counterparts = root / _COUNTERPARTS / split
        self._color, self._size, self._reading = color, size, reading
        self._shapes: dict[str, tuple[int, int]] = {}
        self.notes: list[Note] = []

    def stretched(self) -> tuple[Remark, ...]:
        """What is to be said where images have got other proportions."""
        if self._size is None:
            return ()
        return stretch_remark(list(self._shapes), list(self._shapes.values()), self._size)

    def read(self, path: Path) -> dict[str, Images | Masks]:
        """An image and what belongs to it, by the names of `make_class_images`."""
        name = _name(self._root, path)
        bit_depth = self._reading["bit_depth"]
        decoded = self._decoded(path, bit_depth)
        self.notes += notes_of(decoded, name, bit_depth)
        image = to_color(decoded.image, self._color)
        self._shapes[name] = height, width = image.shape[:2]
        if self._size is not None:
            self._size = completed_size(self._size, (height, width))
        resized = image if self._size is None else resize_image(image, self._size)
        parts: dict[str, Images | Masks] = {"images": resized}
        for suffix, (mask, counterpart) in _SUFFIXES.items():
            beside = _beside(path, suffix)
            if self._masks.is_dir():
                parts[mask] = self._mask(self._masks / beside, image.shape[:2], name)
            if self._counterparts.is_dir():
                file = self._counterparts / beside
                parts[counterpart] = self._counterpart(file, resized, name)
        return parts

    def _decoded(self, path: Path, bit_depth: int | None = None) -> Decoded:
        name, page = _name(self._root, path), self._reading["page"]
        return read_decoded(path, name, self._within, bit_depth, page)[1]

    def _mask(self, path: Path, shape: tuple[int, ...], name: str) -> Masks:
        if not path.exists():
            mask = np.zeros(shape, bool)
        else:
            mask, doubts = read_mask(self._decoded(path))
            self.notes += [Note(doubt, _name(self._root, path)) for doubt in doubts]
            if mask.shape != shape:
                raise ValueError(
                    f"{name}: its mask {path.name} has the size {mask.shape}, the image {shape}"
                )
        return mask if self._size is None else resize_mask(mask, self._size)

    def _counterpart(self, path: Path, image: Images, name: str) -> Images:
        if not path.exists():
            return image
        decoded = self._decoded(path, self._reading["bit_depth"])
        counterpart = to_color(decoded.image, self._color)
        if self._size is not None:
            counterpart = resize_image(counterpart, self._size)
        if counterpart.shape != image.shape:
            raise ValueError(
                f"{name}: its counterpart {path.name} has the size {counterpart.shape[:2]}, the "
                f"image {image.shape[:2]}"
            )
        return counterpart
