"""Whatever Python object scores images, as a detector: the adapter is chosen by what it can do."""

import importlib
from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Images

from .base import ForeignDetector
from .forward import Wanted, first_line
from .functions import FunctionDetector, PairDetector
from .keras_model import KerasDetector, is_keras_model
from .preprocessing import Preprocessing
from .sklearn_estimator import EstimatorDetector, is_estimator
from .torch_module import TorchDetector, is_torch_module

_ACCEPTED = (
    "an object with score or anomaly_map, a function of images, a fitted estimator of scikit-learn "
    "or PyOD, a Keras model or a PyTorch module"
)

_BATCH, _ESTIMATOR_BATCH = 16, 256


def wrap_functions(
    score: Callable[[Any], ArrayLike] | None = None,
    anomaly_map: Callable[[Any], ArrayLike] | None = None,
    title: str = "your detector",
    *,
    preprocessing: Preprocessing | None = None,
    examples: Images | None = None,
    batch_size: int = 16,
) -> ForeignDetector:
    """A detector of two functions, of which one may be missing.

    Parameters
    ----------
    score : callable, optional
        Takes images (n, h, w, c) in [0, 1] and returns one number for each, higher for more
        anomalous. By default the maximum of the map.
    anomaly_map : callable, optional
        Takes the same images and returns maps (n, h, w), of any height and width.
    title : str
    preprocessing : Preprocessing, optional
        What is done to the images before; by default nothing.
    examples : ndarray of float32, shape (n, h, w, c), optional
        Two images or more to try the functions out with, such as good ones; by default noise.
    batch_size : int
        Largest number of images in one call.

    Returns
    -------
    ForeignDetector

    Raises
    ------
    ValueError
        If both are missing, or what they return has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> detector = wrap_functions(anomaly_map=lambda images: 1 - images.mean(axis=-1))
    >>> detector.score(np.full((2, 16, 16, 3), 0.75, np.float32)).tolist()
    [0.25, 0.25]
    """
    return PairDetector(
        score, anomaly_map, title, preprocessing or Preprocessing(), batch_size, examples
    )


def wrap_detector(
    thing: Any,
    *,
    title: str | None = None,
    preprocessing: Preprocessing | None = None,
    features: Callable[[Images], ArrayLike] | None = None,
    higher_is_anomalous: bool | None = None,
    output: str | None = None,
    map_output: str | None = None,
    examples: Images | None = None,
    batch_size: int | None = None,
) -> ForeignDetector:
    """Any Python object that scores images, as a detector.

    Parameters
    ----------
    thing : object
        An object with ``score`` or ``anomaly_map`` or both; a function of images (n, h, w, c) in
        [0, 1] that returns scores, maps or both; a fitted estimator of scikit-learn or PyOD; a
        Keras model or a PyTorch module.
    title : str, optional
        By default what it is called.
    preprocessing : Preprocessing, optional
        What is done to the images before; what is left open is found from the model.
    features : callable, optional
        For an estimator: makes rows (n, d) of images; by default all pixels.
    higher_is_anomalous : bool, optional
        For an estimator whose direction is not known.
    output, map_output : str, optional
        For a function or model with several outputs: their names.
    examples : ndarray of float32, shape (n, h, w, c), optional
        Two images or more to try it out with, such as good ones; by default noise.
    batch_size : int, optional
        Largest number of images in one call; by default 16, and 256 for an estimator.

    Returns
    -------
    ForeignDetector

    Raises
    ------
    ValueError
        If it is none of these, or does not work with images.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.svm import OneClassSVM
    >>> good = np.random.default_rng(0).uniform(0.4, 0.6, (20, 8, 8, 1)).astype(np.float32)
    >>> detector = wrap_detector(OneClassSVM().fit(good.reshape(20, -1)))
    >>> dark = np.zeros((1, 8, 8, 1), np.float32)
    >>> bool(detector.score(dark) > detector.score(good).max()), detector.has_map
    (True, False)
    """
    if isinstance(thing, ForeignDetector):
        return thing
    title, asked = title or _name_of(thing), preprocessing or Preprocessing()
    if isinstance(thing, type):
        raise ValueError(f"{thing.__name__} is a class: give an object of it")
    wanted = Wanted(output, map_output, batch_size=batch_size or _BATCH)
    if is_torch_module(thing):
        return TorchDetector(thing, title, asked, wanted, examples)
    if is_keras_model(thing):
        return KerasDetector(thing, title, asked, wanted, examples)
    if is_estimator(thing) and not hasattr(thing, "anomaly_map"):
        return EstimatorDetector(
            thing,
            title,
            asked,
            features=features,
            higher_is_anomalous=higher_is_anomalous,
            examples=examples,
            batch_size=batch_size or _ESTIMATOR_BATCH,
        )
    score, maps = (_method(thing, name) for name in ("score", "anomaly_map"))
    if score is not None or maps is not None:
        return _of_object(
            thing,
            PairDetector(
                score, maps, title, _fitted_form(thing, asked), wanted.batch_size, examples
            ),
        )
    if callable(thing):
        return FunctionDetector(thing, title, asked, wanted, examples)
    hint = "; it scores new images only when it is made with novelty=True" * hasattr(
        thing, "fit_predict"
    )
    raise ValueError(f"{title} is no detector that is known{hint}: expected {_ACCEPTED}")


def _name_of(thing: Any) -> str:
    for name in ("title", "name", "__name__"):
        given = getattr(thing, name, None)
        if isinstance(given, str) and given.strip("<>") not in ("", "lambda"):
            return given
    return type(thing).__name__


def _method(thing: Any, name: str) -> Callable[[Any], ArrayLike] | None:
    found = getattr(thing, name, None)
    return found if callable(found) else None


def _fitted_form(thing: Any, asked: Preprocessing) -> Preprocessing:
    """The size that an object says it was fitted on, as the suite's own detectors do."""
    shape = getattr(thing, "image_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 3:
        return asked
    return asked.over(Preprocessing(size=shape[:2], channels=shape[2]))


def _of_object(thing: Any, detector: PairDetector) -> ForeignDetector:
    """The detector with the counterpart that the object has."""
    own = _method(thing, "counterpart")
    if own is None:
        return detector
    name = getattr(thing, "counterpart_name", "") or "its own normal version"
    return detector.with_counterpart(name, detector.converted(own))


def import_object(name: str) -> Any:
    """The object that a name such as ``"package.module:object"`` means.

    Its module is imported, which runs it.

    Parameters
    ----------
    name : str

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If the name has another form, or there is no such module or object.

    Examples
    --------
    >>> import_object("math:sqrt")(4)
    2.0
    """
    module, colon, path = name.partition(":")
    if not (module and colon and path):
        raise ValueError(f"{name!r} must have the form package.module:object")
    try:
        found = importlib.import_module(module)
    except Exception as error:
        # Whatever somebody else's module raises while it is imported.
        raise ValueError(
            f"{module} cannot be imported ({first_line(error)}): it must be on Python's path"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{module} has no {path}: {part} is not there")
        found = getattr(found, part)
    return found
