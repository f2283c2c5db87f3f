"""Finds, runs and watches notebooks; inside a notebook, the folder and the files of a run."""

from .command_line import AUDITED, PATTERNS, RENDERING, build_parser
from .described_images import described_images
from .doctor import examine
from .engines import open_engine, spread_inside
from .grids import read_grid
from .jobs import wait_for_other_runs
from .notebooks import copy_notebooks, default_folder, find_notebooks
from .parameters import UsageError
from .planning import Request, prepare_folders
from .run import Run, start_run
from .shown import Shown
from .signals import Ended, ended_by_signals
from .start import answer_lines, start
from .suite import run_notebooks, run_request
from .sweeps import Sweep

__all__ = [
    "AUDITED",
    "Ended",
    "PATTERNS",
    "RENDERING",
    "Request",
    "Run",
    "Shown",
    "Sweep",
    "UsageError",
    "answer_lines",
    "build_parser",
    "copy_notebooks",
    "default_folder",
    "described_images",
    "ended_by_signals",
    "examine",
    "find_notebooks",
    "open_engine",
    "prepare_folders",
    "read_grid",
    "run_notebooks",
    "run_request",
    "spread_inside",
    "start",
    "start_run",
    "wait_for_other_runs",
]
