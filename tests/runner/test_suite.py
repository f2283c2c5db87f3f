"""The runner: names, presets, parameters, execution, what stays after a failure, and the in-notebook Run."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from matplotlib import pyplot
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from adhelpers.metrics import Threshold
from adhelpers.reports.summary import SUMMARY_KEYS
from adhelpers.runner.suite import (
    UsageError,
    find_notebooks,
    read_notebook,
    read_preset,
    run_notebooks,
    start_run,
    values_for,
)

PARAMETERS = """category = "screw"  # image category; "" = none, # is kept out
seed = 0  # random seed
rate = 0.1
sizes = (256, 96)  # height, width
layer = None
verbose = False
data_root = ""
results = ""
models = ""
"""


def write_notebook(path, *sources, parameters=PARAMETERS, title="A small notebook"):
    cells = [new_markdown_cell(f"# {title}\n\nWhat is it?")]
    if parameters is not None:
        cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    for source in sources:
        cells.append(new_markdown_cell(source) if source.startswith("#") else new_code_cell(source))
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder with two notebooks that are never run."""
    write_notebook(tmp_path / "notebooks" / "01_screw.ipynb")
    write_notebook(
        tmp_path / "notebooks" / "02_other.ipynb", parameters="seed = 1", title="The other"
    )
    return tmp_path / "notebooks"


def test_parameters_are_read_with_defaults_and_comments(folder):
    notebook = read_notebook(folder / "01_screw.ipynb")
    assert notebook.title == "A small notebook"
    assert {name: one.default for name, one in notebook.parameters.items()} == {
        "category": "screw",
        "seed": 0,
        "rate": 0.1,
        "sizes": (256, 96),
        "layer": None,
        "verbose": False,
        "data_root": "",
        "results": "",
        "models": "",
    }
    assert notebook.parameters["category"].help == 'image category; "" = none, # is kept out'
    assert notebook.parameters["rate"].help == ""


@pytest.mark.parametrize("source", ["seed = int('3')", "a, b = 1, 2", "seed ="])
def test_parameters_that_are_no_literals_are_refused(tmp_path, source):
    path = write_notebook(tmp_path / "n.ipynb", parameters=source)
    with pytest.raises(ValueError, match="plain literals"):
        read_notebook(path)


@pytest.mark.parametrize("content", ["{", "[]", '{"cells": 3}', '{"cells": [3]}', "\x00"])
def test_a_file_that_is_no_notebook_is_named(tmp_path, content):
    (tmp_path / "broken.ipynb").write_text(content)
    with pytest.raises(ValueError, match="broken.ipynb is not a Jupyter notebook"):
        read_notebook(tmp_path / "broken.ipynb")


def test_notebooks_are_found_by_name_prefix_and_path(folder):
    by_path = str(folder / "02_other.ipynb")
    for names, expected in [
        ((), ["01_screw", "02_other"]),
        (["01"], ["01_screw"]),
        (["02_other"], ["02_other"]),
        ([by_path], ["02_other"]),
        (["02", by_path], ["02_other"]),
    ]:
        assert [notebook.name for notebook in find_notebooks(names, folder)] == expected
    with pytest.raises(UsageError, match="01_scrww.*did you mean 01_screw"):
        find_notebooks(["01_scrww"], folder)
    with pytest.raises(UsageError, match="fits several"):
        find_notebooks(["0"], folder)
    with pytest.raises(UsageError, match="no notebooks"):
        find_notebooks([], folder / "empty")


def test_presets(folder, tmp_path):
    assert read_preset("quick", folder) == {}
    (folder / "presets").mkdir()
    (folder / "presets" / "full.yaml").write_text(
        "all: {seed: 5}\n01_screw: {rate: 1e-3}\n02_other:\n"
    )
    assert read_preset("full", folder) == {
        "all": {"seed": 5},
        "01_screw": {"rate": "1e-3"},
        "02_other": {},
    }
    assert read_preset(str(folder / "presets" / "full.yaml")) == read_preset("full", folder)
    with pytest.raises(UsageError, match="full, quick.*did you mean full"):
        read_preset("ful", folder)
    for content, problem in [("a: [", "not valid YAML"), ("- 1", "must map"), ("a: 3", "must map")]:
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(UsageError, match=problem):
            read_preset(str(tmp_path / "bad.yaml"), folder)


def test_command_line_wins_over_data_over_preset(folder, tmp_path):
    notebooks = find_notebooks((), folder)
    preset = {"all": {"seed": 5, "data_root": "preset", "rate": 2}, "01_screw": {"seed": 6}}
    first, second = values_for(
        notebooks, preset, data=tmp_path, given=[("seed", "7")], results=tmp_path / "r"
    )
    assert first == {
        "seed": 7,
        "rate": 2.0,
        "data_root": str(tmp_path),
        "results": str(tmp_path / "r"),
    }
    assert isinstance(first["rate"], float)
    assert second == {"seed": 7}
    assert values_for(notebooks, preset) == [
        {"seed": 6, "rate": 2.0, "data_root": "preset"},
        {"seed": 5},
    ]


