"""Figures on scores, decisions and heatmaps, each held against an independent slow version or a closed form."""

from .area_tuning import PUBLISHED_STEPS, AreaTuning, eight_bit, tune_area
from .chance import ChanceLevel, chance_level, chance_levels, paired_difference, shift_distribution
from .comparison import AurocComparison, compare_aurocs, holm
from .detection import (
    DetectionReport,
    accuracy,
    average_precision,
    confusion,
    detection_report,
    f1_score,
    g_mean,
    image_auroc,
    recall_by_type,
)
from .intervals import Estimate, bootstrap
from .localization import (
    JaccardCurve,
    OptimalJaccard,
    explained_region,
    good_image_threshold,
    jaccard_at,
    jaccard_curve,
    localization_table,
    optimal_jaccard,
    optimal_jaccards,
)
from .regions import (
    area_levels,
    aupro,
    component_curve,
    pixel_auroc,
    pixel_report,
    segmentation_report,
)
from .relevance import (
    heatmap_auroc,
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    top_k_intersection,
)
from .thresholds import Threshold, gmean_threshold, midpoint_threshold, normal_quantile

__all__ = [
    "PUBLISHED_STEPS",
    "AreaTuning",
    "AurocComparison",
    "ChanceLevel",
    "DetectionReport",
    "Estimate",
    "JaccardCurve",
    "OptimalJaccard",
    "Threshold",
    "accuracy",
    "area_levels",
    "aupro",
    "average_precision",
    "bootstrap",
    "chance_level",
    "chance_levels",
    "compare_aurocs",
    "component_curve",
    "confusion",
    "detection_report",
    "eight_bit",
    "explained_region",
    "f1_score",
    "g_mean",
    "gmean_threshold",
    "good_image_threshold",
    "heatmap_auroc",
    "holm",
    "image_auroc",
    "jaccard_at",
    "jaccard_curve",
    "localization_table",
    "midpoint_threshold",
    "normal_quantile",
    "optimal_jaccard",
    "optimal_jaccards",
    "paired_difference",
    "pixel_auroc",
    "pixel_report",
    "pointing_game",
    "recall_by_type",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "segmentation_report",
    "shift_distribution",
    "top_k_intersection",
    "tune_area",
]
