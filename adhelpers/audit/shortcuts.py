"""Can a trivial statistic tell good from defective images? Then a high AUROC proves nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from adhelpers._shared.arrays import Flags, Floats, Integers
from adhelpers._shared.checks import checked_labels, checked_scores
from adhelpers._shared.text import or_dash
from adhelpers.metrics import (
    Estimate,
    auroc_estimate,
    checked_resampling,
    holm,
    ranking_interval,
    resample_counts,
)

from .statistics import FILE_STATISTICS

# A statistic counts as a shortcut where its corrected p-value is below this.
_SIGNIFICANCE = 0.05
_COLUMNS = ["statistic", "auroc", "direction", "separability", "low", "high", "note", "p_value"]
# From this AUROC on, a statistic that is not significant is still worth a word, and strata count as
# not alike.
_NOTABLE = 0.7


@dataclass(frozen=True)
class ShortcutProbe:
    """How well each trivial statistic tells test-good from test-anomalous.

    Attributes
    ----------
    statistics : pandas.DataFrame
        A row for each statistic, the most separating first. Columns: ``statistic``; ``auroc`` with
        "higher is anomalous"; ``direction`` in the anomalous images (``"higher"``, ``"lower"`` or
        ``"none"``); ``separability``, the AUROC in that direction; ``low``, ``high``, its 95 %
        interval, direction held, so it may reach below 0.5, NaN for a constant statistic;
        ``note`` on the interval (see `Estimate`); ``p_value``, Mann-Whitney, corrected after Holm;
        ``significant``. All of these outside the defects where that was measured; the same of whole
        images in columns that begin with ``whole_``. NaN and ``"unknown"`` where the test set has a
        single class.
    strongest : str or None
        The statistic that separates most, significantly or not; None where the test set has a
        single class.
    good, anomalous : int
        Number of images of each class.
    tested : int
        Number of statistics that differ between images; p-values are corrected for it.
    outside_defects : bool
        Whether statistics were measured outside the defects. Where not, one that separates may do
        so through the defects themselves.
    """

    statistics: pd.DataFrame
    strongest: str | None
    good: int
    anomalous: int
    tested: int
    outside_defects: bool = False

    def table(self, count: int | None = None) -> pd.DataFrame:
        """The statistics as people read them, the best first; by default all.

        Parameters
        ----------
        count
            Maximum number of rows.

        Returns
        -------
        pandas.DataFrame
        """
        table = self.statistics.head(len(self.statistics) if count is None else count)
        where = {"AUROC": ""}
        if self.outside_defects:
            where = {"AUROC outside the defects": "", "AUROC of the whole image": "whole_"}
        return pd.DataFrame(
            {
                "statistic": table["statistic"].map(_words),
                "in defective images": table["direction"],
                **{title: _intervals(table, prefix) for title, prefix in where.items()},
                "p, corrected": table["p_value"].map("{:.3g}".format),
                "shortcut": np.where(table["significant"], "yes", "no"),
            }
        )

    def findings(self) -> list[str]:
        """Whether a statistic alone tells good from defective test images, and what follows."""
        if self.strongest is None:
            return [
                f"The test set has only {'good' if self.good else 'anomalous'} images: whether a "
                "trivial statistic tells good from defective cannot be known."
            ]
        first = self.statistics.iloc[0]
        if first.significant:
            return [self._shortcut(first)]
        none = "No trivial statistic tells good from defective test images"
        if not self.tested:
            return [f"{none}: each is the same in all of them."]
        if self.outside_defects:
            none += " when the defects are left out"
        found = (
            f"{none}: the best single one, {_words(first.statistic)}, has an AUROC of "
            f"{first.separability:.3f}, which may be chance (p = {first.p_value:.2f}, corrected "
            f"for {self.tested} statistics)."
        )
        if first.separability >= _NOTABLE:
            found += (
                f" With {self.good} good and {self.anomalous} defective images a shortcut cannot "
                "be ruled out either."
            )
        return [found + self._through_the_defects()]

    def _through_the_defects(self) -> str:
        """A sentence on the statistic of whole images that separates through the defects alone."""
        if not self.outside_defects:
            return ""
        whole = self.statistics.sort_values("whole_separability", ascending=False).iloc[0]
        if not whole.whole_significant:
            return ""
        return (
            f" Of whole images {_words(whole.statistic)} has {whole.whole_separability:.3f}: the "
            "defects themselves change it, which is no shortcut."
        )

    def _shortcut(self, first: Any) -> str:
        """What follows where the best statistic, a row of the table, is significant."""
        name = _words(first.statistic)
        found = f"{name[0].upper()}{name[1:]} alone tells good from defective test images "
        is_of_file = first.statistic in FILE_STATISTICS
        if self.outside_defects and not is_of_file:
            found += "even where the defects are left out "
        found += (
            f"({first.direction} in the defective ones) with an AUROC of {first.separability:.3f}: "
        )
        if is_of_file:
            return (
                f"{found}the files were not made alike, and what differs may reach a detector "
                "through the pixels."
            )
        reach = f"an AUROC of up to {first.separability:.3f}"
        if first.separability >= 0.9995:
            reach = "a high AUROC"
        found += f"{reach} of a detector on this test set proves nothing."
        if not self.outside_defects:
            found += (
                " Without masks it cannot be told whether the defects themselves change it or the "
                "photographs differ."
            )
        return found

    def as_dict(self) -> dict[str, Any] | None:
        """The best statistic as plain values for JSON.

        Returns
        -------
        dict or None
            ``name``, ``auroc``, ``separability``, ``direction``, ``significant``,
            ``outside_defects``, ``whole_image`` (its separability there); None where the test set
            has a single class.
        """
        if self.strongest is None:
            return None
        first = self.statistics.iloc[0]
        return {
            "name": self.strongest,
            "auroc": float(first.auroc),
            "separability": float(first.separability),
            "direction": first.direction,
            "significant": bool(first.significant),
            "outside_defects": self.outside_defects,
            "whole_image": float(first.whole_separability),
        }


def probe_shortcuts(
    statistics: pd.DataFrame,
    labels: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    outside: pd.DataFrame | None = None,
) -> ShortcutProbe:
    """Hold each trivial statistic against the labels of the test set.

    Parameters
    ----------
    statistics
        A row for each test image, a numeric column for each statistic: those of
        :func:`image_statistics`, or others.
    labels : array-like of int, shape (n,)
        0 good, 1 anomalous.
    resamples
        Of the bootstrap, stratified by label.
    seed
    outside
        The same statistics measured outside the defects (`regions_to_leave_out`); then these decide
        what is a shortcut.

    Returns
    -------
    ShortcutProbe

    Raises
    ------
    ValueError
        If there are no statistics, one is not a finite number, labels do not fit, or ``outside``
        has other rows or columns.

    Notes
    -----
    A statistic of whole images can also separate because the defects themselves change it: a large
    dark hole lowers the mean brightness. Only outside the defects can that be told from a shortcut.

    A constant statistic has AUROC 0.5 and is not counted in the correction for looking at many.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics, 1979.

    Examples
    --------
    >>> statistics = pd.DataFrame({"mean_brightness": np.arange(20), "noise": [1, 2] * 10})
    >>> probe = probe_shortcuts(statistics, [0] * 10 + [1] * 10)
    >>> probe.strongest, probe.statistics["separability"].tolist()
    ('mean_brightness', [1.0, 0.5])
    >>> probe.findings()[0][:62]
    'Mean brightness alone tells good from defective test images (h'
    >>> outside = pd.DataFrame({"mean_brightness": [1, 2] * 10, "noise": [1, 2] * 10})
    >>> probe_shortcuts(statistics, [0] * 10 + [1] * 10, outside=outside).as_dict()["significant"]
    False
    """
    checked_resampling(resamples, 0.95)
    statistics = _checked_statistics(statistics)
    anomalous = checked_labels(labels, len(statistics))
    decisive = statistics if outside is None else _checked_statistics(outside)
    if decisive.shape != statistics.shape or list(decisive) != list(statistics):
        raise ValueError(
            "outside must have the rows and columns of statistics, measured outside the defects"
        )
    bad = int(anomalous.sum())
    good = len(anomalous) - bad
    if not good or not bad:
        return ShortcutProbe(_unknown(statistics), None, good, bad, 0, outside is not None)
    blocks = list(resample_counts(anomalous, resamples, seed))
    whole = _separations(statistics, anomalous, blocks)
    table = whole if outside is None else _separations(decisive, anomalous, blocks)
    tested = int(table["p_value"].notna().sum())
    for one in (table, whole):
        one["p_value"] = holm(one["p_value"].to_numpy(copy=True))
        one["significant"] = one["p_value"] < _SIGNIFICANCE
    table = table.join(whole.drop(columns="statistic").add_prefix("whole_"))
    table = table.sort_values("separability", ascending=False, kind="stable", ignore_index=True)
    strongest = str(table["statistic"].iloc[0])
    return ShortcutProbe(table, strongest, good, bad, tested, outside is not None)


def _separations(
    statistics: pd.DataFrame, anomalous: Flags, blocks: Sequence[Integers]
) -> pd.DataFrame:
    """How well each statistic separates the classes, p-values not yet corrected."""
    rows = [
        _separation(name, column.to_numpy(), anomalous, blocks)
        for name, column in statistics.items()
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _separation(
    name: object, values: Floats, anomalous: Flags, blocks: Sequence[Integers]
) -> tuple[object, ...]:
    """How well one statistic separates the classes, with interval and uncorrected p-value."""
    wins = _wins(values, anomalous)
    auroc, draws = float(wins.mean()), _resampled_means(wins, anomalous, blocks)
    direction = "none" if auroc == 0.5 else "higher" if auroc > 0.5 else "lower"
    smaller = min(int(anomalous.sum()), int((~anomalous).sum()))
    interval = ranking_interval(
        max(auroc, 1 - auroc), 1 - draws if direction == "lower" else draws, smaller
    )
    p_value = np.nan
    if np.ptp(values) > 0:
        p_value = stats.mannwhitneyu(values[anomalous], values[~anomalous]).pvalue
    return name, auroc, direction, *interval, interval.note, p_value


def _checked_statistics(statistics: pd.DataFrame) -> pd.DataFrame:
    """The statistics as finite floats."""
    statistics = pd.DataFrame(statistics)
    if statistics.empty or not statistics.columns.is_unique:
        raise ValueError(
            "statistics must have a row for each image and at least one column, "
            "each of another name"
        )
    strange = [
        str(name)
        for name, values in statistics.items()
        if not pd.api.types.is_numeric_dtype(values)
        or not np.isfinite(values.to_numpy(dtype=float)).all()
    ]
    if strange:
        raise ValueError(f"statistics must be finite numbers; {', '.join(strange)} has others")
    return statistics.astype(float).rename(columns=str).reset_index(drop=True)


def _checked_values(values: ArrayLike, name: str, length: int | None = None) -> Floats:
    """One finite number for each image."""
    checked = checked_scores(values, name)
    if length is not None and len(checked) != length:
        raise ValueError(
            f"{name} must hold one number for each of the {length} images; got {len(checked)}"
        )
    return checked


def _unknown(statistics: pd.DataFrame) -> pd.DataFrame:
    """The table where a test set with a single class leaves nothing to measure."""
    measured: dict[str, Any] = dict.fromkeys(_COLUMNS[1:], np.nan)
    measured |= {"direction": "unknown", "note": "", "significant": False}
    whole = {f"whole_{name}": value for name, value in measured.items()}
    return pd.DataFrame({"statistic": statistics.columns, **measured, **whole})


def _intervals(table: pd.DataFrame, prefix: str) -> list[str]:
    """The AUROC of each statistic with its interval, as people read it."""
    columns = [prefix + name for name in ("separability", "low", "high", "note")]
    return [str(Estimate(*row)) for row in table[columns].itertuples(index=False)]


def _wins(values: Floats, anomalous: Flags) -> Floats:
    """1 for each pair of a good (row) and a higher anomalous image (column), ties half."""
    good, bad = values[~anomalous][:, None], values[anomalous]
    return (bad > good) + 0.5 * (bad == good)


def _resampled_means(wins: Floats, anomalous: Flags, blocks: Sequence[Integers]) -> Floats:
    """The mean over pairs in each resample: a pair counts as often as both images were drawn."""
    sums = [((block[:, ~anomalous] @ wins) * block[:, anomalous]).sum(axis=1) for block in blocks]
    return np.concatenate(sums) / wins.size


def _words(name: object) -> str:
    """A statistic's name as people read it."""
    return str(name).replace("_", " ")


