"""Runs that were already made are found again, and their explanations audited in one table."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from adhelpers.data import Corrections, load_category, rendered_root
from adhelpers.detectors import DeepSAD, Subspace, fit_or_load
from adhelpers.explainers import explain_images, residual_map
from adhelpers.reports import write_summary
from adhelpers.reports.summary import SUMMARY_KEYS
from adhelpers.steps import all_runs as house

LOADING = {
    "image_height": 48,
    "image_width": 24,
    "color": "grayscale",
    "illumination": "background",
    "pose": "axis",
    "crop": "object",
    "validation_fraction": 0.2,
    "seed": 0,
}
QUICK = DeepSAD(
    plan=replace(DeepSAD.default_plan(), epochs=5, batch_size=16),
    pretraining=replace(DeepSAD.default_pretraining(), epochs=2, batch_size=16),
)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A cache with two renderings, a run on one of them, and its trained detectors."""
    folder = tmp_path_factory.mktemp("house")
    for seed in (0, 1):
        root = rendered_root(
            "screw",
            folder / "cache",
            image_size=96,
            train_count=24,
            test_good_count=5,
            defect_count=3,
            seed=seed,
        )
        category = load_category(
            root,
            "screw",
            image_size=(48, 24),
            corrections=Corrections(**{name: LOADING[name] for name in house._CORRECTIONS}),
            **{name: LOADING[name] for name in house._LOADING},
        )
        if seed == 0:
            chosen = category
    for parameters in ({"n_components": 4}, {"n_components": 3}):
        detector = fit_or_load(Subspace(**parameters), chosen, folder / "models")
        if parameters["n_components"] == 4:
            explain_images(
                residual_map,
                None,
                chosen.test.images[:1],
                chosen.test.images[:1],
                show_progress=False,
                store=detector.folder / "explanations",
            )
    # A detector of other images must not be taken for one of these.
    fit_or_load(Subspace(n_components=2), category, folder / "models")
    counts = {
        split: {
            kind: int((getattr(chosen, split).types == kind).sum())
            for kind in set(getattr(chosen, split).types)
        }
        for split in ("train", "validation", "test")
    }
    summary = dict.fromkeys(SUMMARY_KEYS) | {
        "notebook": "01_screw",
        "category": "screw",
        "seed": 0,
        "data": {"counts": counts, "fingerprint": chosen.fingerprint},
        "parameters": LOADING
        | {
            "data_root": "",
            "smoothing": 1.0,
            "shap_evaluations": 32,
            "lime_samples": 64,
            "num_segments": 16,
        },
    }
    write_summary(folder / "results" / "01_screw" / "screw" / "summary.json", summary)
    return folder, chosen


def test_a_run_is_found_with_its_images_and_its_detectors(places):
    folder, category = places
    runs, sentences = house.find_runs(folder / "results", folder / "models", cache=folder / "cache")
    (run,) = runs
    assert run.notebook == "01_screw" and run.category.fingerprint == category.fingerprint
    # Of two subspaces the one with explanations.
    assert list(run.detectors) == ["subspace"] and sentences == [
        "01_screw on screw: found with subspace."
    ]
    assert run.detectors["subspace"].parameters["n_components"] == 4


def test_runs_that_cannot_be_used_say_why(places, tmp_path):
    folder, category = places
    summary = json.loads((folder / "results" / "01_screw" / "screw" / "summary.json").read_text())

    def found(change, models=folder / "models", **options):
        write_summary(
            tmp_path / "01_screw" / "screw" / "summary.json",
            change(json.loads(json.dumps(summary))),
        )
        return house.find_runs(tmp_path, models, cache=folder / "cache", **options)

    def other_images(one):
        one["data"]["fingerprint"] = "0" * 64
        return one

    def missing_folder(one):
        one["parameters"]["data_root"] = str(tmp_path / "gone")
        return one

    assert found(other_images) == (
        [],
        ["01_screw on screw: not used, since its images are not what they were."],
    )
    assert "cannot be loaded again" in found(missing_folder)[1][0]
    assert "no detector of these images" in found(lambda one: one, tmp_path / "none")[1][0]
    assert found(lambda one: one, skip=("01_screw",)) == (
        [],
        ["No run of another notebook was found."],
    )
    (tmp_path / "01_screw" / "screw" / "summary.json").write_text("{")
    assert "cannot be loaded again" in house.find_runs(tmp_path, folder / "models")[1][0]


