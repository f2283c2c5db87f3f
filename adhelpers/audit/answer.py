"""Can this detector be used? One of four answers, by a rule that is printed as it is executed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from adhelpers.metrics import Estimate, share_estimate

USE_IT = "Use it"
USE_SIMPLER = "Use the simpler one"
NOT_YET = "Do not trust it yet"
TOO_FEW_IMAGES = "Not enough images to say"
ANSWERS = (USE_IT, USE_SIMPLER, NOT_YET, TOO_FEW_IMAGES)


@dataclass(frozen=True)
class Wording:
    """How an answer speaks of decisions.

    Attributes
    ----------
    found : str
        What is wanted of the defective ones, after "9 of 10".
    alarms : str
        What is unwanted of the good ones, after "1 of 10".
    counted : str
        What the trust-adjusted recall counts.
    samples : str
        What was tested.
    unknown : str
        Why nobody knows the cause, where nobody does.
    places : bool
        Whether a decision can be caused by the defect or by something beside it. False where the
        whole sample is the anomaly: each flag is then for its sake, and there is no shortcut
        outside.
    """

    found: str = "defects are flagged because of the defect"
    alarms: str = "good images are flagged"
    counted: str = "only flags that the defect raised"
    samples: str = "test images"
    unknown: str = (
        "without masks of the defects no one can say what raised its flags; masks of ten defective "
        "images are a start"
    )
    places: bool = True


@dataclass(frozen=True)
class Decisions:
    """What a detector decided about the test images, counted.

    Attributes
    ----------
    title : str
        The detector's name as people read it.
    good, false_alarms : int
        Number of good test images, and of those that are flagged.
    defective, flagged : int
        Number of defective test images, and of those that are flagged.
    caused : int or None
        Flagged defective images whose flag the defect raised (verdicts "right reason", explained
        well or badly), or whose map is on the defect where there are only maps ("right place").
        None where no repair of a true defect could be tested; all that are flagged where the whole
        sample is the anomaly.
    wording : Wording
    fitted_to_test : bool
        The threshold was chosen with the test labels, for want of scores of good images that are
        not tested.

    Raises
    ------
    ValueError
        If a count exceeds what it is a part of.
    """

    title: str
    good: int
    false_alarms: int
    defective: int
    flagged: int
    caused: int | None = None
    wording: Wording = Wording()
    fitted_to_test: bool = False

    def __post_init__(self) -> None:
        parts = (0, self.caused or 0, self.flagged, self.defective)
        if not (0 <= self.false_alarms <= self.good and list(parts) == sorted(parts)):
            raise ValueError(
                f"{self.title}: false alarms are part of the good images, flags raised by the "
                f"defect part of the flags, and these of the defective images; got {self}"
            )

    @property
    def recall(self) -> Estimate:
        """Share of the defective images that are flagged."""
        return share_estimate(self.flagged, self.defective)

    @property
    def trust_adjusted_recall(self) -> Estimate:
        """Share of the defective images that are flagged because of the defect; NaN if unknown."""
        return share_estimate(self.caused or 0, 0 if self.caused is None else self.defective)

    @property
    def false_alarm_rate(self) -> Estimate:
        """Share of the good images that are flagged."""
        return share_estimate(self.false_alarms, self.good)


@dataclass(frozen=True)
class AnswerCriteria:
    """What a detector must reach to be used.

    Attributes
    ----------
    images : int
        Smallest number of good and of defective test images that an answer may rest on. With ten
        of ten the exact 95 % interval of a share still reaches down to 0.69.
    recall : float
        Smallest trust-adjusted recall, in (0, 1].
    false_alarms : float
        Largest share of good images that may be flagged, in [0, 1).

    Raises
    ------
    ValueError
        If a criterion is out of range.
    """

    images: int = 10
    recall: float = 0.75
    false_alarms: float = 0.1

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ValueError(f"images must be at least 1, better 10; got {self.images}")
        if not 0 < self.recall <= 1:
            raise ValueError(f"recall must lie in (0, 1], such as 0.75; got {self.recall}")
        if not 0 <= self.false_alarms < 1:
            raise ValueError(
                f"false_alarms must lie in [0, 1), such as 0.1; got {self.false_alarms}"
            )

    # Shares are compared, not products: 0.28 * 50 is more than 14.
    def enough_found(self, one: Decisions) -> bool:
        """Whether enough defects are flagged for the defect's sake."""
        return (one.caused or 0) / max(one.defective, 1) >= self.recall

    def few_alarms(self, one: Decisions) -> bool:
        """Whether few good images are flagged."""
        return one.false_alarms / max(one.good, 1) <= self.false_alarms

    def met_by(self, one: Decisions) -> bool:
        """Whether a detector flags enough defects for the defect's sake and few good images."""
        return one.caused is not None and self.enough_found(one) and self.few_alarms(one)