@dataclass(frozen=True)
class ShortcutDependence:
    """Whether a detector's score follows a trivial statistic, and what it finds beside it.

    Attributes
    ----------
    statistic : str
        Its name as people read it.
    spearman_validation, spearman_test : float or None
        Rank correlation in [-1, 1]; None where not given or constant.
    auroc : Estimate or None
        Of the detector over all pairs; None where the test set has a single class.
    auroc_within_strata : Estimate or None
        Over the pairs of a good and an anomalous image of the same stratum, which weights strata by
        their pairs. None where no stratum holds both classes, or where the statistic separates the
        classes completely within all that do: the test set cannot prove skill.
    statistic_auroc_within_strata : float or None
        What the statistic itself still reaches on those pairs, near 0.5 where the strata are fine
        enough; None without such pairs.
    strata : int
        Number of strata with both classes.
    pairs : int
        Number of pairs compared in them.
    """

    statistic: str
    spearman_validation: float | None
    spearman_test: float | None
    auroc: Estimate | None = None
    auroc_within_strata: Estimate | None = None
    statistic_auroc_within_strata: float | None = None
    strata: int = 0
    pairs: int = 0

    def table(self) -> pd.DataFrame:
        """One row as people read it."""
        row = {
            "statistic": self.statistic,
            "rank correlation, good validation": _signed(self.spearman_validation),
            "rank correlation, test": _signed(self.spearman_test),
            "image AUROC": or_dash(self.auroc),
            "AUROC among images alike in it": or_dash(self.auroc_within_strata),
        }
        return pd.DataFrame([row])

    def findings(self) -> list[str]:
        """How far the score follows the statistic, and the AUROC among images alike in it."""
        return dependence_findings({"": self})


