"""Anomaly detectors that are trained on good images, and one that takes a few labelled anomalies too."""
from .anogan import AnoGAN
from .backbones import BACKBONES, Backbone, hed_weights_file
from .base import Detector, check_images, read_manifest
from .cae import ARCHITECTURES, CAE, COPYING_ARCHITECTURES, build_autoencoder, copied_share
from .dcgan import build_dcgan_discriminator, build_dcgan_generator, build_latent_encoder
from .deep_sad import DeepSAD, deep_sad_centre, deep_sad_losses
from .deep_sad_networks import NETWORKS, build_deep_sad_networks
from .feature_detector import FeatureDetector, cells_to_map, feature_scale, random_projection
from .features import FeatureSettings, compute_features, feature_cache, join_maps, patch_features, pool_maps, pooled_features
from .fusion import Fusion
from .gan_training import differentiable_augmentation, gan_losses, gradient_penalty, spread
from .integrated_gradients import integrated_gradients
from .latent_search import LatentSearch
from .learning_rate import LearningRateSweep, find_learning_rate, learning_rate_factor, suggested_rate
from .losses import (
    adversarial_loss, binary_cross_entropy, discriminator_loss, kl_divergence, multiscale_dissimilarity, squared_error,
    structural_dissimilarity,
)
from .memory_bank import MemoryBank, reweighted_score
from .neighbours import LocalNeighbourSearch, NeighbourSearch, greedy_coreset, nearest_neighbours, neighbour_distances
from .ocsvm import FeatureSVM
from .pipelines import pipeline_score
from .residuals import ReconstructionDetector, ResidualScore, smooth
from .shallow import SHALLOW_METHODS, ShallowModel, fit_shallow
from .similarity import gaussian_kernel, multiscale_similarity, structural_similarity
from .stored import fit_or_load
from .subspace import Subspace, plant_patches
from .svm_selection import choose_nu_and_gamma
from .training import Augmentation, Trainable, TrainingPlan, train
from .vae_gan import VAEGAN, build_decoder, build_discriminator, build_encoder

__all__ = [
    "ARCHITECTURES", "AnoGAN", "Augmentation", "BACKBONES", "Backbone", "CAE", "COPYING_ARCHITECTURES", "DeepSAD",
    "Detector", "FeatureDetector", "FeatureSVM", "FeatureSettings", "Fusion", "LatentSearch", "LearningRateSweep",
    "LocalNeighbourSearch", "MemoryBank", "NETWORKS", "NeighbourSearch", "ReconstructionDetector", "ResidualScore",
    "SHALLOW_METHODS", "ShallowModel", "Subspace", "Trainable", "TrainingPlan", "VAEGAN", "adversarial_loss",
    "binary_cross_entropy", "build_autoencoder", "build_dcgan_discriminator", "build_dcgan_generator", "build_decoder",
    "build_deep_sad_networks", "build_discriminator", "build_encoder", "build_latent_encoder", "cells_to_map",
    "check_images", "choose_nu_and_gamma", "compute_features", "copied_share", "deep_sad_centre", "deep_sad_losses",
    "differentiable_augmentation", "discriminator_loss", "feature_cache", "feature_scale", "find_learning_rate",
    "fit_or_load", "fit_shallow", "gan_losses", "gaussian_kernel", "gradient_penalty", "greedy_coreset", "hed_weights_file",
    "integrated_gradients", "join_maps", "kl_divergence", "learning_rate_factor", "multiscale_dissimilarity",
    "multiscale_similarity", "nearest_neighbours", "neighbour_distances", "patch_features", "pipeline_score",
    "plant_patches", "pool_maps", "pooled_features", "random_projection", "read_manifest", "reweighted_score", "smooth",
    "spread", "squared_error", "structural_dissimilarity", "structural_similarity", "suggested_rate", "train",
]
