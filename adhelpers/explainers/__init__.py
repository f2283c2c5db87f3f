"""Where a score or a class comes from: LIME, SHAP, occlusion, repair, GradCAM, baselines."""

from .baselines import centre_prior, noise, residual_map, uniform
from .batch import Explanations, explain_images
from .composed import RegionScores
from .explanation import BatchedScore, Explanation, check_pair, versioned
from .gradcam import class_maps, explain_with_gradcam
from .lime import Sampling, explain_with_lime
from .occlusion import explain_with_occlusion
from .repair import explain_with_repair
from .shap import explain_with_shap
from .superpixels import Superpixels

__all__ = [
    "BatchedScore",
    "Explanation",
    "Explanations",
    "RegionScores",
    "Sampling",
    "Superpixels",
    "centre_prior",
    "check_pair",
    "class_maps",
    "explain_images",
    "explain_with_gradcam",
    "explain_with_lime",
    "explain_with_occlusion",
    "explain_with_repair",
    "explain_with_shap",
    "noise",
    "residual_map",
    "uniform",
    "versioned",
]
