"""Sweeps: what is skipped, tried again and listed; what a person sees of it."""

import io
import json
import re
from concurrent.futures import Future

import pytest

from adhelpers.__main__ import main
from adhelpers.runner import Request, Shown, Sweep
from adhelpers.runner.engines import Engine
from adhelpers.runner.execution import Outcome
from adhelpers.runner.planning import KEY_FILE


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Instant(Engine):
    """Runs nothing: a function says whether a run fails, and how long it has taken."""

    title = "at once"

    def __init__(self, problem=lambda plan: None, seconds=10.0):
        self.submitted, self._problem, self._seconds = [], problem, seconds

    def slots(self):
        return 2

    def stop(self):
        pass

    def submit(self, plan):
        self.submitted.append(f"{plan.notebook.name} {plan.folder.name}")
        future = Future()
        try:
            problem = self._problem(plan)
        except Exception as error:
            future.set_exception(error)
            return future
        if problem is None:
            plan.folder.mkdir(parents=True, exist_ok=True)
            record = {"key": plan.key, "seconds": self._seconds}
            (plan.folder / KEY_FILE).write_text(json.dumps(record))
            (plan.folder / "report.html").touch()
        names = plan.notebook.name, plan.category, plan.folder
        future.set_result(Outcome(*names, self._seconds, problem))
        return future


@pytest.fixture
def planned(tmp_path, write_notebook):
    """Plans of two notebooks with three seeds each; the first reads what the second leaves."""
    parameters = 'other_runs = True\nseed = 0\nresults = ""\n'
    write_notebook(tmp_path / "notebooks" / "01_reads.ipynb", parameters=parameters)
    write_notebook(tmp_path / "notebooks" / "02_writes.ipynb", "x = 1")
    request = Request(folder=tmp_path / "notebooks", results=tmp_path / "results")
    (tmp_path / "results").mkdir()
    return lambda seeds=("0", "1", "2"): request.plan({"seed": list(seeds)})


def run(plans, engine, stream=None):
    sweep, stream = Sweep.of(plans), stream or io.StringIO()
    with Shown(stream, plans[0].results / "sweep.log") as shown:
        sweep.run(engine, shown)
    return sweep, stream.getvalue()


def test_a_sweep_goes_on_where_it_stopped_and_a_changed_notebook_runs_again(
    tmp_path, planned, write_notebook
):
    first = Instant()
    sweep, _ = run(planned("01"), first)
    assert len(first.submitted) == 4 and not sweep.failed
    second = Instant()
    sweep, text = run(planned(), second)
    assert second.submitted == ["02_writes screw@seed-2", "01_reads default@seed-2"]
    assert text.startswith("6 runs of 2 notebooks: 4 finished before, 2 to run, at once; about ")
    write_notebook(tmp_path / "notebooks" / "02_writes.ipynb", "x = 2")
    third = Instant()
    run(planned(), third)
    assert third.submitted == [f"02_writes screw@seed-{seed}" for seed in "012"]


def test_who_reads_the_others_starts_when_all_of_them_have_ended(planned):
    engine = Instant(lambda plan: "no" if plan.notebook.name == "02_writes" else None)
    run(planned("0"), engine)
    assert engine.submitted == ["02_writes screw@seed-0"] * 3 + ["01_reads default@seed-0"]


def test_one_failure_ends_nothing_and_is_tried_twice_more(planned):
    def problem(plan):
        if plan.values["seed"] == 1 and plan.notebook.name == "02_writes":
            raise RuntimeError("the worker is gone")

    engine = Instant(problem)
    sweep, text = run(planned(), engine)
    assert [one.title for one in sweep.failed] == ["02_writes screw@seed-1"]
    assert engine.submitted.count("02_writes screw@seed-1") == 3 and len(engine.submitted) == 8
    assert text.count("will be tried again: the engine: RuntimeError: the worker is gone") == 2
    assert text.count("given up after 3 attempts: the engine: RuntimeError") == 1
    log = (sweep.runs[0].plan.results / "sweep.log").read_text()
    assert re.match(r"\d{4}-.* 6 runs of 2 notebooks", log)
    assert log.endswith("6 runs: 0 finished before, 5 finished now, 1 failed\n")
    assert log.count("finished in 10.0 s") == 5
    # The next time it is tried again.
    again = Instant()
    sweep, text = run(planned(), again)
    assert again.submitted == ["02_writes screw@seed-1"] and not sweep.failed


def test_what_fails_once_is_well_in_the_end(planned):
    seen = []

    def problem(plan):
        seen.append(plan)
        return "trouble" if len(seen) == 1 else None

    sweep, text = run(planned(), Instant(problem))
    assert not sweep.failed and "finished in 10.0 s at attempt 2" in text


def test_a_pipe_gets_a_line_for_each_run_and_the_first_one_says_how_long_it_takes(planned):
    _, text = run(planned(), Instant())
    lines = text.splitlines()
    # Two run at once, and either may be the first to end.
    assert re.fullmatch(r"02_writes screw@seed-[01]: finished in 10.0 s", lines[1])
    assert re.fullmatch(r"about 00:(25|20) left, as the first one took", lines[2])
    assert len(lines) == 2 + 6 and "\r" not in text


