"""Images of several classes for a classifier: folders named after the classes, with masks where there are some."""

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from adhelpers._shared.progress import progress

from .normalize import resize_image, resize_mask
from .reading import SUFFIXES, CategoryError, read_image, to_color

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
        What is in an image beside the matter, such as a printed tag, and must not decide; None
        where there is no such thing.
    without_defects, without_tags : ndarray of float32, shape (n, h, w, c), or None
        Counterparts: what each image would look like without its defect, or without its tag; an
        image that has none is its own. None where they are not known.
    fingerprint : str
        SHA-256 over images, labels and class names.

    Examples
    --------
    >>> images = make_class_images(np.zeros((2, 4, 4, 1)), [0, 1], ("good", "cut"))
    >>> len(images), images.subset(images.labels == 1).names.tolist()
    (2, ['cut/00001'])
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple
    names: np.ndarray
    defects: np.ndarray | None
    tags: np.ndarray | None
    without_defects: np.ndarray | None
    without_tags: np.ndarray | None
    fingerprint: str

    def __len__(self):
        return len(self.images)

    def subset(self, indices):
        """The images at ``indices`` (integers, a slice or a bool array (n,)) as ClassImages of their own."""
        parts = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "fingerprint"
        }
        return make_class_images(
            **{
                name: value if value is None or name == "class_names" else value[indices]
                for name, value in parts.items()
            }
        )

    @property
    def types(self):
        """The class name of each image: ndarray of str, shape (n,)."""
        return np.array(self.class_names)[self.labels]


def make_class_images(
    images,
    labels,
    class_names,
    names=None,
    defects=None,
    tags=None,
    without_defects=None,
    without_tags=None,
):
    """`ClassImages` of arrays that are already there.

    Parameters
    ----------
    images : array-like (n, h, w, c)
        In [0, 1].
    labels : array-like of int (n,)
    class_names : sequence of str
    names : array-like of str (n,), optional
    defects, tags : array-like of bool (n, h, w), optional
    without_defects, without_tags : array-like (n, h, w, c), optional

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
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images must have the shape (n, height, width, channels) with 1 or 3 channels, not {images.shape}"
        )
    if images.size and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError("images must hold finite values in [0, 1]")
    whole = labels.shape == images.shape[:1] and np.issubdtype(labels.dtype, np.integer)
    if not whole or (len(labels) and not (labels.min() >= 0 and labels.max() < len(class_names))):
        raise ValueError(
            f"labels must be whole numbers from 0 to {len(class_names) - 1}, one for each of the {len(images)} images"
        )
    if names is None:
        names = [f"{class_names[label]}/{index:05d}" for index, label in enumerate(labels)]
    parts = {
        name: None if part is None else np.asarray(part, dtype=bool)
        for name, part in (("defects", defects), ("tags", tags))
    }
    parts |= {
        name: None if part is None else np.asarray(part, dtype=np.float32)
        for name, part in (("without_defects", without_defects), ("without_tags", without_tags))
    }
    for name, part in parts.items():
        expected = images.shape if name.startswith("without") else images.shape[:3]
        if part is not None and part.shape != expected:
            raise ValueError(f"{name} must have the shape {expected}, not {part.shape}")
    digest = hashlib.sha256(
        "\n".join(class_names).encode() + images.tobytes() + labels.astype(np.int64).tobytes()
    )
    return ClassImages(
        images,
        labels.astype(np.int64),
        class_names,
        np.asarray(names, dtype=str),
        fingerprint=digest.hexdigest(),
        **parts,
    )


def load_class_images(root, split, *, image_size=None, color="rgb", show_progress=False):
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
        Side, or height and width, to which images are resized; by default they stay as they are and
        must be alike.
    color : {"rgb", "grayscale"}
    show_progress : bool

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
    >>> from adhelpers.data import render_insulators
    >>> folder = render_insulators(tempfile.mkdtemp(), train_count=2, review_count=1, test_count=1)
    >>> train = load_class_images(folder, "train")
    >>> train.images.shape, train.class_names
    ((6, 64, 64, 3), ('good', 'broken', 'flashover'))
    """
    root = Path(root)
    folder = root / split
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing: expected {root.name}/<split>/<class>/<images>"
        )
    class_names = _class_names(root, folder)
    sides = None if image_size is None else tuple(np.broadcast_to(image_size, 2).tolist())
    files = [
        (label, path)
        for label, name in enumerate(class_names)
        if (folder / name).is_dir()
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in SUFFIXES
    ]
    images, problems = [], []
    known = {kind: (root / kind / split).is_dir() for kind in ("ground_truth", "counterparts")}
    parts = {
        name: []
        for pair in _SUFFIXES.values()
        for name, there in zip(pair, known.values(), strict=True)
        if there
    }
    for _, path in progress(files, f"Loading {split}", enabled=show_progress):
        try:
            image = to_color(read_image(path.read_bytes())[0], color)
            resized = image if sides is None else resize_image(image, sides)
            for suffix, (mask, counterpart) in _SUFFIXES.items():
                beside = Path(split, path.parent.name, f"{path.stem}_{suffix}.png")
                if mask in parts:
                    parts[mask].append(
                        _mask(root / "ground_truth" / beside, image.shape[:2], sides)
                    )
                if counterpart in parts:
                    parts[counterpart].append(
                        _counterpart(root / "counterparts" / beside, resized, color, sides)
                    )
            images.append(resized)
        except (OSError, ValueError) as error:
            problems.append(f"{path.relative_to(root).as_posix()}: {error}")
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        problems.append(
            f"images differ in size ({shapes[0][:2]} and {shapes[1][:2]}): give image_size"
        )
    if problems or not files:
        raise CategoryError(
            root.name,
            problems or [f"{split} holds no images in its folders {', '.join(class_names)}"],
        )
    names = [path.relative_to(root).as_posix() for _, path in files]
    return make_class_images(
        np.stack(images),
        [label for label, _ in files],
        class_names,
        names,
        **{name: np.stack(stack) for name, stack in parts.items()},
    )


def _class_names(root, folder):
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    note = root / "classes.txt"
    if not note.is_file():
        return found
    listed = note.read_text(encoding="utf-8").split()
    if not set(found) <= set(listed):
        raise CategoryError(
            root.name,
            [
                f"classes.txt does not name {', '.join(sorted(set(found) - set(listed)))}, a folder in {folder.name}"
            ],
        )
    # A class that this split lacks keeps its place: labels mean the same in every split.
    return listed


def _mask(path, shape, sides):
    if not path.is_file():
        mask = np.zeros(shape, bool)
    else:
        mask = read_image(path.read_bytes())[0].max(axis=2) > 0
        if mask.shape != shape:
            raise ValueError(f"its mask {path.name} has the size {mask.shape}, the image {shape}")
    return mask if sides is None else resize_mask(mask, sides)


def _counterpart(path, image, color, sides):
    if not path.is_file():
        return image
    counterpart = to_color(read_image(path.read_bytes())[0], color)
    counterpart = counterpart if sides is None else resize_image(counterpart, sides)
    if counterpart.shape != image.shape:
        raise ValueError(
            f"its counterpart {path.name} has the size {counterpart.shape[:2]}, the image {image.shape[:2]}"
        )
    return counterpart
