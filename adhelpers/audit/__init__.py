"""Can a detection be trusted? Decisions beside where the explanations point."""
from .shortcuts import ShortcutProbe, image_statistics, probe_shortcuts, shortcut_dependence
from .verdicts import ExplainerComparison, compare_explainers, flagged_in_wrong_place

__all__ = [
    "ExplainerComparison", "ShortcutProbe", "compare_explainers", "flagged_in_wrong_place", "image_statistics", "probe_shortcuts",
    "shortcut_dependence",
]
