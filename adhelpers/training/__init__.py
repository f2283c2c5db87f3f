"""The one training loop, its plan, augmentation and losses; it knows no detector."""

from .learning_rate import (
    LearningRateSweep,
    find_learning_rate,
    learning_rate_factor,
    suggested_rate,
)
from .loop import Augmentation, Trainable, TrainingPlan, train
from .losses import (
    adversarial_loss,
    binary_cross_entropy,
    discriminator_loss,
    kl_divergence,
    multiscale_dissimilarity,
    squared_error,
    structural_dissimilarity,
)
from .similarity import gaussian_kernel, multiscale_similarity, structural_similarity

__all__ = [
    "Augmentation",
    "LearningRateSweep",
    "Trainable",
    "TrainingPlan",
    "adversarial_loss",
    "binary_cross_entropy",
    "discriminator_loss",
    "find_learning_rate",
    "gaussian_kernel",
    "kl_divergence",
    "learning_rate_factor",
    "multiscale_dissimilarity",
    "multiscale_similarity",
    "squared_error",
    "structural_dissimilarity",
    "structural_similarity",
    "suggested_rate",
    "train",
]
