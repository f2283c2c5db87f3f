"""A detector as it is used on new images: how they are read, its threshold, its decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from adhelpers._shared.arrays import Images, Maps, Scores
from adhelpers.data import ImageReader
from adhelpers.detectors import (
    Detector,
    OnnxDetector,
    load_detector,
    parsed_record,
    read_record,
)
from adhelpers.metrics import Threshold

_RECORD = "adhelpers.record"
_TITLE = "adhelpers.title"
_AS_GIVEN = {"color": "rgb", "illumination": "none", "pose": "none", "crop": "none", "margin": 0.0}


class _Scoring(Protocol):
    """What is asked of a detector."""

    def score(self, images: Images) -> Scores:
        """One number for each image."""

    def anomaly_map(self, images: Images) -> Maps:
        """Where the score comes from."""


@dataclass(frozen=True)
class Box:
    """A region of a photograph in its own pixels: left, top, width and height."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Inspector:
    """A detector with all that it takes to decide on a file.

    Attributes
    ----------
    title : str
    detector : object
        With ``score`` and ``anomaly_map``.
    reader : ImageReader
    threshold : Threshold or None
        None where none is known: then there are scores and no decisions.
    statistics : dict of str to list of float
        Of the images that the detector was made for; empty where they are not known.
    facts : list of str
        What a report says about the detector.
    """

    title: str
    detector: _Scoring
    reader: ImageReader
    threshold: Threshold | None
    statistics: Mapping[str, list[float]] = field(default_factory=dict)
    facts: tuple[str, ...] = ()

    @property
    def has_map(self) -> bool:
        """Whether the detector shows where its score comes from."""
        return bool(getattr(self.detector, "has_map", True))

    @property
    def maps_are_free(self) -> bool:
        """Whether a map takes no pass of its own."""
        return hasattr(self.detector, "score_and_map")

    def inspect(self, image: Images, with_map: bool) -> tuple[float, Maps | None]:
        """The score of one image, and its map where it is asked for or costs nothing.

        Parameters
        ----------
        image : ndarray of float32, shape (h, w, c), in [0, 1]
        with_map : bool

        Returns
        -------
        score : float
        anomaly_map : ndarray of float32, shape (h, w), or None
        """
        batch = image[None]
        if not self.has_map:
            return float(self.detector.score(batch)[0]), None
        if hasattr(self.detector, "score_and_map"):
            scores, maps = self.detector.score_and_map(batch)
            return float(scores[0]), maps[0]
        score = float(self.detector.score(batch)[0])
        return score, self.detector.anomaly_map(batch)[0] if with_map else None

    def flags(self, score: float) -> bool | None:
        """The decision; None without a threshold."""
        return None if self.threshold is None else bool(score > self.threshold.value)

    def level(self, score: float, anomaly_map: Maps) -> float:
        """The value of a map from which on a place belongs to the region that is shown.

        The threshold, where the score is the map's maximum, so that it is what was flagged. Else
        half of the maximum above the minimum.
        """
        low, high = float(anomaly_map.min()), float(anomaly_map.max())
        flagged = self.threshold is not None and score > self.threshold.value
        if flagged and abs(high - score) <= 1e-3 * max(abs(score), 1e-12):
            assert self.threshold is not None
            return self.threshold.value
        return (low + high) / 2


def load_inspector(model: str | Path, threshold: float | None = None) -> Inspector:
    """A stored detector of ours, or an ONNX file, ready for new images.

    Parameters
    ----------
    model : str or Path
        A folder ``models/<category>/<detector>/<hash>``, or a file that ends in ``.onnx``. One that
        was exported from this suite knows how images are read and its threshold.
    threshold : float, optional
        In place of the stored one.

    Returns
    -------
    Inspector

    Raises
    ------
    FileNotFoundError
        If there is no such folder or file, or it holds no model.
    ValueError
        If it is no model, or does not say how its images are read.

    Examples
    --------
    >>> load_inspector("models/screw/subspace/0")
    Traceback (most recent call last):
        ...
    FileNotFoundError: there is no folder or file models/screw/subspace/0; give a stored model or \
an ONNX file
    """
    path = Path(model)
    if path.is_dir():
        found = _stored(path)
    elif path.is_file():
        found = _onnx(path)
    else:
        raise FileNotFoundError(
            f"there is no folder or file {model}; give a stored model or an ONNX file"
        )
    if threshold is None:
        return found
    given = Threshold(threshold, "given with --threshold", uses_test_labels=False)
    return Inspector(
        found.title, found.detector, found.reader, given, found.statistics, found.facts
    )


