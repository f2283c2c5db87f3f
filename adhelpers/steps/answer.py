"""The answer of a run: whether the audited detector can be used, and what to look at first."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from adhelpers._shared.stages import stage
from adhelpers.audit import (
    Decisions,
    RepairSettings,
    VerdictSummary,
    Wording,
    find_answer,
    most_instructive,
    repair_test,
    verdict_summary,
    verdicts,
)

from .assess import ImageAssessment
from .audit import Audit
from .findings import HasFindings, leading_findings
from .run_answer import RunAnswer
from .trust import Shortcuts, object_regions, score_dependence

_LOOK_FIRST = 3
_FOUND_FOR_THE_DEFECT = (
    "right reason",
    "right reason, explained too coarsely",
    "right reason, badly explained",
    "right place",
)
_BY_PLACE = Wording(
    found="defects are flagged with the map on the defect (without the model no repair was tested)",
    counted="only flags whose map is on the defect",
)
_NOT_VERIFIABLE = Wording(
    unknown="nothing that could be pasted over a defect keeps good images normal to this detector, "
    "so no repair can say what raised its flags"
)


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
        replace(
            _decisions(one.title, audit.trust.summaries[audit.explainer]),
            # Who asks for a rule with labels has scores of good images and knows.
            fitted_to_test=one.threshold.uses_test_labels and not len(one.reference_scores),
        ),
        other,
        shortcut=shortcut,
        proves_skill=not shortcut or _proves_skill(one, shortcuts, seed),
        leaks=shortcuts.leaked,
    )
    first = most_instructive(audit.verdicts, one.scores, one.threshold, count=_LOOK_FIRST)
    names = one.category.test.names
    return RunAnswer(
        found,
        audit.verdict_table(),
        [(str(names[index]), str(audit.verdicts[index])) for index in first],
        [audit.strips.figure(int(index)) for index in first],
        leading_findings((audit.trust, *results)),
    )


def _decisions(title: str, summary: VerdictSummary) -> Decisions:
    """The counts of verdicts as the answer takes them."""
    caused = sum(summary.count(name) for name in _FOUND_FOR_THE_DEFECT)
    false_alarms = summary.count("false alarm")
    missed = summary.count("missed")
    by_place = not np.isnan(summary.in_place)
    known = by_place or not np.isnan(summary.trust_adjusted_recall)
    wording = _BY_PLACE if by_place else Wording()
    if summary.count("flagged, not verifiable"):
        wording = _NOT_VERIFIABLE
    return Decisions(
        title,
        good=summary.count("passed") + false_alarms,
        false_alarms=false_alarms,
        defective=summary.flagged + missed,
        flagged=summary.flagged,
        caused=caused if known else None,
        wording=wording,
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
