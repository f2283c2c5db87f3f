"""The steps that the notebooks share on the way from a fitted detector to the report.

The rooms speak in arrays and do not know each other; the way through them is written once here, so
that notebooks differ in their data, their detectors and what they find, not in copied code.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import colormaps
from skimage.transform import resize

from adhelpers._shared.text import or_dash
from adhelpers.audit import compare_explainers, flagged_in_wrong_place
from adhelpers.data import read_image
from adhelpers.metrics import (
    DetectionReport,
    Threshold,
    detection_report,
    gmean_threshold,
    midpoint_threshold,
    normal_quantile,
    optimal_jaccards,
    pixel_report,
)
from adhelpers.reports import (
    Card,
    figure_png,
    ground_truth_grid,
    image_grid,
    reconstruction_grid,
    sample_strip,
    write_gallery,
)

THRESHOLD_RULES = ("normal_quantile", "gmean", "midpoint")


@dataclass(frozen=True)
class Assessment:
    """All that one detector says about one category.

    Attributes
    ----------
    title : str
        The detector's name as people read it.
    validation_scores, scores : ndarray of float32, shape (n,)
    anomaly_maps : ndarray of float32, shape (n, h, w)
    counterparts : ndarray of float32, shape (n, h, w, c)
    threshold : Threshold
    detection : DetectionReport
    pixels : dict of str to Estimate, or None
        ``pixel_auroc`` and ``aupro``; None without masks.
    counterpart_name : str
        What the counterparts are, as people read it.
    """

    title: str
    validation_scores: np.ndarray
    scores: np.ndarray
    anomaly_maps: np.ndarray
    counterparts: np.ndarray
    threshold: Threshold
    detection: DetectionReport
    pixels: dict | None
    counterpart_name: str = "reconstruction"

    @property
    def flags(self):
        """Which test images are flagged: bool (n,)."""
        return self.threshold.flag(self.scores)

    @property
    def false_alarms(self):
        """Number of good test images that are flagged."""
        return self.detection.confusion["fp"]


def assess(title, detector, category, *, rule="normal_quantile", quantile=0.95, seed=0):
    """Score a category's validation and test images and turn the scores into decisions.

    Parameters
    ----------
    title : str
        The detector's name as people read it.
    detector : Detector
        Fitted.
    category : Category
    rule : {"normal_quantile", "gmean", "midpoint"}
        ``normal_quantile`` looks at good validation images only; the other two choose their
        threshold with the test labels, and their `Threshold` says so.
    quantile : float
        Share of validation images that ``normal_quantile`` lets pass.
    seed : int
        For the bootstrap.

    Returns
    -------
    Assessment
    """
    if rule not in THRESHOLD_RULES:
        raise ValueError(
            f"rule (threshold_rule) must be one of {', '.join(THRESHOLD_RULES)}, not {rule!r}."
        )
    test = category.test
    validation_scores, scores = (
        detector.score(category.validation.images),
        detector.score(test.images),
    )
    if rule == "normal_quantile":
        threshold = normal_quantile(validation_scores, quantile)
    else:
        threshold = {"gmean": gmean_threshold, "midpoint": midpoint_threshold}[rule](
            scores, test.labels
        )
    maps = detector.anomaly_map(test.images)
    pixels = pixel_report(maps, test.masks, seed=seed) if category.has_masks else None
    # A detector from elsewhere fulfils the contract without a name for it.
    counterpart_name = getattr(detector, "counterpart_name", Assessment.counterpart_name)
    return Assessment(
        title,
        validation_scores,
        scores,
        maps,
        detector.counterpart(test.images),
        threshold,
        detection_report(scores, test.labels, test.types, threshold, seed=seed),
        pixels,
        counterpart_name,
    )


def estimate_text(estimate):
    """An `Estimate` as people read it: ``0.968 [0.940, 0.990]``; a dash for None."""
    return or_dash(estimate)


def detector_table(assessments):
    """Detectors side by side: a column each, measures with their 95 % bootstrap intervals in the rows.

    Parameters
    ----------
    assessments : list of Assessment

    Returns
    -------
    pandas.DataFrame
    """
    columns = {}
    for one in assessments:
        detection, pixels, confusion = one.detection, one.pixels or {}, one.detection.confusion
        columns[one.title] = {
            "image AUROC": estimate_text(detection.auroc),
            "average precision": estimate_text(detection.average_precision),
            "pixel AUROC": estimate_text(pixels.get("pixel_auroc")),
            "AUPRO to 30 % false positives": estimate_text(pixels.get("aupro")),
            "threshold": f"{one.threshold.value:.4f}",
            "threshold rule": one.threshold.rule,
            "threshold used test labels": "yes" if one.threshold.uses_test_labels else "no",
            "defects flagged": f"{confusion['tp']} of {confusion['tp'] + confusion['fn']}",
            "false alarms": f"{confusion['fp']} of {confusion['fp'] + confusion['tn']}",
            "accuracy": estimate_text(detection.accuracy),
            "F1": estimate_text(detection.f1),
            "G-mean": estimate_text(detection.g_mean),
            **{f"recall, {kind}": estimate_text(value) for kind, value in detection.recall.items()},
        }
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class LocalizationAudit:
    """How well each explainer's heatmaps meet the true defects.

    Attributes
    ----------
    names : ndarray of str, shape (n,)
        Of the test images.
    jaccards, cuts : dict of str to ndarray, shape (n,)
        For each explainer the optimal Jaccard of each test image and the heatmap threshold that
        gives it; NaN without a defect. The threshold is chosen with the mask, so each value is an
        upper bound.
    summary, wins : pandas.DataFrame
        See `adhelpers.audit.compare_explainers`.
    wrong_place : dict of str to pandas.DataFrame
        For each explainer the flagged defective images whose optimal Jaccard is below ``cutoff``.
    cutoff : float
    """

    names: np.ndarray
    jaccards: dict
    cuts: dict
    summary: pd.DataFrame
    wins: pd.DataFrame
    wrong_place: dict
    cutoff: float


def audit_localization(category, assessment, explanations, *, cutoff=0.1):
    """Hold heatmaps against the true defects; here, and not before, masks come in.

    Parameters
    ----------
    category : Category
        Without masks every Jaccard is NaN and nothing is listed: no one can say then where the
        defects are.
    assessment : Assessment
    explanations : dict of str to Explanations
        For each explainer the explanations of all test images.
    cutoff : float
        Below this optimal Jaccard an explanation points to the wrong place.

    Returns
    -------
    LocalizationAudit
    """
    test, jaccards, cuts, wrong = category.test, {}, {}, {}
    for name, result in explanations.items():
        if category.has_masks:
            jaccards[name], cuts[name] = optimal_jaccards(result.heatmaps, test.masks)
        else:
            jaccards[name] = cuts[name] = np.full(len(test), np.nan)
        wrong[name] = flagged_in_wrong_place(
            test.names, test.types, assessment.scores, jaccards[name], assessment.threshold, cutoff
        )
    comparison = compare_explainers(jaccards, cutoff)
    summary = comparison.summary.rename_axis(None).rename(
        columns=lambda name: name.replace("_", " ")
    )
    return LocalizationAudit(test.names, jaccards, cuts, summary, comparison.wins, wrong, cutoff)


def wrong_place_table(audit, explainers=("LIME", "SHAP")):
    """Flagged defective images whose explanation misses the defect, the surest flags with the least to do with it first.

    Parameters
    ----------
    audit : LocalizationAudit
    explainers : tuple of str

    Returns
    -------
    pandas.DataFrame
        A row for each image that at least one explainer misses: type, score, the optimal Jaccard of
        each explainer, and who misses it. Ranked by score over Jaccard, the highest of the
        explainers counting.
    """
    rows = {}
    for name in explainers:
        for one in audit.wrong_place[name].to_dict("records"):
            index = int(np.flatnonzero(audit.names == one["name"])[0])
            jaccards = {f"J* {other}": float(audit.jaccards[other][index]) for other in explainers}
            row = rows.setdefault(
                index,
                {
                    "image": one["name"],
                    "type": one["type"],
                    "score": one["score"],
                    **jaccards,
                    "missed by": [],
                },
            )
            row["missed by"].append(name)
    # The least Jaccard of the explainers counts; 1e-9 keeps images of Jaccard 0 in the order of
    # their scores.
    ranked = sorted(
        rows.values(),
        key=lambda row: -row["score"] / (min(row[f"J* {name}"] for name in explainers) + 1e-9),
    )
    columns = ["image", "type", "score", *(f"J* {name}" for name in explainers), "missed by"]
    return pd.DataFrame(
        [{**row, "missed by": ", ".join(row["missed by"])} for row in ranked], columns=columns
    )


def overview(category, per_type=4):
    """A few defective test images of each type, with their true defects outlined where there are masks.

    Parameters
    ----------
    category : Category
    per_type : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    test = category.test
    if category.has_masks:
        return ground_truth_grid(test.images, test.masks, test.types, per_type=per_type)
    chosen = examples(category, per_type)
    return image_grid(test.images[chosen], test.types[chosen], title="Test images")


