"""The layouts by their names."""

import difflib
from collections.abc import Mapping
from typing import Any

from .base import Layout
from .coco import Coco, CocoParts
from .csv_list import CsvList
from .kolektor import Kolektor
from .patterns import Patterns
from .split_folders import Btad, Loco, MvtecTwo, SplitFolders
from .visa import Visa

CLASSES: tuple[type[Layout], ...] = (
    SplitFolders,
    Loco,
    MvtecTwo,
    Visa,
    Btad,
    Kolektor,
    CsvList,
    Coco,
    CocoParts,
    Patterns,
)
LAYOUTS: Mapping[str, type[Layout]] = {one.name: one for one in CLASSES}
OPTIONS: Mapping[str, tuple[str, ...]] = {
    Patterns.name: ("good", "defect", "masks", "test_good"),
    CsvList.name: ("good",),
    Coco.name: ("good",),
    CocoParts.name: ("good",),
}


def make_layout(name: str, **options: Any) -> Layout:
    """A layout by its name.

    Raises
    ------
    ValueError
        Where there is none of this name, or it has no such option.
    """
    if name not in LAYOUTS:
        near = difflib.get_close_matches(name.lower(), LAYOUTS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {name!r}{hint}")
    known = OPTIONS.get(name, ())
    wrong = [option for option in options if option not in known]
    if wrong:
        has = f"its options are {', '.join(known)}" if known else "it has no options"
        raise ValueError(f"the layout {name!r} has no option {wrong[0]!r}; {has}")
    return LAYOUTS[name](**options)
