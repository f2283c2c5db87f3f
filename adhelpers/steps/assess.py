"""From a fitted detector to decisions: scores, a threshold, how well it decides, a comparison."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Flags, Images, Maps, Scores
from adhelpers._shared.stages import stage
from adhelpers._shared.text import or_dash
from adhelpers.data import LEAK, Category, ImageSet
from adhelpers.detectors import Detector, held_out_scores
from adhelpers.metrics import (
    DetectionReport,
    Estimate,
    Threshold,
    aupimo_estimate,
    auroc_difference,
    auroc_estimate,
    detection_report,
    expected_false_alarm_rate,
    gmean_threshold,
    midpoint_threshold,
    normal_quantile,
    pixel_report,
    share_estimate,
)
from adhelpers.reports import MapScale, map_scale, score_separation

from .reference import remember_reference

THRESHOLD_RULES = ("normal_quantile", "gmean", "midpoint")
# With fewer good validation images than this the training images are held out as well.
FEWEST_REFERENCES = 30


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What one detector decides about the test samples of a category, and how well.

    Attributes
    ----------
    title : str
        The detector's name as people read it.
    category : Category
    detector : Detector
    scores : ndarray of float32, shape (n,)
        Of the test samples.
    reference_scores : ndarray of float32, shape (m,)
        Of the samples that the threshold was taken from, usually the good validation images.
    held_out_scores : ndarray of float32, shape (k,)
        Of the training images, by copies of the detector that have not seen them, where the
        threshold was taken from these as well.
    threshold : Threshold
    detection : DetectionReport
    pixels : dict of str to Estimate, or None
        ``pixel_auroc``, ``aupro`` and ``aupimo``; None without masks.
    seconds : float
        Time that scoring the test samples took; with maps and counterparts where all come in one
        pass.
    """

    title: str
    category: Category
    detector: Detector
    scores: Scores
    reference_scores: Scores
    threshold: Threshold
    detection: DetectionReport
    pixels: dict[str, Estimate] | None = None
    seconds: float = 0.0
    held_out_scores: Scores = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def good_scores(self) -> Scores:
        """All scores that the threshold was taken from: float32 (m + k,)."""
        return np.concatenate([self.reference_scores, self.held_out_scores])

    @property
    def expected_false_alarm_rate(self) -> float | None:
        """See `adhelpers.metrics.expected_false_alarm_rate`; None where test labels were used."""
        if self.threshold.uses_test_labels or not len(self.good_scores):
            return None
        return expected_false_alarm_rate(self.good_scores, self.threshold)

    @property
    def flags(self) -> Flags:
        """Which test samples are flagged: bool (n,)."""
        return self.threshold.flag(self.scores)

    @property
    def heading(self) -> str:
        """The title with a capital letter."""
        return self.title[:1].upper() + self.title[1:]

    def table(self) -> pd.DataFrame:
        """One column: measures with their 95 % intervals, the threshold, and what was flagged."""
        detection, pixels, confusion = self.detection, self.pixels or {}, self.detection.confusion
        rows = {
            "image AUROC": or_dash(detection.auroc),
            "average precision": or_dash(detection.average_precision),
            "pixel AUROC": or_dash(pixels.get("pixel_auroc")),
            "AUPRO to 30 % false positives": or_dash(pixels.get("aupro")),
            "AUPIMO, 1e-5 to 1e-4 false positives": or_dash(pixels.get("aupimo")),
            "threshold": f"{self.threshold.value:.4f}",
            "threshold rule": self.threshold.rule,
            "threshold used test labels": "yes" if self.threshold.uses_test_labels else "no",
            "defects flagged": f"{confusion['tp']} of {confusion['tp'] + confusion['fn']}",
            "false alarms": f"{confusion['fp']} of {confusion['fp'] + confusion['tn']}",
            "false alarm rate": str(
                share_estimate(confusion["fp"], confusion["fp"] + confusion["tn"])
            ),
            "false alarm rate that the threshold promises": "–"
            if (promised := self.expected_false_alarm_rate) is None
            else f"{promised:.2f}",
            "accuracy": or_dash(detection.accuracy),
            "F1": or_dash(detection.f1),
            "G-mean": or_dash(detection.g_mean),
            **{f"recall, {kind}": or_dash(value) for kind, value in detection.recall.items()},
        }
        return pd.DataFrame({self.title: rows})

    def findings(self) -> list[str]:
        """What the detector flags, by which threshold, and which defects it misses most."""
        confusion = self.detection.confusion
        source = (
            "was chosen with the test labels, so these counts flatter it"
            if self.threshold.uses_test_labels
            else f"comes from {len(self.reference_scores)} good validation images alone"
            if not len(self.held_out_scores)
            else f"comes from {len(self.reference_scores)} good validation images and "
            f"{len(self.held_out_scores)} training images, scored by copies of the detector that "
            "have not seen them"
        )
        found = (
            f"The {self.title} flags {confusion['tp']} of {confusion['tp'] + confusion['fn']} "
            f"defective images and raises {confusion['fp']} false "
            f"{'alarm' if confusion['fp'] == 1 else 'alarms'} on "
            f"{confusion['fp'] + confusion['tn']} good ones; its threshold {source}."
        )
        kind, weakest = min(self.detection.recall.items(), key=lambda item: item[1].value)
        if weakest.value < 1:
            found += f" It is weakest on {kind} (recall {weakest:.2f})."
        return [found, *self.leak_findings(), *_without_place(self.category.test)]

    def leak_findings(self) -> list[str]:
        """What is left of the AUROC without test images that are also used in training."""
        test, leaked = self.category.test, leaked_images(self.category)
        count, rest = int(leaked.sum()), ~leaked
        if not count:
            return []
        which = (
            f"Without the {'test image that is' if count == 1 else f'{count} test images that are'}"
            " also used in training or for the threshold"
        )
        if len(set(test.labels[rest].tolist())) < 2:
            return [f"{which} nothing can be said of the {self.title}: a class has no other image."]
        auroc = auroc_estimate(self.scores[rest], test.labels[rest], test.types[rest])
        return [
            f"{which} the AUROC of the {self.title} is {auroc}, with "
            f"{'it' if count == 1 else 'them'} {self.detection.auroc}."
        ]

    def figure(self) -> Figure:
        """Scores of good and defective test images on both sides of the threshold."""
        return score_separation(
            self.scores,
            self.category.test.labels,
            self.category.test.types,
            self.threshold,
            self.good_scores,
            title=self.heading,
        )

    def samples(self) -> pd.DataFrame:
        """A row for each test sample: what it is, its score, and the decision.

        Where images could not be corrected as ``"auto"`` has chosen, a column says which.
        """
        test, flags = self.category.test, self.flags
        columns = {
            "name": test.names,
            "type": test.types,
            "label": test.labels,
            "score": self.scores,
            "flagged": flags,
            "correct": flags == (test.labels == 1),
        }
        if test.uncorrected is not None and test.uncorrected.any():
            columns["uncorrected"] = test.uncorrected
        return pd.DataFrame(columns)

    def summary_parts(self) -> dict[str, Any]:
        """The parts of ``summary.json`` that follow, as keywords for `Run.summary`."""
        pixels = self.pixels or {}
        stored = getattr(self.detector, "folder", None)
        return {
            "detector": self.title,
            "data": self.category,
            "models": None if stored is None else [stored],
            "image_auroc": self.detection.auroc,
            "pixel_auroc": pixels.get("pixel_auroc"),
            "aupro": pixels.get("aupro"),
            "aupimo": pixels.get("aupimo"),
            "threshold": self.threshold,
            "confusion": self.detection.confusion,
        }


