"""Reads photographs one at a time exactly as the images of a category were read for a training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.arrays import Images

from .frames import Frames
from .image_set import Category
from .normalize import Corrections, frame_matrix, height_and_width, resize_image, warp_image
from .normalize import whole_frame as whole
from .reading import Entry, FileProblem

# What of a category's settings says how a file becomes an image.
_SETTINGS = ("image_size", "color", "illumination", "pose", "crop", "margin")
_OPTIONAL = ("bit_depth", "page", "fit")


@dataclass(frozen=True)
class NewImage:
    """One photograph as a detector sees it, and the way back.

    Attributes
    ----------
    image : ndarray of float32, shape (h, w, c), in [0, 1]
    photograph : ndarray of float32, shape (height, width, c), in [0, 1]
        As it is in its file, c = 1 or 3.
    matrix : ndarray of float64, shape (3, 3)
        Takes (x, y, 1) in pixels of ``image`` to pixels of ``photograph``.
    remark : str
        What could not be corrected; empty where all was.
    """

    image: Images
    photograph: Images
    matrix: NDArray[np.float64]
    remark: str = ""


class _NewFrames(Frames):
    """Frames whose box is known: it was measured on the good images."""

    def __init__(self, settings: dict[str, Any], box: tuple[float, float] | None) -> None:
        # What cannot be corrected is read without, as where "auto" has chosen the corrections.
        super().__init__("new images", settings, ("illumination", "pose"))
        self._known_box = box

    @property
    def _box(self) -> tuple[float, float] | None:
        return self._known_box


class ImageReader:
    """Reads a file as the images that a detector was trained on were read.

    Parameters
    ----------
    settings : dict
        ``image_size``, ``color``, ``illumination``, ``pose``, ``crop`` and ``margin``, where they
        are set also ``bit_depth``, ``page`` and ``fit``: as in `Category.settings`, whose other
        values are not used. With ``image_size`` None a photograph keeps its own size.
    box : tuple of float, optional
        With ``crop="object"``: height and width of the frame around the object, in pixels of the
        files.

    Raises
    ------
    ValueError
        If a setting is missing or none that `load_category` takes.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> file = Path(tempfile.mkdtemp()) / "one.png"
    >>> Image.new("RGB", (40, 30), (255, 0, 0)).save(file)
    >>> settings = {"image_size": [15, 20], "color": "grayscale", "illumination": "none"}
    >>> reader = ImageReader(settings | {"pose": "none", "crop": "none", "margin": 0.05})
    >>> new = reader.read(file)
    >>> new.image.shape, new.photograph.shape, (new.matrix @ (0, 0, 1)).tolist()
    ((15, 20, 1), (30, 40, 3), [0.5, 0.5, 1.0])
    """

    def __init__(self, settings: Mapping[str, Any], box: tuple[float, float] | None = None) -> None:
        missing = [name for name in _SETTINGS if name not in settings]
        if missing:
            raise ValueError(f"the settings of the images lack {missing[0]}")
        self.settings = {
            name: settings[name] for name in (*_SETTINGS, *_OPTIONAL) if name in settings
        }
        self.box = None if box is None else (float(box[0]), float(box[1]))
        corrections = {name: settings[name] for name in ("illumination", "pose", "crop", "margin")}
        if "fit" in settings:
            corrections["fit"] = settings["fit"]
        Corrections(**corrections)
        self._size = None
        if settings["image_size"] is not None:
            self._size = height_and_width(settings["image_size"])
        self._frames = _NewFrames(self.settings, self.box)

    @classmethod
    def of_category(cls, category: Category) -> "ImageReader | None":
        """A reader of files as they were read for this category.

        None where its images do not come from files, as those of a table.
        """
        settings, transforms, box = category.settings, category.train.transforms, None
        if transforms is None or any(name not in settings for name in _SETTINGS):
            return None
        if settings["crop"] == "object":
            # The frame is common to all; its matrix has the pixels of the file for each of a side.
            sides = np.sqrt((transforms[0][:2, :2] ** 2).sum(axis=0))
            height, width = category.train.images.shape[1:3]
            box = (float(sides[1] * height), float(sides[0] * width))
        return cls(settings, box)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ImageReader":
        """The reader that `as_dict` described."""
        settings = dict(values)
        box = settings.pop("box", None)
        return cls(settings, box)

    def as_dict(self) -> dict[str, Any]:
        """All that it takes to read a file in the same way, as plain values."""
        return {**self.settings, "box": None if self.box is None else list(self.box)}

    def read(self, path: str | Path) -> NewImage:
        """Read one photograph.

        Raises
        ------
        ValueError
            If the file cannot be read; the message names it.
        """
        path = Path(path)
        frames = self._frames
        image, content, notes = frames._prepared(Entry("test", "new", str(path), path))
        remarks = ["light not corrected"] if notes else []
        shape = image.shape[:2]
        pose = None
        if frames._moved:
            try:
                pose = frames._pose(image, Entry("test", "new", str(path), path))
            except FileProblem:
                remarks.append("pose not corrected")
        size = self._size or (shape[0], shape[1])
        warped = frames._moved or frames._padded
        if self._size is None:
            matrix = np.eye(3)
        else:
            box = frames._window(shape, found=pose is not None)
            matrix = frame_matrix(pose or whole(shape), box, size)
        return NewImage(
            warp_image(image, matrix, size) if warped else resize_image(image, size),
            content.image,
            matrix,
            ", ".join(remarks),
        )

    def facts(self) -> str:
        """How a file becomes an image, as a sentence."""
        size = "in its own size" if self._size is None else "at {} x {} pixels".format(*self._size)
        color = "grey" if self.settings["color"] == "grayscale" else "colour"
        steps = []
        if self.settings["illumination"] == "background":
            steps.append("the background level divided out")
        if self.settings["pose"] == "axis":
            steps.append("the object turned upright")
        if self.settings["crop"] == "object":
            steps.append("cropped to the object")
        with_ = f", {', '.join(steps)}" if steps else ""
        return f"Each photograph is read in {color} {size} (height x width){with_}."