def reconstructions(category, assessment, indices):
    """Test images beside their counterparts and anomaly maps.

    Parameters
    ----------
    category : Category
    assessment : Assessment
    indices : sequence of int
        Which test images.

    Returns
    -------
    matplotlib.figure.Figure
    """
    test = category.test
    return reconstruction_grid(
        test.images[indices],
        assessment.counterparts[indices],
        assessment.anomaly_maps[indices],
        test.types[indices],
        assessment.scores[indices],
        None if test.masks is None else test.masks[indices],
        title=assessment.title[:1].upper() + assessment.title[1:],
        names=("image", assessment.counterpart_name, "anomaly map"),
    )


def sample_table(category, assessment, audit=None, explanations=None):
    """A row for each test image: what it is, its score, the decision, and how well each explanation met the defect.

    Parameters
    ----------
    category : Category
    assessment : Assessment
    audit : LocalizationAudit, optional
    explanations : dict of str to Explanations, optional
        Adds LIME's R² and the errors of images that could not be explained.

    Returns
    -------
    pandas.DataFrame
    """
    test, flags = category.test, assessment.flags
    table = pd.DataFrame(
        {
            "name": test.names,
            "type": test.types,
            "label": test.labels,
            "score": assessment.scores,
            "flagged": flags,
            "correct": flags == (test.labels == 1),
        }
    )
    for name, values in (audit.jaccards if audit else {}).items():
        table[f"optimal_jaccard_{name.lower().replace(' ', '_')}"] = values
    for name, result in (explanations or {}).items():
        if any("r2" in one for one in result.details):
            table[f"r2_{name.lower()}"] = [one.get("r2", np.nan) for one in result.details]
        if result.errors:
            table[f"error_{name.lower()}"] = [
                result.errors.get(index, "") for index in range(len(test))
            ]
    return table


