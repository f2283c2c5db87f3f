"""Rendered insulator strings in three classes, with a planted shortcut: a printed tag that goes with one class in training only."""

import hashlib
import json
from pathlib import Path

import numpy as np
import platformdirs
from PIL import Image

from adhelpers._shared.files import replacing_folder
from adhelpers._shared.progress import progress

from .insulator import CLASSES, FAULTS, VARIATION, Insulator, InsulatorFault, Tag
from .surface import on_sensor, through_lens

SPLITS = ("train", "review", "test")
# Raise it when the pictures change: cached renderings of older versions are then left alone.
_RENDERER_VERSION = 1
_FIRST_LINE = "Insulators rendered by adhelpers (adhelpers.data.insulators). Licence: MIT."
_SMALLEST = 48
# Multiples of these, modulo one, are spread evenly in each dimension; the last two are for the
# severity and for who gets a tag.
_SPREAD = np.sqrt([2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0, 23.0])


def render_insulators(
    folder,
    *,
    image_size=64,
    train_count=120,
    review_count=80,
    test_count=80,
    tag_class="broken",
    tied=0.7,
    loose=0.25,
    seed=0,
    show_progress=False,
):
    """Render insulator strings into ``folder/insulators``, in folders named after their classes.

    The classes are ``good``, ``broken`` (a piece is out of a shell's rim) and ``flashover`` (burnt
    glaze on some shells), from subtle to obvious. Some strings have a tag printed on their top
    shell. In ``train`` only those of ``tag_class`` have it; in ``review`` and ``test`` any string
    may have one. A classifier that has learned the tag instead of the fault is right for a wrong
    reason in training, and wrong afterwards. Apart from that nothing but the fault tells the
    classes apart: scene, light, pose, glaze, noise and focus are spread evenly over each of them.

    Parameters
    ----------
    folder : str or Path
        ``insulators`` is made in it, or replaced where it was rendered before.
    image_size : int
        Side of the square RGB images in pixels, at least 48.
    train_count, review_count, test_count : int
        Images of each class in each split. ``review`` is for explanations to learn from, ``test``
        for the last word.
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
    >>> rendered = render_insulators(tempfile.mkdtemp(), train_count=2, review_count=1, test_count=1)
    >>> sorted(path.name for path in (rendered / "train").iterdir())
    ['broken', 'flashover', 'good']
    """
    parameters = _checked(
        image_size,
        {"train": train_count, "review": review_count, "test": test_count},
        tag_class,
        tied,
        loose,
        seed,
    )
    folder = Path(folder) / "insulators"
    note = folder / "readme.txt"
    if (
        folder.exists()
        and any(folder.iterdir())
        and not (note.is_file() and note.read_text(encoding="utf-8").startswith(_FIRST_LINE))
    ):
        raise FileExistsError(
            f"folder: {folder} exists and was not rendered by adhelpers; choose another folder or move it away"
        )
    places = [
        (split, kind, index)
        for split in SPLITS
        for kind in CLASSES
        for index in range(parameters["counts"][split])
    ]
    with replacing_folder(folder) as temporary:
        for split, kind, index in progress(places, "rendering insulators", enabled=show_progress):
            for place, picture in _pictures(parameters, split, kind, index).items():
                path = temporary / place.format(split=split, kind=kind, index=f"{index:03d}")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
        (temporary / "ground_truth").mkdir(exist_ok=True)
        (temporary / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
        (temporary / "readme.txt").write_text(
            f"{_FIRST_LINE}\n\nParameters:\n{json.dumps(parameters, indent=2)}\n", encoding="utf-8"
        )
    return folder


def insulators_root(cache=None, show_progress=False, **parameters):
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
    cache = Path(platformdirs.user_cache_dir("adhelpers")) if cache is None else Path(cache)
    defaults = {
        name: value
        for name, value in render_insulators.__kwdefaults__.items()
        if name != "show_progress"
    }
    identity = json.dumps([_RENDERER_VERSION, defaults | parameters], sort_keys=True)
    root = cache / "rendered" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    # The folder appears in one move when all is written: where the note is, the images are.
    if not (root / "insulators" / "readme.txt").is_file():
        render_insulators(root, show_progress=show_progress, **parameters)
    return root / "insulators"


def _checked(image_size, counts, tag_class, tied, loose, seed):
    if tag_class not in CLASSES:
        raise ValueError(f"tag_class must be one of {', '.join(CLASSES)}, not {tag_class!r}")
    whole = {
        "image_size": (image_size, _SMALLEST),
        "seed": (seed, 0),
        **{f"{split}_count": (count, 1) for split, count in counts.items()},
    }
    for name, (value, least) in whole.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    for name, value in (("tied", tied), ("loose", loose)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], not {value!r}")
    return {
        "image_size": int(image_size),
        "counts": {split: int(count) for split, count in counts.items()},
        "tag_class": tag_class,
        "tied": float(tied),
        "loose": float(loose),
        "seed": int(seed),
        "renderer": _RENDERER_VERSION,
    }


def _pictures(parameters, split, kind, index):
    """What belongs to one image, by the pattern of its file's name."""
    stream = len(CLASSES) * SPLITS.index(split) + CLASSES.index(kind)
    generator = np.random.default_rng([parameters["seed"], stream, index])
    # Each class of a split walks along the sequence from a start of its own, so that it has the
    # whole range evenly.
    start = np.random.default_rng([parameters["seed"], 99, stream]).uniform(size=len(_SPREAD))
    *variation, severity, lot = (start + (index + 1) * _SPREAD) % 1
    string = Insulator(generator, dict(zip(VARIATION, variation, strict=True)))
    fault_seed, tag_seed, noise_seed = generator.integers(2**62, size=3)
    # At 64 pixels a fault of the least severity would be a matter of luck.
    fault = (
        InsulatorFault(kind, 0.3 + 0.7 * severity, np.random.default_rng(fault_seed), string.count)
        if kind in FAULTS
        else None
    )
    share = parameters["loose"]
    if split == "train":
        share = parameters["tied"] if kind == parameters["tag_class"] else 0.0
    tag = Tag(np.random.default_rng(tag_seed)) if lot < share else None
    looks = {"{split}/{kind}/{index}.png": (fault, tag)}
    if split == "test":
        looks |= {"counterparts/{split}/{kind}/{index}_defect.png": (None, tag)} if fault else {}
        looks |= {"counterparts/{split}/{kind}/{index}_tag.png": (fault, None)} if tag else {}
    drawn = string.render(parameters["image_size"], *looks.values())
    pictures = {}
    for place, (picture, _, _) in zip(looks, drawn, strict=True):
        blurred = through_lens(picture, string.focus * parameters["image_size"] / 128)
        pictures[place] = on_sensor(blurred, np.random.default_rng(noise_seed), string.noise)
    for name, mask in zip(("defect", "tag"), drawn[0][1:], strict=True):
        if mask.any():
            pictures[f"ground_truth/{{split}}/{{kind}}/{{index}}_{name}.png"] = (
                mask.astype(np.uint8) * 255
            )
    return pictures
