"""Figures, galleries, the notebook explorer, and the files that a run leaves."""

from .explore import explore
from .figures import (
    area_tuning_curves,
    contest_figure,
    counterparts_grid,
    deletion_insertion_curves,
    explainer_against_explainer,
    explanation_grid,
    ground_truth_grid,
    image_grid,
    label_curve,
    learning_rate_curve,
    overlay_grid,
    reconstruction_grid,
    review_figure,
    sample_film,
    sample_strip,
    score_against_jaccard,
    score_separation,
    search_walk,
    segmentation_grid,
    shortcut_figure,
    training_curves,
    verdict_figure,
)
from .gallery import Card, write_gallery
from .index import write_index
from .leaderboard import compare_runs
from .maps import MapScale, map_scale
from .notebook_html import notebook_to_html
from .predictions import (
    PredictedCard,
    as_picture,
    csv_row,
    draw_overlay,
    jpeg_bytes,
    strip_webp,
    write_predictions_page,
)
from .results_page import results_to_html
from .sample import Sample
from .saved_figures import save_figure, show_saved_figures
from .strip_picture import sample_webp
from .style import describe
from .summary import SUMMARY_KEYS, versions, write_samples, write_summary

__all__ = [
    "Card",
    "MapScale",
    "PredictedCard",
    "SUMMARY_KEYS",
    "Sample",
    "area_tuning_curves",
    "as_picture",
    "compare_runs",
    "contest_figure",
    "counterparts_grid",
    "csv_row",
    "deletion_insertion_curves",
    "describe",
    "draw_overlay",
    "explainer_against_explainer",
    "explanation_grid",
    "explore",
    "ground_truth_grid",
    "image_grid",
    "jpeg_bytes",
    "label_curve",
    "learning_rate_curve",
    "map_scale",
    "notebook_to_html",
    "overlay_grid",
    "reconstruction_grid",
    "results_to_html",
    "review_figure",
    "sample_film",
    "sample_strip",
    "sample_webp",
    "save_figure",
    "score_against_jaccard",
    "score_separation",
    "search_walk",
    "segmentation_grid",
    "shortcut_figure",
    "strip_webp",
    "show_saved_figures",
    "training_curves",
    "verdict_figure",
    "versions",
    "write_gallery",
    "write_index",
    "write_predictions_page",
    "write_samples",
    "write_summary",
]