def strip_of(
    category,
    assessment,
    explanations,
    audit,
    index,
    names=("LIME", "SHAP"),
    titled=True,
    repaired=None,
):
    """The strip of one test image: image, counterpart, map, heatmaps, and where they overlap with the defect.

    Parameters
    ----------
    category : Category
    assessment : Assessment
    explanations : dict of str to Explanations
    audit : LocalizationAudit or None
    index : int
        Of the test image.
    names : tuple of str
        The explainers to show.
    titled : bool
        With file name, score and decision above it.
    repaired : dict of int to (ndarray, float), optional
        As `adhelpers.steps.trust.repaired_defects` gives it.

    Returns
    -------
    matplotlib.figure.Figure
    """
    test = category.test
    headline = {
        "title": test.names[index],
        "score": float(assessment.scores[index]),
        "threshold": assessment.threshold,
    }
    return sample_strip(
        test.images[index],
        assessment.counterparts[index],
        assessment.anomaly_maps[index],
        {name: explanations[name].heatmaps[index] for name in names},
        mask=None if test.masks is None else test.masks[index],
        optimal={name: (audit.jaccards[name][index], audit.cuts[name][index]) for name in names}
        if audit
        else None,
        # One scale for all strips of a run, so that a bright map is a high score.
        map_limit=float(np.quantile(assessment.anomaly_maps.max(axis=(1, 2)), 0.9)),
        map_floor=float(assessment.anomaly_maps.min()),
        counterpart_name=assessment.counterpart_name,
        repaired=(repaired or {}).get(index),
        **(headline if titled else {}),
    )


