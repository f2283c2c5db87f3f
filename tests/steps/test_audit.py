"""The audit in one call: what it holds, and what it writes of a run."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from adhelpers.runner import start_run
from adhelpers.steps import (
    Effort,
    ExplainerSettings,
    assess_detector,
    audit_explained,
    audit_localization,
    audit_trust,
    explain_detector,
    find_shortcuts,
)

QUICK = ExplainerSettings(num_segments=8, lime_samples=17, shap_evaluations=16, good_explained=2)


@pytest.fixture(scope="module")
def explanations(assessed):
    return explain_detector(assessed, QUICK, show_progress=False)


@pytest.fixture(scope="module")
def audit(assessed, explanations):
    return audit_explained(assessed, explanations, cutoff=0.2, show_progress=False)


@pytest.fixture(scope="module")
def bare_audit(bare, detector, explanations):
    one = assess_detector("subspace", detector, bare)
    return audit_explained(one, explanations, show_progress=False)


def test_one_call_is_what_the_single_steps_are(assessed, explanations, audit):
    located = audit_localization(assessed, explanations.test, cutoff=0.2)
    trusted = audit_trust(assessed, explanations.test, explanations.good, show_progress=False)
    pd.testing.assert_frame_equal(audit.localization.table(), located.table())
    pd.testing.assert_frame_equal(audit.table(), trusted.table())
    np.testing.assert_array_equal(audit.verdicts, trusted.verdicts["smallest repair"])
    assert audit.findings() == located.findings() + trusted.findings()


def test_an_audit_can_leave_out_curves_and_repairs_of_good_surface(assessed, explanations):
    options = {"effort": Effort(3, curves=("SHAP",)), "show_progress": False}
    trust = audit_explained(assessed, explanations, **options).trust
    assert list(trust.curves.deletion) == ["SHAP"] and trust.repair.settings.control_draws == 3


def test_the_most_instructive_strips_say_their_verdict(audit):
    strips = audit.instructive(3)
    assert list(strips) == ["strip-1", "strip-2", "strip-3"]
    words = [text.get_text() for text in strips["strip-1"].texts]
    assert any(verdict in " ".join(words) for verdict in set(audit.verdicts))


def test_all_figures_have_a_file_name(audit, bare_audit):
    names = [
        "lime-against-shap",
        "score-against-jaccard",
        "deletion-insertion",
        "photographs",
    ]
    assert list(audit.figures()) == list(bare_audit.figures()) == names


def test_a_run_gets_its_gallery_samples_and_summaries(assessed, audit, hazelnuts, tmp_path):
    run = start_run(
        "test",
        {"category": "hazelnut", "seed": 0, "results": str(tmp_path), "models": str(tmp_path)},
    )
    shortcuts = find_shortcuts(hazelnuts)
    samples = audit.write(
        run,
        shortcuts,
        tables={"Detectors": assessed.table()},
        notes=["a note"],
        others={"other": dataclasses.replace(assessed, title="other")},
        columns={"more": np.arange(12)},
    )
    page = (run.folder / "gallery.html").read_text()
    assert page.count("<article") == 12 and "a note" in page and "Verdicts" in page
    stored = pd.read_csv(run.folder / "samples.csv")
    assert list(stored) == list(samples)
    assert list(stored)[6:] == [
        "optimal_jaccard_lime",
        "optimal_jaccard_shap",
        "optimal_jaccard_residual_map",
        "optimal_jaccard_uniform",
        "optimal_jaccard_centre_prior",
        "optimal_jaccard_noise",
        "optimal_jaccard_smallest_repair",
        "repair_area",
        "repair_score",
        "r2_lime",
        "verdict",
        "more",
    ]
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary["detector"] == "subspace" and summary["chance"]["SHAP"]["images"] == 8
    assert (
        summary["shortcut"]
        == json.loads((run.folder / "summary_other.json").read_text())["shortcut"]
    )
    assert sum(summary["verdicts"].values()) == 12
    other = pd.read_csv(run.folder / "samples_other.csv")
    assert list(other) == list(stored)[:6] and other["score"].equals(stored["score"])


def test_without_masks_nothing_is_claimed_of_defects(bare_audit):
    assert bare_audit.wrong_place_table().empty and bare_audit.table()["mean"].isna().all()
    assert any("stays unknown" in one for one in bare_audit.findings())
    assert bare_audit.summary_parts()["jaccard"] is None
    assert (
        bare_audit.samples()["verdict"]
        .isin(["flagged, unverified", "missed", "false alarm", "passed"])
        .all()
    )
