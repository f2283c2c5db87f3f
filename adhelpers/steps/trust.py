"""Can it be trusted? The steps that notebooks share from the shortcut probe to the verdicts."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from adhelpers.audit import (
    DeletionInsertion,
    RepairResult,
    ShortcutProbe,
    deletion_insertion,
    image_statistics,
    probe_shortcuts,
    repair_test,
    repaired,
    shortcut_dependence,
    verdict_rules,
    verdict_summary,
    verdicts,
)
from adhelpers.data import object_mask
from adhelpers.metrics import (
    chance_levels,
    good_image_threshold,
    localization_table,
    paired_difference,
)
from adhelpers.reports import deletion_insertion_curves

from .assess import estimate_text


@dataclass(frozen=True)
class Shortcuts:
    """Trivial statistics of the images of a category and what they tell.

    Attributes
    ----------
    statistics, validation_statistics : pandas.DataFrame
        Of the test and of the good validation images, as the detectors see them.
    probe : ShortcutProbe
    strongest : str or None
        The statistic of the pixels (not of the file) that separates most.
    """

    statistics: pd.DataFrame
    validation_statistics: pd.DataFrame
    probe: ShortcutProbe
    strongest: str | None


def find_shortcuts(category, *, seed=0):
    """Ask before any model: can a trivial statistic of the images tell test-good from test-anomalous?

    Parameters
    ----------
    category : Category
    seed : int
        For the bootstrap.

    Returns
    -------
    Shortcuts
    """
    test = category.test
    files = [category.root / category.name / str(name) for name in test.names]
    statistics = image_statistics(test.images, files)
    probe = probe_shortcuts(statistics, test.labels, seed=seed)
    pixels = [name for name in probe.table["statistic"] if not name.startswith("file_")]
    return Shortcuts(
        statistics,
        image_statistics(category.validation.images),
        probe,
        pixels[0] if probe.strongest else None,
    )


def shortcut_table(shortcuts, count=8):
    """The strongest trivial statistics as people read them.

    Parameters
    ----------
    shortcuts : Shortcuts
    count : int
        At most so many rows.

    Returns
    -------
    pandas.DataFrame
    """
    table = shortcuts.probe.table.head(count)
    return pd.DataFrame(
        {
            "statistic": table["statistic"].str.replace("_", " "),
            "in defective images": table["direction"],
            "AUROC": [
                f"{row.separability:.3f} [{row.low:.3f}, {row.high:.3f}]"
                for row in table.itertuples()
            ],
            "p, corrected": table["p_value"].map("{:.3g}".format),
            "shortcut": np.where(table["significant"], "yes", "no"),
        }
    )


def dependence(category, shortcuts, assessments, *, seed=0):
    """Do the detectors' scores follow the strongest trivial statistic?

    Parameters
    ----------
    category : Category
    shortcuts : Shortcuts
    assessments : list of Assessment
    seed : int

    Returns
    -------
    table : pandas.DataFrame
        A row for each detector.
    sentences : list of str
        What it means.
    """
    if shortcuts.strongest is None:
        return pd.DataFrame(), [shortcuts.probe.sentence]
    rows, sentences = {}, []
    for one in assessments:
        result = shortcut_dependence(
            one.scores,
            shortcuts.statistics[shortcuts.strongest],
            category.test.labels,
            one.validation_scores,
            shortcuts.validation_statistics[shortcuts.strongest],
            seed=seed,
        )
        rows[one.title] = {
            "statistic": shortcuts.strongest.replace("_", " "),
            "rank correlation, good validation": _signed(result["spearman_validation"]),
            "rank correlation, test": _signed(result["spearman_test"]),
            "image AUROC": estimate_text(result["auroc"]),
            "AUROC among images alike in it": estimate_text(result["auroc_within_strata"]),
        }
        sentences.append(f"{one.title[:1].upper()}{one.title[1:]}: {result['sentence']}")
    return pd.DataFrame.from_dict(rows, orient="index"), sentences


def _signed(value):
    return "–" if value is None else f"{value:+.2f}"


def object_regions(category):
    """Where the object is in each test image, its true defect included; the whole image where none stands out.

    Parameters
    ----------
    category : Category

    Returns
    -------
    ndarray of bool, shape (n, h, w)
    """
    test, regions = category.test, []
    for image in test.images:
        try:
            regions.append(object_mask(image))
        except ValueError:
            regions.append(np.ones(image.shape[:2], dtype=bool))
    regions = np.array(regions)
    return regions | test.masks if category.has_masks else regions


@dataclass(frozen=True)
class Trust:
    """The audit of one detector's flags and of the explainers that speak for it.

    Attributes
    ----------
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

    repair: RepairResult | None
    curves: DeletionInsertion | None
    chance: dict
    localization: pd.DataFrame
    verdicts: dict
    summaries: dict


