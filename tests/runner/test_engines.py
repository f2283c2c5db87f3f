"""Engines: runs here and on a real Dask cluster, a worker that is killed, jobs of Slurm."""

import io
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from adhelpers._shared.engine import ENGINE_VARIABLE, _executor, spread
from adhelpers.runner import Request, Shown, Sweep, UsageError, open_engine, spread_inside
from adhelpers.runner.engines import local_cluster, slurm_cluster, worker_bounds

# Writes who works on it, waits until it may go on, and leaves numbers that depend on the seed.
WORK = """import os, pathlib, time
import numpy as np
folder = pathlib.Path(os.environ['ADHELPERS_RUN_FOLDER'])
(pathlib.Path(models) / f'{seed}.{os.getpid()}').write_text(str(os.getppid()))
while (pathlib.Path(models) / f'hold-{seed}').exists():
    time.sleep(0.05)
values = np.random.default_rng(seed).normal(size=50)
np.savetxt(folder / 'samples.csv', values)"""


@pytest.fixture
def request_for(tmp_path, write_notebook):
    write_notebook(tmp_path / "notebooks" / "01_work.ipynb", WORK)
    (tmp_path / "models").mkdir()

    def make(results):
        places = dict(results=tmp_path / results, models=tmp_path / "models")
        return Request(folder=tmp_path / "notebooks", **places)

    return make


