"""Anomaly detectors that are trained on good images only."""
from .base import Detector, check_images, read_manifest
from .learning_rate import LearningRateSweep, find_learning_rate, learning_rate_factor, suggested_rate
from .losses import adversarial_loss, binary_cross_entropy, discriminator_loss, kl_divergence, squared_error
from .residuals import ReconstructionDetector, ResidualScore, gaussian_kernel, smooth, structural_similarity
from .subspace import Subspace, plant_patches
from .training import Augmentation, Trainable, TrainingPlan, fit_or_load, train
from .vae_gan import VAEGAN, build_decoder, build_discriminator, build_encoder

__all__ = [
    "Augmentation", "Detector", "ReconstructionDetector", "ResidualScore", "Subspace", "Trainable", "TrainingPlan", "VAEGAN",
    "adversarial_loss", "binary_cross_entropy", "build_decoder", "build_discriminator", "build_encoder", "check_images",
    "discriminator_loss", "fit_or_load", "gaussian_kernel", "kl_divergence", "plant_patches", "read_manifest", "smooth",
    "squared_error", "structural_similarity", "train",
]
