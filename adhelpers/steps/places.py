"""The audit of flags that no repair can test: where the map or an explanation lies, by chance."""

from collections.abc import Mapping, Sequence

import pandas as pd

from adhelpers._shared.stages import stage
from adhelpers.audit import unrepaired_verdicts, verdicts
from adhelpers.explainers import Explanations
from adhelpers.metrics import chance_levels, good_image_threshold

from .assess import ImageAssessment
from .trust import Trust, counted, localization_rows, object_regions


def audit_places(
    assessment: ImageAssessment,
    explanations: Mapping[str, Explanations],
    good_explanations: Mapping[str, Explanations] | None = None,
    *,
    explainers: Sequence[str],
    by_place: bool,
    reference: str = "centre prior",
    quantile: float = 0.99,
    seed: int = 0,
) -> Trust:
    """Judge flags without a repair.

    Parameters
    ----------
    assessment : ImageAssessment
        Where its category has no masks only what is known of labels and flags is said.
    explanations, good_explanations : dict of str to Explanations
        Of all test images, and of some good validation images.
    explainers : sequence of str
        Those that get verdicts.
    by_place : bool
        True where there are only maps: a flag is in the right or the wrong place. False where
        there is a model, but nothing that is pasted stays normal to it: flags are not verifiable.
    reference : str
        The explainer that the others are compared with.
    quantile : float
        Share of the good images' pixels that the fixed threshold lets pass.
    seed : int

    Returns
    -------
    Trust
    """
    test, flags = assessment.category.test, assessment.flags
    if test.masks is None:
        given = {name: verdicts(test.labels, flags) for name in explainers}
        return Trust(assessment, None, None, {}, pd.DataFrame(), given, counted(given, test))
    heatmaps = {name: result.heatmaps for name, result in explanations.items()}
    with stage(f"{assessment.title}: chance"):
        regions = object_regions(assessment.category)
        chance = {name: chance_levels(maps, test.masks, regions) for name, maps in heatmaps.items()}
    thresholds = {
        name: good_image_threshold(result.heatmaps, quantile)
        for name, result in (good_explanations or {}).items()
    }
    located = localization_rows(test, heatmaps, chance, thresholds, reference, seed)
    given = {
        name: unrepaired_verdicts(
            test.labels, flags, chance[name]["p_adjusted"].to_numpy() if by_place else None
        )
        for name in explainers
    }
    return Trust(assessment, None, None, chance, located, given, counted(given, test))
