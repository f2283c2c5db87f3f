"""Checks a category before it is loaded: what is there, and what is wrong."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .decoding import check_reading
from .duplicates import (
    LEAK,
    Look,
    duplicate_remarks,
    group_copies,
    look_of,
    near_duplicate_remarks,
)
from .file_remarks import Note, file_remarks
from .layouts import TEST, TRAIN, VALIDATION, list_category, one_form
from .reading import GOOD, Entry, FileProblem, good_first, read_entry
from .remarks import Remark


@dataclass(frozen=True)
class CategoryCheck:
    """What `check_category` found; ``str()`` of it is readable.

    Attributes
    ----------
    category : str
    inventory : pandas.DataFrame
        Columns split, type, images, masks, size (height x width of the files), channels, bits.
    problems : list of str
        Empty where the category can be used as it is.
    remarks : tuple of Remark
        What can be used but is doubtful.
    layout : str
        Title of the layout that the category has.
    """

    category: str
    inventory: pd.DataFrame
    problems: list[str]
    remarks: tuple[Remark, ...] = ()
    layout: str = ""

    @property
    def summary(self) -> str:
        """Problems and remarks counted, such as ``"no problems, 2 remarks"``."""
        counts = {"problem": len(self.problems), "remark": len(self.remarks)}
        texts = [f"{n or 'no'} {what}{'' if n == 1 else 's'}" for what, n in counts.items()]
        return ", ".join(texts if self.remarks else texts[:1])

    def __str__(self) -> str:
        lines = [f"category {one_form(self.category)}", f"layout: {self.layout}"]
        lines += [self.inventory.to_string(index=False)]
        if self.problems:
            lines += [f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}:"]
            lines += [f"  {problem}" for problem in self.problems]
        else:
            lines += ["no problems"]
        if self.remarks:
            lines += [f"{len(self.remarks)} remark{'' if len(self.remarks) == 1 else 's'}:"]
            lines += [f"  {remark}" for remark in self.remarks]
        return "\n".join(lines)


def check_category(
    root: str | Path, category: str, bit_depth: int | None = None, page: int | None = None
) -> CategoryCheck:
    """Read every file of a category and list what is there and what is wrong.

    Besides what `load_category` refuses, it names what makes results worthless: test images that
    were also trained on.

    Parameters
    ----------
    root : str or Path
        Folder that holds the categories.
    category : str
    bit_depth, page : int, optional
        As in `load_category`.

    Returns
    -------
    CategoryCheck

    Raises
    ------
    FileNotFoundError
        Where a folder is missing. A misspelt category gets the nearest names.
    ValueError
        Where ``bit_depth`` or ``page`` is wrong.
    """
    check_reading(bit_depth, page)
    listing = list_category(root, category)
    entries, problems = listing.entries, listing.problems
    readable, looks = list[Entry](), list[Look]()
    rows, notes = [], list[Note]()
    for entry in entries:
        try:
            content = read_entry(entry, bit_depth, page)
        except FileProblem as problem:
            problems.append(str(problem))
            continue
        notes += content.notes
        readable.append(entry)
        looks.append(look_of(content.image, content.samples))
        height, width, channels = content.image.shape
        rows.append(
            {
                "split": entry.split,
                "type": entry.type,
                "masks": int(content.mask is not None and content.mask.any()),
                "size": f"{height}x{width}",
                "channels": str(channels),
                "bits": str(content.bits),
            }
        )
    groups = group_copies([look.digest for look in looks])
    for entry, group in zip(readable, groups, strict=True):
        if (first := readable[group]).split != entry.split:
            use = "is trained on" if first.split == TRAIN else "the threshold is found with"
            problems.append(f"{entry.name}: is the same image as {first.name}, which {use}")
    names, parts = [entry.name for entry in readable], [entry.split for entry in readable]
    is_anomalous = np.array([entry.type != GOOD for entry in readable], bool)
    copies = duplicate_remarks(names, groups, parts, is_anomalous)
    remarks = (
        *listing.remarks,
        # Here each leaked image is a problem already.
        *(remark for remark in copies if remark.kind != LEAK),
        *near_duplicate_remarks(names, looks, parts),
        *file_remarks(notes),
    )
    return CategoryCheck(category, _table(rows), problems, remarks, listing.layout)


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of files as counts by split and type."""
    columns = ["split", "type", "images", "masks", "size", "channels", "bits"]
    if not rows:
        return pd.DataFrame(columns=columns)
    found, table = pd.DataFrame(rows), []
    for split in (TRAIN, VALIDATION, TEST):
        part = found[found["split"] == split]
        for kind in good_first(part["type"]):
            group = part[part["type"] == kind]
            table.append(
                {
                    "split": split,
                    "type": kind,
                    "images": len(group),
                    "masks": int(group["masks"].sum()),
                    **{
                        column: " ".join(sorted(set(group[column])))
                        for column in ("size", "channels", "bits")
                    },
                }
            )
    return pd.DataFrame(table, columns=columns)
