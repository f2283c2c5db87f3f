"""The steps of an autoencoder's notebook: decisions by area and threshold, segmented regions, architectures side by side."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from adhelpers._shared.files import replacing, replacing_folder
from adhelpers.detectors import copied_share, plant_patches
from adhelpers.metrics import (
    PUBLISHED_STEPS,
    AreaChoice,
    AreaGrid,
    AreaTuning,
    DetectionReport,
    detection_report,
    eight_bit,
    pixel_report,
    segmentation_report,
    tune_area,
)
from adhelpers.reports import counterparts_grid, reconstruction_grid

from .assess import assess_detector, estimate_text

MAP_TYPES = ("float", "uint8")


@dataclass(frozen=True)
class AreaDecision:
    """What minimal area and threshold say about the test images of a category.

    Attributes
    ----------
    tuning : AreaTuning
    maps : ndarray of float32 or uint8, shape (n, h, w)
        Plain residual maps of the test images.
    levels : ndarray of float64, shape (n,)
        The highest level at which a region of each map has the minimal area; flagged where it is
        above the threshold.
    segmentations : ndarray of bool, shape (n, h, w)
    detection : DetectionReport
        On the images that the figures are for (``tuning.tested_on``).
    pixels : dict of str to Estimate, or None
        ``pixel_auroc`` and ``aupro`` of the plain residual; None without masks.
    regions : dict of str to float, or None
        See `adhelpers.metrics.segmentation_report`; None without masks.
    """

    tuning: AreaTuning
    maps: np.ndarray
    levels: np.ndarray
    segmentations: np.ndarray
    detection: DetectionReport
    pixels: dict | None
    regions: dict | None

    def as_maps(self, residuals):
        """Residuals (n, h, w) in the number format of ``maps``."""
        return eight_bit(residuals) if self.maps.dtype == np.uint8 else np.asarray(residuals)

    @property
    def flags(self):
        """Which test images are flagged: bool (n,)."""
        return self.tuning.threshold.flag(self.levels)

    @property
    def rates(self):
        """True positive rate, true negative rate, and their mean, on the images that the figures are for."""
        confusion = self.detection.confusion
        positive = confusion["tp"] / (confusion["tp"] + confusion["fn"])
        negative = confusion["tn"] / (confusion["tn"] + confusion["fp"])
        return positive, negative, (positive + negative) / 2


def decide_by_area(
    category,
    detector,
    *,
    map_type="float",
    selection="balanced",
    share=0.2,
    strict=True,
    areas=range(5, 1001, 5),
    connectivity=8,
    clear_border=False,
    seed=0,
):
    """Choose a minimal area and a threshold for a detector's residual maps, and decide on the test images.

    Parameters
    ----------
    category : Category
    detector : ReconstructionDetector
        Fitted; its ``residual`` says what the maps are.
    map_type : {"float", "uint8"}
        8-bit maps are clipped to [0, 1] and rounded to 256 levels.
    selection, share, strict, areas, connectivity, clear_border, seed
        As in `adhelpers.metrics.tune_area`. Thresholds go up in the published steps where the
        residual has one.

    Returns
    -------
    AreaDecision

    Raises
    ------
    ValueError
        If ``map_type`` is unknown, and as `tune_area`.
    """
    if map_type not in MAP_TYPES:
        raise ValueError(f"map_type must be one of {', '.join(MAP_TYPES)}, not {map_type!r}.")
    as_maps = eight_bit if map_type == "uint8" else np.asarray
    validation, test = category.validation.images, category.test
    maps = as_maps(detector.residual_map(test.images))
    planted = (
        as_maps(detector.residual_map(plant_patches(validation, seed)))
        if selection == "normal-only"
        else None
    )
    tuning = tune_area(
        as_maps(detector.residual_map(validation)),
        maps,
        test.labels,
        test.types,
        planted_maps=planted,
        grid=AreaGrid(
            areas,
            PUBLISHED_STEPS.get((detector.scoring.residual, map_type == "uint8")),
            connectivity,
            clear_border,
        ),
        choice=AreaChoice(selection, share, strict, seed),
    )
    tested, levels, segmentations = tuning.tested_on, tuning.levels(maps), tuning.segment(maps)
    detection = detection_report(
        levels[tested], test.labels[tested], test.types[tested], tuning.threshold, seed=seed
    )
    pixels = regions = None
    if category.has_masks:
        pixels = pixel_report(maps[tested], test.masks[tested], seed=seed)
        regions = segmentation_report(segmentations[tested], test.masks[tested])
    return AreaDecision(tuning, maps, levels, segmentations, detection, pixels, regions)


def area_table(decision):
    """What was chosen, how, and how well it decides, as people read it.

    Parameters
    ----------
    decision : AreaDecision

    Returns
    -------
    pandas.DataFrame
        One column.
    """
    tuning, detection, (positive, negative, balanced) = (
        decision.tuning,
        decision.detection,
        decision.rates,
    )
    confusion, pixels, regions = detection.confusion, decision.pixels or {}, decision.regions or {}
    chosen = int(tuning.chosen_with.sum())
    used = f"{chosen} test images, " + (
        "taken out of the test set"
        if tuning.choice.strict
        else "tested on as well: the figures are optimistic"
    )
    rows = {
        "minimal area": f"{tuning.minimal_area} pixels",
        "threshold": f"{tuning.threshold.value:.4g}",
        "area chosen with": used if chosen else "good validation images with planted patches",
        "images tested on": int(tuning.tested_on.sum()),
        "true positive rate": f"{positive:.3f}",
        "true negative rate": f"{negative:.3f}",
        "balanced accuracy": f"{balanced:.3f}",
        "defects flagged": f"{confusion['tp']} of {confusion['tp'] + confusion['fn']}",
        "false alarms": f"{confusion['fp']} of {confusion['fp'] + confusion['tn']}",
        "image AUROC of the level": estimate_text(detection.auroc),
        **{f"recall, {kind}": estimate_text(value) for kind, value in detection.recall.items()},
        "pixel AUROC, plain residual": estimate_text(pixels.get("pixel_auroc")),
        "AUPRO, plain residual": estimate_text(pixels.get("aupro")),
        **{
            f"segmentation: {name}": f"{regions[key]:.3f}"
            for key, name in (
                ("iou", "intersection over union"),
                ("mean_iou", "mean intersection over union of defective images"),
                ("per_region_overlap", "per-region overlap"),
                ("false_positive_rate", "good pixels segmented"),
            )
            if key in regions
        },
    }
    return pd.DataFrame({"area and threshold": rows})


def area_findings(category, decision, assessment):
    """What the decision by area and threshold means beside the one by the score, in sentences that are true for the data.

    Parameters
    ----------
    category : Category
    decision : AreaDecision
    assessment : Assessment
        The decision by the detector's own score.

    Returns
    -------
    list of str
    """
    tuning, (positive, negative, balanced) = decision.tuning, decision.rates
    source = (
        f"chosen with the labels of {int(tuning.chosen_with.sum())} test images"
        if tuning.threshold.uses_test_labels
        else "chosen without any defective image"
    )
    if tuning.threshold.uses_test_labels:
        source += (
            ", which the figures leave out"
            if tuning.choice.strict
            else ", which the figures include, so they are optimistic"
        )
    found = [
        f"A region of {tuning.minimal_area} pixels above {tuning.threshold.value:.4g} ({source}) flags {positive:.0%} of the defective and "
        f"passes {negative:.0%} of the good images tested: balanced accuracy {balanced:.3f}."
    ]
    tested = tuning.tested_on
    flags, labels = assessment.flags[tested], category.test.labels[tested] == 1
    other = (flags[labels].mean() + (~flags[~labels]).mean()) / 2
    found[0] += (
        f" On the same images the score's own threshold ({assessment.threshold.rule}) has {other:.3f}."
    )
    if decision.regions:
        found.append(
            f"The segmented regions cover {decision.regions['per_region_overlap']:.0%} of each true defect on average; intersection over "
            f"union is {decision.regions['iou']:.2f}."
        )
    if tuning.areas["threshold"].isna().any():
        missing = int(tuning.areas["threshold"].isna().sum())
        found.append(
            f"For {missing} of {len(tuning.areas)} areas there is no threshold: a good validation image reaches the highest value there."
        )
    return found


def save_segmentations(folder, category, decision):
    """Write each test image's segmented regions as a black and white PNG, named like the image.

    Parameters
    ----------
    folder : str or Path
        Replaced at once when all are written. A file for each image: ``<type>/<image>.png``.
    category : Category
    decision : AreaDecision

    Returns
    -------
    Path
    """
    with replacing_folder(folder) as temporary:
        for name, region in zip(category.test.names, decision.segmentations, strict=True):
            path = (temporary / Path(str(name)).relative_to("test")).with_suffix(".png")
            with replacing(path) as file:
                Image.fromarray(np.where(region, np.uint8(255), np.uint8(0))).save(
                    file, format="PNG"
                )
    return Path(folder)


def area_summary(category, decision):
    """The parts of a ``summary_<detector>.json`` that follow from a decision by area, as keywords for `adhelpers.runner.Run.summary`.

    Parameters
    ----------
    category : Category
    decision : AreaDecision

    Returns
    -------
    dict
    """
    pixels = decision.pixels or {}
    return {
        "detector": f"region of {decision.tuning.minimal_area} pixels above a threshold",
        "data": category,
        "image_auroc": decision.detection.auroc,
        "pixel_auroc": pixels.get("pixel_auroc"),
        "aupro": pixels.get("aupro"),
        "threshold": decision.tuning.threshold,
        "confusion": decision.detection.confusion,
    }


def inspection(detector, images, per_page=12):
    """Every image beside its reconstruction and its map, with its score, a figure a page.

    Parameters
    ----------
    detector : Detector
        Fitted.
    images : ImageSet
    per_page : int

    Yields
    ------
    matplotlib.figure.Figure
    """
    scores, counterparts, maps = (
        function(images.images)
        for function in (detector.score, detector.counterpart, detector.anomaly_map)
    )
    for start in range(0, len(images), per_page):
        page = slice(start, start + per_page)
        yield reconstruction_grid(
            images.images[page],
            counterparts[page],
            maps[page],
            images.names[page],
            scores[page],
            None if images.masks is None else images.masks[page],
            title=f"Images {start + 1} to {min(start + per_page, len(images))}",
        )


@dataclass(frozen=True)
class Comparison:
    """Architectures that were trained alike.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each.
    assessments : dict of str to Assessment
    copied : dict of str to float
        Share of a planted patch that each takes over into its reconstruction, on good validation
        images.
    """

    table: pd.DataFrame
    assessments: dict
    copied: dict


def compare_architectures(category, detectors, *, rule="normal_quantile", quantile=0.95, seed=0):
    """Architectures side by side: what they cost, how well they detect, and how much of an anomaly they copy.

    Parameters
    ----------
    category : Category
    detectors : dict of str to CAE
        Fitted, by architecture.
    rule, quantile, seed
        As in `adhelpers.steps.assess.assess_detector`.

    Returns
    -------
    Comparison
    """
    validation = category.validation.images
    planted, rows, assessments, copied = plant_patches(validation, seed, draws=1), {}, {}, {}
    for name, detector in detectors.items():
        one = assessments[name] = assess_detector(
            name, detector, category, rule=rule, quantile=quantile, seed=seed
        )
        # Below zero the reconstruction moves the other way: nothing is copied.
        copied[name] = max(copied_share(detector, validation, planted), 0.0)
        rows[name] = {
            "weights": f"{detector.network.count_params():,}",
            "epochs": len(detector.history),
            "seconds": round(detector.history["seconds"].sum(), 1),
            "image AUROC": estimate_text(one.detection.auroc),
            "pixel AUROC": estimate_text((one.pixels or {}).get("pixel_auroc")),
            "error, good validation": float(
                ((detector.counterpart(validation) - validation) ** 2).mean()
            ),
            "copies of a planted patch": f"{copied[name]:.0%}",
            "shortcuts around the code": "yes" if detector.copies_defects else "no",
        }
    return Comparison(pd.DataFrame.from_dict(rows, orient="index"), assessments, copied)


def comparison_figure(category, comparison, index):
    """One test image as each architecture gives it back.

    Parameters
    ----------
    category : Category
    comparison : Comparison
    index : int
        Of the test image.

    Returns
    -------
    matplotlib.figure.Figure
    """
    test, mask = category.test, None if category.test.masks is None else category.test.masks[index]
    assessments = comparison.assessments
    return counterparts_grid(
        test.images[index],
        {name: one.counterparts[index] for name, one in assessments.items()},
        {name: one.anomaly_maps[index] for name, one in assessments.items()},
        mask,
        title=f"{test.names[index]}: reconstructions and anomaly maps",
    )


def copying_findings(detector, comparison):
    """Whether the detector copies defects, in sentences that are true for the data.

    Parameters
    ----------
    detector : CAE
        The one that the report is about.
    comparison : Comparison

    Returns
    -------
    list of str
        The first is a warning where the architecture has shortcuts around its code.
    """
    copied, found = comparison.copied, []
    if detector.copies_defects:
        found.append(
            f"Warning: the architecture {detector.architecture!r} has shortcuts around its code. They can carry a defect into "
            "the reconstruction, where the residual no longer shows it: do not rely on its misses."
        )
    if not copied:
        return found
    most, least = max(copied, key=copied.get), min(copied, key=copied.get)
    found.append(
        f"At this budget {most} takes over {copied[most]:.0%} of a planted patch and {least} {copied[least]:.0%}: what is copied cannot be "
        "seen in the residual."
    )
    aurocs = {name: one.detection.auroc.value for name, one in comparison.assessments.items()}
    best = max(aurocs, key=aurocs.get)
    found.append(
        f"The highest image AUROC at this budget is that of {best} ({estimate_text(comparison.assessments[best].detection.auroc)}); intervals "
        "that overlap tell no winner."
    )
    return found
