"""Running notebooks: what is checked first, progress, interruption, the index."""

import errno
import io
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from adhelpers._shared.leftovers import OLD, PARTIAL, SCRATCH, owned_prefix
from adhelpers.runner import Shown, UsageError, run_notebooks
from adhelpers.runner.execution import Outcome
from adhelpers.runner.suite import _Watcher


@pytest.mark.parametrize(
    "options, problem",
    [
        (dict(given=[("sed", "1")]), "did you mean seed"),
        (dict(names=["09"]), "is no notebook"),
        (dict(preset="fast"), "no preset"),
        (dict(given=[("category", "../up")]), "category must be the name of a folder"),
        (dict(jobs=0), "jobs must be at least 1"),
        (dict(name="../up"), "name must be .* such as seed-1; got .*up"),
        (dict(name=""), "name must be"),
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
    assert re.search(r"^01_good \(screw\): started, notebook [12] of 2$", ran.text, re.M)
    assert re.search(
        r"^01_good \(screw\): finished in \d+\.\d s(; 1 of 2 done, about \d\d:\d\d left)?$",
        ran.text,
        re.M,
    )
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
    running = SimpleNamespace(
        earlier_seconds=lambda: 9.0,
        notebook=SimpleNamespace(name="01_screw"),
        category="screw",
        started=True,
        finished=False,
        cell=3,
        cells=12,
        status="LIME 57/160",
    )
    watcher = _Watcher(Shown(terminal), [running], 1)
    watcher.look()
    running.cell, running.status = 4, "SHAP 1/160"
    watcher.look()
    watcher.close()
    assert "cell 3/12" in terminal.getvalue() and "LIME 57/160" in terminal.getvalue()
    assert terminal.getvalue().index("SHAP 1/160") > terminal.getvalue().index("LIME 57/160")


def test_away_from_a_terminal_what_runs_is_said_now_and_then(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("adhelpers.runner.suite.time.monotonic", lambda: clock[0])

    def one(name, started, seconds):
        return SimpleNamespace(
            notebook=SimpleNamespace(name=name),
            category="screw",
            started=started,
            finished=False,
            cell=3,
            cells=12,
            status="LIME 57/160",
            earlier_seconds=lambda: seconds,
        )

    executions = [one("01_a", True, 100.0), one("02_b", False, 50.0), one("03_c", False, math.inf)]
    texts = {level: io.StringIO() for level in ("quiet", "normal", "verbose")}
    watchers = [_Watcher(Shown(text, level=level), executions, 1) for level, text in texts.items()]
    for clock[0] in range(0, 61, 5):
        for watcher in watchers:
            watcher.look()
    for watcher in watchers:
        watcher.report(Outcome("01_a", "screw", Path("x"), 80.0))
        watcher.report(Outcome("02_b", "screw", Path("x"), 40.0, problem="cell 3"))
    assert texts["normal"].getvalue().splitlines() == [
        "01_a (screw): started, notebook 1 of 3",
        "01_a (screw): cell 3 of 12, LIME 57/160 [00:30]",
        "01_a (screw): cell 3 of 12, LIME 57/160 [01:00]",
        # 50 as before, and 80 as the one that has ended.
        "01_a (screw): finished in 80.0 s; 1 of 3 done, about 02:10 left",
        "02_b (screw): failed after 40.0 s in cell 3",
    ]
    assert texts["quiet"].getvalue() == "02_b (screw): failed after 40.0 s in cell 3\n"
    assert texts["verbose"].getvalue().count("LIME") == 12


def test_a_named_run_stands_beside_the_others(tmp_path, monkeypatch, write_notebook):
    seen = []

    def execute(node, path, **_):
        nbformat.write(node, path)

    def start(manager, env, **_):
        seen.append(env["ADHELPERS_RUN_NAME"])

    monkeypatch.setattr("papermill.execute_notebook", execute)
    monkeypatch.setattr("jupyter_client.KernelManager.start_kernel", start)
    monkeypatch.delenv("ADHELPERS_RUN_NAME", raising=False)
    write_notebook(tmp_path / "notebooks" / "01_one.ipynb")
    places = dict(results=tmp_path / "results", models=tmp_path / "models")

    def run(**name):
        [outcome] = run_notebooks(
            folder=tmp_path / "notebooks", stream=io.StringIO(), **places, **name
        )
        assert outcome.problem is None
        return outcome.folder.name

    assert [run(), run(name="seed-1")] == ["screw", "screw@seed-1"]
    monkeypatch.setenv("ADHELPERS_RUN_NAME", "seed-2")
    assert [run(), run(name="seed-3")] == ["screw@seed-2", "screw@seed-3"]
    assert seen == ["", "seed-1", "seed-2", "seed-3"]
    index = (tmp_path / "results" / "index.html").read_text()
    for folder in ("screw", "screw@seed-1", "screw@seed-2", "screw@seed-3"):
        assert (tmp_path / "results" / "01_one" / folder / "report.html").is_file()
        assert f">{folder}<" in index


@pytest.fixture
def without_kernels(tmp_path, monkeypatch, write_notebook):
    """Runs two notebooks, whose cells a function stands in for."""

    def run(execute=lambda folder, name: None):
        def executed(node, path, **_):
            nbformat.write(node, path)
            execute(Path(path).parent, Path(path).stem)

        monkeypatch.setattr("papermill.execute_notebook", executed)
        monkeypatch.setattr("jupyter_client.KernelManager.start_kernel", lambda *_, **__: None)
        for name in ("01_one", "02_two"):
            write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", parameters=None)
        stream = io.StringIO()
        folder = tmp_path / "notebooks"
        outcomes = run_notebooks(results=tmp_path / "results", folder=folder, stream=stream)
        return [outcome.problem for outcome in outcomes], stream.getvalue()

    return run


def test_a_summary_of_another_program_ends_its_own_run_only(without_kernels):
    def execute(folder, name):
        if name == "01_one":
            (folder / "summary.json").write_text('{"data": 3}')

    problems, _ = without_kernels(execute)
    assert "AttributeError" in problems[0] and problems[1] is None


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "r/index.html"), "the disk is full"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "r/index.html"), "file system is read-on"),
        (RuntimeError("trouble"), "trouble"),
    ],
)
def test_an_index_that_cannot_be_written_is_a_warning(without_kernels, monkeypatch, error, words):
    def fail(results):
        raise error

    monkeypatch.setattr("adhelpers.reports.write_index", fail)
    problems, text = without_kernels()
    assert problems == [None, None]
    assert text.count("warning: the index could not be written: ") == 2 and words in text


