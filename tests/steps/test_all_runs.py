"""Stored runs are found again, and their explanations audited in one table."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from adhelpers.data import load_category, rendered_root, root_name
from adhelpers.detectors import (
    AnoGAN,
    DeepSAD,
    EncoderPlan,
    GanScore,
    GanSettings,
    Subspace,
    fit_or_load,
)
from adhelpers.explainers import explain_images, residual_map
from adhelpers.metrics import share_estimate
from adhelpers.reports import write_summary
from adhelpers.reports.summary import SUMMARY_KEYS
from adhelpers.steps import ExplainerSettings, all_runs, assess_detector, explain_detector
from adhelpers.steps.all_runs import audit_runs, find_runs, stand_in
from adhelpers.steps.objects import loading_options
from adhelpers.training import TrainingPlan

LOADING = {
    "image_height": 64,
    "image_width": 32,
    "color": "grayscale",
    "illumination": "background",
    "pose": "axis",
    "crop": "object",
    "validation_fraction": 0.2,
    "seed": 0,
}
BUDGETS = {"smoothing": 1.0, "shap_evaluations": 32, "lime_samples": 64, "num_segments": 16}
QUICK = DeepSAD(
    plan=replace(DeepSAD.default_plan(), epochs=5, batch_size=16),
    pretraining=replace(DeepSAD.default_pretraining(), epochs=2, batch_size=16),
)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder with a cache, a run on rendered images, and its two trained detectors."""
    folder = tmp_path_factory.mktemp("runs")
    counts = {"image_size": 96, "train_count": 24, "test_good_count": 5, "defect_count": 3}
    root = rendered_root("screw", folder / "cache", **counts)
    category = load_category(root, "screw", **loading_options(LOADING))
    detectors = [
        fit_or_load(Subspace(n_components=components), category, folder / "models")
        for components in (8, 3)
    ]
    some = category.test.images[:1]
    store = detectors[0].folder / "explanations"
    explain_images(residual_map, None, some, some, show_progress=False, store=store)
    parts = {split: getattr(category, split).types for split in ("train", "validation", "test")}
    summary = dict.fromkeys(SUMMARY_KEYS) | {
        "notebook": "01_screw",
        "category": "screw",
        "seed": 0,
        "data": {
            "counts": {
                split: {str(kind): int((types == kind).sum()) for kind in set(types)}
                for split, types in parts.items()
            },
            "fingerprint": category.fingerprint,
            "root": root_name(root, folder / "cache"),
        },
        "models": [one.folder.relative_to(folder / "models").as_posix() for one in detectors],
        "parameters": LOADING | BUDGETS | {"data_root": ""},
    }
    write_summary(folder / "results" / "01_screw" / "screw" / "summary.json", summary)
    return folder, category


def found_in(folder, **options):
    return find_runs(folder / "results", folder / "models", cache=folder / "cache", **options)


def test_a_run_is_found_with_its_images_and_its_detectors(places):
    folder, category = places
    runs = found_in(folder)
    (run,) = runs
    assert run.notebook == "01_screw" and run.category.fingerprint == category.fingerprint
    # Of two subspaces the one with explanations.
    assert list(run.detectors) == ["subspace"]
    assert run.detectors["subspace"].n_components == 8
    other = run.left_out.popitem()[0]
    assert other.startswith("subspace/") and str(run.detectors["subspace"].folder) not in other
    assert runs.findings() == [
        f"01_screw on screw: found with subspace; left out: {other} (another subspace has more "
        "stored explanations or comes later)."
    ]
    assert runs.table()["detectors"].tolist() == ["subspace"]


def test_a_named_run_is_found_beside_the_other(places, tmp_path):
    folder, _ = places
    summary = json.loads((folder / "results" / "01_screw" / "screw" / "summary.json").read_text())
    for place, name in (("screw", None), ("screw@seed-1", "seed-1")):
        file = tmp_path / "01_screw" / place / "summary.json"
        write_summary(file, summary | {"name": name})
    del summary["name"]
    (tmp_path / "01_screw" / "screw" / "summary.json").write_text(json.dumps(summary))
    table = find_runs(tmp_path, folder / "models", cache=folder / "cache").table()
    assert table["notebook"].tolist() == ["01_screw", "01_screw (seed-1)"]
    assert table["category"].tolist() == ["screw", "screw"]


