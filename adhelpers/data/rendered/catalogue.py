"""The embedded data: rendered hazelnuts, screws and brushed metal in the layout of MVTec AD.

A rendered category has exact masks and comes through the same loader as a real one. What varies
among real images varies here too: shape, pose, surface texture, light, focus, sensor noise, dust.
The strongest of these are spread evenly, over the good images as over the defective ones, so that
even a small test set shows no difference in brightness, contrast, noise, sharpness or file size
that a detector could use instead of the defect. ``shortcut="brightness"`` plants such a difference.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from adhelpers._shared.arrays import Floats, Images, Masks
from adhelpers._shared.checks import check_choice
from adhelpers._shared.progress import progress
from adhelpers.data.layouts import TEST, TRAIN, image_name, mask_name
from adhelpers.data.reading import GOOD

from . import hazelnut, metal, screw
from .folders import check_whole_number, found_or_rendered, rendering, save_picture
from .surface import on_sensor, through_lens
from .variation import evenly

# Raise it when the pictures change: cached renderings of older versions are then left alone.
_RENDERER_VERSION = 1
# Cached renderings are known by this line: it stays as it is.
_FIRST_LINE = "Images rendered by adhelpers (adhelpers.data.synthetic). Licence: MIT."
_SMALLEST = 64
_SHORTCUTS = ("none", "brightness")
# Numbers of natural variation that are drawn for each image; an object uses as many as it names.
_VARIATIONS = 8


class _Drawing(NamedTuple):
    """How the images of a category are drawn."""

    module: ModuleType
    make_object: Callable[..., Any]
    make_defect: Callable[..., Any]


_CATEGORIES = {
    "hazelnut": _Drawing(hazelnut, hazelnut.Hazelnut, hazelnut.HazelnutDefect),
    "metal": _Drawing(metal, metal.Metal, metal.MetalDefect),
    "screw": _Drawing(screw, screw.Screw, screw.ScrewDefect),
}
RENDERED_CATEGORIES = tuple(_CATEGORIES)


@dataclass(frozen=True)
class _Parameters:
    """Checked parameters of a rendering, in the order in which its note lists them."""

    category: str = "hazelnut"
    shortcut: str = "none"
    renderer: int = _RENDERER_VERSION
    image_size: int = 128
    train_count: int = 80
    test_good_count: int = 20
    defect_count: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.category not in _CATEGORIES:
            near = difflib.get_close_matches(str(self.category), _CATEGORIES, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"category: {self.category!r} cannot be rendered; {hint}use one of "
                f"{', '.join(_CATEGORIES)}"
            )
        check_choice("shortcut", self.shortcut, _SHORTCUTS)
        check_whole_number("image_size", self.image_size, _SMALLEST)
        for name in ("train_count", "test_good_count", "defect_count"):
            check_whole_number(name, getattr(self, name), 1)
        check_whole_number("seed", self.seed, 0)

    @property
    def drawing(self) -> _Drawing:
        return _CATEGORIES[self.category]

    @property
    def places(self) -> list[tuple[str, str, int]]:
        """Split, type and index of every image."""
        counts = {(TRAIN, GOOD): self.train_count, (TEST, GOOD): self.test_good_count}
        counts |= {(TEST, kind): self.defect_count for kind in self.drawing.module.DEFECTS}
        return [(*place, index) for place, count in counts.items() for index in range(count)]

    def generator(self, *stream: int) -> np.random.Generator:
        """A random generator that only this seed, this category and this stream have."""
        words = [self.seed, sum(self.category.encode()), *stream]
        return np.random.default_rng(np.random.SeedSequence(words))


def render_category(
    folder: str | Path,
    category: str = "hazelnut",
    image_size: int = 128,
    train_count: int = 80,
    test_good_count: int = 20,
    defect_count: int = 6,
    seed: int = 0,
    shortcut: str = "none",
    show_progress: bool = False,
) -> Path:
    """Render a category into ``folder/<category>``, in the layout of MVTec AD.

    Each image has its own random generator, so that an image depends on ``seed``, its place and its
    index, but not on the counts: a larger data set begins with the images of the smaller one.

    Parameters
    ----------
    folder : str or Path
        The data root. The category's folder is made in it, or replaced where it was rendered
        before.
    category : {"hazelnut", "metal", "screw"}
        Hazelnuts are RGB; they stand within 16 degrees of upright, so that a small autoencoder can
        learn them (real ones lie as they fall). Screws are grey and lie in any direction, 0.65 to
        0.75 of the image long. Metal is a grey brushed sheet that fills the image, the brushing
        within 4 degrees of horizontal.
    image_size : int
        Side of the square images in pixels, at least 64.
    train_count, test_good_count : int
        Good images in ``train/good`` and ``test/good``.
    defect_count : int
        Images of each type of defect, from subtle to obvious.
    seed : int
        Not negative.
    shortcut : {"none", "brightness"}
        ``"brightness"`` lights the images in ``test/good`` less, as happened with the real *screw*:
        brightness alone then separates good from defective. All other images stay the same, bit for
        bit.
    show_progress : bool

    Returns
    -------
    Path
        The category's folder: ``train/good/000.png``, ``test/<type>/000.png``,
        ``ground_truth/<type>/000_mask.png`` (255 where the defect is, else 0) and ``readme.txt``
        with the parameters.

    Raises
    ------
    ValueError
        For an unknown category or shortcut, an image size below 64, a count below 1 or a negative
        seed.
    FileExistsError
        Where ``folder/<category>`` holds something that was not rendered: nothing is overwritten.

    Examples
    --------
    >>> import tempfile
    >>> counts = {"image_size": 64, "train_count": 2, "test_good_count": 1, "defect_count": 1}
    >>> rendered = render_category(tempfile.mkdtemp(), **counts)
    >>> sorted(path.name for path in (rendered / "test").iterdir())
    ['crack', 'cut', 'good', 'hole', 'print']
    """
    parameters = _Parameters(
        category,
        shortcut,
        image_size=image_size,
        train_count=train_count,
        test_good_count=test_good_count,
        defect_count=defect_count,
        seed=seed,
    )
    folder = Path(folder) / category
    with rendering(folder, _FIRST_LINE, asdict(parameters)) as temporary:
        places = progress(parameters.places, f"rendering {category}", enabled=show_progress)
        for split, kind, index in places:
            image, mask = _image_and_mask(parameters, split, kind, index)
            save_picture(temporary / image_name(split, kind, f"{index:03d}"), image)
            if kind != GOOD:
                pixels = mask.astype(np.uint8) * 255
                save_picture(temporary / mask_name(kind, f"{index:03d}"), pixels)
    return folder


def rendered_root(
    category: str = "hazelnut",
    cache: str | Path | None = None,
    show_progress: bool = False,
    **parameters: Any,
) -> Path:
    """Root folder of a rendered category; it is rendered at the first call and found again later.

    Parameters
    ----------
    category : {"hazelnut", "metal", "screw"}
    cache : str or Path, optional
        Where renderings are kept. By default the user's cache folder for adhelpers.
    show_progress : bool
    **parameters
        Others of `render_category`.

    Returns
    -------
    Path
        A folder that holds ``<category>/``. Its name is a hash of the parameters and the renderer's
        version.

    Examples
    --------
    >>> import tempfile
    >>> counts = {"image_size": 64, "train_count": 1, "test_good_count": 1, "defect_count": 1}
    >>> root = rendered_root("screw", tempfile.mkdtemp(), **counts)
    >>> (root / "screw" / "train" / "good" / "000.png").is_file()
    True
    """

    def render(folder: Path) -> Path:
        return render_category(folder, category, show_progress=show_progress, **parameters)

    return found_or_rendered(asdict(_Parameters(category, **parameters)), category, render, cache)


def render_sample(
    category: str = "hazelnut", defect: str | None = None, image_size: int = 128, seed: int = 0
) -> tuple[Images, Masks]:
    """One image and its mask, without files.

    Parameters
    ----------
    category : {"hazelnut", "metal", "screw"}
    defect : str, optional
        A type of defect of the category; None gives a good image. The same seed gives the same
        object with any defect.
    image_size : int
        Side in pixels, at least 64.
    seed : int
        Not negative.

    Returns
    -------
    image : ndarray of float32, shape (h, w, c), in [0, 1]
        c is 3 for hazelnuts, 1 for metal and screws.
    mask : ndarray of bool, shape (h, w)
        Where the defect changed the picture; all False without one.

    Raises
    ------
    ValueError
        For an unknown category or defect, an image size below 64 or a negative seed.

    Examples
    --------
    >>> image, mask = render_sample("screw", "thread_top", image_size=64)
    >>> image.shape, bool(mask.any())
    ((64, 64, 1), True)
    """
    parameters = _Parameters(category, image_size=image_size, seed=seed)
    defects = parameters.drawing.module.DEFECTS
    if defect is not None and defect not in defects:
        raise ValueError(
            f"defect: no {defect!r} on {category}; use None or one of {', '.join(defects)}"
        )
    generator = parameters.generator()
    variation, severity = generator.uniform(size=_VARIATIONS), generator.uniform()
    image, mask = _render(parameters, generator, variation, defect, severity)
    return image.astype(np.float32).reshape(image_size, image_size, -1) / np.float32(255), mask


def _image_and_mask(
    parameters: _Parameters, split: str, kind: str, index: int
) -> tuple[NDArray[np.uint8], Masks]:
    """The image at one place, which does not depend on how many there are."""
    kinds, good = (GOOD, *parameters.drawing.module.DEFECTS), kind == GOOD
    generator = parameters.generator(kinds.index(kind) + len(kinds) * (split == TEST), index)
    # Good images walk along the sequence one by one; the types of defect take turns, so that
    # together they walk alike.
    step = index if good else index * (len(kinds) - 1) + kinds.index(kind) - 1
    start = parameters.generator(99, split == TEST).uniform(size=_VARIATIONS)
    # A type's images go through the severities evenly too, each type from a start of its own.
    severity = 0.0 if good else ((index + 1) * (np.sqrt(5) - 1) / 2 + kinds.index(kind) * 0.37) % 1
    darker = parameters.shortcut == "brightness" and split == TEST and good
    light = parameters.drawing.module.SHORTCUT_LIGHT if darker else 1.0
    defect = None if good else kind
    return _render(parameters, generator, evenly(start, step + 1), defect, severity, light)


def _render(
    parameters: _Parameters,
    generator: np.random.Generator,
    variation: Sequence[float] | Floats,
    kind: str | None,
    severity: float,
    light: float = 1.0,
) -> tuple[NDArray[np.uint8], Masks]:
    """Image and mask of one object."""
    (module, make_object, make_defect), image_size = parameters.drawing, parameters.image_size
    thing = make_object(generator, dict(zip(module.VARIATION, variation, strict=False)))
    # The defect draws from a generator of its own: the object and the noise stay those of the good
    # picture.
    defect_seed, noise_seed = generator.integers(2**63, size=2)
    defect = (
        None if kind is None else make_defect(kind, severity, np.random.default_rng(defect_seed))
    )
    focus = thing.focus * image_size / 128
    clean, picture = (through_lens(view, focus) for view in thing.render(image_size, defect))
    mask = np.zeros((image_size, image_size), bool) if defect is None else _changed(clean, picture)
    image = on_sensor(light * picture, np.random.default_rng(noise_seed), thing.noise)
    return (image[..., 0] if module.CHANNELS == 1 else image), mask


def _changed(clean: Floats, picture: Floats) -> Masks:
    """The compact region in which two pictures differ visibly."""
    change = np.abs(picture - clean).max(axis=-1)
    visible = change > min(0.03, 0.3 * change.max())
    mask = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(visible, 2), iterations=1))[
        2:-2, 2:-2
    ]
    regions, count = ndimage.label(mask, structure=np.ones((3, 3)))
    weights = ndimage.sum_labels(change, regions, np.arange(1, count + 1))
    # A soft shadow's fringe leaves crumbs around the defect itself.
    return np.isin(regions, 1 + np.flatnonzero(weights >= 0.08 * weights.max())) & mask
