"""The whole audit of a detector in one call: localisation, repair, chance, verdicts, gallery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Names
from adhelpers.audit import most_instructive
from adhelpers.runner import Run

from .assess import Assessment, ImageAssessment
from .explain import ExplainedImages
from .findings import sentences
from .gallery import Strips, examples, on_photographs, save_gallery
from .localization import LocalizationAudit, audit_localization
from .trust import Effort, Shortcuts, Trust, audit_trust

_PHOTOGRAPHS = 6


class Answered(Protocol):
    """What `adhelpers.steps.answer_run` returns, of an audit that is written."""

    def figures(self) -> dict[str, Figure]:
        """The verdicts and the strips of what to look at first, by file name."""

    def summary_parts(self) -> dict[str, Any]:
        """The part of ``summary.json`` that follows."""


@dataclass(frozen=True)
class Audit:
    """Whether one detector's flags are about the defects, and whether its explanations show it.

    Attributes
    ----------
    explanations : ExplainedImages
    localization : LocalizationAudit
    trust : Trust
    explainer : str, optional
        Whose verdicts are reported; by default those of the smallest repair, where there is one.
    """

    explanations: ExplainedImages
    localization: LocalizationAudit
    trust: Trust
    explainer: str = ""

    def __post_init__(self) -> None:
        """Let the trust say whose verdicts are reported, where nothing else is asked for."""
        object.__setattr__(self, "explainer", self.explainer or self.trust.speaker)

    @property
    def assessment(self) -> ImageAssessment:
        """The detector's scores and decisions."""
        return self.trust.assessment

    @property
    def verdicts(self) -> Names:
        """The verdict on each test image: ndarray of str, shape (n,)."""
        return self.trust.verdicts[self.explainer]

    @cached_property
    def strips(self) -> Strips:
        """The strips of the test images, with repaired defects."""
        return Strips(
            self.assessment,
            self.explanations.test,
            self.localization,
            self.trust.repaired_defects(),
            self.verdicts,
            self.localization.spoken_of,
        )

    def table(self) -> pd.DataFrame:
        """A row for each explainer: how well it meets the defects, beside what chance gives."""
        return self.localization.table() if self.trust.localization.empty else self.trust.table()

    def verdict_table(self) -> pd.DataFrame:
        """Counts of the verdicts by defect type."""
        return self.trust.verdict_table(self.explainer)

    def wrong_place_table(self) -> pd.DataFrame:
        """Flagged defective images whose explanation misses the defect, the surest flags first."""
        return self.localization.wrong_place_table()

    def findings(self) -> list[str]:
        """What the comparison with the true defects and the repair test mean."""
        return sentences(self.localization, self.trust)

    def figure(self) -> Figure:
        """Each image's score against how well its explanations meet the defect."""
        return self.localization.figure()

    def figures(self) -> dict[str, Figure]:
        """All figures of the audit by file name: explainers, curves, photographs."""
        one, found = self.assessment, dict[str, Figure]()
        shown = examples(one.category)[:_PHOTOGRAPHS]
        if {"LIME", "SHAP"} <= self.localization.jaccards.keys():
            found["lime-against-shap"] = self.localization.explainer_figure()
        found["score-against-jaccard"] = self.localization.figure()
        if one.has_counterparts:
            found["deletion-insertion"] = self.trust.figure()
        if one.has_maps and one.category.root is not None:
            found["photographs"] = on_photographs(one, shown)
        return found

    def instructive(self, count: int = 6) -> dict[str, Figure]:
        """Strips of the most instructive test images by file name, each kind of verdict in turn."""
        one = self.assessment
        chosen = most_instructive(self.verdicts, one.scores, one.threshold, count=count)
        return {
            f"strip-{position}": self.strips.figure(index)
            for position, index in enumerate(chosen, start=1)
        }

    def samples(self, **columns: Any) -> pd.DataFrame:
        """A row for each test image: decision, how well each explanation meets the defect, verdict.

        Parameters
        ----------
        **columns
            More columns, after the verdict.

        Returns
        -------
        pandas.DataFrame
        """
        table = self.assessment.samples()
        for name, values in self.localization.jaccards.items():
            table[f"optimal_jaccard_{name.lower().replace(' ', '_')}"] = values
        return pd.concat([table, self.explanations.columns()], axis=1).assign(
            verdict=self.verdicts, **columns
        )

    def summary_parts(self) -> dict[str, Any]:
        """The parts of ``summary.json`` that follow, as keywords for `Run.summary`."""
        return (
            self.assessment.summary_parts()
            | self.localization.summary_parts()
            | self.trust.summary_parts(self.explainer)
        )

    def save_gallery(
        self,
        path: str | Path,
        tables: Mapping[str, pd.DataFrame] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Write the gallery page: tables, findings, and a card with its strip for each test image.

        Parameters
        ----------
        path : str or Path
        tables : dict of str to pandas.DataFrame, optional
            Shown between the verdicts and the explainers.
        notes : list of str
            Sentences at the top.
        """
        save_gallery(
            path,
            self.strips,
            title=f"{self.assessment.category.name}: every test image",
            tables={
                "Verdicts": self.verdict_table(),
                **(tables or {}),
                "Explainers": self.table(),
                "Flagged, but the explanation misses the defect": self.wrong_place_table(),
            },
            notes=notes,
        )

    def write(
        self,
        run: Run,
        shortcuts: Shortcuts,
        answer: Answered | None = None,
        *,
        tables: Mapping[str, pd.DataFrame] | None = None,
        notes: Sequence[str] = (),
        others: Mapping[str, Assessment] | None = None,
        columns: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Write what the run leaves: ``gallery.html``, ``samples.csv`` and the summaries.

        Parameters
        ----------
        run : Run
        shortcuts : Shortcuts
        answer : RunAnswer, optional
            Its pictures become figures of the run, and the report begins with it.
        tables : dict of str to pandas.DataFrame, optional
            The gallery's, between the shortcuts and the explainers.
        notes : list of str
            Sentences at the gallery's top.
        others : dict of str to Assessment, optional
            The run's other detectors; each gets a ``summary_<name>.json`` and a
            ``samples_<name>.csv``.
        columns : dict of str to array, optional
            More columns of ``samples.csv``.

        Returns
        -------
        pandas.DataFrame
            The samples.
        """
        others, tables = others or {}, {"Shortcuts": shortcuts.table(), **(tables or {})}
        self.save_gallery(run.folder / "gallery.html", tables, notes)
        samples = run.samples(self.samples(**(columns or {})))
        shared, own = shortcuts.summary_parts(), {}
        if answer is not None:
            own = answer.summary_parts()
            for name, figure in answer.figures().items():
                run.figure(figure, name)
        for name, one in others.items():
            run.summary(f"summary_{name}.json", **one.summary_parts(), **shared)
            run.samples(one.samples(), f"samples_{name}.csv")
        every = [self.summary_parts(), *(one.summary_parts() for one in others.values())]
        folders = dict.fromkeys(folder for parts in every for folder in parts["models"] or [])
        run.summary(**every[0] | shared | own | {"models": list(folders) or None})
        return samples


def audit_explained(
    assessment: ImageAssessment,
    explanations: ExplainedImages,
    *,
    cutoff: float = 0.1,
    effort: Effort | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> Audit:
    """Audit a detector's flags and their explanations: localisation, repair, chance, verdicts.

    Parameters
    ----------
    assessment : ImageAssessment
    explanations : ExplainedImages
        As `explain_detector` gives them, SHAP and the residual map at least.
    cutoff : float
        Below this optimal Jaccard an explanation points to the wrong place.
    effort : Effort, optional
        How much of the detector's time it takes.
    seed : int
    show_progress : bool

    Returns
    -------
    Audit
    """
    return Audit(
        explanations,
        audit_localization(assessment, explanations.test, cutoff=cutoff),
        audit_trust(
            assessment,
            explanations.test,
            explanations.good,
            effort=effort,
            seed=seed,
            show_progress=show_progress,
        ),
    )
