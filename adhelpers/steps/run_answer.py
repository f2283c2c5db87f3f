"""The answer of a run as it is shown and written, whatever was asked and of which detector."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from adhelpers.audit import Answer
from adhelpers.reports import verdict_figure


@dataclass(frozen=True)
class RunAnswer:
    """Whether a detector can be used, because of what, and what to look at first.

    Attributes
    ----------
    answer : Answer
    verdicts : pandas.DataFrame
        How many test samples of each type got which verdict: a row for each verdict, a column for
        each type.
    looks : list of (str, str)
        Name and verdict of what to look at first.
    pictures : list of Figure
        Of these; empty where samples are vectors.
    found : list of str
        What else there is to know, the weightiest first.
    """

    answer: Answer
    verdicts: pd.DataFrame
    looks: list[tuple[str, str]]
    pictures: list[Figure]
    found: list[str]

    def table(self) -> pd.DataFrame:
        """The rules of the answer, with a mark at the row that decided."""
        return self.answer.table()

    def findings(self) -> list[str]:
        """The answer, because of what, and what to look at first."""
        shown = "; ".join(f"{name} ({verdict})" for name, verdict in self.looks)
        return self.answer.findings() + ([f"Look first at: {shown}."] if shown else [])

    def figure(self) -> Figure:
        """The verdicts on all test samples by type."""
        return verdict_figure(self.verdicts, samples=self.answer.main.wording.samples)

    def figures(self) -> dict[str, Figure]:
        """The verdicts, and the pictures of what to look at first, by file name."""
        return {"verdicts": self.figure()} | dict(zip(self._files(), self.pictures, strict=True))

    def _files(self) -> list[str]:
        return [f"look-first-{position}" for position in range(1, 1 + len(self.pictures))]

    def summary_parts(self) -> dict[str, Any]:
        """The parts of ``summary.json`` that follow, as keywords for `Run.summary`."""
        looks = [
            {"name": name, "verdict": verdict, "figure": f"figures/{file}.png"}
            for (name, verdict), file in zip(self.looks, self._files(), strict=False)
        ]
        counts = self.verdicts.drop(columns="all", errors="ignore").sum(axis=1)
        return {
            "answer": self.answer.as_dict() | {"look_first": looks, "findings": self.found},
            "verdicts": {str(name): int(count) for name, count in counts.items()},
        }