@pytest.mark.parametrize(
    "given, taken",
    [([], False), ([("dataset", "folder")], True), ([("dataset", "category")], True)],
)
def test_the_folder_of_images_is_for_notebooks_that_read_it(tmp_path, given, taken):
    source = 'dataset = "mnist"\ndata_root = ""'
    write_notebook(tmp_path / "07_labels.ipynb", parameters=source)
    (values,) = values_for(find_notebooks((), tmp_path), data=tmp_path, given=given)
    assert values == dict(given) | ({"data_root": str(tmp_path)} if taken else {})


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("category", "no", "no"),
        ("category", "01", "01"),
        ("seed", "3", 3),
        ("rate", "1", 1.0),
        ("rate", "1e-3", 0.001),
        ("sizes", "[1, 2]", [1, 2]),
        ("layer", "conv3", "conv3"),
        ("layer", "null", None),
        ("verbose", "true", True),
    ],
)
def test_values_take_the_type_of_the_default(folder, name, text, value):
    [values] = values_for(find_notebooks(["01"], folder), given=[(name, text)])
    assert values == {name: value} and type(values[name]) is type(value)


@pytest.mark.parametrize(
    "name, text",
    [
        ("seed", "1.5"),
        ("seed", "x"),
        ("seed", "true"),
        ("rate", "fast"),
        ("rate", "true"),
        ("rate", "[1]"),
        ("verbose", "1"),
        ("sizes", "3"),
        ("seed", "null"),
        ("seed", "["),
    ],
)
def test_a_value_of_another_type_is_refused(folder, name, text):
    with pytest.raises(UsageError, match=rf"-p {name}"):
        values_for(find_notebooks(["01"], folder), given=[(name, text)])


def test_an_unknown_parameter_is_refused_with_the_right_ones(folder):
    notebooks = find_notebooks((), folder)
    with pytest.raises(UsageError) as caught:
        values_for(notebooks[:1], given=[("categry", "nut")])
    assert "did you mean category?" in str(caught.value)
    assert "seed = 0  random seed" in str(caught.value)
    with pytest.raises(UsageError, match="02_other has no parameter 'rate'"):
        values_for(notebooks, given=[("rate", "1")])
    # "rate" is a parameter of the first notebook only: no error where only the second runs, in a
    # folder that holds both.
    assert values_for(notebooks[1:], {"all": {"rate": 1, "seed": 2}}, others=notebooks) == [
        {"seed": 2}
    ]
    with pytest.raises(UsageError, match="under 'all'"):
        values_for(notebooks[1:], {"all": {"rate": 1}})
    with pytest.raises(UsageError, match="under 'all'.*did you mean seed"):
        values_for(notebooks, {"all": {"sed": 1}})
    with pytest.raises(UsageError, match="preset: parameter seed of 02_other takes int"):
        values_for(notebooks, {"02_other": {"seed": "x"}})


@pytest.mark.parametrize(
    "options, problem",
    [
        (dict(given=[("sed", "1")]), "did you mean seed"),
        (dict(names=["09"]), "is no notebook"),
        (dict(preset="fast"), "no preset"),
        (dict(given=[("category", "../up")]), "category must be the name of a folder"),
        (dict(jobs=0), "jobs must be at least 1"),
        (dict(data="nowhere"), "there is no folder nowhere"),
    ],
)
def test_nothing_runs_after_a_wrong_request(folder, tmp_path, options, problem):
    with pytest.raises(UsageError, match=problem):
        run_notebooks(**({"names": ["01"]} | options), results=tmp_path / "results", folder=folder)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["results", "models"])
def test_a_folder_that_cannot_be_written_in_is_named_before_anything_runs(folder, tmp_path, name):
    (tmp_path / "file").write_text("kept")
    options = {
        "results": tmp_path / "results",
        "models": tmp_path / "models",
        name: tmp_path / "file",
    }
    stream = io.StringIO()
    with pytest.raises(UsageError, match=f"{name}: .*file is no folder to write in .*--{name}"):
        run_notebooks(["01"], folder=folder, stream=stream, **options)
    assert (tmp_path / "file").read_text() == "kept" and stream.getvalue() == ""


