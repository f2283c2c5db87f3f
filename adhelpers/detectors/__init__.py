"""Anomaly detectors trained on good images; one takes a few labelled anomalies as well."""

from .anogan.detector import AnoGAN
from .anogan.latent_search import Search
from .anogan.settings import EncoderPlan, GanScore, GanSettings
from .base import Detector, Model
from .cae import CAE
from .cae_networks import ARCHITECTURES, COPYING_ARCHITECTURES, build_autoencoder
from .classifier import Classifier
from .deep_sad import DeepSAD
from .features.backbones import BACKBONES, Backbone, hed_weights_file
from .features.detector import FeatureDetector, cells_to_map, feature_scale, random_projection
from .features.memory_bank import MemoryBank, reweighted_score
from .features.neighbours import (
    LocalNeighbourSearch,
    NeighbourSearch,
    greedy_coreset,
    nearest_neighbours,
    neighbour_distances,
)
from .features.ocsvm import FeatureSVM
from .features.patches import (
    FeatureSettings,
    compute_features,
    feature_cache,
    join_maps,
    patch_features,
    pool_maps,
    pooled_features,
)
from .features.pipelines import pipeline_score
from .features.svm_selection import choose_nu_and_gamma
from .fusion import Fusion
from .integrated_gradients import integrated_gradients
from .manifest import read_manifest
from .planted import copied_share, plant_patches
from .registry import detector_class, load_detector, register
from .residuals import ReconstructionDetector, ResidualScore, smooth
from .shallow import SHALLOW_METHODS, fit_shallow
from .stored import fit_or_load
from .subspace import Subspace
from .vae_gan import VAEGAN, VAELoss, build_decoder, build_discriminator, build_encoder

__all__ = [
    "ARCHITECTURES",
    "AnoGAN",
    "BACKBONES",
    "Backbone",
    "CAE",
    "COPYING_ARCHITECTURES",
    "Classifier",
    "DeepSAD",
    "Detector",
    "EncoderPlan",
    "FeatureDetector",
    "FeatureSVM",
    "FeatureSettings",
    "Fusion",
    "GanScore",
    "GanSettings",
    "LocalNeighbourSearch",
    "MemoryBank",
    "Model",
    "NeighbourSearch",
    "ReconstructionDetector",
    "ResidualScore",
    "SHALLOW_METHODS",
    "Search",
    "Subspace",
    "VAEGAN",
    "VAELoss",
    "build_autoencoder",
    "build_decoder",
    "build_discriminator",
    "build_encoder",
    "cells_to_map",
    "choose_nu_and_gamma",
    "compute_features",
    "copied_share",
    "detector_class",
    "feature_cache",
    "feature_scale",
    "fit_or_load",
    "fit_shallow",
    "greedy_coreset",
    "hed_weights_file",
    "integrated_gradients",
    "join_maps",
    "load_detector",
    "nearest_neighbours",
    "neighbour_distances",
    "patch_features",
    "pipeline_score",
    "plant_patches",
    "pool_maps",
    "pooled_features",
    "random_projection",
    "read_manifest",
    "register",
    "reweighted_score",
    "smooth",
]