def test_runs_that_cannot_be_used_say_why(places, tmp_path):
    folder, _ = places
    summary = json.loads((folder / "results" / "01_screw" / "screw" / "summary.json").read_text())

    def told(stored=folder / "models", **changes):
        file = tmp_path / "01_screw" / "screw" / "summary.json"
        write_summary(file, summary | changes)
        runs = find_runs(tmp_path, stored, cache=folder / "cache")
        assert not len(runs)
        return runs.findings()

    data = summary["data"]
    assert told(data=data | {"fingerprint": "0" * 64}) == [
        "01_screw on screw: not used, since its images are not what they were."
    ]
    assert "cannot be loaded again" in told(data=data | {"root": str(tmp_path / "gone")})[0]
    assert "none of its detectors can be loaded" in told(tmp_path / "none")[0]
    # As earlier versions wrote it.
    old = {name: value for name, value in data.items() if name != "root"}
    [sentence] = told(data=old, models=None)
    assert "does not say data.root and models" in sentence and "run the notebook again" in sentence
    assert "does not say models" in told(models=[])[0]
    (tmp_path / "01_screw" / "screw" / "summary.json").write_text("{")
    assert "summary.json is not valid JSON" in find_runs(tmp_path, folder / "models").findings()[0]
    skipped = found_in(folder, skip=("01_screw",))
    assert not len(skipped) and skipped.findings() == ["No run of another notebook was found."]


def test_the_table_has_a_row_for_each_detector_and_explainer(places):
    folder, _ = places
    runs, options = found_in(folder), {"labelled_share": 0.2, "detector": QUICK}
    audit = audit_runs(
        runs,
        folder / "models",
        explainers=("SHAP", "occlusion", "residual map", "GradCAM"),
        show_progress=False,
        **options,
    )
    table = audit.table()
    # A subspace has no layers, so GradCAM has no row.
    assert table["explainer"].tolist() == ["SHAP", "occlusion", "residual map"]
    assert ((table["J*"] >= 0) & (table["J*"] <= 1)).all()
    recalls = [
        [float(text.split(" ")[0]) for text in table[name]]
        for name in ("trust-adjusted recall", "recall")
    ]
    assert all(trusted <= found for trusted, found in zip(*recalls, strict=True))
    (run,) = runs
    defective = run.category.test.labels == 1
    flags = assess_detector("subspace", run.detectors["subspace"], run.category).flags
    expected = f"{share_estimate(flags[defective].sum(), defective.sum()):.2f}"
    assert set(table["recall"]) == {expected} and "[" in expected
    assert table["image AUROC"].str.contains("[", regex=False).all()
    assert (
        table["explanations"].sum() > 3 and table["flagged explanations"].str.contains(" of ").all()
    )
    flagged = sum(int(text.split(" of ")[0]) for text in table["flagged explanations"])
    assert abs(flagged - 0.15 * table["explanations"].sum()) <= 1.5
    sentence, absent = audit.findings()
    assert absent == "GradCAM does not apply to subspace, so it has no row there."
    assert set(table["test images"]) == {f"{len(run.category.test)} of {len(run.category.test)}"}
    assert f"flags {flagged} explanations" in sentence and "little can be learned" in sentence
    # Explanations are stored with their detector and found again.
    files = sum(1 for _ in (folder / "models").rglob("explanations/*.arrays"))
    audit_runs(
        runs,
        folder / "models",
        explainers=("SHAP", "occlusion", "residual map"),
        show_progress=False,
        **options,
    )
    assert files == sum(1 for _ in (folder / "models").rglob("explanations/*.arrays"))


def test_few_explained_images_change_neither_the_auroc_nor_the_flags_of_a_run(places):
    folder, _ = places
    (run,) = runs = found_in(folder)
    few = audit_runs(
        runs,
        folder / "models",
        explainers=("residual map",),
        most_images=6,
        labelled_share=0.2,
        detector=QUICK,
        show_progress=False,
    )
    whole = assess_detector("subspace", run.detectors["subspace"], run.category)
    (row,) = few.table().to_dict("records")
    assert row["test images"] == f"6 of {len(run.category.test)}"
    assert row["image AUROC"] == str(whole.detection.auroc)
    defective = run.category.test.labels == 1
    assert row["defects flagged"] == f"{whole.flags[defective].sum()} of {defective.sum()}"


