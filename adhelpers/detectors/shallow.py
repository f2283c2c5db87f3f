"""Shallow methods to compare Deep SAD with, on the same samples and labels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.ensemble import IsolationForest
from sklearn.metrics import euclidean_distances, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.svm import SVC, OneClassSVM

from adhelpers._shared.arrays import Floats
from adhelpers._shared.checks import check_choice

# Largest numbers of training samples, drawn at random, for the choice of parameters and for kernel
# methods.
_TUNED_ON, _FITTED_ON = 800, 4000
_FOLDS = 3
# Fewest normal or unlabelled training samples of every method.
FEWEST_SAMPLES = 2 * _FOLDS
_NU = 0.1
# Multiples of the kernel width that scikit-learn calls "scale", and bandwidths in units of the
# samples' own scale.
_GAMMAS = tuple(2.0**power for power in range(-6, 6))
_BANDWIDTHS = tuple(2.0 ** (power / 2) for power in range(-8, 5))

# The fitted model, the parameters chosen and what chose them.
_Fitted: TypeAlias = tuple[Any, dict[str, float], str]


@dataclass
class ShallowModel:
    """A fitted shallow method.

    Attributes
    ----------
    method : str
    chosen : dict of str to float
        The parameters that were chosen from the training samples.
    rule : str
        What chose them.
    """

    method: str
    chosen: dict[str, float]
    rule: str
    _model: Any = field(repr=False)
    _centre: Floats = field(repr=False)
    _scale: float = field(repr=False)

    def score(self, samples: ArrayLike) -> Floats:
        """The score of each sample, float64 (n,); higher is more anomalous."""
        flat = (_flat(samples) - self._centre) / self._scale
        if self.method == "supervised_svm":
            return self._model.decision_function(flat)
        return -(self._model.score_samples(flat))


def _flat(samples: ArrayLike) -> Floats:
    samples = np.asarray(samples, dtype=np.float64)
    return samples.reshape(len(samples), -1)


def _part(samples: Floats, limit: int, random: np.random.Generator) -> Floats:
    return samples if len(samples) <= limit else samples[random.permutation(len(samples))[:limit]]


def _base_gamma(samples: Floats) -> float:
    """The kernel width that scikit-learn calls "scale"."""
    return 1 / (samples.shape[1] * samples.var())


def _one_class_svm(normal: Floats, outliers: Floats, random: np.random.Generator) -> _Fitted:
    factor, rule = 1.0, "scikit-learn's default"
    base = _base_gamma(normal)
    if len(outliers):
        part = _part(normal, _TUNED_ON, random)
        areas = [_separation(part, outliers, factor * base) for factor in _GAMMAS]
        factor = _GAMMAS[int(np.argmax(areas))]
        rule = "known anomalies against held-out training samples"
    gamma = float(factor * base)
    model = OneClassSVM(nu=_NU, gamma=gamma).fit(_part(normal, _FITTED_ON, random))
    return model, {"nu": _NU, "gamma": gamma}, rule


def _separation(normal: Floats, outliers: Floats, gamma: float) -> float:
    """Mean AUROC of the known anomalies against held-out samples, over the folds."""
    scores = []
    for kept, left in KFold(_FOLDS).split(normal):
        model = OneClassSVM(nu=_NU, gamma=gamma).fit(normal[kept])
        answers = model.score_samples(np.concatenate([normal[left], outliers]))
        scores.append(roc_auc_score(np.repeat([0, 1], [len(left), len(outliers)]), -answers))
    return float(np.mean(scores))


class _KernelDensity:
    """Gaussian kernel density as an exact sum.

    scikit-learn's own uses a tree and loses its digits over hundreds of dimensions: on MNIST its
    ranking is near chance, where the sum has an AUROC of 0.92.
    """

    def __init__(self, bandwidth: float) -> None:
        self._bandwidth = bandwidth

    def fit(self, samples: Floats) -> "_KernelDensity":
        self._samples = samples
        return self

    def score_samples(self, samples: Floats) -> Floats:
        count, dimensions = self._samples.shape
        squares = euclidean_distances(samples, self._samples, squared=True)
        logarithms = logsumexp(squares / (-2 * self._bandwidth**2), axis=1)
        return (
            logarithms - np.log(count) - dimensions * np.log(self._bandwidth * np.sqrt(2 * np.pi))
        )


def _kde(normal: Floats, outliers: Floats, random: np.random.Generator) -> _Fitted:
    part = _part(normal, _TUNED_ON, random)
    likelihoods = [
        np.mean(
            [
                _KernelDensity(bandwidth).fit(part[kept]).score_samples(part[left]).mean()
                for kept, left in KFold(_FOLDS).split(part)
            ]
        )
        for bandwidth in _BANDWIDTHS
    ]
    bandwidth = _BANDWIDTHS[int(np.argmax(likelihoods))]
    return (
        _KernelDensity(bandwidth).fit(_part(normal, _FITTED_ON, random)),
        {"bandwidth": bandwidth},
        "likelihood of held-out training samples",
    )


def _isolation_forest(normal: Floats, outliers: Floats, random: np.random.Generator) -> _Fitted:
    forest = IsolationForest(n_estimators=300, random_state=int(random.integers(2**31)))
    return forest.fit(normal), {}, "nothing to choose"


def _supervised_svm(normal: Floats, outliers: Floats, random: np.random.Generator) -> _Fitted:
    def joined(limit: int) -> tuple[Floats, Any]:
        part = _part(normal, limit, random)
        return np.concatenate([part, outliers]), np.repeat([0, 1], [len(part), len(outliers)])

    base = _base_gamma(normal)
    chosen = {"C": 1.0, "gamma": base}
    rule = "scikit-learn's defaults: too few known anomalies to choose with"
    if len(outliers) >= 2 * _FOLDS:
        grid = {
            "C": [0.1, 1.0, 10.0, 100.0],
            "gamma": [factor * base for factor in (0.0625, 0.25, 1.0, 4.0)],
        }
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
        search = GridSearchCV(SVC(class_weight="balanced"), grid, scoring="roc_auc", cv=folds)
        chosen = search.fit(*joined(_TUNED_ON)).best_params_
        rule = "cross-validation on the labels given"
    return SVC(class_weight="balanced", **chosen).fit(*joined(_FITTED_ON)), chosen, rule


_FITS: dict[str, Callable[[Floats, Floats, np.random.Generator], _Fitted]] = {
    "one_class_svm": _one_class_svm,
    "isolation_forest": _isolation_forest,
    "kde": _kde,
    "supervised_svm": _supervised_svm,
}
SHALLOW_METHODS = tuple(_FITS)


def fit_shallow(
    method: str, train: ArrayLike, labels: ArrayLike | None = None, *, seed: int = 0
) -> ShallowModel:
    """Fit a shallow method on Deep SAD's training samples; no parameter is chosen on test samples.

    Samples are centred and divided by one number, the root of their mean variance, so that
    distances keep their proportions.

    Parameters
    ----------
    method : {"one_class_svm", "isolation_forest", "kde", "supervised_svm"}
        - ``"one_class_svm"`` (Schölkopf et al., "Estimating the support of a high-dimensional
          distribution", 2001) with nu 0.1: known anomalies are not trained on, but choose the width
          of the kernel, which is scikit-learn's default without them.
        - ``"isolation_forest"`` (Liu et al., ICDM 2008) and ``"kde"`` (Gaussian kernel density, its
          bandwidth chosen by the likelihood of held-out samples) leave known anomalies out.
        - ``"supervised_svm"``: known anomalies against all other samples, as if these were all
          normal (Elkan and Noto, "Learning classifiers from only positive and unlabeled data", KDD
          2008), with equal weights of both classes.
    train : array_like, shape (n, ...)
        Flattened.
    labels : array_like of int, shape (n,), optional
        0 unlabelled, 1 known normal, -1 known anomaly; None is 0 for all.
    seed : int

    Returns
    -------
    ShallowModel

    Raises
    ------
    ValueError
        If the method is unknown, there are fewer than 6 normal or unlabelled samples, or
        ``"supervised_svm"`` has no known anomaly.

    Examples
    --------
    >>> train = np.random.default_rng(0).normal(size=(40, 3))
    >>> scores = fit_shallow("kde", train).score([[0, 0, 0], [9, 9, 9]])
    >>> bool(scores[1] > scores[0])
    True
    """
    check_choice("method", method, SHALLOW_METHODS)
    flat = _flat(train)
    known = np.zeros(len(flat), int) if labels is None else np.asarray(labels)
    normal, outliers = flat[known >= 0], flat[known < 0]
    if len(normal) < FEWEST_SAMPLES:
        raise ValueError(
            f"train must hold at least {FEWEST_SAMPLES} normal or unlabelled samples; there are "
            f"{len(normal)}"
        )
    if method == "supervised_svm" and len(outliers) == 0:
        raise ValueError("supervised_svm needs at least one known anomaly (label -1)")
    centre = normal.mean(axis=0)
    scale = float(np.sqrt(((normal - centre) ** 2).mean())) or 1.0
    model, chosen, rule = _FITS[method](
        (normal - centre) / scale, (outliers - centre) / scale, np.random.default_rng(seed)
    )
    chosen = {name: float(value) for name, value in chosen.items()}
    return ShallowModel(method, chosen, rule, model, centre, scale)
