"""The steps of the notebook on Deep SAD: training, decisions, stored files."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adhelpers._shared.arrays import Floats
from adhelpers._shared.files import write_json
from adhelpers._shared.stages import stage
from adhelpers.data import SemiSupervisedCategory
from adhelpers.detectors import DeepSAD, fit_or_load
from adhelpers.metrics import Threshold, detection_report, image_auroc, normal_quantile
from adhelpers.reports import write_samples

from .assess import Assessment, pixel_figures
from .deep_sad_settings import DeepSADSettings, detector_settings


def split_facts(category: SemiSupervisedCategory) -> list[str]:
    """Facts on a split that hold on any machine: its counts, and whether labels are right."""
    counts, truth = category.counts, category.train.labels
    right = not (
        ((category.known == 1) & (truth == 1)).any()
        or ((category.known == -1) & (truth == 0)).any()
    )
    return [
        f"{category.name}: unlabelled {counts.unlabelled_normal} + {counts.unlabelled_outlier}, "
        f"known normal {counts.known_normal}, known outliers {counts.known_outlier} "
        f"({category.settings['known_outlier_class']}), validation {len(category.validation)}, "
        f"test {len(category.test)}",
        f"labels of known samples agree with their classes: {right}",
    ]


def train_deep_sad(
    settings: DeepSADSettings,
    category: SemiSupervisedCategory,
    models: str | Path,
    *,
    load_model: str | Path = "",
    show_progress: bool = True,
) -> DeepSAD:
    """Train Deep SAD, or load the one that was trained with these settings and samples.

    Parameters
    ----------
    settings : DeepSADSettings
    category : SemiSupervisedCategory
    models : str or Path
        Folder for stored models.
    load_model : str or Path
        Folder of a stored Deep SAD that is taken instead, whatever it was trained with.
    show_progress : bool

    Returns
    -------
    DeepSAD
    """
    if load_model:
        return DeepSAD.load(load_model)
    return fit_or_load(
        settings.make_detector(),
        category,
        models,
        labels=category.known,
        show_progress=show_progress,
    )


@dataclass(frozen=True, kw_only=True)
class SampleAssessment(Assessment):
    """What Deep SAD decides about test samples of which some anomalies are of known classes."""

    category: SemiSupervisedCategory
    detector: DeepSAD

    @property
    def known(self) -> dict[str, bool]:
        """Whether each outlier class of the test set is one that the detector was told of."""
        test = self.category.test
        known = set(map(str, self.category.train.types[self.category.known < 0]))
        return {kind: kind in known for kind in sorted(set(map(str, test.types[test.labels == 1])))}

    def table(self) -> pd.DataFrame:
        """One column: measures with their 95 % intervals, the threshold, and what was flagged."""
        renamed = {"image AUROC": "AUROC", "defects flagged": "anomalies flagged"}
        for kind, told in self.known.items():
            if told:
                renamed[f"recall, {kind}"] = f"recall, {kind} (known)"
        table = super().table()
        if self.pixels is None:
            table = table.drop(index=["pixel AUROC", "AUPRO to 30 % false positives"])
        return table.rename(index=renamed)

    def findings(self) -> list[str]:
        """How well anomalies are ranked, of classes known and not."""
        category, test, known = self.category, self.category.test, self.known
        found = [
            f"Deep SAD's AUROC on {len(test)} test samples is {self.detection.auroc}, with "
            f"{category.counts.known_outlier} known anomalies among {len(category.train)} training "
            "samples."
        ]
        told = [kind for kind in known if known[kind]]
        if told and not all(known.values()):
            of_known = np.isin(test.types, told)
            normal = test.labels == 0
            first, second = (
                image_auroc(self.scores[chosen], test.labels[chosen])
                for chosen in (normal | of_known, normal | ~of_known)
            )
            found.append(
                f"For anomalies of the class that was labelled ({', '.join(told)}) it is "
                f"{first:.3f}, for those of all other classes {second:.3f}."
            )
        return [*found, *self.leak_findings()]


def assess_deep_sad(
    detector: DeepSAD, category: SemiSupervisedCategory, *, quantile: float = 0.95, seed: int = 0
) -> SampleAssessment:
    """Score the test samples and decide on them.

    Parameters
    ----------
    detector : DeepSAD
        Fitted.
    category : SemiSupervisedCategory
    quantile : float
        Share of the normal validation samples that pass. Where none were held out, of the
        unlabelled training samples.
    seed : int
        For the bootstrap.

    Returns
    -------
    SampleAssessment
    """
    test = category.test
    with stage("Deep SAD: scores"):
        # The first call compiles the network.
        detector.score(test.images[:1])
        started = time.perf_counter()
        scores = detector.score(test.images)
        seconds = time.perf_counter() - started
        reference, threshold = sample_threshold(detector.score, category, quantile)
        pixels = None
        if category.has_masks:
            pixels = pixel_figures(detector.anomaly_map(test.images), test, seed=seed)
    return SampleAssessment(
        title="Deep SAD",
        category=category,
        detector=detector,
        scores=scores,
        reference_scores=reference,
        threshold=threshold,
        detection=detection_report(scores, test.labels, test.types, threshold, seed=seed),
        pixels=pixels,
        seconds=seconds,
    )


def sample_threshold(
    score: Callable[[Any], Floats], category: SemiSupervisedCategory, quantile: float
) -> tuple[Floats, Threshold]:
    """A quantile of the scores of normal samples held out, or else of unlabelled ones; these."""
    if len(category.validation):
        reference = score(category.validation.images)
        return reference, normal_quantile(reference, quantile)
    reference = score(category.train.images[category.known == 0])
    rule = f"{quantile:g} quantile of {len(reference)} unlabelled training scores"
    return reference, Threshold(normal_quantile(reference, quantile).value, rule, False)


def write_run(
    folder: str | Path,
    assessment: SampleAssessment,
    settings: DeepSADSettings,
    *,
    seconds: Mapping[str, float],
    tables: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    """Leave what the published code leaves: ``results.json``, ``config.json`` and ``model/``.

    Parameters
    ----------
    folder : str or Path
    assessment : SampleAssessment
    settings : DeepSADSettings
        Of data and split; those of the detector are its own.
    seconds : dict of str to float
        By stage.
    tables : dict of str to pandas.DataFrame
        Each becomes ``<name>.csv``.

    Returns
    -------
    dict
        What stands in ``results.json``: ``train_seconds`` and ``pretrain_seconds`` (of the epochs,
        in this or an earlier run), ``test_seconds``, ``test_auc``, ``counts``, ``stages``,
        ``test_scores`` (index, label, score).
    """
    folder, detector, category = Path(folder), assessment.detector, assessment.category
    labelled_scores = zip(category.test.labels, assessment.scores, strict=True)
    results = {
        "train_seconds": _epoch_seconds(detector.history),
        "pretrain_seconds": _epoch_seconds(detector.pretraining_history),
        "test_seconds": round(assessment.seconds, 4),
        "test_auc": assessment.detection.auroc.value,
        "counts": asdict(category.counts),
        "stages": {name: round(value, 3) for name, value in seconds.items()},
        "test_scores": [
            [index, int(label), float(score)]
            for index, (label, score) in enumerate(labelled_scores)
        ],
    }
    write_json(folder / "results.json", results)
    config = asdict(settings) | {"detector": detector_settings(detector)}
    write_json(folder / "config.json", config)
    # The copy must not become the place where the detector is looked for.
    stored = detector.folder
    detector.save(folder / "model")
    detector.folder = stored
    for name, table in tables.items():
        write_samples(folder / f"{name}.csv", table)
    return results


def _epoch_seconds(history: pd.DataFrame) -> float:
    """Seconds of all epochs of a training; 0 where there was none."""
    return round(float(history["seconds"].sum()), 3) if len(history) else 0.0
