"""A fitted detector as an ONNX file: what was audited is what runs elsewhere, without TensorFlow.

The graph is converted from the detector's own TensorFlow code by tf2onnx, so that the smoothing,
its mirrored borders and the reduction to a score are in the file. Input and outputs:

- ``image``: float32 (n, h, w, c) in [0, 1], channels last as everywhere in this suite; n is free
- ``anomaly_map``: float32 (n, h, w)
- ``score``: float32 (n,)

onnx, onnxruntime and tf2onnx are imported where they are used: only an export needs them.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from adhelpers._shared.arrays import Images
from adhelpers._shared.checks import checked_images
from adhelpers._shared.files import replacing

from .base import Detector
from .features.detector import cells_to_map
from .features.memory_bank import MemoryBank
from .residuals import ReconstructionDetector

# Version 17 of the operators is the newest that ONNX Runtime reads since 2022.
_OPSET, _IR_VERSION = 17, 8
# Largest difference from the detector's own values, as a share of their size.
_TOLERANCE = 1e-4
_PREFIX = "adhelpers."
# A message of protobuf holds no more than 2 GiB.
_MOST_BYTES = 2_000_000_000
_HALF_LARGEST = float(np.finfo(np.float16).max)

_Outputs = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Exported:
    """What `export_onnx` wrote.

    Attributes
    ----------
    path : Path
    image_shape : tuple of int
        The (h, w, c) that the file takes.
    score_difference : float
        Largest difference of a score from the detector's own, divided by the median of these.
    map_difference : float
        Largest difference of a map's value, divided by the median of the maps' maxima.
    images : int
        Number of images that were compared.
    """

    path: Path
    image_shape: tuple[int, ...]
    score_difference: float
    map_difference: float
    images: int

    def findings(self) -> list[str]:
        """What the file takes and gives, and how well it agrees with the detector."""
        shape = ", ".join(map(str, self.image_shape))
        return [
            f"{self.path} takes image: float32 (n, {shape}) in [0, 1], and gives anomaly_map: "
            f"float32 (n, {self.image_shape[0]}, {self.image_shape[1]}) and score: float32 (n,).",
            f"On {self.images} images its scores differ from the detector's by at most "
            f"{self.score_difference:.1e} of the median score, its maps by at most "
            f"{self.map_difference:.1e} of the median maximum (allowed: {_TOLERANCE:.0e}).",
        ]


def export_onnx(
    detector: Detector,
    path: str | Path,
    *,
    images: Images | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Exported:
    """Write a fitted detector as an ONNX file whose scores and maps are the detector's own.

    Before anything is written the graph runs in ONNX Runtime and is compared with the detector. All
    scores of `ResidualScore` can be exported except ``"area"``.

    Parameters
    ----------
    detector : Detector
        A fitted `Subspace`, `VAEGAN`, `CAE`, another `ReconstructionDetector`, or `MemoryBank`.
    path : str or Path
        Ends in ``.onnx``; a file that is there is replaced.
    images : ndarray of float32, shape (n, h, w, c), optional
        Images on which detector and file are compared. By default noise, flat images, and the
        counterparts of both, each plain and with a dark and a bright square.
    metadata : dict of str to str, optional
        Written into the file's metadata, each name with ``adhelpers.`` in front. The detector's
        class and title are always in it.

    Returns
    -------
    Exported

    Raises
    ------
    ValueError
        If the detector or its score cannot be exported, the file would be larger than ONNX
        allows, or a score or map differs by more than 1e-4 of its size (see `Exported`).
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from adhelpers.detectors import Subspace
    >>> good = np.random.default_rng(0).uniform(size=(12, 32, 32, 1)).astype("float32")
    >>> detector = Subspace(n_components=3).fit(good[:8], good[8:])
    >>> exported = export_onnx(detector, Path(tempfile.mkdtemp()) / "subspace.onnx")
    >>> exported.image_shape, exported.score_difference < 1e-4
    ((32, 32, 1), True)
    """
    path = Path(path)
    if path.suffix != ".onnx" or path.is_dir():
        raise ValueError(f"{path} must be the name of a file that ends in .onnx")
    title = detector.title or detector.name
    _check_kind(detector, title)
    detector._require_fitted()
    shape = tuple(detector.image_shape or ())
    if images is None:
        images = _probes(detector, shape)
    else:
        images = checked_images(images, shape)
    properties = {"detector": type(detector).__name__, "title": title, **(metadata or {})}
    content = _converted(detector, title, shape, properties)
    score, maps = _differences(detector, content, images)
    exported = Exported(path, shape, score, maps, len(images))
    for what, difference in (("scores", score), ("anomaly maps", maps)):
        # Not a number is no agreement either.
        if not difference <= _TOLERANCE:
            raise ValueError(
                f"{path} was not written: its {what} would differ from those of the {title} by "
                f"{difference:.1e} of their size, and {_TOLERANCE:.0e} is allowed"
            )
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return exported


def _check_kind(detector: Detector, title: str) -> None:
    """Refuse what ONNX cannot compute as the detector does."""
    if not isinstance(detector, (ReconstructionDetector, MemoryBank)):
        raise ValueError(
            f"a {type(detector).__name__} cannot be exported to ONNX; what can is Subspace, "
            "VAEGAN, CAE and MemoryBank"
        )
    scoring = getattr(detector, "scoring", None)
    if scoring is not None and scoring.score == "area":
        raise ValueError(
            "score 'area' cannot be exported: ONNX has no operator for connected regions; "
            "load the detector with another ResidualScore"
        )
    backbone = getattr(detector, "backbone", None)
    precision = getattr(backbone if backbone is not None else detector, "precision", "float32")
    if precision != "float32":
        raise ValueError(
            f"the {title} computes in {precision}, whose rounding ONNX Runtime does not share on "
            "a processor: train it with precision 'float32'"
        )


def _graph(detector: Detector) -> Callable[[tf.Tensor], _Outputs]:
    """The detector's map and score as a function of TensorFlow alone."""
    if isinstance(detector, MemoryBank):
        return _memory_bank_graph(detector)
    assert isinstance(detector, ReconstructionDetector)
    scoring = detector.scoring

    def outputs(image: tf.Tensor) -> _Outputs:
        maps = scoring.map_of(image, detector.reconstruct_tensor(image))
        return {"anomaly_map": maps, "score": scoring.reduce(maps)}

    return outputs