def test_explanations_that_a_notebook_has_stored_are_found_again(places):
    folder, _ = places
    (run,) = found_in(folder)
    detector = run.detectors["subspace"]
    parameters = run.parameters | {"occlusion_window": 6, "good_explained": 0}
    names = ("SHAP", "LIME", "occlusion", "residual map")
    deep = assess_detector("linear subspace", detector, run.category)
    settings = ExplainerSettings.from_parameters(parameters)
    explain_detector(deep, settings, explainers=(*names, "noise"), show_progress=False)
    before = set(detector.folder.rglob("*.arrays"))
    run = replace(run, parameters=parameters)
    audit_runs(
        all_runs.FoundRuns([run]),
        folder / "models",
        explainers=names,
        labelled_share=0.2,
        detector=QUICK,
        show_progress=False,
    )
    assert before and set(detector.folder.rglob("*.arrays")) == before


def test_fewer_images_keep_every_type(places):
    _, category = places
    part = all_runs._spread(category, 8)
    assert (
        len(part.test) == 8
        and set(part.test.types) == set(category.test.types)
        and all_runs._spread(category, 0) is category
    )
    np.testing.assert_array_equal(part.train.images, category.train.images)


def test_a_damaged_detector_is_left_out(places, tmp_path):
    _, category = places
    folders = [
        fit_or_load(Subspace(n_components=components), category, tmp_path).folder
        for components in (2, 3)
    ]
    places = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    found, left_out = all_runs._load_detectors(folders)
    assert found["subspace"].n_components == 3 and list(left_out) == places[:1]
    for file in folders[1].glob("*.skops"):
        file.write_bytes(b"damaged")
    found, left_out = all_runs._load_detectors(folders)
    assert found["subspace"].n_components == 2 and list(left_out) == places[1:]
    assert "another" not in left_out[places[1]]


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_an_anogan_is_audited_without_its_search(tmp_path):
    images = np.random.default_rng(0).uniform(size=(8, 32, 32, 1)).astype("float32")
    detector = AnoGAN(
        gan=GanSettings(width=0.1, latent_dim=4),
        plan=TrainingPlan(1, batch_size=4),
        encoder=EncoderPlan(1),
        scoring=GanScore("smooth_max"),
    ).fit(images, images[:2], show_progress=False)
    detector.save(tmp_path / "anogan")
    (found,) = all_runs._load_detectors([tmp_path / "anogan"])[0].values()
    assert (found.search.start, found.search.steps) == ("encoder", 0)
    assert found.scoring == detector.scoring


def test_what_is_missing_is_trained_right_there(places, tmp_path):
    _, category = places
    runs = stand_in(tmp_path, root=category.root, image_size=(64, 32))
    (run,) = runs
    assert list(run.detectors) == ["subspace"] and len(list(tmp_path.rglob("manifest.json"))) == 1
    assert run.detectors["subspace"].folder.is_relative_to(tmp_path)
    assert "was trained here" in runs.findings()[0]


def test_the_latest_runs_come_first(places, tmp_path):
    folder, _ = places
    summary = json.loads((folder / "results" / "01_screw" / "screw" / "summary.json").read_text())
    for age, notebook in enumerate(("04_cae", "01_screw", "03_anogan")):
        path = tmp_path / notebook / "screw" / "summary.json"
        write_summary(path, summary | {"notebook": notebook})
        os.utime(path, (1000 - age, 1000 - age))
    runs = find_runs(tmp_path, folder / "models", most=2, cache=folder / "cache")
    assert [run.notebook for run in runs] == ["04_cae", "01_screw"]
    assert runs.findings()[-1] == ("Older runs: 1 not looked at, since the latest 2 are audited.")
    everything = find_runs(tmp_path, folder / "models", cache=folder / "cache")
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
        audit_runs(all_runs.FoundRuns(), tmp_path, **options)
