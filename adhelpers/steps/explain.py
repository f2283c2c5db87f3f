"""The standard explainers with their budgets, in one place for all notebooks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from adhelpers._shared.arrays import Maps
from adhelpers.explainers import (
    Explanations,
    Sampling,
    Superpixels,
    centre_prior,
    explain_images,
    explain_with_gradcam,
    explain_with_lime,
    explain_with_occlusion,
    explain_with_repair,
    explain_with_shap,
    noise,
    residual_map,
    uniform,
)
from adhelpers.metrics import normal_quantile

from .assess import ImageAssessment

# They look at the image and its counterpart, or not even at these, but never ask the detector.
BASELINES = ("residual map", "uniform", "centre prior", "noise")
REPAIR = "smallest repair"
# A repaired image looks normal where it scores no more than this share of the good images.
_NORMAL_SHARE = 0.1


@dataclass(frozen=True)
class ExplainerSettings:
    """Budgets of the standard explainers.

    Attributes
    ----------
    num_segments : int
        Superpixels of an image.
    lime_samples : int
        Perturbed images for each LIME explanation.
    shap_evaluations : int
        Evaluations of the score for each SHAP explanation.
    occlusion_window : int or None
        Side of the occlusion's square window in pixels; None takes an eighth of the image's shorter
        side, and occlusion is used only where it is asked for by name.
    repair_evaluations : int
        Maximum number of evaluations of the score for the smallest repair of an image.
    smoothing : float
        Standard deviation of the Gaussian over the residual map, in pixels.
    good_explained : int
        Good validation images that are explained too, to fix a threshold for heatmaps without a
        mask.
    """

    num_segments: int = 100
    lime_samples: int = 257
    shap_evaluations: int = 300
    occlusion_window: int | None = None
    repair_evaluations: int = 40
    smoothing: float = 1.0
    good_explained: int = 8

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "ExplainerSettings":
        """The settings among a notebook's parameters, which have the same names.

        Examples
        --------
        >>> ExplainerSettings.from_parameters({"seed": 0, "lime_samples": 33}).lime_samples
        33
        """
        names = [field.name for field in fields(cls) if field.name in parameters]
        return cls(**{name: parameters[name] for name in names})


def standard_explainers(
    settings: ExplainerSettings, detector: Any, targets: Mapping[str, float] | None = None
) -> dict[str, Callable]:
    """Every standard explainer that applies to a detector, ready for `explain_images`, by name.

    Parameters
    ----------
    settings : ExplainerSettings
    detector : Detector
        With ``forward``, as detectors on pretrained features have it, GradCAM is among them.
    targets : dict of str to float, optional
        ``passes`` and ``normal`` of the smallest repair, which is among them only then.

    Returns
    -------
    dict of str to callable
    """
    # Linear detectors know the scores of composed images without a pass for each.
    region_scores = getattr(detector, "region_scores", None)
    explainers: dict[str, Callable] = {
        "LIME": partial(
            explain_with_lime,
            region_scores=region_scores,
            sampling=Sampling(settings.lime_samples),
            superpixels=Superpixels(settings.num_segments),
        ),
        "SHAP": partial(
            explain_with_shap,
            max_evaluations=settings.shap_evaluations,
            region_scores=region_scores,
        ),
        "occlusion": partial(explain_with_occlusion, window=settings.occlusion_window),
        "residual map": partial(residual_map, smoothing=settings.smoothing),
        "uniform": uniform,
        "centre prior": centre_prior,
        "noise": noise,
    }
    if targets is not None:
        explainers[REPAIR] = partial(
            explain_with_repair,
            passes=targets["passes"],
            normal=targets["normal"],
            # A detector from elsewhere may only have a score.
            anomaly_map=detector.anomaly_map if getattr(detector, "has_map", True) else None,
            max_evaluations=settings.repair_evaluations,
        )
    if hasattr(detector, "forward"):
        explainers["GradCAM"] = partial(explain_with_gradcam, forward=detector.forward)
    return explainers


@dataclass(frozen=True)
class ExplainedImages:
    """Explanations of test images, and of some good validation images, by several explainers.

    Attributes
    ----------
    test, good : dict of str to Explanations
        By the explainer's name; ``good`` is empty where no good image was to be explained.
    settings : ExplainerSettings
    seed : int
    """

    test: dict[str, Explanations]
    good: dict[str, Explanations]
    settings: ExplainerSettings = field(default_factory=ExplainerSettings)
    seed: int = 0

    @property
    def heatmaps(self) -> dict[str, Maps]:
        """Of each explainer the heatmaps of the test images: float32 (n, h, w)."""
        return {name: one.heatmaps for name, one in self.test.items()}

    def table(self) -> pd.DataFrame:
        """A row for each explainer: how many images it explained, and the seconds it took."""
        rows = {
            name: {
                "images": len(one.heatmaps) - len(one.errors),
                "could not be explained": len(one.errors),
                "good images": len(self.good[name].heatmaps) if name in self.good else 0,
                "seconds": round(
                    one.seconds + (self.good[name].seconds if name in self.good else 0.0), 1
                ),
            }
            for name, one in self.test.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def columns(self) -> pd.DataFrame:
        """Columns of ``samples.csv``: LIME's R², size and score of the smallest repair, errors."""
        columns: dict[str, list] = {}
        if REPAIR in self.test:
            for name, key in (("repair_area", "area"), ("repair_score", "repaired score")):
                columns[name] = [one.get(key, np.nan) for one in self.test[REPAIR].details]
        for name, one in self.test.items():
            if any("r2" in details for details in one.details):
                columns[f"r2_{name.lower()}"] = [
                    details.get("r2", np.nan) for details in one.details
                ]
            if one.errors:
                columns[f"error_{name.lower()}"] = [
                    one.errors.get(index, "") for index in range(len(one.heatmaps))
                ]
        return pd.DataFrame(columns)

    def findings(self) -> list[str]:
        """Which test images could not be explained, and why."""
        found = [f"{name}: {what}." for name, one in self.test.items() for what in one.findings()]
        return found or ["Every test image was explained by every explainer."]