def _memory_bank_graph(detector: MemoryBank) -> Callable[[tf.Tensor], _Outputs]:
    """As the detector computes, with its search for neighbours in operators of TensorFlow."""
    search, scale = detector._search, detector._arrays["scale"]
    bank, lengths, centre = search._bank, search._lengths, search._centre
    rows, columns = detector.features.grid(detector.network.image_shape)

    def outputs(image: tf.Tensor) -> _Outputs:
        features = _rounded(
            detector.features.of_maps(detector.network.maps(image), detector.network.image_shape)
        )
        patches = tf.reshape(features * scale, (-1, features.shape[-1])) - centre
        # As in NeighbourSearch: candidates by a product, which loses digits, then the differences.
        closeness = 2 * tf.matmul(patches, tf.transpose(tf.constant(bank))) - lengths
        found = tf.math.top_k(closeness, detector.neighbours).indices
        nearest = tf.gather(tf.constant(bank), found)
        distances = tf.sqrt(tf.reduce_sum((patches[:, None] - nearest) ** 2, axis=-1))
        cells = tf.reshape(tf.reduce_mean(distances, axis=-1), (-1, rows, columns))
        maps = cells_to_map(cells, detector.network.image_shape, detector.smoothing)
        return {"anomaly_map": maps, "score": tf.reduce_max(maps, axis=(1, 2))}

    return outputs


