"""Where the lines on runs go: a terminal or pipe, and a log file."""

import contextlib
import sys
import time
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from adhelpers._shared.files import error_sentence

# Seconds between two lines on what runs, where no terminal shows it all the time.
_EVERY = {"quiet": float("inf"), "normal": 30.0, "verbose": 5.0}


class Shown:
    """Lines for the person who waits, and for a log file.

    A terminal that has been closed or a full disk must not stop the runs.

    Parameters
    ----------
    stream : file, optional
        By default standard error.
    log : Path, optional
        A file to which each line is added with its time.
    level : str
        ``quiet`` (what goes wrong), ``normal``, or ``verbose`` (what runs, every five seconds in
        place of 30).

    Attributes
    ----------
    stream : file
    interactive : bool
        Whether bars are shown.
    every : float
        Seconds between two lines on what runs, away from a terminal.
    """

    def __init__(
        self, stream: TextIO | None = None, log: Path | None = None, level: str = "normal"
    ) -> None:
        self.stream = stream or sys.stderr
        self.every, self._quiet = _EVERY[level], level == "quiet"
        self.interactive = self.stream.isatty() and not self._quiet
        self._log: TextIO | None = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._log = log.open("a", encoding="utf-8")

    def __enter__(self) -> "Shown":
        return self

    def __exit__(self, *_: object) -> None:
        if self._log is not None:
            self._log.close()

    def write(self, text: str, problem: bool = False) -> None:
        """Write lines above all bars, and into the log; quiet shows problems only."""
        self.record(text)
        if self._quiet and not problem:
            return
        with contextlib.suppress(OSError):
            tqdm.write(text, file=self.stream)
            self.stream.flush()

    def record(self, text: str) -> None:
        """Write lines into the log alone."""
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
                self._log.flush()

    def rebuild_index(self, results: Path) -> None:
        """Write the index; where that fails it is a warning, because the runs do not need it."""
        from adhelpers.reports import write_index

        try:
            write_index(results)
        except Exception as error:
            words = error_sentence(error) if isinstance(error, OSError) else str(error)
            self.write(f"warning: the index could not be written: {words}", problem=True)