def test_a_closed_terminal_does_not_end_the_runs(tmp_path, write_notebook, without_kernels):
    class Closed(io.StringIO):
        def isatty(self):
            return True

        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

    without_kernels()
    folder = tmp_path / "notebooks"
    outcomes = run_notebooks(results=tmp_path / "results", folder=folder, stream=Closed())
    assert [outcome.problem for outcome in outcomes] == [None, None]


def test_the_next_run_removes_what_killed_ones_left(tmp_path, monkeypatch, without_kernels):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))

    def left(kind, owner):
        return owned_prefix(kind).replace(f"-{os.getpid()}-", f"-{owner}-") + "abcd1234"

    for owner in (gone.pid, os.getppid()):
        (tmp_path / "tmp" / left(SCRATCH, owner)).mkdir(parents=True)
        (tmp_path / "results" / "09_x" / left(PARTIAL, owner)).mkdir(parents=True)
        (tmp_path / "results" / "09_x" / left(OLD, owner) / f"of_{owner}").mkdir(parents=True)
    assert without_kernels()[0] == [None, None]
    living = [left(kind, os.getppid()) for kind in (OLD, PARTIAL)]
    names = sorted(path.name for path in (tmp_path / "results" / "09_x").iterdir())
    assert names == sorted([*living, f"of_{gone.pid}"])
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == [left(SCRATCH, os.getppid())]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_kernel_and_keep_nothing_half_done(
    tmp_path, write_notebook, start_process, monkeypatch, number
):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    mark = tmp_path / "pid"
    write_notebook(
        tmp_path / "notebooks" / "01_long.ipynb",
        "import os, tempfile, time\ntempfile.mkstemp()\n"
        f"open({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(300)",
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
        # A kill could only leave what lies in these folders, which the next run removes: one of the
        # run, one that says for which runs others wait.
        scratch = list((tmp_path / "tmp").iterdir())
        assert all(one.name.startswith(f"{SCRATCH}-{process.pid}-") for one in scratch)
        left = {path.name for one in scratch for path in one.iterdir()}
        assert len(scratch) == 2 and {"connection.json", "status", "01_long"} <= left
        process.send_signal(number)
        # Impatience: the second one comes while the first is at work.
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert out == "" and err.splitlines() == [
        "01_long (default): started",
        "adhelpers: interrupted",
    ]
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    assert [path for path in (tmp_path / "results").rglob("*") if path.is_file()] == []
    assert list((tmp_path / "tmp").iterdir()) == []