def test_the_table_has_a_row_for_each_detector_and_explainer(places):
    folder, _ = places
    runs, _ = house.find_runs(folder / "results", folder / "models", cache=folder / "cache")
    audit = house.audit_house(
        runs,
        folder / "models",
        explainers=("SHAP", "occlusion", "residual map", "GradCAM"),
        labelled_share=0.2,
        detector=QUICK,
        show_progress=False,
    )
    table = audit.table
    # A subspace has no layers, so GradCAM has no row.
    assert table["explainer"].tolist() == ["SHAP", "occlusion", "residual map"]
    assert ((table["J*"] >= 0) & (table["J*"] <= 1)).all() and (
        table["trust-adjusted recall"] <= table["recall"]
    ).all()
    assert table["image AUROC"].str.contains("[", regex=False).all()
    assert (
        table["explanations"].sum() > 3 and table["flagged explanations"].str.contains(" of ").all()
    )
    flagged = sum(int(text.split(" of ")[0]) for text in table["flagged explanations"])
    assert abs(flagged - 0.15 * table["explanations"].sum()) <= 1.5
    assert (
        len(audit.sentences) == 1
        and f"flags {flagged}, " in audit.sentences[0]
        and "little can be learned" in audit.sentences[0]
    )
    # Explanations are stored with their detector and found again.
    files = sum(1 for _ in (folder / "models").rglob("explanations/*.npz"))
    house.audit_house(
        runs,
        folder / "models",
        explainers=("SHAP", "occlusion", "residual map"),
        labelled_share=0.2,
        detector=QUICK,
        show_progress=False,
    )
    assert files == sum(1 for _ in (folder / "models").rglob("explanations/*.npz"))


def test_fewer_images_keep_every_type(places):
    _, category = places
    part = house._spread(category, 8)
    assert (
        len(part.test) == 8
        and set(part.test.types) == set(category.test.types)
        and house._spread(category, 0) is category
    )
    np.testing.assert_array_equal(part.train.images, category.train.images)


def test_a_damaged_detector_is_left_out(places, tmp_path):
    _, category = places
    for components in (2, 3):
        detector = fit_or_load(Subspace(n_components=components), category, tmp_path)
    assert house.stored_detectors(category, tmp_path)["subspace"].parameters["n_components"] == 3
    for file in detector.folder.glob("*.skops"):
        file.write_bytes(b"damaged")
    assert house.stored_detectors(category, tmp_path)["subspace"].parameters["n_components"] == 2


def test_what_is_missing_is_trained_right_there(places, tmp_path):
    _, category = places
    run = house.stand_in(category.root, tmp_path, image_size=(48, 24))
    assert list(run.detectors) == ["subspace"] and len(list(tmp_path.rglob("manifest.json"))) == 1
    # The smoothing is a score's affair, so that this is the detector that a run with these images
    # would have.
    assert set(house.stored_detectors(run.category, tmp_path)) == {"subspace"}


def test_the_latest_runs_come_first(places, tmp_path):
    folder, _ = places
    summary = json.loads((folder / "results" / "01_screw" / "screw" / "summary.json").read_text())
    for age, notebook in enumerate(("04_cae", "01_screw", "03_anogan")):
        path = tmp_path / notebook / "screw" / "summary.json"
        write_summary(path, summary | {"notebook": notebook})
        os.utime(path, (1000 - age, 1000 - age))
    runs, _ = house.find_runs(tmp_path, folder / "models", most=2, cache=folder / "cache")
    assert [run.notebook for run in runs] == ["04_cae", "01_screw"]
    everything, _ = house.find_runs(tmp_path, folder / "models", cache=folder / "cache")
    assert [run.notebook for run in everything] == ["01_screw", "03_anogan", "04_cae"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"explainers": ("lime",)}, "explainers must be among SHAP, LIME"),
        ({"explainers": ()}, "explainers must be among"),
        ({"labelled_share": 0}, "labelled_share must lie between"),
        ({"flagged_share": 1}, "flagged_share must lie between"),
    ],
)
def test_bad_arguments(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        house.audit_house([], tmp_path, **options)
