"""Two detectors on the same images: DeLong's paired test from the scores that runs have left."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from adhelpers.metrics import compare_aurocs, holm

from .cells import Cells
from .runs import BoardRun

_COLUMNS = ["category", "first", "second", "difference", "low", "high", "p_value", "p_corrected"]
_NEEDED = ["name", "label", "score"]


def compare_pairs(cells: Cells) -> tuple[pd.DataFrame, list[str]]:
    """DeLong's paired test of image AUROC for every two detectors on every category.

    Runs that may not be compared are left out. The scores of several seeds are compared by the mean
    of their AUROCs (`adhelpers.metrics.compare_aurocs`).

    Parameters
    ----------
    cells : Cells

    Returns
    -------
    pairs : pandas.DataFrame
        Columns ``category``, ``first``, ``second``, ``difference`` (first minus second), ``low``,
        ``high``, ``p_value``, and ``p_corrected`` (Holm, for all pairs of the category).
    problems : list of str
        A sentence for each run whose scores cannot be used.
    """
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for category in cells.categories:
        scores = {}
        for detector in cells.detectors:
            cell = cells.cells.get((detector, category))
            read = _scores(cell.comparable("image_auroc"), problems) if cell else []
            if read:
                scores[detector] = read
        found: list[dict[str, Any]] = [
            {"category": category, "first": first, "second": second, **compared}
            for first, second in combinations(scores, 2)
            if (compared := _compared(scores[first], scores[second]))
        ]
        if len(scores) > 1 and len(found) < math.comb(len(scores), 2):
            problems.append(f"{category}: not all detectors have scores of the same images")
        corrected = holm([row["p_value"] for row in found])
        rows += [
            row | {"p_corrected": float(value)} for row, value in zip(found, corrected, strict=True)
        ]
    return pd.DataFrame(rows, columns=_COLUMNS), problems


def _scores(runs: Sequence[BoardRun], problems: list[str]) -> list[pd.DataFrame]:
    """The score and label of each image by its name, for each run that has left them."""
    found = []
    for run in runs:
        try:
            frame = pd.read_csv(run.samples, usecols=_NEEDED, dtype={"name": str})
            frame = frame.set_index("name").sort_index()
            frame = frame.astype({"label": int, "score": float})
        except FileNotFoundError:
            problems.append(f"{run.place}: there is no {run.samples.name} beside it")
            continue
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            problems.append(f"{run.place}: {run.samples.name} cannot be read ({reason})")
            continue
        if not frame.index.is_unique or not np.isfinite(frame["score"]).all():
            problems.append(
                f"{run.place}: {run.samples.name} has a name twice, or a score that is no number"
            )
            continue
        found.append(frame)
    return found


def _compared(
    first: Sequence[pd.DataFrame], second: Sequence[pd.DataFrame]
) -> dict[str, float] | None:
    """The test's result; None where the images differ or are too few for it."""
    labels = first[0]["label"]
    same = [frame for frame in (*first, *second) if frame["label"].equals(labels)]
    if len(same) < len(first) + len(second):
        return None
    try:
        found = compare_aurocs(
            np.stack([frame["score"] for frame in first]),
            np.stack([frame["score"] for frame in second]),
            labels,
        )
    except ValueError:
        return None
    value, low, high = found.difference
    return {"difference": value, "low": low, "high": high, "p_value": found.p_value}