def test_a_folder_on_the_command_line_is_that_of_the_caller(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebooks = find_notebooks(["01"], folder)
    assert values_for(notebooks, given=[("data_root", "images"), ("models", "")]) == [
        {"data_root": str(tmp_path / "images"), "models": ""}
    ]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One good and one failing notebook, run at the same time; then the good one again, failing."""
    root = tmp_path_factory.mktemp("ran {braces}")
    write_notebook(
        root / "notebooks" / "01_good.ipynb",
        "## Set-up",
        "import os, sys, pathlib\nprint(sys.executable, os.getcwd(), seed, results)",
        "folder = pathlib.Path(os.environ['ADHELPERS_RUN_FOLDER'])\n(folder / 'samples.csv').write_text(f'seed\\n{seed}\\n')\n"
        "print(os.environ['ADHELPERS_STATIC'])",
        "if verbose:\n    raise RuntimeError('late trouble')",
    )
    write_notebook(
        root / "notebooks" / "02_bad.ipynb",
        "## Training",
        "x = 1",
        "### Last epoch",
        "\n\ny = 0\n1 / y\nz = 2\nw = 3",
        parameters=None,
    )
    text = io.StringIO()
    options = dict(
        results=root / "results", models=root / "models", folder=root / "notebooks", stream=text
    )
    both = run_notebooks(given=(), jobs=2, **options)
    folder = root / "results" / "01_good" / "screw"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = run_notebooks(["01"], given=[("verbose", "true"), ("seed", "9")], **options)
    return SimpleNamespace(
        root=root, both=both, again=again, text=text.getvalue(), before=before, folder=folder
    )


def test_a_good_notebook_leaves_its_files(ran):
    good = ran.both[0]
    assert (good.notebook, good.category, good.problem) == ("01_good", "screw", None)
    assert set(ran.before) == {"01_good.ipynb", "report.html", "samples.csv"}
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


def test_progress_away_from_a_terminal_is_plain_lines(ran):
    assert re.search(r"^01_good \(screw\): started$", ran.text, re.M)
    assert re.search(r"^01_good \(screw\): finished in \d+\.\d s$", ran.text, re.M)
    assert re.search(r"^02_bad \(default\): failed after \d+\.\d s in cell", ran.text, re.M)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", ran.text)


def test_the_index_shows_both(ran):
    index = (ran.root / "results" / "index.html").read_text()
    assert (
        "./01_good/screw/report.html" in index and "./02_bad/default/02_bad.failed.ipynb" in index
    )


def test_a_bar_on_a_terminal_shows_cell_and_status_line():
    from adhelpers.runner.suite import _Watcher

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    watcher = _Watcher(terminal)
    running = SimpleNamespace(
        notebook=SimpleNamespace(name="01_screw"),
        category="screw",
        started=True,
        finished=False,
        cell=3,
        cells=12,
        status="LIME 57/160",
    )
    watcher.look([running])
    running.cell, running.status = 4, "SHAP 1/160"
    watcher.look([running])
    watcher.close()
    assert "cell 3/12" in terminal.getvalue() and "LIME 57/160" in terminal.getvalue()
    assert terminal.getvalue().index("SHAP 1/160") > terminal.getvalue().index("LIME 57/160")


def test_ctrl_c_ends_the_kernel_and_keeps_nothing_half_done(tmp_path):
    mark = tmp_path / "pid"
    write_notebook(
        tmp_path / "notebooks" / "01_long.ipynb",
        f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(300)",
        parameters=None,
    )
    command = [
        sys.executable,
        "-m",
        "adhelpers",
        "run",
        "--notebooks",
        "notebooks",
        "--results",
        "results",
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not (mark.exists() and mark.read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert out == "" and err.splitlines() == [
        "01_long (default): started",
        "adhelpers: interrupted",
    ]
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    assert [path for path in (tmp_path / "results").rglob("*") if path.is_file()] == []


def test_a_kernel_that_dies_is_reported(tmp_path):
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


def test_a_full_disk_is_told_and_leaves_no_cut_off_notebook(tmp_path, monkeypatch):
    def cut_off(node, path, **_):
        with open(path, "w") as file:
            file.write('{"cells": [')
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("papermill.execute_notebook", cut_off)
    write_notebook(tmp_path / "notebooks" / "01_full.ipynb", parameters=None)
    [outcome] = run_notebooks(
        results=tmp_path / "results", folder=tmp_path / "notebooks", stream=io.StringIO()
    )
    place = tmp_path / "results" / "01_full" / "default"
    assert (
        outcome.problem == f"OSError: [Errno 28] No space left on device: '{place}'"
        and outcome.partial is None
    )
    assert list(place.parent.iterdir()) == []


# ---- Run
# ----------------------------------------------------------------------------------------------------------------------


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


def test_without_a_category_the_data_set_names_the_folder(tmp_path):
    given = {"dataset": "digits", "results": str(tmp_path)}
    assert start_run("x", {**given, "category": ""}).folder == tmp_path / "x" / "digits"
    assert start_run("x", {**given, "category": "screw"}).folder == tmp_path / "x" / "screw"
    with pytest.raises(ValueError, match="category must be the name of a folder"):
        start_run("x", {"dataset": "../digits", "category": "", "results": str(tmp_path)})


def test_stage_times_add_up_also_when_the_body_fails(run):
    for _ in range(2):
        with run.stage("training"):
            time.sleep(0.02)
    with pytest.raises(KeyError), run.stage("audit"):
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
    data = SimpleNamespace(train=split, validation=split, test=split, fingerprint="abc")
    with run.stage("training"):
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
    assert list(summary["seconds"]) == ["training"] and summary["aupro"] is None


def test_a_second_detector_gets_a_summary_of_its_own(run):
    run.summary(file="summary_subspace.json", detector="subspace")
    assert (run.folder / "summary_subspace.json").exists() and not (
        run.folder / "summary.json"
    ).exists()
    with pytest.raises(ValueError, match="file must be"):
        run.summary(file="../summary.json")


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
