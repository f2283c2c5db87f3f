"""Was an image flagged for the right reason? Decisions beside what repairs do to them and where the explanation points."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from adhelpers._shared.checks import checked_flags, checked_labels, checked_scores, checked_types
from adhelpers.metrics import Threshold

_NO, _YES, _UNKNOWN, _ANY = 0, 1, 2, 3
# The first row that fits decides: verdict, anomalous, flagged, flagged because of the defect,
# explanation shows it, meaning.
_RULES = (
    (
        "right reason",
        _YES,
        _YES,
        _YES,
        _YES,
        "the detector found the defect, and the explanation shows it",
    ),
    (
        "right reason, badly explained",
        _YES,
        _YES,
        _YES,
        _NO,
        "the detector found the defect; the fault is the explainer's",
    ),
    (
        "wrong reason",
        _YES,
        _YES,
        _NO,
        _ANY,
        "the flag stays without the defect, or goes as easily with good surface",
    ),
    (
        "flagged, unverified",
        _YES,
        _YES,
        _UNKNOWN,
        _ANY,
        "without a mask no one can say for what reason it is flagged",
    ),
    ("missed", _YES, _NO, _ANY, _ANY, "an anomalous image goes unnoticed"),
    ("false alarm", _NO, _YES, _ANY, _ANY, "a good image is flagged"),
    ("passed", _NO, _NO, _ANY, _ANY, "a good image is left alone"),
    (
        "flagged",
        _UNKNOWN,
        _YES,
        _ANY,
        _ANY,
        "without a label no one can say whether the flag is right",
    ),
    (
        "passed",
        _UNKNOWN,
        _NO,
        _ANY,
        _ANY,
        "without a label no one can say whether it should have been flagged",
    ),
)
VERDICTS = tuple(dict.fromkeys(name for name, *_ in _RULES))
_RIGHT, _BADLY_EXPLAINED = VERDICTS[:2]
_FOUND = VERDICTS[:4]
# From the most to the least that a reader learns of; a good image that passes teaches nothing.
_INSTRUCTIVE = (
    "wrong reason",
    _BADLY_EXPLAINED,
    "false alarm",
    "missed",
    "flagged, unverified",
    "flagged",
    _RIGHT,
)


def _checked_column(values, length, name, what="value", unit_range=False):
    """One number for each image, NaN where nothing is known, as float64."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (length,):
        raise ValueError(
            f"{name} must have one {what} for each of the {length} images; got shape {values.shape}"
        )
    outside = np.flatnonzero(np.isinf(values) | (unit_range & ((values < 0) | (values > 1))))
    if outside.size:
        raise ValueError(
            f"{name} must {'lie in [0, 1]' if unit_range else 'be finite'} or be NaN; got {values[outside[0]]:g} at "
            f"index {outside[0]}"
        )
    return values


def _checked_cutoff(cutoff):
    if not 0 <= cutoff <= 1:
        raise ValueError(
            f"cutoff is a Jaccard index and must lie in [0, 1], such as 0.1; got {cutoff}"
        )