def dependence_findings(results: Mapping[str, ShortcutDependence]) -> list[str]:
    """What the scores of several detectors have to do with one statistic, said once.

    Of several detectors the lowest and the highest figure; a table has those of each.

    Parameters
    ----------
    results : dict of str to ShortcutDependence
        By the detector's title, all of the same statistic and test set; the title may be empty for
        a single one.

    Returns
    -------
    list of str
    """
    every = list(results.values())
    first, name = every[0], every[0].statistic
    follows = _correlations(every, name)
    if first.auroc is None:
        return [
            f"{follows}The test set has a single class: what the detector can do cannot be known."
        ]
    overall = _span([one.auroc for one in every if one.auroc])
    own = first.statistic_auroc_within_strata
    if own is None or first.auroc_within_strata is None:
        return [
            f"{follows}No good and defective test images are alike in {name}, so the AUROC of "
            f"{overall} may come from it alone: the test set cannot prove skill."
        ]
    within = _span([one.auroc_within_strata for one in every if one.auroc_within_strata])
    alike = (
        f"{follows}Among test images alike in {name} the AUROC is {within}, over all {overall} "
        f"({first.pairs} pairs in {first.strata} strata)."
    )
    if max(own, 1 - own) >= _NOTABLE:
        alike += (
            f" Even there {name} reaches {max(own, 1 - own):.3f}, so the test set proves "
            "little skill."
        )
    return [alike]


