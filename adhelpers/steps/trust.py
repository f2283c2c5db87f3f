"""Can it be trusted? The steps from the shortcut probe to the verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Flags, Images, Labels, Maps, Masks, Names
from adhelpers._shared.stages import stage
from adhelpers.audit import (
    DeletionInsertion,
    RepairResult,
    RepairSettings,
    ShortcutDependence,
    ShortcutProbe,
    VerdictSummary,
    deletion_insertion,
    dependence_findings,
    has_measurable_outside,
    image_statistics,
    paste_region,
    probe_shortcuts,
    regions_to_leave_out,
    repair_test,
    repaired,
    shortcut_dependence,
    too_coarse,
    verdict_rules,
    verdict_summary,
    verdicts,
)
from adhelpers.data import Category, ImageSet, object_or_all
from adhelpers.explainers import Explanations
from adhelpers.metrics import (
    Estimate,
    bounded_mean,
    chance_levels,
    good_image_threshold,
    localization_table,
    paired_difference,
    share_estimate,
)
from adhelpers.reports import deletion_insertion_curves, shortcut_figure

from .assess import Assessment, ImageAssessment, leaked_images
from .explain import BASELINES, REPAIR

# Pixels go to the counterpart, or come back from it, in so many steps.
_CURVE_STEPS = 16
_WITH_VERDICTS = (REPAIR, "LIME", "SHAP", "residual map")
# How small their regions are follows from how often they may ask for the score.
_BUDGETED = ("LIME", "SHAP")


@dataclass(frozen=True)
class Shortcuts:
    """Simple statistics of the images of a category and what they tell.

    Attributes
    ----------
    statistics, validation_statistics : pandas.DataFrame
        Of the test and of the good validation images, as the detectors see them; with masks outside
        the defects, and in good images outside regions of the same shapes.
    labels : ndarray of int, shape (n,)
        Of the test images.
    probe : ShortcutProbe
    strongest : str or None
        The statistic of the pixels (not of the file) that separates most.
    leaked : int
        Number of test images that are also used in training or for the threshold.
    """

    statistics: pd.DataFrame
    validation_statistics: pd.DataFrame
    labels: Labels
    probe: ShortcutProbe
    strongest: str | None
    leaked: int = 0

    def table(self, count: int = 8) -> pd.DataFrame:
        """The statistics that separate good from defective best, at most ``count``."""
        return self.probe.table(count)

    def findings(self) -> list[str]:
        """Whether a single statistic separates good from defective, and whether images leak."""
        return [*self.probe.findings(), *self._leak_findings()]

    def _leak_findings(self) -> list[str]:
        """A sentence where test images are also used in training."""
        if not self.leaked:
            return []
        return [
            f"{self.leaked} of {len(self.labels)} test images "
            f"{'is' if self.leaked == 1 else 'are'} also used in training or for the threshold "
            "(the same content): a detector that only remembers images is right on them, so they "
            "say nothing about new ones."
        ]

    def outside_defects(self) -> str:
        """The pixels' statistic that tells the classes apart outside the defects, and its AUROC.

        Empty where none does, and without masks, where it could be the defects that do.
        """
        found = self.probe.statistics.set_index("statistic")
        if not self.probe.outside_defects or not self.strongest:
            return ""
        best = found.loc[self.strongest]
        name = self.strongest.replace("_", " ")
        return f"{name} {best.separability:.2f}" if best.significant else ""

    def figure(self) -> Figure:
        """The AUROC of each statistic, and the values of the best one."""
        return shortcut_figure(self.probe, self.statistics, self.labels)

    def summary_parts(self) -> dict[str, Any]:
        """The parts of ``summary.json`` that follow, as keywords for `Run.summary`."""
        return {"shortcut": self.probe.as_dict()}


def find_shortcuts(category: Category, *, seed: int = 0) -> Shortcuts:
    """Ask before any model whether a single statistic tells good from defective test images.

    Parameters
    ----------
    category : Category
    seed : int
        For the bootstrap.

    Returns
    -------
    Shortcuts
    """
    test, validation = category.test, category.validation
    with stage("shortcuts"):
        files = None if test.files is None else [Path(one) for one in test.files]
        whole = image_statistics(test.images, files)
        masks, known = _known_defects(test)
        if masks is None:
            statistics, of_validation = whole, image_statistics(validation.images)
            probe = probe_shortcuts(whole, test.labels, seed=seed)
        else:
            regions = regions_to_leave_out(test.images, masks, seed=seed)
            statistics = whole.assign(**image_statistics(test.images, left_out=regions))
            regions = regions_to_leave_out(test.images, masks, validation.images, seed)
            of_validation = image_statistics(validation.images, left_out=regions)
            probe = probe_shortcuts(
                whole[known], test.labels[known], seed=seed, outside=statistics[known]
            )
    pixels = [name for name in probe.statistics["statistic"] if not name.startswith("file_")]
    strongest = pixels[0] if probe.strongest else None
    leaked = int(leaked_images(category).sum())
    return Shortcuts(statistics, of_validation, test.labels, probe, strongest, leaked)


def _known_defects(test: ImageSet) -> tuple[Masks | None, Flags]:
    """The masks, and the images that are good or whose defect can be left out; None without any."""
    everything = np.ones(len(test), bool)
    if test.masks is None:
        return None, everything
    measurable = has_measurable_outside(test.masks) & (test.labels == 1)
    if not measurable.any():
        return None, everything
    return test.masks, (test.labels == 0) | measurable


@dataclass(frozen=True)
class ScoreDependence:
    """Whether detectors' scores follow the best single statistic.

    Attributes
    ----------
    results : dict of str to ShortcutDependence
        By the detector's title; empty where the probe found no statistic.
    unknown : list of str
        Why there are none.
    """

    results: dict[str, ShortcutDependence]
    unknown: list[str]

    def table(self) -> pd.DataFrame:
        """A row for each detector: rank correlations, and the AUROC among images alike."""
        rows = [result.table().set_axis([title]) for title, result in self.results.items()]
        return pd.concat(rows) if rows else pd.DataFrame()

    def findings(self) -> list[str]:
        """What the scores have to do with the statistic, in one sentence for all detectors."""
        return dependence_findings(self.results) if self.results else self.unknown


def score_dependence(
    shortcuts: Shortcuts, assessments: Sequence[Assessment], *, seed: int = 0
) -> ScoreDependence:
    """Test whether the detectors' scores follow the best single statistic.

    Parameters
    ----------
    shortcuts : Shortcuts
    assessments : list of Assessment
        Their reference scores those of the good validation images; none where only maps of test
        images are known.
    seed : int

    Returns
    -------
    ScoreDependence
    """
    if shortcuts.strongest is None:
        return ScoreDependence({}, shortcuts.probe.findings())
    results = {
        one.title: shortcut_dependence(
            one.scores,
            shortcuts.statistics[shortcuts.strongest],
            shortcuts.labels,
            one.reference_scores if len(one.reference_scores) else None,
            shortcuts.validation_statistics[shortcuts.strongest]
            if len(one.reference_scores)
            else None,
            types=one.category.test.types,
            seed=seed,
        )
        for one in assessments
    }
    return ScoreDependence(results, [])


def object_regions(category: Category) -> Masks:
    """Where the object and its true defect are in each test image.

    The whole image where no object stands out.
    """
    test = category.test
    regions = np.array([object_or_all(image) for image in test.images])
    return regions if test.masks is None else regions | test.masks


@dataclass(frozen=True)
class Effort:
    """How much of a slow detector's time an audit takes.

    Attributes
    ----------
    control_draws : int
        Repairs of good surface for each flagged defective image, as in `RepairSettings`.
    curves : tuple of str or None
        Explainers that get deletion and insertion curves; None are all.
    """

    control_draws: int = 19
    curves: tuple[str, ...] | None = None

    def draws(self, explainer: str) -> bool:
        """Whether an explainer gets curves."""
        return self.curves is None or explainer in self.curves


@dataclass(frozen=True)
class Trust:
    """The audit of one detector's flags and of the explainers that speak for it.

    Attributes
    ----------
    assessment : ImageAssessment
    repair : RepairResult or None
        None without masks.
    curves : DeletionInsertion or None
        Of the flagged defective images; None without masks or where there are none.
    chance : dict of str to pandas.DataFrame
        For each explainer the chance level of each test image; empty without masks.
    localization : pandas.DataFrame
        A row for each explainer: means over the defective images, beside what chance gives; empty
        without masks.
    verdicts : dict of str to ndarray of str, shape (n,)
        For each explainer one verdict for each test image.
    summaries : dict of str to VerdictSummary
    """

    assessment: ImageAssessment
    repair: RepairResult | None
    curves: DeletionInsertion | None
    chance: dict[str, pd.DataFrame]
    localization: pd.DataFrame
    verdicts: dict[str, Names]
    summaries: dict[str, VerdictSummary]

    def table(self) -> pd.DataFrame:
        """A row for each explainer: how well it meets the defects, beside what chance gives."""
        return self.localization

    @property
    def speaker(self) -> str:
        """Whose verdicts are reported: the smallest repair's, else SHAP's, else the first's."""
        return next(name for name in (REPAIR, "SHAP", *self.verdicts) if name in self.verdicts)

    def verdict_table(self, explainer: str | None = None) -> pd.DataFrame:
        """Counts of one explainer's verdicts by defect type, by default of `speaker`."""
        return self.summaries[explainer or self.speaker].table()

    def findings(self, explainers: Sequence[str] | None = None) -> list[str]:
        """How many flags the defect raised, and how many of these each explainer explains well.

        Parameters
        ----------
        explainers : sequence of str, optional
            By default those that have verdicts and ask the detector, three at most.

        Returns
        -------
        list of str
        """
        asking = [name for name in self.summaries if name not in BASELINES][:3]
        explainers = explainers or asking or list(self.summaries)
        recall = self.summaries[explainers[0]].findings()
        if self.repair is None:
            return recall
        if self.repair.per_image.empty:
            return self.repair.findings()
        return [
            *self.repair.findings(),
            *recall,
            *map(self._explained, explainers),
        ]

    def _explained(self, explainer: str) -> str:
        """How many of the flags raised by the defect an explainer explains well."""
        count = self.summaries[explainer].count
        coarse = count("right reason, explained too coarsely")
        found = (
            f"{explainer} explains {count('right reason')} of the flags raised by the defect well "
            f"and {count('right reason, badly explained')} badly (not above chance, or what it "
            "points at does not move the score)"
        )
        if coarse:
            found += (
                f", {coarse} too coarsely: its regions are larger than the peak of the anomaly "
                "map, so a larger budget is needed"
            )
        return f"{found}."

    def figure(
        self,
        names: Sequence[str] = (REPAIR, "LIME", "SHAP", "anomaly map", "residual map", "noise"),
    ) -> Figure:
        """Mean deletion and insertion curves over the flagged defective images.

        Empty where there are none or no masks.

        Parameters
        ----------
        names : sequence of str
            The explainers to draw.

        Returns
        -------
        matplotlib.figure.Figure
        """
        if self.curves is None:
            return deletion_insertion_curves([0, 1], {}, {})
        deletion, insertion = self.curves.deletion, self.curves.insertion
        shown = [name for name in names if name in deletion]
        return deletion_insertion_curves(
            self.curves.shares,
            {name: deletion[name] for name in shown},
            {name: insertion[name] for name in shown},
        )

    def repaired_defects(self) -> dict[int, tuple[Images, float]]:
        """The flagged defective images after their true defects were replaced by the counterpart.

        Returns
        -------
        dict of int to (ndarray (h, w, c), float)
            For the index of each flagged defective test image the repaired image and its score.
        """
        test = self.assessment.category.test
        if self.repair is None or test.masks is None:
            return {}
        settings, mended = self.repair.settings, {}
        scores = self.repair.per_image["repaired_score"]
        for index, score in zip(scores.index.to_numpy(dtype=int), scores, strict=True):
            edge = settings.margin, settings.feather
            image, mask = test.images[index], test.masks[index]
            counterpart = self.assessment.counterparts[index]
            if self.assessment.fill is not None:
                counterpart = self.assessment.fill(image, paste_region(mask, *edge))
            image = repaired(image, counterpart, mask, *edge)
            mended[int(index)] = (image, float(score))
        return mended

    def summary_parts(self, explainer: str | None = None) -> dict[str, Any]:
        """The parts of ``summary.json`` that follow, with one explainer's verdicts counted."""
        summary, chance = self.summaries[explainer or self.speaker], {}
        for name, table in self.chance.items():
            tested = table["p_adjusted"].notna()
            chance[name] = {
                "relevance": float(table["observed"][tested].mean()),
                "by_chance": float(table["mean"][tested].mean()),
                "above_chance": int((table["p_adjusted"] <= 0.05).sum()),
                "images": int(tested.sum()),
            }
        counts = {str(name): int(value) for name, value in summary.counts["all"].items()}
        return {
            "chance": chance or None,
            "verdicts": counts,
            "trust_adjusted_recall": summary.trust_adjusted_recall,
        }