def flagged_in_wrong_place(names, types, scores, jaccards, threshold, cutoff=0.1):
    """Anomalous images that were flagged although the explanation misses the defect: right answer, wrong place.

    Listed is what is anomalous, flagged, and has an optimal Jaccard index below the cut-off. Ranked
    by score / Jaccard: most confident and most misplaced first; where the Jaccard index is 0 the
    ratio is infinite and the score decides.

    Parameters
    ----------
    names : (n,) array of str
        What each image is called.
    types : (n,) array of str
        ``"good"`` or the defect type.
    scores : (n,) array of float
        Higher is more anomalous. Where some are negative, the ratio counts from the lowest score
        instead of from 0.
    jaccards : (n,) array of float
        Optimal Jaccard index of one explainer, in [0, 1]; NaN where there is none (no mask, or a
        failed explanation): such images are not listed, because nothing is known on the place.
    threshold : Threshold or float
        An image is flagged where its score is strictly greater.
    cutoff : float
        In [0, 1].

    Returns
    -------
    pandas.DataFrame
        Index ``rank`` from 1; columns ``name``, ``type``, ``score``, ``optimal_jaccard``,
        ``score_over_jaccard``. The threshold and the cut-off are in its ``attrs``.

    Raises
    ------
    ValueError
        If lengths differ, a score is not finite, a Jaccard index is outside [0, 1], or the cut-off
        is.

    Examples
    --------
    >>> table = flagged_in_wrong_place(["a", "b", "c"], ["crack", "crack", "good"], [0.9, 0.8, 0.9], [0.05, 0.6, np.nan], 0.5)
    >>> table[["name", "optimal_jaccard"]].values.tolist()
    [['a', 0.05]]
    """
    _checked_cutoff(cutoff)
    if not isinstance(threshold, Threshold):
        threshold = Threshold(threshold, "given", uses_test_labels=False)
    flags = threshold.flag(scores)
    scores = np.asarray(scores, dtype=np.float64)
    jaccards = _checked_column(jaccards, len(scores), "jaccards", "Jaccard index", unit_range=True)
    names, types = np.asarray(names), np.asarray(types)
    for label, array in (("names", names), ("types", types)):
        if array.shape != scores.shape:
            raise ValueError(
                f"{label} must have one entry for each of the {len(scores)} images; got shape {array.shape}"
            )

    above_base = scores - min(0.0, scores.min())
    ratios = np.divide(above_base, jaccards, out=np.full(len(scores), np.inf), where=jaccards > 0)
    listed = np.flatnonzero(flags & (types != "good") & (jaccards < cutoff))
    ranked = listed[np.lexsort((-scores[listed], -ratios[listed]))]
    table = pd.DataFrame(
        {
            "name": names[ranked].astype(str),
            "type": types[ranked].astype(str),
            "score": scores[ranked],
            "optimal_jaccard": jaccards[ranked],
            "score_over_jaccard": ratios[ranked],
        },
        index=pd.RangeIndex(1, len(ranked) + 1, name="rank"),
    )
    table.attrs = {"threshold": threshold.value, "cutoff": float(cutoff)}
    return table


@dataclass(frozen=True)
class ExplainerComparison:
    """Explainers side by side on the same images.

    Attributes
    ----------
    summary : pandas.DataFrame
        Index ``explainer``; columns ``images`` (with a Jaccard index), ``mean``, ``median``,
        ``below_cutoff`` (count) and ``share_below_cutoff``; the cut-off is in its ``attrs``.
    wins : pandas.DataFrame
        Row over column: on how many images the row's explainer has the strictly greater Jaccard
        index. Images where either has none are left out.
    """

    summary: pd.DataFrame
    wins: pd.DataFrame


def compare_explainers(jaccards, cutoff=0.1):
    """Which explainer points at the defects: means, medians, misses, and wins image by image.

    Parameters
    ----------
    jaccards : dict of str to (n,) array of float
        For each explainer its optimal Jaccard index on the same images, in [0, 1]; NaN where there
        is none.
    cutoff : float
        Below it an explanation counts as a miss, in [0, 1].

    Returns
    -------
    ExplainerComparison

    Raises
    ------
    ValueError
        If there is no explainer, lengths differ, a value is outside [0, 1], or the cut-off is.

    Examples
    --------
    >>> comparison = compare_explainers({"LIME": [0.05, 0.3, 0.4], "SHAP": [0.2, 0.5, 0.4]})
    >>> int(comparison.wins.loc["SHAP", "LIME"]), int(comparison.wins.loc["LIME", "SHAP"])
    (2, 0)
    >>> comparison.summary["below_cutoff"].to_dict()
    {'LIME': 1, 'SHAP': 0}
    """
    _checked_cutoff(cutoff)
    if not jaccards:
        raise ValueError("jaccards must hold at least one explainer, such as {'LIME': values}")
    length = len(next(iter(jaccards.values())))
    jaccards = {
        name: _checked_column(
            values, length, f"jaccards[{name!r}]", "Jaccard index", unit_range=True
        )
        for name, values in jaccards.items()
    }
    table = pd.DataFrame(jaccards)
    below = (table < cutoff).sum()
    summary = pd.DataFrame(
        {
            "images": table.count(),
            "mean": table.mean(),
            "median": table.median(),
            "below_cutoff": below,
            "share_below_cutoff": below / table.count(),
        }
    ).rename_axis("explainer")
    summary.attrs = {"cutoff": float(cutoff)}
    wins = pd.DataFrame(
        {
            other: {name: int((table[name] > table[other]).sum()) for name in table}
            for other in table
        },
    ).rename_axis(index="wins of", columns="over")
    return ExplainerComparison(summary, wins)


