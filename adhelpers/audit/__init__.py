"""Can a detection be trusted? Decisions beside where the explanations point."""
from .verdicts import ExplainerComparison, compare_explainers, flagged_in_wrong_place

__all__ = ["ExplainerComparison", "compare_explainers", "flagged_in_wrong_place"]
