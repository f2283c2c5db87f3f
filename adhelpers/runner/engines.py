"""Where runs are executed: here, on a Dask cluster, or in jobs of Slurm; one interface for all."""

import logging
import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from adhelpers._shared.engine import ENGINE_VARIABLE, connect, import_distributed
from adhelpers._shared.threads import THREAD_VARIABLES

from .jobs import job_count, thread_bounds
from .parameters import UsageError, shortened
from .planning import PlannedRun

if TYPE_CHECKING:
    from .execution import Execution, Outcome

_LOCAL = re.compile(r"local:([1-9]\d*)")
# Jobs of Slurm where the caller does not say how many.
_MOST_JOBS = 16
_LOOK_EVERY = 0.5


class Engine(ABC):
    """Executes planned runs.

    Attributes
    ----------
    title : str
        Where runs are executed, in words.
    """

    title: str

    @abstractmethod
    def submit(self, plan: PlannedRun) -> "Future[Outcome]":
        """Begin a run, or let it wait for its turn."""

    @abstractmethod
    def slots(self) -> int:
        """How many runs can be executed at once; it may change while they are."""

    @abstractmethod
    def stop(self) -> None:
        """End what runs and forget what waits."""


class Here(Engine):
    """Runs on this machine, each in a kernel of its own.

    Parameters
    ----------
    jobs : int
        At once, each with its share of the cores.
    """

    def __init__(self, jobs: int) -> None:
        self.title = "here"
        self._jobs, self._running = jobs, list["Execution"]()
        self._pool = ThreadPoolExecutor(jobs)

    def submit(self, plan: PlannedRun) -> "Future[Outcome]":
        """Begin a run in a thread, or let it wait for one."""
        from .execution import Execution

        execution = Execution(plan, thread_bounds(self._jobs))
        self._running = [one for one in self._running if not one.finished] + [execution]
        return self._pool.submit(execution.run)

    def slots(self) -> int:
        """How many runs there are at once."""
        return self._jobs

    def stop(self) -> None:
        """End all kernels."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for execution in self._running:
            # One that cannot be stopped must not keep the others from it.
            with suppress(Exception):
                execution.stop()
        self._pool.shutdown()


class OnDask(Engine):
    """Runs as tasks of Dask: what a worker that is lost was doing is done by another one.

    Parameters
    ----------
    client : distributed.Client
    title : str
    """

    def __init__(self, client: Any, title: str) -> None:
        self.title, self._client = title, client
        self._executor: Executor = client.get_executor(pure=False)

    def submit(self, plan: PlannedRun) -> "Future[Outcome]":
        """Send a run to the scheduler."""
        return self._executor.submit(run_on_worker, plan)

    def slots(self) -> int:
        """Threads of all workers that are there; each takes one run."""
        return sum(self._client.nthreads().values())

    def stop(self) -> None:
        """Cancel all tasks; workers notice it and end their kernels (`run_on_worker`)."""
        self._executor.shutdown(wait=False)


def run_on_worker(plan: PlannedRun) -> "Outcome":
    """Execute a run on a worker of Dask, and end it where nobody wants it any longer."""
    from distributed import get_worker

    from .execution import Execution

    execution = Execution(plan, worker_bounds(os.environ))
    worker, ended = get_worker(), threading.Event()
    key = worker.get_current_task()

    def watch() -> None:
        while not ended.wait(_LOOK_EVERY):
            task = worker.state.tasks.get(key)
            if task is None or task.state == "cancelled":
                execution.stop()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        return execution.run()
    finally:
        ended.set()
        watcher.join()


def worker_bounds(environment: Mapping[str, str]) -> dict[str, str]:
    """Threads of a run on a worker: as many as its environment says for OpenMP, for TensorFlow too.

    Parameters
    ----------
    environment : dict of str to str
        Of the worker. Dask sets ``OMP_NUM_THREADS`` to 1 where the caller has not set it.

    Examples
    --------
    >>> worker_bounds({"OMP_NUM_THREADS": "4", "TF_NUM_INTEROP_THREADS": "1"})["MKL_NUM_THREADS"]
    '4'
    """
    threads = environment.get("OMP_NUM_THREADS", "")
    if not threads.isdecimal():
        return {}
    return {name: threads for name in THREAD_VARIABLES if name not in environment}


@contextmanager
def open_engine(
    jobs: int | str = "auto", dask: str | None = None, slurm: str | None = None, *, count: int
) -> Iterator[Engine]:
    """The engine that a command line asks for, until the end of the ``with`` block.

    Parameters
    ----------
    jobs : int or str
        Runs at once, here or as jobs of Slurm; see `job_count`.
    dask : str, optional
        ``local:N`` for N workers on this machine, or the address of a scheduler.
    slurm : str, optional
        A YAML file with options of ``dask_jobqueue.SLURMCluster``; empty: the caller's
        configuration of Dask alone.
    count : int
        Of runs.

    Yields
    ------
    Engine

    Raises
    ------
    UsageError
        If Dask is not installed, no scheduler answers, or Slurm cannot be asked.
    """
    with ExitStack() as stack:
        engine: Engine
        if dask is None and slurm is None:
            engine = Here(job_count(jobs, count))
        else:
            try:
                client, title = _client(stack, jobs, dask, slurm, count)
            except (ValueError, OSError) as error:
                kind = "dask" if slurm is None else "slurm"
                raise UsageError(f"{kind}: {error}") from error
            engine = OnDask(client, title)
        try:
            yield engine
        finally:
            engine.stop()


def _client(
    stack: ExitStack, jobs: int | str, dask: str | None, slurm: str | None, count: int
) -> tuple[Any, str]:
    """A client of Dask and what its cluster is called; both end with ``stack``."""
    if dask is not None:
        address, title = _scheduler(stack, dask)
    else:
        cluster = stack.enter_context(slurm_cluster(slurm or ""))
        workers = min(count, _MOST_JOBS) if jobs == "auto" else job_count(jobs, count)
        cluster.scale(workers)
        address, title = cluster.scheduler_address, f"in {workers} jobs of Slurm"
    return stack.enter_context(connect(address)), title


def _scheduler(stack: ExitStack, dask: str) -> tuple[str, str]:
    """Address of a scheduler and what its cluster is called; a local one ends with ``stack``."""
    if local := _LOCAL.fullmatch(dask):
        cluster = stack.enter_context(local_cluster(int(local[1])))
        return cluster.scheduler_address, f"on {local[1]} workers of Dask on this machine"
    address = dask if "://" in dask else f"tcp://{dask}"
    return address, f"on Dask at {address}"


@contextmanager
def spread_inside(dask: str | None) -> Iterator[None]:
    """Let runs that begin in the ``with`` block compute their parallel parts on Dask.

    Parameters
    ----------
    dask : str or None
        As in `open_engine`; None changes nothing.

    Raises
    ------
    UsageError
        If Dask is not installed, or no scheduler answers.
    """
    if dask is None:
        yield
        return
    with ExitStack() as stack:
        try:
            address, _ = _scheduler(stack, dask)
            connect(address).close()
        except (ValueError, OSError) as error:
            raise UsageError(f"dask: {error}") from error
        before = os.environ.get(ENGINE_VARIABLE)
        os.environ[ENGINE_VARIABLE] = address
        try:
            yield
        finally:
            del os.environ[ENGINE_VARIABLE]
            if before is not None:
                os.environ[ENGINE_VARIABLE] = before


def local_cluster(workers: int) -> Any:
    """A scheduler and worker processes on 127.0.0.1, which share the cores.

    Parameters
    ----------
    workers : int
    """
    return import_distributed().LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        # Kernels are processes of their own: their memory is not the worker's.
        memory_limit=0,
        env=thread_bounds(workers),
        silence_logs=logging.ERROR,
    )


def slurm_cluster(file: str = "", **options: Any) -> Any:
    """A scheduler here whose workers will be jobs of Slurm, one run at a time in each.

    Cores of a job are threads of its run, not runs at once: what ``cores`` says is given to the run
    as the threads of its libraries.

    Parameters
    ----------
    file : str
        YAML file with options of ``dask_jobqueue.SLURMCluster``, such as ``queue``, ``cores``,
        ``memory`` and ``walltime``; empty: those of Dask's configuration alone
        (``jobqueue.slurm``).
    **options
        More of them.

    Raises
    ------
    ValueError
        If Dask is not installed, or an option is wrong or missing.
    """
    import_distributed()
    import dask
    from dask_jobqueue import SLURMCluster

    given = _slurm_options(file) | options
    configured = dask.config.get("jobqueue.slurm", {})
    cores = given.pop("cores", None) or configured.get("cores") or 1
    prologue = given.pop("job_script_prologue", None) or configured.get("job-script-prologue") or []
    bounds = [f"export {name}={cores}" for name in THREAD_VARIABLES]
    settings: dict[str, Any] = {
        "job_cpu": cores,
        **given,
        "cores": 1,
        "processes": 1,
        "job_script_prologue": [*bounds, *prologue],
    }
    try:
        return SLURMCluster(**settings)
    except (TypeError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _slurm_options(file: str) -> dict[str, Any]:
    """What a YAML file sets."""
    if not file:
        return {}
    try:
        options = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{file}: {' '.join(str(error).split())}") from error
    if not isinstance(options, dict):
        raise ValueError(
            f"{file} must map options of SLURMCluster to their values, such as cores: 4; "
            f"got {shortened(options)}"
        )
    return options
