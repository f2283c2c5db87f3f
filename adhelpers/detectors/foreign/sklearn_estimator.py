"""Estimators of scikit-learn and PyOD as detectors; the direction of their scores differs."""

from collections.abc import Callable, Mapping, Sequence
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier, is_outlier_detector

from adhelpers._shared.arrays import Images

from .forward import ForwardDetector, Wanted
from .outputs import Outputs
from .preprocessing import Preprocessing


def is_estimator(thing: Any) -> bool:
    """Whether a thing scores samples as estimators of scikit-learn or PyOD do."""
    return any(
        callable(getattr(thing, name, None)) for name in ("score_samples", "decision_function")
    )


class EstimatorDetector(ForwardDetector):
    """A fitted estimator that gets each image as a row of numbers; it has no map.

    ``score_samples`` is higher for what is more normal, in all of scikit-learn, and so is
    ``decision_function`` of its outlier detectors. Both are negated. In PyOD ``decision_function``
    is higher for what is more anomalous, and in a classifier of 0 (good) and 1 (anomalous) too.

    Parameters
    ----------
    estimator : object
        With ``score_samples`` or ``decision_function``; the first is taken where there are both.
    title : str
    preprocessing : Preprocessing
    features : callable, optional
        Makes rows (n, d) of images (n, h, w, c); by default each image's pixels one after another.
    higher_is_anomalous : bool, optional
        The direction of the scores, where neither library nor kind tells it.
    examples : ndarray of float32, shape (n, h, w, c), optional
        Images to try it out with.
    batch_size : int
        Largest number of images in one call.
    """

    def __init__(
        self,
        estimator: Any,
        title: str,
        preprocessing: Preprocessing,
        *,
        features: Callable[[Images], ArrayLike] | None = None,
        higher_is_anomalous: bool | None = None,
        examples: Images | None = None,
        batch_size: int,
    ) -> None:
        self._estimator, self._features = estimator, features
        self._method, known = _method_and_direction(estimator)
        anomalous = known if higher_is_anomalous is None else higher_is_anomalous
        if anomalous is None:
            raise ValueError(
                f"{title}: nothing tells whether its {self._method} is higher for anomalous or "
                "for normal images: say it with higher_is_anomalous"
            )
        self._sign = 1 if anomalous else -1
        self._is_known = examples is not None or features is not None
        if not self._is_known:
            examples = _matching_noise(estimator, preprocessing, title)
        super().__init__(title, [preprocessing], Wanted(batch_size=batch_size), examples=examples)

    def _forward(self, values: NDArray[Any], names: Sequence[str] | None) -> Mapping[str, Any]:
        rows = values.reshape(len(values), -1) if self._features is None else self._features(values)
        scores = np.asarray(getattr(self._estimator, self._method)(rows), np.float64)
        return {self._method: self._sign * scores}

    def _try_out(
        self, forms: Sequence[Preprocessing], examples: Images | None
    ) -> tuple[Preprocessing, Images, Mapping[str, NDArray[Any]]]:
        """As the others, but some estimators do not say how many numbers they take."""
        if examples is None and not self._is_known and forms[0].size is None:
            return forms[0], np.empty((0, 1, 1, 1), np.float32), {}
        return super()._try_out(forms, examples)

    def _find_outputs(self, outputs: Mapping[str, NDArray[Any]], tried: Images) -> Outputs:
        """The score; there is nothing else."""
        if not outputs:
            return Outputs(score=self._method)
        return super()._find_outputs(outputs, tried)

    def facts(self) -> list[str]:
        """What was found about the model and what is done to the images: sentences for a report."""
        meaning = (
            "higher is more anomalous" if self._sign == 1 else "negated: higher is more normal"
        )
        return [f"The score is {self._method} ({meaning} there)", *super().facts()]


def _last_step(estimator: Any) -> Any:
    """What decides at the end of pipelines and searches."""
    while True:
        if getattr(estimator, "steps", None):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator


def _method_and_direction(estimator: Any) -> tuple[str, bool | None]:
    """The method that scores, and whether it is higher for anomalous images; None if unknown."""
    last = _last_step(estimator)
    if _is_pyod(last):
        return "decision_function", True
    if callable(getattr(estimator, "score_samples", None)):
        return "score_samples", False
    known = hasattr(last, "__sklearn_tags__")
    if known and is_outlier_detector(last):
        return "decision_function", False
    classes = list(getattr(last, "classes_", ()))
    if known and is_classifier(last) and classes == [0, 1]:
        return "decision_function", True
    return "decision_function", None


def _is_pyod(last: Any) -> bool:
    return any(one.__module__.split(".")[0] == "pyod" for one in type(last).__mro__)


def _matching_noise(estimator: Any, preprocessing: Preprocessing, title: str) -> Images | None:
    """Two images with as many numbers as the estimator was fitted on; None if that is not known."""
    wanted = getattr(estimator, "n_features_in_", None)
    if preprocessing.size is not None or wanted is None:
        return None
    for channels in (1, 3):
        side = isqrt(wanted // channels)
        if side * side * channels == wanted and preprocessing.channels in (None, channels):
            random = np.random.default_rng(0)
            return random.uniform(size=(2, side, side, channels)).astype(np.float32)
    raise ValueError(
        f"{title} was fitted on {wanted} numbers an image, which is no square image: show it two "
        "with examples, say the size with preprocessing, or give features"
    )
