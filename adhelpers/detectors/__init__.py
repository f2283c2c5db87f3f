"""Anomaly detectors trained on good images; one takes a few labelled anomalies as well."""

from .anogan.detector import AnoGAN
from .anogan.latent_search import Search
from .anogan.settings import EncoderPlan, GanScore, GanSettings
from .base import Detector
from .cae import CAE
from .classifier import Classifier
from .counterparts import (
    CounterpartMaker,
    LinearReconstruction,
    NearestGood,
    PatchBlend,
    inpainted,
)
from .deep_sad import DeepSAD
from .features import (
    BackboneSettings,
    FeatureSettings,
    FeatureSubspace,
    FeatureSVM,
    MemoryBank,
    SVMSelection,
    feature_cache,
    has_imagenet_weights,
)
from .foreign import (
    ForeignDetector,
    OnnxDetector,
    Preprocessing,
    StoredMaps,
    import_object,
    read_maps,
    wrap_detector,
    wrap_functions,
)
from .fusion import Fusion
from .held_out import held_out_scores
from .onnx_export import Exported, export_onnx
from .planted import copied_share, plant_defects
from .record import parsed_record, read_record, record_text, update_record
from .registry import load_detector, register
from .residuals import ReconstructionDetector, ResidualScore
from .shallow import FEWEST_SAMPLES, SHALLOW_METHODS, fit_shallow
from .stored import fit_or_load
from .subspace import Subspace
from .vae_gan import VAEGAN, VAELoss

__all__ = [
    "AnoGAN",
    "BackboneSettings",
    "CAE",
    "Classifier",
    "CounterpartMaker",
    "DeepSAD",
    "FEWEST_SAMPLES",
    "Detector",
    "EncoderPlan",
    "Exported",
    "FeatureSVM",
    "FeatureSettings",
    "FeatureSubspace",
    "ForeignDetector",
    "Fusion",
    "LinearReconstruction",
    "NearestGood",
    "PatchBlend",
    "GanScore",
    "GanSettings",
    "MemoryBank",
    "OnnxDetector",
    "Preprocessing",
    "ReconstructionDetector",
    "ResidualScore",
    "SHALLOW_METHODS",
    "SVMSelection",
    "Search",
    "StoredMaps",
    "Subspace",
    "VAEGAN",
    "VAELoss",
    "copied_share",
    "export_onnx",
    "feature_cache",
    "fit_or_load",
    "fit_shallow",
    "import_object",
    "held_out_scores",
    "inpainted",
    "has_imagenet_weights",
    "load_detector",
    "parsed_record",
    "plant_defects",
    "read_maps",
    "read_record",
    "record_text",
    "register",
    "update_record",
    "wrap_detector",
    "wrap_functions",
]
