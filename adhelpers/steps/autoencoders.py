"""The steps of the autoencoders' notebook: decisions by area, regions, architectures compared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from adhelpers._shared.arrays import Flags, Floats, Images, Masks
from adhelpers._shared.checks import check_choice
from adhelpers._shared.files import replacing, replacing_folder, write_json
from adhelpers._shared.stages import stage
from adhelpers._shared.text import or_dash
from adhelpers.data import Category
from adhelpers.detectors import (
    CAE,
    ReconstructionDetector,
    copied_share,
    fit_or_load,
    plant_defects,
)
from adhelpers.metrics import (
    PUBLISHED_STEPS,
    AreaChoice,
    AreaGrid,
    AreaTuning,
    DetectionReport,
    Estimate,
    Threshold,
    detection_report,
    eight_bit,
    segmentation_report,
    share_estimate,
    tune_area,
)
from adhelpers.reports import (
    area_tuning_curves,
    counterparts_grid,
    learning_rate_curve,
    map_scale,
    reconstruction_grid,
    score_separation,
    segmentation_grid,
)

from .assess import ImageAssessment, assess_detector, pixel_figures
from .gallery import examples
from .training_figures import loss_figure

MAP_TYPES = ("float", "uint8")
_REGION_ROWS = {
    "iou": "intersection over union",
    "mean_iou": "mean intersection over union of defective images",
    "per_region_overlap": "per-region overlap",
    "false_positive_rate": "good pixels segmented",
}


def train_autoencoder(
    detector: CAE,
    category: Category,
    models: str | Path,
    *,
    load_model: str | Path = "",
    tensorboard: str | Path | None = None,
) -> CAE:
    """Train an autoencoder, or load the one that was trained on the same images before.

    Parameters
    ----------
    detector : CAE
        Not fitted yet.
    category : Category
    models : str or Path
        Folder for stored models.
    load_model : str or Path
        Folder of a stored autoencoder that is taken instead, whatever it was trained on; only its
        score is that of ``detector``.
    tensorboard : str or Path, optional
        Where TensorBoard's event files are written.

    Returns
    -------
    CAE
    """
    if load_model:
        return CAE.load(load_model, scoring=detector.scoring)
    return fit_or_load(detector, category, models, tensorboard=tensorboard)


def autoencoder_facts(detector: CAE) -> str:
    """Architecture, loss, size and training time in a line."""
    history = detector.history
    return (
        f"{detector.architecture}, loss {detector.loss}: {detector.network.count_params():,} "
        f"weights, {len(history)} epochs, {history['seconds'].sum():.0f} s"
    )


def autoencoder_figures(detector: CAE) -> dict[str, Figure]:
    """The sweep of the learning rate, where there was one, and the losses, by name."""
    figures = {}
    if detector.learning_rate_sweep is not None and detector.found_learning_rate is not None:
        figures["learning-rate"] = learning_rate_curve(
            detector.learning_rate_sweep, detector.found_learning_rate
        )
    title = f"Autoencoder ({detector.architecture}, {detector.loss})"
    figures["training"] = loss_figure(detector.history, title, "val_loss")
    return figures


@dataclass(frozen=True)
class AreaDecision:
    """What a minimal area and a threshold decide about the test images of a category.

    Attributes
    ----------
    assessment : ImageAssessment
        The decision by the detector's own score, to compare with.
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
        ``pixel_auroc``, ``aupro`` and ``aupimo`` of the plain residual; None without masks.
    regions : dict of str to float, or None
        See `adhelpers.metrics.segmentation_report`; None without masks.
    """

    assessment: ImageAssessment
    tuning: AreaTuning
    maps: NDArray[Any]
    levels: Floats
    segmentations: Masks
    detection: DetectionReport
    pixels: dict[str, Estimate] | None
    regions: dict[str, float] | None

    @property
    def flags(self) -> Flags:
        """Which test images are flagged: ndarray of bool, shape (n,)."""
        return self.tuning.threshold.flag(self.levels)

    @property
    def rates(self) -> tuple[float, float, float]:
        """True positive rate, true negative rate and their mean, on the images tested."""
        confusion = self.detection.confusion
        positive = confusion["tp"] / (confusion["tp"] + confusion["fn"])
        negative = confusion["tn"] / (confusion["tn"] + confusion["fp"])
        return positive, negative, (positive + negative) / 2

    @cached_property
    def validation_flags(self) -> Flags:
        """Which good validation images are flagged: ndarray of bool, shape (m,)."""
        images = self.assessment.category.validation.images
        residuals = _with_residuals(self.assessment).residual_map(images)
        maps = eight_bit(residuals) if self.maps.dtype == np.uint8 else np.asarray(residuals)
        return self.tuning.threshold.flag(self.tuning.levels(maps))

    def table(self) -> pd.DataFrame:
        """One column: what was chosen, how, and how well it decides."""
        tuning, detection, (*_, balanced) = self.tuning, self.detection, self.rates
        confusion, pixels, regions = detection.confusion, self.pixels or {}, self.regions or {}
        rows = {
            "minimal area": f"{tuning.minimal_area} pixels",
            "threshold": f"{tuning.threshold.value:.4g}",
            "area chosen with": self._chosen_with(),
            "images tested on": int(tuning.tested_on.sum()),
            "true positive rate": str(
                share_estimate(confusion["tp"], confusion["tp"] + confusion["fn"])
            ),
            "true negative rate": str(
                share_estimate(confusion["tn"], confusion["tn"] + confusion["fp"])
            ),
            "balanced accuracy": f"{balanced:.3f}",
            "defects flagged": f"{confusion['tp']} of {confusion['tp'] + confusion['fn']}",
            "false alarms": f"{confusion['fp']} of {confusion['fp'] + confusion['tn']}",
            "image AUROC of the level": str(detection.auroc),
        }
        for kind, recall in detection.recall.items():
            rows[f"recall, {kind}"] = str(recall)
        rows["pixel AUROC, plain residual"] = or_dash(pixels.get("pixel_auroc"))
        rows["AUPRO, plain residual"] = or_dash(pixels.get("aupro"))
        rows["AUPIMO, plain residual"] = or_dash(pixels.get("aupimo"))
        for key, name in _REGION_ROWS.items():
            if key in regions:
                rows[f"segmentation: {name}"] = f"{regions[key]:.3f}"
        return pd.DataFrame({"area and threshold": rows})

    def _chosen_with(self) -> str:
        """Which images chose the area, and whether they were tested on."""
        count = int(self.tuning.chosen_with.sum())
        if not count:
            return "good validation images with planted defects"
        if self.tuning.choice.strict:
            return f"{count} test images, taken out of the test set"
        return f"{count} test images, tested on as well: the figures are optimistic"

    def findings(self) -> list[str]:
        """How the decision by area compares with the one by the score, and what is segmented."""
        found = [f"{self._decision_finding()} {self._score_finding()}"]
        if self.regions:
            found.append(
                f"The segmented regions cover {self.regions['per_region_overlap']:.0%} of each "
                "true defect on average; the intersection over union is "
                f"{self.regions['iou']:.2f}."
            )
        thresholds = self.tuning.areas["threshold"]
        if thresholds.isna().any():
            found.append(
                f"For {int(thresholds.isna().sum())} of {len(thresholds)} areas there is no "
                "threshold: a good validation image reaches the highest value there."
            )
        return found

    def _decision_finding(self) -> str:
        tuning, (positive, negative, balanced) = self.tuning, self.rates
        source = "chosen without any defective image"
        if tuning.threshold.uses_test_labels:
            source = f"chosen with the labels of {int(tuning.chosen_with.sum())} test images, which"
            source += (
                " the figures leave out"
                if tuning.choice.strict
                else " the figures include, so they are optimistic"
            )
        return (
            f"A region of {tuning.minimal_area} pixels above {tuning.threshold.value:.4g} "
            f"({source}) flags {positive:.0%} of the defective and passes {negative:.0%} of the "
            f"good images tested: balanced accuracy {balanced:.3f}."
        )

    def _score_finding(self) -> str:
        tested, assessment = self.tuning.tested_on, self.assessment
        flags, labels = assessment.flags[tested], assessment.category.test.labels[tested] == 1
        balanced = (flags[labels].mean() + (~flags[~labels]).mean()) / 2
        return (
            f"On the same images the threshold of the score ({assessment.threshold.rule}) reaches "
            f"{balanced:.3f}."
        )

    def figure(self) -> Figure:
        """The threshold and the rates over the minimal area."""
        tuning = self.tuning
        return area_tuning_curves(tuning.areas, tuning.minimal_area, tuning.threshold)

    def level_figure(self) -> Figure:
        """The levels of good and defective images on both sides of the threshold."""
        tested, test = self.tuning.tested_on, self.assessment.category.test
        return score_separation(
            self.levels[tested],
            test.labels[tested],
            test.types[tested],
            self.tuning.threshold,
            title=f"Level of a region of {self.tuning.minimal_area} pixels",
        )

    def segmentation_figure(self, per_type: int = 2) -> Figure:
        """Segmented regions against the true defects, for some images of each type."""
        category = self.assessment.category
        test, chosen = category.test, examples(category, per_type)
        return segmentation_grid(
            test.images[chosen],
            self.segmentations[chosen],
            None if test.masks is None else test.masks[chosen],
            test.types[chosen],
        )

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns of ``samples.csv``: the level, the decision, and which images chose the area."""
        return {
            "area_level": self.levels,
            "flagged_by_area": self.flags,
            "chose_the_area": self.tuning.chosen_with,
        }

    def samples(self) -> pd.DataFrame:
        """A row for each test image: its level as its score, and the decision by area."""
        labels = self.assessment.category.test.labels
        return self.assessment.samples().assign(
            score=self.levels, flagged=self.flags, correct=self.flags == (labels == 1)
        )

    def summary_parts(self) -> dict[str, Any]:
        """What ``summary_area.json`` says of it, as keywords for ``Run.summary``."""
        pixels, shared = self.pixels or {}, self.assessment.summary_parts()
        return {
            "detector": f"region of {self.tuning.minimal_area} pixels above a threshold",
            "data": shared["data"],
            "models": shared["models"],
            "image_auroc": self.detection.auroc,
            "pixel_auroc": pixels.get("pixel_auroc"),
            "aupro": pixels.get("aupro"),
            "aupimo": pixels.get("aupimo"),
            "threshold": self.tuning.threshold,
            "confusion": self.detection.confusion,
        }

    def save(self, folder: str | Path, *, segmentations: bool = False) -> None:
        """Write ``finetuning.json``, every area that was tried, into a folder.

        Parameters
        ----------
        folder : str or Path
        segmentations : bool
            Also each test image's regions as a black and white PNG, named like the image:
            ``segmentation/<type>/<image>.png``. That folder is replaced when all are written.
        """
        write_json(Path(folder) / "finetuning.json", self.tuning.as_dict())
        if not segmentations:
            return
        names = self.assessment.category.test.names
        with replacing_folder(Path(folder) / "segmentation") as temporary:
            for name, region in zip(names, self.segmentations, strict=True):
                path = (temporary / Path(str(name)).relative_to("test")).with_suffix(".png")
                with replacing(path) as file:
                    picture = Image.fromarray(np.where(region, np.uint8(255), np.uint8(0)))
                    picture.save(file, format="PNG")


