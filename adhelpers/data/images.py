"""Loads a category of images in the MVTec layout."""

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from adhelpers._shared.progress import progress

from .normalize import (
    common_box,
    divide_background,
    find_object,
    fit_aspect,
    frame_matrix,
    resize_image,
    resize_mask,
    unwarp_map,
    warp_image,
    warp_mask,
    whole_frame,
)
from .reading import (
    GOOD,
    CategoryError,
    FileProblem,
    find_category,
    good_first,
    list_entries,
    read_entry,
    to_color,
)

# "auto" looks at about so many of the good images.
_SAMPLE = 8


@dataclass(frozen=True)
class ImageSet:
    """Images of one split with what is known about them.

    Attributes
    ----------
    images : ndarray of shape (n, h, w, c), float32, in [0, 1], c = 1 or 3
    labels : ndarray of shape (n,), int64
        0 good, 1 anomalous.
    types : ndarray of shape (n,), str
        ``"good"`` or the defect type, such as ``"crack"``.
    names : ndarray of shape (n,), str
        Path relative to the category's folder, such as ``"test/crack/000.png"``.
    masks : ndarray of shape (n, h, w), bool, or None
        True on the defect. None where the category has no ``ground_truth/``.
    transforms : ndarray of shape (n, 3, 3), float64
        Take (x, y, 1) in pixels of ``images`` to pixels of the file.
    original_shapes : ndarray of shape (n, 2), int64
        Height and width of the files.

    Examples
    --------
    >>> images = ImageSet(images=np.zeros((2, 4, 4, 1), np.float32), labels=np.array([0, 1]), types=np.array(["good", "cut"]),
    ...                   names=np.array(["test/good/0.png", "test/cut/0.png"]), masks=None,
    ...                   transforms=np.stack([np.diag([2.0, 2, 1])] * 2), original_shapes=np.array([[8, 8], [8, 8]]))
    >>> len(images), images.subset(images.labels == 1).names.tolist()
    (2, ['test/cut/0.png'])
    """

    images: np.ndarray
    labels: np.ndarray
    types: np.ndarray
    names: np.ndarray
    masks: np.ndarray | None
    transforms: np.ndarray | None
    original_shapes: np.ndarray

    def __len__(self):
        return len(self.images)

    def subset(self, indices):
        """The images at ``indices`` (integers, a slice or a bool array (n,)) as an ImageSet of their own."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return ImageSet(
            **{name: None if value is None else value[indices] for name, value in values.items()}
        )

    def to_original(self, heatmap, index):
        """Bring the heatmap of one image back to the frame of its file.

        Parameters
        ----------
        heatmap : ndarray of shape (h, w)
        index : int
            Which image of this set it belongs to.

        Returns
        -------
        ndarray of shape ``original_shapes[index]``, float32
            Linearly interpolated; zero where the file lies outside the image that was loaded.

        Raises
        ------
        ValueError
            Where the heatmap has another size than the images.
        """
        if heatmap.shape != self.images.shape[1:3]:
            raise ValueError(
                f"heatmap has shape {heatmap.shape}, the images have {self.images.shape[1:3]}"
            )
        if self.transforms is None:
            raise ValueError(
                "these images do not know where they lie in their files (transforms is None)"
            )
        return unwarp_map(heatmap, self.transforms[index], tuple(self.original_shapes[index]))


@dataclass(frozen=True)
class Category:
    """A category's three splits; ``validation`` are good images held out of ``train/good``.

    Attributes
    ----------
    name : str
    root : Path
    train, validation, test : ImageSet
    settings : dict
        All parameters of :func:`load_category` but the folder.
    fingerprint : str
        SHA-256 over the files' names and content and the settings: equal on any machine when the
        data are.
    """

    name: str
    root: Path
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    settings: dict
    fingerprint: str

    @property
    def has_masks(self):
        """Whether the test images have defect masks."""
        return self.test.masks is not None

    def inventory(self):
        """Counts by split and type.

        Returns
        -------
        pandas.DataFrame
            Columns split, type, images, masks (those that are not empty), size (height x width as
            loaded), channels.
        """
        rows = []
        for split in ("train", "validation", "test"):
            images = getattr(self, split)
            _, height, width, channels = images.images.shape
            for kind in good_first(images.types):
                chosen = images.types == kind
                masks = (
                    0 if images.masks is None else int(images.masks[chosen].any(axis=(1, 2)).sum())
                )
                rows.append(
                    {
                        "split": split,
                        "type": kind,
                        "images": int(chosen.sum()),
                        "masks": masks,
                        "size": f"{height}x{width}",
                        "channels": channels,
                    }
                )
        return pd.DataFrame(rows)


def _one_of(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def _checked_settings(
    image_size, color, illumination, pose, crop, margin, seed, validation_fraction
):
    """The parameters of load_category in the form that is hashed and kept."""
    _one_of("color", color, ("grayscale", "rgb"))
    _one_of("illumination", illumination, ("none", "background", "auto"))
    _one_of("pose", pose, ("none", "axis", "auto"))
    _one_of("crop", crop, ("none", "object"))
    sides = tuple(image_size) if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    whole = all(
        isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in sides
    )
    if len(sides) != 2 or not whole or min(sides) < 8:
        raise ValueError(
            f"image_size must be a whole number of at least 8 pixels or (height, width), not {image_size!r}"
        )
    if not 0 <= margin <= 1:
        raise ValueError(f"margin must lie between 0 and 1, not {margin!r}")
    if not 0 < validation_fraction < 1:
        raise ValueError(
            f"validation_fraction must lie between 0 and 1, not {validation_fraction!r}"
        )
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0, not {seed!r}")
    return {
        "image_size": [int(side) for side in sides],
        "color": color,
        "illumination": illumination,
        "pose": pose,
        "crop": crop,
        "margin": float(margin),
        "seed": int(seed),
        "validation_fraction": float(validation_fraction),
    }


def load_category(
    root,
    category,
    image_size=128,
    color="grayscale",
    illumination="none",
    pose="none",
    crop="none",
    margin=0.05,
    seed=0,
    validation_fraction=0.2,
    show_progress=False,
):
    """Load a category of images in the MVTec layout.

    ``root/category`` holds ``train/good``, ``test/good``, ``test/<defect type>`` and, where there
    are masks, ``ground_truth/<defect type>/<stem of the image>_mask.png`` (or ``<stem>.png``;
    non-zero is defect). PNG, JPEG, TIFF and BMP with 8 or 16 bits, grey, RGB, RGBA (transparent
    parts are shown on black) and palette are read; EXIF orientation is applied. Every file is
    checked.

    Parameters
    ----------
    root : str or Path
        Folder that holds the categories.
    category : str
        Name of the category's folder.
    image_size : int or tuple of int
        Side, or height and width, of the loaded images in pixels.
    color : {"grayscale", "rgb"}
    illumination : {"none", "background", "auto"}
        ``"background"`` divides each image by its background level
        (:func:`~adhelpers.data.normalize.divide_background`). ``"auto"`` does so where a sample of
        the good images has a background that is bright enough.
    pose : {"none", "axis", "auto"}
        ``"axis"`` turns the elongated object on a plain background upright, its wider end up, and
        centres it (:func:`~adhelpers.data.normalize.find_object`). The mask is warped with the same
        matrix. Without a crop the frame is a square as wide as the file's longer side. ``"auto"``
        does so where a sample of the good images shows objects with an axis. What was decided
        stands in the category's ``settings``.
    crop : {"none", "object"}
        ``"object"`` cuts out a box around the object's centre. Its size is common to the category,
        measured on the images in ``train/good`` and enlarged to the aspect ratio of ``image_size``,
        so that nothing is distorted. Without crop, the whole frame is resized to ``image_size``.
    margin : float
        Share of the object's size that is added on each side by ``crop="object"``.
    seed : int
        Chooses the validation images.
    validation_fraction : float
        Share of ``train/good`` that is held out; at least one image is, and at least one is left.
    show_progress : bool

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
    >>> for name in ("train/good/0", "train/good/1", "test/good/0", "test/dent/0"):
    ...     path = root / "spoon" / f"{name}.png"
    ...     path.parent.mkdir(parents=True, exist_ok=True)
    ...     Image.new("L", (40, 30), 128).save(path)
    >>> spoon = load_category(root, "spoon", image_size=(24, 32))
    >>> spoon.test.images.shape, spoon.test.types.tolist(), spoon.has_masks
    ((2, 24, 32, 1), ['dent', 'good'], False)
    """
    settings = _checked_settings(
        image_size, color, illumination, pose, crop, margin, seed, validation_fraction
    )
    folder = find_category(root, category)
    entries, problems = list_entries(folder)
    good = [index for index, entry in enumerate(entries) if entry.split == "train"]
    if len(good) < 2:
        raise CategoryError(
            category, [*problems, f"train/good holds {len(good)} images; at least two are needed"]
        )
    if len(good) == len(entries):
        raise CategoryError(category, [*problems, "test holds no images"])

    _decide(settings, [entries[index] for index in good[:: max(1, len(good) // _SAMPLE)]])
    pose, poses, box = settings["pose"], {}, None
    if crop == "object":
        for index in progress(good, f"Locating {category}", enabled=show_progress):
            try:
                poses[index] = _pose(
                    _prepared(entries[index], category, settings)[0], entries[index], settings
                )
            except FileProblem as problem:
                problems.append(str(problem))
        if poses:
            box = fit_aspect(common_box(list(poses.values()), margin), settings["image_size"])

    loaded, digest = [], hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for index, entry in enumerate(progress(entries, f"Loading {category}", enabled=show_progress)):
        # A bad file must not hide the next one, so all are read before the error is raised.
        try:
            image, content = _prepared(entry, category, settings)
            if pose == "axis" or crop == "object":
                loaded.append(
                    _posed(
                        image,
                        content.mask,
                        poses.get(index) or _pose(image, entry, settings),
                        box,
                        settings,
                    )
                )
            else:
                loaded.append(_resized(image, content.mask, settings["image_size"]))
            digest.update(f"{entry.name} {content.digest}\n".encode())
        except FileProblem as problem:
            problems.append(str(problem))
    if problems:
        raise CategoryError(category, dict.fromkeys(problems))

    everything = _image_set(entries, loaded)
    validation = _held_out(good, validation_fraction, seed)
    return Category(
        name=category,
        root=Path(root),
        train=everything.subset(np.setdiff1d(good, validation)),
        validation=everything.subset(validation),
        test=everything.subset(np.setdiff1d(np.arange(len(entries)), good)),
        settings=settings,
        fingerprint=digest.hexdigest(),
    )


def _decide(settings, sample):
    """Replace ``"auto"`` in the settings by the correction that every image of the sample allows."""
    images = []
    for entry in sample:
        try:
            content = read_entry(entry)
        except FileProblem:
            continue  # load_category names it, with all others that cannot be read
        images.append((to_color(content.image, settings["color"]), content.grey_levels))
    if settings["illumination"] == "auto":
        bright = _allowed(divide_background, images)
        settings["illumination"] = "background" if bright else "none"
        images = [(image, None) for image in bright] or images
    if settings["pose"] == "auto":
        settings["pose"] = (
            "axis" if _allowed(lambda image, _: find_object(image), images) else "none"
        )


def _allowed(correction, images):
    """The corrected images, or an empty list where one of them cannot be corrected."""
    try:
        return [correction(*image) for image in images]
    except ValueError:
        return []


def _prepared(entry, category, settings):
    """An entry's image in the right colours and light, and what else was read."""
    content = read_entry(entry)
    image = to_color(content.image, settings["color"])
    if settings["illumination"] == "background":
        try:
            image = divide_background(image, content.grey_levels)
        except ValueError as error:
            # A wrong setting rather than a bad file: it holds for all, so one is enough.
            raise CategoryError(category, [f"{entry.name}: {error}"]) from error
    return image, content


