"""The page of a leaderboard, which loads nothing."""

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from matplotlib.figure import Figure

from adhelpers._shared.files import write_text

from .._pages import page_script, page_template, webp_uri
from .._verdict_bars import verdict_bar, verdict_legend
from ..gallery import figure_webp


class BoardFigure(NamedTuple):
    """A figure of one detector on one category.

    Attributes
    ----------
    mean : float
        Over the seeds; NaN where no run has it.
    deviation : float
        Standard deviation over the seeds; NaN with one.
    runs : int
        How many seeds it rests on.
    low, high : float
        The interval over the images, where there is one run; else NaN.
    problem : str
        Why it may not be compared with others of its category; empty where it may.
    """

    mean: float
    deviation: float
    runs: int
    low: float
    high: float
    problem: str

    @property
    def comparable(self) -> bool:
        """Whether there is a figure that may be compared with others of its category."""
        return not self.problem and not math.isnan(self.mean)

    @property
    def value(self) -> str:
        """The mean, or a dash."""
        return "–" if math.isnan(self.mean) else f"{self.mean:.3f}"

    @property
    def spread(self) -> str:
        """The deviation over the seeds; of one run the interval over the images; or nothing."""
        if not math.isnan(self.deviation):
            return f"± {self.deviation:.3f}"
        return "" if math.isnan(self.low) else f"[{self.low:.3f}, {self.high:.3f}]"

    def __str__(self) -> str:
        return self.value if math.isnan(self.deviation) else f"{self.value} {self.spread}"


class BoardRow(NamedTuple):
    """One detector on one category.

    Attributes
    ----------
    detector, category : str
    seeds : list of str
        One for each run.
    folders : list of Path
        Of the runs, in the same order.
    figures : dict of str to BoardFigure
        By metric.
    verdicts : dict of str to int
        Counts over all runs.
    shortcut : dict
        The best single statistic: ``name``, ``separability``, ``significant``,
        ``outside_defects``; empty where none was measured.
    seconds, peak_memory : float
        Mean over the runs, and their maximum in bytes; NaN where it is not known.
    """

    detector: str
    category: str
    seeds: list[str]
    folders: list[Path]
    figures: dict[str, BoardFigure]
    verdicts: dict[str, int]
    shortcut: dict[str, Any]
    seconds: float
    peak_memory: float


class BoardMatrix(NamedTuple):
    """One metric of all detectors on all categories.

    Attributes
    ----------
    title : str
        The metric.
    categories : list of str
    rows : dict of str to list of BoardFigure
        By detector, a figure for each category.
    means : dict of str to tuple
        By detector, the mean over the categories that may be compared, and their number.
    ranks : dict of str to float
        Mean ranks of the detectors that were ranked.
    """

    title: str
    categories: list[str]
    rows: dict[str, list[BoardFigure]]
    means: dict[str, tuple[float, int]]
    ranks: dict[str, float]

    def best(self) -> list[str]:
        """The text of the best figure that may be compared, for each category."""
        return [
            max((f"{one.mean:.3f}" for one in column if one.comparable), default="")
            for column in zip(*self.rows.values(), strict=True)
        ]

    def best_mean(self) -> str:
        """The text of the best mean over all categories."""
        whole = [f"{mean:.3f}" for mean, count in self.means.values() if self._whole(count)]
        return max(whole, default="")

    def _whole(self, count: int) -> bool:
        return count == len(self.categories) > 0

    def mean_text(self, detector: str) -> str:
        """A mean over categories, with their number where some are missing."""
        mean, count = self.means[detector]
        if not count:
            return "–"
        part = "" if self._whole(count) else f" ({count} of {len(self.categories)})"
        return f"{mean:.3f}{part}"


@dataclass(frozen=True)
class BoardPage:
    """What the page of a leaderboard shows.

    Attributes
    ----------
    findings : list of str
        Sentences at the top.
    metrics : dict of str to str
        Names of the metrics by their keys.
    rows : list of BoardRow
    matrices : list of BoardMatrix
        The first one is shown open.
    ranking : Figure or str
        The critical-difference diagram, or why there is none.
    method : str
        How detectors were compared over categories.
    pairs : dict of str to list of dict
        By category: ``first``, ``second``, ``difference``, ``order`` (to sort by), ``p_value`` and
        ``corrected`` as texts, ``significant`` as bool.
    remarks, problems : list of str
        What may not be compared, and what could not be read.
    """

    findings: list[str]
    metrics: dict[str, str]
    rows: list[BoardRow]
    matrices: list[BoardMatrix]
    ranking: Figure | str
    method: str
    pairs: dict[str, list[dict[str, Any]]]
    remarks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def write_leaderboard(path: str | Path, page: BoardPage) -> Path:
    """Write the page of a leaderboard; it loads nothing, and only its own script may run.

    Parameters
    ----------
    path : str or Path
    page : BoardPage

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    OSError
        If the page cannot be written; it is named.
    """
    path = Path(path)
    drawn = isinstance(page.ranking, Figure)
    text = page_template("leaderboard.html", data_uri=webp_uri).render(
        page=page,
        rows=[_shown(row, path.parent) for row in page.rows],
        legend=verdict_legend(name for row in page.rows for name in row.verdicts),
        diagram=figure_webp(page.ranking, 150, 95) if isinstance(page.ranking, Figure) else None,
        description=str(page.ranking.get_label()) if isinstance(page.ranking, Figure) else "",
        why_not="" if drawn else page.ranking,
        **page_script("sort.js"),
    )
    # A summary can hold half of a pair of code units, which UTF-8 has no form for.
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))
    return path


def _shown(row: BoardRow, folder: Path) -> dict[str, Any]:
    """A row as the template shows it."""
    shortcut = row.shortcut
    return {
        "detector": row.detector,
        "category": row.category,
        "seeds": [
            (seed, _address(run, folder)) for seed, run in zip(row.seeds, row.folders, strict=True)
        ],
        "figures": row.figures,
        "bar": verdict_bar(row.verdicts),
        "shortcut": shortcut["name"] if shortcut else "–",
        "shortcut_auroc": f"{shortcut['separability']:.3f}" if shortcut else "",
        "shortcut_found": bool(shortcut.get("significant")),
        "whole_image": bool(shortcut) and not shortcut["outside_defects"],
        "seconds": "–" if math.isnan(row.seconds) else f"{row.seconds:.0f}",
        "memory": "–" if math.isnan(row.peak_memory) else f"{row.peak_memory / 2**20:.0f}",
    }


def _address(run: Path, folder: Path) -> str:
    """The link to a run's report, from the page's folder; empty where there is none."""
    report = run / "report.html"
    if not report.is_file():
        return ""
    try:
        relative = os.path.relpath(report, folder)
    except ValueError:
        # On another drive of Windows.
        return report.as_uri()
    return f"./{'/'.join(quote(os.fsencode(part)) for part in Path(relative).parts)}"