def run(request, seeds, **where):
    sweep = Sweep.of(request.plan({"seed": seeds}))
    text = io.StringIO()
    sweep.runs[0].plan.results.mkdir(exist_ok=True)
    with open_engine(**where, count=len(sweep.waiting)) as engine:
        sweep.run(engine, Shown(text))
    assert [one.problem for one in sweep.runs] == [None] * len(seeds)
    samples = [(one.plan.folder / "samples.csv").read_bytes() for one in sweep.runs]
    return sweep, samples, text.getvalue()


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and two worker processes on 127.0.0.1."""
    with local_cluster(2) as one:
        yield one


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def test_a_killed_worker_s_run_goes_elsewhere_and_leaves_what_a_serial_one_leaves(
    tmp_path, request_for, cluster
):
    models, seeds = tmp_path / "models", ["0", "1"]
    _, expected, _ = run(request_for("serial"), seeds, jobs=2)
    for file in models.iterdir():
        file.unlink()
    (models / "hold-1").touch()
    killed = []

    def kill():
        try:
            # The kernel's parent is the worker.
            [first] = wait_for(lambda: [one for one in models.glob("1.*") if one.read_text()])
            killed.extend((int(first.suffix[1:]), int(first.read_text())))
            os.kill(killed[1], signal.SIGKILL)
            wait_for(lambda: len(list(models.glob("1.*"))) > 1)
        finally:
            (models / "hold-1").unlink()

    thread = threading.Thread(target=kill)
    thread.start()
    sweep, samples, text = run(request_for("dask"), seeds, dask=cluster.scheduler_address)
    thread.join()
    kernel, worker = killed
    # Nobody is left who could still write: the kernel has noticed that its parent is gone.
    wait_for(lambda: not _lives(kernel))
    assert samples == expected and len(set(samples)) == 2
    # Not a failure that was tried again: Dask has sent it to another worker.
    assert [one.attempts for one in sweep.runs] == [1, 1] and "failed after" not in text
    assert len({int(one.read_text()) for one in models.glob("1.*")} - {worker}) == 1
    assert not list((tmp_path / "dask").rglob(".partial*"))


def _lives(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that has ended and that nobody has waited for.
    status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    return status.rpartition(")")[2].split()[0] != "Z"


def test_ctrl_c_ends_the_kernels_on_the_workers(tmp_path, request_for, cluster):
    models = tmp_path / "models"
    (models / "hold-0").touch()
    [plan] = request_for("results").plan({"seed": ["0"]})
    with pytest.raises(KeyboardInterrupt):
        with open_engine(dask=cluster.scheduler_address, count=1) as engine:
            engine.submit(plan)
            [first] = wait_for(lambda: [one for one in models.glob("0.*") if one.read_text()])
            raise KeyboardInterrupt
    wait_for(lambda: not _lives(int(first.suffix[1:])))
    assert not list((tmp_path / "results").glob("*/*/samples.csv"))


def test_slurm_jobs_are_asked_for_and_work(tmp_path, monkeypatch, request_for):
    """Stand-ins for sbatch and scancel start the job script in the background and end it."""
    commands = tmp_path / "bin"
    commands.mkdir()
    scripts = {
        "sbatch": f'cp "$1" {tmp_path}/job.sh\n'
        f"setsid bash {tmp_path}/job.sh > {tmp_path}/job.log 2>&1 &\n"
        f'echo $! > {tmp_path}/pid\necho "Submitted batch job $!"',
        "scancel": 'kill -TERM -- "-$1"',
    }
    for name, script in scripts.items():
        (commands / name).write_text(f"#!/bin/bash\n{script}\n")
        (commands / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    options = dict(cores=2, memory="2GB", queue="long", walltime="00:20:00", interface="lo")
    # On a machine that does other things at the same time, the start of a worker takes a while.
    options["death_timeout"] = 600
    (tmp_path / "slurm.yaml").write_text(yaml.safe_dump(options))
    where = dict(slurm=str(tmp_path / "slurm.yaml"), jobs=1)
    _, samples, text = run(request_for("slurm"), ["5"], **where)
    assert "in 1 jobs of Slurm" in text and len(samples) == 1
    job = (tmp_path / "job.sh").read_text()
    assert "#SBATCH -p long" in job and "#SBATCH --cpus-per-task=2" in job and "-t 00:20:00" in job
    # One run at a time, with the job's cores as its threads.
    assert "export OMP_NUM_THREADS=2" in job and "--nthreads 1" in job
    assert sys.executable in job
    wait_for(lambda: not _lives(int((tmp_path / "pid").read_text())), 30)


@pytest.mark.parametrize(
    "options, problem",
    [
        ("cores: 2", "memory"),
        ("[1]", "must map options"),
        ("cores: [", "slurm.yaml"),
        ("cores: 2\nmemory: 1GB\ncolour: red", "colour"),
        (None, "slurm.yaml"),
    ],
)
def test_wrong_options_of_slurm_are_one_line(tmp_path, options, problem):
    file = tmp_path / "slurm.yaml"
    if options is not None:
        file.write_text(options)
    with pytest.raises(UsageError, match=problem) as caught:
        with open_engine(slurm=str(file), count=1):
            pass
    assert str(caught.value).startswith("slurm: ") and "\n" not in str(caught.value)


def test_the_caller_s_configuration_of_slurm_is_used():
    import dask

    own = {"cores": 3, "memory": "4GB", "queue": "mine", "job-script-prologue": ["module load x"]}
    with dask.config.set({f"jobqueue.slurm.{name}": value for name, value in own.items()}):
        with slurm_cluster(interface="lo") as cluster:
            job = cluster.job_script()
    assert "#SBATCH -p mine" in job and "--cpus-per-task=3" in job and "module load x" in job
    assert "export MKL_NUM_THREADS=3" in job


@pytest.mark.parametrize("wrong", ["tcp://127.0.0.1:1", "127.0.0.1:1", "local:0", "nonsense://x"])
def test_an_address_without_a_scheduler_is_one_clear_line(monkeypatch, wrong):
    monkeypatch.setattr("adhelpers._shared.engine._CONNECT_SECONDS", 1)
    for opened in (open_engine(dask=wrong, count=1), spread_inside(wrong)):
        with pytest.raises(UsageError, match="dask: ") as caught:
            with opened:
                pass
        assert "\n" not in str(caught.value)


def test_parts_of_a_run_are_computed_by_the_workers_while_they_are_there(monkeypatch, cluster):
    monkeypatch.setenv(ENGINE_VARIABLE, "serial")
    items = [np.full(3, number) for number in range(20)]
    with spread_inside(cluster.scheduler_address):
        assert os.environ[ENGINE_VARIABLE] == cluster.scheduler_address
        assert list(spread(np.sum, items)) == [3 * number for number in range(20)]
        places = set(spread(os.path.realpath, ["/proc/self"] * 20))
        assert places and f"/proc/{os.getpid()}" not in places
        # It would look for its scheduler until the end of the tests.
        _executor(cluster.scheduler_address, os.getpid())[0]._client.close()
    assert os.environ[ENGINE_VARIABLE] == "serial"
    monkeypatch.delenv(ENGINE_VARIABLE)
    with spread_inside(None):
        assert ENGINE_VARIABLE not in os.environ


def test_a_run_on_a_worker_has_the_worker_s_threads():
    assert worker_bounds({}) == {} and worker_bounds({"OMP_NUM_THREADS": "many"}) == {}
    bounds = worker_bounds({"OMP_NUM_THREADS": "3", "NUMBA_NUM_THREADS": "1"})
    assert "NUMBA_NUM_THREADS" not in bounds and set(bounds.values()) == {"3"}