@dataclass(frozen=True, kw_only=True)
class ImageAssessment(Assessment):
    """An assessment with the anomaly maps and counterparts of all test images.

    Attributes
    ----------
    anomaly_maps : ndarray of float32, shape (n, h, w)
    counterparts : ndarray of float32, shape (n, h, w, c)
    counterpart_name : str
        What the counterparts are, as people read it.
    has_maps, has_counterparts : bool
        False where a detector from elsewhere gives none: its maps are 0 then, its counterparts the
        images themselves, and neither is shown.
    fill : callable, optional
        ``fill(image, region)`` makes a region normal, in place of the counterparts, in the repair
        test (see `adhelpers.audit.repair_test`).
    """

    anomaly_maps: Maps
    counterparts: Images
    counterpart_name: str = "reconstruction"
    has_maps: bool = True
    has_counterparts: bool = True
    fill: Callable[[Images, Flags], Images] | None = None

    @cached_property
    def map_scale(self) -> MapScale:
        """One scale for all pictures of these anomaly maps, so that a bright map is a high score.

        A tenth of the images may be brighter than its last colour.
        """
        return map_scale(self.anomaly_maps, self.scores, self.threshold, quantile=0.9)


def assess_detector(
    title: str,
    detector: Detector,
    category: Category,
    *,
    rule: str = "normal_quantile",
    quantile: float = 0.95,
    seed: int = 0,
) -> ImageAssessment:
    """Score a category's validation and test images and turn the scores into decisions.

    Beside a stored detector the threshold is kept for new images (`remember_reference`).

    Parameters
    ----------
    title : str
        The detector's name as people read it.
    detector : Detector
        Fitted.
    category : Category
    rule : {"normal_quantile", "gmean", "midpoint"}
        ``normal_quantile`` looks at good images only: at the validation images and, where there are
        fewer than 30 and the detector can be fitted again within seconds, at the training images,
        each scored by a copy that has not seen it (`adhelpers.detectors.held_out_scores`). The
        other two choose their threshold with the test labels, and their `Threshold` says so.
    quantile : float
        Share of validation images that ``normal_quantile`` lets pass.
    seed : int
        For the bootstrap.

    Returns
    -------
    ImageAssessment

    Raises
    ------
    ValueError
        For an unknown rule.
    """
    if rule not in THRESHOLD_RULES:
        raise ValueError(
            f"rule (threshold_rule) must be one of {', '.join(THRESHOLD_RULES)}, not {rule!r}"
        )
    test = category.test
    with stage(f"{title}: scores"):
        reference_scores = detector.score(category.validation.images)
        scores, maps, counterparts, seconds = _asked(detector, test.images)
    held_out = np.zeros(0, np.float32)
    if rule == "normal_quantile":
        if len(reference_scores) < FEWEST_REFERENCES:
            with stage(f"{title}: held-out scores"):
                held_out = _held_out(detector, category)
        threshold = normal_quantile(reference_scores, quantile, held_out)
    else:
        threshold = {"gmean": gmean_threshold, "midpoint": midpoint_threshold}[rule](
            scores, test.labels
        )
    remember_reference(detector, category, np.concatenate([reference_scores, held_out]), threshold)
    return ImageAssessment(
        title=title,
        category=category,
        detector=detector,
        scores=scores,
        reference_scores=reference_scores,
        threshold=threshold,
        detection=detection_report(scores, test.labels, test.types, threshold, seed=seed),
        pixels=pixel_figures(maps, test, seed=seed),
        seconds=seconds,
        anomaly_maps=maps,
        counterparts=counterparts,
        # A detector from elsewhere fulfils the contract without a name for it.
        counterpart_name=getattr(detector, "counterpart_name", ImageAssessment.counterpart_name),
        held_out_scores=held_out,
    )


