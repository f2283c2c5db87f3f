"""One progress bar for terminals, JupyterLab and batch runs."""

import os
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from tqdm.notebook import tqdm as notebook_tqdm

# The runner names a file here: an executed notebook must not hold progress bars, yet the person who
# waits for it wants one.
_STATUS_VARIABLE = "ADHELPERS_STATUS_FILE"


class _StatusFile:
    """The part of tqdm's interface that is used here, as one line in the runner's status file."""

    def __init__(
        self, iterable: Iterable[Any] | None, description: str, total: int | None, path: str
    ) -> None:
        self._iterable, self._description, self._path = iterable, description, Path(path)
        self._total = len(iterable) if total is None and isinstance(iterable, Sized) else total
        self._count, self._note, self._written = 0, "", 0.0

    def __iter__(self) -> Iterator[Any]:
        with self:
            for item in () if self._iterable is None else self._iterable:
                yield item
                self.update(1)

    def __enter__(self) -> "_StatusFile":
        self._write(force=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._write(force=True)

    def update(self, count: int = 1) -> None:
        self._count += count
        self._write()

    def set_postfix_str(self, note: str) -> None:
        self._note = note
        self._write()

    def _write(self, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self._written > 0.5:
            self._written = now
            of = "" if self._total is None else f"/{self._total}"
            try:
                line = f"{self._description} {self._count}{of} {self._note}".rstrip()
                self._path.write_text(line, encoding="utf-8")
            except OSError:
                # A lost status line must never stop a training.
                self._written = float("inf")


class _NotebookBar(notebook_tqdm):
    """A bar whose widget leaves an empty output.

    A saved one would read "Error displaying widget" when the notebook is opened again.
    """

    def __init__(self, iterable: Iterable[Any] | None = None, **options: Any) -> None:
        super().__init__(iterable, display=False, **options)
        self._shown: Any = None
        if not self.disable:
            from IPython.display import display

            self._shown, self.displayed = display(self.container, display_id=True), True

    def close(self) -> None:
        super().close()
        if getattr(self, "_shown", None) is not None:
            from IPython.display import HTML

            self._shown.update(HTML(""))


def progress(
    iterable: Iterable[Any] | None = None,
    description: str = "",
    total: int | None = None,
    enabled: bool = True,
) -> Any:
    """A progress bar, for a loop or as a context manager with ``update`` and ``set_postfix_str``.

    Parameters
    ----------
    iterable : iterable, optional
    description : str
        What is being done, such as ``"LIME"``.
    total : int, optional
        Number of steps, where ``iterable`` has no length.
    enabled : bool
        False shows nothing.

    Returns
    -------
    tqdm-like
        Iterate over it, or use it in a ``with`` block.
    """
    path = os.environ.get(_STATUS_VARIABLE)
    if enabled and path:
        return _StatusFile(iterable, description, total, path)
    kind = _NotebookBar if issubclass(tqdm, notebook_tqdm) else tqdm
    return kind(iterable, desc=description, total=total, disable=not enabled, leave=False)
