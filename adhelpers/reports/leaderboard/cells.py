"""Runs as cells of a leaderboard: detectors by categories, with what may not be compared marked."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from adhelpers._shared.text import and_list

from .page import BoardFigure
from .runs import METRICS, OF_DECISIONS, OF_PIXELS, BoardRun

_UNKNOWN = "its summary does not say"


@dataclass(frozen=True)
class Cell:
    """All runs of one detector on one category, one for each seed.

    Attributes
    ----------
    detector, category : str
    runs : list of BoardRun
        By seed.
    marks : list of dict of str to str
        Of each run: by the keys of `METRICS`, why a figure may not be compared.
    """

    detector: str
    category: str
    runs: list[BoardRun]
    marks: list[dict[str, str]] = field(default_factory=list)

    def figure(self, metric: str) -> BoardFigure:
        """A figure over the runs that may be compared; over all of them where none may."""
        known = [
            (run, mark.get(metric, ""))
            for run, mark in zip(self.runs, self.marks, strict=True)
            if not math.isnan(run.figures[metric])
        ]
        chosen = [run for run, problem in known if not problem] or [run for run, _ in known]
        if not chosen:
            return BoardFigure(math.nan, math.nan, 0, math.nan, math.nan, "")
        values = np.array([run.figures[metric] for run in chosen])
        low, high = math.nan, math.nan
        if len(chosen) == 1:
            low, high = chosen[0].intervals.get(metric, (math.nan, math.nan))
        return BoardFigure(
            float(values.mean()),
            float(values.std(ddof=1)) if len(values) > 1 else math.nan,
            len(values),
            low,
            high,
            "; ".join(dict.fromkeys(why for _, why in known)) if all(w for _, w in known) else "",
        )

    def comparable(self, metric: str) -> list[BoardRun]:
        """The runs whose figure may be compared with others of the category."""
        return [
            run
            for run, mark in zip(self.runs, self.marks, strict=True)
            if not mark.get(metric) and not math.isnan(run.figures[metric])
        ]


@dataclass(frozen=True)
class Cells:
    """The cells of a leaderboard.

    Attributes
    ----------
    cells : dict of tuple of str to Cell
        By detector and category.
    detectors, categories : list of str
    remarks : list of str
        Runs that were left out because they repeat others, and those that may not be compared.
    """

    cells: dict[tuple[str, str], Cell]
    detectors: list[str]
    categories: list[str]
    remarks: list[str]


def make_cells(runs: Sequence[BoardRun]) -> Cells:
    """Sort runs into cells and mark what may not be compared.

    Runs of a notebook and a detector that differ in a parameter on the same category are several
    detectors, named by that parameter; runs that differ in the seed only are one. Of runs that
    agree in all of it the newest counts.

    Parameters
    ----------
    runs : sequence of BoardRun

    Returns
    -------
    Cells
    """
    names = _names(runs)
    kept, remarks = _without_repeats(runs, names)
    marks = _marks(kept, names)
    cells: dict[tuple[str, str], Cell] = {}
    for run in sorted(kept, key=lambda one: (one.seed is None, one.seed or 0, str(one.summary))):
        key = names[id(run)], run.category
        cell = cells.setdefault(key, Cell(*key, []))
        cell.runs.append(run)
        cell.marks.append(marks[id(run)])
    remarks += _mark_sentences(cells)
    detectors = sorted(dict.fromkeys(names[id(run)] for run in kept))
    return Cells(cells, detectors, sorted({run.category for run in kept}), remarks)


def _mark_sentences(cells: Mapping[tuple[str, str], Cell]) -> list[str]:
    """A sentence for each detector and reason: on which categories, and what it concerns."""
    found: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for (detector, category), cell in sorted(cells.items()):
        for run, mark in zip(cell.runs, cell.marks, strict=True):
            concerned: dict[str, list[str]] = {}
            for metric in METRICS:
                if mark.get(metric) and not math.isnan(run.figures[metric]):
                    concerned.setdefault(mark[metric], []).append(METRICS[metric])
            known = sum(not math.isnan(one) for one in run.figures.values())
            for problem, what in concerned.items():
                said = "all figures" if 1 < len(what) == known else and_list(what)
                where = found.setdefault((detector, problem, said), {})
                where.setdefault(category, []).append(str(run.seed))
    sentences = []
    for (detector, problem, said), where in found.items():
        places = [
            category
            if len(seeds) == len(cells[detector, category].runs)
            else f"{category} (seed {', '.join(seeds)})"
            for category, seeds in where.items()
        ]
        sentences.append(f"{detector} on {and_list(places)}: {problem}. This concerns {said}.")
    return sentences


def _names(runs: Sequence[BoardRun]) -> dict[int, str]:
    """The name of each run's row, by the run's identity."""
    groups: dict[tuple[str, str], list[BoardRun]] = {}
    for run in runs:
        groups.setdefault((run.notebook, run.detector), []).append(run)
    titles = Counter(detector for _, detector in groups)
    names = {}
    for (notebook, detector), group in groups.items():
        title = detector if titles[detector] == 1 else f"{detector} ({notebook})"
        varied = _varied(group)
        for run in group:
            settings = [f"{name}={_plain(run.parameters.get(name))}" for name in varied]
            names[id(run)] = ", ".join([title, *settings])
    return names


def _varied(runs: Sequence[BoardRun]) -> list[str]:
    """Parameters in which runs on one category differ; between categories they may."""
    seen: dict[tuple[str, str], set[str | None]] = {}
    everything = list(dict.fromkeys(name for run in runs for name in run.parameters))
    for run in runs:
        for name in everything:
            seen.setdefault((run.category, name), set()).add(run.parameters.get(name))
    return [
        name
        for name in everything
        if any(len(seen.get((run.category, name), ())) > 1 for run in runs)
    ]


def _plain(value: str | None) -> str:
    """A parameter as people read it; a text without its quotation marks."""
    if value is None:
        return "–"
    read = json.loads(value)
    return read if isinstance(read, str) else value


def _without_repeats(
    runs: Sequence[BoardRun], names: dict[int, str]
) -> tuple[list[BoardRun], list[str]]:
    """One run of each detector, category, data and seed: the newest."""
    newest: dict[tuple[object, ...], BoardRun] = {}
    remarks = []
    for run in runs:
        key = names[id(run)], run.category, run.seed, *sorted(run.data.items())
        other = newest.setdefault(key, run)
        if other is run:
            continue
        kept, left = sorted((other, run), key=_age)
        newest[key] = kept
        remarks.append(f"{left.place} repeats {kept.place}, which is newer: it is left out")
    return list(newest.values()), remarks


def _age(run: BoardRun) -> tuple[float, str]:
    try:
        return -run.summary.stat().st_mtime, str(run.summary)
    except OSError:
        return 0.0, str(run.summary)


def _marks(runs: Sequence[BoardRun], names: dict[int, str]) -> dict[int, dict[str, str]]:
    """For each run, by metric, why its figure may not be compared with others.

    What most detectors have in common is what the others are compared with.
    """
    marks: dict[int, dict[str, str]] = {id(run): {} for run in runs}

    def usual(group: Iterable[BoardRun], part: str) -> str:
        """The value of most detectors; of as many that of most runs."""
        group = [run for run in group if run.data[part]]
        rows = Counter(value for value, _ in {(run.data[part], names[id(run)]) for run in group})
        count = Counter(run.data[part] for run in group)
        return max(count, key=lambda value: (rows[value], count[value], value), default="")

    def mark(
        group: list[BoardRun], part: str, metrics: Iterable[str], why: Callable[[str, str], str]
    ) -> list[BoardRun]:
        """Mark those of a group that are not as usual; the others."""
        common = usual(group, part)
        for run in group:
            if run.data[part] != common or not common:
                for metric in metrics:
                    marks[id(run)].setdefault(metric, why(run.data[part], common))
        return [run for run in group if run.data[part] == common and common]

    for category in dict.fromkeys(run.category for run in runs):
        group = [run for run in runs if run.category == category]
        group = mark(group, "test", METRICS, _other_images("test images"))
        group = mark(group, "train", METRICS, _other_images("good images to learn from"))
        group = mark(group, "held_out", METRICS, _other_share)
        mark(group, "frame", OF_PIXELS, _other_frame)
    for run in runs:
        if run.uses_test_labels:
            for metric in OF_DECISIONS:
                marks[id(run)].setdefault(metric, "its threshold was chosen with test labels")
    decided = [run for run in runs if run.data["rule"] and not run.uses_test_labels]
    mark(
        decided,
        "rule",
        OF_DECISIONS,
        lambda own, common: f"its threshold has another rule ({own}, not {common})",
    )
    return marks


def _other_images(what: str) -> Callable[[str, str], str]:
    def why(own: str, common: str) -> str:
        # An earlier version's fingerprint is that of files and settings together.
        unclear = not own or own.startswith("fingerprint") != common.startswith("fingerprint")
        return f"{_UNKNOWN} which {what} it had" if unclear else f"other {what}"

    return why


def _other_share(own: str, common: str) -> str:
    return f"another share of the good images held out ({own}, not {common})"


def _other_frame(own: str, common: str) -> str:
    if not own.startswith("{") or not common.startswith("{"):
        return f"{_UNKNOWN} how its images were cut and scaled"
    first, second = json.loads(own), json.loads(common)
    differ = [
        f"{name.replace('_', ' ')} {_size(first.get(name))}, not {_size(second.get(name))}"
        for name in {**first, **second}
        if first.get(name) != second.get(name)
    ]
    return f"its maps have other pixels ({'; '.join(differ)})"


def _size(value: object) -> str:
    """A setting in words; a size as height x width."""
    if isinstance(value, list):
        return "x".join(str(one) for one in value)
    return "none" if value is None else str(value)
