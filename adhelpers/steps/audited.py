"""Which of a run's detectors is explained and audited: no test image has a say in it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adhelpers._shared.arrays import Floats, Integers, Labels
from adhelpers._shared.checks import check_choice
from adhelpers._shared.stages import stage
from adhelpers.detectors import plant_defects
from adhelpers.metrics import AurocComparison, Estimate, auroc_estimate, compare_aurocs, holm

from .assess import ImageAssessment

# Each image gets each of the five kinds.
_DRAWS = 5
_SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class AuditedDetector:
    """Which of a run's detectors is explained and audited, and why.

    Attributes
    ----------
    assessment : ImageAssessment
        Of the detector that is audited.
    simpler : ImageAssessment or None
        Of the simplest detector, which the answer compares with it; None where that is audited.
    found : dict of str to Estimate
        By title how well each detector tells good validation images with a planted defect from
        plain ones (AUROC), the simplest first; NaN where there is a single validation image.
    against_simplest : dict of str to AurocComparison
        By title of all but the simplest the difference of these AUROCs to that of the simplest.
    chosen_by : str
        ``"auto"`` or the name that was asked for.
    """

    assessment: ImageAssessment
    simpler: ImageAssessment | None
    found: dict[str, Estimate]
    against_simplest: dict[str, AurocComparison]
    chosen_by: str

    def table(self) -> pd.DataFrame:
        """A row for each detector: how well it finds planted defects, and which is audited."""
        simplest = next(iter(self.found))
        rows = {
            title: {
                "finds planted defects (AUROC)": str(value),
                f"more than the {simplest}": f"{self.against_simplest[title].difference:+.3f}"
                if title in self.against_simplest
                else "",
                "audited": "←" if title == self.assessment.title else "",
            }
            for title, value in self.found.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def findings(self) -> list[str]:
        """Which detector is audited and why."""
        title = self.assessment.title
        if self.chosen_by != "auto":
            return [f"The {title} is audited, as asked for."]
        best = max(self.found, key=lambda name: self.found[name].value)
        said = f"finds defects planted in good validation images with AUROC {self.found[title]}"
        if title == best and self.simpler is None:
            why = f"it {said}, and no other detector finds more of them"
        elif title == best:
            simplest = self.simpler.title if self.simpler else ""
            difference = self.against_simplest[title].difference
            why = f"it {said}, {difference:.3f} more than the {simplest}, which is the simplest"
        else:
            why = (
                f"it {said}; the {best} reaches {self.found[best]}, which is not shown to be "
                "better, so the simpler of the two is taken"
            )
        return [f"The {title} is audited: {why}. No test image has a say in this."]


def choose_audited(
    assessments: Mapping[str, ImageAssessment], audited: str = "auto", *, seed: int = 0
) -> AuditedDetector:
    """Choose the detector that is explained and audited, without the test set.

    Defects of five kinds are planted into the good validation images (`plant_defects`). How
    well a detector tells these from the plain images is an estimate with an interval, and two
    detectors that differ by less than that are not ranked by it.

    Parameters
    ----------
    assessments : dict of str to ImageAssessment
        By the name that ``audited`` may ask for, the simplest detector first.
    audited : str
        ``"auto"``: the simplest detector that no other one is shown to beat at this, in a paired
        test (`adhelpers.metrics.compare_aurocs`, an image and its planted copies as one group, the
        p-values corrected for the number of other detectors). Or a name.
    seed : int
        Of the planted defects.

    Returns
    -------
    AuditedDetector

    Raises
    ------
    ValueError
        For an unknown name.
    """
    check_choice("audited", audited, ("auto", *assessments))
    every = list(assessments.values())
    scores = {one.title: _scores_of_planted(one, seed) for one in every}
    labels, groups = _labels_and_groups(len(every[0].reference_scores))
    found = {title: auroc_estimate(one, labels, seed=seed) for title, one in scores.items()}
    simplest, *others = every
    if len(set(groups)) < 2:
        # Nothing can be tested with a single image: the simplest detector is taken.
        chosen, against = simplest, dict[str, AurocComparison]()
    else:
        against = {
            one.title: compare_aurocs(scores[one.title], scores[simplest.title], labels, groups)
            for one in others
        }
        unbeaten = (one for one in every if not _is_beaten(one.title, scores, labels, groups))
        chosen = next(unbeaten)
    main = chosen if audited == "auto" else assessments[audited]
    return AuditedDetector(main, None if main is simplest else simplest, found, against, audited)


def _labels_and_groups(count: int) -> tuple[Labels, Integers]:
    """Of the plain images, then of their planted copies: which are planted, which image it is."""
    return np.repeat([0, 1], [count, _DRAWS * count]), np.tile(np.arange(count), 1 + _DRAWS)


def _scores_of_planted(one: ImageAssessment, seed: int) -> Floats:
    """The scores of the plain good validation images, then of their copies with planted defects."""
    good = one.category.validation.images
    with stage(f"{one.title}: planted defects"):
        planted = one.detector.score(plant_defects(good, seed, draws=_DRAWS).images)
    return np.concatenate([one.reference_scores, planted])


def _is_beaten(title: str, scores: Mapping[str, Floats], labels: Labels, groups: Integers) -> bool:
    """Whether another detector is shown to find more of the planted defects."""
    tests = [
        compare_aurocs(other, scores[title], labels, groups)
        for name, other in scores.items()
        if name != title
    ]
    p_values = holm([one.p_value for one in tests])
    return any(
        one.difference.value > 0 and p_value <= _SIGNIFICANCE
        for one, p_value in zip(tests, p_values, strict=True)
    )
