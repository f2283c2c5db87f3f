"""A file that says which layout a category has, where its shape does not."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import yaml

from adhelpers._shared.files import write_text

from .base import Layout
from .names import one_form
from .registry import make_layout

NOTE = "adhelpers.yaml"
_FOLDER = "layouts"


@dataclass(frozen=True)
class Description:
    """What such a file says.

    Attributes
    ----------
    layout : Layout
    folder : Path
        Where the images lie, or the file of a list: the folder of the description, unless it names
        another one.
    """

    layout: Layout
    folder: Path


def read_description(place: Path) -> Description:
    """What the description in a category's folder says.

    Raises
    ------
    ValueError
        Where it is none.
    FileNotFoundError
        Where the folder that it names is missing.
    """
    file = place / NOTE
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{one_form(str(file))} cannot be read: {error}") from error
    if not isinstance(said, dict) or not isinstance(said.get("layout"), str):
        raise ValueError(
            f"{one_form(str(file))} must name the layout, such as 'layout: folders', and its "
            "options, one a line"
        )
    layout, folder = said.pop("layout"), place / str(said.pop("folder", "."))
    if not folder.exists():
        raise FileNotFoundError(f"{one_form(str(file))}: there is no {one_form(str(folder))}")
    options = {
        str(name): tuple(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in said.items()
    }
    try:
        return Description(make_layout(layout, **options), folder)
    except ValueError as error:
        raise ValueError(f"{one_form(str(file))}: {error}") from error


def described_category(
    place: str | Path, layout: str, cache: str | Path | None = None, **options: Any
) -> Path:
    """A category that stands for a folder, or the file of a list, whose layout is given.

    Whatever takes a category's folder takes it, and reads the images where they are.

    Parameters
    ----------
    place : str or Path
    layout : str
        One of ``LAYOUTS``, such as ``"visa"``, or ``"folders"`` for folders with any names.
    cache : str or Path, optional
        Where it is kept; by default the user's cache folder for adhelpers.
    **options
        Of the layout; None leaves one out. ``"folders"`` takes patterns: ``good``, ``defect``,
        ``masks`` and ``test_good``; ``"csv"`` and ``"coco"`` take ``good``, the label of good
        images.

    Returns
    -------
    Path
        A folder with the name of ``place``.

    Raises
    ------
    FileNotFoundError
        Where there is no such place.
    ValueError
        Where there is no such layout, or it has no such option.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from adhelpers.data import load_category
    >>> parts = Path(tempfile.mkdtemp()) / "parts"
    >>> for name in ("fine/0", "fine/1", "fine/2", "fine/3", "scratch/4", "drawn/4_mask"):
    ...     file = parts / f"{name}.png"
    ...     file.parent.mkdir(parents=True, exist_ok=True)
    ...     Image.new("L", (40, 30), 128).save(file)
    >>> folder = described_category(
    ...     parts, "folders", good="fine/*.png", defect="scratch/*.png", masks="drawn/*.png",
    ...     cache=tempfile.mkdtemp(),
    ... )
    >>> category = load_category(folder.parent, folder.name, image_size=16)
    >>> len(category.train), len(category.validation), category.test.types.tolist()
    (2, 1, ['good', 'scratch'])
    """
    make_layout(layout, **{name: value for name, value in options.items() if value is not None})
    place = Path(place).resolve()
    if not place.exists():
        raise FileNotFoundError(f"there is no folder or file {one_form(str(place))}")
    said: dict[str, Any] = {"layout": layout, "folder": str(place)}
    said |= {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None
    }
    identity = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
    kept = Path(platformdirs.user_cache_dir("adhelpers") if cache is None else cache)
    folder = kept / _FOLDER / identity / (place.stem if place.is_file() else place.name)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / NOTE, yaml.safe_dump(said, allow_unicode=True))
    return folder
