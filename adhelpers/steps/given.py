"""A detector from elsewhere as a notebook's parameters give it, and the images it is audited on."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from adhelpers._shared.arrays import Flags, Images, Maps, Scores
from adhelpers._shared.stages import stage
from adhelpers.data import (
    Category,
    load_category,
    read_image,
    rendered_root,
    suggested_size,
    training_files,
)
from adhelpers.detectors import (
    Detector,
    ForeignDetector,
    OnnxDetector,
    Preprocessing,
    StoredMaps,
    import_object,
    load_detector,
    read_maps,
    wrap_detector,
    wrap_functions,
)
from adhelpers.metrics import (
    Threshold,
    detection_report,
    gmean_threshold,
    midpoint_threshold,
    normal_quantile,
)

from .assess import THRESHOLD_RULES, ImageAssessment, assess_detector, pixel_figures
from .objects import loading_options

# How a detector can be given; the first of the parameters that is not empty.
WAYS = ("maps", "onnx", "detector", "model")
# Longer side of the images in pixels where neither the detector nor a parameter says a size.
_LONGEST = 256
_RENDERED: dict[str, Any] = {
    "image_size": 64,
    "train_count": 60,
    "test_good_count": 12,
    "defect_count": 5,
}


@dataclass(frozen=True)
class GivenDetector:
    """A detector from elsewhere, and the images that it is audited on.

    Attributes
    ----------
    title : str
        As people read it.
    category : Category
    model : ForeignDetector, Detector or None
        None where there are only maps.
    stored : StoredMaps or None
        Maps of the test images from files.
    facts : list of str
        What was found, and what is done to the images before the detector sees them.
    """

    title: str
    category: Category
    model: ForeignDetector | Detector | None = None
    stored: StoredMaps | None = None
    facts: tuple[str, ...] = ()

    def findings(self) -> list[str]:
        """What was found, how images are brought to the detector, and what they are taken from."""
        settings = self.category.settings
        height, width = settings["image_size"]
        changed = [f"{name}: {settings[name]}" for name in ("illumination", "pose", "crop")]
        asked = any(settings[name] != "none" for name in ("illumination", "pose", "crop"))
        return [
            *(f"{fact}." for fact in self.facts),
            f"The images are loaded in {height} x {width} pixels, {settings['color']}; "
            + (
                f"corrected as asked for ({', '.join(changed)})."
                if asked
                else "light and pose are not corrected: the detector sees them as they are."
            ),
            "Thresholds and counterparts come from train/good. Where the detector was trained on "
            "these very images, it scores them lower than new good ones, and its threshold is too "
            "low for these.",
        ]

    def maps_alone(self) -> "GivenDetector | None":
        """The stored maps without the model; None where there are none."""
        if self.stored is None:
            return None
        return replace(self, title=f"map folder of the {self.title}", model=None)


def open_detector(
    parameters: Mapping[str, Any], example: str | Path | None = None
) -> GivenDetector:
    """Open the detector that a notebook's parameters name, and load the images for it.

    Images have the size that the detector takes, unless the parameters say another one.

    Parameters
    ----------
    parameters : dict
        One of ``maps`` (a folder), ``onnx`` (a file), ``detector`` (``"package.module:object"``)
        and ``model`` (the folder of a stored detector); none of them writes the example. Beside
        these ``scores``, ``output``, ``map_output``, ``mean``, ``std``, ``scale``, ``bgr``,
        ``axes`` (such as ``"NHWC"``), ``channels``, ``input_size``, ``import_from``, and what
        `loading_options` reads, with ``color="auto"`` for what the detector takes.
    example : str or Path, optional
        Folder for the example: a small detector as an ONNX file, with its maps.

    Returns
    -------
    GivenDetector

    Raises
    ------
    ValueError
        If several are given, one cannot be used, or maps do not fit the images.
    """
    given = [name for name in WAYS if parameters[name]]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)}: give one of {', '.join(WAYS)}")
    if parameters["scores"] and given != ["maps"]:
        raise ValueError("scores: a file of scores goes with maps, a folder of anomaly maps")
    if not given:
        return _example(parameters, example)
    if given == ["maps"]:
        return _given_maps(parameters, load_images(parameters))
    model: ForeignDetector | Detector
    if given == ["detector"]:
        category = load_images(parameters)
        model = _open_object(parameters, category)
    else:
        model = _open_onnx(parameters) if given == ["onnx"] else load_detector(parameters["model"])
        category = load_images(parameters, *_taken_by(model))
    if isinstance(model, ForeignDetector):
        kind = "ONNX" if isinstance(model, OnnxDetector) else "Python"
        title = f"{kind} detector {model.title}"
        return GivenDetector(title, category, model, facts=tuple(model.facts()))
    title = model.title or model.name
    shape = " x ".join(map(str, model.image_shape or ()))
    fact = f"{title}, stored in {parameters['model']}, takes images of {shape}"
    return GivenDetector(title, category, model, facts=(fact,))


def _open_onnx(parameters: Mapping[str, Any]) -> OnnxDetector:
    return OnnxDetector(
        parameters["onnx"],
        output=parameters["output"] or None,
        map_output=parameters["map_output"] or None,
        preprocessing=_preprocessing(parameters),
    )


def _open_object(parameters: Mapping[str, Any], category: Category) -> ForeignDetector:
    folder = parameters["import_from"]
    # It stays: what is imported may import more when it is called.
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    thing = import_object(parameters["detector"])
    return wrap_detector(
        thing,
        title=parameters["detector"].partition(":")[2],
        preprocessing=_preprocessing(parameters),
        output=parameters["output"] or None,
        map_output=parameters["map_output"] or None,
        examples=category.train.images[:2],
    )


def _preprocessing(parameters: Mapping[str, Any]) -> Preprocessing:
    """What a notebook's parameters say of the numbers that a model takes; 0 and empty are unset."""
    return Preprocessing(
        mean=tuple(parameters["mean"]) or None,
        std=tuple(parameters["std"]) or None,
        scale=parameters["scale"] or None,
        bgr=parameters["bgr"] or None,
        layout=parameters["axes"] or None,
        channels=parameters["channels"] or None,
        size=tuple(parameters["input_size"]) or None,
    )


