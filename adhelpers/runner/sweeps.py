"""Runs every planned run that is not finished yet, however many, and shows how far it is."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from tqdm import tqdm

from adhelpers._shared.text import escaped

from .engines import Engine
from .planning import PlannedRun, recorded
from .shown import Shown

if TYPE_CHECKING:
    from .execution import Outcome

# A run that has failed is tried again this many times.
_RETRIES = 2
_LOOK_EVERY = 1.0
# The index has a row for each run: after each of 1,000 runs it would cost more than some of them.
_INDEX_EVERY = 30.0
_FORM = "{desc} {bar} {n_fmt}/{total_fmt} [{elapsed}]{postfix}"


@dataclass
class SweepRun:
    """A planned run and what has become of it.

    Attributes
    ----------
    plan : PlannedRun
    skipped : bool
        Finished before: its folder holds the results of the same run.
    attempts : int
    outcome : Outcome or None
        Of the last attempt.
    """

    plan: PlannedRun
    skipped: bool = False
    attempts: int = 0
    outcome: "Outcome | None" = None

    @property
    def title(self) -> str:
        """What it is called in lines: the notebook and the folder."""
        return f"{self.plan.notebook.name} {self.plan.folder.name}"

    @property
    def problem(self) -> str | None:
        """Why the last attempt has failed; None where it has not, or there was none."""
        return None if self.outcome is None else self.outcome.problem

    @property
    def state(self) -> str:
        """``finished`` (before), ``to run``, ``ok`` or ``FAILED``."""
        if self.outcome is None:
            return "finished" if self.skipped else "to run"
        return "ok" if self.problem is None else "FAILED"


@dataclass
class Sweep:
    """Runs that belong together: which of them are finished, and the others to be run.

    Attributes
    ----------
    runs : list of SweepRun
    """

    runs: list[SweepRun] = field(default_factory=list)

    @classmethod
    def of(cls, plans: Sequence[PlannedRun]) -> "Sweep":
        """What is finished already is known by its key and will not run again."""
        return cls([SweepRun(plan, plan.is_finished()) for plan in plans])

    @classmethod
    def of_new(cls, plans: Sequence[PlannedRun]) -> "Sweep":
        """All are to run, finished or not."""
        return cls([SweepRun(plan) for plan in plans])

    @property
    def waiting(self) -> list[SweepRun]:
        """Runs that are to be run."""
        return [run for run in self.runs if not run.skipped]

    @property
    def failed(self) -> list[SweepRun]:
        """Runs whose last attempt has failed."""
        return [run for run in self.runs if run.problem is not None]

    def headline(self) -> str:
        """How many runs there are, and how many are left."""
        names = {run.plan.notebook.name for run in self.runs}
        text = f"{_runs(len(self.runs))} of {_counted(len(names), 'notebook')}"
        done = len(self.runs) - len(self.waiting)
        return f"{text}: {done} finished before, {len(self.waiting)} to run"

    def result(self) -> str:
        """How many runs are finished, and how many have failed."""
        before = sum(run.skipped for run in self.runs)
        now = sum(run.state == "ok" for run in self.runs)
        text = f"{_runs(len(self.runs))}: {before} finished before, {now} finished now"
        return f"{text}, {len(self.failed)} failed"

    def lines(self) -> list[str]:
        """A line for each run: its state, notebook, folder, and what is not the default."""
        rows = [
            (
                run.state,
                run.plan.notebook.name,
                run.plan.folder.name,
                ", ".join(f"{name}={value!r}" for name, value in run.plan.changed().items()),
            )
            for run in self.runs
        ]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)] + [0]
        cells = [
            [f"{text:<{width}}" for text, width in zip(row, widths, strict=True)] for row in rows
        ]
        return [escaped("  ".join(row)).rstrip() for row in cells]

    def estimate(self, slots: int) -> float | None:
        """Seconds until all is done, from the runs that are; None where none says it.

        A run takes as long as the mean of finished ones of its notebook (those of this sweep, also
        the ones that had been finished before), else as that of all.
        """
        known: dict[str, list[float]] = {}
        for run in self.runs:
            if run.outcome is not None and run.problem is None:
                seconds: object = run.outcome.seconds
            else:
                seconds = recorded(run.plan.folder).get("seconds") if run.skipped else None
            if isinstance(seconds, (int, float)):
                known.setdefault(run.plan.notebook.name, []).append(float(seconds))
        if not known:
            return None
        means = {name: fmean(seconds) for name, seconds in known.items()}
        typical = fmean(means.values())
        left = [run for run in self.waiting if run.outcome is None]
        work = [means.get(run.plan.notebook.name, typical) for run in left]
        return max(sum(work) / max(1, slots), max(work, default=0.0))

    def run(self, engine: Engine, shown: Shown) -> None:
        """Run what is left; a failure ends nothing else and is tried again twice.

        Runs that read the results of others start when the others have ended.

        Parameters
        ----------
        engine : Engine
        shown : Shown
            Where progress is shown.
        """
        with _Board(self, engine, shown) as board:
            try:
                for phase in (False, True):
                    runs = [run for run in self.waiting if run.plan.reads_others == phase]
                    for run in _ended(runs, engine, board):
                        board.report(run)
            except BaseException:
                shown.record("interrupted")
                raise
            finally:
                board.rebuild_index()
            shown.record(self.result())


def _ended(runs: Sequence[SweepRun], engine: Engine, board: "_Board") -> Iterator[SweepRun]:
    """Run them all; each attempt that has ended is yielded, what has failed is sent again."""
    pending: dict[Future[Outcome], SweepRun] = {engine.submit(run.plan): run for run in runs}
    while pending:
        done, _ = wait(pending, timeout=_LOOK_EVERY, return_when=FIRST_COMPLETED)
        for future in done:
            run = pending.pop(future)
            run.attempts += 1
            run.outcome = _outcome(run, future)
            yield run
            if run.problem is not None and run.attempts <= _RETRIES:
                run.outcome = None
                pending[engine.submit(run.plan)] = run
        board.show(len(pending))


def _outcome(run: SweepRun, future: "Future[Outcome]") -> "Outcome":
    """How an attempt ended, also one that the engine could not carry out."""
    from .execution import Outcome

    try:
        return future.result()
    except Exception as error:
        problem = f"the engine: {type(error).__name__}: {error}"
        names = run.plan.notebook.name, run.plan.category
        return Outcome(*names, run.plan.folder, 0.0, problem)


class _Board:
    """Shows a sweep: one line that changes on a terminal, a line for each ended run elsewhere."""

    def __init__(self, sweep: Sweep, engine: Engine, shown: Shown) -> None:
        self._sweep, self._engine, self._shown = sweep, engine, shown
        self._bar = tqdm(
            total=len(sweep.waiting),
            desc="sweep",
            bar_format=_FORM,
            file=shown.stream,
            dynamic_ncols=True,
            disable=not shown.interactive,
        )
        self._indexed = time.monotonic()
        self._estimated = False
        text = f"{sweep.headline()}, {engine.title}"
        seconds = sweep.estimate(engine.slots())
        if seconds is not None and sweep.waiting:
            text += f"; about {tqdm.format_interval(seconds)}, as the finished ones took"
            self._estimated = True
        shown.write(text)

    def __enter__(self) -> "_Board":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._bar.close()

    def show(self, unfinished: int) -> None:
        """Bring the line on a terminal up to date, and from time to time the index."""
        if time.monotonic() - self._indexed > _INDEX_EVERY:
            self.rebuild_index()
        if self._bar.disable:
            return
        slots, failed = self._engine.slots(), len(self._sweep.failed)
        running = f"{min(slots, unfinished)} running" if slots else "waiting for workers"
        seconds = self._sweep.estimate(slots)
        left = "" if seconds is None else f", {tqdm.format_interval(seconds)} left"
        self._bar.n = sum(run.outcome is not None for run in self._sweep.waiting)
        with contextlib.suppress(OSError):
            self._bar.set_postfix_str(f"{running}, {failed} failed{left}")

    def report(self, run: SweepRun) -> None:
        """Say how an attempt ended: on a terminal only what went wrong and the first estimate."""
        if self._shown.interactive and run.problem is None:
            self._shown.record(_line(run))
        else:
            self._shown.write(_line(run), problem=run.problem is not None)
        if not self._estimated and run.problem is None:
            seconds = self._sweep.estimate(self._engine.slots())
            if seconds:
                left = tqdm.format_interval(seconds)
                self._shown.write(f"about {left} left, as the first one took")
            self._estimated = True

    def rebuild_index(self) -> None:
        """Write the index of all results."""
        self._indexed = time.monotonic()
        self._shown.rebuild_index(self._sweep.runs[0].plan.results)


def _line(run: SweepRun) -> str:
    """One line, or several where it has failed, on an attempt that has ended."""
    assert run.outcome is not None
    seconds = f"{run.outcome.seconds:.1f} s"
    title = escaped(run.title)
    if run.problem is None:
        again = f" at attempt {run.attempts}" if run.attempts > 1 else ""
        return f"{title}: finished in {seconds}{again}"
    left = _RETRIES + 1 - run.attempts
    then = "will be tried again" if left else f"given up after {run.attempts} attempts"
    return f"{title}: failed after {seconds}, {then}: {run.problem}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _runs(count: int) -> str:
    return _counted(count, "run")