def audit_trust(
    category,
    detector,
    assessment,
    explanations,
    good_explanations=None,
    *,
    explainers=("LIME", "SHAP", "residual map"),
    reference="residual map",
    quantile=0.99,
    seed=0,
    show_progress=True,
):
    """Tell the detector's fault from the explainer's: repair test, chance level, verdicts.

    Parameters
    ----------
    category : Category
        Without masks only what is known of labels and flags is said.
    detector : Detector
    assessment : Assessment
    explanations : dict of str to Explanations
        Of all test images.
    good_explanations : dict of str to Explanations, optional
        Of some good validation images, to fix a threshold for each explainer's heatmaps without a
        mask.
    explainers : tuple of str
        Those that get verdicts.
    reference : str
        The explainer that the others are compared with.
    quantile : float
        Share of the good images' pixels that the fixed threshold lets pass.
    seed : int
    show_progress : bool

    Returns
    -------
    Trust
    """
    test, flags = category.test, assessment.flags
    if not category.has_masks:
        given = {name: verdicts(test.labels, flags) for name in explainers}
        return Trust(
            None,
            None,
            {},
            pd.DataFrame(),
            given,
            {name: verdict_summary(one, test.types, test.labels) for name, one in given.items()},
        )
    regions = object_regions(category)
    heatmaps = {name: result.heatmaps for name, result in explanations.items()}
    repair = repair_test(
        detector.score,
        test.images,
        assessment.counterparts,
        test.masks,
        {name: heatmaps[name] for name in explainers},
        assessment.threshold,
        object_regions=regions,
        seed=seed,
        show_progress=show_progress,
    )
    chance = {name: chance_levels(maps, test.masks, regions) for name, maps in heatmaps.items()}
    given = {
        name: verdicts(
            test.labels,
            flags,
            repair_cleared=repair.values("cleared"),
            repair_removed=repair.values("removed"),
            control_removed=repair.values("control_max"),
            explained_above_chance=chance[name]["p_adjusted"].to_numpy(),
            explained_removed=repair.values("explained_removed", name),
        )
        for name in explainers
    }
    found, curves = repair.table.index.to_numpy(), None
    if len(found):
        curves = deletion_insertion(
            detector.score,
            test.images[found],
            assessment.counterparts[found],
            {name: maps[found] for name, maps in heatmaps.items()},
            steps=16,
            show_progress=show_progress,
        )
    localization = _localization(
        test, heatmaps, chance, good_explanations or {}, reference, quantile, seed
    )
    if curves is not None:
        areas = curves.areas.groupby("explainer")[["deletion", "insertion"]].mean()
        localization[["deletion area, low is good", "insertion area, high is good"]] = areas.loc[
            localization.index
        ].to_numpy()
    return Trust(
        repair,
        curves,
        chance,
        localization,
        given,
        {name: verdict_summary(one, test.types, test.labels) for name, one in given.items()},
    )


def _localization(test, heatmaps, chance, good_explanations, reference, quantile, seed):
    defective = test.labels == 1
    thresholds = {
        name: good_image_threshold(result.heatmaps, quantile)
        for name, result in good_explanations.items()
    }
    tables = {
        name: localization_table(maps, test.masks, thresholds.get(name))
        for name, maps in heatmaps.items()
    }
    rows = {}
    for name, table in tables.items():
        means, level = table[defective].mean(), chance[name][defective]
        difference = paired_difference(
            table["relevance_mass_accuracy"],
            tables[reference]["relevance_mass_accuracy"],
            seed=seed,
        )
        rows[name] = {
            "J*, upper bound": means["optimal_jaccard"],
            "J at a threshold from good images": means.get("jaccard_at", np.nan),
            "pointing game": means["pointing_game"],
            "heatmap AUROC": means["heatmap_auroc"],
            "relevance inside the defect": means["relevance_mass_accuracy"],
            "by chance on the object": level["mean"].mean(),
            "images above chance": f"{int((level['p_adjusted'] <= 0.05).sum())} of {int(level['p_adjusted'].notna().sum())}",
            f"relevance more than {reference}": ""
            if name == reference
            else estimate_text(difference),
        }
    # From rows, not transposed from columns: each column keeps its own type, so that numbers can be
    # rounded.
    return pd.DataFrame.from_dict(rows, orient="index")


