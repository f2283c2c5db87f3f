"""Figures on scores, decisions and heatmaps, tested against slow versions or closed forms."""

from .area_tuning import (
    PUBLISHED_STEPS,
    AreaChoice,
    AreaGrid,
    AreaTuning,
    eight_bit,
    tune_area,
)
from .aupimo import aupimo_estimate
from .chance import chance_levels, paired_difference
from .comparison import AurocComparison, compare_aurocs, holm
from .components import area_levels
from .detection import (
    DetectionReport,
    accuracy,
    auroc_difference,
    auroc_estimate,
    confusion,
    detection_report,
    f1_score,
    image_auroc,
)
from .drift import DriftReport, find_drift, light_and_sharpness
from .intervals import (
    Estimate,
    bootstrap,
    bounded_mean,
    checked_resampling,
    ranking_interval,
    resample_counts,
    share_estimate,
)
from .localization import (
    explained_region,
    good_image_threshold,
    localization_table,
    optimal_jaccards,
)
from .ranks import FEWEST, POST_HOC, RankComparison, compare_ranks
from .regions import pixel_report, segmentation_report
from .thresholds import (
    Threshold,
    expected_false_alarm_rate,
    gmean_threshold,
    midpoint_threshold,
    normal_quantile,
)

__all__ = [
    "PUBLISHED_STEPS",
    "AreaChoice",
    "AreaGrid",
    "AreaTuning",
    "AurocComparison",
    "DetectionReport",
    "DriftReport",
    "Estimate",
    "FEWEST",
    "POST_HOC",
    "RankComparison",
    "Threshold",
    "accuracy",
    "area_levels",
    "aupimo_estimate",
    "auroc_difference",
    "auroc_estimate",
    "bootstrap",
    "bounded_mean",
    "chance_levels",
    "checked_resampling",
    "compare_aurocs",
    "compare_ranks",
    "confusion",
    "detection_report",
    "eight_bit",
    "expected_false_alarm_rate",
    "explained_region",
    "f1_score",
    "find_drift",
    "gmean_threshold",
    "good_image_threshold",
    "holm",
    "image_auroc",
    "light_and_sharpness",
    "localization_table",
    "midpoint_threshold",
    "normal_quantile",
    "optimal_jaccards",
    "paired_difference",
    "pixel_report",
    "ranking_interval",
    "resample_counts",
    "segmentation_report",
    "share_estimate",
    "tune_area",
]