def decide_by_area(
    assessment: ImageAssessment,
    *,
    map_type: str = "float",
    grid: AreaGrid | None = None,
    choice: AreaChoice | None = None,
) -> AreaDecision:
    """Choose a minimal area and a threshold for plain residual maps; decide on the test images.

    Parameters
    ----------
    assessment : ImageAssessment
        Of a `ReconstructionDetector`; its ``residual`` says what the maps are.
    map_type : {"float", "uint8"}
        8-bit maps are clipped to [0, 1] and rounded to 256 levels.
    grid : AreaGrid, optional
        Which areas are tried. Thresholds go up in the published steps where the residual has one.
    choice : AreaChoice, optional
        Which images choose the area. Its seed also plants defects and is that of the bootstrap.

    Returns
    -------
    AreaDecision

    Raises
    ------
    ValueError
        If ``map_type`` is unknown, and as `tune_area`.
    """
    check_choice("map_type", map_type, MAP_TYPES)
    choice, grid = choice or AreaChoice(), grid or AreaGrid()
    category, detector = assessment.category, _with_residuals(assessment)
    validation, test = category.validation.images, category.test
    step = PUBLISHED_STEPS.get((detector.scoring.residual, map_type == "uint8"))
    with stage("area and threshold"):

        def maps_of(images: Images) -> NDArray[Any]:
            residuals = detector.residual_map(images)
            return eight_bit(residuals) if map_type == "uint8" else np.asarray(residuals)

        maps, planted = maps_of(test.images), None
        if choice.selection == "normal-only":
            planted = maps_of(plant_defects(validation, choice.seed).images)
        tuning = tune_area(
            maps_of(validation),
            maps,
            test.labels,
            test.types,
            planted_maps=planted,
            grid=replace(grid, step=step),
            choice=choice,
        )
        return _decided(assessment, tuning, maps, choice.seed)