def rules_page():
    """The rule behind the verdicts as a notebook shows it, no cell cut short.

    Returns
    -------
    IPython.display.HTML
    """
    from IPython.display import HTML

    with pd.option_context("display.max_colwidth", None):
        return HTML(verdict_rules().drop(columns="meaning").rename_axis(None).to_html())


def curves_figure(trust, names=("LIME", "SHAP", "residual map", "noise")):
    """Mean deletion and insertion curves over the flagged defective images; empty where there are none or no masks.

    Parameters
    ----------
    trust : Trust
    names : tuple of str
        The explainers to draw.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if trust.curves is None:
        return deletion_insertion_curves([0, 1], {}, {})
    return deletion_insertion_curves(
        trust.curves.shares,
        *(
            {name: curve[name] for name in names if name in curve}
            for curve in (trust.curves.deletion, trust.curves.insertion)
        ),
    )


def repaired_defects(category, assessment, trust):
    """The flagged defective images after their true defects were replaced by the counterpart.

    Parameters
    ----------
    category : Category
    assessment : Assessment
    trust : Trust

    Returns
    -------
    dict of int to (ndarray (h, w, c), float)
        For the index of each flagged defective test image the repaired image and its score.
    """
    if trust.repair is None:
        return {}
    test, settings = category.test, trust.repair.settings
    return {
        int(index): (
            repaired(
                test.images[index],
                assessment.counterparts[index],
                test.masks[index],
                settings["margin"],
                settings["feather"],
            ),
            float(score),
        )
        for index, score in trust.repair.table["repaired_score"].items()
    }


def verdict_table(trust, explainer="SHAP"):
    """Counts of one explainer's verdicts by defect type.

    Parameters
    ----------
    trust : Trust
    explainer : str

    Returns
    -------
    pandas.DataFrame
    """
    return trust.summaries[explainer].counts.rename_axis(index=None, columns=None)


def trust_findings(trust, explainers=("LIME", "SHAP")):
    """What the repair test and the verdicts mean, in sentences that are true for the data they ran on.

    Parameters
    ----------
    trust : Trust
    explainers : tuple of str

    Returns
    -------
    list of str
    """
    first = trust.summaries[explainers[0]]
    if trust.repair is None:
        return [
            f"Recall is {first.recall:.2f}. Without masks no flag can be verified: whether it is about the defect stays unknown."
        ]
    table, found = trust.repair.table, []
    if table.empty:
        return ["No defective image is flagged, so there is no flag to verify."]
    found.append(
        f"Of {len(table)} flagged defective images {int(table['cleared'].sum())} lose their flag when the true defect is "
        f"repaired; the median share of the excess that the repair removes is {table['removed'].median():.2f}, that of "
        f"repairs of good surface {table['control_mean'].median():.2f}."
    )
    found.append(
        f"Recall is {first.recall:.2f}; counting only flags raised by the defect it is {first.trust_adjusted_recall:.2f}."
    )
    for name in explainers:
        badly = int((trust.verdicts[name] == "right reason, badly explained").sum())
        found.append(
            f"{name} explains {int((trust.verdicts[name] == 'right reason').sum())} of the flags raised by the defect well and "
            f"{badly} badly (not above chance, or what it points at does not move the score)."
        )
    return found


def summary_parts(shortcuts, trust, explainer="SHAP"):
    """The parts of ``summary.json`` that follow from the audit, as keywords for `adhelpers.runner.suite.Run.summary`.

    Parameters
    ----------
    shortcuts : Shortcuts
    trust : Trust
    explainer : str
        Whose verdicts are counted.

    Returns
    -------
    dict
    """
    summary, chance = trust.summaries[explainer], {}
    for name, table in trust.chance.items():
        tested = table["p_adjusted"].notna()
        chance[name] = {
            "relevance": float(table["observed"][tested].mean()),
            "by_chance": float(table["mean"][tested].mean()),
            "above_chance": int((table["p_adjusted"] <= 0.05).sum()),
            "images": int(tested.sum()),
        }
    counts = {str(name): int(value) for name, value in summary.counts["all"].items()}
    return {
        "shortcut": shortcuts.probe.as_dict(),
        "chance": chance or None,
        "verdicts": counts,
        "trust_adjusted_recall": summary.trust_adjusted_recall,
    }
