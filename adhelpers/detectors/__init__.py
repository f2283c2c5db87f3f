"""Anomaly detectors that are trained on good images only."""
from .anogan import AnoGAN
from .base import Detector, check_images, read_manifest
from .cae import ARCHITECTURES, CAE, COPYING_ARCHITECTURES, build_autoencoder, copied_share
from .dcgan import build_dcgan_discriminator, build_dcgan_generator, build_latent_encoder
from .gan_training import differentiable_augmentation, gan_losses, gradient_penalty, spread
from .latent_search import LatentSearch
from .learning_rate import LearningRateSweep, find_learning_rate, learning_rate_factor, suggested_rate
from .losses import (
    adversarial_loss, binary_cross_entropy, discriminator_loss, kl_divergence, multiscale_dissimilarity, squared_error, structural_dissimilarity,
)
from .residuals import ReconstructionDetector, ResidualScore, smooth
from .similarity import gaussian_kernel, multiscale_similarity, structural_similarity
from .subspace import Subspace, plant_patches
from .training import Augmentation, Trainable, TrainingPlan, fit_or_load, train
from .vae_gan import VAEGAN, build_decoder, build_discriminator, build_encoder

__all__ = [
    "ARCHITECTURES", "COPYING_ARCHITECTURES", "AnoGAN", "Augmentation", "CAE", "Detector", "LatentSearch", "LearningRateSweep",
    "ReconstructionDetector", "ResidualScore", "Subspace", "Trainable", "TrainingPlan", "VAEGAN", "adversarial_loss",
    "binary_cross_entropy", "build_autoencoder", "build_dcgan_discriminator", "build_dcgan_generator", "build_decoder",
    "build_discriminator", "build_encoder", "build_latent_encoder", "check_images", "copied_share",
    "differentiable_augmentation", "discriminator_loss", "find_learning_rate", "fit_or_load", "gan_losses", "gaussian_kernel",
    "gradient_penalty", "kl_divergence", "learning_rate_factor", "multiscale_dissimilarity", "multiscale_similarity",
    "plant_patches", "read_manifest", "smooth", "spread", "squared_error", "structural_dissimilarity", "structural_similarity",
    "suggested_rate", "train",
]
