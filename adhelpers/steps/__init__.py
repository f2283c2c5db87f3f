"""The steps from images to a report: what notebooks and commands call."""

from .assess import (
    Assessment,
    DetectorComparison,
    ImageAssessment,
    assess_detector,
    compare_detectors,
)
from .audit import Audit, audit_detector
from .explain import ExplainedImages, ExplainerSettings, explain_detector, superpixel_example
from .findings import as_markdown, sentences
from .gallery import Strips, examples, on_photographs, overview, reconstructions, save_gallery
from .localization import LocalizationAudit, audit_localization
from .objects import load_objects, object_facts
from .trust import Shortcuts, Trust, audit_trust, find_shortcuts, rules_page, score_dependence

__all__ = [
    "Assessment",
    "Audit",
    "DetectorComparison",
    "ExplainedImages",
    "ExplainerSettings",
    "ImageAssessment",
    "LocalizationAudit",
    "Shortcuts",
    "Strips",
    "Trust",
    "as_markdown",
    "assess_detector",
    "audit_detector",
    "audit_localization",
    "audit_trust",
    "compare_detectors",
    "examples",
    "explain_detector",
    "find_shortcuts",
    "load_objects",
    "object_facts",
    "on_photographs",
    "overview",
    "reconstructions",
    "rules_page",
    "save_gallery",
    "score_dependence",
    "sentences",
    "superpixel_example",
]