def audit_trust(
    assessment: ImageAssessment,
    explanations: Mapping[str, Explanations],
    good_explanations: Mapping[str, Explanations] | None = None,
    *,
    explainers: Sequence[str] | None = None,
    reference: str = "residual map",
    quantile: float = 0.99,
    effort: Effort | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> Trust:
    """Tell the detector's fault from the explainer's: repair test, chance level, verdicts.

    Parameters
    ----------
    assessment : ImageAssessment
        Where its category has no masks only what is known of labels and flags is said.
    explanations : dict of str to Explanations
        Of all test images.
    good_explanations : dict of str to Explanations, optional
        Of some good validation images, to fix a threshold for each explainer's heatmaps without a
        mask.
    explainers : sequence of str, optional
        Those that get verdicts; by default the smallest repair, LIME, SHAP and the residual map,
        where they are given.
    reference : str
        The explainer that the others are compared with.
    quantile : float
        Share of the good images' pixels that the fixed threshold lets pass.
    effort : Effort, optional
    seed : int
    show_progress : bool

    Returns
    -------
    Trust
    """
    effort = effort or Effort()
    # Without any explanation a verdict is what is known of labels and flags.
    usual = [name for name in _WITH_VERDICTS if name in explanations] or _WITH_VERDICTS
    explainers = explainers or usual
    test, flags = assessment.category.test, assessment.flags
    if test.masks is None:
        given = {name: verdicts(test.labels, flags) for name in explainers}
        return Trust(assessment, None, None, {}, pd.DataFrame(), given, counted(given, test))
    heatmaps = {name: result.heatmaps for name, result in explanations.items()}
    regions = object_regions(assessment.category)
    with stage(f"{assessment.title}: repair and chance"):
        repair = repair_test(
            assessment.detector.score,
            test.images,
            assessment.fill or assessment.counterparts,
            test.masks,
            {name: heatmaps[name] for name in explainers},
            assessment.threshold,
            object_regions=regions,
            settings=RepairSettings(control_draws=effort.control_draws, seed=seed),
            show_progress=show_progress,
        )
        chance = {name: chance_levels(maps, test.masks, regions) for name, maps in heatmaps.items()}
        drawn = {name: maps for name, maps in heatmaps.items() if effort.draws(name)}
        curves = _curves(assessment, repair, drawn, show_progress)
    thresholds = {
        name: good_image_threshold(result.heatmaps, quantile)
        for name, result in (good_explanations or {}).items()
    }
    localization = localization_rows(test, heatmaps, chance, thresholds, reference, seed)
    if curves is not None:
        areas = curves.table().reindex(localization.index)
        localization["deletion area, low is good"] = areas["deletion"]
        localization["insertion area, high is good"] = areas["insertion"]
    given = {
        name: verdicts(
            test.labels,
            flags,
            repair_cleared=repair.values("cleared"),
            repair_removed=repair.values("removed"),
            control_removed=repair.values("control_max"),
            explained_above_chance=_not_by_chance(chance[name]),
            explained_removed=repair.values("explained_removed", name),
            explained_coarsely=too_coarse(heatmaps[name], assessment.anomaly_maps)
            if name in _BUDGETED
            else None,
        )
        for name in explainers
    }
    return Trust(assessment, repair, curves, chance, localization, given, counted(given, test))


def _not_by_chance(chance: pd.DataFrame, level: float = 0.05) -> Flags:
    """Where an explanation is above chance, or chance cannot speak.

    A long defect fits on its object in a few places only. Then no explanation could be shown to be
    above chance, and whether its repair moves the score decides alone.
    """
    possible = chance["shifts"] * level >= 1
    known = chance["p_adjusted"].notna()
    return (known & (~possible | (chance["p_adjusted"] <= level))).to_numpy()


def counted(given: Mapping[str, Names], test: ImageSet) -> dict[str, VerdictSummary]:
    """The verdicts of each explainer, counted."""
    return {name: verdict_summary(one, test.types, test.labels) for name, one in given.items()}


def _curves(
    assessment: ImageAssessment,
    repair: RepairResult,
    heatmaps: Mapping[str, Maps],
    show_progress: bool,
) -> DeletionInsertion | None:
    """Deletion and insertion curves of the flagged defective images; None where there are none."""
    found = repair.per_image.index.to_numpy()
    if not len(found) or not heatmaps:
        return None
    return deletion_insertion(
        assessment.detector.score,
        assessment.category.test.images[found],
        assessment.counterparts[found],
        {name: maps[found] for name, maps in heatmaps.items()},
        steps=_CURVE_STEPS,
        show_progress=show_progress,
    )


def localization_rows(
    test: ImageSet,
    heatmaps: Mapping[str, Maps],
    chance: Mapping[str, pd.DataFrame],
    thresholds: Mapping[str, float],
    reference: str,
    seed: int,
) -> pd.DataFrame:
    """For each explainer its means over the defective images, beside what chance gives."""
    defective, rows = test.labels == 1, {}
    tables = {
        name: localization_table(maps, test.masks, thresholds.get(name))
        for name, maps in heatmaps.items()
    }
    for name, table in tables.items():
        means, level = table[defective].mean(), chance[name][defective]
        pointed = table["pointing_game"][defective].dropna()
        above = int((level["p_adjusted"] <= 0.05).sum())
        difference = paired_difference(
            table["relevance_mass_accuracy"],
            tables[reference]["relevance_mass_accuracy"],
            seed=seed,
        )
        rows[name] = {
            "J*, upper bound": means["optimal_jaccard"],
            "J at a threshold from good images": means.get("jaccard_at", np.nan),
            "pointing game": f"{_mean_of_hits(pointed):.2f}",
            "heatmap AUROC": means["heatmap_auroc"],
            "relevance inside the defect": means["relevance_mass_accuracy"],
            "by chance on the object": level["mean"].mean(),
            "images above chance": f"{above} of {int(level['p_adjusted'].notna().sum())}",
            f"relevance more than {reference}": "" if name == reference else str(difference),
        }
    # From rows, not transposed from columns: each column keeps its own type, so that numbers can be
    # rounded.
    return pd.DataFrame.from_dict(rows, orient="index")


def _mean_of_hits(hits: pd.Series) -> Estimate:
    """The mean of hits and misses as a share of images; of parts of hits, as ties give, a bound."""
    if hits.isin((0, 1)).all():
        return share_estimate(int(hits.sum()), len(hits))
    return bounded_mean(float(hits.mean()), len(hits))


def rules_page() -> Any:
    """The rule behind the verdicts as a notebook shows it, no cell cut short: an IPython HTML."""
    from IPython.display import HTML

    with pd.option_context("display.max_colwidth", None):
        return HTML(verdict_rules().drop(columns="meaning").rename_axis(None).to_html())
