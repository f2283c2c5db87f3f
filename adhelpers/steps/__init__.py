"""The steps from images to a report: what notebooks and commands call."""

from adhelpers._shared.text import listed

from .all_runs import FoundRuns, audit_runs, find_runs, stand_in
from .anogan import (
    GeneratedSamples,
    SearchGain,
    anogan_figures,
    compare_scores,
    make_anogan,
    search_figure,
    without_search,
)
from .answer import answer_run
from .assess import assess_detector, compare_detectors
from .audit import Audit, audit_explained
from .audited import choose_audited
from .autoencoders import (
    autoencoder_facts,
    autoencoder_figures,
    compare_architectures,
    decide_by_area,
    inspection_figures,
    train_autoencoder,
)
from .classifier_audit import audit_decisions, learn_explanations, map_detector
from .classifier_data import InsulatorSet, load_task
from .classifier_decisions import decide_task, train_classifier
from .counterparts import choose_counterpart
from .data_settings import suggest_settings
from .deep_sad import assess_deep_sad, split_facts, train_deep_sad, write_run
from .deep_sad_baselines import compare_baselines
from .deep_sad_figures import attribution_figure, deep_sad_figures, extreme_grids, sample_figure
from .deep_sad_settings import read_settings
from .detector_report import audit_detector, write_given
from .explain import ExplainerSettings, explain_detector
from .export import export_detector
from .features import (
    backbone_table,
    feature_makers,
    gan_maker,
    published_way,
    run_contest,
    selection_table,
    simple_detectors,
)
from .findings import as_markdown, sentences
from .gallery import examples, on_photographs, overview, reconstructions
from .given import assess_given, open_detector
from .given_audit import audit_given, audit_maps_alone, explain_given
from .given_budget import plan_budget
from .label_curve import run_label_curve
from .localization import audit_localization
from .objects import load_objects, object_facts
from .predict import predict
from .sample_answer import answer_classifier, answer_samples
from .training_figures import loss_figure
from .trust import Effort, audit_trust, find_shortcuts, rules_page, score_dependence

__all__ = [
    "Effort",
    "Audit",
    "ExplainerSettings",
    "FoundRuns",
    "GeneratedSamples",
    "InsulatorSet",
    "SearchGain",
    "anogan_figures",
    "answer_classifier",
    "answer_run",
    "answer_samples",
    "as_markdown",
    "assess_deep_sad",
    "assess_detector",
    "assess_given",
    "attribution_figure",
    "audit_decisions",
    "audit_detector",
    "audit_explained",
    "audit_given",
    "audit_localization",
    "audit_maps_alone",
    "audit_runs",
    "audit_trust",
    "autoencoder_facts",
    "autoencoder_figures",
    "backbone_table",
    "choose_audited",
    "choose_counterpart",
    "compare_architectures",
    "compare_baselines",
    "compare_detectors",
    "compare_scores",
    "decide_by_area",
    "decide_task",
    "deep_sad_figures",
    "examples",
    "explain_detector",
    "explain_given",
    "export_detector",
    "extreme_grids",
    "feature_makers",
    "find_runs",
    "find_shortcuts",
    "gan_maker",
    "inspection_figures",
    "learn_explanations",
    "listed",
    "load_objects",
    "make_anogan",
    "load_task",
    "loss_figure",
    "map_detector",
    "object_facts",
    "on_photographs",
    "open_detector",
    "overview",
    "predict",
    "plan_budget",
    "published_way",
    "read_settings",
    "reconstructions",
    "rules_page",
    "run_contest",
    "run_label_curve",
    "sample_figure",
    "score_dependence",
    "search_figure",
    "selection_table",
    "sentences",
    "simple_detectors",
    "split_facts",
    "stand_in",
    "suggest_settings",
    "train_autoencoder",
    "train_classifier",
    "train_deep_sad",
    "without_search",
    "write_given",
    "write_run",
]
