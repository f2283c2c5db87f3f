"""Detectors that come from outside: an ONNX file, a Python object, a folder of anomaly maps."""

from .base import ForeignDetector
from .map_folder import StoredMaps, read_maps
from .onnx_file import OnnxDetector
from .preprocessing import Preprocessing
from .python_object import import_object, wrap_detector, wrap_functions

__all__ = [
    "ForeignDetector",
    "OnnxDetector",
    "Preprocessing",
    "StoredMaps",
    "import_object",
    "read_maps",
    "wrap_detector",
    "wrap_functions",
]