def _held_out(detector: Detector, category: Category) -> Scores:
    """Scores of the training images by copies that have not seen them, if that takes seconds."""
    found = None
    # A detector from elsewhere fulfils the contract and cannot be fitted again.
    if isinstance(detector, Detector):
        found = held_out_scores(
            detector, category.train.images, category.validation.images, show_progress=False
        )
    return np.zeros(0, np.float32) if found is None else found


def _asked(detector: Detector, images: Images) -> tuple[Scores, Maps, Images, float]:
    """Scores, maps and counterparts, in one pass where the detector has one, and its seconds."""
    one_pass = getattr(detector, "score_map_counterpart", None)
    started = time.perf_counter()
    if one_pass is not None:
        return (*one_pass(images), time.perf_counter() - started)
    scores = detector.score(images)
    seconds = time.perf_counter() - started
    return scores, detector.anomaly_map(images), detector.counterpart(images), seconds


def pixel_figures(maps: Maps, images: ImageSet, *, seed: int = 0) -> dict[str, Estimate] | None:
    """Pixel AUROC, AUPRO and AUPIMO over the images of which it is known where the defect is.

    Parameters
    ----------
    maps : ndarray of float32, shape (n, h, w)
    images : ImageSet
    seed : int
        For the bootstrap.

    Returns
    -------
    dict of str to Estimate, or None
        None where no defect has a pixel: without masks, or where all are empty or cut off. AUPIMO
        is NaN, with the reason, where the good images have too few pixels for it.
    """
    known = images.mask_known
    if images.masks is None or not images.masks[known].any():
        return None
    known_maps, known_masks = maps[known], images.masks[known]
    return {
        **pixel_report(known_maps, known_masks, seed=seed),
        "aupimo": aupimo_estimate(known_maps, known_masks, seed=seed),
    }


