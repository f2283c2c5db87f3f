"""How much of a detector's time its explanations and its audit take, and what that allows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .assess import ImageAssessment
from .explain import REPAIR, ExplainerSettings
from .trust import Effort

# Points of a deletion and of an insertion curve together, for each image.
_CURVE_POINTS = 34
# From all that the other notebooks do to what even a slow detector allows: the explainers, what
# remains of their budgets, the smallest budgets, control draws, and who gets curves.
_LEVELS: tuple[tuple[tuple[str, ...], float, Effort], ...] = (
    (("LIME", "SHAP", REPAIR), 1.0, Effort()),
    (("LIME", "SHAP", REPAIR), 0.5, Effort(curves=("LIME", "SHAP"))),
    (("LIME", "SHAP", REPAIR), 0.25, Effort(curves=())),
    (("SHAP", REPAIR), 0.25, Effort(curves=())),
    ((REPAIR,), 0.5, Effort(control_draws=9, curves=())),
    ((), 1.0, Effort(control_draws=9, curves=())),
)
# Below these SHAP and LIME show noise.
_SMALLEST = {"lime_samples": 33, "shap_evaluations": 48, "num_segments": 16}
_ALL_CURVES = 7
# Seconds for an image besides its score: it is put together, and the answer is sorted in.
_OVERHEAD = 5e-4


@dataclass(frozen=True)
class ExplainerBudget:
    """What is explained, how thoroughly, and how long it is expected to take.

    Attributes
    ----------
    explainers : tuple of str
        Those that ask the detector; baselines and the detector's own map come in any case.
    settings : ExplainerSettings
    effort : Effort
    seconds_each : float
        For the score of one image, as measured.
    expected : float
        Seconds for explanations and audit together.
    allowed : float
        Seconds that were allowed for them.
    reduced : bool
        Whether less is done than the other notebooks do.
    """

    explainers: tuple[str, ...]
    settings: ExplainerSettings
    effort: Effort
    seconds_each: float
    expected: float
    allowed: float
    reduced: bool

    def findings(self) -> list[str]:
        """How long it takes to explain and audit, and what had to be left out for that."""
        found = (
            f"The detector takes {self.seconds_each:.2g} s for an image; explanations and repairs "
            f"are expected to take {_spoken(self.expected)}"
        )
        if not self.reduced:
            return [f"{found}."]
        what = " and ".join(self.explainers) or "no explainer but the detector's own map"
        found += (
            f", within the {_spoken(self.allowed)} that are allowed"
            if self.expected <= self.allowed
            else f", though {_spoken(self.allowed)} were allowed: less is not done"
        )
        return [
            f"{found}. For that fewer evaluations are made than for a fast detector ({what}, "
            f"{self.effort.control_draws} repairs of good surface); more minutes allow more."
        ]


def plan_budget(
    assessment: ImageAssessment,
    settings: ExplainerSettings | None = None,
    minutes: float = 15.0,
    *,
    repairs: bool = True,
) -> ExplainerBudget:
    """Decide what can be explained within some minutes, by the time that a score takes.

    Parameters
    ----------
    assessment : ImageAssessment
        With the seconds that scoring its test images took.
    settings : ExplainerSettings, optional
        The budgets of a detector that is fast enough.
    minutes : float
        For explanations and audit; 0 sets no limit.
    repairs : bool
        Whether a repair proves anything: without, there is no repair test and no smallest repair.

    Returns
    -------
    ExplainerBudget
        The first of several plans that is expected to be done in time; the last one otherwise.

    Raises
    ------
    ValueError
        If ``minutes`` is negative.
    """
    if minutes < 0:
        raise ValueError(f"minutes must be 0 (no limit) or more, not {minutes}")
    settings = settings or ExplainerSettings()
    allowed = 60 * minutes if minutes else float("inf")
    each = assessment.seconds / max(1, len(assessment.category.test))
    plans = []
    for number, (names, share, effort) in enumerate(_LEVELS):
        if not names and not assessment.has_maps:
            # Something has to say where the score comes from.
            break
        names = names if repairs else tuple(name for name in names if name != REPAIR)
        chosen = _reduced(settings, share)
        count = _evaluations(assessment, names, chosen, effort, repairs)
        expected = (each + _OVERHEAD) * count
        plan = ExplainerBudget(names, chosen, effort, each, expected, allowed, number > 0)
        plans.append(plan)
        if plan.expected <= allowed:
            return plan
    return plans[-1]


def _reduced(settings: ExplainerSettings, share: float) -> ExplainerSettings:
    """Settings with a share of their budgets, but not below what shows anything."""
    if share == 1:
        return settings

    def part(name: str) -> int:
        full = getattr(settings, name)
        return max(min(full, _SMALLEST[name]), round(share * full))

    return replace(
        settings,
        **{name: part(name) for name in _SMALLEST},
        good_explained=min(settings.good_explained, 2),
    )


def _evaluations(
    assessment: ImageAssessment,
    names: Sequence[str],
    settings: ExplainerSettings,
    effort: Effort,
    repairs: bool,
) -> int:
    """How many images the detector has to score for explanations and audit."""
    test = assessment.category.test
    images = len(test) + min(settings.good_explained, len(assessment.category.validation))
    cost = {
        "LIME": settings.lime_samples,
        "SHAP": settings.shap_evaluations,
        REPAIR: settings.repair_evaluations,
    }
    count = images * sum(cost[name] for name in names)
    flagged = int(np.sum(assessment.flags & (test.labels == 1)))
    if repairs and test.masks is not None:
        curves = _ALL_CURVES if effort.curves is None else len(effort.curves)
        count += flagged * (1 + effort.control_draws + len(names) + 2 + curves * _CURVE_POINTS)
    return count


def _spoken(seconds: float) -> str:
    """Seconds as people say them.

    Examples
    --------
    >>> _spoken(41.3), _spoken(400)
    ('41 s', '7 min')
    """
    if not np.isfinite(seconds):
        return "any time"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