def _with_residuals(assessment: ImageAssessment) -> ReconstructionDetector:
    """The detector that was assessed, which must have residual maps."""
    detector = assessment.detector
    if not isinstance(detector, ReconstructionDetector):
        raise TypeError(
            f"the {assessment.title} has no residual maps; areas are for reconstruction detectors"
        )
    return detector


def _decided(
    assessment: ImageAssessment, tuning: AreaTuning, maps: NDArray[Any], seed: int
) -> AreaDecision:
    """What a tuned area and threshold decide, and how well."""
    test = assessment.category.test
    tested, levels, segmentations = tuning.tested_on, tuning.levels(maps), tuning.segment(maps)
    pixels = regions = None
    known = tested & test.mask_known
    if test.masks is not None and test.masks[known].any():
        pixels = pixel_figures(maps[known], test.subset(known), seed=seed)
        regions = segmentation_report(segmentations[known], test.masks[known])
    detection = detection_report(
        levels[tested], test.labels[tested], test.types[tested], tuning.threshold, seed=seed
    )
    return AreaDecision(assessment, tuning, maps, levels, segmentations, detection, pixels, regions)


def inspection_figures(
    detector: ReconstructionDetector,
    category: Category,
    per_page: int = 12,
    *,
    threshold: Threshold | float | None = None,
) -> Iterator[tuple[str, Figure]]:
    """Every good validation and every test image beside its reconstruction and map, with its score.

    Parameters
    ----------
    detector : ReconstructionDetector
        Fitted.
    category : Category
    per_page : int
        Images on a page.
    threshold : Threshold or float, optional
        Of the scores, for the scale of the maps, which is that of the test images on every page.

    Yields
    ------
    str, matplotlib.figure.Figure
        Name of the page, such as ``inspection-test-01``, and the page.
    """
    scale = None
    for split in ("test", "validation"):
        images = getattr(category, split)
        scores, counterparts, maps = (
            function(images.images)
            for function in (detector.score, detector.counterpart, detector.anomaly_map)
        )
        scale = scale or map_scale(maps, scores, threshold, quantile=0.9)
        for number, start in enumerate(range(0, len(images), per_page), start=1):
            page = slice(start, start + per_page)
            yield (
                f"inspection-{split}-{number:02}",
                reconstruction_grid(
                    images.images[page],
                    counterparts[page],
                    maps[page],
                    images.names[page],
                    scores[page],
                    None if images.masks is None else images.masks[page],
                    title=f"Images {start + 1} to {min(start + per_page, len(images))}",
                    scale=scale,
                ),
            )


