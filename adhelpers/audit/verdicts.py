"""Was an image flagged for the right reason? Decisions beside repairs and explanations."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Flags, Floats, Integers, Names
from adhelpers._shared.checks import checked_flags, checked_labels

from ._checks import checked_column

_NO, _YES, _UNKNOWN, _ANY = 0, 1, 2, 3
# A repair says nothing: there is no model to score what is repaired, or nothing to repair with.
_NO_MODEL, _NO_COUNTERPART = 4, 5
# The explanation does not show the defect, and its regions are larger than what there is to show.
_COARSE = 6


class _Rule(NamedTuple):
    """A verdict, what it means, and the states of an image that it takes."""

    verdict: str
    meaning: str
    anomalous: int
    flagged: int
    # Flagged because of the defect: its repair clears the flag, that of good surface does not.
    caused: int = _ANY
    # The explanation shows the defect.
    explained: int = _ANY

    @property
    def states(self) -> tuple[int, ...]:
        return self[2:]

    def fits(self, *states: Integers) -> Flags:
        """Which images are in these states: anomalous, flagged, caused, explained."""
        pairs = zip(states, self.states, strict=True)
        return np.all([(state == wanted) | (wanted == _ANY) for state, wanted in pairs], axis=0)


_BY_DEFECT = "the detector found the defect"
_NO_LABEL = "without a label no one can say whether"
# The first row that fits decides.
_RULES = (
    _Rule("right reason", f"{_BY_DEFECT}, and the explanation shows it", _YES, _YES, _YES, _YES),
    _Rule(
        "right reason, explained too coarsely",
        f"{_BY_DEFECT}; the explainer's regions are larger than the peak of the anomaly map: a "
        "larger budget would show smaller ones",
        _YES,
        _YES,
        caused=_YES,
        explained=_COARSE,
    ),
    _Rule(
        "right reason, badly explained",
        f"{_BY_DEFECT}; the fault is the explainer's",
        _YES,
        _YES,
        caused=_YES,
        explained=_NO,
    ),
    _Rule(
        "wrong reason",
        "the flag stays without the defect, or goes as easily with good surface",
        _YES,
        _YES,
        caused=_NO,
    ),
    _Rule(
        "flagged, unverified",
        "without a mask no one can say for what reason it is flagged",
        _YES,
        _YES,
        caused=_UNKNOWN,
    ),
    _Rule(
        "flagged, not verifiable",
        "nothing that is pasted keeps good images normal to the detector, so a repair proves "
        "nothing",
        _YES,
        _YES,
        caused=_NO_COUNTERPART,
    ),
    _Rule(
        "right place",
        "the map is on the defect; without the model no one can say whether the defect raised the "
        "flag",
        _YES,
        _YES,
        caused=_NO_MODEL,
        explained=_YES,
    ),
    _Rule("wrong place", "the map is not on the defect", _YES, _YES, caused=_NO_MODEL),
    _Rule("missed", "an anomalous image is not flagged", _YES, _NO),
    _Rule("false alarm", "a good image is flagged", _NO, _YES),
    _Rule("passed", "a good image is not flagged", _NO, _NO),
    _Rule("flagged", f"{_NO_LABEL} the flag is right", _UNKNOWN, _YES),
    _Rule("passed", f"{_NO_LABEL} it should have been flagged", _UNKNOWN, _NO),
)
VERDICTS = tuple(dict.fromkeys(rule.verdict for rule in _RULES))


@dataclass(frozen=True)
class Cutoffs:
    """What counts as a repair that works and as an explanation that shows something.

    Parameters
    ----------
    most : float
        The repair must remove at least this share of the excess over the threshold, more than 0 and
        at most 1.
    above_control : float
        By how much it must exceed the controls, as a share of the excess, at least 0; at 0 any more
        is enough.
    level : float
        Largest p-value that counts as above chance, between 0 and 1.

    Raises
    ------
    ValueError
        If one is out of range.

    Examples
    --------
    >>> Cutoffs(most=0.6).above_control
    0.1
    """

    most: float = 0.5
    above_control: float = 0.1
    level: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        if not 0 < self.most <= 1:
            raise ValueError(
                "most is a share of the excess and must lie in (0, 1], such as 0.5; got "
                f"{self.most}"
            )
        if not (np.isfinite(self.above_control) and self.above_control >= 0):
            raise ValueError(
                "above_control is a share of the excess and must be at least 0, such as 0.1; "
                f"got {self.above_control}"
            )
        if not 0 < self.level < 1:
            raise ValueError(
                f"level is a p-value and must lie between 0 and 1, such as 0.05; got {self.level}"
            )


_CUTOFFS = Cutoffs()


def verdict_rules(cutoffs: Cutoffs = _CUTOFFS) -> pd.DataFrame:
    """The rule behind :func:`verdicts` as a table to print. The first row that fits decides.

    Parameters
    ----------
    cutoffs : Cutoffs

    Returns
    -------
    pandas.DataFrame
        Index ``verdict``; columns ``image``, ``decision``, ``repair of the defect``,
        ``explanation``, ``meaning``, all text. The cut-offs are in its ``attrs``.

    Examples
    --------
    >>> verdict_rules(Cutoffs(most=0.6)).loc["right reason", "repair of the defect"][:62]
    'clears the flag or removes at least 60 % of the excess, and 10'
    """
    most, above_control, level = cutoffs.most, cutoffs.above_control, cutoffs.level
    required = f"clears the flag or removes at least {100 * most:g} % of the excess"
    points = f"{100 * above_control:g} points " if above_control else ""
    control = f"{points}more than good surface does"
    shown = (
        f"above chance (corrected p at most {level:g}), where the defect's shape fits in enough "
        "other places to tell; its repair, where asked for, removes "
        f"{control}"
    )
    texts = (
        {_YES: "anomalous", _NO: "good", _UNKNOWN: "not labelled"},
        {_YES: "flagged", _NO: "not flagged"},
        {
            _YES: f"{required}, and {control}",
            _NO: "does not",
            _UNKNOWN: "not tested",
            _NO_MODEL: "not possible: there is no model",
            _NO_COUNTERPART: "proves nothing",
            _ANY: "any",
        },
        {
            _YES: shown,
            _NO: "does not",
            _COARSE: "is not; its regions are larger than the map's peak",
            _ANY: "any",
        },
    )
    rows = [
        [text[state] for text, state in zip(texts, rule.states, strict=True)] + [rule.meaning]
        for rule in _RULES
    ]
    table = pd.DataFrame(
        rows,
        columns=["image", "decision", "repair of the defect", "explanation", "meaning"],
        index=pd.Index([rule.verdict for rule in _RULES], name="verdict"),
    )
    table.attrs = {
        "most": float(most),
        "above_control": float(above_control),
        "level": float(level),
    }
    return table


def verdicts(
    labels: ArrayLike | None,
    flags: ArrayLike,
    *,
    repair_cleared: ArrayLike | None = None,
    repair_removed: ArrayLike | None = None,
    control_removed: ArrayLike | None = None,
    explained_above_chance: ArrayLike | None = None,
    explained_removed: ArrayLike | None = None,
    explained_coarsely: ArrayLike | None = None,
    cutoffs: Cutoffs = _CUTOFFS,
) -> Names:
    """One verdict for each image, of one detector and one explainer, by `verdict_rules`.

    Without repairs (no masks) only what can be known is said: an anomalous image that is flagged is
    ``"flagged, unverified"``. Without labels an image is ``"flagged"`` or ``"passed"``.

    Parameters
    ----------
    labels : array-like of int, shape (n,), or None
        0 good, 1 anomalous; None where nothing is known.
    flags : array-like of bool, shape (n,)
    repair_cleared, repair_removed : array-like of float, shape (n,), optional
        Whether the repair of the true defect clears the flag, and the share of the excess that it
        removes, as in `RepairResult.values` (``"cleared"``, ``"removed"``). NaN where an image was
        not tested. Both or neither.
    control_removed : array-like of float, shape (n,), optional
        What repairs of good surface remove: ``"control_max"`` (the highest draw) to be strict,
        ``"control_mean"`` to be lenient. Needed with the repair; NaN where no place was found, and
        then nothing is asked.
    explained_above_chance : array-like, shape (n,), optional
        Decisions (bool), or p-values corrected for the number of images (float). NaN, where there
        is no explanation or no relevance in it, is not above chance. Needed with the repair.
    explained_removed : array-like of float, shape (n,), optional
        What the repair of the explained region removes (``"explained_removed"``). With it, an
        explanation must also point at what moves the score: its repair removes more than that of
        good surface. NaN where the explanation failed.
    explained_coarsely : array-like of bool, shape (n,), optional
        Where the explanation's regions are too large to show what there is to show, see
        `too_coarse`: what fails there is called too coarse, not bad.
    cutoffs : Cutoffs

    Returns
    -------
    ndarray of str, shape (n,)
        Of ``VERDICTS``.

    Raises
    ------
    ValueError
        If lengths differ, a value is out of range, or only some of what the repair
        needs is given.

    Examples
    --------
    >>> nan = np.nan
    >>> for verdict in verdicts([1, 1, 1, 1, 0], [True, True, True, False, False],
    ...                         repair_cleared=[1, 1, 0, nan, nan],
    ...                         repair_removed=[1.2, 1.1, 0.1, nan, nan],
    ...                         control_removed=[0.1, 0.2, 0.1, nan, nan],
    ...                         explained_above_chance=[0.01, 0.4, 0.01, nan, nan]):
    ...     print(verdict)
    right reason
    right reason, badly explained
    wrong reason
    missed
    passed
    >>> verdicts([1, 0], [True, False]).tolist(), verdicts(None, [True, False]).tolist()
    (['flagged, unverified', 'passed'], ['flagged', 'passed'])
    """
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
    caused, explained = np.full(length, _UNKNOWN), np.full(length, _NO)
    if not missing:
        cleared, removed, control = (
            checked_column(np.asarray(given[name]), length, name) for name in list(given)[:3]
        )
        # NaN compares as False: without a control nothing is asked beyond the share itself.
        beyond = ~_not_above(removed, control, cutoffs.above_control)
        caused = np.where(((cleared == 1) | (removed >= cutoffs.most)) & beyond, _YES, _NO)
        caused[np.isnan(cleared) | np.isnan(removed)] = _UNKNOWN
        shown = _above_chance(explained_above_chance, length, cutoffs.level)
        if explained_removed is not None:
            of_region = checked_column(explained_removed, length, "explained_removed")
            shown &= ~np.isnan(of_region) & ~_not_above(of_region, control, cutoffs.above_control)
        coarse = np.zeros(length, dtype=bool)
        if explained_coarsely is not None:
            coarse = checked_flags(explained_coarsely)
            if len(coarse) != length:
                raise ValueError(
                    f"explained_coarsely must have one value for each of the {length} images; got "
                    f"{len(coarse)}"
                )
        explained = np.where(shown, _YES, np.where(coarse, _COARSE, _NO))
    return _decided(labels, flags, caused, explained)


def unrepaired_verdicts(
    labels: ArrayLike | None,
    flags: ArrayLike,
    map_above_chance: ArrayLike | None = None,
    *,
    level: float = 0.05,
) -> Names:
    """One verdict for each image where no repair can say what raised a flag, by `verdict_rules`.

    Parameters
    ----------
    labels : array-like of int, shape (n,), or None
        0 good, 1 anomalous; None where nothing is known.
    flags : array-like of bool, shape (n,)
    map_above_chance : array-like, shape (n,), optional
        For a detector of which there are only anomaly maps: decisions (bool), or p-values corrected
        for the number of images (float), of how much of each map is on the defect. Anomalous images
        that are flagged are in the ``"right place"`` or the ``"wrong place"`` then; NaN, where no
        defect is in the mask, is ``"flagged, unverified"``. None stands for a detector for which
        nothing that is pasted is normal: they are ``"flagged, not verifiable"``.
    level
        Largest p-value that counts as above chance, between 0 and 1.

    Returns
    -------
    ndarray of str, shape (n,)
        Of ``VERDICTS``.

    Raises
    ------
    ValueError
        If lengths differ or a value is out of range.

    Examples
    --------
    >>> unrepaired_verdicts([1, 1, 0], [True, True, False], [0.01, 0.8, np.nan]).tolist()
    ['right place', 'wrong place', 'passed']
    >>> unrepaired_verdicts([1, 0], [True, True]).tolist()
    ['flagged, not verifiable', 'false alarm']
    """
    level = Cutoffs(level=level).level
    flags = checked_flags(flags)
    length = len(flags)
    if map_above_chance is None:
        return _decided(labels, flags, np.full(length, _NO_COUNTERPART), np.full(length, _NO))
    values = np.asarray(map_above_chance)
    caused = np.full(length, _NO_MODEL)
    explained = np.where(_above_chance(values, length, level), _YES, _NO)
    if values.dtype != bool:
        caused[np.isnan(values.astype(float))] = _UNKNOWN
    return _decided(labels, flags, caused, explained)


def _decided(
    labels: ArrayLike | None, flags: Flags, caused: Integers, explained: Integers
) -> Names:
    """The verdict of the first rule that fits each image."""
    anomalous = np.full(len(flags), _UNKNOWN)
    if labels is not None:
        anomalous = checked_labels(labels, len(flags)).astype(int)
    fits = [rule.fits(anomalous, flags.astype(int), caused, explained) for rule in _RULES]
    # The first row would be the verdict of an image that no row fits.
    assert np.any(fits, axis=0).all()
    return np.array([rule.verdict for rule in _RULES])[np.argmax(fits, axis=0)]


def _not_above(removed: Floats, control: Floats, above_control: float) -> Flags:
    """Where a repair does not remove more than that of good surface; False where unknown."""
    return (removed - control < above_control) | (removed <= control)


def _above_chance(values: ArrayLike | None, length: int, level: float) -> Flags:
    """Where an explanation is above chance, from decisions or p-values."""
    values = np.asarray(values)
    if values.shape == (length,) and values.dtype == bool:
        return values.copy()
    name, what = "explained_above_chance", "decision (bool) or p-value"
    p_values = checked_column(values, length, name, what, unit_range=True)
    return p_values <= level
