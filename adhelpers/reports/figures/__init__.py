"""The figures, one file a topic: each returns a matplotlib figure that is drawn without LaTeX."""

from .anogan import sample_film, search_walk
from .autoencoders import (
    area_tuning_curves,
    counterparts_grid,
    learning_rate_curve,
    segmentation_grid,
)
from .deep_sad import label_curve
from .explanations import explanation_grid, review_figure
from .features import contest_figure
from .images import (
    ground_truth_grid,
    image_grid,
    overlay_grid,
    reconstruction_grid,
)
from .localization import explainer_against_explainer, score_against_jaccard
from .ranks import rank_figure
from .repair import deletion_insertion_curves
from .scores import score_separation
from .shortcuts import shortcut_figure
from .strips import sample_strip
from .training import training_curves
from .verdicts import VERDICT_COLORS, verdict_figure

__all__ = [
    "VERDICT_COLORS",
    "area_tuning_curves",
    "contest_figure",
    "counterparts_grid",
    "deletion_insertion_curves",
    "explainer_against_explainer",
    "explanation_grid",
    "ground_truth_grid",
    "image_grid",
    "label_curve",
    "learning_rate_curve",
    "overlay_grid",
    "rank_figure",
    "reconstruction_grid",
    "review_figure",
    "sample_film",
    "sample_strip",
    "score_against_jaccard",
    "score_separation",
    "search_walk",
    "segmentation_grid",
    "shortcut_figure",
    "training_curves",
    "verdict_figure",
]