class _Evidence(NamedTuple):
    """All that an answer rests on."""

    main: Decisions
    simpler: Decisions | None
    shortcut: str
    leaks: int
    criteria: AnswerCriteria

    @property
    def has_enough(self) -> bool:
        return min(self.main.good, self.main.defective) >= self.criteria.images

    @property
    def simpler_is_as_good(self) -> bool:
        simpler, main = self.simpler, self.main
        if simpler is None or not self.criteria.met_by(simpler):
            return False
        return not self.criteria.met_by(main) or (
            (simpler.caused or 0) >= (main.caused or 0)
            and simpler.false_alarms <= main.false_alarms
        )


class _Rule(NamedTuple):
    """An answer, when it is given (as text, with the criteria in it, and as a test), and why."""

    answer: str
    when: str
    applies: Callable[[_Evidence], bool]
    why: Callable[[_Evidence], str]


# The first row that applies decides.
_RULES = (
    _Rule(
        TOO_FEW_IMAGES,
        "fewer than {images} good or {images} defective test images",
        lambda e: not e.has_enough,
        lambda e: f"an answer needs {e.criteria.images} {e.main.wording.samples} of each kind",
    ),
    _Rule(
        NOT_YET,
        "test images are also training images",
        lambda e: e.leaks > 0,
        lambda e: (
            f"{e.leaks} test {'image is' if e.leaks == 1 else 'images are'} also among the "
            "training images, so the figures flatter"
        ),
    ),
    _Rule(
        NOT_YET,
        "a statistic tells good from defective outside the defects, and among images alike in it "
        "the detector shows no skill",
        lambda e: bool(e.shortcut),
        lambda e: (
            f"{e.shortcut} alone tells good from defective images, and this test set cannot show "
            "that the detector sees more"
        ),
    ),
    _Rule(
        NOT_YET,
        "what raised its flags is unknown: there are no masks, or no repair that proves anything",
        lambda e: e.main.caused is None,
        lambda e: e.main.wording.unknown,
    ),
    _Rule(
        NOT_YET,
        "the threshold was chosen with the test labels, because no scores of other good images are "
        "known",
        lambda e: e.main.fitted_to_test,
        lambda e: (
            "its threshold was chosen with the test labels, so these counts flatter it; scores or "
            "maps of good images that are not tested give one that can be used"
        ),
    ),
    _Rule(
        USE_SIMPLER,
        "a simpler detector meets the criteria below and flags as many defects for their own sake "
        "with no more false alarms, or this one does not meet them",
        lambda e: e.simpler_is_as_good,
        lambda e: _why_simpler(e),
    ),
    _Rule(
        NOT_YET,
        "less than {recall:.0%} of the defects are flagged because of the defect, or at all where "
        "the whole sample is the anomaly",
        lambda e: not e.criteria.enough_found(e.main),
        lambda e: f"only {e.main.caused} of {e.main.defective} {e.main.wording.found}",
    ),
    _Rule(
        NOT_YET,
        "more than {false_alarms:.0%} of the good images are flagged",
        lambda e: not e.criteria.few_alarms(e.main),
        lambda e: f"{e.main.false_alarms} of {e.main.good} {e.main.wording.alarms}",
    ),
    _Rule(
        USE_IT,
        "otherwise",
        lambda e: True,
        lambda e: (
            f"{e.main.caused} of {e.main.defective} {e.main.wording.found}, and "
            f"{e.main.false_alarms} of {e.main.good} {e.main.wording.alarms}"
        ),
    ),
)


def _why_simpler(evidence: _Evidence) -> str:
    """What the simpler detector reaches."""
    simpler = evidence.simpler
    assert simpler is not None
    main, wording = evidence.main, evidence.main.wording
    return (
        f"with the {simpler.title} {simpler.caused} of {simpler.defective} {wording.found} and "
        f"{simpler.false_alarms} of {simpler.good} {wording.alarms}, with the {main.title} "
        f"{main.caused} and {main.false_alarms}"
    )


def answer_rules(criteria: AnswerCriteria | None = None) -> pd.DataFrame:
    """The rule behind `find_answer` as a table to print. The first row that applies decides.

    Parameters
    ----------
    criteria : AnswerCriteria, optional

    Returns
    -------
    pandas.DataFrame
        Columns ``answer`` and ``when``.

    Examples
    --------
    >>> answer_rules(AnswerCriteria(images=5)).loc[0, "when"]
    'fewer than 5 good or 5 defective test images'
    """
    values = vars(criteria or AnswerCriteria())
    rows = [(rule.answer, rule.when.format(**values)) for rule in _RULES]
    return pd.DataFrame(rows, columns=["answer", "when"])


