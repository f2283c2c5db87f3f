"""Can a detection be trusted? Decisions beside where the explanations point."""
from .repair import DeletionInsertion, RepairResult, deletion_insertion, repair_test, repaired
from .shortcuts import ShortcutProbe, image_statistics, probe_shortcuts, shortcut_dependence
from .verdicts import (
    VERDICTS,
    ExplainerComparison,
    VerdictSummary,
    compare_explainers,
    flagged_in_wrong_place,
    most_instructive,
    verdict_rules,
    verdict_summary,
    verdicts,
)

__all__ = [
    "VERDICTS", "DeletionInsertion", "ExplainerComparison", "RepairResult", "ShortcutProbe", "VerdictSummary",
    "compare_explainers", "deletion_insertion", "flagged_in_wrong_place", "image_statistics", "most_instructive",
    "probe_shortcuts", "repair_test", "repaired", "shortcut_dependence", "verdict_rules", "verdict_summary", "verdicts",
]
