"""Detectors on the features of pretrained networks."""

from .backbones import BackboneSettings, has_imagenet_weights
from .feature_subspace import FeatureSubspace
from .memory_bank import MemoryBank
from .ocsvm import FeatureSVM
from .patches import FeatureSettings, feature_cache
from .svm_selection import SVMSelection

__all__ = [
    "BackboneSettings",
    "FeatureSVM",
    "FeatureSettings",
    "FeatureSubspace",
    "MemoryBank",
    "SVMSelection",
    "feature_cache",
    "has_imagenet_weights",
]