def _correlations(results: Sequence[ShortcutDependence], name: str) -> str:
    """The rank correlations that are known, as a sentence; empty where none is."""
    known = {
        "good validation images": [one.spearman_validation for one in results],
        "test images": [one.spearman_test for one in results],
    }
    told = []
    for where, given in known.items():
        values = sorted(value for value in given if value is not None)
        if values:
            span = dict.fromkeys(f"{value:+.2f}" for value in (values[0], values[-1]))
            told.append(f"{' to '.join(span)} among the {where}")
    return f"Rank correlation of the score with {name}: {', '.join(told)}. " if told else ""


def _span(values: Sequence[Estimate]) -> str:
    """A single estimate with its interval; of several the lowest and the highest, for a table."""
    if len(values) == 1:
        return str(values[0])
    ordered = sorted(one.value for one in values)
    return " to ".join(dict.fromkeys(f"{value:.3f}" for value in (ordered[0], ordered[-1])))


def _signed(value: float | None) -> str:
    return or_dash(None if value is None else f"{value:+.2f}")


def shortcut_dependence(
    scores: ArrayLike,
    statistic: ArrayLike,
    labels: ArrayLike,
    validation_scores: ArrayLike | None = None,
    validation_statistic: ArrayLike | None = None,
    strata: int = 5,
    resamples: int = 1000,
    seed: int = 0,
    types: ArrayLike | None = None,
) -> ShortcutDependence:
    """Whether a detector's score follows a trivial statistic, and what it finds beside it.

    Parameters
    ----------
    scores, statistic : array-like of float, shape (n,)
        The detector's score and the best statistic of each test image. A pandas Series gives its
        name to the findings.
    labels : array-like of int, shape (n,)
        0 good, 1 anomalous.
    validation_scores, validation_statistic : array-like of float, shape (m,), optional
        The same for good validation images: there no defect explains a correlation.
    strata
        Number of quantile strata of the statistic among the test images, at least 1.
    resamples, seed
        Of the bootstrap: of the AUROC over all as in `adhelpers.metrics.auroc_estimate`, of that
        among images alike within class and stratum.
    types : array-like of str, shape (n,), optional
        ``"good"`` or the defect type of each test image. With them the AUROC over all has the
        interval that a `DetectionReport` of the same seed has.

    Returns
    -------
    ShortcutDependence

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, or only one of the validation arrays is given.

    Examples
    --------
    >>> labels = np.array([0] * 10 + [1] * 10)
    >>> result = shortcut_dependence(np.arange(20.0), np.arange(20.0), labels)
    >>> result.spearman_test, result.auroc_within_strata
    (1.0, None)
    >>> alike = shortcut_dependence(np.arange(20.0), np.tile(np.arange(10.0), 2), labels)
    >>> alike.auroc_within_strata.value
    1.0
    """
    checked_resampling(resamples, 0.95)
    if strata < 1:
        raise ValueError(f"strata must be at least 1, better 5; got {strata}")
    name = _words(getattr(statistic, "name", None) or "the statistic")
    scores = _checked_values(scores, "scores")
    statistic = _checked_values(statistic, "statistic", len(scores))
    anomalous = checked_labels(labels, len(scores))
    if (validation_scores is None) != (validation_statistic is None):
        raise ValueError("validation_scores and validation_statistic must be given together")
    validation = None
    if validation_scores is not None and validation_statistic is not None:
        of_scores = _checked_values(validation_scores, "validation_scores")
        validation = _spearman(
            of_scores,
            _checked_values(validation_statistic, "validation_statistic", len(of_scores)),
        )
    correlations = (validation, _spearman(scores, statistic))
    if anomalous.all() or not anomalous.any():
        return ShortcutDependence(name, *correlations)
    auroc = auroc_estimate(scores, anomalous, types, resamples=resamples, seed=seed)
    wins = _wins(scores, anomalous)
    within = _within_strata(wins, statistic, anomalous, strata, resamples, seed)
    return ShortcutDependence(name, *correlations, auroc, **within)


