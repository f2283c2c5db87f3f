"""Runs notebooks in the background with progress, their results in one place."""

import contextlib
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, TextIO

from tqdm import tqdm

from adhelpers._shared.leftovers import SCRATCH, owned_prefix
from adhelpers._shared.text import escaped

from .jobs import UNFINISHED_VARIABLE, Unfinished, job_count, thread_bounds
from .planning import Request, prepare_folders
from .shown import Shown

if TYPE_CHECKING:
    from .execution import Execution, Outcome


class _Watcher:
    """Shows progress: a bar for each running notebook on a terminal, lines now and then elsewhere.

    Parameters
    ----------
    shown : Shown
    executions : sequence of Execution
        All of them, also those that wait.
    jobs : int
        How many run at once.
    """

    def __init__(self, shown: Shown, executions: "Sequence[Execution]", jobs: int) -> None:
        self._shown, self._executions, self._jobs = shown, executions, jobs
        self._bars: dict[str, tqdm] = {}
        self._announced: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        # Before the runs replace what says it.
        self._expected = {one.notebook.name: one.earlier_seconds() for one in executions}

    def look(self) -> None:
        """Show how far each notebook has come."""
        with contextlib.suppress(OSError):
            for execution in self._executions:
                if execution.started and not execution.finished:
                    self._show(execution)

    def _show(self, execution: "Execution") -> None:
        name, now = execution.notebook.name, time.monotonic()
        self._begun.setdefault(name, now)
        title = f"{name} ({execution.category})"
        if not self._shown.interactive:
            if name not in self._announced:
                self._shown.write(f"{title}: started{self._which(len(self._announced) + 1)}")
            elif now - self._announced[name] < self._shown.every:
                return
            else:
                took = tqdm.format_interval(now - self._begun[name])
                what = f"cell {execution.cell} of {execution.cells}, {execution.status}"
                self._shown.write(f"{title}: {what.removesuffix(', ')} [{took}]")
            self._announced[name] = now
            return
        if name not in self._bars:
            form = "{desc} cell {n_fmt}/{total_fmt} [{elapsed}]{postfix}"
            self._bars[name] = tqdm(
                desc=title,
                bar_format=form,
                file=self._shown.stream,
                dynamic_ncols=True,
                leave=False,
            )
        bar = self._bars[name]
        bar.n, bar.total = execution.cell, execution.cells or None
        bar.set_postfix_str(execution.status, refresh=False)
        bar.refresh()

    def _which(self, number: int) -> str:
        """Its number among all notebooks, where there are several."""
        count = len(self._executions)
        return f", notebook {number} of {count}" if count > 1 else ""

    def close(self) -> None:
        """Take all bars away."""
        with contextlib.suppress(OSError):
            for bar in self._bars.values():
                bar.close()
        self._bars.clear()

    def report(self, outcome: "Outcome") -> None:
        """Write how one notebook ended; bars of others stay below it."""
        bar = self._bars.pop(outcome.notebook, None)
        if bar is not None:
            with contextlib.suppress(OSError):
                bar.close()
        self._ended[outcome.notebook] = outcome.seconds
        text = f"{outcome.notebook} ({outcome.category}): "
        if outcome.problem is None:
            text += f"finished in {outcome.seconds:.1f} s{self._left()}"
            if outcome.moved:
                names = ", ".join(map(escaped, outcome.moved))
                text += f"\n  moved to kept/ because the run has files of these names: {names}"
        else:
            text += f"failed after {outcome.seconds:.1f} s in {outcome.problem}"
            if outcome.partial is not None:
                text += f"\n  partly executed notebook: {outcome.partial}"
        self._shown.write(text, problem=outcome.problem is not None)

    def _left(self) -> str:
        """How many notebooks are done, and how long the others will take; empty where none is left.

        Each takes as long as its earlier run, else as the mean of those that have ended.
        """
        left = {name: one for name, one in self._expected.items() if name not in self._ended}
        if not left:
            return ""
        typical = fmean(self._ended.values())
        now = time.monotonic()
        seconds = [
            max(0.0, (one if isfinite(one) else typical) - now + self._begun.get(name, now))
            for name, one in left.items()
        ]
        until = tqdm.format_interval(max(max(seconds), sum(seconds) / self._jobs))
        return f"; {len(self._ended)} of {len(self._expected)} done, about {until} left"