def verdict_rules(*, most=0.5, above_control=0.1, level=0.05):
    """The rule behind :func:`verdicts` as a table to print in a report. The first row that fits decides.

    Parameters
    ----------
    most, above_control, level : float
        The cut-offs, as in :func:`verdicts`.

    Returns
    -------
    pandas.DataFrame
        Index ``verdict``; columns ``image``, ``decision``, ``repair of the defect``,
        ``explanation``, ``meaning``, all text. The cut-offs are in its ``attrs``.

    Raises
    ------
    ValueError
        If a cut-off is out of range.

    Examples
    --------
    >>> verdict_rules(most=0.6).loc["right reason", "repair of the defect"]
    'clears the flag or removes at least 60 % of the excess, and 10 points more than good surface does'
    """
    _check_cutoffs(most, above_control, level)
    required = f"clears the flag or removes at least {100 * most:g} % of the excess"
    control = (
        f"{f'{100 * above_control:g} points ' if above_control else ''}more than good surface does"
    )
    texts = (
        {_YES: "anomalous", _NO: "good", _UNKNOWN: "not labelled"},
        {_YES: "flagged", _NO: "not flagged"},
        {_YES: f"{required}, and {control}", _NO: "does not", _UNKNOWN: "not tested", _ANY: "any"},
        {
            _YES: f"above chance (corrected p at most {level:g}); its repair, where asked for, removes {control}",
            _NO: "does not",
            _ANY: "any",
        },
    )
    rows = [
        [text[state] for text, state in zip(texts, states, strict=True)] + [meaning]
        for _, *states, meaning in _RULES
    ]
    table = pd.DataFrame(
        rows,
        columns=["image", "decision", "repair of the defect", "explanation", "meaning"],
        index=pd.Index([name for name, *_ in _RULES], name="verdict"),
    )
    table.attrs = {
        "most": float(most),
        "above_control": float(above_control),
        "level": float(level),
    }
    return table