def _spearman(first: Floats, second: Floats) -> float | None:
    """The rank correlation; None where there is none."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(stats.spearmanr(first, second).statistic)


def _within_strata(
    wins: Floats, statistic: Floats, anomalous: Flags, strata: int, resamples: int, seed: int
) -> dict[str, Any]:
    """What is known of the pairs within strata, as fields of `ShortcutDependence`."""
    inner_edges = np.quantile(statistic, np.arange(1, strata) / strata)
    stratum = np.searchsorted(inner_edges, statistic, side="right")
    together = stratum[~anomalous][:, None] == stratum[anomalous]
    pairs = int(together.sum())
    if not pairs:
        return {}
    own = float(_wins(statistic, anomalous)[together].mean())
    compared = set(stratum[~anomalous]) & set(stratum[anomalous])
    result: dict[str, Any] = {
        "statistic_auroc_within_strata": own,
        "pairs": pairs,
        "strata": len(compared),
    }
    if 0 < own < 1:
        # Drawn within class and stratum, the number of pairs stays the same in every resample.
        blocks = list(resample_counts(2 * stratum + anomalous, resamples, seed))
        draws = _resampled_means(wins * together, anomalous, blocks) * wins.size / pairs
        # Pairs without a common image: of each stratum as many as its smaller class has. Weighted
        # by all pairs as the strata are, the mean is as sure as one over so many pairs.
        largest = max(
            max(np.sum(anomalous[stratum == one]), np.sum(~anomalous[stratum == one]))
            for one in compared
        )
        result["auroc_within_strata"] = ranking_interval(
            wins[together].mean(), draws, pairs / largest
        )
    return result