def _taken_by(model: Any) -> tuple[tuple[int, int] | None, str]:
    """The size and the colours that a detector takes; None where any size is right."""
    if isinstance(model, ForeignDetector):
        preprocessing = getattr(model, "preprocessing", None)
        size = None if preprocessing is None else preprocessing.size
        channels = None if preprocessing is None else preprocessing.channels
    else:
        (*size, channels) = model.image_shape
    return None if size is None else tuple(size), "grayscale" if channels == 1 else "rgb"


def load_images(
    parameters: Mapping[str, Any],
    size: tuple[int, int] | None = None,
    color: str = "rgb",
) -> Category:
    """Load the images that a detector from elsewhere is audited on, and print remarks.

    Parameters
    ----------
    parameters : dict
        As in `loading_options`; a ``color`` of ``"auto"`` is what is said here, and where both
        sides are 0 the size is.
    size : tuple of int, optional
        Height and width that the detector takes; None takes 256 pixels for the longer side, or
        fewer where the files have fewer.
    color : {"grayscale", "rgb"}

    Returns
    -------
    Category
    """
    name, root = parameters["category"], parameters["data_root"]
    with stage("images"):
        root = root or rendered_root(name, **_RENDERED)
        values = dict(parameters)
        if values["color"] == "auto":
            values["color"] = color
        if not (values["image_height"] or values["image_width"]):
            moved = values["pose"] != "none" or values["crop"] != "none"
            longest = _longest_side(root, name)
            chosen = size or (None if moved else suggested_size(root, name, longest))
            values["image_height"], values["image_width"] = chosen or (longest, 0)
        category = load_category(root, name, **loading_options(values))
    for remark in category.remarks:
        print(f"Remark on the data: {remark}")
    return category


def _longest_side(root: str | Path, category: str) -> int:
    """The longer side of the first good image that can be read, or 256 where that is less."""
    for file in training_files(root, category):
        try:
            image, _ = read_image(file.read_bytes())
        except (OSError, ValueError):
            continue
        return min(_LONGEST, max(image.shape[:2]))
    return _LONGEST


def _given_maps(parameters: Mapping[str, Any], category: Category) -> GivenDetector:
    with stage("maps"):
        stored = read_maps(
            parameters["maps"],
            category.test,
            reference=category.validation,
            scores_file=parameters["scores"] or None,
            category=category.name,
        )
    title = f"map folder {Path(parameters['maps']).name}"
    return GivenDetector(title, category, stored=stored, facts=tuple(stored.facts))


def _example(parameters: Mapping[str, Any], folder: str | Path | None) -> GivenDetector:
    """The example: our linear subspace as an ONNX file that knows nothing of us, and its maps."""
    from .given_example import write_example

    if folder is None:
        raise ValueError(f"give one of {', '.join(WAYS)}")
    category = load_images(parameters, color="grayscale")
    with stage("example"):
        file, maps = write_example(category, folder, seed=parameters["seed"])
    model = OnnxDetector(file)
    stored = read_maps(maps, category.test, reference=category.validation)
    facts = (*model.facts(), *stored.facts)
    return GivenDetector(f"ONNX detector {model.title}", category, model, stored, facts)