def verdicts(
    labels,
    flags,
    *,
    repair_cleared=None,
    repair_removed=None,
    control_removed=None,
    explained_above_chance=None,
    explained_removed=None,
    most=0.5,
    above_control=0.1,
    level=0.05,
):
    """One verdict for each image, of one detector and one explainer, by the table of :func:`verdict_rules`.

    Without repairs (no masks) only what can be known is said: an anomalous image that is flagged is
    ``"flagged, unverified"``. Without labels an image is ``"flagged"`` or ``"passed"``.

    Parameters
    ----------
    labels : (n,) array of int, or None
        0 good, 1 anomalous; None where nothing is known.
    flags : (n,) array of bool
    repair_cleared, repair_removed : (n,) arrays, optional
        Whether the repair of the true defect clears the flag, and the share of the excess that it
        removes, as in `RepairResult.values` (``"cleared"``, ``"removed"``). NaN where an image was
        not tested. Both or neither.
    control_removed : (n,) array of float, optional
        What repairs of good surface remove: ``"control_max"`` (the highest draw) to be strict,
        ``"control_mean"`` to be lenient. Needed with the repair; NaN where no place was found, and
        then nothing is asked.
    explained_above_chance : (n,) array, optional
        Decisions (bool), or p-values corrected for the number of images (float). NaN, where there
        is no explanation or no relevance in it, is not above chance. Needed with the repair.
    explained_removed : (n,) array of float, optional
        What the repair of the explained region removes (``"explained_removed"``). With it, an
        explanation must also point at what moves the score: its repair removes more than that of
        good surface. NaN where the explanation failed.
    most : float
        The repair must remove at least this share of the excess over the threshold, more than 0 and
        at most 1.
    above_control : float
        And so much more than the controls, as a share of the excess, at least 0; at 0 any more is
        enough.
    level : float
        Largest p-value that counts as above chance, between 0 and 1.

    Returns
    -------
    (n,) array of str
        Of ``VERDICTS``.

    Raises
    ------
    ValueError
        If lengths differ, a value or a cut-off is out of range, or only some of what the repair
        needs is given.

    Examples
    --------
    >>> nan = np.nan
    >>> verdicts([1, 1, 1, 1, 0], [True, True, True, False, False], repair_cleared=[1, 1, 0, nan, nan],
    ...          repair_removed=[1.2, 1.1, 0.1, nan, nan], control_removed=[0.1, 0.2, 0.1, nan, nan],
    ...          explained_above_chance=[0.01, 0.4, 0.01, nan, nan]).tolist()
    ['right reason', 'right reason, badly explained', 'wrong reason', 'missed', 'passed']
    >>> verdicts([1, 0], [True, False]).tolist(), verdicts(None, [True, False]).tolist()
    (['flagged, unverified', 'passed'], ['flagged', 'passed'])
    """
    _check_cutoffs(most, above_control, level)
    flags = checked_flags(flags)
    length = len(flags)
    given = {
        "repair_cleared": repair_cleared,
        "repair_removed": repair_removed,
        "control_removed": control_removed,
        "explained_above_chance": explained_above_chance,
    }
    missing = [name for name, values in given.items() if values is None]
    if missing and (len(missing) < len(given) or explained_removed is not None):
        raise ValueError(
            f"{', '.join(missing)}: missing; a verdict on the reason needs {', '.join(given)}"
        )

    caused = np.full(length, _UNKNOWN)
    explained = np.full(length, _NO)
    if not missing:
        cleared, removed, control = (
            _checked_column(given[name], length, name) for name in list(given)[:3]
        )
        # NaN compares as False: without a control nothing is asked beyond the share itself.
        beyond = ~_not_above(removed, control, above_control)
        caused = np.where(((cleared == 1) | (removed >= most)) & beyond, _YES, _NO)
        caused[np.isnan(cleared) | np.isnan(removed)] = _UNKNOWN
        meets = _above_chance(explained_above_chance, length, level)
        if explained_removed is not None:
            shown = _checked_column(explained_removed, length, "explained_removed")
            meets &= ~np.isnan(shown) & ~_not_above(shown, control, above_control)
        explained = np.where(meets, _YES, _NO)
    anomalous = (
        np.full(length, _UNKNOWN) if labels is None else checked_labels(labels, length).astype(int)
    )

    states = (anomalous, flags.astype(int), caused, explained)
    fits = [
        np.all(
            [
                (state == wanted) | (wanted == _ANY)
                for state, wanted in zip(states, row, strict=True)
            ],
            axis=0,
        )
        for _, *row, _ in _RULES
    ]
    return np.array([name for name, *_ in _RULES])[np.argmax(fits, axis=0)]


@dataclass(frozen=True)
class VerdictSummary:
    """Verdicts counted, of one detector and one explainer.

    Attributes
    ----------
    counts : pandas.DataFrame
        Index ``verdict`` (those that occur, in the order of ``VERDICTS``); a column for each defect
        type, then ``"good"``, then ``"all"``.
    recall : float
        Flagged over all anomalous images; NaN without any.
    trust_adjusted_recall : float
        Flagged for the right reason, explained well or not, over all anomalous images: the
        detector's merit. Images whose reason could not be tested count as not found for the right
        reason; NaN where none could be.
    explained_recall : float
        Flagged for the right reason and explained well, over all anomalous images: detector and
        explainer together.
    unverified : int
        Flagged anomalous images whose reason could not be tested.
    """

    counts: pd.DataFrame
    recall: float
    trust_adjusted_recall: float
    explained_recall: float
    unverified: int


