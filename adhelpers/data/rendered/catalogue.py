"""The embedded data: rendered hazelnuts, screws and brushed metal in the MVTec AD layout, exact masks, no shortcut.

A rendered category comes through the same loader as a real one. What varies among real images
varies here too: shape, pose, surface texture, light, focus, sensor noise, dust. The strongest of
these are spread evenly by a low-discrepancy sequence, over the good images as over the defective
ones, so that even a small test set shows no difference in brightness, contrast, noise, sharpness or
file size that a detector could use instead of the defect. ``shortcut="brightness"`` plants such a
difference.
"""

import difflib
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import platformdirs
from PIL import Image
from scipy import ndimage

from adhelpers._shared.files import replacing_folder
from adhelpers._shared.progress import progress

from . import hazelnut as _render_hazelnut
from . import metal as _render_metal
from . import screw as _render_screw
from .surface import on_sensor, through_lens

# Raise it when the pictures change: cached renderings of older versions are then left alone.
_RENDERER_VERSION = 1
_FIRST_LINE = "Images rendered by adhelpers (adhelpers.data.synthetic). Licence: MIT."
_SMALLEST = 64
_SHORTCUTS = ("none", "brightness")
_CATEGORIES = {
    "hazelnut": (_render_hazelnut, _render_hazelnut.Hazelnut, _render_hazelnut.HazelnutDefect),
    "metal": (_render_metal, _render_metal.Metal, _render_metal.MetalDefect),
    "screw": (_render_screw, _render_screw.Screw, _render_screw.ScrewDefect),
}
# Multiples of these, modulo one, are spread evenly in each dimension (their continued fractions are
# periodic).
_SPREAD = np.sqrt([2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0])