def given_functions(
    category: Category,
    detector: Any = None,
    score: Callable[[Images], Any] | None = None,
    anomaly_map: Callable[[Images], Any] | None = None,
    title: str | None = None,
) -> GivenDetector:
    """A detector as Python gives it: an object, or one or two functions.

    Parameters
    ----------
    category : Category
    detector : object, optional
        What `adhelpers.detectors.wrap_detector` takes, a detector of this package, or `StoredMaps`.
    score, anomaly_map : callable, optional
        In place of ``detector``; both are given images as they are in ``category``.
    title : str, optional

    Returns
    -------
    GivenDetector

    Raises
    ------
    ValueError
        If nothing is given, or an object and functions are.
    """
    functions = score is not None or anomaly_map is not None
    if functions == (detector is not None):
        raise ValueError(
            "give a detector, or the functions score and anomaly_map or one of these"
            + (", not both" if functions else "")
        )
    if isinstance(detector, StoredMaps):
        facts = tuple(detector.facts)
        return GivenDetector(title or "anomaly maps", category, stored=detector, facts=facts)
    if isinstance(detector, Detector):
        return GivenDetector(title or detector.title or detector.name, category, detector)
    model: ForeignDetector
    if functions:
        model = wrap_functions(
            score, anomaly_map, title or "your detector", examples=category.train.images[:2]
        )
    elif isinstance(detector, ForeignDetector):
        model = detector
    else:
        model = wrap_detector(detector, title=title, examples=category.train.images[:2])
    return GivenDetector(title or model.title, category, model, facts=tuple(model.facts()))


def assess_given(
    given: GivenDetector, *, rule: str = "normal_quantile", quantile: float = 0.95, seed: int = 0
) -> ImageAssessment:
    """Turn the scores of a detector from elsewhere into decisions.

    The threshold comes from the scores of good validation images. Where there are only maps, and
    none of good images that are not tested, it is chosen with the test labels, and says so.

    Parameters
    ----------
    given : GivenDetector
    rule : {"normal_quantile", "gmean", "midpoint"}
        As in `assess_detector`.
    quantile : float
    seed : int

    Returns
    -------
    ImageAssessment
        Without counterparts, see `choose_counterpart`; those of a detector of this package are its
        own.

    Raises
    ------
    ValueError
        For an unknown rule, or scores that are all equal.
    """
    if rule not in THRESHOLD_RULES:
        raise ValueError(
            f"rule (threshold_rule) must be one of {', '.join(THRESHOLD_RULES)}, not {rule!r}"
        )
    if isinstance(given.model, Detector):
        return assess_detector(
            given.title, given.model, given.category, rule=rule, quantile=quantile, seed=seed
        )
    test = given.category.test
    maps: Maps | None
    if given.model is not None:
        with stage(f"{given.title}: scores"):
            reference = given.model.score(given.category.validation.images)
            scores, maps, seconds = _timed(given.model, test.images)
    else:
        assert given.stored is not None
        scores, maps, seconds = given.stored.scores, given.stored.maps, 0.0
        found = given.stored.reference_scores
        reference = np.zeros(0, np.float32) if found is None else found
    threshold = _threshold(rule, quantile, reference, scores, test.labels == 1)
    return ImageAssessment(
        title=given.title,
        category=given.category,
        detector=given.model,  # type: ignore[arg-type]
        scores=scores,
        reference_scores=reference,
        threshold=threshold,
        detection=detection_report(scores, test.labels, test.types, threshold, seed=seed),
        pixels=None if maps is None else pixel_figures(maps, test, seed=seed),
        seconds=seconds,
        anomaly_maps=np.zeros(test.images.shape[:3], np.float32) if maps is None else maps,
        counterparts=test.images,
        counterpart_name="",
        has_maps=maps is not None,
        has_counterparts=given.model is not None,
    )


def _timed(model: ForeignDetector, images: Images) -> tuple[Scores, Maps | None, float]:
    """Scores, maps where there are any, and the seconds that they took."""
    started = time.perf_counter()
    if model.has_map:
        scores, maps = model.score_and_map(images)
    else:
        scores, maps = model.score(images), None
    return scores, maps, time.perf_counter() - started


def _threshold(
    rule: str, quantile: float, reference: Scores, scores: Scores, anomalous: Flags
) -> Threshold:
    labels = anomalous.astype(int)
    if rule == "midpoint":
        return midpoint_threshold(scores, labels)
    if rule == "gmean" or not len(reference):
        return gmean_threshold(scores, labels)
    return normal_quantile(reference, quantile)
