"""Finds, runs and watches notebooks; inside a notebook, the folder and the files of a run."""

from .notebooks import find_notebooks, project_root
from .parameters import UsageError
from .run import Run, start_run
from .suite import run_notebooks

__all__ = [
    "Run",
    "UsageError",
    "find_notebooks",
    "project_root",
    "run_notebooks",
    "start_run",
]
