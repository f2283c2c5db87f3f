"""The answer of a run: which detector is audited, whether it can be used, what to look at first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Integers
from adhelpers._shared.checks import check_choice
from adhelpers._shared.stages import stage
from adhelpers.audit import (
    Answer,
    Decisions,
    RepairSettings,
    VerdictSummary,
    find_answer,
    most_instructive,
    repair_test,
    verdict_summary,
    verdicts,
)
from adhelpers.detectors import plant_patches
from adhelpers.metrics import Estimate, auroc_estimate
from adhelpers.reports import verdict_figure

from .assess import ImageAssessment
from .audit import Audit
from .findings import HasFindings, leading_findings
from .trust import Shortcuts, object_regions, score_dependence

_LOOK_FIRST = 3
_FOUND_FOR_THE_DEFECT = ("right reason", "right reason, badly explained")


@dataclass(frozen=True)
class AuditedDetector:
    """Which of a run's detectors is explained and audited, and why.

    Attributes
    ----------
    assessment : ImageAssessment
        Of the detector that is audited.
    simpler : ImageAssessment or None
        Of the simplest detector, which the answer compares with it; None where that is audited.
    found : dict of str to Estimate
        By title how well each detector tells good validation images with a planted patch from plain
        ones (AUROC); NaN where there is a single validation image.
    chosen_by : str
        ``"auto"`` or the name that was asked for.
    """

    assessment: ImageAssessment
    simpler: ImageAssessment | None
    found: dict[str, Estimate]
    chosen_by: str

    def table(self) -> pd.DataFrame:
        """A row for each detector: how well it finds planted patches, and which is audited."""
        rows = {
            title: {
                "finds planted patches (AUROC)": str(value),
                "audited": "←" if title == self.assessment.title else "",
            }
            for title, value in self.found.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def findings(self) -> list[str]:
        """Which detector is audited and why."""
        title = self.assessment.title
        if self.chosen_by != "auto":
            return [f"The {title} is audited, as asked for."]
        return [
            f"The {title} is audited: it finds patches planted in good validation images best "
            f"(AUROC {self.found[title]}). No test image has a say in this."
        ]


def choose_audited(
    assessments: Mapping[str, ImageAssessment], audited: str = "auto", *, seed: int = 0
) -> AuditedDetector:
    """Choose the detector that is explained and audited, without the test set.

    Parameters
    ----------
    assessments : dict of str to ImageAssessment
        By the name that ``audited`` may ask for, the simplest detector first.
    audited : str
        ``"auto"``: the one that best tells good validation images with a planted patch from plain
        ones, the simpler one where two are equal. Or a name.
    seed : int
        Of the patches.

    Returns
    -------
    AuditedDetector

    Raises
    ------
    ValueError
        For an unknown name.
    """
    check_choice("audited", audited, ("auto", *assessments))
    found = {one.title: _finds_planted(one, seed) for one in assessments.values()}
    if audited == "auto":
        # max() keeps the first of equals.
        main = max(assessments.values(), key=lambda one: found[one.title].value)
    else:
        main = assessments[audited]
    simplest = next(iter(assessments.values()))
    return AuditedDetector(main, None if simplest is main else simplest, found, audited)


def _finds_planted(one: ImageAssessment, seed: int) -> Estimate:
    """The AUROC of good validation images with planted patches against plain ones."""
    good = one.category.validation.images
    with stage(f"{one.title}: planted patches"):
        planted = one.detector.score(plant_patches(good, seed))
    scores = np.concatenate([one.reference_scores, planted])
    labels = np.repeat([0, 1], [len(one.reference_scores), len(planted)])
    return auroc_estimate(scores, labels, seed=seed)


@dataclass(frozen=True)
class RunAnswer:
    """Whether the audited detector can be used, because of what, and what to look at first.

    Attributes
    ----------
    answer : Answer
    look_first : ndarray of int, shape (k,)
        Up to three test images, each from another kind of verdict where there are several.
    audit : Audit
    found : list of str
        What else there is to know, the weightiest first.
    """

    answer: Answer
    look_first: Integers
    audit: Audit
    found: list[str]

    def table(self) -> pd.DataFrame:
        """The rules of the answer, with a mark at the row that decided."""
        return self.answer.table()

    def findings(self) -> list[str]:
        """The answer, because of what, and what to look at first."""
        decided, figures = self.answer.findings()
        names = self.audit.assessment.category.test.names
        shown = "; ".join(f"{names[i]} ({self.audit.verdicts[i]})" for i in self.look_first)
        return [decided, figures, f"Look first at: {shown}."] if shown else [decided, figures]

    def figure(self) -> Figure:
        """The verdicts on all test images by type."""
        return verdict_figure(self.audit.verdict_table())

    def figures(self) -> dict[str, Figure]:
        """The verdicts, and the strips of what to look at first, by file name."""
        return {"verdicts": self.figure()} | {
            f"look-first-{position}": self.audit.strips.figure(int(index))
            for position, index in enumerate(self.look_first, start=1)
        }

    def summary_parts(self) -> dict[str, Any]:
        """The part ``answer`` of ``summary.json``, as keywords for `Run.summary`."""
        names = self.audit.assessment.category.test.names
        looks = [
            {
                "name": str(names[index]),
                "verdict": str(self.audit.verdicts[index]),
                "figure": f"figures/look-first-{position}.png",
            }
            for position, index in enumerate(self.look_first, start=1)
        ]
        return {"answer": self.answer.as_dict() | {"look_first": looks, "findings": self.found}}


def answer_run(
    audit: Audit,
    shortcuts: Shortcuts,
    simpler: ImageAssessment | None = None,
    results: Sequence[HasFindings] = (),
    *,
    seed: int = 0,
    show_progress: bool = True,
) -> RunAnswer:
    """Answer whether the audited detector can be used.

    Parameters
    ----------
    audit : Audit
    shortcuts : Shortcuts
        Of the same category.
    simpler : ImageAssessment, optional
        A simpler detector on the same images. Its flags go through the repair test too.
    results : sequence
        Other results of the run, the weightiest first. Five findings stand below the answer: the
        first of the audit's repair test and of each of these, then their second ones.
    seed : int
    show_progress : bool

    Returns
    -------
    RunAnswer
    """
    one = audit.assessment
    other = None
    if simpler is not None:
        other = _decisions(simpler.title, _verdicts_of(simpler, seed, show_progress))
    shortcut = shortcuts.outside_defects()
    found = find_answer(
        _decisions(one.title, audit.trust.summaries[audit.explainer]),
        other,
        shortcut=shortcut,
        proves_skill=not shortcut or _proves_skill(one, shortcuts, seed),
        leaks=shortcuts.leaked,
    )
    first = most_instructive(audit.verdicts, one.scores, one.threshold, count=_LOOK_FIRST)
    return RunAnswer(found, first, audit, leading_findings((audit.trust, *results)))


def _decisions(title: str, summary: VerdictSummary) -> Decisions:
    """The counts of verdicts as the answer takes them."""
    caused = sum(summary.count(name) for name in _FOUND_FOR_THE_DEFECT)
    false_alarms = summary.count("false alarm")
    missed = summary.count("missed")
    wrong = summary.count("wrong reason") + summary.unverified
    return Decisions(
        title,
        good=summary.count("passed") + false_alarms,
        false_alarms=false_alarms,
        defective=caused + wrong + missed,
        flagged=caused + wrong,
        caused=None if np.isnan(summary.trust_adjusted_recall) else caused,
    )


def _verdicts_of(one: ImageAssessment, seed: int, show_progress: bool) -> VerdictSummary:
    """The verdicts on a detector whose scores nobody has explained."""
    test = one.category.test
    repaired: dict[str, Any] = {}
    if test.masks is not None:
        with stage(f"{one.title}: repair"):
            repair = repair_test(
                one.detector.score,
                test.images,
                one.counterparts,
                test.masks,
                {},
                one.threshold,
                object_regions=object_regions(one.category),
                settings=RepairSettings(seed=seed),
                show_progress=show_progress,
            )
        repaired = {
            "repair_cleared": repair.values("cleared"),
            "repair_removed": repair.values("removed"),
            "control_removed": repair.values("control_max"),
            "explained_above_chance": np.full(len(test), np.nan),
        }
    return verdict_summary(verdicts(test.labels, one.flags, **repaired), test.types, test.labels)


def _proves_skill(one: ImageAssessment, shortcuts: Shortcuts, seed: int) -> bool:
    """Whether a detector ranks defective above good among images alike in the best statistic."""
    result = score_dependence(shortcuts, [one], seed=seed).results[one.title]
    within = result.auroc_within_strata
    return within is not None and within.low > 0.5
