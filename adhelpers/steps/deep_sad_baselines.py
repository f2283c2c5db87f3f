"""Deep SAD beside shallow methods on the same samples and labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from adhelpers._shared.arrays import Flags
from adhelpers._shared.stages import stage
from adhelpers.detectors import SHALLOW_METHODS, fit_shallow
from adhelpers.metrics import auroc_estimate

from .deep_sad import SampleAssessment, sample_threshold

_TITLES = {
    "one_class_svm": "one-class SVM",
    "isolation_forest": "isolation forest",
    "kde": "kernel density",
    "supervised_svm": "SVM, known anomalies against the rest",
}
SIMPLEST = "one-class SVM on the samples"


@dataclass(frozen=True)
class Baselines:
    """Deep SAD and shallow methods on the same training set.

    Attributes
    ----------
    results : pandas.DataFrame
        A row for each method and kind of input, Deep SAD first: ``method``, ``input``, ``AUROC``
        (an `Estimate`), ``chosen`` and ``chosen by``.
    simplest_flags : ndarray of bool, shape (n,), or None
        Which test samples `SIMPLEST` flags, its threshold taken as that of Deep SAD. It is named
        here, not chosen by the test.
    """

    results: pd.DataFrame
    simplest_flags: Flags | None = None

    def table(self) -> pd.DataFrame:
        """A row for each method and kind of input, the best first."""
        aurocs = [-one.value for one in self.results["AUROC"]]
        ordered = self.results.iloc[np.argsort(aurocs, kind="stable")]
        ordered = ordered.assign(AUROC=[str(one) for one in ordered["AUROC"]])
        return ordered.reset_index(drop=True)

    def findings(self) -> list[str]:
        """Where Deep SAD ranks among the shallow methods."""
        deep, others = self.results["AUROC"][0], self.results[1:]
        best = others.iloc[int(np.argmax([one.value for one in others["AUROC"]]))]
        other = best["AUROC"]
        overlap = deep.low <= other.high and other.low <= deep.high
        order = "as high as" if deep.value == other.value else "below"
        if deep.value > other.value:
            order = "above"
        return [
            f"Deep SAD's AUROC {deep} is {order} that of the best shallow method, "
            f"{best['method']} on the {best['input']} ({other}); the intervals "
            f"{'overlap' if overlap else 'do not overlap'}."
        ]


def compare_baselines(
    assessment: SampleAssessment, *, quantile: float = 0.95, seed: int = 0
) -> Baselines:
    """Shallow methods on the samples as they are and on the autoencoder's code, beside Deep SAD.

    What needs known anomalies is left out where there are none, and the code without pretraining.

    Parameters
    ----------
    assessment : SampleAssessment
    quantile : float
        Share of the normal validation samples that the simplest one lets pass.
    seed : int

    Returns
    -------
    Baselines
    """
    category, detector = assessment.category, assessment.detector
    train, test = category.train.images, category.test
    inputs = {"samples": (train, test.images)}
    if detector.pretrain:
        code = detector.autoencoder_features
        inputs["autoencoder's code"] = (code(train), code(test.images))
    first = {"method": "Deep SAD", "input": "samples", "AUROC": assessment.detection.auroc}
    rows: list[dict[str, Any]] = [first | {"chosen": "", "chosen by": ""}]
    flags = None
    with stage("baselines"):
        for method in SHALLOW_METHODS:
            if method == "supervised_svm" and not (category.known < 0).any():
                continue
            for name, (fitted_on, tested_on) in inputs.items():
                model = fit_shallow(method, fitted_on, category.known, seed=seed)
                scores = model.score(tested_on)
                if f"{_TITLES[method]} on the {name}" == SIMPLEST:
                    flags = scores > sample_threshold(model.score, category, quantile)[1].value
                auroc = auroc_estimate(scores, test.labels, test.types, seed=seed)
                chosen = ", ".join(f"{one} {value:.3g}" for one, value in model.chosen.items())
                rows.append(
                    {
                        "method": _TITLES[method],
                        "input": name,
                        "AUROC": auroc,
                        "chosen": chosen,
                        "chosen by": model.rule,
                    }
                )
    return Baselines(pd.DataFrame(rows), flags)
