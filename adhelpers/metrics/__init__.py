"""Figures on scores, decisions and heatmaps, each held against an independent slow version or a closed form."""
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
from .localization import JaccardCurve, OptimalJaccard, explained_region, jaccard_curve, optimal_jaccard, optimal_jaccards
from .regions import aupro, pixel_auroc, pixel_report
from .thresholds import Threshold, gmean_threshold, midpoint_threshold, normal_quantile

__all__ = [
    "DetectionReport", "Estimate", "JaccardCurve", "OptimalJaccard", "Threshold", "accuracy", "aupro", "average_precision",
    "bootstrap", "confusion", "detection_report", "explained_region", "f1_score", "g_mean", "gmean_threshold", "image_auroc",
    "jaccard_curve", "midpoint_threshold", "normal_quantile", "optimal_jaccard", "optimal_jaccards", "pixel_auroc",
    "pixel_report", "recall_by_type",
]
