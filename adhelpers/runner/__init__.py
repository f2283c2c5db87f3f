"""Finds, runs and watches notebooks; inside a notebook, the folder and the files of a run."""

from .jobs import wait_for_other_runs
from .notebooks import default_folder, find_notebooks
from .parameters import UsageError
from .run import Run, start_run
from .signals import Ended, ended_by_signals
from .start import answer_lines, start
from .suite import run_notebooks

__all__ = [
    "Ended",
    "Run",
    "UsageError",
    "answer_lines",
    "default_folder",
    "ended_by_signals",
    "find_notebooks",
    "run_notebooks",
    "start",
    "start_run",
    "wait_for_other_runs",
]
