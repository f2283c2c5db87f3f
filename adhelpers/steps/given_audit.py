"""A detector from elsewhere, explained and audited: with a model by repairs, without by places."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from adhelpers._shared.arrays import Maps
from adhelpers.explainers import Explanations, centre_prior, explain_images, noise, uniform

from .answer import answer_run
from .audit import Audit
from .counterparts import CounterpartChoice
from .explain import BASELINES, REPAIR, ExplainedImages, explain_detector
from .given import GivenDetector, assess_given
from .given_budget import ExplainerBudget, plan_budget
from .localization import OWN_MAP, audit_localization
from .places import audit_places
from .trust import Shortcuts, Trust, audit_trust

# Whose verdicts are reported: the first of these that there is.
_REPORTED = (REPAIR, "SHAP", OWN_MAP, "LIME")
# Baselines that need neither a score nor a counterpart.
_BLIND = {"uniform": uniform, "centre prior": centre_prior, "noise": noise}


@dataclass(frozen=True)
class GivenAudit(Audit):
    """The audit of a detector from elsewhere."""

    @property
    def explainers(self) -> tuple[str, ...]:
        """Those that have verdicts and are no baseline, the detector's own map among them."""
        return tuple(name for name in self.trust.summaries if name not in BASELINES)

    def findings(self) -> list[str]:
        """What the comparison with the true defects and the repair test mean."""
        return [
            *self.localization.findings(self.explainers[:2]),
            *self.trust.findings(self.explainers[:2]),
        ]


def explain_given(
    choice: CounterpartChoice,
    budget: ExplainerBudget,
    *,
    seed: int = 0,
    show_progress: bool = True,
) -> ExplainedImages:
    """Explain a detector from elsewhere within a budget.

    Its own map is held against the defects as an explanation is; where there is no model, it is the
    only one.

    Parameters
    ----------
    choice : CounterpartChoice
    budget : ExplainerBudget
    seed : int
    show_progress : bool

    Returns
    -------
    ExplainedImages
    """
    one = choice.assessment
    if one.has_counterparts:
        names = [*budget.explainers, *BASELINES]
        explained = explain_detector(
            one, budget.settings, explainers=names, seed=seed, show_progress=show_progress
        )
    else:
        explained = ExplainedImages({}, {}, budget.settings, seed)
        images = one.category.test.images
        for name, explainer in _BLIND.items():
            explained.test[name] = explain_images(
                explainer, None, images, images, seed=seed, show_progress=False
            )
    if one.has_maps:
        own = {OWN_MAP: _as_explanations(one.anomaly_maps)}
        good = one.category.validation.images[: budget.settings.good_explained]
        good_maps = dict[str, Explanations]()
        if one.has_counterparts and len(good):
            good_maps[OWN_MAP] = _as_explanations(one.detector.anomaly_map(good))
        return ExplainedImages(
            own | explained.test, good_maps | explained.good, budget.settings, seed
        )
    return explained


def _as_explanations(maps: Maps) -> Explanations:
    """Anomaly maps in the form of explanations."""
    return Explanations(maps, [{} for _ in maps], {}, 0.0)


def audit_given(
    choice: CounterpartChoice,
    explanations: ExplainedImages,
    budget: ExplainerBudget,
    *,
    cutoff: float = 0.1,
    seed: int = 0,
    show_progress: bool = True,
) -> GivenAudit:
    """Audit the flags of a detector from elsewhere.

    Parameters
    ----------
    choice : CounterpartChoice
    explanations : ExplainedImages
        As `explain_given` gives them.
    budget : ExplainerBudget
    cutoff : float
        Below this optimal Jaccard an explanation points to the wrong place.
    seed : int
    show_progress : bool

    Returns
    -------
    GivenAudit
    """
    one, test = choice.assessment, explanations.test
    located = audit_localization(one, test, cutoff=cutoff)
    explainers = [name for name in test if name not in _BLIND]
    trust: Trust
    if choice.verifiable:
        trust = audit_trust(
            one,
            test,
            explanations.good,
            explainers=explainers,
            effort=budget.effort,
            seed=seed,
            show_progress=show_progress,
        )
    else:
        trust = audit_places(
            one,
            test,
            explanations.good,
            explainers=explainers,
            by_place=not one.has_counterparts,
            seed=seed,
        )
    reported = next(name for name in _REPORTED if name in trust.verdicts)
    return GivenAudit(explanations, located, trust, reported)


@dataclass(frozen=True)
class SideBySide:
    """The same flags judged by repairs, and by the place of the maps alone.

    Attributes
    ----------
    repaired : GivenAudit
    placed : GivenAudit or None
        None where the detector gives no map, or only maps, and there is nothing to compare.
    answer : str
        What would be answered if there were only the maps.
    """

    repaired: GivenAudit
    placed: GivenAudit | None
    answer: str = ""

    def table(self) -> pd.DataFrame:
        """Counts of flagged defective images: verdict with the model by verdict of maps alone."""
        if self.placed is None:
            return pd.DataFrame()
        labels = self.repaired.assessment.category.test.labels == 1
        both = self.repaired.assessment.flags & self.placed.assessment.flags & labels
        counts = pd.crosstab(
            pd.Series(self.repaired.verdicts[both], name="with the model"),
            pd.Series(self.placed.verdicts[both], name="maps alone"),
        )
        return counts.rename_axis(columns="with the model \\ maps alone", index=None)

    def findings(self) -> list[str]:
        """Whether both agree, what maps alone cannot know, and what they would answer."""
        if self.placed is None:
            model = self.repaired.assessment.has_counterparts
            what = "gives no map" if model else "is known by its maps alone"
            return [f"The detector {what}, so there is nothing to compare here."]
        table = self.table()
        right = [name for name in table.index if str(name).startswith("right reason")]
        known = [name for name in table.index if name == "wrong reason" or name in right]
        agree = sum(
            int(table.loc[name].get("right place" if name in right else "wrong place", 0))
            for name in known
        )
        total = int(table.loc[known].to_numpy().sum()) if known else 0
        found = (
            f"On {agree} of {total} flagged defective images the place of the map says the same as "
            "the repair. A map on the defect is no proof: the score may come from elsewhere."
            if total
            else "No flag could be verified by a repair, so the place of the map is all there is."
        )
        return [found, f"Maps alone would answer: {self.answer}"]


def audit_maps_alone(
    given: GivenDetector,
    audit: GivenAudit,
    shortcuts: Shortcuts,
    *,
    cutoff: float = 0.1,
    seed: int = 0,
) -> SideBySide:
    """What would be known of a detector if there were only its maps, beside what its model tells.

    Parameters
    ----------
    given : GivenDetector
        Whose stored maps are taken, where there are any; else those of the model.
    audit : GivenAudit
        Of the detector with its model.
    shortcuts : Shortcuts
    cutoff : float
    seed : int

    Returns
    -------
    SideBySide
    """
    one = audit.assessment
    if not (one.has_maps and one.has_counterparts):
        return SideBySide(audit, None)
    stored = given.maps_alone()
    if stored is not None:
        one = assess_given(stored, seed=seed)
    images = one.category.test.images
    one = replace(one, counterparts=images, has_counterparts=False, fill=None)
    choice, budget = CounterpartChoice(one, {}), plan_budget(one)
    explained = explain_given(choice, budget, seed=seed, show_progress=False)
    options: dict[str, Any] = {"seed": seed, "show_progress": False}
    placed = audit_given(choice, explained, budget, cutoff=cutoff, **options)
    answered = answer_run(placed, shortcuts, **options)
    return SideBySide(audit, placed, answered.answer.findings()[0])