def stored_detector(folder: Path) -> tuple[Detector, dict[str, Any] | None]:
    """A stored detector that scores as when its threshold was set, and its record if it has one.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_detector` and `read_record`.
    """
    detector, record = load_detector(folder), read_record(folder)
    if record and record.get("scoring"):
        same = type(detector).from_parameters(detector.parameters | record["scoring"])
        detector = load_detector(folder, **same.scoring_arguments())
    return detector, record


def _stored(folder: Path) -> Inspector:
    detector, record = stored_detector(folder)
    if record is None or "reading" not in record:
        raise ValueError(
            f"{folder} does not say how its images are read: it was stored by an earlier version "
            "or fitted on arrays; run its notebook or fit_or_load on its category again, which "
            "trains nothing anew"
        )
    title = detector.title or detector.name
    return Inspector(title, detector, *_known(record, folder))


def _onnx(path: Path) -> Inspector:
    if path.suffix.lower() != ".onnx":
        raise ValueError(
            f"{path} is no model: give a folder models/CATEGORY/DETECTOR/HASH or a file that ends "
            "in .onnx"
        )
    detector = OnnxDetector(path)
    title = detector.texts.get(_TITLE, detector.title)
    if _RECORD in detector.texts:
        record = parsed_record(detector.texts[_RECORD], path)
        if "reading" in record:
            return Inspector(title, detector, *_known(record, path))
    facts = tuple(f"{fact.rstrip('.')}." for fact in detector.facts())
    # The adapter brings colours and size to what the model takes.
    size = getattr(detector.preprocessing, "size", None)
    settings = {"image_size": None if size is None else list(size), **_AS_GIVEN}
    return Inspector(title, detector, ImageReader(settings), None, facts=facts)


def _known(
    record: Mapping[str, Any], source: Path
) -> tuple[ImageReader, Threshold | None, Mapping[str, list[float]]]:
    """How images are read, the threshold and the statistics of a record."""
    try:
        reader = ImageReader.from_dict(record["reading"])
        threshold = None
        if record.get("threshold"):
            threshold = Threshold(**record["threshold"])
        return reader, threshold, dict(record.get("statistics") or {})
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{source} holds a record that cannot be used: {error}") from error


def region_box(
    anomaly_map: Maps, level: float, matrix: NDArray[np.float64], shape: tuple[int, ...]
) -> Box:
    """The box, in a photograph's own pixels, around the region with the map's highest value.

    Parameters
    ----------
    anomaly_map : ndarray of float32, shape (h, w)
    level : float
        The region is connected and at or above this value.
    matrix : ndarray of float64, shape (3, 3)
        Takes (x, y, 1) in pixels of the map to pixels of the photograph.
    shape : tuple of int
        Height and width of the photograph; the box is cut there.

    Returns
    -------
    Box

    Examples
    --------
    >>> anomaly_map = np.zeros((8, 8), np.float32)
    >>> anomaly_map[2:4, 5] = 1
    >>> twice = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])
    >>> region_box(anomaly_map, 0.5, twice, (16, 16))
    Box(x=10, y=4, width=2, height=4)
    """
    top, left = np.unravel_index(int(anomaly_map.argmax()), anomaly_map.shape)
    above = anomaly_map >= min(level, float(anomaly_map.max()))
    regions, _ = ndimage.label(above, structure=np.ones((3, 3)))
    rows, columns = np.nonzero(regions == regions[top, left])
    # Corners of pixels, whose centres are whole numbers.
    x = np.array([columns.min() - 0.5, columns.max() + 0.5])
    y = np.array([rows.min() - 0.5, rows.max() + 0.5])
    corners = matrix @ np.array([x[[0, 1, 0, 1]], y[[0, 0, 1, 1]], np.ones(4)])
    sides = []
    for values, length in ((corners[0], shape[1]), (corners[1], shape[0])):
        low = int(np.clip(np.floor(values.min() + 0.5 + 1e-6), 0, length - 1))
        high = int(np.clip(np.ceil(values.max() + 0.5 - 1e-6), low + 1, length))
        sides.append((low, high - low))
    (x0, width), (y0, height) = sides
    return Box(x0, y0, width, height)
