"""One notebook executed: what it leaves, and what stays after a failure."""

import io
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbclient.exceptions import DeadKernelError

from adhelpers.runner import run_notebooks
from adhelpers.runner.execution import Execution, _data_remarks
from adhelpers.runner.notebooks import read_notebook
from adhelpers.runner.planning import PlannedRun


def test_a_good_notebook_leaves_its_files(ran):
    good = ran.both[0]
    assert (good.notebook, good.category, good.problem) == ("01_good", "screw", None)
    files = ["01_good.ipynb", "report.html", "run.json", "samples.csv"]
    assert set(ran.before) == {*files, "files.json"}
    assert json.loads(ran.before["files.json"]) == {"files": files}
    record = json.loads(ran.before["run.json"])
    assert set(record) == {"key", "seconds"} and 0 < record["seconds"] <= good.seconds + 0.1
    outputs = [
        cell.outputs
        for cell in nbformat.reads(ran.before["01_good.ipynb"].decode(), 4).cells
        if cell.cell_type == "code"
    ]
    expected = f"{sys.executable} {ran.root / 'notebooks'} 0 {ran.root / 'results'}\n"
    assert outputs[2][0]["text"] == expected
    assert outputs[3][0]["text"] == "1\n"
    assert b"A small notebook" in ran.before["report.html"]


def test_a_failed_notebook_does_not_stop_the_others_and_points_to_the_cell(ran):
    bad = ran.both[1]
    assert (
        "under “Last epoch”" in bad.problem and "ZeroDivisionError: division by zero" in bad.problem
    )
    assert "    y = 0\n    1 / y\n    z = 2\n    …\n" in bad.problem
    assert re.match(r"cell \d of 5, In \[2\]", bad.problem)
    assert bad.partial == ran.root / "results" / "02_bad" / "default" / "02_bad.failed.ipynb"
    kept = nbformat.read(bad.partial, 4)
    assert any(
        output.get("ename") == "ZeroDivisionError"
        for cell in kept.cells
        for output in cell.get("outputs", [])
    )
    assert [path.name for path in bad.partial.parent.iterdir()] == ["02_bad.failed.ipynb"]


def test_an_earlier_good_result_survives_a_failure(ran):
    assert "RuntimeError: late trouble" in ran.again[0].problem
    for name, content in ran.before.items():
        assert (ran.folder / name).read_bytes() == content
    assert {path.name for path in ran.folder.iterdir()} == set(ran.before) | {
        "01_good.failed.ipynb"
    }
    assert [path.name for path in ran.folder.parent.iterdir()] == ["screw"]


def test_a_rerun_keeps_what_no_run_has_written(tmp_path, write_notebook):
    write_notebook(
        tmp_path / "notebooks" / "01_x.ipynb",
        "import os, pathlib\nfolder = pathlib.Path(os.environ['ADHELPERS_RUN_FOLDER'])\n"
        "(folder / 'figures').mkdir()\n(folder / 'figures' / f'{seed}.png').write_text('x')",
    )
    stream = io.StringIO()
    options = dict(results=tmp_path / "results", folder=tmp_path / "notebooks", stream=stream)
    run_notebooks(given=[("seed", "1")], **options)
    folder = tmp_path / "results" / "01_x" / "screw"
    (folder / "figures" / "notes.txt").write_text("mine")
    (folder / "figures" / "2.png").write_text("mine")
    [outcome] = run_notebooks(given=[("seed", "2")], **options)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "01_x.ipynb",
        "files.json",
        "report.html",
        "run.json",
        "figures/2.png",
        "figures/notes.txt",
        "kept/figures/2.png",
    }
    assert (folder / "figures" / "2.png").read_text() == "x" and outcome.moved == ("figures/2.png",)
    assert (folder / "kept" / "figures" / "2.png").read_text() == "mine"
    assert "moved to kept/ because the run has files of these names: figures/2.png" in (
        stream.getvalue()
    )


def test_a_kernel_that_dies_is_reported(tmp_path, write_notebook):
    write_notebook(
        tmp_path / "notebooks" / "01_dies.ipynb",
        "## Too big",
        "import os\nos._exit(9)",
        parameters=None,
    )
    [outcome] = run_notebooks(
        results=tmp_path / "results", folder=tmp_path / "notebooks", stream=io.StringIO()
    )
    assert "under “Too big”" in outcome.problem and "the kernel died" in outcome.problem
    assert outcome.partial.exists()


def test_a_full_disk_is_told_and_leaves_no_cut_off_notebook(tmp_path, monkeypatch, write_notebook):
    def cut_off(node, path, **_):
        Path(path).write_text('{"cells": [')
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("papermill.execute_notebook", cut_off)
    write_notebook(tmp_path / "notebooks" / "01_full.ipynb", parameters=None)
    [outcome] = run_notebooks(
        results=tmp_path / "results", folder=tmp_path / "notebooks", stream=io.StringIO()
    )
    place = tmp_path / "results" / "01_full" / "default"
    assert outcome.problem == f"{place}: the disk is full" and outcome.partial is None
    assert list(place.parent.iterdir()) == []


@pytest.mark.parametrize("full", ["results", "models", None])
def test_a_full_disk_is_not_called_want_of_memory(tmp_path, monkeypatch, full, write_notebook):
    for name in ("results", "models"):
        (tmp_path / name).mkdir()
    notebook = read_notebook(write_notebook(tmp_path / "01_dies.ipynb"))
    values = {"models": str(tmp_path / "models")}
    execution = Execution(PlannedRun(notebook, values, "screw", tmp_path / "results"))

    def usage(folder):
        return SimpleNamespace(free=5_000 if Path(folder).name == full else 10**9)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    problem = execution._problem(DeadKernelError("died"))
    assert ("want of memory" in problem) == (full is None)
    assert (f"{tmp_path / (full or '')}: the disk is full" in problem) == (full is not None)


def test_remarks_of_all_summaries_reach_the_report_once(tmp_path):
    for name, sentences in (("summary", "ab"), ("summary_cae", "bc")):
        remarks = [{"kind": "x", "count": 1, "files": [], "sentence": one} for one in sentences]
        (tmp_path / f"{name}.json").write_text(json.dumps({"data": {"remarks": remarks}}))
    for name, data in (("summary_old", {"counts": {}}), ("summary_none", None)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"data": data}))
    assert sorted(_data_remarks(tmp_path)) == ["a", "b", "c"]
