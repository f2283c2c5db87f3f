"""Summaries of runs that may be old, damaged or hostile."""

import json
import math

import pytest

from adhelpers.reports.leaderboard.runs import read_runs
from adhelpers.reports.summary import SUMMARY_KEYS

HOSTILE = "\x1b[2J\n\ud800<script>alert(1)</script>"


def test_a_summary_is_read_as_it_was_written(results):
    folder = results.add(
        "subspace",
        "bolt",
        0.9,
        seed=3,
        aupimo={"value": 0.25, "low": None, "high": None},
        shortcut={
            "name": "mean_brightness",
            "auroc": 0.2,
            "separability": 0.8,
            "significant": True,
            "outside_defects": True,
        },
    )
    (folder / "report.html").write_text("x")
    read = read_runs([results.folder])
    (run,) = read.runs
    assert (run.detector, run.category, run.notebook, run.seed) == (
        "subspace",
        "bolt",
        "05_ocsvm",
        3,
    )
    assert run.figures["image_auroc"] == 0.9 and run.figures["aupimo"] == 0.25
    assert run.figures["recall"] == 0.75 and math.isnan(run.figures["aupro"])
    assert run.intervals == {"image_auroc": (0.8, 1.0)}
    assert run.parameters == {"epochs": "3"}
    assert run.shortcut["name"] == "mean brightness" and run.shortcut["separability"] == 0.8
    assert run.seconds == 4 and run.peak_memory == 300 * 2**20
    assert run.data["test"] == "bolt test" and run.data["rule"] == (
        "0.95 quantile of good validation scores"
    )
    assert run.samples == folder.resolve() / "samples.csv" and read.problems == []


def test_every_detector_of_a_run_has_the_scores_beside_its_summary(results):
    folder = results.add("main", "bolt", 0.9, name="x")
    results.add("other", "bolt", 0.8, name="x", file="summary_other.json")
    runs = {run.detector: run for run in read_runs([results.folder]).runs}
    assert runs["other"].samples == folder.resolve() / "samples_other.csv"


def test_a_summary_of_an_earlier_version_is_read(results):
    folder = results.add("subspace", "bolt", 0.9)
    stored = json.loads((folder / "summary.json").read_text())
    for key in ("aupimo", "peak_memory"):
        del stored[key]
    for key in ("files", "settings"):
        del stored["data"][key]
    (folder / "summary.json").write_text(json.dumps(stored))
    (run,) = read_runs([results.folder]).runs
    assert math.isnan(run.peak_memory) and math.isnan(run.figures["aupimo"])
    assert run.data["test"] == run.data["frame"] == "fingerprint bolt-0"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        "\udcff",
        "[" * 100_000,
        "9" * 5_000,
        *(
            json.dumps(dict.fromkeys(SUMMARY_KEYS) | part)
            for part in (
                {"parameters": 3},
                {"seconds": {"a": "x"}},
                {"confusion": {}},
                {"confusion": {"tp": "1", "fn": 2}},
                {"confusion": {"tp": -1, "fn": 2}},
                {"image_auroc": 3},
                {"image_auroc": {"value": "x"}},
                {"image_auroc": {"value": 7.0}},
                {"detector": {"name": "x"}},
                {"seed": "x"},
                {"verdicts": {"missed": -1}},
                {"verdicts": [1]},
                {"shortcut": {"auroc": 0.5}},
                {"data": [1]},
                {"peak_memory": "much"},
            )
        ),
    ],
)
def test_a_damaged_summary_is_named_and_the_others_are_read(results, content):
    results.add("fine", "bolt", 0.9)
    damaged = results.add("other", "bolt", 0.8)
    (damaged / "summary.json").write_text(content, errors="surrogateescape")
    read = read_runs([results.folder])
    assert [run.detector for run in read.runs] == ["fine"]
    (problem,) = read.problems
    assert problem.startswith("05_ocsvm/bolt@other-0/summary.json: cannot be read as a summary")


def test_runs_without_a_summary_and_failed_ones_are_named(results):
    results.add("fine", "bolt", 0.9)
    for name, file in (("a", "report.html"), ("b", "05_ocsvm.failed.ipynb"), ("c", "notes.txt")):
        (results.folder / "05_ocsvm" / name).mkdir()
        (results.folder / "05_ocsvm" / name / file).write_text("x")
    read = read_runs([results.folder])
    assert len(read.runs) == 1
    assert read.problems == [
        "05_ocsvm/a/report.html: there is no summary.json beside it",
        "05_ocsvm/b/05_ocsvm.failed.ipynb: the last run failed; this notebook shows where",
    ]


def test_a_run_that_is_named_twice_counts_once(results):
    folder = results.add("fine", "bolt", 0.9)
    assert len(read_runs([results.folder, folder, folder / "summary.json"]).runs) == 1


def test_places_without_runs_are_named(results, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        read_runs([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no summary.json of a run in .*empty"):
        read_runs([tmp_path / "empty"])
    damaged = results.add("fine", "bolt", 0.9)
    (damaged / "summary.json").write_text("{")
    with pytest.raises(FileNotFoundError, match="no summary.json .*cannot be read as a summary"):
        read_runs([results.folder])


def test_names_do_not_act_on_a_terminal(results):
    folder = results.add("x", "bolt", 0.9)
    results.change(
        folder,
        detector=HOSTILE,
        category=HOSTILE,
        notebook=HOSTILE,
        verdicts={HOSTILE: 1},
        parameters={HOSTILE: [HOSTILE]},
    )
    (run,) = read_runs([results.folder]).runs
    texts = [run.detector, run.category, run.notebook, *run.verdicts, *run.parameters]
    assert texts == ["\\x1b[2J\\n\\ud800<script>alert(1)</script>"] * 5
    assert not {"\x1b", "\n", "\ud800"} & set(run.parameters[texts[0]])