def test_a_terminal_shows_one_line_and_above_it_only_what_failed(planned):
    terminal = Terminal()
    _, text = run(planned(), Instant(lambda plan: "no" if plan.values["seed"] else None), terminal)
    assert "finished in" not in text and text.count("given up after 3 attempts: no") == 4
    log = (planned()[0].results / "sweep.log").read_text()
    assert log.count("finished in") == 2 and log.count("given up after 3 attempts: no") == 4
    assert re.search(r"6/6 .*0 running, 4 failed", text)


def test_the_estimate_is_the_mean_of_each_notebook_over_what_runs_at_once(planned):
    sweep = Sweep.of(planned())
    assert sweep.estimate(2) is None
    for one in sweep.runs:
        if one.plan.values["seed"] == 0:
            seconds = 40.0 if one.plan.notebook.name == "01_reads" else 10.0
            names = one.plan.notebook.name, "screw", one.plan.folder
            one.outcome = Outcome(*names, seconds)
    # Two of each are left: 2 * 40 + 2 * 10.
    assert sweep.estimate(1) == 100 and sweep.estimate(2) == 50
    # No run is done sooner than the longest one.
    assert sweep.estimate(100) == 40


def test_an_interruption_is_in_the_log_and_the_index_is_written(planned):
    def problem(plan):
        if plan.values["seed"] == 1:
            raise KeyboardInterrupt
        return None

    with pytest.raises(KeyboardInterrupt):
        run(planned(), Instant(problem))
    results = planned()[0].results
    assert (results / "sweep.log").read_text().endswith("interrupted\n")
    assert (results / "index.html").is_file()


def test_the_command_lists_runs_skips_finished_ones_and_fails_with_one(
    tmp_path, write_notebook, capsys
):
    write_notebook(tmp_path / "notebooks" / "01_a.ipynb", "assert seed != 1, 'an unlucky seed'")
    places = ["--notebooks", str(tmp_path / "notebooks"), "--results", str(tmp_path / "results")]
    places += ["--models", str(tmp_path / "models"), "--jobs", "2"]
    command = ["run", "01", *places, "--sweep", "seed=0,1"]
    assert main([*command, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "to run  01_a  screw@seed-0",
        "to run  01_a  screw@seed-1  seed=1",
        "2 runs of 1 notebook: 0 finished before, 2 to run",
    ]
    assert not (tmp_path / "results").exists()
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert err.count("AssertionError: an unlucky seed") == 3 and "given up after 3 attempts" in err
    assert out.startswith("FAILED  01_a screw@seed-1  ")
    assert "2 runs: 0 finished before, 1 finished now, 1 failed; log: " in out
    assert (tmp_path / "results" / "01_a" / "screw@seed-1" / "01_a.failed.ipynb").is_file()
    assert main([*command[:-1], "seed=0"]) == 0
    assert "1 run: 1 finished before, 0 finished now, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, problem",
    [
        (["--slurm"], "--slurm goes with --sweep"),
        (["--sweep", "sed=1"], "did you mean seed"),
        (["--sweep", "seed=1", "01"], "notebooks are named before --sweep"),
        (["--sweep", "seed=1", "--dask", "local:0"], "dask: "),
        (["--dask", "local:x"], "dask: "),
        (["--sweep", "seed=1", "--jobs", "0"], "jobs must be at least 1"),
    ],
)
def test_wrong_use_is_one_clear_message_and_code_2(
    tmp_path, write_notebook, capsys, monkeypatch, options, problem
):
    monkeypatch.setattr("adhelpers._shared.engine._CONNECT_SECONDS", 1)
    write_notebook(tmp_path / "notebooks" / "01_a.ipynb")
    places = ["--notebooks", str(tmp_path / "notebooks"), "--results", str(tmp_path / "results")]
    places += ["--models", str(tmp_path / "models")]
    assert main(["run", *places, *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and problem in err and err.count("\n") <= 5


def test_quiet_log_and_open(tmp_path, write_notebook, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda page: opened.append(page))
    write_notebook(tmp_path / "notebooks" / "01_a.ipynb")
    places = ["--notebooks", str(tmp_path / "notebooks"), "--results", str(tmp_path / "results")]
    places += ["--models", str(tmp_path / "models"), "--log", str(tmp_path / "log"), "--quiet"]
    assert main(["run", "01", *places, "--open"]) == 0
    out, err = capsys.readouterr()
    # The stand-in for the browser says that there is none.
    assert err == "adhelpers: --open: there is no browser here; open the page named above\n"
    assert opened == [(tmp_path / "results" / "01_a" / "screw" / "report.html").as_uri()]
    assert re.search(r"\d 01_a \(screw\): finished in", (tmp_path / "log").read_text())
    assert main(["run", "01", *places, "--sweep", "seed=0", "--open"]) == 0
    assert opened[1:] == [(tmp_path / "results" / "index.html").as_uri()]