def render_category(
    folder,
    category="hazelnut",
    image_size=128,
    train_count=80,
    test_good_count=20,
    defect_count=6,
    seed=0,
    shortcut="none",
    show_progress=False,
):
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
        cope (real ones lie as they fall). Screws are grey and lie in any direction, 0.65 to 0.75 of
        the image long. Metal is a grey brushed sheet that fills the image, the brushing within 4
        degrees of horizontal.
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
        brightness alone then tells good from defective. All other images stay the same, bit for
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
    >>> rendered = render_category(tempfile.mkdtemp(), image_size=64, train_count=2, test_good_count=1, defect_count=1)
    >>> sorted(path.name for path in (rendered / "test").iterdir())
    ['crack', 'cut', 'good', 'hole', 'print']
    """
    parameters = _checked(
        category, image_size, train_count, test_good_count, defect_count, seed, shortcut
    )
    folder = Path(folder) / category
    _refuse_foreign(folder)
    places = _places(parameters)
    with replacing_folder(folder) as temporary:
        for split, kind, index in progress(places, f"rendering {category}", enabled=show_progress):
            image, mask = _image_and_mask(parameters, split, kind, index)
            _save(temporary / split / kind / f"{index:03d}.png", image)
            if kind != "good":
                _save(
                    temporary / "ground_truth" / kind / f"{index:03d}_mask.png",
                    mask.astype(np.uint8) * 255,
                )
        readme = f"{_FIRST_LINE}\n\nParameters:\n{json.dumps(parameters, indent=2)}\n"
        (temporary / "readme.txt").write_text(readme, encoding="utf-8")
    return folder


def rendered_root(
    category="hazelnut",
    cache=None,
    image_size=128,
    train_count=80,
    test_good_count=20,
    defect_count=6,
    seed=0,
    shortcut="none",
    show_progress=False,
):
    """Root folder of a rendered category; it is rendered at the first call and found again later.

    Parameters
    ----------
    category, image_size, train_count, test_good_count, defect_count, seed, shortcut, show_progress
        As in `render_category`.
    cache : str or Path, optional
        Where renderings are kept. By default the user's cache folder for adhelpers.

    Returns
    -------
    Path
        A folder that holds ``<category>/``. Its name is a hash of the parameters and the renderer's
        version.

    Examples
    --------
    >>> import tempfile
    >>> root = rendered_root("screw", tempfile.mkdtemp(), image_size=64, train_count=1, test_good_count=1, defect_count=1)
    >>> (root / "screw" / "train" / "good" / "000.png").is_file()
    True
    """
    parameters = _checked(
        category, image_size, train_count, test_good_count, defect_count, seed, shortcut
    )
    cache = Path(platformdirs.user_cache_dir("adhelpers")) if cache is None else Path(cache)
    name = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:16]
    root = cache / "rendered" / name
    # The folder appears in one move when all is written: where the note is, the images are.
    note = root / category / "readme.txt"
    if not note.is_file():
        _refuse_foreign(root / category)
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".partial-") as own:
            rendered = render_category(
                own,
                category,
                image_size,
                train_count,
                test_good_count,
                defect_count,
                seed,
                shortcut,
                show_progress,
            )
            try:
                os.replace(rendered, root / category)
            except OSError:
                # Two notebooks at once: the other's images are the same ones, and it may be reading
                # them already.
                if not note.is_file():
                    raise
    return root


def render_sample(category="hazelnut", defect=None, image_size=128, seed=0):
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
    image : (h, w, c) float32
        In [0, 1]; c is 3 for hazelnuts, 1 for metal and screws.
    mask : (h, w) bool
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
    parameters = _checked(category, image_size, 1, 1, 1, seed, "none")
    defects = _CATEGORIES[category][0].DEFECTS
    if defect is not None and defect not in defects:
        raise ValueError(
            f"defect: no {defect!r} on {category}; use None or one of {', '.join(defects)}"
        )
    generator = np.random.default_rng(np.random.SeedSequence([seed, sum(category.encode())]))
    variation, severity = generator.uniform(size=len(_SPREAD)), generator.uniform()
    image, mask = _render(parameters, generator, variation, defect, severity, shortcut=False)
    return image.astype(np.float32).reshape(image_size, image_size, -1) / 255, mask


def _checked(category, image_size, train_count, test_good_count, defect_count, seed, shortcut):
    if category not in _CATEGORIES:
        near = difflib.get_close_matches(str(category), _CATEGORIES, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"category: {category!r} cannot be rendered; {hint}use one of {', '.join(_CATEGORIES)}"
        )
    if shortcut not in _SHORTCUTS:
        raise ValueError(f"shortcut: {shortcut!r} is unknown; use one of {', '.join(_SHORTCUTS)}")
    smallest = {
        "image_size": (image_size, _SMALLEST),
        "train_count": (train_count, 1),
        "test_good_count": (test_good_count, 1),
        "defect_count": (defect_count, 1),
        "seed": (seed, 0),
    }
    for name, (value, least) in smallest.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name}: {value!r} must be a whole number of at least {least}")
    return {
        "category": category,
        "shortcut": shortcut,
        "renderer": _RENDERER_VERSION,
        **{name: int(value) for name, (value, _) in smallest.items()},
    }


def _refuse_foreign(folder):
    if not folder.exists():
        return
    note = folder / "readme.txt"
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if note.is_file() and note.read_text(encoding="utf-8", errors="replace").startswith(
        _FIRST_LINE
    ):
        return
    raise FileExistsError(
        f"folder: {folder} exists and was not rendered by adhelpers; choose another folder or move it away"
    )


def _places(parameters):
    """(split, type, index) of every image."""
    places = [("train", "good", index) for index in range(parameters["train_count"])]
    places += [("test", "good", index) for index in range(parameters["test_good_count"])]
    for kind in _CATEGORIES[parameters["category"]][0].DEFECTS:
        places += [("test", kind, index) for index in range(parameters["defect_count"])]
    return places


def _image_and_mask(parameters, split, kind, index):
    category, seed = parameters["category"], parameters["seed"]
    kinds = ("good", *_CATEGORIES[category][0].DEFECTS)
    stream = kinds.index(kind) + len(kinds) * (split == "test")
    generator = np.random.default_rng(
        np.random.SeedSequence([seed, sum(category.encode()), stream, index])
    )
    # Good images walk along the sequence one by one; the types of defect take turns, so that
    # together they walk alike.
    good = kind == "good"
    step = index if good else index * (len(kinds) - 1) + kinds.index(kind) - 1
    start = np.random.default_rng(
        np.random.SeedSequence([seed, sum(category.encode()), 99, split == "test"])
    )
    variation = (start.uniform(size=len(_SPREAD)) + (step + 1) * _SPREAD) % 1
    # A type's images go through the severities evenly too, each type from a start of its own.
    severity = 0.0 if good else ((index + 1) * (np.sqrt(5) - 1) / 2 + kinds.index(kind) * 0.37) % 1
    shortcut = parameters["shortcut"] == "brightness" and split == "test" and good
    return _render(parameters, generator, variation, None if good else kind, severity, shortcut)


def _render(parameters, generator, variation, kind, severity, shortcut):
    """Image (uint8) and mask (bool) of one object."""
    module, make_object, make_defect = _CATEGORIES[parameters["category"]]
    image_size = parameters["image_size"]
    thing = make_object(generator, dict(zip(module.VARIATION, variation)))
    # The defect draws from a generator of its own: the object and the noise stay those of the good
    # picture.
    defect_seed, noise_seed = generator.integers(2**63, size=2)
    defect = (
        None if kind is None else make_defect(kind, severity, np.random.default_rng(defect_seed))
    )
    focus = thing.focus * image_size / 128
    clean, picture = (through_lens(view, focus) for view in thing.render(image_size, defect))
    mask = np.zeros((image_size, image_size), bool) if defect is None else _changed(clean, picture)
    light = module.SHORTCUT_LIGHT if shortcut else 1.0
    image = on_sensor(light * picture, np.random.default_rng(noise_seed), thing.noise)
    return (image[..., 0] if module.CHANNELS == 1 else image), mask


def _changed(clean, picture):
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


def _save(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