def verdict_summary(verdicts, types, labels):
    """Count verdicts by defect type, and set recall beside the recall for the right reason.

    Parameters
    ----------
    verdicts : (n,) array of str
        Of :func:`verdicts`, with labels.
    types : (n,) array of str
        ``"good"`` or the defect type.
    labels : (n,) array of int
        0 good, 1 anomalous.

    Returns
    -------
    VerdictSummary

    Raises
    ------
    ValueError
        If lengths differ, a verdict is unknown, or a verdict does not go with its label.

    Examples
    --------
    >>> found = ["right reason", "wrong reason", "missed", "passed"]
    >>> summary = verdict_summary(found, ["cut", "cut", "hole", "good"], [1, 1, 1, 0])
    >>> summary.counts["cut"].to_dict()
    {'right reason': 1, 'wrong reason': 1, 'missed': 0, 'passed': 0}
    >>> round(summary.recall, 2), round(summary.trust_adjusted_recall, 2)
    (0.67, 0.33)
    """
    verdicts = _checked_verdicts(verdicts)
    types = checked_types(types, len(verdicts))
    anomalous = checked_labels(labels, len(verdicts))
    wrong = np.flatnonzero(
        (np.isin(verdicts, [*_FOUND, "missed"]) != anomalous) | (verdicts == "flagged")
    )
    if wrong.size:
        index = int(wrong[0])
        raise ValueError(
            f"verdicts: {str(verdicts[index])!r} at index {index} does not go with label {int(anomalous[index])}"
        )
    counts = pd.crosstab(pd.Categorical(verdicts, VERDICTS), types)
    counts = counts[sorted(counts.columns, key=lambda kind: (kind == "good", kind))]
    counts = (
        counts.assign(all=counts.sum(axis=1))
        .reindex([name for name in VERDICTS if name in verdicts])
        .rename_axis(index="verdict", columns="type")
    )

    unverified = int((verdicts == "flagged, unverified").sum())
    nothing_known = unverified > 0 and not np.isin(verdicts, VERDICTS[:3]).any()

    def share(names, known=True):
        return (
            float(np.isin(verdicts[anomalous], names).mean())
            if known and anomalous.any()
            else float("nan")
        )

    return VerdictSummary(
        counts,
        share(_FOUND),
        share([_RIGHT, _BADLY_EXPLAINED], not nothing_known),
        share([_RIGHT], not nothing_known),
        unverified,
    )


def most_instructive(verdicts, scores, threshold, count=10):
    """The images that a reader learns most from.

    Each kind of verdict takes its turn: wrong reason, badly explained, false alarm, missed,
    unverified, right reason; within a kind those come first whose score is farthest from the
    threshold: the surest errors and the clearest hits. Good images that pass are never listed.

    Parameters
    ----------
    verdicts : (n,) array of str
        Of :func:`verdicts`.
    scores : (n,) array of float
    threshold : Threshold or float
    count : int
        At most so many.

    Returns
    -------
    (k,) array of int
        Indices, the most instructive first; k is at most ``count``.

    Raises
    ------
    ValueError
        If lengths differ, a verdict is unknown, or a score is not finite.

    Examples
    --------
    >>> most_instructive(["right reason", "wrong reason", "wrong reason", "passed"], [0.9, 0.7, 0.8, 0.1], 0.5).tolist()
    [2, 0, 1]
    """
    verdicts, scores = _checked_verdicts(verdicts), checked_scores(scores)
    if len(scores) != len(verdicts):
        raise ValueError(
            f"scores must have one number for each of the {len(verdicts)} verdicts; got {len(scores)}"
        )
    surest = np.argsort(-np.abs(scores - getattr(threshold, "value", threshold)), kind="stable")
    turns = [
        (turn, kind, index)
        for kind, name in enumerate(_INSTRUCTIVE)
        for turn, index in enumerate(surest[verdicts[surest] == name])
    ]
    return np.array([index for *_, index in sorted(turns)[: max(0, count)]], dtype=np.int64)


def _check_cutoffs(most, above_control, level):
    if not 0 < most <= 1:
        raise ValueError(
            f"most is a share of the excess and must lie in (0, 1], such as 0.5; got {most}"
        )
    if not (np.isfinite(above_control) and above_control >= 0):
        raise ValueError(
            f"above_control is a share of the excess and must be at least 0, such as 0.1; got {above_control}"
        )
    if not 0 < level < 1:
        raise ValueError(
            f"level is a p-value and must lie between 0 and 1, such as 0.05; got {level}"
        )


def _not_above(removed, control, above_control):
    return (removed - control < above_control) | (removed <= control)


def _above_chance(values, length, level):
    values = np.asarray(values)
    if values.shape == (length,) and values.dtype == bool:
        return values.copy()
    return (
        _checked_column(
            values, length, "explained_above_chance", "decision (bool) or p-value", unit_range=True
        )
        <= level
    )


def _checked_verdicts(verdicts):
    verdicts = np.asarray(verdicts)
    if verdicts.ndim != 1 or verdicts.size == 0:
        raise ValueError(
            f"verdicts must hold one verdict for each image, shape (n,) with n >= 1; got shape {verdicts.shape}"
        )
    for unknown in sorted(set(verdicts.tolist()) - set(VERDICTS)):
        raise ValueError(f"verdicts: {unknown!r} is none of {'; '.join(VERDICTS)}")
    return verdicts
