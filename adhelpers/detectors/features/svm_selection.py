"""Nu and gamma of a one-class SVM, chosen without any anomaly."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from adhelpers._shared.arrays import Floats
from adhelpers._shared.progress import progress

_NU_GRID = (0.01, 0.05, 0.1, 0.2)
# Multiples of 1 / (dimensions x variance), scikit-learn's "scale".
_GAMMA_GRID = (0.0625, 0.25, 1.0, 4.0)
_FEWEST = 6

Score = Callable[[Floats], Floats]
Fit = Callable[[Floats], Callable[[float, float], Score]]


@dataclass(frozen=True)
class SVMSelection:
    """What a one-class SVM's nu and gamma are, or that they are chosen on good images.

    Parameters
    ----------
    nu : float, optional
        Upper bound of the share of good vectors outside, in (0, 1]; None is chosen.
    gamma : float, optional
        Of the kernel, as a multiple of 1 / (dimensions x variance), which is ``"scale"`` in
        scikit-learn and here the same as 1; None is chosen.
    folds : int
        Two or more, for the choice.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> SVMSelection(nu=0.1)
    SVMSelection(nu=0.1, gamma=None, folds=5)
    """

    nu: float | None = None
    gamma: float | None = None
    folds: int = 5

    def __post_init__(self) -> None:
        if self.nu is not None and not 0 < self.nu <= 1:
            raise ValueError(f"nu must be None or in (0, 1], not {self.nu}")
        if self.gamma is not None and not self.gamma > 0:
            raise ValueError(f"gamma must be None or above 0, not {self.gamma}")
        if self.folds < 2:
            raise ValueError(f"folds must be 2 or more, not {self.folds}")

    def settings(self) -> list[tuple[float, float]]:
        """All pairs of nu and gamma that are compared."""
        return [
            (one, other)
            for one in (_NU_GRID if self.nu is None else (self.nu,))
            for other in (_GAMMA_GRID if self.gamma is None else (self.gamma,))
        ]


def choose_nu_and_gamma(
    features: Floats,
    fit: Fit,
    selection: SVMSelection,
    *,
    seed: int = 0,
    show_progress: bool = False,
) -> tuple[float, float, list[dict[str, Any]]]:
    """Choose nu and gamma by rejection and stability on good images that no model was fitted on.

    The good images are split into folds. For each, two models are fitted on disjoint halves of the
    others; the share of the fold that they reject, and the rank correlation of their two scores in
    the fold (stability) rate a setting. A setting is consistent if it rejects no more
    than nu, within two standard errors: the criterion of Tax and Müller, "A consistency-based model
    selection for one-class classification", ICPR 2004, who take the most complex consistent model.
    Here it must also be stable: of the consistent ones whose stability is within 0.05 of the best,
    the largest gamma, then the smallest nu, is taken. If none is consistent, the one that exceeds
    its nu least.

    Parameters
    ----------
    features : ndarray, shape (n, d) or (n, patches, d)
        Of good images.
    fit : callable
        ``fit(features (m, d)) -> fit_one``, ``fit_one(nu, gamma) -> score``, ``score(features (m,
        d)) -> (m,)``: above 0 where rejected; gamma is a multiple of 1 / (dimensions x variance).
        What does not depend on nu and gamma is done once in the first step.
    selection : SVMSelection
    seed : int
    show_progress : bool

    Returns
    -------
    nu, gamma : float
    trials : list of dict
        ``nu``, ``gamma``, ``rejected`` (share), ``stability`` and ``consistent`` of each setting;
        empty where there is only one.

    Raises
    ------
    ValueError
        For fewer than six images.

    Examples
    --------
    >>> from sklearn.svm import OneClassSVM
    >>> def fit(points):
    ...     def fit_one(nu, gamma):
    ...         model = OneClassSVM(nu=nu, gamma=gamma).fit(points)
    ...         return lambda others: -model.decision_function(others)
    ...     return fit_one
    >>> points = np.random.default_rng(0).normal(size=(40, 2))
    >>> nu, gamma, trials = choose_nu_and_gamma(points, fit, SVMSelection(gamma=1.0))
    >>> nu in {row["nu"] for row in trials}, gamma
    (True, 1.0)
    """
    settings = selection.settings()
    if len(settings) == 1:
        return *settings[0], []
    if len(features) < _FEWEST:
        raise ValueError(
            f"selection: nu and gamma are chosen on {_FEWEST} good images or more, not "
            f"{len(features)}; give both as numbers"
        )
    parts = np.array_split(
        np.random.default_rng(seed).permutation(len(features)),
        min(selection.folds, len(features) // 2),
    )
    rejected, stability = (
        np.zeros((len(settings), len(parts))),
        np.zeros((len(settings), len(parts))),
    )
    for number in progress(range(len(parts)), description="nu and gamma", enabled=show_progress):
        rejected[:, number], stability[:, number] = _in_fold(features, fit, settings, parts, number)
    trials = []
    for (nu, gamma), rates, correlations in zip(settings, rejected, stability, strict=True):
        rate = float(np.average(rates, weights=[len(part) for part in parts]))
        limit = nu + 2 * np.sqrt(nu * (1 - nu) / len(features))
        trials.append(
            {
                "nu": float(nu),
                "gamma": float(gamma),
                "rejected": rate,
                "stability": float(np.mean(correlations)),
                "consistent": bool(rate <= limit),
            }
        )
    chosen = _best(trials)
    return chosen["nu"], chosen["gamma"], trials


def _in_fold(
    features: Floats,
    fit: Fit,
    settings: list[tuple[float, float]],
    parts: list[NDArray[np.int_]],
    number: int,
) -> tuple[list[float], list[float]]:
    """Rejection and stability of each setting in one fold."""
    flat = features.shape[-1]
    points = features[parts[number]].reshape(-1, flat)
    others = np.concatenate(parts[:number] + parts[number + 1 :])
    halves = [fit(features[half].reshape(-1, flat)) for half in (others[::2], others[1::2])]
    rejected, stability = [], []
    for setting in settings:
        scores = [fit_one(*setting)(points) for fit_one in halves]
        rejected.append(float(np.mean([(one > 0).mean() for one in scores])))
        # Scores that are all alike have no order that could be stable.
        ordered = all(np.ptp(one) > 0 for one in scores)
        stability.append(float(spearmanr(*scores).statistic) if ordered else 0.0)
    return rejected, stability


def _best(trials: list[dict[str, Any]]) -> dict[str, Any]:
    consistent = [row for row in trials if row["consistent"]]
    if not consistent:
        return min(trials, key=lambda row: (row["rejected"] - row["nu"], -row["stability"]))
    most = max(row["stability"] for row in consistent)
    stable = [row for row in consistent if row["stability"] >= most - 0.05]
    return max(stable, key=lambda row: (row["gamma"], -row["nu"]))
