"""The one training loop, its plan, augmentation and losses; it knows no detector."""

from .augmentation import Augmentation
from .checkpoints import remove_checkpoint
from .learning_rate import (
    LearningRateSweep,
    find_learning_rate,
    learning_rate_factor,
    suggested_rate,
)
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
from .similarity import gaussian_kernel, multiscale_similarity, structural_similarity

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
    "learning_rate_factor",
    "multiscale_dissimilarity",
    "multiscale_similarity",
    "remove_checkpoint",
    "squared_error",
    "structural_dissimilarity",
    "structural_similarity",
    "suggested_rate",
    "train",
]
