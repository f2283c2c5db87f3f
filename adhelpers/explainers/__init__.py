"""Where an anomaly score comes from: LIME, SHAP and baselines for any ``score(images) -> (n,)``."""
from .baselines import centre_prior, noise, residual_map, uniform
from .batch import Explanations, explain_images
from .explanation import Explanation
from .lime import explain_with_lime
from .shap import explain_with_shap
from .superpixels import segment_superpixels

__all__ = ["Explanation", "Explanations", "centre_prior", "explain_images", "explain_with_lime", "explain_with_shap", "noise",
           "residual_map", "segment_superpixels", "uniform"]
