"""Nu and gamma of a one-class SVM, chosen without any anomaly."""

import numpy as np
from scipy.stats import spearmanr

from adhelpers._shared.progress import progress

_NU_GRID = (0.01, 0.05, 0.1, 0.2)
# Multiples of 1 / (dimensions x variance), scikit-learn's "scale".
_GAMMA_GRID = (0.0625, 0.25, 1.0, 4.0)


def choose_nu_and_gamma(
    features, fit, *, nu="auto", gamma="auto", folds=5, seed=0, show_progress=False
):
    """Choose a one-class SVM's nu and gamma without any anomaly: by rejection and stability on good images that it was not fitted on.

    The good images are split into folds. For each, two models are fitted on disjoint halves of the
    others; the share of the fold that they reject, and the rank correlation of their two scores in
    the fold (stability), say what a setting is worth. A setting is consistent if it rejects no more
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
    nu, gamma : float or "auto"
        A number is kept.
    folds : int
        Two or more.
    seed : int
    show_progress : bool

    Returns
    -------
    nu, gamma : float
    table : list of dict
        ``nu``, ``gamma``, ``rejected`` (share), ``stability`` and ``consistent`` of each setting.

    Raises
    ------
    ValueError
        For fewer than six images.

    Examples
    --------
    >>> from sklearn.svm import OneClassSVM
    >>> def fit(points):
    ...     return lambda nu, gamma: lambda others: -OneClassSVM(nu=nu, gamma=gamma).fit(points).decision_function(others)
    >>> nu, gamma, table = choose_nu_and_gamma(np.random.default_rng(0).normal(size=(40, 2)), fit, gamma=1.0)
    >>> nu in {row["nu"] for row in table}, gamma
    (True, 1.0)
    """
    if len(features) < 6:
        raise ValueError(
            f'nu="auto" and gamma="auto" need at least 6 good images to choose from, not {len(features)}; give both as numbers.'
        )
    dimensions = features.shape[-1]
    parts = np.array_split(
        np.random.default_rng(seed).permutation(len(features)), min(folds, len(features) // 2)
    )
    settings = [
        (one, other)
        for one in (_NU_GRID if nu == "auto" else (nu,))
        for other in (_GAMMA_GRID if gamma == "auto" else (gamma,))
    ]
    rejected, stability = (
        np.zeros((len(settings), len(parts))),
        np.zeros((len(settings), len(parts))),
    )
    for number, held_out in enumerate(
        progress(parts, description="nu and gamma", enabled=show_progress)
    ):
        others = np.concatenate(parts[:number] + parts[number + 1 :])
        points = features[held_out].reshape(-1, dimensions)
        halves = [
            fit(features[half].reshape(-1, dimensions)) for half in (others[::2], others[1::2])
        ]
        for index, setting in enumerate(settings):
            scores = [fit_one(*setting)(points) for fit_one in halves]
            rejected[index, number] = np.mean([(one > 0).mean() for one in scores])
            # Scores that are all alike have no order that could be stable.
            stability[index, number] = (
                spearmanr(*scores).statistic if all(np.ptp(one) > 0 for one in scores) else 0.0
            )
    table = []
    for (one_nu, one_gamma), rates, correlations in zip(settings, rejected, stability, strict=True):
        rate = float(np.average(rates, weights=[len(part) for part in parts]))
        limit = one_nu + 2 * np.sqrt(one_nu * (1 - one_nu) / len(features))
        table.append(
            {
                "nu": float(one_nu),
                "gamma": float(one_gamma),
                "rejected": rate,
                "stability": float(np.mean(correlations)),
                "consistent": bool(rate <= limit),
            }
        )
    consistent = [row for row in table if row["consistent"]]
    if consistent:
        best = max(row["stability"] for row in consistent)
        stable = [row for row in consistent if row["stability"] >= best - 0.05]
        chosen = max(stable, key=lambda row: (row["gamma"], -row["nu"]))
    else:
        chosen = min(table, key=lambda row: (row["rejected"] - row["nu"], -row["stability"]))
    return chosen["nu"], chosen["gamma"], table
