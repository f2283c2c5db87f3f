"""What a sample of the good images says of a category: colour, light, pose, how alike they are.

`load_category` takes from here what ``"auto"`` means, `describe_category` says it to a person. No
test image is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adhelpers._shared.arrays import Images

from .file_remarks import SIZE_STEP, size_that_keeps
from .layouts import LEAST_GOOD, TEST, list_category
from .normalize import divide_background, resize_image
from .objects import find_object
from .reading import GOOD, CategoryError, Entry, FileProblem, read_entry, to_color

# Number of good images (about) that "auto" looks at, and that a description looks at.
SAMPLE = 8
_DESCRIBED = 24
# Distance of the channels, as a share of the full range, from which a pixel is coloured: a grey
# picture saved in three channels stays below, what a colour camera takes of a grey scene does not.
# One pixel in a hundred is enough, because an object may be small.
_COLOUR, _COLOURED_SHARE = 0.02, 0.01
# Side at which good images are compared with each other: pose counts, fine structure does not.
_COMPARED_SIDE = 32
# Deviation of an image that is all one grey level: far below the 1/255 between two of them.
_ROUNDING = 1e-4
# Correlation from which good images show the same things in the same places.
ALIKE = 0.5


def sample_of(entries: Sequence[Entry], count: int = SAMPLE) -> list[Entry]:
    """Every k-th entry, about ``count`` of them."""
    return list(entries[:: max(1, len(entries) // count)])


def reading_of(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that `read_entry` takes."""
    return {name: settings.get(name) for name in ("bit_depth", "page")}


def decided(settings: dict[str, Any], sample: Sequence[Entry]) -> dict[str, Any]:
    """The settings with ``"auto"`` replaced by what every image of a sample allows."""
    settings = dict(settings)
    if "auto" not in settings.values():
        return settings
    contents = []
    for entry in sample:
        try:
            contents.append(read_entry(entry, **reading_of(settings)))
        except FileProblem:
            # load_category names those that cannot be read, with all others.
            continue
    if settings["color"] == "auto":
        coloured = carries_colour([content.image for content in contents])
        settings["color"] = "rgb" if coloured else "grayscale"
    images = [(to_color(one.image, settings["color"]), one.grey_levels) for one in contents]
    if settings["illumination"] == "auto":
        bright = _allowed(divide_background, images)
        settings["illumination"] = "background" if bright else "none"
        images = [(image, 0) for image in bright] or images
    if settings["pose"] == "auto":
        has_axis = _allowed(lambda image, _: find_object(image), images)
        settings["pose"] = "axis" if has_axis else "none"
    if settings["crop"] == "auto":
        settings["crop"] = "object" if settings["pose"] == "axis" else "none"
    return settings


def _allowed(correction: Callable[[Images, int], Any], images: Sequence[tuple]) -> list[Any]:
    """The corrected images, or an empty list where one of them cannot be corrected."""
    try:
        return [correction(*image) for image in images]
    except ValueError:
        return []


def carries_colour(images: Sequence[Images]) -> bool:
    """Whether any image, each (h, w, c), is more than a grey picture saved in three channels.

    Examples
    --------
    >>> grey = np.random.default_rng(0).uniform(size=(8, 8, 1)).repeat(3, axis=-1)
    >>> carries_colour([grey]), carries_colour([grey * [1, 0.9, 0.8]])
    (False, True)
    """
    return any((np.ptp(image, axis=-1) > _COLOUR).mean() > _COLOURED_SHARE for image in images)


