"""Whether the ranks of several detectors on several categories differ by more than chance."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from .comparison import holm

POST_HOC = ("nemenyi", "wilcoxon")
# With fewer a rank says too little for a test, or there is nothing to correct for.
FEWEST = 3
# Figures that differ by less are equal but for rounding.
_DECIMALS = 9


@dataclass(frozen=True)
class RankComparison:
    """Detectors by their mean rank over categories, and which of them differ.

    Attributes
    ----------
    ranks : ndarray of float64, shape (k,)
        Mean rank of each detector; 1 is the best, equal figures share their ranks.
    statistic, p_value : float
        Of the Friedman test, corrected for ties: how often ranks so different would come by chance
        if all detectors were alike.
    pairs : ndarray of float64, shape (k, k)
        P-value of each pair, corrected for the number of pairs.
    critical_difference : float
        Mean ranks that differ by more are different by the Nemenyi test; NaN for Wilcoxon's.
    significance : float
    """

    ranks: NDArray[np.float64]
    statistic: float
    p_value: float
    pairs: NDArray[np.float64]
    critical_difference: float
    significance: float

    def groups(self) -> list[tuple[int, ...]]:
        """Detectors that are not shown to differ, each from the best to the worst.

        The largest runs of neighbours in the ranking of which no two differ; all detectors where
        the Friedman test finds nothing, because then pairs are not asked.
        """
        order = [int(index) for index in np.argsort(self.ranks, kind="stable")]
        if self.p_value > self.significance:
            return [tuple(order)]
        found: list[tuple[int, ...]] = []
        for start in range(len(order)):
            end = start + 1
            while end < len(order) and all(
                self.pairs[order[end], other] > self.significance for other in order[start:end]
            ):
                end += 1
            if end - start > 1 and not (found and order[end - 1] in found[-1]):
                found.append(tuple(order[start:end]))
        return found


def compare_ranks(
    scores: ArrayLike, post_hoc: str = "nemenyi", significance: float = 0.05
) -> RankComparison:
    """Friedman's test of detectors over categories, and then which pairs differ.

    Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006: each
    category ranks the detectors, because figures of different categories are on different scales.

    Parameters
    ----------
    scores : ndarray of float, shape (n, k)
        A figure of each of k detectors (higher is better) on each of n categories.
    post_hoc : {"nemenyi", "wilcoxon"}
        How pairs are compared: by the difference of their mean ranks (Nemenyi, which depends on
        the other detectors too), or by Wilcoxon's signed-rank test with Holm's correction
        (Benavoli, Corani, Mangili, JMLR 2016; it finds nothing below 0.05 with fewer than six
        categories).
    significance : float
        Between 0 and 1.

    Returns
    -------
    RankComparison

    Raises
    ------
    ValueError
        With fewer than three categories or detectors, a figure that is not finite, an unknown
        ``post_hoc`` or a ``significance`` out of range.

    Examples
    --------
    >>> found = compare_ranks([[0.9, 0.8, 0.7], [0.9, 0.7, 0.8], [0.8, 0.7, 0.6], [0.9, 0.8, 0.6]])
    >>> found.ranks.tolist(), round(found.p_value, 3), round(found.critical_difference, 2)
    ([1.0, 2.25, 2.75], 0.039, 1.66)
    >>> found.groups()
    [(0, 1), (1, 2)]
    """
    values = np.asarray(scores, dtype=float)
    if values.ndim != 2 or min(values.shape) < FEWEST:
        raise ValueError(
            f"scores must hold at least {FEWEST} categories (rows) and {FEWEST} detectors "
            f"(columns), not the shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("scores holds NaN or infinite figures: leave out their row or column")
    if post_hoc not in POST_HOC:
        raise ValueError(f"post_hoc must be one of {', '.join(POST_HOC)}, not {post_hoc!r}")
    if not 0 < significance < 1:
        raise ValueError(f"significance must lie between 0 and 1, such as 0.05; got {significance}")
    values = values.round(_DECIMALS)
    ranks = stats.rankdata(-values, axis=1).mean(axis=0)
    if (values == values[:, :1]).all():
        statistic, p_value = 0.0, 1.0
    else:
        statistic, p_value = map(float, stats.friedmanchisquare(*values.T))
    categories, detectors = values.shape
    # The spread of a difference of two mean ranks, in the unit of the studentized range.
    unit = np.sqrt(detectors * (detectors + 1) / (12 * categories))
    difference = float("nan")
    if post_hoc == "nemenyi":
        difference = float(stats.studentized_range.ppf(1 - significance, detectors, np.inf) * unit)
        apart = np.abs(ranks[:, None] - ranks) / unit
        pairs = stats.studentized_range.sf(apart, detectors, np.inf)
    else:
        pairs = _signed_ranks(values)
    np.fill_diagonal(pairs, 1.0)
    return RankComparison(ranks, statistic, p_value, pairs, difference, significance)


def _signed_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values of all pairs of columns by Wilcoxon's test, with Holm's correction."""
    pairs = list(combinations(range(values.shape[1]), 2))
    found = [_signed_rank_test(values[:, first] - values[:, second]) for first, second in pairs]
    corrected = np.ones((values.shape[1], values.shape[1]))
    for (first, second), p_value in zip(pairs, holm(found), strict=True):
        corrected[first, second] = corrected[second, first] = p_value
    return corrected


def _signed_rank_test(differences: NDArray[np.float64]) -> float:
    """The exact two-sided p-value of Wilcoxon's signed-rank test, also with ties and zeros.

    Every rank counts or not with probability 1/2. Zeros take part in the ranking and then count
    never (Pratt, "Remarks on zeros and ties in the Wilcoxon signed rank procedures", JASA 1959).
    SciPy goes through all signs where there are ties, half a second for a pair of 13 categories.
    """
    differences = differences.round(_DECIMALS)
    # Ranks of ties are halves.
    doubled = np.rint(2 * stats.rankdata(np.abs(differences))).astype(int)
    positive = int(doubled[differences > 0].sum())
    chances = np.ones(1)
    for rank in doubled[differences != 0]:
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    smaller, larger = chances[: positive + 1].sum(), chances[positive:].sum()
    return float(min(1.0, 2 * min(smaller, larger)))