def explain_detector(
    assessment: ImageAssessment,
    settings: ExplainerSettings | None = None,
    *,
    explainers: Sequence[str] | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> ExplainedImages:
    """Explain the scores of all test images and of some good validation images.

    Finished explanations are kept in the detector's folder and found again.

    Parameters
    ----------
    assessment : ImageAssessment
    settings : ExplainerSettings, optional
    explainers : sequence of str, optional
        Names among those of `standard_explainers`; all otherwise, occlusion only where its window
        is given. A name that does not apply to the detector is left out.
    seed : int
    show_progress : bool

    Returns
    -------
    ExplainedImages
    """
    settings = settings or ExplainerSettings()
    detector, category = assessment.detector, assessment.category
    available = standard_explainers(settings, detector, _repair_targets(assessment))
    if explainers is None:
        explainers = [
            name
            for name in available
            if name != "occlusion" or settings.occlusion_window is not None
        ]
    good = category.validation.images[: settings.good_explained]
    good_counterparts = detector.counterpart(good) if len(good) else good
    # Detectors that were not stored, such as those of other packages, have no folder.
    folder = getattr(detector, "folder", None)
    store = None if folder is None else folder / "explanations"
    explained = ExplainedImages({}, {}, settings, seed)
    for name in explainers:
        if name not in available:
            continue
        explain = partial(
            explain_images,
            available[name],
            detector.score,
            seed=seed,
            description=name,
            show_progress=show_progress,
            # Finding a stored one asks for the image's score, which baselines do without.
            store=None if name in BASELINES else store,
        )
        explained.test[name] = explain(category.test.images, assessment.counterparts)
        if len(good):
            explained.good[name] = explain(good, good_counterparts)
    return explained


def _repair_targets(assessment: ImageAssessment) -> dict[str, float]:
    """The score at which an image passes, and one that is low among good images."""
    passes = assessment.threshold.value
    low = normal_quantile(assessment.reference_scores, _NORMAL_SHARE).value
    return {"passes": passes, "normal": min(low, passes)}
