"""Detectors by categories: what runs have left, side by side, with tests and marks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.checks import check_choice
from adhelpers._shared.files import write_text
from adhelpers._shared.text import and_list
from adhelpers.metrics import FEWEST, POST_HOC, RankComparison, compare_ranks

from ..figures import rank_figure
from ..summary import write_samples
from .cells import Cell, Cells, make_cells
from .latex import latex_table
from .page import BoardFigure, BoardMatrix, BoardPage, BoardRow, write_leaderboard
from .pairs import compare_pairs
from .runs import METRICS, read_runs

_SIGNIFICANCE = 0.05
_METHODS = {
    "nemenyi": "Friedman and Nemenyi tests, 5 %",
    "wilcoxon": "Friedman test, then Wilcoxon's signed-rank tests with Holm's correction, 5 %",
}
# With fewer the distribution of Friedman's statistic is a rough one.
_MANY = 10


@dataclass(frozen=True)
class Leaderboard:
    """What `compare_runs` found.

    Attributes
    ----------
    cells : Cells
    metric : str
        What detectors are ranked by, a key of `METRICS`.
    post_hoc : str
        How pairs are compared over categories.
    ranked : RankComparison or None
    ranked_detectors, ranked_categories : list of str
        What the ranking holds: all detectors have a figure that may be compared on all categories.
    why_not : str
        Why there is no ranking; empty where there is one.
    pairs : pandas.DataFrame
        DeLong's tests, see `compare_pairs`.
    problems : list of str
        What could not be read.
    """

    cells: Cells
    metric: str
    post_hoc: str
    ranked: RankComparison | None
    ranked_detectors: list[str]
    ranked_categories: list[str]
    why_not: str
    pairs: pd.DataFrame
    problems: list[str]

    def table(self) -> pd.DataFrame:
        """A row for each detector and category.

        Each metric has its mean over the seeds, their standard deviation (``_sd``), the number of
        runs (``_runs``), and why it may not be compared (``_mark``, empty where it may).
        """
        return pd.DataFrame(
            [_csv_row(cell) for _, cell in sorted(self.cells.cells.items())],
        )

    def matrix(self, metric: str) -> BoardMatrix:
        """One metric of all detectors on all categories."""
        cells = self.cells
        rows = {}
        means = {}
        for detector in cells.detectors:
            figures = [
                cells.cells.get((detector, name), Cell(detector, name, [])).figure(metric)
                for name in cells.categories
            ]
            known = [figure.mean for figure in figures if figure.comparable]
            rows[detector] = figures
            means[detector] = (float(np.mean(known)) if known else math.nan, len(known))
        ranks = {}
        if self.ranked is not None and metric == self.metric:
            ranks = dict(zip(self.ranked_detectors, self.ranked.ranks.tolist(), strict=True))
        order = sorted(rows, key=lambda name: (ranks.get(name, math.inf), -_low(means[name]), name))
        return BoardMatrix(
            METRICS[metric], cells.categories, {name: rows[name] for name in order}, means, ranks
        )

    def findings(self) -> list[str]:
        """What was compared, which detector is first, and whether detectors differ."""
        cells, matrix = self.cells, self.matrix(self.metric)
        runs = sum(len(cell.runs) for cell in cells.cells.values())
        found = [
            f"{_counted(runs, 'run')} of {_counted(len(cells.detectors), 'detector')} on "
            f"{_counted(len(cells.categories), 'category', 'categories')}."
        ]
        best = matrix.best_mean()
        first = [name for name in matrix.rows if best and matrix.mean_text(name) == best]
        if first and len(cells.detectors) > 1:
            found.append(
                f"Highest mean {matrix.title} over all categories: {and_list(first)}, {best}."
            )
        found.append(self.why_not or self._ranking_finding())
        marked = sum(
            any(figure.problem for figure in _figures(cell).values())
            for cell in cells.cells.values()
        )
        if marked:
            found.append(
                f"{_counted(marked, 'cell')} of {len(cells.cells)} "
                f"{'holds' if marked == 1 else 'hold'} figures that may not be compared with the "
                "others of the category; they are marked, and in no mean and no test."
            )
        return found

    def _ranking_finding(self) -> str:
        compared, names = self.ranked, self.ranked_detectors
        if compared is None:
            return self.why_not
        over = f"over {len(self.ranked_categories)} categories"
        said = f"(Friedman, statistic {compared.statistic:.2f}, p = {compared.p_value:.2g})"
        if compared.p_value > compared.significance:
            found = f"The {len(names)} ranked detectors are not shown to differ {over} {said}."
        else:
            best = min(range(len(names)), key=lambda index: compared.ranks[index])
            worse = [
                names[index]
                for index in np.argsort(compared.ranks, kind="stable")
                if compared.pairs[best, index] <= compared.significance
            ]
            shown = f"better than {and_list(worse)}" if worse else "not shown to beat another one"
            found = f"The ranked detectors differ {over} {said}; {names[best]} is {shown}."
        if len(self.ranked_categories) < _MANY:
            found += " With so few categories the p-value is a rough one."
        return found

    def figure(self) -> Figure | None:
        """The critical-difference diagram; None where there is no ranking."""
        if self.ranked is None:
            return None
        return rank_figure(
            self.ranked,
            self.ranked_detectors,
            title=f"Mean ranks in {METRICS[self.metric]} over {len(self.ranked_categories)} "
            "categories",
        )

    def write(self, path: str | Path) -> list[Path]:
        """Write the page, and beside it both tables as CSV and the chosen metric as LaTeX.

        Parameters
        ----------
        path : str or Path
            ``leaderboard.html``; beside it come ``leaderboard.csv``, ``leaderboard_pairs.csv`` and
            ``leaderboard.tex``.

        Returns
        -------
        list of Path

        Raises
        ------
        ValueError
            If the file is not called ``.html``.
        """
        path = Path(path)
        if path.suffix != ".html":
            raise ValueError(f"output must be a file .html, such as leaderboard.html, not {path}")
        chosen = [self.metric, *(metric for metric in METRICS if metric != self.metric)]
        matrices = [self.matrix(metric) for metric in chosen]
        page = BoardPage(
            findings=self.findings(),
            metrics=METRICS,
            rows=[_row(cell) for _, cell in sorted(self.cells.cells.items(), key=_by_category)],
            matrices=matrices,
            ranking=self.figure() or self.why_not,
            method=_METHODS[self.post_hoc],
            pairs=_pair_rows(self.pairs),
            remarks=self.cells.remarks,
            problems=self.problems,
        )
        pairs = path.with_name(f"{path.stem}_pairs.csv")
        written = [
            write_leaderboard(path, page),
            write_samples(path.with_suffix(".csv"), self.table()),
            write_samples(pairs, self.pairs),
        ]
        write_text(path.with_suffix(".tex"), latex_table(matrices[0]))
        return [*written, path.with_suffix(".tex")]


def compare_runs(
    places: Sequence[str | Path], metric: str = "image_auroc", post_hoc: str = "nemenyi"
) -> Leaderboard:
    """Compare detectors over categories by what their runs have left.

    Runs that differ in the seed only are one row, with mean and standard deviation. What may not be
    compared (other test images, other good images to learn from, maps of other pixels, a threshold
    of another rule) is marked and left out of means and tests.

    Parameters
    ----------
    places : sequence of str or Path
        Folders of results, of one notebook or of one run, or files ``summary*.json``.
    metric : str
        What detectors are ranked by: ``image_auroc``, ``pixel_auroc``, ``aupro``, ``aupimo``,
        ``recall`` or ``trust_adjusted_recall``.
    post_hoc : {"nemenyi", "wilcoxon"}
        How pairs are compared over categories (`adhelpers.metrics.compare_ranks`).

    Returns
    -------
    Leaderboard

    Raises
    ------
    FileNotFoundError
        If a place does not exist, or no place holds a run that can be read.
    ValueError
        For an unknown metric or ``post_hoc``.
    """
    check_choice("metric", metric, tuple(METRICS))
    check_choice("post_hoc", post_hoc, POST_HOC)
    read = read_runs(places)
    cells = make_cells(read.runs)
    detectors, categories = _whole_block(cells, metric)
    ranked, why_not = None, _why_not(cells, detectors, categories, metric)
    if not why_not:
        values = [
            [cells.cells[detector, category].figure(metric).mean for detector in detectors]
            for category in categories
        ]
        ranked = compare_ranks(values, post_hoc, _SIGNIFICANCE)
    pairs, problems = compare_pairs(cells)
    return Leaderboard(
        cells,
        metric,
        post_hoc,
        ranked,
        detectors,
        categories,
        why_not,
        pairs,
        [*read.problems, *problems],
    )


def _whole_block(cells: Cells, metric: str) -> tuple[list[str], list[str]]:
    """Detectors and categories without a gap: as many cells as possible, then as many detectors.

    Detectors with the most categories come first, which need not find the largest block of all,
    but does not depend on what the figures are.
    """
    known = {
        detector: {
            category
            for category in cells.categories
            if (cell := cells.cells.get((detector, category))) and cell.figure(metric).comparable
        }
        for detector in cells.detectors
    }
    order = sorted(known, key=lambda name: (-len(known[name]), name))
    best: tuple[list[str], list[str]] = ([], [])
    shared = set(cells.categories)
    for count, detector in enumerate(order, 1):
        shared = shared & known[detector]
        enough = min(count, len(shared)) >= FEWEST
        size, largest = count * len(shared), len(best[0]) * len(best[1])
        if size >= largest and (enough or min(map(len, best)) < FEWEST):
            best = sorted(order[:count]), sorted(shared)
    return best


def _why_not(cells: Cells, detectors: Sequence[str], categories: Sequence[str], metric: str) -> str:
    """Why there is no ranking, or nothing."""
    if min(len(detectors), len(categories)) >= FEWEST:
        return ""
    needed = (
        f"There is no ranking over categories: it needs {FEWEST} detectors with a comparable "
        f"{METRICS[metric]} on {FEWEST} categories"
    )
    have = (
        f"{_counted(len(cells.detectors), 'detector')} on "
        f"{_counted(len(cells.categories), 'category', 'categories')}"
    )
    if min(len(cells.detectors), len(cells.categories)) < FEWEST:
        return f"{needed}, and there {'is' if len(cells.detectors) == 1 else 'are'} {have}."
    return f"{needed}; of the {have} too many lack it, or it may not be compared."


def _counted(count: int, one: str, several: str | None = None) -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"


def _low(mean: tuple[float, int]) -> float:
    """A mean to sort by; one over fewer categories comes after those over more."""
    value, count = mean
    return count + (0.0 if math.isnan(value) else value / 2)


def _figures(cell: Cell) -> dict[str, BoardFigure]:
    return {metric: cell.figure(metric) for metric in METRICS}


def _by_category(item: tuple[tuple[str, str], Cell]) -> tuple[str, float, str]:
    """By category, then the best image AUROC first."""
    (detector, category), cell = item
    mean = cell.figure("image_auroc").mean
    return category, math.inf if math.isnan(mean) else -mean, detector


def _totals(cell: Cell) -> tuple[dict[str, int], float, float]:
    """Verdicts summed over the runs, mean seconds, and the largest peak of memory."""
    verdicts: dict[str, int] = {}
    for run in cell.runs:
        for name, count in run.verdicts.items():
            verdicts[name] = verdicts.get(name, 0) + count
    seconds = [run.seconds for run in cell.runs if not math.isnan(run.seconds)]
    memory = [run.peak_memory for run in cell.runs if not math.isnan(run.peak_memory)]
    return (
        verdicts,
        float(np.mean(seconds)) if seconds else math.nan,
        max(memory, default=math.nan),
    )


def _seeds(cell: Cell) -> list[str]:
    return ["–" if run.seed is None else str(run.seed) for run in cell.runs]


def _row(cell: Cell) -> BoardRow:
    return BoardRow(
        cell.detector,
        cell.category,
        _seeds(cell),
        [run.summary.parent for run in cell.runs],
        _figures(cell),
        _totals(cell)[0],
        _shortcut(cell),
        *_totals(cell)[1:],
    )


def _shortcut(cell: Cell) -> dict[str, Any]:
    """Of the first run that has measured it: seeds have the same test images."""
    return next((run.shortcut for run in cell.runs if run.shortcut), {})


def _csv_row(cell: Cell) -> dict[str, Any]:
    verdicts, seconds, memory = _totals(cell)
    shortcut = _shortcut(cell)
    row: dict[str, Any] = {
        "detector": cell.detector,
        "notebook": cell.runs[0].notebook,
        "category": cell.category,
        "seeds": " ".join(_seeds(cell)),
    }
    for metric, figure in _figures(cell).items():
        row |= {
            metric: figure.mean,
            f"{metric}_sd": figure.deviation,
            f"{metric}_runs": figure.runs,
            f"{metric}_mark": figure.problem,
        }
    return row | {
        "verdicts": "; ".join(f"{name} {count}" for name, count in verdicts.items() if count),
        "shortcut": shortcut.get("name", ""),
        "shortcut_auroc": shortcut.get("separability", math.nan),
        "shortcut_outside_defects": shortcut.get("outside_defects", ""),
        "shortcut_significant": shortcut.get("significant", ""),
        "seconds": seconds,
        "peak_memory": memory,
    }


def _pair_rows(pairs: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """DeLong's tests as the page shows them, the smallest p-value first."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for pair in pairs.sort_values(["category", "p_value"], kind="stable").to_dict("records"):
        ends = "" if math.isnan(pair["low"]) else f" [{pair['low']:+.3f}, {pair['high']:+.3f}]"
        rows.setdefault(pair["category"], []).append(
            {
                "first": pair["first"],
                "second": pair["second"],
                "difference": f"{pair['difference']:+.3f}{ends}",
                "order": f"{pair['difference'] + 1:.6f}",
                "p_value": f"{pair['p_value']:.4f}",
                "corrected": f"{pair['p_corrected']:.4f}",
                "significant": pair["p_corrected"] <= _SIGNIFICANCE,
            }
        )
    return rows
