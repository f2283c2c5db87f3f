"""Notebooks side by side: how many, with how many threads each, and who waits for whom."""

import io
import os
import threading
import time
from types import SimpleNamespace

import pytest

from adhelpers.runner import UsageError, jobs, run_notebooks, wait_for_other_runs
from adhelpers.runner.jobs import UNFINISHED_VARIABLE, Unfinished, job_count, thread_bounds
from adhelpers.runner.suite import _starting_order
from adhelpers.steps import find_runs

_GIB = 2**30


@pytest.mark.parametrize(
    "cores, memory, gpu, count, expected",
    [
        (2, 24, False, 7, 2),
        (16, 64, False, 7, 4),
        (16, 64, False, 3, 3),
        (16, 7, False, 7, 2),
        (16, 1, False, 7, 1),
        (16, 64, True, 7, 1),
    ],
)
def test_auto_takes_what_cores_memory_and_notebooks_allow(
    monkeypatch, cores, memory, gpu, count, expected
):
    monkeypatch.setattr(jobs, "available_cores", lambda: cores)
    free = SimpleNamespace(available=memory * _GIB)
    monkeypatch.setattr(jobs.psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(jobs.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if gpu else None)
    assert job_count("auto", count) == expected


@pytest.mark.parametrize("wrong", [0, -1, "0", "two", "1.5", ""])
def test_other_numbers_of_jobs_are_refused(wrong):
    with pytest.raises(UsageError, match="jobs must be at least 1, or auto"):
        job_count(wrong, 3)


def test_a_number_is_taken_as_it_is():
    assert (job_count("3", 1), job_count(1, 7)) == (3, 1)


def test_threads_are_shared_and_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setattr(jobs, "available_cores", lambda: 5)
    for name in jobs.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert thread_bounds(1) == {}
    two = thread_bounds(2)
    assert "OMP_NUM_THREADS" not in two and two["TF_NUM_INTRAOP_THREADS"] == "2"
    assert set(thread_bounds(9).values()) == {"1"}


def test_waiting_ends_when_the_last_of_the_others_has_ended(tmp_path, monkeypatch):
    board, ended = Unfinished(tmp_path, ["01_a", "02 b/ä"]), []
    monkeypatch.setenv(UNFINISHED_VARIABLE, str(tmp_path))

    def end():
        for name in ("02 b/ä", "01_a"):
            time.sleep(0.3)
            ended.append(name)
            board.remove(name)

    thread = threading.Thread(target=end)
    thread.start()
    wait_for_other_runs(show_progress=False)
    assert ended == ["02 b/ä", "01_a"]
    thread.join()
    board.remove("01_a")


@pytest.mark.parametrize("named", [None, "", "gone"])
def test_nobody_waits_where_nothing_else_runs(tmp_path, monkeypatch, named):
    monkeypatch.delenv(UNFINISHED_VARIABLE, raising=False)
    if named is not None:
        monkeypatch.setenv(UNFINISHED_VARIABLE, str(tmp_path / named) if named else "")
    start = time.monotonic()
    wait_for_other_runs()
    assert time.monotonic() - start < 5


def test_runs_of_other_notebooks_are_looked_for_when_these_have_ended(tmp_path, monkeypatch):
    waiting = tmp_path / "waiting"
    waiting.mkdir()
    board = Unfinished(waiting, ["01_a"])
    monkeypatch.setenv(UNFINISHED_VARIABLE, str(waiting))

    def end():
        time.sleep(0.3)
        (tmp_path / "results" / "01_a" / "x").mkdir(parents=True)
        (tmp_path / "results" / "01_a" / "x" / "summary.json").write_text("{")
        board.remove("01_a")

    thread = threading.Thread(target=end)
    thread.start()
    found = find_runs(tmp_path / "results", tmp_path / "models")
    thread.join()
    assert list(found.told) == ["01_a on x"]


def test_the_longest_starts_first_and_who_reads_the_others_last():
    def one(name, seconds, reads=False):
        return SimpleNamespace(name=name, reads_others=reads, earlier_seconds=lambda: seconds)

    unknown = float("inf")
    every = [one("a", 9.0), one("b", 99.0, True), one("c", 20.0), one("d", unknown)]
    assert [one.name for one in _starting_order(every, 2)] == ["d", "c", "a", "b"]
    assert [one.name for one in _starting_order(every, 1)] == ["a", "c", "d", "b"]


def test_one_and_two_jobs_leave_the_same(tmp_path, write_notebook):
    parameters = 'other_runs = True\nresults = ""\n'
    reads = (
        "from pathlib import Path\nfrom adhelpers.runner import wait_for_other_runs\n"
        "wait_for_other_runs()\n"
        "found = sorted(Path(results).glob('*/*/samples.csv'))\n"
        "text = ''.join(path.read_text() for path in found)",
        "import os\nfolder = Path(os.environ['ADHELPERS_RUN_FOLDER'])\n"
        "(folder / 'house.csv').write_text(text)",
    )
    writes = (
        "import os, time\nfrom pathlib import Path\ntime.sleep(2 * seed)\n"
        "folder = Path(os.environ['ADHELPERS_RUN_FOLDER'])\n"
        "(folder / 'samples.csv').write_text(f'{seed}\\n')\n"
    )
    notebooks = tmp_path / "notebooks"
    write_notebook(notebooks / "01_reads.ipynb", *reads, parameters=parameters)
    for seed in (1, 2):
        write_notebook(notebooks / f"0{seed + 1}_x.ipynb", writes, parameters=f"seed = {seed}\n")
    left = {}
    for count in (1, 2):
        results = tmp_path / f"results{count}"
        done = run_notebooks(folder=notebooks, results=results, jobs=count, stream=io.StringIO())
        assert [one.notebook for one in done] == ["01_reads", "02_x", "03_x"]
        assert [one.problem for one in done] == [None] * 3
        left[count] = (done[0].folder / "house.csv").read_text()
    assert left[1] == left[2] == "1\n2\n"
    assert UNFINISHED_VARIABLE not in os.environ
