"""Anyone's detector in one call: three lines from a function to a report."""

import json

import numpy as np
import pandas as pd
import pytest

from adhelpers.reports import write_index
from adhelpers.steps import ExplainerSettings, audit_detector

QUICK = ExplainerSettings(8, 17, 16, good_explained=1)


@pytest.fixture(scope="module")
def report(hazelnuts):
    normal = hazelnuts.train.images.mean(axis=0)

    def difference(images):
        return np.abs(images - normal).mean(axis=-1)

    return audit_detector(
        hazelnuts, anomaly_map=difference, title="mean", settings=QUICK, show_progress=False
    )


def test_the_report_says_the_answer_and_a_verdict_for_each_image(report, hazelnuts):
    assert report.answer.startswith("Not enough images to say: an answer needs 10 test images")
    assert len(report.verdicts) == len(hazelnuts.test)
    assert report.table()["all"].sum() == len(hazelnuts.test)
    said = " ".join(report.findings())
    assert "light and pose are not corrected" in said and "A defect is repaired with" in said
    assert report.assessment.title == "mean"


def test_the_report_is_saved_as_a_run_leaves_it_and_gets_a_row_of_the_index(report, tmp_path):
    folder = tmp_path / "results" / "mine" / "hazelnut"
    page = report.save(folder)
    left = {path.name for path in folder.iterdir()}
    assert page == folder / "report.html"
    assert {"gallery.html", "samples.csv", "summary.json", "figures"} <= left
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["detector"] == "mean" and summary["answer"]["answer"] in page.read_text()
    assert sum(summary["verdicts"].values()) == len(report.verdicts)
    samples = pd.read_csv(folder / "samples.csv")
    assert samples["verdict"].tolist() == report.verdicts.tolist()
    assert "mean" in write_index(tmp_path / "results").read_text()


def test_a_detector_that_cannot_be_used_is_refused(hazelnuts):
    with pytest.raises(ValueError, match="give a detector, or the functions"):
        audit_detector(hazelnuts)
    with pytest.raises(ValueError, match="counterpart must be one of auto"):
        audit_detector(
            hazelnuts, score=lambda images: images.mean(axis=(1, 2, 3)), counterpart="best"
        )
