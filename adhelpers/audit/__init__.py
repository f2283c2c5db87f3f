"""Can a detection be trusted? Decisions beside where the explanations point."""

from .answer import Answer, AnswerCriteria, Decisions, Wording, find_answer
from .coarseness import too_coarse
from .deletion import DeletionInsertion, deletion_insertion
from .explanations import (
    REASONS,
    Agreement,
    audit_agreement,
    decision_reasons,
    explanations_to_learn_from,
    review_labels,
    unfaithfulness,
)
from .localization import ExplainerComparison, compare_explainers, flagged_in_wrong_place
from .repair import RepairResult, RepairSettings, paste_region, repair_test, repaired
from .review import ReviewCurve, review_curve
from .shortcuts import (
    ShortcutDependence,
    ShortcutProbe,
    dependence_findings,
    probe_shortcuts,
    shortcut_dependence,
)
from .statistics import has_measurable_outside, image_statistics, regions_to_leave_out
from .verdict_counts import VerdictSummary, most_instructive, verdict_summary
from .verdicts import unrepaired_verdicts, verdict_rules, verdicts

__all__ = [
    "REASONS",
    "Agreement",
    "Answer",
    "AnswerCriteria",
    "Decisions",
    "DeletionInsertion",
    "ExplainerComparison",
    "RepairResult",
    "RepairSettings",
    "ReviewCurve",
    "ShortcutDependence",
    "ShortcutProbe",
    "VerdictSummary",
    "Wording",
    "find_answer",
    "audit_agreement",
    "compare_explainers",
    "decision_reasons",
    "deletion_insertion",
    "dependence_findings",
    "explanations_to_learn_from",
    "flagged_in_wrong_place",
    "has_measurable_outside",
    "image_statistics",
    "most_instructive",
    "paste_region",
    "probe_shortcuts",
    "regions_to_leave_out",
    "repair_test",
    "repaired",
    "review_curve",
    "review_labels",
    "shortcut_dependence",
    "too_coarse",
    "unfaithfulness",
    "unrepaired_verdicts",
    "verdict_rules",
    "verdict_summary",
    "verdicts",
]