def _rounded(features: tf.Tensor) -> tf.Tensor:
    """Each image's features in half precision, as they are compared, unless one is beyond it.

    Optimisers of graphs leave out a cast that is followed by the one back, so that the 11 binary
    digits are kept by Veltkamp's splitting (Dekker, "A floating-point technique for extending the
    available precision", 1971).
    """
    largest = tf.reduce_max(tf.abs(features), axis=(1, 2, 3), keepdims=True)
    product = features * (2.0**13 + 1)
    half = product - (product - features)
    return tf.where(largest < _HALF_LARGEST, half, features)


def _converted(
    detector: Detector, title: str, shape: tuple[int, ...], metadata: Mapping[str, str]
) -> bytes:
    """The content of the ONNX file."""
    if isinstance(detector, MemoryBank) and 2 * detector._search._bank.nbytes > _MOST_BYTES:
        raise ValueError(
            f"the {title} keeps {detector.bank_size} patches, more than an ONNX file can hold "
            "(2 GB): fit it with a smaller coreset"
        )
    import onnx
    import tf2onnx

    signature = [tf.TensorSpec((None, *shape), tf.float32, name="image")]
    with _only_errors():
        model, _ = tf2onnx.convert.from_function(
            tf.function(_graph(detector)), input_signature=signature, opset=_OPSET
        )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    model.ir_version = min(model.ir_version, _IR_VERSION)
    model.producer_name, model.graph.name = "adhelpers", type(detector).__name__
    onnx.helper.set_model_props(model, {_PREFIX + name: text for name, text in metadata.items()})
    unknown = sorted({node.op_type for node in model.graph.node if not _is_known(node)})
    if unknown or [one.name for one in model.graph.input] != ["image"]:
        what = ", ".join(unknown) or "a part of its network"
        raise ValueError(f"the {title} cannot be exported: ONNX has no operator for {what}")
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _is_known(node: Any) -> bool:
    """Whether ONNX defines a node; tf2onnx leaves what it cannot convert as it is."""
    import onnx

    return bool(node.domain in ("", "ai.onnx") and onnx.defs.has(node.op_type))


@contextmanager
def _only_errors() -> Iterator[None]:
    """Keep remarks on the inner life of TensorFlow's graphs to tf2onnx."""
    logger = logging.getLogger("tf2onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _probes(detector: Detector, shape: tuple[int, ...]) -> Images:
    """Images from easy to strange: counterparts, which look good, with and without squares."""
    random = np.random.default_rng(0)
    plain = np.stack(
        [random.uniform(size=shape), np.full(shape, 0.5), random.uniform(0.4, 0.6, size=shape)]
    ).astype(np.float32)
    plain = np.concatenate([plain, detector.counterpart(plain)])
    planted = [plain.copy(), plain.copy()]
    top, left, side = shape[0] // 3, shape[1] // 4, max(2, min(shape[:2]) // 8)
    for images, level in zip(planted, (0.0, 1.0), strict=True):
        images[:, top : top + side, left : left + side] = level
    return np.concatenate([plain, *planted])


def _differences(detector: Detector, content: bytes, images: Images) -> tuple[float, float]:
    """How far scores and maps of the file lie from the detector's, as shares of their size."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found = [
        session.run(["score", "anomaly_map"], {"image": images[place]})
        # One alone and all others at once: n is free.
        for place in (slice(1), slice(1, None))
        if len(images[place])
    ]
    scores, maps = (np.concatenate(part) for part in zip(*found, strict=True))
    own = detector.anomaly_map(images)
    return (
        _difference(scores, detector.score(images), detector.score(images)),
        _difference(maps, own, own.max(axis=(1, 2))),
    )


def _difference(found: NDArray[Any], own: NDArray[Any], sizes: NDArray[Any]) -> float:
    scale = max(float(np.median(np.abs(sizes))), float(np.finfo(np.float32).tiny))
    return float(np.abs(found - own).max()) / scale
