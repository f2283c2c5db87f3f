"""The one training loop, its plan, augmentation and losses; it knows no detector."""

from .augmentation import Augmentation
from .checkpoints import remove_checkpoint
from .learning_rate import LearningRateSweep, find_learning_rate
from .loop import PRECISIONS, Trainable, adam, train
from .losses import (
    adversarial_loss,
    binary_cross_entropy,
    discriminator_loss,
    kl_divergence,
    multiscale_dissimilarity,
    squared_error,
    structural_dissimilarity,
)
from .plan import TrainingPlan, WeightDecayPlan
from .similarity import gaussian_kernel, separable, structural_similarity

__all__ = [
    "Augmentation",
    "LearningRateSweep",
    "PRECISIONS",
    "Trainable",
    "TrainingPlan",
    "WeightDecayPlan",
    "adam",
    "adversarial_loss",
    "binary_cross_entropy",
    "discriminator_loss",
    "find_learning_rate",
    "gaussian_kernel",
    "kl_divergence",
    "multiscale_dissimilarity",
    "remove_checkpoint",
    "separable",
    "squared_error",
    "structural_dissimilarity",
    "structural_similarity",
    "train",
]