def save_gallery(
    path,
    category,
    assessment,
    explanations,
    audit=None,
    *,
    names=("LIME", "SHAP"),
    title,
    tables,
    notes=(),
    verdicts=None,
    repaired=None,
):
    """Write the gallery page: tables first, then a card with its strip for each test image, good ones too.

    Parameters
    ----------
    path : str or Path
        The HTML file.
    category, assessment, explanations, audit, names
        As in `strip_of`.
    title : str
    tables : dict of str to pandas.DataFrame
    notes : list of str
        Sentences at the top.
    verdicts : sequence of str, optional
        One for each test image.
    repaired : dict of int to (ndarray, float), optional
        As in `strip_of`.
    """
    test, flags, cards = category.test, assessment.flags, []
    for index in range(len(test)):
        strip = strip_of(
            category, assessment, explanations, audit, index, names, titled=False, repaired=repaired
        )
        jaccards = {name: float(audit.jaccards[name][index]) for name in names} if audit else {}
        cards.append(
            Card(
                name=str(test.names[index]),
                type=str(test.types[index]),
                index=index,
                score=float(assessment.scores[index]),
                decision="flagged" if flags[index] else "passed",
                correct=bool(flags[index] == (test.labels[index] == 1)),
                jaccards={
                    name: value if np.isfinite(value) else None for name, value in jaccards.items()
                },
                picture=figure_png(strip),
                verdict="" if verdicts is None else str(verdicts[index]),
            )
        )
    settings = {
        "detector": assessment.title,
        "threshold": f"{assessment.threshold.value:.4f} ({assessment.threshold.rule})",
        **{name: str(value) for name, value in category.settings.items()},
    }
    write_gallery(
        path, title=title, settings=settings, tables=tables, cards=cards, notes=list(notes)
    )


def summary_parts(category, assessment, audit=None):
    """The parts of ``summary.json`` that follow from an assessment, as keywords for `adhelpers.runner.suite.Run.summary`.

    Parameters
    ----------
    category : Category
    assessment : Assessment
    audit : LocalizationAudit, optional

    Returns
    -------
    dict
    """
    pixels = assessment.pixels or {}
    jaccard = (
        {
            name: {
                "mean": float(row["mean"]),
                "median": float(row["median"]),
                "images": int(row["images"]),
                "flagged_in_wrong_place": len(audit.wrong_place[name]),
            }
            for name, row in audit.summary.iterrows()
        }
        if audit and category.has_masks
        else None
    )
    return {
        "detector": assessment.title,
        "data": category,
        "image_auroc": assessment.detection.auroc,
        "pixel_auroc": pixels.get("pixel_auroc"),
        "aupro": pixels.get("aupro"),
        "threshold": assessment.threshold,
        "confusion": assessment.detection.confusion,
        "jaccard": jaccard,
    }


def on_photographs(category, assessment, indices, size=256):
    """Anomaly maps turned back onto the photographs as they are on disk, before light, pose and crop were changed.

    Where the map reaches the threshold it is drawn in full; below, it fades.

    Parameters
    ----------
    category : Category
    assessment : Assessment
    indices : sequence of int
        Which test images to show.
    size : int
        Height of each picture in pixels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    test, pictures = category.test, []
    maps = assessment.anomaly_maps
    # A score that sums over the image has a threshold that no pixel reaches; distances do not begin
    # at 0.
    limit, floor = (
        min(assessment.threshold.value, float(maps[list(indices)].max())),
        max(0.0, float(maps.min())),
    )
    limit = limit if limit > floor else floor + 1.0
    for index in indices:
        photograph, _ = read_image(
            (category.root / category.name / str(test.names[index])).read_bytes()
        )
        strength = np.clip((test.to_original(maps[index], index) - floor) / (limit - floor), 0, 1)[
            ..., None
        ]
        # Squared, so that the photograph shows wherever the map is low, and in the map's bright
        # colours only, which no object has.
        opacity = 0.9 * strength**2
        blend = (1 - opacity) * photograph + opacity * colormaps["magma"](
            0.5 + 0.5 * strength[..., 0]
        )[..., :3]
        width = (
            round(size * blend.shape[1] / blend.shape[0]) if not pictures else pictures[0].shape[1]
        )
        pictures.append(resize(blend, (size, width), order=1, anti_aliasing=True))
    titles = [f"{test.names[index]}" for index in indices]
    return image_grid(np.clip(pictures, 0, 1), titles, title="Back on the photograph")


def examples(category, per_type=1):
    """Indices of test images that stand for their type: good ones first, then each defect.

    Parameters
    ----------
    category : Category
    per_type : int

    Returns
    -------
    ndarray of int
    """
    types = category.test.types
    ordered = sorted(set(types), key=lambda kind: (kind != "good", kind))
    return np.concatenate([np.flatnonzero(types == kind)[:per_type] for kind in ordered])
