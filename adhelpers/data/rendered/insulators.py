"""Rendered insulator strings in three classes, with a planted shortcut.

The shortcut is a printed tag that goes with one class in training only.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.checks import check_choice
from adhelpers._shared.progress import progress

from .folders import check_whole_number, found_or_rendered, rendering, save_picture
from .insulator import CLASSES, FAULTS, VARIATION, Insulator, InsulatorFault, Tag
from .surface import on_sensor, through_lens
from .variation import evenly

SPLITS = ("train", "review", "test")
# Raise it when the pictures change: cached renderings of older versions are then left alone.
_RENDERER_VERSION = 1
# Cached renderings are known by this line: it stays as it is.
_FIRST_LINE = "Insulators rendered by adhelpers (adhelpers.data.insulators). Licence: MIT."
_SMALLEST = 48


@dataclass(frozen=True)
class _Parameters:
    """Checked parameters of a rendering."""

    image_size: int = 64
    train_count: int = 120
    review_count: int = 80
    test_count: int = 80
    tag_class: str = "broken"
    tied: float = 0.7
    loose: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("tag_class", self.tag_class, CLASSES)
        check_whole_number("image_size", self.image_size, _SMALLEST)
        for name in ("train_count", "review_count", "test_count"):
            check_whole_number(name, getattr(self, name), 1)
        check_whole_number("seed", self.seed, 0)
        for name in ("tied", "loose"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], not {getattr(self, name)!r}")

    @property
    def counts(self) -> dict[str, int]:
        """Images of each class by split."""
        return dict(
            zip(SPLITS, (self.train_count, self.review_count, self.test_count), strict=True)
        )

    @property
    def places(self) -> list[tuple[str, str, int]]:
        """Split, class and index of every image."""
        return [
            (split, kind, index)
            for split, count in self.counts.items()
            for kind in CLASSES
            for index in range(count)
        ]

    def note(self) -> dict[str, Any]:
        """What the rendered folder says about itself."""
        return {
            "image_size": self.image_size,
            "counts": self.counts,
            "tag_class": self.tag_class,
            "tied": float(self.tied),
            "loose": float(self.loose),
            "seed": self.seed,
            "renderer": _RENDERER_VERSION,
        }


def render_insulators(
    folder: str | Path,
    *,
    image_size: int = 64,
    train_count: int = 120,
    review_count: int = 80,
    test_count: int = 80,
    tag_class: str = "broken",
    tied: float = 0.7,
    loose: float = 0.25,
    seed: int = 0,
    show_progress: bool = False,
) -> Path:
    """Render insulator strings into ``folder/insulators``, in folders named after their classes.

    The classes are ``good``, ``broken`` (a piece is out of a shell's rim) and ``flashover`` (burnt
    glaze on some shells), from subtle to obvious. Some strings have a tag printed on their top
    shell. In ``train`` only those of ``tag_class`` have it; in ``review`` and ``test`` any string
    may have one. A classifier that has learned the tag instead of the fault is right for a wrong
    reason in training, and wrong afterwards. Apart from that only the fault distinguishes
    the classes: scene, light, pose, glaze, noise and focus are spread evenly over each of them.

    Parameters
    ----------
    folder : str or Path
        ``insulators`` is made in it, or replaced where it was rendered before.
    image_size : int
        Side of the square RGB images in pixels, at least 48.
    train_count, review_count, test_count : int
        Images of each class in each split. ``review`` is for explanations to learn from, ``test``
        for the final test.
    tag_class : {"good", "broken", "flashover"}
        The class that the tag goes with in training.
    tied : float
        Share of that class's training images that have the tag.
    loose : float
        Share of the images in ``review`` and ``test`` that have the tag, whatever their class.
    seed : int
        Not negative.
    show_progress : bool

    Returns
    -------
    Path
        The folder ``insulators``: ``<split>/<class>/000.png``; for those that have a fault or a
        tag, the masks ``ground_truth/<split>/<class>/000_defect.png`` and ``000_tag.png`` (255
        where it is) and, for ``test``, the same pictures without it,
        ``counterparts/test/<class>/000_defect.png`` and ``000_tag.png``; ``classes.txt`` and
        ``readme.txt``.

    Raises
    ------
    ValueError
        For an unknown class, a size below 48, a count below 1, a share outside of [0, 1] or a
        negative seed.
    FileExistsError
        Where ``folder/insulators`` holds something that was not rendered: nothing is overwritten.

    Examples
    --------
    >>> import tempfile
    >>> counts = {"train_count": 2, "review_count": 1, "test_count": 1}
    >>> rendered = render_insulators(tempfile.mkdtemp(), **counts)
    >>> sorted(path.name for path in (rendered / "train").iterdir())
    ['broken', 'flashover', 'good']
    """
    counts = train_count, review_count, test_count
    parameters = _Parameters(image_size, *counts, tag_class, tied, loose, seed)
    folder = Path(folder) / "insulators"
    with rendering(folder, _FIRST_LINE, parameters.note()) as temporary:
        places = progress(parameters.places, "rendering insulators", enabled=show_progress)
        for split, kind, index in places:
            for name, picture in _pictures(parameters, split, kind, index).items():
                save_picture(temporary / name, picture)
        (temporary / "ground_truth").mkdir(exist_ok=True)
        (temporary / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    return folder


def insulators_root(
    cache: str | Path | None = None, show_progress: bool = False, **parameters: Any
) -> Path:
    """The folder of rendered insulators; they are rendered at the first call and found again later.

    Parameters
    ----------
    cache : str or Path, optional
        Where renderings are kept. By default the user's cache folder for adhelpers.
    show_progress : bool
    **parameters
        As in `render_insulators`.

    Returns
    -------
    Path

    Examples
    --------
    >>> import tempfile
    >>> root = insulators_root(tempfile.mkdtemp(), train_count=1, review_count=1, test_count=1)
    >>> (root / "train" / "good" / "000.png").is_file()
    True
    """

    def render(folder: Path) -> Path:
        return render_insulators(folder, show_progress=show_progress, **parameters)

    identity = [_RENDERER_VERSION, asdict(_Parameters(**parameters))]
    return found_or_rendered(identity, "insulators", render, cache) / "insulators"


def _pictures(
    parameters: _Parameters, split: str, kind: str, index: int
) -> dict[str, NDArray[np.uint8]]:
    """An image and what belongs to it, by the names of the files."""
    name = f"{split}/{kind}/{index:03d}"
    stream = len(CLASSES) * SPLITS.index(split) + CLASSES.index(kind)
    generator = np.random.default_rng([parameters.seed, stream, index])
    # Each class of a split walks along the sequence from a start of its own, so that it has the
    # whole range evenly. The last two numbers are for the severity and for who gets a tag.
    size = len(VARIATION) + 2
    start = np.random.default_rng([parameters.seed, 99, stream]).uniform(size=size)
    *variation, severity, lot = evenly(start, index + 1)
    string = Insulator(generator, dict(zip(VARIATION, variation, strict=True)))
    fault_seed, tag_seed, noise_seed = generator.integers(2**62, size=3)
    # At 64 pixels a fault of the least severity would be a matter of luck.
    fault = (
        InsulatorFault(kind, 0.3 + 0.7 * severity, np.random.default_rng(fault_seed), string.count)
        if kind in FAULTS
        else None
    )
    share = parameters.loose
    if split == "train":
        share = parameters.tied if kind == parameters.tag_class else 0.0
    tag = Tag(np.random.default_rng(tag_seed)) if lot < share else None
    looks = {f"{name}.png": (fault, tag)}
    if split == "test":
        looks |= {f"counterparts/{name}_defect.png": (None, tag)} if fault else {}
        looks |= {f"counterparts/{name}_tag.png": (fault, None)} if tag else {}
    drawn = string.render(parameters.image_size, *looks.values())
    pictures = {}
    for place, (picture, _, _) in zip(looks, drawn, strict=True):
        blurred = through_lens(picture, string.focus * parameters.image_size / 128)
        pictures[place] = on_sensor(blurred, np.random.default_rng(noise_seed), string.noise)
    for part, mask in zip(("defect", "tag"), drawn[0][1:], strict=True):
        if mask.any():
            pictures[f"ground_truth/{name}_{part}.png"] = mask.astype(np.uint8) * 255
    return pictures