def leaked_images(category: Category) -> Flags:
    """Which test images are also used in training or for the threshold, by content: bool (n,)."""
    names = {name for remark in category.remarks if remark.kind == LEAK for name in remark.files}
    return np.array([str(name) in names for name in category.test.names], dtype=bool)


def _without_place(images: ImageSet) -> list[str]:
    """A sentence where defective images have masks that show no defect."""
    count = 0 if images.masks is None else int((~images.mask_known).sum())
    if not count:
        return []
    one = count == 1
    return [
        f"Of {count} defective {'image' if one else 'images'} it is not known where the defect is "
        f"({'its mask is' if one else 'their masks are'} empty, or the frame cuts the defect off): "
        f"{'it counts' if one else 'they count'} here, and {'is' if one else 'are'} left out of "
        "pixel AUROC, AUPRO, AUPIMO and all that needs a mask."
    ]


@dataclass(frozen=True)
class DetectorComparison:
    """Detectors on the same test images.

    Attributes
    ----------
    assessments : list of Assessment
    simple, main : Assessment
        The baseline, and the detector that is compared with it.
    difference : Estimate
        Image AUROC of ``main`` minus that of ``simple``, with the interval of `auroc_difference`.
    """

    assessments: list[Assessment]
    simple: Assessment
    main: Assessment
    difference: Estimate

    def table(self) -> pd.DataFrame:
        """A column for each detector."""
        return pd.concat([one.table() for one in self.assessments], axis=1)

    def findings(self) -> list[str]:
        """Whether the main detector is better than the baseline, and what both flag."""
        simple, main, difference = self.simple, self.main, self.difference
        if difference.low > 0:
            verdict = f"it is better than the {simple.title} on these images"
        elif difference.high < 0:
            verdict = f"it is worse than the {simple.title}, which is simpler and faster: use that"
        else:
            verdict = (
                f"these images do not show it to be better or worse than the {simple.title}, "
                "which is simpler and faster"
            )
        found = (
            f"The {main.title} ranks defective above good images with an AUROC of "
            f"{main.detection.auroc}, the {simple.title} with "
            f"{simple.detection.auroc}. The difference is {difference:+.3f}: {verdict}."
        )
        return [found, *simple.findings(), *main.findings()]


def compare_detectors(
    assessments: Sequence[Assessment], main: Assessment | None = None, *, seed: int = 0
) -> DetectorComparison:
    """Compare detectors that were assessed on the same category.

    Parameters
    ----------
    assessments : list of Assessment
        The baseline first.
    main : Assessment, optional
        The detector that is compared with the baseline; the last one otherwise.
    seed : int
        For the bootstrap.

    Returns
    -------
    DetectorComparison
    """
    simple, main = assessments[0], main or assessments[-1]
    test = simple.category.test
    difference = auroc_difference(main.scores, simple.scores, test.labels, test.types, seed=seed)
    return DetectorComparison(list(assessments), simple, main, difference)