def _pose(image, entry, settings):
    try:
        return find_object(image, turn=settings["pose"] == "axis")
    except ValueError as error:
        raise FileProblem(f"{entry.name}: {error}") from error


def _posed(image, mask, pose, box, settings):
    """Image, mask, matrix and file shape after turning and cropping."""
    if box is None:
        box = (max(image.shape[:2]),) * 2
    size = tuple(settings["image_size"])
    matrix = frame_matrix(pose, box, size)
    return (
        warp_image(image, matrix, size),
        None if mask is None else warp_mask(mask, matrix, size),
        matrix,
        image.shape[:2],
    )


def _resized(image, mask, size):
    """Image, mask, matrix and file shape of the whole frame."""
    shape, size = image.shape[:2], tuple(size)
    matrix = frame_matrix(whole_frame(shape), shape, size)
    return (
        resize_image(image, size),
        None if mask is None else resize_mask(mask, size),
        matrix,
        shape,
    )


def _image_set(entries, loaded):
    images, masks, matrices, shapes = zip(*loaded)
    nothing = np.zeros(images[0].shape[:2], bool)
    has_masks = any(mask is not None for mask in masks)
    return ImageSet(
        images=np.stack(images),
        labels=np.array([int(entry.type != GOOD) for entry in entries], np.int64),
        types=np.array([entry.type for entry in entries]),
        names=np.array([entry.name for entry in entries]),
        masks=np.stack([nothing if mask is None else mask for mask in masks])
        if has_masks
        else None,
        transforms=np.stack(matrices),
        original_shapes=np.array(shapes, np.int64),
    )


def _held_out(good, fraction, seed):
    """Seeded choice of validation images: at least one, and at least one is left."""
    count = min(max(1, round(fraction * len(good))), len(good) - 1)
    return np.sort(np.random.default_rng(seed).permutation(good)[:count])