@dataclass(frozen=True)
class CategoryFacts:
    """What the files of a category show before anything is loaded.

    Attributes
    ----------
    good : int
        Number of good images to train on, the held-out ones among them.
    tested : dict of str to int
        Number of test images by type.
    masks : int
        Test images with a mask.
    size : tuple of int
        Height and width that most of the good files have.
    sizes : int
        Number of different sizes among them.
    coloured : bool
    bright : bool
        Whether each has a background bright enough to divide by.
    has_object : bool
        Whether an object stands out from a plain background in each of them.
    has_axis : bool
        Whether these objects are all long enough to be turned upright.
    likeness : float
        Median correlation of a good image, at 32 x 32 pixels, with the mean of the others: near 1
        where every pixel shows the same part in each image, near 0 on a surface.
    looked_at : int
        Number of good images that this rests on.
    """

    good: int
    tested: dict[str, int]
    masks: int
    size: tuple[int, int]
    sizes: int
    coloured: bool
    bright: bool
    has_object: bool
    has_axis: bool
    likeness: float
    looked_at: int

    @property
    def kind(self) -> str:
        """``"long objects"``, ``"objects"``, ``"same scene"`` or ``"surface"``."""
        if self.has_axis:
            return "long objects"
        if self.has_object:
            return "objects"
        return "same scene" if self.likeness >= ALIKE else "surface"

    def loaded_size(self, longest: int, shortest: int) -> tuple[int, int]:
        """A size in steps of 16 pixels with the proportions of the files.

        Parameters
        ----------
        longest : int
            Of the two sides.
        shortest : int
            What the other one has at least; the longer one grows with it.
        """
        scale = max(1.0, shortest * max(self.size) / min(self.size) / longest)
        return size_that_keeps(self.size, longest * scale, SIZE_STEP)


def describe_category(
    root: str | Path, category: str, bit_depth: int | None = None, page: int | None = None
) -> CategoryFacts:
    """Look at the good images of a category; of the test images only the names are read.

    Parameters
    ----------
    root : str or Path
        Folder that holds the categories.
    category : str
    bit_depth, page : int, optional
        As in `load_category`.

    Returns
    -------
    CategoryFacts

    Raises
    ------
    FileNotFoundError
        Where a folder is missing.
    CategoryError
        Where there are fewer than three good images, or one of those looked at cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from adhelpers.data import render_category
    >>> root = tempfile.mkdtemp()
    >>> counts = {"image_size": 64, "train_count": 4, "test_good_count": 1, "defect_count": 1}
    >>> _ = render_category(root, "screw", **counts)
    >>> facts = describe_category(root, "screw")
    >>> facts.good, facts.size, facts.coloured, facts.has_axis
    (4, (64, 64), False, True)
    """
    listing = list_category(root, category)
    good = [entry for entry in listing.entries if entry.split != TEST]
    if len(good) < LEAST_GOOD:
        raise CategoryError(category, listing.problems)
    contents, unread = [], []
    for entry in sample_of(good, _DESCRIBED):
        try:
            contents.append(read_entry(entry, bit_depth, page))
        except FileProblem as problem:
            unread.append(str(problem))
    if unread:
        raise CategoryError(category, unread)
    shapes = [one.image.shape[:2] for one in contents]
    coloured = carries_colour([one.image for one in contents])
    color = "rgb" if coloured else "grayscale"
    images = [(to_color(one.image, color), one.grey_levels) for one in contents]
    test = listing.of(TEST)
    height, width = max(set(shapes), key=shapes.count)
    return CategoryFacts(
        good=len(good),
        tested={kind: sum(one.type == kind for one in test) for kind in _kinds(test)},
        masks=sum(bool(one.masks) for one in test),
        size=(height, width),
        sizes=len(set(shapes)),
        coloured=coloured,
        bright=bool(_allowed(divide_background, images)),
        has_object=bool(_allowed(lambda image, _: find_object(image, turn=False), images)),
        has_axis=bool(_allowed(lambda image, _: find_object(image), images)),
        likeness=_likeness([image for image, _ in images]),
        looked_at=len(images),
    )


def _kinds(test: Sequence[Entry]) -> list[str]:
    """The types of the test images, ``"good"`` first."""
    return sorted({entry.type for entry in test}, key=lambda kind: (kind != GOOD, kind))


def _likeness(images: Sequence[Images]) -> float:
    """Median correlation of each small grey image with the mean of the others."""
    side = (_COMPARED_SIDE, _COMPARED_SIDE)
    flat = np.stack([resize_image(to_color(one, "grayscale"), side).ravel() for one in images])
    others = (flat.sum(axis=0) - flat) / (len(flat) - 1)
    pairs = [
        # An image of one colour correlates with nothing; what varies in it is rounding.
        np.corrcoef(one, rest)[0, 1] if min(one.std(), rest.std()) > _ROUNDING else 0.0
        for one, rest in zip(flat, others, strict=True)
    ]
    return float(np.median(pairs))