def run_notebooks(
    names: Sequence[str] = (),
    preset: str = "quick",
    given: Sequence[tuple[str, str]] = (),
    data: str | Path | None = None,
    results: str | Path | None = None,
    models: str | Path | None = None,
    jobs: int | str = 1,
    folder: str | Path | None = None,
    stream: TextIO | None = None,
    name: str | None = None,
) -> "list[Outcome]":
    """Run notebooks with papermill and write their results to ``<results>/<notebook>/<category>/``.

    All names and values are checked before anything runs. A kernel of the current interpreter runs
    in the notebook's own folder, as JupyterLab does it. Results are built in a temporary folder,
    which replaces an earlier one when the notebook has succeeded; what no run has written there
    stays. A failed notebook leaves ``<notebook>.failed.ipynb`` there and the others go on. After
    each, ``index.html`` is rebuilt.

    Parameters
    ----------
    names : sequence of str
        See `find_notebooks`; none means all.
    preset : str
        See `read_preset`.
    given : sequence of (str, str)
        Parameter names and their values as texts; they win over the preset and ``data``.
    data : str or Path, optional
        A category of images, or the folder that holds categories, for notebooks that have a
        parameter ``data_root``.
    results, models : str or Path, optional
        By default the folders that ``ADHELPERS_RESULTS`` and ``ADHELPERS_MODELS`` name in the
        environment, else the project's own.
    jobs : int or str
        How many notebooks run at once, each with its share of the cores; ``"auto"``: as many as
        cores and memory allow. With several the longest start first, as far as earlier results say
        how long they take. A notebook with a true parameter ``other_runs`` starts last and reads
        the others' results when these have ended.
    folder : str or Path, optional
        Where the notebooks are; by default the project's ``notebooks/``.
    stream : file, optional
        Where progress is written; by default standard error.
    name : str, optional
        Results go to ``<results>/<notebook>/<category>@<name>/`` and stay beside those of other
        runs; models are shared. By default what ``ADHELPERS_RUN_NAME`` says in the environment.

    Returns
    -------
    list of Outcome
        In the order of the notebooks; ``problem`` is None where all went well.

    Raises
    ------
    UsageError
        If a notebook, preset, parameter, value or name is wrong, or a folder cannot be written in.
        Nothing has been run then.
    KeyboardInterrupt
        Passed on after all kernels have been ended; on the command line SIGTERM and SIGHUP raise
        it too (`signals.ended_by_signals`).
    """
    request = Request(names, preset, given, data, results, models, folder, name)
    return run_request(request, jobs, Shown(stream))


def run_request(request: Request, jobs: int | str, shown: Shown) -> "list[Outcome]":
    """Run what a request asks for, as `run_notebooks`; ``shown`` says what is shown of it."""
    plans = request.plan()
    count = job_count(jobs, len(plans))
    prepare_folders(plans)

    bounds = thread_bounds(count)
    # They import while this process does: papermill takes a second.
    from .warm_kernels import warm_up

    warm = warm_up(bounds, len(plans))
    from .execution import Execution

    with tempfile.TemporaryDirectory(prefix=owned_prefix(SCRATCH)) as unfinished:
        environment = {UNFINISHED_VARIABLE: unfinished, **bounds}
        executions = [Execution(plan, environment, warm=warm) for plan in plans]
        awaited = [one.notebook.name for one in executions if not one.reads_others]
        board = Unfinished(Path(unfinished), awaited)
        return _run_all(executions, count, board, shown)


def _starting_order(executions: "Sequence[Execution]", jobs: int) -> "list[Execution]":
    """The longest first, where several run at once; those that wait for others last."""
    if jobs == 1:
        return sorted(executions, key=lambda one: one.reads_others)
    return sorted(executions, key=lambda one: (one.reads_others, -one.earlier_seconds()))


def _run_all(
    executions: "Sequence[Execution]", jobs: int, unfinished: Unfinished, shown: Shown
) -> "list[Outcome]":
    """Run them in threads and show the progress; an interruption ends all kernels."""
    watcher = _Watcher(shown, executions, jobs)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            # The notebooks run in threads, so that Ctrl-C arrives here, where the kernels can be
            # ended.
            order = _starting_order(executions, jobs)
            futures = {execution: pool.submit(execution.run) for execution in order}
            pending = set(futures.values())
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                watcher.look()
                for future in done:
                    unfinished.remove(future.result().notebook)
                    watcher.report(future.result())
                    shown.rebuild_index(executions[0].results)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for execution in executions:
                # One that cannot be stopped must not keep the others from it.
                with contextlib.suppress(Exception):
                    execution.stop()
            raise
        finally:
            watcher.close()
    return [futures[execution].result() for execution in executions]
