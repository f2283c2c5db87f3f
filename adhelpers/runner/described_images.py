"""Takes a layout that is given for images, or the file of a list, as a folder of images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .parameters import UsageError

_LISTS = {".csv": "csv", ".json": "coco"}


def described_images(
    place: Path | None, layout: str | None, given: Mapping[str, Sequence[str] | None]
) -> Path | None:
    """The folder that stands for images whose layout is given; any other one as it is.

    Parameters
    ----------
    place : Path or None
        A category's folder, or the file of a list: CSV, or COCO's JSON.
    layout : str or None
        Patterns alone mean plain folders, a file without it the list that its ending says.
    given : dict of str to sequence of str, or None
        Patterns ``good``, ``defect``, ``masks`` and ``test_good``; for a list ``good`` is the label
        of good images.

    Returns
    -------
    Path or None

    Raises
    ------
    UsageError
        If there is no such place or layout, or it has no such option.
    """
    from adhelpers.data import described_category

    options: dict[str, Any] = {name: tuple(value) for name, value in given.items() if value}
    if place is None:
        if layout or options:
            asked = "layout" if layout else next(iter(options)).replace("_", "-")
            raise UsageError(f"--{asked}: give the images with --data")
        return None
    is_list = place.is_file() and place.suffix.lower() in _LISTS
    layout = layout or (_LISTS[place.suffix.lower()] if is_list else "folders" * bool(options))
    if not layout:
        return place
    if layout == "folders":
        missing = [name for name in ("good", "defect") if name not in options]
        if missing:
            raise UsageError(
                f"--{missing[0]}: plain folders need a pattern, such as "
                f"--{missing[0]} '{'ok' if missing[0] == 'good' else 'scratched'}/*.png'"
            )
    elif "good" in options:
        # The label of good images in a list is one word.
        options["good"] = options["good"][0]
    try:
        return described_category(place, layout, **options)
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from error
