"""Notebooks side by side: how many, with how many threads each, and which must wait for others."""

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote

import psutil

from adhelpers._shared.threads import THREAD_VARIABLES, available_cores

from .parameters import UsageError

# In bytes: what a notebook with TensorFlow and its images may need.
_MEMORY = 3 * 2**30
# More kernels than this wait for the disk and for each other.
_MOST = 4
# The folder in which each unfinished notebook of the same command has a file.
UNFINISHED_VARIABLE = "ADHELPERS_UNFINISHED"
_LOOK_EVERY = 0.2


def job_count(jobs: int | str, count: int) -> int:
    """How many notebooks run at once.

    Parameters
    ----------
    jobs : int or str
        At least 1, or ``"auto"``: as many as there are cores and memory for (3 GiB each), at most
        four; a single one where there is an NVIDIA GPU, whose memory two would compete for.
    count : int
        Of notebooks to be run.

    Returns
    -------
    int

    Raises
    ------
    UsageError
        For another value.
    """
    if jobs == "auto":
        if shutil.which("nvidia-smi"):
            return 1
        room = psutil.virtual_memory().available // _MEMORY
        return max(1, min(count, available_cores(), room, _MOST))
    try:
        number = int(jobs)
    except ValueError:
        number = 0
    if number < 1:
        raise UsageError(f"jobs must be at least 1, or auto, got {jobs}")
    return number


def thread_bounds(jobs: int) -> dict[str, str]:
    """Variables that share the cores among notebooks; what the environment sets already stays.

    Parameters
    ----------
    jobs : int
        Notebooks at once; a single one may use all cores.

    Returns
    -------
    dict of str to str
    """
    if jobs == 1:
        return {}
    threads = str(max(1, available_cores() // jobs))
    return {name: threads for name in THREAD_VARIABLES if name not in os.environ}


class Unfinished:
    """The notebooks of a command that others wait for, as files in a folder.

    Parameters
    ----------
    folder : Path
        An empty one.
    names : iterable of str
        Of those that are waited for.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._folder = folder
        for name in names:
            self._file(name).touch()

    def _file(self, name: str) -> Path:
        return self._folder / quote(name, safe="")

    def remove(self, name: str) -> None:
        """Nobody waits for this one any longer; it has succeeded or failed."""
        self._file(name).unlink(missing_ok=True)


def wait_for_other_runs(show_progress: bool = True) -> None:
    """Wait in a notebook until the others of the same command have ended, well or not.

    In JupyterLab, and where nothing else runs, it returns at once.

    Parameters
    ----------
    show_progress : bool
    """
    named = os.environ.get(UNFINISHED_VARIABLE)
    if not named:
        return
    # The command line imports this module and needs no bars of notebooks.
    from adhelpers._shared.progress import progress

    folder = Path(named)
    before = len(_names_in(folder))
    with progress(
        description="waiting for other notebooks", total=before, enabled=show_progress
    ) as bar:
        done = 0
        while left := _names_in(folder):
            bar.update(before - len(left) - done)
            done = before - len(left)
            bar.set_postfix_str(", ".join(left))
            time.sleep(_LOOK_EVERY)


def _names_in(folder: Path) -> list[str]:
    """Who is waited for; nobody where the command that has made the folder is gone."""
    try:
        return sorted(unquote(path.name) for path in folder.iterdir())
    except FileNotFoundError:
        return []