@dataclass(frozen=True)
class ArchitectureComparison:
    """Autoencoders of several architectures that were trained alike.

    Attributes
    ----------
    main : ImageAssessment
        Of the autoencoder that the report is about.
    detectors : dict of str to CAE
    assessments : dict of str to ImageAssessment
    copied : dict of str to float
        Share of a planted defect that each takes over into its reconstruction, on good validation
        images.
    """

    main: ImageAssessment
    detectors: dict[str, CAE]
    assessments: dict[str, ImageAssessment]
    copied: dict[str, float]

    def table(self) -> pd.DataFrame:
        """Costs, detection, and how much of an anomaly is copied: a row for each architecture."""
        validation, rows = self.main.category.validation.images, {}
        for name, detector in self.detectors.items():
            one = self.assessments[name]
            error = (detector.counterpart(validation) - validation) ** 2
            rows[name] = {
                "weights": f"{detector.network.count_params():,}",
                "epochs": len(detector.history),
                "seconds": round(detector.history["seconds"].sum(), 1),
                "image AUROC": str(one.detection.auroc),
                "pixel AUROC": or_dash((one.pixels or {}).get("pixel_auroc")),
                "error, good validation": float(error.mean()),
                "copies of a planted defect": f"{self.copied[name]:.0%}",
                "shortcuts around the code": "yes" if detector.copies_defects else "no",
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    def findings(self) -> list[str]:
        """Whether the autoencoder copies defects; a warning first where it has shortcuts."""
        main, copied, found = self.main.detector, self.copied, []
        if isinstance(main, CAE) and main.copies_defects:
            found.append(
                f"Warning: the architecture {main.architecture!r} has shortcuts around its code. "
                "They can carry a defect into the reconstruction, where the residual no longer "
                "shows it: do not rely on its misses."
            )
        if not copied:
            return found
        most, least = max(copied, key=copied.__getitem__), min(copied, key=copied.__getitem__)
        aurocs = {name: one.detection.auroc for name, one in self.assessments.items()}
        best = max(aurocs, key=lambda name: aurocs[name].value)
        return [
            *found,
            f"At this budget {most} takes over {copied[most]:.0%} of a planted defect and {least} "
            f"{copied[least]:.0%}: what is copied cannot be seen in the residual.",
            f"The highest image AUROC at this budget is that of {best} ({aurocs[best]}); where "
            "intervals overlap, none is shown to be better.",
        ]

    def figure(self) -> Figure:
        """The defective test image with the main detector's highest score, as each returns it."""
        test, scores = self.main.category.test, self.main.scores
        index = int(np.flatnonzero(test.labels == 1)[scores[test.labels == 1].argmax()])
        return counterparts_grid(
            test.images[index],
            {name: one.counterparts[index] for name, one in self.assessments.items()},
            {name: one.anomaly_maps[index] for name, one in self.assessments.items()},
            None if test.masks is None else test.masks[index],
            title=f"{test.names[index]}: reconstructions and anomaly maps",
            scales={name: one.map_scale for name, one in self.assessments.items()},
        )


def compare_architectures(
    main: ImageAssessment,
    detectors: Mapping[str, CAE],
    *,
    rule: str = "normal_quantile",
    quantile: float = 0.95,
    seed: int = 0,
) -> ArchitectureComparison:
    """Compare what architectures cost, how well they detect, and how much of an anomaly they copy.

    Parameters
    ----------
    main : ImageAssessment
        Of the autoencoder that the report is about.
    detectors : dict of str to CAE
        Fitted, by architecture.
    rule, quantile, seed
        As in `assess_detector`.

    Returns
    -------
    ArchitectureComparison
    """
    category, assessments, copied = main.category, {}, {}
    validation = category.validation.images
    planted = plant_defects(validation, seed, draws=1).images
    for name, detector in detectors.items():
        assessments[name] = assess_detector(
            name, detector, category, rule=rule, quantile=quantile, seed=seed
        )
        # Below zero the reconstruction moves the other way: nothing is copied.
        copied[name] = max(copied_share(detector, validation, planted), 0.0)
    return ArchitectureComparison(main, dict(detectors), assessments, copied)
