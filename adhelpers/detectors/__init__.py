"""Anomaly detectors that are trained on good images only."""
from .anogan import AnoGAN
from .base import Detector, check_images, read_manifest
from .dcgan import build_dcgan_discriminator, build_dcgan_generator, build_latent_encoder
from .gan_training import differentiable_augmentation, gan_losses, gradient_penalty, spread
from .latent_search import LatentSearch
from .learning_rate import LearningRateSweep, find_learning_rate, learning_rate_factor, suggested_rate
from .losses import adversarial_loss, binary_cross_entropy, discriminator_loss, kl_divergence, squared_error
from .residuals import ReconstructionDetector, ResidualScore, gaussian_kernel, smooth, structural_similarity
from .subspace import Subspace, plant_patches
from .training import Augmentation, Trainable, TrainingPlan, fit_or_load, train
from .vae_gan import VAEGAN, build_decoder, build_discriminator, build_encoder

__all__ = [
    "AnoGAN", "Augmentation", "Detector", "LatentSearch", "ReconstructionDetector", "ResidualScore", "Subspace", "Trainable",
    "TrainingPlan", "VAEGAN", "adversarial_loss", "binary_cross_entropy", "build_dcgan_discriminator", "build_dcgan_generator",
    "build_decoder", "build_discriminator", "build_encoder", "build_latent_encoder", "check_images",
    "differentiable_augmentation", "discriminator_loss", "fit_or_load", "gan_losses", "gaussian_kernel", "gradient_penalty",
    "kl_divergence", "plant_patches", "read_manifest", "smooth", "spread", "squared_error", "structural_similarity", "train",
]
