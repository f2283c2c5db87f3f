"""scikit-learn's outlier estimators as plain values for a manifest, and fitted step by step."""

from collections.abc import Callable, Sequence
from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.covariance import EllipticEnvelope, LedoitWolf, ShrunkCovariance
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from adhelpers._shared.arrays import Floats

from ..parameters import plain

_PIPELINE = "sklearn.pipeline.Pipeline"
# Only these are rebuilt from a manifest; their numbers come through skops.
_TRANSFORMERS: dict[str, type[BaseEstimator]] = {
    "sklearn.decomposition.PCA": PCA,
    "sklearn.kernel_approximation.Nystroem": Nystroem,
    "sklearn.preprocessing.StandardScaler": StandardScaler,
}
_MODELS: dict[str, type[BaseEstimator]] = {
    "sklearn.covariance.EllipticEnvelope": EllipticEnvelope,
    "sklearn.covariance.LedoitWolf": LedoitWolf,
    "sklearn.covariance.ShrunkCovariance": ShrunkCovariance,
    "sklearn.ensemble.IsolationForest": IsolationForest,
    "sklearn.linear_model.SGDOneClassSVM": SGDOneClassSVM,
    "sklearn.neighbors.LocalOutlierFactor": LocalOutlierFactor,
    "sklearn.neighbors.NearestNeighbors": NearestNeighbors,
    "sklearn.svm.OneClassSVM": OneClassSVM,
}
_PATHS = {kind: path for path, kind in (_TRANSFORMERS | _MODELS).items()}
# What fitted ones of these hold besides the types on skops' own list of safe ones: scikit-learn's
# trees.
TRUSTED = [
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
]

Steps = list[tuple[str, BaseEstimator]]


def steps_of(estimator: BaseEstimator) -> Steps:
    """The steps of a pipeline; an estimator alone is the step ``model``."""
    return list(estimator.steps) if isinstance(estimator, Pipeline) else [("model", estimator)]


def check_estimator(estimator: BaseEstimator) -> None:
    """Refuse an estimator that cannot be rebuilt from a manifest.

    Raises
    ------
    ValueError
        If a step is of another class than those of the list, a parameter is no plain value, or the
        last step gives no score for new samples.
    """
    *before, (_, model) = steps_of(estimator)
    for steps, allowed in [([one for _, one in before], _TRANSFORMERS), ([model], _MODELS)]:
        for step in steps:
            if type(step) not in allowed.values():
                raise ValueError(
                    f"estimator: {type(step).__name__} is not among {', '.join(sorted(allowed))}"
                )
    if isinstance(model, LocalOutlierFactor) and not model.novelty:
        raise ValueError("estimator: LocalOutlierFactor needs novelty=True to score new images")
    describe(estimator)


def describe(estimator: BaseEstimator) -> dict[str, Any]:
    """An estimator that need not be fitted, as plain values: its class's path and its parameters.

    Raises
    ------
    ValueError
        If a parameter is no plain value.

    Examples
    --------
    >>> describe(OneClassSVM(nu=0.1))["class"]
    'sklearn.svm.OneClassSVM'
    """
    if isinstance(estimator, Pipeline):
        steps = [[name, describe(step)] for name, step in estimator.steps]
        return {"class": _PIPELINE, "steps": steps}
    try:
        parameters = plain(estimator.get_params(deep=False))
    except TypeError as error:
        raise ValueError(f"estimator: {type(estimator).__name__}: {error}") from error
    return {"class": _PATHS[type(estimator)], "parameters": parameters}


def rebuild(description: dict[str, Any]) -> BaseEstimator:
    """The estimator that `describe` described; not fitted.

    Raises
    ------
    ValueError
        If the class is not on the list.

    Examples
    --------
    >>> rebuild(describe(OneClassSVM(nu=0.1)))
    OneClassSVM(nu=0.1)
    """
    path = description["class"]
    if path == _PIPELINE:
        return Pipeline([(name, rebuild(step)) for name, step in description["steps"]])
    allowed = _TRANSFORMERS | _MODELS
    if path not in allowed:
        raise ValueError(f"estimator: {path!r} is not among {', '.join(sorted(allowed))}")
    return allowed[path](**description["parameters"])


def takes(estimator: BaseEstimator, parameter: str) -> bool:
    """Whether a step has this parameter; a linear kernel has no use for gamma."""
    return any(
        parameter in one.get_params(deep=False)
        and not (parameter == "gamma" and one.kernel == "linear")
        for _, one in steps_of(estimator)
    )


def fit_in_two(
    estimator: BaseEstimator, points: Floats, before: Sequence[tuple[str, BaseEstimator]], seed: int
) -> Callable[[float | None, float | None], Pipeline]:
    """Fit what nu and gamma do not change; a function of these two fits the rest.

    Parameters
    ----------
    estimator : estimator or Pipeline
        It is cloned, never fitted itself.
    points : ndarray of float64, shape (m, d)
    before : sequence of (str, estimator)
        Fitted steps that ``points`` went through already.
    seed : int
        For steps whose ``random_state`` is None.

    Returns
    -------
    callable
        ``(nu, gamma)`` to the fitted pipeline, ``before`` included; gamma is a multiple of
        1 / (dimensions x variance). None leaves what the estimator has.
    """
    steps = [(name, _seeded(step, seed)) for name, step in steps_of(estimator)]
    first = next(
        number
        for number, (_, step) in enumerate(steps)
        if "gamma" in step.get_params() or number == len(steps) - 1
    )
    done = list(before)
    for name, step in steps[:first]:
        done.append((name, _adapted(step, points).fit(points)))
        points = step.transform(points)

    def fit(nu: float | None, gamma: float | None) -> Pipeline:
        values, fitted = points, list(done)
        for name, step in steps[first:]:
            step, known = clone(step), step.get_params(deep=False)
            if nu is not None and "nu" in known:
                step.set_params(nu=nu)
            if gamma is not None and "gamma" in known:
                scale = max(values.shape[1] * values.var(), 1e-12)
                step.set_params(gamma=float(gamma / scale))
            fitted.append((name, step.fit(values)))
            if len(fitted) < len(done) + len(steps) - first:
                values = step.transform(values)
        return Pipeline(fitted)

    return fit


def _seeded(step: BaseEstimator, seed: int) -> BaseEstimator:
    step, known = clone(step), step.get_params(deep=False)
    if "random_state" in known and known["random_state"] is None:
        step.set_params(random_state=seed)
    return step


def _adapted(step: BaseEstimator, points: Floats) -> BaseEstimator:
    """A PCA takes no more components than there can be, and the faster of the exact solvers."""
    if isinstance(step, PCA):
        if isinstance(step.n_components, int):
            step.n_components = min(step.n_components, max(1, min(points.shape) - 1))
        if step.svd_solver == "auto":
            # Where there are more points than dimensions the covariance is the smaller matrix.
            exact = "covariance_eigh" if len(points) >= points.shape[1] else "full"
            step.svd_solver = exact
    return step
