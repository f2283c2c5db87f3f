"""Running notebooks: what is checked first, progress, interruption, the index."""

import io
import os
import re
import signal
import sys
import time
from types import SimpleNamespace

import pytest

from adhelpers.runner import UsageError, run_notebooks
from adhelpers.runner.suite import _Watcher


@pytest.mark.parametrize(
    "options, problem",
    [
        (dict(given=[("sed", "1")]), "did you mean seed"),
        (dict(names=["09"]), "is no notebook"),
        (dict(preset="fast"), "no preset"),
        (dict(given=[("category", "../up")]), "category must be the name of a folder"),
        (dict(jobs=0), "jobs must be at least 1"),
        (dict(data="nowhere"), "there is no folder nowhere"),
        (dict(data="."), "holds no category of images"),
        (dict(given=[("category", "scrw")]), "did you mean screw"),
    ],
)
def test_nothing_runs_after_a_wrong_request(folder, tmp_path, monkeypatch, options, problem):
    monkeypatch.chdir(tmp_path)
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


def test_ctrl_c_ends_the_kernel_and_keeps_nothing_half_done(
    tmp_path, write_notebook, start_process
):
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
    process = start_process(command, tmp_path)
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
