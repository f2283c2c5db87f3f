"""What is kept with a stored detector of good images: their scores, the threshold, statistics."""

from pathlib import Path
from typing import Any

import numpy as np

from adhelpers._shared.arrays import Floats, Scores
from adhelpers.data import Category, ImageSet
from adhelpers.detectors import Detector, MemoryBank, ReconstructionDetector, update_record
from adhelpers.metrics import Threshold, light_and_sharpness

# As many images of each kind say enough about a distribution.
_MOST = 300
# Detectors whose maps are distances from good images and take no search.
_MEASURING = (MemoryBank, ReconstructionDetector)


def remember_reference(
    detector: Any, category: Category, scores: Scores, threshold: Threshold
) -> None:
    """Keep a threshold and what good images are like beside a stored detector.

    New images are decided by this threshold and compared with these. Does nothing for a detector
    that is not stored.

    Parameters
    ----------
    detector : Detector or object
    category : Category
        Its training and validation images are measured.
    scores : ndarray of float32, shape (m,)
        Of the validation images.
    threshold : Threshold
    """
    folder: Path | None = getattr(detector, "folder", None)
    if folder is None or not isinstance(detector, Detector):
        return
    scoring = {
        name: value
        for name, value in detector.parameters.items()
        if name in detector.scoring_parameters
    }
    update_record(
        folder,
        scoring=scoring,
        threshold=threshold.as_dict(),
        scores=_rounded(scores),
        statistics=_statistics(detector, category),
    )


def typical_distance(anomaly_map: Floats) -> float:
    """How far a usual place of an image is from good ones; a small defect does not change it."""
    return float(np.median(anomaly_map))


def photograph_size(shape: tuple[int, ...]) -> float:
    """One number for the size of a photograph, in pixels: the side of a square as large."""
    return float(np.sqrt(shape[0] * shape[1]))


def _statistics(detector: Detector, category: Category) -> dict[str, list[float]]:
    """Values by statistic: of training and validation images, distances of the latter only."""
    good = [_some(category.train), _some(category.validation)]
    light, sharpness = zip(
        *(light_and_sharpness(image) for part in good for image in part.images), strict=True
    )
    sizes = [photograph_size(tuple(shape)) for part in good for shape in part.original_shapes]
    statistics = {
        "light": _rounded(light),
        "sharpness": _rounded(sharpness),
        "size": _rounded(sizes),
    }
    # A training image may be known by heart.
    if isinstance(detector, _MEASURING):
        maps = detector.anomaly_map(good[1].images)
        statistics["distance"] = _rounded([typical_distance(one) for one in maps])
    return statistics


def _some(images: ImageSet) -> ImageSet:
    """At most 300 images, from all over the set."""
    if len(images) <= _MOST:
        return images
    return images.subset(np.linspace(0, len(images) - 1, _MOST).astype(np.int64))


def _rounded(values: Any) -> list[float]:
    """Seven digits, which is what float32 has."""
    return [float(f"{value:.7g}") for value in values]
