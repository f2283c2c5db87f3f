"""Shallow methods to hold Deep SAD against: kernel methods, a forest, a density, and a classifier that is given the known anomalies."""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import logsumexp
from sklearn.ensemble import IsolationForest
from sklearn.metrics import euclidean_distances, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.svm import SVC, OneClassSVM

SHALLOW_METHODS = ("one_class_svm", "isolation_forest", "kde", "supervised_svm")
# The search of parameters and the kernel methods take at most so many training samples, drawn at
# random.
_TUNED_ON, _FITTED_ON = 800, 4000
_FOLDS = 3
_NU = 0.1
# Multiples of the kernel width that scikit-learn calls "scale", and bandwidths in units of the
# samples' own scale.
_GAMMAS = tuple(2.0**power for power in range(-6, 6))
_BANDWIDTHS = tuple(2.0 ** (power / 2) for power in range(-8, 5))


@dataclass
class ShallowModel:
    """A fitted shallow method.

    Attributes
    ----------
    method : str
    chosen : dict of str to float
        The parameters that were searched.
    rule : str
        What chose them.
    """

    method: str
    chosen: dict
    rule: str
    _model: object = field(repr=False)
    _centre: np.ndarray = field(repr=False)
    _scale: float = field(repr=False)

    def score(self, samples):
        """One number a sample: float64 (n,), higher is more anomalous."""
        flat = (_flat(samples) - self._centre) / self._scale
        if self.method == "supervised_svm":
            return self._model.decision_function(flat)
        return -(self._model.score_samples(flat))


def _flat(samples):
    return np.asarray(samples, dtype=np.float64).reshape(len(samples), -1)


def _part(samples, limit, random):
    return samples if len(samples) <= limit else samples[random.permutation(len(samples))[:limit]]


def _one_class_svm(normal, outliers, random):
    base, chosen, rule = 1 / (normal.shape[1] * normal.var()), 1.0, "scikit-learn's default"
    if len(outliers):
        part, areas = _part(normal, _TUNED_ON, random), []
        for factor in _GAMMAS:
            scores = []
            for kept, left in KFold(_FOLDS).split(part):
                model = OneClassSVM(nu=_NU, gamma=factor * base).fit(part[kept])
                answers = model.score_samples(np.concatenate([part[left], outliers]))
                scores.append(
                    roc_auc_score(np.repeat([0, 1], [len(left), len(outliers)]), -answers)
                )
            areas.append(np.mean(scores))
        chosen, rule = (
            _GAMMAS[int(np.argmax(areas))],
            "known anomalies against held-out training samples",
        )
    gamma = float(chosen * base)
    return (
        OneClassSVM(nu=_NU, gamma=gamma).fit(_part(normal, _FITTED_ON, random)),
        {"nu": _NU, "gamma": gamma},
        rule,
    )


class _KernelDensity:
    """Gaussian kernel density. scikit-learn's own walks a tree and loses its digits over hundreds of dimensions: on MNIST its order of samples is
    near chance where the sum itself gives an AUROC of 0.92."""

    def __init__(self, bandwidth):
        self._bandwidth = bandwidth

    def fit(self, samples):
        self._samples = samples
        return self

    def score_samples(self, samples):
        count, dimensions = self._samples.shape
        exponents = euclidean_distances(samples, self._samples, squared=True) / (
            -2 * self._bandwidth**2
        )
        return (
            logsumexp(exponents, axis=1)
            - np.log(count)
            - dimensions * np.log(self._bandwidth * np.sqrt(2 * np.pi))
        )


def _kde(normal, outliers, random):
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


def _isolation_forest(normal, outliers, random):
    forest = IsolationForest(n_estimators=300, random_state=int(random.integers(2**31)))
    return forest.fit(normal), {}, "nothing to choose"


def _supervised_svm(normal, outliers, random):
    def joined(limit):
        part = _part(normal, limit, random)
        return np.concatenate([part, outliers]), np.repeat([0, 1], [len(part), len(outliers)])

    base = 1 / (normal.shape[1] * normal.var())
    chosen, rule = (
        {"C": 1.0, "gamma": base},
        "scikit-learn's defaults: too few known anomalies to choose with",
    )
    if len(outliers) >= 2 * _FOLDS:
        grid = {
            "C": [0.1, 1.0, 10.0, 100.0],
            "gamma": [factor * base for factor in (0.0625, 0.25, 1.0, 4.0)],
        }
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
        search = GridSearchCV(SVC(class_weight="balanced"), grid, scoring="roc_auc", cv=folds).fit(
            *joined(_TUNED_ON)
        )
        chosen, rule = search.best_params_, "cross-validation on the labels given"
    return SVC(class_weight="balanced", **chosen).fit(*joined(_FITTED_ON)), chosen, rule


_FITS = {
    "one_class_svm": _one_class_svm,
    "isolation_forest": _isolation_forest,
    "kde": _kde,
    "supervised_svm": _supervised_svm,
}


def fit_shallow(method, train, labels=None, *, seed=0):
    """Fit a shallow method on the training set that Deep SAD was given, its parameters chosen without any test sample.

    Samples are centred, and divided by one number, their root mean variance, so that distances keep
    their proportions.

    Parameters
    ----------
    method : {"one_class_svm", "isolation_forest", "kde", "supervised_svm"}
        ``"one_class_svm"`` (Schölkopf et al., "Estimating the support of a high-dimensional
        distribution", 2001), nu 0.1: known anomalies are not trained on, but choose the kernel's
        width, which is scikit-learn's default without them. ``"isolation_forest"`` (Liu et al.,
        ICDM 2008) and ``"kde"`` (Gaussian kernel density, its bandwidth by the likelihood of
        held-out samples) leave known anomalies out. ``"supervised_svm"``: known anomalies against
        everything else, as if that were all normal (Elkan and Noto, "Learning classifiers from only
        positive and unlabeled data", KDD 2008); classes weigh alike.
    train : ndarray, shape (n, ...)
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
    if method not in _FITS:
        raise ValueError(f"method must be one of {', '.join(SHALLOW_METHODS)}, not {method!r}.")
    flat = _flat(train)
    labels = np.zeros(len(flat), int) if labels is None else np.asarray(labels)
    normal, outliers = flat[labels >= 0], flat[labels < 0]
    if len(normal) < 2 * _FOLDS:
        raise ValueError(
            f"train must hold at least {2 * _FOLDS} normal or unlabelled samples; there are {len(normal)}."
        )
    if method == "supervised_svm" and len(outliers) == 0:
        raise ValueError("supervised_svm needs at least one known anomaly (label -1).")
    centre = normal.mean(axis=0)
    scale = float(np.sqrt(((normal - centre) ** 2).mean())) or 1.0
    model, chosen, rule = _FITS[method](
        (normal - centre) / scale, (outliers - centre) / scale, np.random.default_rng(seed)
    )
    return ShallowModel(
        method, {name: float(value) for name, value in chosen.items()}, rule, model, centre, scale
    )