@dataclass(frozen=True)
class Answer:
    """Whether a detector can be used, and why.

    Attributes
    ----------
    answer : str
        One of ``ANSWERS``.
    reason : str
        What decided.
    main : Decisions
        Of the detector that was audited.
    rule : int
        Row of `answer_rules` that decided.
    shortcut : str
        The statistic that separates the classes outside the defects, with its AUROC; empty where
        none does.
    """

    answer: str
    reason: str
    main: Decisions
    rule: int
    shortcut: str = ""
    criteria: AnswerCriteria = AnswerCriteria()

    def table(self) -> pd.DataFrame:
        """The rules, with a mark at the row that decided."""
        table = answer_rules(self.criteria)
        table.insert(0, "decided", ["←" if row == self.rule else "" for row in range(len(table))])
        return table

    def findings(self) -> list[str]:
        """The answer, what decided, and the figures that it rests on."""
        return [f"{self.answer}: {self.reason}.", *self.figures()]

    def figures(self) -> list[str]:
        """The recalls, false alarms and the shortcut, in one sentence."""
        main = self.main
        found = f"{main.title[0].upper()}{main.title[1:]}: "
        if main.defective:
            found += f"recall {main.recall:.2f}, "
            if main.caused is not None and main.wording.places:
                found += f"counting {main.wording.counted} {main.trust_adjusted_recall:.2f}; "
        if main.good:
            rate = main.false_alarm_rate
            found += f"false alarms {main.false_alarms} of {main.good} ({rate:.2f}); "
        if not main.wording.places:
            counted = f"{main.good} normal and {main.defective} anomalous {main.wording.samples}"
            return [f"{found}it rests on {counted}."]
        found += f"shortcut outside the defects: {self.shortcut or 'none found'}. "
        return [f"{found}It rests on {main.good} good and {main.defective} defective test images."]

    def as_dict(self) -> dict[str, Any]:
        """The answer as plain values for JSON."""
        return {
            "answer": self.answer,
            "because": f"{self.reason[0].upper()}{self.reason[1:]}.",
            "figures": self.figures()[0],
        }


def find_answer(
    main: Decisions,
    simpler: Decisions | None = None,
    *,
    shortcut: str = "",
    proves_skill: bool = True,
    leaks: int = 0,
    criteria: AnswerCriteria | None = None,
) -> Answer:
    """Answer whether a detector can be used, by `answer_rules`.

    More flags raised by the defect and fewer false alarms never make the answer worse, from "do
    not trust it yet" over "use the simpler one" to "use it"; whether there are enough images
    depends on their number alone.

    Parameters
    ----------
    main : Decisions
        Of the detector that was audited.
    simpler : Decisions, optional
        Of a simpler detector on the same test images.
    shortcut : str
        The statistic that tells good from defective outside the defects, as people read it; empty
        where none does.
    proves_skill : bool
        Whether the detector ranks defective above good among images alike in that statistic.
    leaks : int
        Number of test images that are also training images.
    criteria : AnswerCriteria, optional

    Returns
    -------
    Answer

    Raises
    ------
    ValueError
        If the detectors were not tested on the same number of images, or ``leaks`` is negative.

    Examples
    --------
    >>> deep = Decisions("VAE-GAN", good=20, false_alarms=1, defective=30, flagged=29, caused=27)
    >>> find_answer(deep).answer
    'Use it'
    >>> simple = Decisions("subspace", good=20, false_alarms=0, defective=30, flagged=28, caused=28)
    >>> print(find_answer(deep, simple).findings()[0])  # doctest: +ELLIPSIS
    Use the simpler one: with the subspace 28 of 30 defects are flagged because of the defect ...
    """
    if leaks < 0:
        raise ValueError(f"leaks must be a number of images, at least 0; got {leaks}")
    if simpler and (simpler.good, simpler.defective) != (main.good, main.defective):
        raise ValueError(
            f"simpler must be tested on the images of main: {main.good} good and "
            f"{main.defective} defective ones; got {simpler.good} and {simpler.defective}"
        )
    criteria = criteria or AnswerCriteria()
    unproved = "" if proves_skill else shortcut
    evidence = _Evidence(main, simpler, unproved, leaks, criteria)
    row = next(row for row, rule in enumerate(_RULES) if rule.applies(evidence))
    return Answer(_RULES[row].answer, _RULES[row].why(evidence), main, row, shortcut, criteria)
