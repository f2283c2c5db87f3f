"""Results folders with summaries whose figures are planted."""

import json

import numpy as np
import pandas as pd
import pytest

from adhelpers.reports.summary import SUMMARY_KEYS, write_summary

FRAME = {"image_size": [64, 64], "crop": "none", "margin": 0.05, "pose": "none"}
RULE = "0.95 quantile of 16 good validation scores"


class Results:
    """A results folder to which runs are added."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, detector, category, auroc, *, seed=0, name="", notebook="05_ocsvm", **parts):
        """Write a run's ``summary.json``; ``parts`` replace what it would say by itself."""
        where = f"{category}@{name or f'{detector}-{seed}'}"
        file = parts.pop("file", "summary.json")
        folder = self.folder / notebook / where
        folder.mkdir(parents=True, exist_ok=True)
        data = {
            "counts": {},
            "fingerprint": f"{category}-{seed}",
            "root": None,
            "files": {"test": f"{category} test", "train": f"{category} train"},
            "settings": FRAME | {"seed": seed, "validation_fraction": 0.2},
            "remarks": [],
        }
        for key in ("files", "settings"):
            if key in parts:
                data[key] = parts.pop(key)
        summary = {
            "notebook": notebook,
            "category": category,
            "name": where,
            "detector": detector,
            "parameters": {"epochs": 3, "seed": seed, "category": category, "results": "x"},
            "seed": seed,
            "data": data,
            "image_auroc": {
                "value": auroc,
                "low": max(0, auroc - 0.1),
                "high": min(1, auroc + 0.1),
            },
            "threshold": {"value": 1.0, "rule": RULE, "uses_test_labels": False},
            "confusion": {"tp": 6, "fp": 1, "tn": 9, "fn": 2},
            "trust_adjusted_recall": 0.5,
            "verdicts": {"right reason": 4, "wrong reason": 2, "missed": 2},
            "seconds": {"training": 2.5, "audit": 1.5},
            "peak_memory": 300 * 2**20,
        }
        write_summary(folder / file, dict.fromkeys(SUMMARY_KEYS) | summary | parts)
        return folder

    def scores(self, folder, scores, labels, file="samples.csv"):
        """Write the scores of a run's images."""
        names = [f"test/{index}.png" for index in range(len(scores))]
        frame = pd.DataFrame({"name": names, "type": "x", "label": labels, "score": scores})
        frame.to_csv(folder / file, index=False)

    def change(self, folder, **parts):
        """Replace parts of a summary without any check."""
        path = folder / "summary.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | parts))


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results")


@pytest.fixture
def planted(results):
    """Four detectors on five categories with two seeds each, always in the same order.

    The mean of "best" is 0.95 less what a category is harder, of "good", "fair" and "poor" 0.05
    less each; seeds lie 0.01 to both sides.
    """
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [12, 18])
    for index, category in enumerate(["bolt", "cable", "grid", "pill", "tile"]):
        for place, detector in enumerate(["best", "good", "fair", "poor"]):
            for seed in (0, 1):
                auroc = 0.95 - 0.05 * place - 0.02 * index + (0.01 if seed else -0.01)
                folder = results.add(detector, category, round(auroc, 3), seed=seed)
                shift = 4 - place
                results.scores(folder, random.normal(size=30) + shift * labels, labels)
    return results
