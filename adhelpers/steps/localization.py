"""Do explanations meet the true defects? Here, and not before, masks come in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Floats
from adhelpers.audit import ExplainerComparison, compare_explainers, flagged_in_wrong_place
from adhelpers.explainers import Explanations
from adhelpers.metrics import optimal_jaccards
from adhelpers.reports import explainer_against_explainer, score_against_jaccard

from .assess import Assessment
from .explain import BASELINES, REPAIR

SHOWN = (REPAIR, "LIME", "SHAP", "residual map")
# A detector's own map, where it is held against the defects as an explanation is.
OWN_MAP = "anomaly map"


@dataclass(frozen=True)
class LocalizationAudit:
    """How well each explainer's heatmaps meet the true defects.

    Attributes
    ----------
    assessment : Assessment
        Whose scores were explained.
    jaccards, cuts : dict of str to ndarray, shape (n,)
        For each explainer the optimal Jaccard of each test image and the heatmap threshold that
        gives it; NaN without a defect. The threshold is chosen with the mask, so each value is an
        upper bound.
    comparison : ExplainerComparison
    wrong_place : dict of str to pandas.DataFrame
        For each explainer the flagged defective images whose optimal Jaccard is below ``cutoff``.
    cutoff : float
    """

    assessment: Assessment
    jaccards: dict[str, Floats]
    cuts: dict[str, Floats]
    comparison: ExplainerComparison
    wrong_place: dict[str, pd.DataFrame]
    cutoff: float

    @property
    def spoken_of(self) -> tuple[str, ...]:
        """The explainers that sentences are about: the usual ones, or what else explains here."""
        usual = tuple(name for name in (REPAIR, "LIME", "SHAP") if name in self.jaccards)
        return usual or tuple(name for name in self.jaccards if name not in BASELINES)[:2]

    def table(self) -> pd.DataFrame:
        """A row for each explainer: mean and median optimal Jaccard, and how often it misses."""
        return self.comparison.table()

    def findings(
        self,
        explainers: Sequence[str] | None = None,
        baselines: Sequence[str] = BASELINES,
    ) -> list[str]:
        """Whether explainers beat the baselines, and how many flags they explain elsewhere.

        Parameters
        ----------
        explainers, baselines : sequence of str
            Which rows of the comparison are explainers (by default `spoken_of`), and which need no
            explaining at all.

        Returns
        -------
        list of str
        """
        explainers = explainers or self.spoken_of
        summary = self.comparison.summary
        means = summary["mean"]
        if means.isna().all():
            return [
                "This category has no masks, so no one can say whether a flag is about the defect. "
                "The heatmaps can be looked at."
            ]
        best = max(
            (name for name in baselines if name in means.index), key=lambda name: means[name]
        )
        found = [
            f"{name[:1].upper()}{name[1:]} reaches a mean optimal Jaccard of {means[name]:.2f}, "
            f"{'above' if means[name] > means[best] else 'not above'} the best baseline, the "
            f"{best} ({means[best]:.2f})."
            for name in explainers
        ]
        if len(explainers) == 2:
            first, second = explainers
            count = summary["images"][[first, second]].min()
            wins = self.comparison.wins[first][second]
            found.append(f"{second} is above {first} on {wins} of {count} defective images.")
        return [*found, self._misses(explainers)]

    def _misses(self, explainers: Sequence[str]) -> str:
        names = [set(self.wrong_place[name]["name"]) for name in explainers]
        counts = ", ".join(
            f"{len(one)} by {name}" for name, one in zip(explainers, names, strict=True)
        )
        test = self.assessment.category.test
        positive = self.assessment.flags & (test.labels == 1)
        flagged = int((positive & test.mask_known).sum())
        left_out = int(positive.sum()) - flagged
        hidden = f"whose defect is in the mask ({left_out} more show none) " if left_out else ""
        found = (
            f"Of {flagged} flagged defective images {hidden}the "
            f"explanation misses the defect (optimal Jaccard below {self.cutoff:g}) in: {counts}"
        )
        if len(names) > 1:
            found += f"; in {len(set.intersection(*names))} by all of them"
        found += "."
        if set.union(*names):
            found += (
                " Those are the images to look at: either the detector flags them for another "
                "reason, or the explainer does not show its reason."
            )
        return found

    def figure(self) -> Figure:
        """Each image's score against the optimal Jaccard of its explanations."""
        return score_against_jaccard(
            self.assessment.scores,
            {name: self.jaccards[name] for name in (*SHOWN, OWN_MAP) if name in self.jaccards},
            self.assessment.category.test.types,
            self.assessment.threshold,
            self.cutoff,
        )

    def explainer_figure(self) -> Figure:
        """The optimal Jaccard of SHAP against that of LIME, a dot for each defective image."""
        types = self.assessment.category.test.types
        return explainer_against_explainer(self.jaccards["LIME"], self.jaccards["SHAP"], types)

    def wrong_place_table(self, explainers: Sequence[str] | None = None) -> pd.DataFrame:
        """Flagged defective images whose explanation misses the defect.

        Parameters
        ----------
        explainers : sequence of str, optional
            By default `spoken_of`.

        Returns
        -------
        pandas.DataFrame
            A row for each image that at least one explainer misses: type, score, the optimal
            Jaccard of each explainer, and who misses it. Ranked by score over the smallest of these
            Jaccards, the highest first.
        """
        explainers = explainers or self.spoken_of
        names = self.assessment.category.test.names
        rows: dict[int, dict[str, Any]] = {}
        for name in explainers:
            for one in self.wrong_place[name].to_dict("records"):
                index = int(np.flatnonzero(names == one["name"])[0])
                known = {"image": one["name"], "type": one["type"], "score": one["score"]}
                jaccards = {f"J* {other}": self.jaccards[other][index] for other in explainers}
                row = rows.setdefault(index, {**known, **jaccards, "missed by": []})
                row["missed by"].append(name)

        def surest(row: dict) -> float:
            # 1e-9 keeps images of Jaccard 0 in the order of their scores.
            return -row["score"] / (min(row[f"J* {name}"] for name in explainers) + 1e-9)

        columns = ["image", "type", "score", *(f"J* {name}" for name in explainers), "missed by"]
        ranked = sorted(rows.values(), key=surest)
        return pd.DataFrame(
            [{**row, "missed by": ", ".join(row["missed by"])} for row in ranked], columns=columns
        )

    def summary_parts(self) -> dict[str, Any]:
        """The parts of ``summary.json`` that follow, as keywords for `Run.summary`."""
        if not self.assessment.category.has_masks:
            return {"jaccard": None}
        jaccard = {
            str(name): {
                "mean": float(row["mean"]),
                "median": float(row["median"]),
                "images": int(row["images"]),
                "flagged_in_wrong_place": len(self.wrong_place[str(name)]),
            }
            for name, row in self.comparison.summary.iterrows()
        }
        return {"jaccard": jaccard}


def audit_localization(
    assessment: Assessment, explanations: Mapping[str, Explanations], *, cutoff: float = 0.1
) -> LocalizationAudit:
    """Hold heatmaps against the true defects.

    Parameters
    ----------
    assessment : Assessment
        Where its category has no masks every Jaccard is NaN and nothing is listed.
    explanations : dict of str to Explanations
        For each explainer the explanations of all test images.
    cutoff : float
        Below this optimal Jaccard an explanation points to the wrong place.

    Returns
    -------
    LocalizationAudit
    """
    test = assessment.category.test
    jaccards, cuts, wrong = {}, {}, {}
    for name, result in explanations.items():
        if test.masks is None:
            jaccards[name] = cuts[name] = np.full(len(test), np.nan)
        else:
            jaccards[name], cuts[name] = optimal_jaccards(result.heatmaps, test.masks)
        wrong[name] = flagged_in_wrong_place(
            test.names, test.types, assessment.scores, jaccards[name], assessment.threshold, cutoff
        )
    comparison = compare_explainers(jaccards, cutoff)
    return LocalizationAudit(assessment, jaccards, cuts, comparison, wrong, cutoff)
