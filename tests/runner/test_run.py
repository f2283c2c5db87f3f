"""A run from inside its notebook: parameters, folder, figures, seconds, summary."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import platformdirs
import pytest
from matplotlib import pyplot

from adhelpers._shared.stages import stage
from adhelpers.data.remarks import Remark
from adhelpers.metrics import Threshold
from adhelpers.reports import SUMMARY_KEYS
from adhelpers.runner import start_run


@pytest.fixture
def run(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ADHELPERS_RUN_FOLDER", raising=False)
    parameters = {
        "category": "nut",
        "seed": 4,
        "rate": 0.5,
        "sizes": (1, 2),
        "results": str(tmp_path / "results"),
    }
    return start_run("01_screw", parameters | {"np": np, "later": 3})


def test_a_run_knows_its_parameters_and_makes_its_folder(run, tmp_path):
    assert (
        run.folder == run.destination == tmp_path / "results" / "01_screw" / "nut"
        and run.folder.is_dir()
    )
    assert run.parameters == {
        "category": "nut",
        "seed": 4,
        "rate": 0.5,
        "sizes": (1, 2),
        "results": str(tmp_path / "results"),
    }
    assert (run.seed, run.results, run.models.name) == (4, tmp_path / "results", "models")


def test_a_renamed_copy_takes_the_plain_public_values(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = start_run(
        "my_copy", {"seed": 1, "results": str(tmp_path), "np": np, "_i": "x", "layer": None}
    )
    assert run.parameters == {"seed": 1, "results": str(tmp_path), "layer": None}
    assert run.folder == tmp_path / "my_copy" / "default"


def test_a_batch_run_writes_to_the_folder_it_was_given(tmp_path, monkeypatch):
    monkeypatch.setenv("ADHELPERS_RUN_FOLDER", str(tmp_path / "staged"))
    run = start_run("my_copy", {"results": str(tmp_path / "results")})
    assert (
        run.folder == tmp_path / "staged"
        and run.destination == tmp_path / "results" / "my_copy" / "default"
    )


@pytest.mark.parametrize("category", ["..", "a/b", "", "a\\b", "/", 3])
def test_a_category_cannot_lead_out_of_the_results(tmp_path, category):
    with pytest.raises(ValueError, match="category must be the name of a folder"):
        start_run("x", {"category": category, "results": str(tmp_path)})


def test_a_named_run_has_a_folder_of_its_own_and_says_its_name(tmp_path, monkeypatch):
    monkeypatch.delenv("ADHELPERS_RUN_FOLDER", raising=False)
    monkeypatch.setenv("ADHELPERS_RUN_NAME", "seed-1")
    run = start_run("x", {"category": "nut", "results": str(tmp_path), "models": "m"})
    assert run.folder == run.destination == tmp_path / "x" / "nut@seed-1"
    assert (run.category, run.models) == ("nut", Path("m"))
    summary = run.summary()
    assert (summary["category"], summary["name"]) == ("nut", "seed-1")
    monkeypatch.setenv("ADHELPERS_RUN_NAME", "")
    assert start_run("x", {"category": "nut", "results": str(tmp_path)}).summary()["name"] is None


@pytest.mark.parametrize(
    "name", ["..", "a/b", "a\\b", " ", "a@b", ".a", "-a", "ü", "a\n", "x" * 61]
)
def test_a_name_cannot_lead_out_of_the_results(tmp_path, monkeypatch, name):
    monkeypatch.setenv("ADHELPERS_RUN_NAME", name)
    with pytest.raises(ValueError, match="name must be at most 60 letters"):
        start_run("x", {"category": "nut", "results": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_without_a_category_the_data_set_names_the_folder(tmp_path):
    given = {"dataset": "digits", "results": str(tmp_path)}
    assert start_run("x", {**given, "category": ""}).folder == tmp_path / "x" / "digits"
    assert start_run("x", {**given, "category": "screw"}).folder == tmp_path / "x" / "screw"
    with pytest.raises(ValueError, match="category must be the name of a folder"):
        start_run("x", {"dataset": "../digits", "category": "", "results": str(tmp_path)})


def test_a_run_counts_the_seconds_of_its_own_stages(run, tmp_path):
    with stage("training"):
        pass
    assert list(run.seconds) == list(run.seconds_table().index) == ["training"]
    assert start_run("x", {"results": str(tmp_path)}).seconds == {}


def test_stage_times_add_up_also_when_the_body_fails(run):
    for _ in range(2):
        with stage("training"):
            time.sleep(0.02)
    with pytest.raises(KeyError), stage("audit"):
        raise KeyError("x")
    assert 0.04 <= run.seconds["training"] < 1 and "audit" in run.seconds


def test_a_figure_is_saved_closed_and_returned(run):
    figure, axes = pyplot.subplots()
    axes.plot([1, 2])
    assert run.figure(figure, "score separation") is figure
    assert (run.folder / "figures" / "score separation.png").read_bytes().startswith(b"\x89PNG")
    assert not pyplot.fignum_exists(figure.number)
    with pytest.raises(ValueError, match="plain file name"):
        run.figure(figure, "../up")


def test_the_summary_has_every_key_and_plain_values(run):
    split = SimpleNamespace(types=np.array(["good", "crack", "good"]))
    data = SimpleNamespace(
        train=split,
        validation=split,
        test=split,
        fingerprint="abc",
        files={"test": "def"},
        settings={"image_size": [64, 64]},
        root=Path("images"),
        remarks=(Remark("stray_file", tuple(f"{i}.txt" for i in range(30)), "30 files"),),
    )
    with stage("training"):
        pass
    run.summary(
        detector="subspace",
        data=data,
        threshold=Threshold(0.5, "normal quantile 0.95", False),
        image_auroc={"value": 1.0, "low": 0.9, "high": np.nan},
        confusion={"tp": np.int64(3), "fp": 0, "tn": 1, "fn": 0},
        jaccard={"LIME": {"mean": np.float32(0.5)}},
    )
    summary = json.loads((run.folder / "summary.json").read_text())
    assert tuple(summary) == SUMMARY_KEYS
    assert summary["threshold"] == {
        "value": 0.5,
        "rule": "normal quantile 0.95",
        "uses_test_labels": False,
    }
    assert summary["image_auroc"] == {"value": 1.0, "low": 0.9, "high": None}
    assert (
        summary["data"]["counts"]["test"] == {"crack": 1, "good": 2}
        and summary["data"]["fingerprint"] == "abc"
    )
    assert (summary["category"], summary["seed"], summary["parameters"]["sizes"]) == (
        "nut",
        4,
        [1, 2],
    )
    assert summary["data"]["remarks"] == [
        {
            "kind": "stray_file",
            "count": 30,
            "files": [f"{i}.txt" for i in range(20)],
            "sentence": "30 files",
        }
    ]
    assert summary["data"]["files"] == {"test": "def"}
    assert summary["data"]["settings"] == {"image_size": [64, 64]}
    assert list(summary["seconds"]) == ["training"] and summary["aupro"] is None
    assert summary["aupimo"] is None and summary["peak_memory"] > 10_000_000
    assert summary["data"]["root"] == str(Path("images").resolve()) and summary["models"] is None


def test_the_summary_says_where_images_and_models_are(run, tmp_path):
    parts = {name: SimpleNamespace(types=[]) for name in ("train", "validation", "test")}
    root = Path(platformdirs.user_cache_dir("adhelpers")) / "rendered" / "0a1b"
    data = SimpleNamespace(**parts, fingerprint="abc", root=root, remarks=(), files={}, settings={})
    stored = SimpleNamespace(folder=run.models / "nut" / "subspace" / "12ab")
    summary = run.summary(data=data, models=[stored, tmp_path / "mine"])
    assert summary["data"]["root"] == "rendered/0a1b"
    assert summary["models"] == ["nut/subspace/12ab", str(tmp_path / "mine")]
    given = run.summary(data={"counts": {}, "fingerprint": "a"})["data"]
    assert given["root"] is None and given["files"] is None and given["remarks"] == []
    with pytest.raises(ValueError, match="models must be stored detectors"):
        run.summary(models=[SimpleNamespace(folder=None)])


def test_a_second_detector_gets_a_summary_of_its_own(run):
    run.summary(file="summary_subspace.json", detector="subspace")
    assert (run.folder / "summary_subspace.json").exists() and not (
        run.folder / "summary.json"
    ).exists()
    with pytest.raises(ValueError, match="file must be"):
        run.summary(file="../summary.json")
    frame = pd.DataFrame({"name": ["a.png"], "score": [0.5]})
    assert run.samples(frame, "samples_subspace.csv") is frame
    assert (run.folder / "samples_subspace.csv").read_text() == "name,score\na.png,0.5\n"
    with pytest.raises(ValueError, match=r"samples: file must be samples.csv or samples_"):
        run.samples(frame, "../samples.csv")


@pytest.mark.parametrize(
    "parts, problem",
    [
        ({"auroc": 1}, "auroc cannot be given"),
        ({"seconds": {}}, "seconds cannot be given"),
        ({"image_auroc": 0.9}, "value, low, high"),
        ({"confusion": {"tp": 1}}, "tp, fp, tn, fn"),
        ({"chance": {"a": object()}}, "chance.a is a object"),
    ],
)
def test_a_wrong_summary_is_refused_and_not_written(run, parts, problem):
    with pytest.raises(ValueError, match=problem):
        run.summary(**parts)
    assert not (run.folder / "summary.json").exists()


def test_versions_table_holds_seed_and_parameters(run):
    table = run.versions_table()
    assert table.loc["seed", "value"] == 4 and table.loc["parameter rate", "value"] == "0.5"
    assert table.loc["numpy", "value"] == np.__version__


def test_tables_of_a_run_are_not_cut_short(tmp_path):
    long = pd.DataFrame({"rule": [40 * "word " + "end"]}, index=["only"])
    with pd.option_context("display.max_colwidth", 50, "display.max_rows", 60):
        assert "..." in long._repr_html_()
        start_run("x", {"category": "screw", "results": str(tmp_path)})
        assert long["rule"].iloc[0] in long._repr_html_()
        assert "..." not in pd.DataFrame({"row": range(100)})._repr_html_()
